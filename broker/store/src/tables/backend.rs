//! Lets the database keep its pages in a file of our disk. Never a rule of its own, but one: what
//! the database writes while it opens reaches the file only when the whole folder made sense.

use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::StorageBackend;

use crate::disk::File;

/// One file as the database's storage.
#[derive(Debug)]
pub(super) struct FileBackend {
    file: Arc<dyn File>,
    held: Arc<Held>,
}

/// Changes that wait, or go straight to the file.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<Option<Vec<Change>>>);

#[derive(Debug)]
enum Change {
    Write(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

impl FileBackend {
    /// Every change goes to the file at once.
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        Self { file, held: Arc::default() }
    }

    /// No change goes to the file before [`Held::release`].
    pub(super) fn holding(file: Arc<dyn File>) -> (Self, Arc<Held>) {
        let held = Arc::new(Held(Mutex::new(Some(Vec::new()))));
        (Self { file, held: Arc::clone(&held) }, held)
    }
}

impl Held {
    /// Do all that waits, in the same order and with the same syncs; from now on nothing waits.
    pub(super) fn release(&self, file: &dyn File) -> io::Result<()> {
        let mut held = self.0.lock();
        for change in held.take().unwrap_or_default() {
            match change {
                Change::Write(offset, bytes) => write(file, offset, &bytes)?,
                Change::Resize(length) => resize(file, length)?,
                Change::Sync => file.sync_data()?,
            }
        }
        Ok(())
    }
}

impl StorageBackend for FileBackend {
    fn len(&self) -> Result<u64, io::Error> {
        let held = self.held.0.lock();
        let mut length = self.file.len()?;
        for change in held.iter().flatten() {
            match change {
                Change::Write(offset, bytes) => length = length.max(offset + bytes.len() as u64),
                Change::Resize(resized) => length = *resized,
                Change::Sync => (),
            }
        }
        Ok(length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        match &*self.held.0.lock() {
            Some(changes) if !changes.is_empty() => read_held(&*self.file, changes, offset, out),
            _ => self.file.read_exact_at(out, offset),
        }
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        match &mut *self.held.0.lock() {
            Some(changes) => changes.push(Change::Resize(len)),
            None => resize(&*self.file, len)?,
        }
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        match &mut *self.held.0.lock() {
            Some(changes) => changes.push(Change::Sync),
            None => self.file.sync_data()?,
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        match &mut *self.held.0.lock() {
            Some(changes) => changes.push(Change::Write(offset, data.to_vec())),
            None => write(&*self.file, offset, data)?,
        }
        Ok(())
    }
}

/// The file as it will be.
fn read_held(file: &dyn File, changes: &[Change], offset: u64, out: &mut [u8]) -> io::Result<()> {
    let there = file.len()?.saturating_sub(offset).min(out.len() as u64);
    let (old, new) = out.split_at_mut(place(there));
    file.read_exact_at(old, offset)?;
    new.fill(0);
    let end = offset + out.len() as u64;
    for change in changes {
        match change {
            Change::Write(from, bytes) => {
                let (first, last) = (offset.max(*from), end.min(from + bytes.len() as u64));
                if first < last {
                    let source = &bytes[place(first - from)..place(last - from)];
                    out[place(first - offset)..place(last - offset)].copy_from_slice(source);
                }
            }
            Change::Resize(length) if *length < end => {
                out[place(length.saturating_sub(offset))..].fill(0);
            }
            Change::Resize(_) | Change::Sync => (),
        }
    }
    Ok(())
}

/// A place in bytes that are in memory.
fn place(at: u64) -> usize {
    usize::try_from(at).expect("inside of bytes that are in memory")
}

fn write(file: &dyn File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    file.write_all_at(&mut [IoSlice::new(bytes)], offset)
}

/// Growth is set aside at once: a full disk is then met here and not in the middle of a page.
fn resize(file: &dyn File, length: u64) -> io::Result<()> {
    if length > file.len()? { file.allocate(length) } else { file.set_len(length) }
}

#[cfg(test)]
mod tests {
    use super::FileBackend;
    use crate::disk::sim::SimDisk;
    use crate::disk::{Disk, OpenMode};
    use redb::StorageBackend;
    use std::io::IoSlice;
    use std::sync::Arc;

    fn bytes(backend: &FileBackend) -> Vec<u8> {
        let mut bytes = vec![9; usize::try_from(backend.len().expect("known")).expect("small")];
        backend.read(0, &mut bytes).expect("readable");
        bytes
    }

    #[test]
    fn held_changes_are_seen_at_once_and_reach_the_file_when_released() {
        let file = SimDisk::new(1).open("a", OpenMode::Create).expect("made");
        file.write_all_at(&mut [IoSlice::new(b"0123456789")], 0).expect("written");
        let (backend, held) = FileBackend::holding(Arc::clone(&file));
        let plain = FileBackend::new(Arc::clone(&file));
        backend.write(2, b"ab").expect("held");
        backend.set_len(6).expect("held");
        backend.sync_data().expect("held");
        backend.set_len(8).expect("held");
        backend.write(7, b"xyz").expect("held");
        assert_eq!(bytes(&backend), b"01ab45\0xyz");
        let mut part = [0; 4];
        backend.read(3, &mut part).expect("readable");
        assert_eq!(&part, b"b45\0");
        assert_eq!(bytes(&plain), b"0123456789");
        held.release(&*file).expect("released");
        assert_eq!(bytes(&plain), b"01ab45\0xyz");
        backend.write(0, b"!").expect("written");
        assert_eq!(bytes(&plain), b"!1ab45\0xyz");
    }
}
