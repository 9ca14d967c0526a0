//! Where a folder really is, and whether a copy may go there. Makes nothing.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Held by who has a data folder to himself.
pub(super) const LOCK: &str = "LOCK";

/// The folder by its own name: no link and no `..` on the way, also where the rest is still to be
/// made.
pub(super) fn settled(path: &Path) -> Result<PathBuf, String> {
    let failed = |error: io::Error| format!("{}: {error}", path.display());
    let mut real = PathBuf::new();
    for part in std::path::absolute(path).map_err(failed)?.components() {
        match part {
            Component::ParentDir => _ = real.pop(),
            part => real.push(part),
        }
        match real.canonicalize() {
            Ok(found) => real = found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => (),
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(real)
}

/// Neither may lie in the other: what is copied would be copied again, until the disk is full.
pub(super) fn refuse_nested(
    (new, what): (&Path, &str),
    (old, whence): (&Path, &str),
) -> Result<(), String> {
    let (shown, there) = (new.display(), old.display());
    if new == old {
        Err(format!("{shown} is {whence} itself: name another folder for {what}"))
    } else if new.starts_with(old) {
        Err(format!("{shown} lies in {there}, {whence} itself: name a folder beside it"))
    } else if old.starts_with(new) {
        Err(format!("{shown} holds {there}, {whence}: name a folder beside it"))
    } else {
        Ok(())
    }
}

/// Nothing is written over.
pub(super) fn refuse_occupied(folder: &Path) -> Result<(), String> {
    match folder.read_dir().map(|mut found| found.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(false) => {
            Err(format!("{} is not empty: name a folder that is not there yet", folder.display()))
        }
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::{refuse_nested, settled};

    #[test]
    fn a_folder_in_another_is_found_whatever_way_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("there");
        let data = root.join("data");
        std::fs::create_dir(&data).expect("made");
        std::fs::create_dir(root.join("beside")).expect("made");
        symlink(&data, root.join("link")).expect("a link");
        for (way, expected) in [
            ("data/copy", "data/copy"),
            ("link/copy", "data/copy"),
            ("beside/../data/a/b", "data/a/b"),
            ("beside/../link/../data/copy", "data/copy"),
            ("none/../data/copy", "data/copy"),
            ("link/../copy", "copy"),
        ] {
            let found = settled(&root.join(way)).expect("a path");
            assert_eq!(found, root.join(expected), "{way}");
            let nested = refuse_nested((&found, "the backup"), (&data, "the data folder"));
            assert_eq!(nested.is_err(), expected.starts_with("data"), "{way}");
        }
        let around = refuse_nested((&root, "the backup"), (&data, "the data folder"));
        assert!(around.expect_err("around it").contains("name a folder beside it"));
    }
}
