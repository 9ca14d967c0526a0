//! A data folder copied while its store is open: what a crash of the program would leave behind.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Copies what lies in `from` to `to`, as it is at one moment in which nothing writes there.
/// Checkpoints make, rename and delete files on their own; a copy that one of them ran through is
/// no moment, and is made again.
///
/// # Errors
/// `from` cannot be read or `to` cannot be written.
pub fn copy_at_rest(from: &Path, to: &Path) -> io::Result<()> {
    copy_until_still(from, to, || ())
}

/// `meanwhile` is what else happens in `from` while it is copied.
fn copy_until_still(from: &Path, to: &Path, mut meanwhile: impl FnMut()) -> io::Result<()> {
    loop {
        let before = listing(from)?;
        meanwhile();
        let copied = copy(&before, from, to);
        if listing(from)? == before {
            return copied;
        }
        fs::remove_dir_all(to)?;
    }
}

/// The names below a folder; of files their lengths and when they were written last.
type Listing = BTreeMap<PathBuf, Option<(u64, SystemTime)>>;

fn listing(folder: &Path) -> io::Result<Listing> {
    let mut found = Listing::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            let about = match fs::metadata(&path) {
                Ok(about) => about,
                // It went since its folder was read: the next look is another.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            if about.is_dir() {
                folders.push(path.clone());
                found.insert(path, None);
            } else {
                found.insert(path, Some((about.len(), about.modified()?)));
            }
        }
    }
    Ok(found)
}

fn copy(listing: &Listing, from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    // A folder comes before what is in it.
    for (path, file) in listing {
        let target = to.join(path.strip_prefix(from).map_err(io::Error::other)?);
        match file {
            Some(_) => drop(fs::copy(path, target)?),
            None => fs::create_dir_all(target)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::copy_until_still;

    #[test]
    fn a_copy_that_something_ran_through_is_made_again() {
        let new = || tempfile::tempdir().expect("a folder");
        let (folder, copied) = (new(), new());
        let deep = folder.path().join("deep");
        fs::create_dir(&deep).expect("made");
        fs::write(deep.join("old"), "1").expect("written");
        fs::write(folder.path().join("log"), "1").expect("written");
        let mut turns = 0;
        copy_until_still(folder.path(), copied.path(), || {
            turns += 1;
            match turns {
                1 => fs::rename(deep.join("old"), deep.join("new")).expect("renamed"),
                2 => fs::write(folder.path().join("log"), "22").expect("written"),
                _ => (),
            }
        })
        .expect("copied");
        assert_eq!(turns, 3);
        assert_eq!(fs::read(copied.path().join("log")).expect("there"), b"22");
        assert_eq!(fs::read(copied.path().join("deep/new")).expect("there"), b"1");
        assert!(!copied.path().join("deep/old").exists());
    }
}
