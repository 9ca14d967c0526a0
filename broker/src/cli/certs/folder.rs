//! Files of certificates: written once, keys for their owner alone. Makes none.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The list of the revoked.
pub(super) const LIST: &str = "crl.pem";
/// Keys are for nobody else.
const KEY_MODE: u32 = 0o600;
const CERT_MODE: u32 = 0o644;

/// Where a certificate and its key go.
pub(super) struct Files {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
}

impl Files {
    /// Named after `name`, as far as a file can be.
    pub(super) fn named(dir: &Path, name: &str) -> Self {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let stem: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
        let is_taken = stem.starts_with('.') || format!("{stem}.pem") == LIST;
        let stem = if is_taken { format!("_{stem}") } else { stem };
        let file = |end| dir.join(format!("{stem}{end}"));
        Self { cert: file(".pem"), key: file("-key.pem") }
    }

    /// Writes both; never over others.
    pub(super) fn write(&self, cert: &str, key: &str) -> Result<(), String> {
        for path in [&self.cert, &self.key] {
            if path.exists() {
                return Err(format!("{} is there already: move it away first", path.display()));
            }
        }
        write(&self.key, key, KEY_MODE)?;
        write(&self.cert, cert, CERT_MODE)
    }
}

/// Waits until no other run changes what is in the folder, as long as the answer is held.
pub(super) fn lock(dir: &Path) -> Result<File, String> {
    let locked = File::open(dir).and_then(|folder| folder.lock().map(|()| folder));
    locked.map_err(|error| format!("cannot lock {}: {error}", dir.display()))
}

/// Makes the folder if it is missing.
pub(super) fn make(dir: &Path) -> Result<(), String> {
    fs::create_dir_all(dir).map_err(|error| format!("cannot make {}: {error}", dir.display()))
}

pub(super) fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// In one moment: a broker may be reading what it replaces.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), String> {
    let beside = path.with_extension("new");
    // What an earlier try left behind.
    let _ = fs::remove_file(&beside);
    write(&beside, text, CERT_MODE)?;
    fs::rename(&beside, path).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| format!("cannot write {}: {error}", path.display()))
}
