//! Reads and counts what was read. Owns the count.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::disk::{File, read_around};

/// Bytes read from segments and the files beside them, since the start.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

impl Meter {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Count what was read without [`read_at`](Self::read_at).
    pub(super) fn count(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Read and count.
    pub(super) fn read_at(&self, file: &dyn File, length: usize, at: u64) -> io::Result<Vec<u8>> {
        let bytes = file.read_vec(length, at)?;
        self.0.fetch_add(length as u64, Ordering::Relaxed);
        Ok(bytes)
    }

    /// The same, with zeros for what the disk cannot read. True if there are some.
    pub(super) fn read_around(
        &self,
        file: &dyn File,
        length: usize,
        at: u64,
    ) -> io::Result<(Vec<u8>, bool)> {
        if let Ok(bytes) = file.read_vec(length, at) {
            self.count(length as u64);
            return Ok((bytes, false));
        }
        let mut bytes = vec![0; length];
        let lost = read_around(file, &mut bytes, at)?;
        self.count(length as u64);
        Ok((bytes, lost > 0))
    }
}
