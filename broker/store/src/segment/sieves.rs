//! The sieves of a segment in a file beside it: a copy that spares reading the segment when the
//! store opens. Never needed: what is missing or damaged is made again. Never synced for the same
//! reason.

use std::io::{self, IoSlice};

use super::archive::Located;
use super::name::{SIEVES, file_name};
use crate::disk::{Disk, OpenMode};
use crate::partition::Segment;
use crate::sieve::{Run, Sieves};

/// A file that is longer than this share of its segment, and this much, is not ours.
const FILE_SHARE: u64 = 8;
const FILE_BYTES_MIN: u64 = 1 << 20;

/// What the file says, as far as it is whole and the segment reaches.
pub(crate) fn load_sieves(located: Located<'_>) -> Sieves {
    read(located).unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            let (folder, base) = (&located.partition.folder, located.segment.base);
            tracing::warn!(folder, base, %error, "the sieves of a segment are made again");
        }
        Sieves::new()
    })
}

fn read(located: Located<'_>) -> io::Result<Sieves> {
    let segment = located.segment;
    let name = file_name(&located.partition.folder, segment, SIEVES);
    let file = located.disk.open(&name, OpenMode::Read)?;
    let length = file.len()?.min(segment.bytes / FILE_SHARE + FILE_BYTES_MIN);
    let length = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let bytes = located.archive.meter.read_at(&*file, length, 0)?;
    let (mut sieves, mut rest) = (Sieves::new(), bytes.as_slice());
    while let Some((run, behind)) = Run::decode(rest, segment.base) {
        let follows = run.base() == sieves.next().unwrap_or(segment.base)
            && run.position() == sieves.end()
            && run.next() <= segment.next
            && run.end() <= segment.bytes;
        if !follows {
            break;
        }
        rest = behind;
        sieves.push(run, Some((length - rest.len()) as u64));
    }
    Ok(sieves)
}

/// Write one more run behind those in the file; returns how long it is then, if that worked.
/// Whether it counts is decided later: it is written over if not.
pub(crate) fn save_run(
    disk: &dyn Disk,
    folder: &str,
    segment: &Segment,
    (run, file_bytes): (&Run, Option<u64>),
) -> Option<u64> {
    let name = file_name(folder, segment, SIEVES);
    let at = file_bytes?;
    let write = || {
        let mode = if at == 0 { OpenMode::Create } else { OpenMode::Write };
        let file = disk.open(&name, mode)?;
        let bytes = run.encode(segment.base);
        file.write_all_at(&mut [IoSlice::new(&bytes)], at)?;
        let end = at + bytes.len() as u64;
        // An attempt that did not count may have left more.
        if file.len()? > end {
            file.set_len(end)?;
        }
        Ok(end)
    };
    let written: io::Result<u64> = write();
    written.inspect_err(|error| tracing::warn!(name, %error, "sieves are not kept")).ok()
}
