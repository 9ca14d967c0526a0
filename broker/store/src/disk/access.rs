//! The trait that the real disk and the lying one both implement. Never a policy.

use std::fmt::Debug;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

/// What [`Disk`]'s calls fail with when the system has no more open files to give, to this program
/// or to anybody. Nothing happened then.
pub(crate) const NO_FILE_TO_OPEN: ErrorKind = ErrorKind::ResourceBusy;

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// An existing file, to read.
    Read,
    /// An existing file, to read and write.
    Write,
    /// A new and empty file; one of that name is emptied.
    Create,
}

/// A data folder. Names are relative to it, parts separated by `/`; the folder itself is "".
///
/// Nothing is durable until it is synced: a file's bytes by [`File::sync_data`], its name by
/// [`Disk::sync_dir`] on the folder that holds it.
pub trait Disk: Send + Sync + Debug {
    /// Open or create a file.
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>>;
    /// Create a folder and those above it; fine if it is there.
    fn create_dir(&self, name: &str) -> io::Result<()>;
    /// The names of files and folders in a folder, in no order.
    fn list(&self, name: &str) -> io::Result<Vec<String>>;
    /// Rename a file; one of the new name is replaced.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Remove a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Make the names in a folder durable.
    fn sync_dir(&self, name: &str) -> io::Result<()>;
    /// Take the one lock on the folder, held until this disk is dropped. `WouldBlock` if another
    /// holds it.
    fn lock(&self, name: &str) -> io::Result<()>;
    /// A number that nobody can foresee.
    fn random(&self) -> u64;
}

/// An open file. Shared by threads; every access names its position.
#[allow(clippy::len_without_is_empty, reason = "a file's length is asked for, not its emptiness")]
pub trait File: Send + Sync + Debug {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Fill `out` from `offset`; `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()>;
    /// So many bytes from `offset` in memory of their own; `UnexpectedEof` if the file ends before.
    fn read_vec(&self, bytes: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut out = vec![0; bytes];
        self.read_exact_at(&mut out, offset)?;
        Ok(out)
    }
    /// Write all parts, one behind the other, from `offset`.
    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()>;
    /// Make its bytes (and length) durable.
    fn sync_data(&self) -> io::Result<()>;
    /// Cut or extend with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Extend to `bytes` with space that the disk has set aside; never shrinks.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
}
