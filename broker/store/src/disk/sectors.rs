//! Reads around sectors that the disk cannot read. Never passes over any other failure, nor over a
//! disk that reads nothing at all.

use std::io;
use std::ops::Range;

use rustix::io::Errno;

use super::access::File;

/// What a disk cannot read is tried again in pieces of this size.
const SECTOR_BYTES: u64 = 4096;
/// So many sectors side by side may be bad. Where not one of more can be read it is the disk that
/// does not answer: perhaps it does the next time.
const BAD_MAX: u64 = 4;

/// Fill `out` from `position`, with zeros where the disk cannot read; returns how many bytes
/// those are. An error if nothing around there can be read.
pub(crate) fn read_around(file: &dyn File, out: &mut [u8], position: u64) -> io::Result<u64> {
    let unread = read_parts(file, out, position)?;
    Ok(unread.iter().map(|part| part.end - part.start).sum())
}

/// The same, answering which parts of the file those are.
pub(crate) fn read_parts(
    file: &dyn File,
    out: &mut [u8],
    position: u64,
) -> io::Result<Vec<Range<u64>>> {
    let Some(error) = bad_sector(file.read_exact_at(out, position))? else {
        return Ok(Vec::new());
    };
    let mut unread = Vec::new();
    let lost = read_pieces(file, out, position, &mut |part| unread.push(part))?;
    let is_all = lost == out.len() as u64;
    if is_all && !has_readable_neighbour(file, (position, position + lost))? {
        return Err(error);
    }
    Ok(unread)
}

/// The same, whatever the number of sectors that cannot be read: for whoever was told to save what
/// there is.
pub(crate) fn salvage(file: &dyn File, out: &mut [u8], position: u64) -> io::Result<u64> {
    match bad_sector(file.read_exact_at(out, position))? {
        Some(_) => read_pieces(file, out, position, &mut |_| ()),
        None => Ok(0),
    }
}

/// Whether all sectors of a file may be bad: if nothing of it can be read, perhaps the disk does
/// not answer.
pub(crate) fn is_too_small_to_tell(file: &dyn File) -> io::Result<bool> {
    Ok(file.len()?.div_ceil(SECTOR_BYTES) <= BAD_MAX)
}

fn read_pieces(
    file: &dyn File,
    out: &mut [u8],
    position: u64,
    lose: &mut dyn FnMut(Range<u64>),
) -> io::Result<u64> {
    let (mut rest, mut at, mut lost) = (out, position, 0);
    while !rest.is_empty() {
        let length = SECTOR_BYTES - at % SECTOR_BYTES;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        let (piece, behind) = rest.split_at_mut(length);
        if bad_sector(file.read_exact_at(piece, at))?.is_some() {
            piece.fill(0);
            lost += length as u64;
            lose(at..at + length as u64);
        }
        (rest, at) = (behind, at + length as u64);
    }
    Ok(lost)
}

/// Can a sector be read so near to these bytes that those between are no more than may be bad? A
/// file that has no more sectors than that is not asked.
fn has_readable_neighbour(file: &dyn File, (from, to): (u64, u64)) -> io::Result<bool> {
    let (first, last) = (from / SECTOR_BYTES, to.div_ceil(SECTOR_BYTES));
    let bytes = file.len()?;
    let sectors = bytes.div_ceil(SECTOR_BYTES);
    if sectors <= BAD_MAX {
        return Ok(true);
    }
    let reach = (BAD_MAX + 1).saturating_sub(last - first);
    let before = (first.saturating_sub(reach)..first).rev();
    for sector in before.chain(last..(last + reach).min(sectors)) {
        let at = sector * SECTOR_BYTES;
        let length = SECTOR_BYTES.min(bytes.saturating_sub(at));
        let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
        if bad_sector(file.read_exact_at(&mut piece, at))?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// `None` if it was read. A medium error has a kind of its own that cannot be named; what may be
/// better the next time has another one.
fn bad_sector(read: io::Result<()>) -> io::Result<Option<io::Error>> {
    match read {
        Ok(()) => Ok(None),
        Err(error) if error.kind() == io::Error::from(Errno::IO).kind() => Ok(Some(error)),
        Err(error) => Err(error),
    }
}
