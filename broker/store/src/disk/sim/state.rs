//! What the simulated disk holds and what is wrong with it. Never a policy of loss.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::{fmt, io};

/// A disk keeps or loses this much as one.
const SECTOR_BYTES: usize = 512;

/// One file.
#[derive(Clone, Debug, Default)]
pub(super) struct Inode {
    /// What readers see.
    pub(super) bytes: Vec<u8>,
    /// What a power cut leaves at least.
    pub(super) durable: Vec<u8>,
    /// What was changed since, oldest first.
    pub(super) pending: Vec<Change>,
}

/// A change that was not synced.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { position: usize, new: Vec<u8> },
    Resize { length: usize },
}

impl Inode {
    /// One that has nothing to lose.
    pub(super) fn synced(bytes: Vec<u8>) -> Self {
        Self { durable: bytes.clone(), bytes, pending: Vec::new() }
    }

    pub(super) fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn change(&mut self, change: Change) {
        change.apply(&mut self.bytes);
        self.pending.push(change);
    }

    pub(super) fn sync(&mut self) {
        self.pending.drain(..).for_each(|change| change.apply(&mut self.durable));
    }

    /// The sync fails: some of it reached the disk, the rest never will, although readers see it
    /// and later syncs succeed. So does Linux: the pages count as clean from then on.
    pub(super) fn fail_to_sync(&mut self, random: &mut Random) {
        self.durable = self.torn(None, random);
        self.pending.clear();
    }

    /// Any of the changes and of one more, each in any of its sectors.
    pub(super) fn torn(&self, last: Option<&Change>, random: &mut Random) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        // All, some or few of them: each disk has its own idea of a cache.
        let odds = random.below(4);
        let changes = self.pending.iter().chain(last);
        changes.for_each(|change| change.apply_some(&mut bytes, odds, random));
        bytes
    }
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { position, new } => put(bytes, *position, new),
            Self::Resize { length } => bytes.resize(*length, 0),
        }
    }

    /// Sector by sector, each with `odds` out of 3.
    fn apply_some(&self, bytes: &mut Vec<u8>, odds: u64, random: &mut Random) {
        let (start, new) = match self {
            Self::Write { position, new } => (*position, new),
            Self::Resize { length } => {
                if random.below(3) < odds {
                    bytes.resize(*length, 0);
                }
                return;
            }
        };
        // A file may have grown without what it grew for.
        if start + new.len() > bytes.len() && random.below(3) < odds {
            bytes.resize(start + new.len(), 0);
        }
        let mut at = 0;
        while at < new.len() {
            let length = SECTOR_BYTES - (start + at) % SECTOR_BYTES;
            let end = (at + length).min(new.len());
            if random.below(3) < odds {
                put(bytes, start + at, &new[at..end]);
            }
            at = end;
        }
    }
}

fn put(bytes: &mut Vec<u8>, position: usize, new: &[u8]) {
    let end = position + new.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[position..end].copy_from_slice(new);
}

/// What a power cut leaves of writes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// All of them: it was a crash of the program only.
    Nothing,
    /// None of them.
    Everything,
    /// Any of them, in any order, each in any of its sectors.
    Some,
}

/// Everything that the disk holds and what is wrong with it.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) inodes: HashMap<u64, Inode>,
    pub(super) names: Names,
    /// What a power cut would leave of `names` at least.
    pub(super) durable_names: Names,
    /// Since then, oldest first.
    pub(super) pending_names: Vec<NameChange>,
    pub(super) folders: BTreeSet<String>,
    pub(super) next_inode: u64,
    pub(super) is_locked: bool,
    pub(super) random: Random,
    pub(super) faults: Faults,
    pub(super) watch: Option<Watch>,
}

/// A change that is about to happen.
pub struct Moment<'a> {
    /// Which file or folder.
    pub name: &'a str,
    pub(super) state: &'a State,
    pub(super) write: Option<Write<'a>>,
}

/// Bytes on their way to a file.
#[derive(Clone, Copy)]
pub(super) struct Write<'a> {
    pub(super) inode: u64,
    pub(super) position: usize,
    pub(super) bytes: &'a [u8],
}

type Visit = Box<dyn FnMut(&Moment<'_>) + Send>;

/// Whoever is shown each change before it happens.
pub(super) struct Watch(pub(super) Visit);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

pub(super) type Names = BTreeMap<String, u64>;

#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub(super) folder: String,
    pub(super) remove: Option<String>,
    pub(super) insert: Option<(String, u64)>,
}

/// What a single access to the disk fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write, of which any part may have happened.
    Write,
    /// A write for which there is no room, of which any part may have happened.
    Full,
    /// A sync of a file or folder. What it should have made durable never will be.
    Sync,
    /// The same for lack of room, which some file systems notice only then.
    FullSync,
    /// Opening a file, because the system has no more open files to give.
    Open,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    /// The access of that kind that fails after so many that do not.
    pub(super) next: Option<(Fault, u64)>,
    /// How many of those were met.
    pub(super) met: u64,
    /// Bytes written and other changes until the power fails.
    pub(super) power_left: Option<u64>,
    pub(super) syncs_fail: bool,
    pub(super) writes_fail: bool,
    pub(super) capacity: Option<u64>,
    /// It is a quota.
    pub(super) is_quota: bool,
    pub(super) changes: u64,
}

/// A small generator: the same seed, the same numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True in so many cases of a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

impl State {
    pub(super) fn used_bytes(&self) -> u64 {
        self.names.values().filter_map(|id| self.inodes.get(id)).map(Inode::length).sum()
    }

    /// Account for a change; answers how much of it happens before the power fails.
    pub(super) fn spend(&mut self, amount: u64) -> io::Result<u64> {
        let Some(left) = &mut self.faults.power_left else {
            self.faults.changes += amount;
            return Ok(amount);
        };
        if *left == 0 {
            return Err(io::Error::other("no power"));
        }
        let spent = amount.min(*left);
        *left -= spent;
        self.faults.changes += spent;
        Ok(spent)
    }

    /// Is this the access that fails?
    pub(super) fn fails(&mut self, kinds: &[Fault]) -> Option<Fault> {
        let (fault, left) = self.faults.next.as_mut()?;
        if !kinds.contains(fault) {
            return None;
        }
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let fault = *fault;
        self.faults.next = None;
        self.faults.met += 1;
        Some(fault)
    }

    /// A sync: how does it fail, if it does?
    pub(super) fn sync_failure(&mut self) -> Option<io::Error> {
        match self.fails(&[Fault::Sync, Fault::FullSync]) {
            Some(Fault::FullSync) => Some(io::ErrorKind::StorageFull.into()),
            Some(_) => Some(io::Error::other("the sync failed")),
            None => self.faults.syncs_fail.then(|| io::Error::other("the sync failed")),
        }
    }

    pub(super) fn powered(&self) -> io::Result<()> {
        match self.faults.power_left {
            Some(0) => Err(io::Error::other("no power")),
            _ => Ok(()),
        }
    }

    pub(super) fn change_names(&mut self, remove: Option<&str>, insert: Option<(&str, u64)>) {
        let name = remove.or(insert.map(|(name, _)| name)).unwrap_or_default();
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let insert = insert.map(|(name, inode)| (name.to_owned(), inode));
        let change = NameChange { folder, remove: remove.map(Into::into), insert };
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        if let Some(name) = &self.remove {
            names.remove(name);
        }
        if let Some((name, inode)) = &self.insert {
            names.insert(name.clone(), *inode);
        }
    }
}
