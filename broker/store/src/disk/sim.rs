//! A disk in memory that forgets what was not synced: the lying disk of the tests. Never faster or
//! kinder than a real one may be, except that folders, once made, stay.

mod crash;
mod file;
mod state;
mod watch;

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use parking_lot::Mutex;

use crash::survivors;
use file::SimFile;
use state::{Inode, Random, State, Watch};

pub(crate) use state::Random as SimRandom;
pub use state::{Fault, Loss, Moment};
use watch::announce;

use super::access::{Disk, File, NO_FILE_TO_OPEN, OpenMode};
use crate::mutation;

/// A simulated data folder.
#[derive(Debug)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    /// An empty disk; everything random about it follows from `seed`.
    pub fn new(seed: u64) -> Arc<Self> {
        let state = State { random: Random(seed), ..State::default() };
        Arc::new(Self { state: Arc::new(Mutex::new(state)) })
    }

    /// Cut the power after this many more bytes and other changes, in the middle of a write if it
    /// falls there. From then on everything fails.
    pub fn cut_power_after(&self, changes: u64) {
        self.state.lock().faults.power_left = Some(changes);
    }

    /// Bytes written and other changes so far.
    pub fn changes(&self) -> u64 {
        self.state.lock().faults.changes
    }

    /// From now on syncs fail, or no longer.
    pub fn fail_syncs(&self, fail: bool) {
        self.state.lock().faults.syncs_fail = fail;
    }

    /// From now on writes fail, or no longer.
    pub fn fail_writes(&self, fail: bool) {
        self.state.lock().faults.writes_fail = fail;
    }

    /// Let one access fail, after this many of its kind that do not.
    pub fn fail_once(&self, fault: Fault, after: u64) {
        self.state.lock().faults.next = Some((fault, after));
    }

    /// How many accesses failed because of [`fail_once`](Self::fail_once).
    pub fn faults_met(&self) -> u64 {
        self.state.lock().faults.met
    }

    /// Has the power not been cut?
    pub fn has_power(&self) -> bool {
        self.state.lock().powered().is_ok()
    }

    /// Have room for this many bytes in all files together, or for any number.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        let mut state = self.state.lock();
        state.faults.capacity = bytes;
        state.faults.is_quota = false;
    }

    /// The same, but somebody else's rule keeps it from growing.
    pub fn set_quota(&self, bytes: Option<u64>) {
        let mut state = self.state.lock();
        state.faults.capacity = bytes;
        state.faults.is_quota = true;
    }

    /// Is there a limit to its room?
    pub fn is_limited(&self) -> bool {
        self.state.lock().faults.capacity.is_some()
    }

    /// Bytes that all files take.
    pub fn used_bytes(&self) -> u64 {
        self.state.lock().used_bytes()
    }

    /// The disk as it is found after the power came back. This one is left as it is.
    pub fn restart(&self, loss: Loss, seed: u64) -> Arc<Self> {
        let state = survivors(&self.state.lock(), None, loss, Random(seed));
        Arc::new(Self { state: Arc::new(Mutex::new(state)) })
    }

    /// Show every change just before it happens. Whoever watches leaves this disk alone.
    pub fn watch(&self, visit: impl FnMut(&Moment<'_>) + Send + 'static) {
        self.state.lock().watch = Some(Watch(Box::new(visit)));
    }

    /// The disk as it is found if the power is cut at that moment, after so many bytes of it.
    pub fn cut(moment: &Moment<'_>, written: usize, loss: Loss, seed: u64) -> Arc<Self> {
        let state = survivors(moment.state, moment.part(written), loss, Random(seed));
        Arc::new(Self { state: Arc::new(Mutex::new(state)) })
    }

    /// Change one byte behind the store's back.
    pub fn flip(&self, name: &str, position: u64, mask: u8) {
        let mut state = self.state.lock();
        let inode = state.names.get(name).copied();
        let Some(file) = inode.and_then(|inode| state.inodes.get_mut(&inode)) else { return };
        let place = usize::try_from(position).expect("small");
        for image in [&mut file.bytes, &mut file.durable] {
            if let Some(byte) = image.get_mut(place) {
                *byte ^= mask;
            }
        }
    }

    /// The names of all files.
    pub fn files(&self) -> Vec<String> {
        self.state.lock().names.keys().cloned().collect()
    }
}

impl Disk for SimDisk {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut state = self.state.lock();
        state.powered()?;
        if state.fails(&[Fault::Open]).is_some() {
            return Err(NO_FILE_TO_OPEN.into());
        }
        let known = state.names.get(name).copied();
        let inode = match (known, mode) {
            (Some(inode), OpenMode::Read | OpenMode::Write) => inode,
            (None, OpenMode::Read | OpenMode::Write) => {
                return Err(io::Error::new(ErrorKind::NotFound, format!("{name}: no such file")));
            }
            (_, OpenMode::Create) => {
                announce(&mut state, name, None);
                state.spend(1)?;
                let inode = state.next_inode;
                state.next_inode += 1;
                state.inodes.insert(inode, Inode::default());
                state.change_names(None, Some((name, inode)));
                inode
            }
        };
        drop(state);
        Ok(Arc::new(SimFile::new(Arc::clone(&self.state), inode, name)))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.powered()?;
        state.folders.insert(name.to_owned());
        let mut above = name;
        while let Some((parent, _)) = above.rsplit_once('/') {
            state.folders.insert(parent.to_owned());
            above = parent;
        }
        Ok(())
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let state = self.state.lock();
        state.powered()?;
        if !name.is_empty() && !state.folders.contains(name) {
            return Err(io::Error::new(ErrorKind::NotFound, format!("{name}: no such folder")));
        }
        let inside = |path: &String| {
            let rest = match name {
                "" => path.as_str(),
                _ => path.strip_prefix(name)?.strip_prefix('/')?,
            };
            let first = rest.split('/').next()?;
            (!first.is_empty()).then(|| first.to_owned())
        };
        let paths = state.names.keys().chain(&state.folders);
        Ok(paths.filter_map(inside).collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        announce(&mut state, to, None);
        state.spend(1)?;
        let inode = state.names.get(from).copied();
        let inode = inode.ok_or_else(|| io::Error::new(ErrorKind::NotFound, from.to_owned()))?;
        state.change_names(Some(from), Some((to, inode)));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        announce(&mut state, name, None);
        state.spend(1)?;
        if !state.names.contains_key(name) {
            return Err(io::Error::new(ErrorKind::NotFound, name.to_owned()));
        }
        state.change_names(Some(name), None);
        Ok(())
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        let mut guard = self.state.lock();
        announce(&mut guard, name, None);
        guard.spend(1)?;
        if let Some(error) = guard.sync_failure() {
            return Err(error);
        }
        if mutation::syncs_no_folder() {
            return Ok(());
        }
        let state = &mut *guard;
        let (durable, names) = (&mut state.durable_names, &mut state.pending_names);
        names.retain(|change| {
            let elsewhere = change.folder != name;
            if !elsewhere {
                change.apply(durable);
            }
            elsewhere
        });
        Ok(())
    }

    fn lock(&self, _: &str) -> io::Result<()> {
        let mut state = self.state.lock();
        state.powered()?;
        if state.is_locked {
            return Err(ErrorKind::WouldBlock.into());
        }
        state.is_locked = true;
        Ok(())
    }

    fn random(&self) -> u64 {
        self.state.lock().random.next()
    }
}
