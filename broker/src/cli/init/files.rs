//! Files that are made where nothing is, and taken away again if not all of them can be made.
//! Overwrites and removes nothing that it did not make.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A folder, and what was made in it.
pub(super) struct Files {
    dir: PathBuf,
    made: Vec<PathBuf>,
}

impl Files {
    /// Makes the folder if it is missing; refuses one in which there is something.
    pub(super) fn begin(dir: &Path) -> Result<Self, String> {
        let shown = dir.display();
        let is_new = !dir.exists();
        fs::create_dir_all(dir).map_err(|error| format!("cannot make {shown}: {error}"))?;
        let entries = fs::read_dir(dir).map_err(|error| format!("cannot read {shown}: {error}"))?;
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        // A disk of its own has that.
        if let Some(name) = names.into_iter().find(|name| name != "lost+found") {
            return Err(format!(
                "{shown} is not empty ({} is there), and nothing is overwritten: choose another \
                 folder",
                name.display()
            ));
        }
        let made = if is_new { vec![dir.to_owned()] } else { Vec::new() };
        Ok(Self { dir: dir.into(), made })
    }

    /// Makes a file with these rights.
    pub(super) fn write(&mut self, name: &str, text: &str, mode: u32) -> Result<(), String> {
        let path = self.dir.join(name);
        let failed = |error| format!("cannot write {}: {error}", path.display());
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(mode).open(&path);
        let mut file = file.map_err(failed)?;
        self.made.push(path.clone());
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
    }

    /// Makes a folder in it, for others to fill.
    pub(super) fn folder(&mut self, name: &str) -> Result<(), String> {
        let path = self.dir.join(name);
        fs::create_dir(&path)
            .map_err(|error| format!("cannot make {}: {error}", path.display()))?;
        self.made.push(path);
        Ok(())
    }

    /// Takes away what was made.
    pub(super) fn undo(self) {
        for path in self.made.iter().rev() {
            let removed = match path.is_dir() && *path != self.dir {
                // All that is in it was made for us.
                true => fs::remove_dir_all(path),
                false if path.is_dir() => fs::remove_dir(path),
                false => fs::remove_file(path),
            };
            if let Err(error) = removed
                && error.kind() != ErrorKind::NotFound
            {
                tracing::warn!(path = %path.display(), %error, "cannot be taken away again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Files;

    #[test]
    fn a_folder_with_something_in_it_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("precious"), "x").expect("written");
        let error = Files::begin(folder.path()).err().expect("refused");
        assert!(error.contains("is not empty (precious is there)"), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1);
    }

    #[test]
    fn what_was_made_goes_again_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("a");
        let mut files = Files::begin(&dir).expect("made");
        files.write("one", "1", 0o600).expect("written");
        files.folder("two").expect("made");
        assert!(files.write("one", "2", 0o600).is_err(), "it is there");
        assert_eq!(std::fs::read_to_string(dir.join("one")).expect("there"), "1");
        files.undo();
        assert!(!dir.exists());
        let mut files = Files::begin(folder.path()).expect("it is empty");
        files.write("one", "1", 0o600).expect("written");
        std::fs::write(folder.path().join("of others"), "x").expect("written");
        files.undo();
        assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 1);
    }
}
