//! Lets the database keep its pages in a file of our disk. Never a rule of its own.

use std::io::{self, IoSlice};
use std::sync::Arc;

use redb::StorageBackend;

use crate::disk::File;

/// One file as the database's storage.
#[derive(Debug)]
pub(super) struct FileBackend(pub(super) Arc<dyn File>);

impl StorageBackend for FileBackend {
    fn len(&self) -> Result<u64, io::Error> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.read_exact_at(out, offset)
    }

    /// Growth is set aside at once: a full disk is then met here and not in the middle of a page.
    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        if len > self.0.len()? { self.0.allocate(len) } else { self.0.set_len(len) }
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.write_all_at(&mut [IoSlice::new(data)], offset)
    }
}
