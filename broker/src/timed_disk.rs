//! A disk whose log files are timed: how long writes and syncs take. Changes nothing of them.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;

use metrics::{Counter, Histogram};
use tidewire_store::Disk;
use tidewire_store::disk::{File, OpenMode};

/// Where log files lie in the data folder.
const LOG: &str = "wal/";

/// Where it is recorded.
#[derive(Clone)]
pub(crate) struct DiskNumbers {
    pub(crate) append_seconds: Histogram,
    pub(crate) fsync_seconds: Histogram,
    pub(crate) written_bytes: Counter,
}

impl fmt::Debug for DiskNumbers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DiskNumbers").finish_non_exhaustive()
    }
}

/// Another disk, timed.
#[derive(Debug)]
pub(crate) struct TimedDisk {
    real: Arc<dyn Disk>,
    numbers: DiskNumbers,
}

impl TimedDisk {
    pub(crate) fn new(real: Arc<dyn Disk>, numbers: DiskNumbers) -> Self {
        Self { real, numbers }
    }
}

impl Disk for TimedDisk {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let real = self.real.open(name, mode)?;
        match name.starts_with(LOG) {
            true => Ok(Arc::new(TimedFile { real, numbers: self.numbers.clone() })),
            false => Ok(real),
        }
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
struct TimedFile {
    real: Arc<dyn File>,
    numbers: DiskNumbers,
}

impl File for TimedFile {
    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.real.read_exact_at(out, offset)
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let began = Instant::now();
        self.real.write_all_at(parts, offset)?;
        self.numbers.append_seconds.record(began.elapsed());
        self.numbers.written_bytes.increment(bytes as u64);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let began = Instant::now();
        self.real.sync_data()?;
        self.numbers.fsync_seconds.record(began.elapsed());
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.real.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.real.allocate(bytes)
    }
}
