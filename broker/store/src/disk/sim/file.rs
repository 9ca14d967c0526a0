//! An open file of the simulated disk. Remembers how to take back what is not synced.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use super::state::{Change, Fault, Inode, Random, State, Write};
use super::watch::announce;
use crate::disk::access::File;
use crate::mutation;

/// A handle; stays valid when the file is renamed or removed.
#[derive(Debug)]
pub(super) struct SimFile {
    state: Arc<Mutex<State>>,
    inode: u64,
    /// As it was opened.
    name: String,
    /// Syncs do nothing: the store that is tested is one that forgot them.
    forgets_syncs: bool,
}

impl SimFile {
    pub(super) fn new(state: Arc<Mutex<State>>, inode: u64, name: &str) -> Self {
        let forgets_syncs = name.starts_with("streams/") && mutation::syncs_no_segment();
        Self { state, inode, name: name.to_owned(), forgets_syncs }
    }

    fn with<T>(&self, work: impl FnOnce(&mut Inode) -> T) -> T {
        let mut state = self.state.lock();
        work(state.inodes.get_mut(&self.inode).expect("an inode outlives its handles"))
    }

    fn check_room(&self, length: usize) -> io::Result<()> {
        let state = self.state.lock();
        let Some(capacity) = state.faults.capacity else { return Ok(()) };
        let current = state.inodes.get(&self.inode).map_or(0, Inode::length);
        let growth = (length as u64).saturating_sub(current);
        if growth > 0 && state.used_bytes() + growth > capacity {
            let is_quota = state.faults.is_quota;
            let kind = if is_quota { ErrorKind::QuotaExceeded } else { ErrorKind::StorageFull };
            return Err(kind.into());
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8], position: usize) -> io::Result<()> {
        if self.state.lock().faults.writes_fail {
            return Err(io::Error::other("the write failed"));
        }
        let fault = self.state.lock().fails(&[Fault::Write, Fault::Full]);
        if let Some(fault) = fault {
            return self.fail_in_the_middle(bytes, position, fault);
        }
        self.check_room(position + bytes.len())?;
        let write = Write { inode: self.inode, position, bytes };
        announce(&mut self.state.lock(), &self.name, Some(write));
        let spent = self.state.lock().spend(bytes.len() as u64)?;
        let whole = spent == bytes.len() as u64;
        let bytes = &bytes[..usize::try_from(spent).expect("no more than the bytes")];
        self.with(|inode| inode.change(Change::Write { position, new: bytes.to_vec() }));
        if whole { Ok(()) } else { Err(io::Error::other("the power failed")) }
    }

    fn fail_in_the_middle(&self, bytes: &[u8], position: usize, fault: Fault) -> io::Result<()> {
        self.check_room(position + bytes.len())?;
        let written = {
            let mut state = self.state.lock();
            let written = state.random.below(bytes.len() as u64 + 1);
            state.spend(written)?
        };
        let bytes = &bytes[..usize::try_from(written).expect("no more than the bytes")];
        self.with(|inode| inode.change(Change::Write { position, new: bytes.to_vec() }));
        Err(match fault {
            Fault::Full => ErrorKind::StorageFull.into(),
            Fault::Write | Fault::Sync | Fault::FullSync | Fault::Open => {
                io::Error::other("the write failed")
            }
        })
    }

    fn resize(&self, length: usize) -> io::Result<()> {
        self.check_room(length)?;
        announce(&mut self.state.lock(), &self.name, None);
        self.state.lock().spend(1)?;
        self.with(|inode| inode.change(Change::Resize { length }));
        Ok(())
    }
}

impl File for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.state.lock().powered()?;
        Ok(self.with(|inode| inode.length()))
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.state.lock().powered()?;
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        self.with(|inode| {
            let bytes = inode.bytes.get(start..).and_then(|rest| rest.get(..out.len()));
            out.copy_from_slice(bytes.ok_or(ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let position = usize::try_from(offset).map_err(io::Error::other)?;
        if let [part] = parts {
            return self.write(part, position);
        }
        self.write(&parts.iter().map(|part| &**part).collect::<Vec<_>>().concat(), position)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        announce(&mut state, &self.name, None);
        state.spend(1)?;
        let failure = state.sync_failure();
        let mut random = Random(state.random.next());
        drop(state);
        if let Some(error) = failure {
            self.with(|inode| inode.fail_to_sync(&mut random));
            return Err(error);
        }
        if !self.forgets_syncs {
            self.with(Inode::sync);
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.resize(usize::try_from(bytes).map_err(io::Error::other)?)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let length = usize::try_from(bytes).map_err(io::Error::other)?;
        if self.with(|inode| inode.bytes.len() < length) {
            self.resize(length)?;
        }
        Ok(())
    }
}
