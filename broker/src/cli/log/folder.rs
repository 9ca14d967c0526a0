//! The data folder that a command is about. Makes none.

use std::path::Path;
use std::sync::Arc;

use tidewire_store::{Disk, RealDisk};

/// One of these is in every data folder, however damaged.
const SIGNS: [&str; 4] = ["VERSION", "tables.redb", "wal", "streams"];

/// The folder, if there is one that looks like ours.
pub(super) fn open(folder: &Path) -> Result<Arc<dyn Disk>, String> {
    let shown = folder.display();
    let what = match folder {
        _ if !folder.exists() => "there is no such folder",
        _ if !folder.is_dir() => "it is not a folder",
        _ if !SIGNS.iter().any(|sign| folder.join(sign).exists()) => "it is not a data folder",
        _ => return Ok(Arc::new(RealDisk::new(folder))),
    };
    Err(format!("{shown}: {what}; name the data folder with --data DIR"))
}
