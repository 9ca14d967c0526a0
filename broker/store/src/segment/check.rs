//! Whether the index beside a sealed segment is what its segment says, and making it again.
//! Never changes a segment.

use std::io::{self, ErrorKind};

use super::index::SparseIndex;
use super::name::{index_name, segment_name};
use crate::disk::{Disk, OpenMode};
use crate::partition::Segment;

/// What is wrong with the index of a sealed segment that is itself in order, if anything is.
pub(crate) fn check_index(
    disk: &dyn Disk,
    folder: &str,
    segment: &Segment,
) -> io::Result<Option<&'static str>> {
    let file = match disk.open(&index_name(folder, segment), OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some("it is missing")),
        Err(error) => return Err(error),
    };
    let length = usize::try_from(file.len()?).map_err(|_| ErrorKind::FileTooLarge)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    let Some(found) = SparseIndex::decode(&bytes, segment.next) else {
        return Ok(Some("its checksum is wrong"));
    };
    let file = disk.open(&segment_name(folder, segment), OpenMode::Read)?;
    let is_right = found == SparseIndex::build(&*file, segment)?;
    Ok((!is_right).then_some("it does not say what its segment says"))
}

/// Make the index again from its segment, durable.
pub(crate) fn rebuild_index(disk: &dyn Disk, folder: &str, segment: &Segment) -> io::Result<()> {
    let file = disk.open(&segment_name(folder, segment), OpenMode::Read)?;
    SparseIndex::build(&*file, segment)?.save(disk, folder, segment)?;
    disk.sync_dir(folder)
}
