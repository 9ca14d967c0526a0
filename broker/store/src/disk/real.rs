//! The real disk: std's files, with rustix for what std lacks. Never retries a failed sync.

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind, IoSlice};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::{Errno, pread, pwritev};

use super::access::{Disk, File, NO_FILE_TO_OPEN, OpenMode};

/// The kernel takes this many parts in one call.
const PARTS_MAX: usize = 1024;
/// What lies in the folder is for its owner and whom its group is: messages, and who sent them. A
/// stricter umask makes it less.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;
/// Of folders above it: as the umask has it.
const ABOVE_MODE: u32 = 0o777;

/// A folder of the file system.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    lock: Mutex<Option<fs::File>>,
}

impl RealDisk {
    /// The folder at `root`; it is created by the first [`Disk::create_dir`].
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), lock: Mutex::new(None) }
    }

    fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.clone() } else { self.root.join(name) }
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        if mode == OpenMode::Create {
            options.create(true).truncate(true).mode(FILE_MODE);
        }
        let path = self.path(name);
        let file = options.open(&path).map_err(|error| named(&error, &path))?;
        Ok(Arc::new(RealFile { file, path }))
    }

    fn create_dir(&self, name: &str) -> io::Result<()> {
        create_all(&self.root, &self.path(name), &mut sync_names)
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let path = self.path(name);
        let entries = fs::read_dir(&path).map_err(|error| named(&error, &path))?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let path = self.path(to);
        fs::rename(self.path(from), &path).map_err(|error| named(&error, &path))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(|error| named(&error, &path))
    }

    fn sync_dir(&self, name: &str) -> io::Result<()> {
        sync_names(&self.path(name))
    }

    fn lock(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(FILE_MODE);
        let file = options.open(&path).map_err(|error| named(&error, &path))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| named(&error.into(), &path))?;
        *self.lock.lock() = Some(file);
        Ok(())
    }

    fn random(&self) -> u64 {
        RandomState::new().build_hasher().finish()
    }
}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    path: PathBuf,
}

impl RealFile {
    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| named(&error, &self.path))
    }
}

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        self.named(self.file.metadata().map(|metadata| metadata.len()))
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.named(self.file.read_exact_at(out, offset))
    }

    /// Without filling the memory with zeros first.
    fn read_vec(&self, bytes: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::with_capacity(bytes);
        while out.len() < bytes {
            let at = offset + out.len() as u64;
            match pread(&self.file, spare_capacity(&mut out), at) {
                Ok(0) => return self.named(Err(ErrorKind::UnexpectedEof.into())),
                Ok(_) | Err(Errno::INTR) => (),
                Err(error) => return self.named(Err(error.into())),
            }
        }
        out.truncate(bytes);
        Ok(out)
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let mut write = |parts: &[IoSlice<'_>], offset| pwritev(&self.file, parts, offset);
        self.named(write_all(&mut write, parts, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.named(self.file.sync_data())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.named(self.file.set_len(bytes))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        match fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
            // Some file systems cannot; the length alone is then all there is to have.
            Err(Errno::OPNOTSUPP) if self.len()? < bytes => self.set_len(bytes),
            Ok(()) | Err(Errno::OPNOTSUPP) => Ok(()),
            Err(error) => self.named(Err(error.into())),
        }
    }
}

/// Make the names in a folder durable.
fn sync_names(folder: &Path) -> io::Result<()> {
    fs::File::open(folder).and_then(|dir| dir.sync_all()).map_err(|error| named(&error, folder))
}

/// Make a folder and those above it, each with a name that lasts: the first of them may lie above
/// the data folder, where nobody else syncs.
fn create_all(
    root: &Path,
    path: &Path,
    sync: &mut dyn FnMut(&Path) -> io::Result<()>,
) -> io::Result<()> {
    // The last part of a relative path is empty: that is where we are.
    let is_missing = |above: &&Path| !above.as_os_str().is_empty() && !above.exists();
    let missing: Vec<_> = path.ancestors().take_while(is_missing).collect();
    for made in missing.iter().rev() {
        let mode = if made.starts_with(root) { FOLDER_MODE } else { ABOVE_MODE };
        let result = fs::DirBuilder::new().mode(mode).create(made);
        // Somebody may have made it meanwhile.
        result.or_else(|error| if made.is_dir() { Ok(()) } else { Err(named(&error, made)) })?;
        match made.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync(Path::new("."))?,
            Some(parent) => sync(parent)?,
            None => (),
        }
    }
    // What is there may be no folder.
    fs::create_dir_all(path).map_err(|error| named(&error, path))
}

/// Writes some of the parts, at least one byte.
type Write<'a> = dyn FnMut(&[IoSlice<'_>], u64) -> rustix::io::Result<usize> + 'a;

/// A write may be short or interrupted; only then is it continued where it stopped.
fn write_all(
    write: &mut Write<'_>,
    mut parts: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match write(&parts[..parts.len().min(PARTS_MAX)], offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut parts, written);
            }
            Err(Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The same error, saying which file it is about.
fn named(error: &io::Error, path: &Path) -> io::Error {
    let kind = match Errno::from_io_error(error) {
        Some(Errno::MFILE | Errno::NFILE) => NO_FILE_TO_OPEN,
        _ => error.kind(),
    };
    io::Error::new(kind, format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, IoSlice};
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use rustix::io::Errno;

    use super::{RealDisk, create_all, write_all};
    use crate::disk::{Disk, OpenMode};

    /// A file that takes so many bytes at a time, and is interrupted before each.
    fn written(parts: &[&[u8]], at_a_time: usize) -> std::io::Result<Vec<u8>> {
        let (mut file, mut interrupted) = (vec![b'-'; 3], false);
        let mut write = |parts: &[IoSlice<'_>], offset: u64| {
            interrupted = !interrupted;
            if interrupted {
                return Err(Errno::INTR);
            }
            assert_eq!(offset, file.len() as u64, "it goes on where the last write stopped");
            let before = file.len();
            let bytes = parts.iter().flat_map(|part| part.iter().copied());
            file.extend(bytes.take(at_a_time));
            Ok(file.len() - before)
        };
        let mut parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        write_all(&mut write, &mut parts, 3)?;
        Ok(file)
    }

    #[test]
    fn a_write_that_is_short_goes_on_where_it_stopped() {
        let parts: [&[u8]; 6] = [b"", b"one", b"", b"three four", b"x", b""];
        for at_a_time in 1..20 {
            assert_eq!(written(&parts, at_a_time).expect("written"), b"---onethree fourx");
        }
        let nothing = written(&parts, 0).expect_err("no progress is an error");
        assert_eq!(nothing.kind(), ErrorKind::WriteZero);
    }

    #[test]
    fn what_is_read_into_memory_of_its_own_is_as_long_as_was_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = RealDisk::new(folder.path()).open("f", OpenMode::Create).expect("made");
        file.write_all_at(&mut [IoSlice::new(b"0123456789")], 0).expect("written");
        for (bytes, offset, expected) in [(4, 3, "3456"), (10, 0, "0123456789"), (0, 10, "")] {
            assert_eq!(file.read_vec(bytes, offset).expect("read"), expected.as_bytes());
        }
        let short = file.read_vec(4, 7).expect_err("the file ends before");
        assert_eq!(short.kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_name_of_every_folder_that_is_made_is_synced() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        let made = |path: &str| {
            let mut synced: Vec<PathBuf> = Vec::new();
            let mut sync = |parent: &std::path::Path| {
                synced.push(parent.to_path_buf());
                Ok(())
            };
            create_all(&root.join("a/b/data"), &root.join(path), &mut sync).expect("made");
            synced
        };
        assert_eq!(made("a/b/data"), [root.to_path_buf(), root.join("a"), root.join("a/b")]);
        assert_eq!(made("a/b/data/wal"), [root.join("a/b/data")]);
        assert!(made("a/b/data").is_empty());
        let mode = |path: &str| root.join(path).metadata().expect("made").permissions().mode();
        assert_eq!(mode("a/b/data/wal") & 0o027, 0, "nobody else's business");
        assert_eq!(mode("a/b/data") & 0o027, 0, "nobody else's business");
    }
}
