//! Takes away files of segments that no row names any more. Never decides which.

use std::collections::HashSet;
use std::io;

use super::name::{BATCHES, INDEX, SIEVES, TOPICS, file_name, is_sieves, parse};
use crate::disk::Disk;
use crate::partition::{Partition, Segment};

/// Remove the files of a segment. One that stays behind is only space: the next start finds it.
pub(crate) fn remove(disk: &dyn Disk, partition: &Partition, segment: &Segment) {
    for kind in [BATCHES, INDEX, TOPICS, SIEVES] {
        remove_file(disk, &file_name(&partition.folder, segment, kind));
    }
}

/// Remove what a segment that has a topic index needs no more.
pub(crate) fn remove_sieves(disk: &dyn Disk, partition: &Partition, segment: &Segment) {
    remove_file(disk, &file_name(&partition.folder, segment, SIEVES));
}

/// One that stays behind is only space.
pub(super) fn remove_file(disk: &dyn Disk, name: &str) {
    match disk.remove(name) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(name, %error, "a file of a segment stays behind");
        }
        _ => (),
    }
}

/// Remove what an earlier run left in the partition's folder. The checkpoint only makes files
/// behind the last segment: those are not looked at.
pub(crate) fn sweep(disk: &dyn Disk, partition: &Partition) -> io::Result<()> {
    let (known, frontier) = partition.segment_files();
    let sifted: HashSet<u64> =
        partition.unrefined_segments().iter().map(|segment| segment.base).collect();
    let known: HashSet<(u64, u32)> = known.into_iter().collect();
    let names = match disk.list(&partition.folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        names => names?,
    };
    for name in names {
        let Some(found) = parse(&name).filter(|(base, _)| *base < frontier) else { continue };
        let is_needed = !is_sieves(&name) || sifted.contains(&found.0);
        if known.contains(&found) && is_needed && !name.ends_with(".tmp") {
            continue;
        }
        let name = format!("{}/{name}", partition.folder);
        tracing::info!(name, "a file that an earlier run left is removed");
        disk.remove(&name)?;
    }
    Ok(())
}
