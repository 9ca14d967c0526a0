//! What is left of the simulated disk when the power comes back. Decides what is lost, by policy
//! and seed.

use super::state::{Change, Inode, Loss, Random, State};

/// A disk keeps or loses this much as one.
const SECTOR_BYTES: usize = 512;

/// The state that the next start finds.
pub(super) fn survivors(state: &State, loss: Loss, mut random: Random) -> State {
    let mut names = state.durable_names.clone();
    let kept = match loss {
        Loss::Nothing => state.pending_names.len(),
        Loss::Everything => 0,
        // File systems keep the order of changes to names: a journal.
        Loss::Some => {
            let kept = random.below(state.pending_names.len() as u64 + 1);
            usize::try_from(kept).expect("no more than there are")
        }
    };
    state.pending_names[..kept].iter().for_each(|change| change.apply(&mut names));
    let mut inodes: Vec<_> = state.inodes.iter().collect();
    // The map has no order of its own; the seed must decide alone.
    inodes.sort_unstable_by_key(|(id, _)| **id);
    let named = |id: &u64| names.values().any(|inode| inode == id);
    let inodes = inodes
        .into_iter()
        .filter(|(id, _)| named(id))
        .map(|(id, inode)| (*id, inode.survivor(loss, &mut random)))
        .collect();
    State {
        inodes,
        durable_names: names.clone(),
        names,
        folders: state.folders.clone(),
        next_inode: state.next_inode,
        random,
        ..State::default()
    }
}

impl Inode {
    fn survivor(&self, loss: Loss, random: &mut Random) -> Self {
        let mut bytes = self.bytes.clone();
        if loss != Loss::Nothing {
            self.pending.iter().rev().for_each(|change| change.take_back(&mut bytes));
        }
        if loss == Loss::Some {
            // All, some or few of them: each disk has its own idea of a cache.
            let odds = random.below(4);
            self.pending.iter().for_each(|change| change.replay(&mut bytes, odds, random));
        }
        Self { bytes, pending: Vec::new() }
    }
}

impl Change {
    fn take_back(&self, bytes: &mut Vec<u8>) {
        bytes.resize(self.old_length, 0);
        let end = self.position + self.old.len();
        if let Some(place) = bytes.get_mut(self.position..end) {
            place.copy_from_slice(&self.old);
        }
    }

    /// Sector by sector, each with `odds` out of 3.
    fn replay(&self, bytes: &mut Vec<u8>, odds: u64, random: &mut Random) {
        if self.new_length != self.old_length && random.below(3) < odds {
            bytes.resize(self.new_length, 0);
        }
        let mut at = 0;
        while at < self.new.len() {
            let start = self.position + at;
            let length = (SECTOR_BYTES - start % SECTOR_BYTES).min(self.new.len() - at);
            if random.below(3) < odds {
                let end = start + length;
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[start..end].copy_from_slice(&self.new[at..at + length]);
            }
            at += length;
        }
    }
}
