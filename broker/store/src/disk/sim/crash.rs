//! What is left of the simulated disk when the power comes back. Decides what is lost, by policy
//! and seed.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{Change, Inode, Loss, NameChange, Names, Random, State};

/// The state that the next start finds, if the power was cut in the middle of a write after the
/// `last` of its bytes.
pub(super) fn survivors(
    state: &State,
    last: Option<(u64, Change)>,
    loss: Loss,
    mut random: Random,
) -> State {
    let names = match loss {
        Loss::Nothing => state.names.clone(),
        Loss::Everything => state.durable_names.clone(),
        Loss::Some => surviving_names(state, &mut random),
    };
    let mut inodes: Vec<_> = state.inodes.iter().collect();
    // The map has no order of its own; the seed must decide alone.
    inodes.sort_unstable_by_key(|(id, _)| **id);
    let named: BTreeSet<u64> = names.values().copied().collect();
    let inodes = inodes
        .into_iter()
        // After a crash of the program alone a power cut may still bring back any of them.
        .filter(|(id, _)| loss == Loss::Nothing || named.contains(id))
        .map(|(id, inode)| {
            let last = last.as_ref().filter(|(inode, _)| inode == id).map(|(_, change)| change);
            (*id, inode.survivor(last, loss, &mut random))
        })
        .collect();
    // The system goes on after a crash of the program: what it had not synced, it still has not.
    let (durable_names, pending_names) = match loss {
        Loss::Nothing => (state.durable_names.clone(), state.pending_names.clone()),
        Loss::Everything | Loss::Some => (names.clone(), Vec::new()),
    };
    State {
        inodes,
        durable_names,
        pending_names,
        names,
        folders: state.folders.clone(),
        next_inode: state.next_inode,
        random,
        ..State::default()
    }
}

/// The changes up to some place: file systems with a journal keep their order. Others keep it
/// within each folder only.
fn surviving_names(state: &State, random: &mut Random) -> Names {
    let mut names = state.durable_names.clone();
    let one_journal = random.percent(50);
    let mut by_folder: BTreeMap<&str, Vec<&NameChange>> = BTreeMap::new();
    for change in &state.pending_names {
        let folder = if one_journal { "" } else { change.folder.as_str() };
        by_folder.entry(folder).or_default().push(change);
    }
    for changes in by_folder.values() {
        let kept = random.below(changes.len() as u64 + 1);
        let kept = usize::try_from(kept).expect("no more than there are");
        changes[..kept].iter().for_each(|change| change.apply(&mut names));
    }
    names
}

impl Inode {
    fn survivor(&self, last: Option<&Change>, loss: Loss, random: &mut Random) -> Self {
        match loss {
            // Bytes whose sync failed are read as if they were there, and never will be.
            Loss::Nothing => {
                let mut inode = self.clone();
                last.inspect(|change| inode.change((*change).clone()));
                inode
            }
            Loss::Everything => Self::synced(self.durable.clone()),
            Loss::Some => Self::synced(self.torn(last, random)),
        }
    }
}
