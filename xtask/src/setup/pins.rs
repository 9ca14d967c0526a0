//! What says whether something is installed as it should be: the text of files. Never writes.

use std::fs;
use std::path::Path;

/// These files of a folder, one after the other.
pub(super) fn read(folder: &Path, names: &[&str]) -> Result<String, String> {
    let texts = names.iter().map(|name| {
        let file = folder.join(name);
        fs::read_to_string(&file)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))
    });
    texts.collect()
}
