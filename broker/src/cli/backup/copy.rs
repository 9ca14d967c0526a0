//! The copy of a folder that nobody writes to: every file that is a part of a data folder, synced,
//! and that without which no broker starts as the last of them. Decides nothing.

use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use tidewire_store::inspect::Progress;
use tidewire_store::{Disk as _, RealDisk};

use super::place::LOCK;
use crate::cli::progress::Line;
use crate::cli::wording::size;

/// Last of all: without it a broker does not start.
pub(super) const VERSION: &str = "VERSION";
/// As the broker makes the files of its data folder.
const FILE_MODE: u32 = 0o640;
/// Bytes between two looks at how far it is.
const PIECE_BYTES: u64 = 16 << 20;

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Copies all of it.
pub(super) fn copy_all(from: &Path, to: &Path) -> Result<Copied, String> {
    let failed = |error: io::Error| format!("{} to {}: {error}", from.display(), to.display());
    let whole = |from: &Path, to: &Path| {
        // With the rights of a data folder, whatever those of the copy were.
        RealDisk::new(to).create_dir("")?;
        let target = identity(&fs::metadata(to)?);
        let total = bytes_in(from, target, true)?;
        let (copied, line) = (Copied::default(), Line::new("copying", size));
        let mut copy = Copy { target, total, copied, line };
        copy.folder(from, to, true)?;
        copy.file(&from.join(VERSION), &to.join(VERSION))?;
        sync(to)?;
        Ok(copy.copied)
    };
    whole(from, to).map_err(failed)
}

/// A folder by what the disk calls it, whatever way leads there.
type Identity = (u64, u64);

fn identity(about: &fs::Metadata) -> Identity {
    (about.dev(), about.ino())
}

struct Copy {
    /// Never copied into itself.
    target: Identity,
    total: u64,
    copied: Copied,
    line: Line,
}

impl Copy {
    fn folder(&mut self, from: &Path, to: &Path, is_top: bool) -> io::Result<()> {
        RealDisk::new(to).create_dir("")?;
        for part in parts(from, self.target, is_top)? {
            let Part { name, is_folder, .. } = part;
            match is_folder {
                true => self.folder(&from.join(&name), &to.join(&name), false)?,
                false => self.file(&from.join(&name), &to.join(&name))?,
            }
        }
        sync(to)
    }

    fn file(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let mut options = fs::OpenOptions::new();
        let mut copy = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(to)?;
        let mut source = fs::File::open(from)?;
        loop {
            let bytes = io::copy(&mut (&mut source).take(PIECE_BYTES), &mut copy)?;
            if bytes == 0 {
                break;
            }
            self.copied.bytes += bytes;
            self.line.show(Progress { done: self.copied.bytes, total: self.total });
        }
        copy.sync_all()?;
        self.copied.files += 1;
        Ok(())
    }
}

/// A file or folder within a data folder.
struct Part {
    name: std::ffi::OsString,
    is_folder: bool,
    bytes: u64,
}

/// What of a folder is copied, but for what comes last.
fn parts(folder: &Path, target: Identity, is_top: bool) -> io::Result<Vec<Part>> {
    let mut found = Vec::new();
    for entry in folder.read_dir()? {
        let entry = entry?;
        let (name, is_folder) = (entry.file_name(), entry.file_type()?.is_dir());
        let about = entry.metadata()?;
        let shown = name.to_string_lossy();
        let is_left_out = match is_folder {
            true => identity(&about) == target,
            false => is_left(&shown) || is_top && *shown == *VERSION,
        };
        if !is_left_out {
            found.push(Part { name, is_folder, bytes: about.len() });
        }
    }
    Ok(found)
}

/// Bytes of all files that will be copied.
fn bytes_in(folder: &Path, target: Identity, is_top: bool) -> io::Result<u64> {
    let mut bytes = 0;
    for Part { name, is_folder, bytes: own } in parts(folder, target, is_top)? {
        bytes += if is_folder { bytes_in(&folder.join(name), target, false)? } else { own };
    }
    Ok(bytes)
}

/// Of one run of a broker, or never finished.
fn is_left(name: &str) -> bool {
    name == LOCK || name.starts_with("backup.") || name.ends_with(".tmp")
}

fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::{Copied, VERSION, copy_all};

    /// Nobody lets it come to this; but a disk may be seen at two places.
    #[test]
    fn a_copy_is_not_copied_into_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        std::fs::create_dir_all(data.join("streams")).expect("made");
        for (name, text) in [(VERSION, "1"), ("streams/a", "abc"), ("LOCK", ""), ("x.tmp", "x")] {
            std::fs::write(data.join(name), text).expect("written");
        }
        let to = data.join("copy");
        assert_eq!(copy_all(&data, &to), Ok(Copied { files: 2, bytes: 4 }));
        let names = |folder: &std::path::Path| {
            let names =
                folder.read_dir().expect("a folder").map(|it| it.expect("read").file_name());
            let mut names: Vec<_> = names.map(|it| it.into_string().expect("UTF-8")).collect();
            names.sort();
            names
        };
        assert_eq!(names(&to), [VERSION, "streams"]);
        assert_eq!(names(&to.join("streams")), ["a"]);
    }
}
