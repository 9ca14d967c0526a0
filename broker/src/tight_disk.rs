//! A real disk that says, when it is told to, that it is full or cannot be read. Loses nothing.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tidewire_store::disk::{File, Layer, LayeredDisk};
use tidewire_store::{Disk, RealDisk};

/// What is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    is_full: Arc<AtomicBool>,
    is_unreadable: AtomicBool,
    refused_reads: AtomicUsize,
}

impl Faults {
    /// It is full when this says so.
    pub(crate) fn full_when(is_full: &Arc<AtomicBool>) -> Self {
        Self { is_full: Arc::clone(is_full), ..Self::default() }
    }

    pub(crate) fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::SeqCst);
    }

    pub(crate) fn set_unreadable(&self, is_unreadable: bool) {
        self.is_unreadable.store(is_unreadable, Ordering::SeqCst);
    }

    pub(crate) fn refused_reads(&self) -> usize {
        self.refused_reads.load(Ordering::SeqCst)
    }

    /// May the file be so long?
    fn check_room(&self, file: &dyn File, bytes: u64) -> io::Result<()> {
        match bytes > file.len()? && self.is_full.load(Ordering::SeqCst) {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

/// The folder, on a disk with these faults.
pub(crate) fn tight_disk(folder: &Path, faults: Arc<Faults>) -> Arc<dyn Disk> {
    Arc::new(LayeredDisk::new(Arc::new(RealDisk::new(folder)), faults))
}

impl Layer for Faults {
    fn read_exact_at(&self, file: &dyn File, out: &mut [u8], offset: u64) -> io::Result<()> {
        if self.is_unreadable.load(Ordering::SeqCst) {
            self.refused_reads.fetch_add(1, Ordering::SeqCst);
            return Err(ErrorKind::TimedOut.into());
        }
        file.read_exact_at(out, offset)
    }

    fn write_all_at(
        &self,
        file: &dyn File,
        parts: &mut [IoSlice<'_>],
        offset: u64,
    ) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.check_room(file, offset + bytes as u64)?;
        file.write_all_at(parts, offset)
    }

    fn set_len(&self, file: &dyn File, bytes: u64) -> io::Result<()> {
        self.check_room(file, bytes)?;
        file.set_len(bytes)
    }

    fn allocate(&self, file: &dyn File, bytes: u64) -> io::Result<()> {
        self.check_room(file, bytes)?;
        file.allocate(bytes)
    }
}
