//! A file written anew whole, by one run at a time, and left to whom it belongs. Knows nothing of
//! what stands in it.

use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// Only its owner may read a new file.
const MODE: u32 = 0o600;

/// Writes what `change` makes of the file's text (`None`: there is no file). Whoever looks at it
/// meanwhile sees the old one or the new one; who edits it too waits.
pub(super) fn edit_file(
    file: &Path,
    change: impl FnOnce(Option<&str>) -> Result<String, String>,
) -> Result<(), String> {
    let failed =
        |what: &str, error: &io::Error| format!("cannot {what} {}: {error}", file.display());
    // What a link leads to is written, and the link stays.
    let file = &std::fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The file itself is another one after each edit; its folder stays.
    let folder = File::open(folder).map_err(|error| failed("open the folder of", &error))?;
    folder.lock().map_err(|error| failed("lock the folder of", &error))?;
    let text = read_file(file)?;
    let text = change(text.as_deref())?;
    let old = std::fs::metadata(file).ok();
    let beside = beside(file).ok_or("the system gives no random bytes")?;
    let written = write(&beside, &text, old.as_ref())
        .and_then(|()| std::fs::rename(&beside, file))
        .and_then(|()| folder.sync_all());
    written.map_err(|error| {
        // It may be gone, or never have been.
        let _ = std::fs::remove_file(&beside);
        failed("write", &error)
    })
}

/// Its text; `None`: there is no file.
pub(super) fn read_file(file: &Path) -> Result<Option<String>, String> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", file.display())),
    }
}

/// A name in the same folder that nobody can have foreseen.
fn beside(file: &Path) -> Option<PathBuf> {
    let mut number = [0; 8];
    getrandom::fill(&mut number).ok()?;
    let mut name = file.as_os_str().to_owned();
    name.push(format!(".{:016x}.new", u64::from_le_bytes(number)));
    Some(name.into())
}

fn write(beside: &Path, text: &str, old: Option<&Metadata>) -> io::Result<()> {
    let mut new = OpenOptions::new().write(true).create_new(true).mode(MODE).open(beside)?;
    if let Some(old) = old {
        keep_owner(&new, old)?;
        new.set_permissions(Permissions::from_mode(old.permissions().mode() & 0o7777))?;
    }
    new.write_all(text.as_bytes())?;
    new.sync_all()
}

/// A broker that runs as another user reads it afterwards as it did before.
fn keep_owner(new: &File, old: &Metadata) -> io::Result<()> {
    let now = new.metadata()?;
    if (now.uid(), now.gid()) == (old.uid(), old.gid()) {
        return Ok(());
    }
    fchown(new, Some(old.uid()), Some(old.gid())).map_err(|error| {
        let words = format!("its owner cannot be kept ({error}): run this as its owner or as root");
        io::Error::new(error.kind(), words)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
    use std::path::Path;
    use std::sync::Barrier;

    use super::edit_file;

    fn add(file: &Path, line: &str) -> Result<(), String> {
        edit_file(file, |text| Ok(format!("{}{line}\n", text.unwrap_or_default())))
    }

    fn read(file: &Path) -> String {
        std::fs::read_to_string(file).expect("it is there")
    }

    fn names(folder: &Path) -> usize {
        std::fs::read_dir(folder).expect("a folder").count()
    }

    #[test]
    fn a_file_keeps_its_owner_and_who_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("passwords");
        add(&file, "a").expect("written");
        let mode = |file: &Path| std::fs::metadata(file).expect("there").mode() & 0o7777;
        assert_eq!(mode(&file), 0o600);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("set");
        // Who is not root can give nothing away, and has nothing to keep but its own.
        let _ = chown(&file, Some(65_534), Some(65_534));
        let owner = |file: &Path| {
            let data = std::fs::metadata(file).expect("there");
            (data.uid(), data.gid())
        };
        let before = owner(&file);
        add(&file, "b").expect("written");
        assert_eq!((owner(&file), mode(&file), read(&file)), (before, 0o640, "a\nb\n".into()));
        assert_eq!(names(folder.path()), 1, "nothing is left beside it");
    }

    #[test]
    fn what_lies_beside_is_not_touched_and_a_link_leads_to_what_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let [file, victim, link] =
            ["passwords", "victim", "link"].map(|name| folder.path().join(name));
        std::fs::write(&victim, "precious").expect("written");
        std::fs::write(&file, "a\n").expect("written");
        symlink(&victim, folder.path().join("passwords.new")).expect("a link");
        symlink(&file, &link).expect("a link");
        add(&link, "b").expect("written");
        assert_eq!((&*read(&file), &*read(&victim)), ("a\nb\n", "precious"));
        assert!(std::fs::symlink_metadata(&link).expect("there").is_symlink());
    }

    #[test]
    fn of_many_edits_at_once_none_is_lost() {
        const EDITS: usize = 16;
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("passwords");
        let together = Barrier::new(EDITS);
        std::thread::scope(|scope| {
            for number in 0..EDITS {
                let (file, together) = (&file, &together);
                scope.spawn(move || {
                    together.wait();
                    add(file, &number.to_string()).expect("written");
                });
            }
        });
        assert_eq!(read(&file).lines().count(), EDITS);
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("passwords");
        std::fs::write(&file, "a\n").expect("written");
        assert_eq!(edit_file(&file, |_| Err("no".into())), Err("no".into()));
        assert_eq!((&*read(&file), names(folder.path())), ("a\n", 1));
    }
}
