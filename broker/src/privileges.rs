//! Who the broker runs as: from root to a user that may do nothing besides, for good. Only while
//! the program has one thread: to the kernel it is threads that have users.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::process::{Gid, Uid, getegid, geteuid};
use rustix::thread::{set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::accounts;
use crate::backup;
use crate::held_file::HeldFile;

const ROOT: u32 = 0;
/// The data folder is nobody else's business.
const DATA_MODE: u32 = 0o750;

/// Whom to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Runner {
    uid: u32,
    gid: u32,
    /// Besides its own.
    groups: Vec<u32>,
}

impl Runner {
    /// `user` or `user:group`, by names or numbers.
    pub(crate) fn find(said: &str) -> io::Result<Self> {
        let (user, group) = match said.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (said, None),
        };
        let account = accounts::user(user).map_err(io::Error::other)?;
        let group = group.map(accounts::group).transpose().map_err(io::Error::other)?;
        let gid = group.or(account.gid).ok_or_else(|| {
            io::Error::other(format!("{user} has no name here: say its group, too ({user}:GROUP)"))
        })?;
        let groups = accounts::groups_of(&account).map_err(io::Error::other)?;
        if account.uid == ROOT || gid == ROOT || groups.contains(&ROOT) {
            return Err(io::Error::other("root, and its group, is what it is to give up"));
        }
        Ok(Self { uid: account.uid, gid, groups })
    }

    /// Whether we are it already.
    pub(crate) fn is_us(&self) -> bool {
        (geteuid().as_raw(), getegid().as_raw()) == (self.uid, self.gid)
    }

    /// Its user and its group.
    pub(crate) const fn ids(&self) -> (u32, u32) {
        (self.uid, self.gid)
    }

    /// Gives it the data folder, which is made if it is missing. One that holds what belongs to
    /// others is left as it is: whoever may write there could have put in anything.
    pub(crate) fn own(&self, dir: &Path) -> io::Result<()> {
        if !dir.exists() {
            fs::create_dir_all(dir)?;
            let made = HeldFile::open(dir)?;
            if !made.metadata()?.is_dir() {
                return Err(io::Error::other("somebody put something else in its place"));
            }
            made.set_mode(DATA_MODE)?;
            return made.give(Some(self.uid), Some(self.gid));
        }
        match self.foreign(dir)? {
            None => Ok(()),
            Some(path) => Err(io::Error::other(format!(
                "{} belongs to another user: chown -R {}:{} {}",
                path.display(),
                self.uid,
                self.gid,
                dir.display()
            ))),
        }
    }

    /// Something in there, or the folder itself, that belongs to another user.
    fn foreign(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        let found = fs::symlink_metadata(path)?;
        if path.file_name().is_some_and(backup::is_left_over) {
            return Ok(None);
        }
        if found.uid() != self.uid {
            return Ok(Some(path.into()));
        }
        if found.is_dir() {
            for entry in fs::read_dir(path)? {
                if let Some(foreign) = self.foreign(&entry?.path())? {
                    return Ok(Some(foreign));
                }
            }
        }
        Ok(None)
    }

    /// Whether it could read this file, as far as rights say it.
    pub(crate) fn may_read(&self, file: &Path) -> bool {
        let file = fs::canonicalize(file);
        let Ok(file) = file else { return true };
        let may =
            |path: &Path, bit: u32| fs::metadata(path).is_ok_and(|found| self.has(&found, bit));
        may(&file, 4) && file.ancestors().skip(1).all(|folder| may(folder, 1))
    }

    /// Whether it has that right (of `rwx` as 4, 2, 1) to what was found.
    fn has(&self, found: &Metadata, bit: u32) -> bool {
        let is_member = found.gid() == self.gid || self.groups.contains(&found.gid());
        let shift = match (found.uid() == self.uid, is_member) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        found.mode() >> shift & bit == bit
    }

    /// Becomes it, and makes sure that there is no way back.
    pub(crate) fn become_it(&self) -> io::Result<()> {
        if fs::read_dir("/proc/self/task")?.count() != 1 {
            return Err(io::Error::other("other threads run already"));
        }
        let groups: Vec<Gid> = self.groups.iter().copied().map(Gid::from_raw).collect();
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
        self.check(&fs::read_to_string("/proc/self/status")?)?;
        let root = Uid::ROOT;
        match set_thread_res_uid(root, root, root) {
            Err(_) => Ok(()),
            Ok(()) => Err(io::Error::other("the way back to root is open")),
        }
    }

    /// What the kernel says of us: this user in all four places, and nothing that only root may.
    fn check(&self, status: &str) -> io::Result<()> {
        let all_are = |name: &str, wanted: u32| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let mut said = line.unwrap_or_default().split_whitespace().map(str::parse);
            line.is_some() && said.all(|one| one == Ok(wanted))
        };
        let is_powerless = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.is_some_and(|said| said.trim().bytes().all(|digit| digit == b'0'))
        };
        let is_given_up = all_are("Uid:", self.uid)
            && all_are("Gid:", self.gid)
            && ["CapPrm:", "CapEff:", "CapAmb:"].into_iter().all(is_powerless);
        match is_given_up {
            true => Ok(()),
            false => Err(io::Error::other("the kernel did not take all of root's rights away")),
        }
    }
}

/// Whether we are root.
pub(crate) fn is_root() -> bool {
    geteuid().as_raw() == ROOT
}

/// No program that we could be made to start would get rights that we do not have.
pub(crate) fn renounce() {
    if let Err(error) = set_no_new_privs(true) {
        tracing::warn!(%error, "the system does not let us rule out new rights");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Runner, getegid, geteuid};

    fn runner(uid: u32, gid: u32) -> Runner {
        Runner { uid, gid, groups: vec![4_712] }
    }

    #[test]
    fn a_user_is_said_with_or_without_its_group_and_is_never_root() {
        assert_eq!(
            Runner::find("4711:4712").unwrap(),
            Runner { groups: vec![], ..runner(4_711, 4_712) }
        );
        for (said, told) in [
            ("4711", "say its group, too"),
            ("root", "is what it is to give up"),
            ("0:4712", "is what it is to give up"),
            ("4711:0", "is what it is to give up"),
            ("no such user", "is not in /etc/passwd"),
            ("4711:no such group", "is not in /etc/group"),
        ] {
            let error = Runner::find(said).expect_err(said);
            assert!(error.to_string().contains(told), "{said}: {error}");
        }
    }

    #[test]
    fn what_the_kernel_says_must_hold_in_all_places() {
        let good = "Name:\tx\nUid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nCapInh:\t00ff\n\
                    CapPrm:\t0000\nCapEff:\t0000\nCapAmb:\t0000\n";
        assert!(runner(7, 8).check(good).is_ok());
        for (from, to) in [
            ("Uid:\t7\t7\t7\t7", "Uid:\t7\t7\t0\t7"),
            ("Gid:\t8\t8\t8\t8", "Gid:\t8\t8\t8\t0"),
            ("CapPrm:\t0000", "CapPrm:\t0400"),
            ("CapEff:\t0000", "CapEff:\t0001"),
            ("CapAmb:\t0000", "CapAmb:\t0001"),
            ("CapAmb:\t0000\n", ""),
        ] {
            assert!(runner(7, 8).check(&good.replace(from, to)).is_err(), "{from}");
        }
    }

    #[test]
    fn who_may_read_a_file_is_known_from_its_rights_and_those_of_its_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("key");
        fs::write(&file, "x").expect("written");
        let mode = |path: &std::path::Path, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
        };
        let us = runner(geteuid().as_raw(), getegid().as_raw());
        let stranger = runner(4_711, 4_711);
        for (of_folder, of_file, we, they) in
            [(0o755, 0o644, true, true), (0o755, 0o600, true, false), (0o700, 0o644, true, false)]
        {
            mode(folder.path(), of_folder);
            mode(&file, of_file);
            assert_eq!((us.may_read(&file), stranger.may_read(&file)), (we, they), "{of_file:o}");
        }
    }

    #[test]
    fn a_folder_with_something_of_another_user_is_not_taken() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("wal")).expect("made");
        fs::write(folder.path().join("wal/1"), "x").expect("written");
        runner(geteuid().as_raw(), getegid().as_raw()).own(folder.path()).expect("all is ours");
        let error = runner(4_711, 4_712).own(folder.path()).expect_err("it is not theirs");
        assert!(error.to_string().contains("chown -R 4711:4712"), "{error}");
    }
}
