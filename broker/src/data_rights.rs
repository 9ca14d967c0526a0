//! Whether others on this machine get at what is stored. Says so, and changes nothing: rights of a
//! folder that is there are its owner's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Writing by the group, and anything by those who are neither owner nor group.
const OF_OTHERS: u32 = 0o027;

/// What is to be said of a folder that is there.
pub(crate) fn doubt(folder: &Path) -> Option<String> {
    let mode = fs::metadata(folder).ok()?.permissions().mode() & 0o777;
    let folder = folder.display();
    (mode & OF_OTHERS != 0).then(|| {
        format!(
            "others on this machine get at the data folder {folder} (its mode is {mode:o}): \
             chmod 750 {folder}"
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::doubt;

    #[test]
    fn a_folder_that_is_open_to_others_is_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        for (mode, is_open) in [
            (0o700, false),
            (0o750, false),
            (0o755, true),
            (0o751, true),
            (0o770, true),
            (0o777, true),
        ] {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).expect("ours");
            let doubt = doubt(folder.path());
            assert_eq!(doubt.is_some(), is_open, "{mode:o} {doubt:?}");
        }
        assert_eq!(doubt(&folder.path().join("missing")), None);
    }
}
