//! A disk with something on top of it that sees what is read from its files and written to them,
//! and may refuse it. Changes nothing by itself.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::Arc;

use super::access::{Disk, File, OpenMode};

/// What lies on files. What it says nothing of goes on to the file as it came.
pub trait Layer: Send + Sync + Debug {
    /// Whether it lies on the file of this name; it does on all, if it does not say otherwise.
    fn covers(&self, _name: &str) -> bool {
        true
    }

    /// [`File::read_exact_at`] of a file that it covers.
    fn read_exact_at(&self, file: &dyn File, out: &mut [u8], offset: u64) -> io::Result<()> {
        file.read_exact_at(out, offset)
    }

    /// [`File::write_all_at`] of one.
    fn write_all_at(
        &self,
        file: &dyn File,
        parts: &mut [IoSlice<'_>],
        offset: u64,
    ) -> io::Result<()> {
        file.write_all_at(parts, offset)
    }

    /// [`File::sync_data`] of one.
    fn sync_data(&self, file: &dyn File) -> io::Result<()> {
        file.sync_data()
    }

    /// [`File::set_len`] of one.
    fn set_len(&self, file: &dyn File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    /// [`File::allocate`] of one.
    fn allocate(&self, file: &dyn File, bytes: u64) -> io::Result<()> {
        file.allocate(bytes)
    }
}

/// A disk with a layer on its files.
#[derive(Debug)]
pub struct LayeredDisk<L> {
    disk: Arc<dyn Disk>,
    layer: Arc<L>,
}

impl<L: Layer + 'static> LayeredDisk<L> {
    /// Puts it on top of the disk.
    #[must_use]
    pub fn new(disk: Arc<dyn Disk>, layer: Arc<L>) -> Self {
        Self { disk, layer }
    }

    /// What lies on it.
    #[must_use]
    pub fn layer(&self) -> &Arc<L> {
        &self.layer
    }
}

impl<L: Layer + 'static> Disk for LayeredDisk<L> {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(name, mode)?;
        match self.layer.covers(name) {
            true => Ok(Arc::new(LayeredFile { file, layer: Arc::clone(&self.layer) })),
            false => Ok(file),
        }
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.disk.create_dir(name)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.disk.list(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        self.disk.sync_dir(name)
    }

    fn lock(&self, name: &str) -> io::Result<()> {
        self.disk.lock(name)
    }

    fn random(&self) -> u64 {
        self.disk.random()
    }
}

#[derive(Debug)]
struct LayeredFile<L> {
    file: Arc<dyn File>,
    layer: Arc<L>,
}

impl<L: Layer> File for LayeredFile<L> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.layer.read_exact_at(&*self.file, out, offset)
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.layer.write_all_at(&*self.file, parts, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.layer.sync_data(&*self.file)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.layer.set_len(&*self.file, bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.layer.allocate(&*self.file, bytes)
    }
}
