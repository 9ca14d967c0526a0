//! The sieves of a segment in a file beside it: a copy that spares reading the segment when the
//! store opens. Never needed: what is missing or damaged is made again. Never synced for the same
//! reason.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};

use super::archive::Located;
use super::name::{SIEVES, file_name};
use super::window::{AHEAD_BYTES, Window, open};
use crate::disk::{Disk, OpenMode};
use crate::partition::Segment;
use crate::sieve::{Run, RunBuilder, Sieves};

/// A run of sieves stands for at most about so much of a segment.
const RUN_STANDS_FOR: u64 = 64 << 20;
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

/// Read the segment from where its sieves end, and make what is missing. Done when nothing is, or
/// when it is damaged there, or stopped.
pub(crate) fn make_runs(
    located: Located<'_>,
    known: &Sieves,
    stop: &AtomicBool,
) -> io::Result<(Vec<Run>, bool)> {
    let begin = (known.next().unwrap_or(located.segment.base), known.end());
    let mut window = Window::open(located, open(located)?, begin, AHEAD_BYTES * 4)?;
    let mut builder = RunBuilder::new(begin.0, begin.1);
    let mut runs = Vec::new();
    while let Some(stored) = window.batch()? {
        if window.is_damaged() || stop.load(Ordering::Relaxed) {
            break;
        }
        builder.add(&stored.batch, window.next_offset());
        if builder.stands_for() >= RUN_STANDS_FOR {
            let next = RunBuilder::new(window.next_offset(), builder.end());
            runs.extend(std::mem::replace(&mut builder, next).finish());
        }
    }
    runs.extend(builder.finish());
    Ok((runs, window.is_damaged()))
}
