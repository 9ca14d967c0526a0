//! A file or folder held by a descriptor of its own, for giving it rights and an owner: whoever may
//! rename things beside it cannot have these given to something else. Never follows a link at the
//! end of a path; never opens what is in the file.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

/// What was at a path when it was looked at.
#[derive(Debug)]
pub(crate) struct HeldFile(OwnedFd);

impl HeldFile {
    /// Whatever is there, a link itself too.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Self(open(path, flags, Mode::empty())?))
    }

    /// What it is.
    pub(crate) fn metadata(&self) -> io::Result<Metadata> {
        fs::metadata(self.path())
    }

    /// Gives it rights.
    pub(crate) fn set_mode(&self, mode: u32) -> io::Result<()> {
        fs::set_permissions(self.path(), Permissions::from_mode(mode))
    }

    /// Gives it to a user, to a group.
    pub(crate) fn give(&self, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
        chown(self.path(), uid, gid)
    }

    /// The system takes this for the file itself, wherever it lies by now.
    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::HeldFile;

    #[test]
    fn rights_go_to_what_was_looked_at_and_not_to_what_took_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let [ours, precious] = ["ours", "precious"].map(|name| folder.path().join(name));
        for path in [&ours, &precious] {
            fs::write(path, "").expect("written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
        }
        let mode = |path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        let held = HeldFile::open(&ours).expect("held");
        let moved = folder.path().join("moved");
        fs::rename(&ours, &moved).expect("renamed");
        symlink(&precious, &ours).expect("linked");
        held.set_mode(0o666).expect("set");
        held.give(None, None).expect("given");
        assert_eq!((mode(&moved), mode(&precious)), (0o666, 0o600));
        let link = HeldFile::open(&ours).expect("the link itself");
        assert!(link.metadata().expect("known").is_symlink());
        assert!(link.set_mode(0o666).is_err() || mode(&precious) == 0o600);
        assert_eq!(mode(&precious), 0o600);
    }
}
