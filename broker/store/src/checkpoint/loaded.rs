//! Reads a file of the write-ahead log in large pieces while small batches of it move: one call to
//! the system for many. Never written to.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::File;
use crate::partition::Placed;
use crate::wal::WalFile;

/// In memory at once: what stays in a processor's cache.
const WINDOW_BYTES: u64 = 256 << 10;
/// Copying this much takes as long as a call to the system.
const CALL_BYTES: u64 = 4 << 10;

/// Do batches lie so close that reading what is between them costs less than a call for each?
pub(super) fn pays(placed: &[Placed]) -> bool {
    let (Some(first), Some(last)) = (placed.first(), placed.last()) else { return false };
    let span = last.position.saturating_sub(first.position);
    span / placed.len() as u64 <= CALL_BYTES
}

/// The same file, read through memory.
pub(super) fn loaded(wal: &WalFile) -> WalFile {
    let WalFile { bytes, ref file, .. } = *wal;
    wal.through(Arc::new(Loaded { file: Arc::clone(file), bytes, window: Mutex::default() }))
}

#[derive(Debug)]
struct Loaded {
    file: Arc<dyn File>,
    bytes: u64,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn get(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(length)?)
    }

    fn load(&mut self, file: &dyn File, start: u64, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        self.bytes.resize(length, 0);
        self.start = start;
        file.read_exact_at(&mut self.bytes, start)
    }
}

impl File for Loaded {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let mut window = self.window.lock();
        if window.get(offset, out.len()).is_none() {
            let rest = self.bytes.saturating_sub(offset);
            window.load(&*self.file, offset, rest.min(WINDOW_BYTES.max(out.len() as u64)))?;
        }
        let bytes = window.get(offset, out.len()).ok_or(ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, _: &mut [IoSlice<'_>], _: u64) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::PermissionDenied.into())
    }
}
