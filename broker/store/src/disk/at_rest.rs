//! A data folder copied while its store is open: what a crash of the program would leave. For tests.

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
    loop {
        let before = listing(from)?;
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
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn what_is_copied_while_files_come_and_go_was_there_at_one_moment() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |number: u32| folder.path().join("deep").join(number.to_string());
        fs::create_dir(folder.path().join("deep")).expect("made");
        fs::write(place(0), "0").expect("written");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // There is always one file, and it holds its own name.
                for number in 0..2_000_u32 {
                    fs::rename(place(number), place(number + 1)).expect("renamed");
                    fs::write(place(number + 1), (number + 1).to_string()).expect("written");
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                let to = tempfile::tempdir().expect("a folder");
                copy_at_rest(folder.path(), to.path()).expect("copied");
                let found = fs::read_dir(to.path().join("deep")).expect("there");
                assert_eq!(found.count(), 1);
            }
        });
    }
}
