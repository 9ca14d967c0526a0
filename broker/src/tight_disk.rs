//! A real disk that says, when it is told to, that it is full or cannot be read. Loses nothing.

use std::io::{self, ErrorKind, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tidewire_store::disk::{File, OpenMode};
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

    fn check_room(&self) -> io::Result<()> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct TightDisk {
    real: RealDisk,
    faults: Arc<Faults>,
}

impl TightDisk {
    pub(crate) fn new(folder: &Path, faults: Arc<Faults>) -> Self {
        Self { real: RealDisk::new(folder), faults }
    }
}

impl Disk for TightDisk {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let real = self.real.open(name, mode)?;
        Ok(Arc::new(TightFile { real, faults: Arc::clone(&self.faults) }))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.real.create_dir(name)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.real.list(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.real.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.real.remove(name)
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        self.real.sync_dir(name)
    }

    fn lock(&self, name: &str) -> io::Result<()> {
        self.real.lock(name)
    }

    fn random(&self) -> u64 {
        self.real.random()
    }
}

#[derive(Debug)]
struct TightFile {
    real: Arc<dyn File>,
    faults: Arc<Faults>,
}

impl TightFile {
    fn grow_to(&self, bytes: u64) -> io::Result<()> {
        if bytes > self.real.len()? { self.faults.check_room() } else { Ok(()) }
    }
}

impl File for TightFile {
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        if self.faults.is_unreadable.load(Ordering::SeqCst) {
            self.faults.refused_reads.fetch_add(1, Ordering::SeqCst);
            return Err(ErrorKind::TimedOut.into());
        }
        self.real.read_exact_at(out, offset)
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        self.grow_to(offset + bytes as u64)?;
        self.real.write_all_at(parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.real.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.grow_to(bytes)?;
        self.real.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.grow_to(bytes)?;
        self.real.allocate(bytes)
    }
}
