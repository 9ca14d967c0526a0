//! Reads around sectors that the disk cannot read. Never passes over any other failure.

use std::io;

use rustix::io::Errno;

use crate::disk::File;

/// What a disk cannot read is tried again in pieces of this size.
const SECTOR_BYTES: u64 = 4096;

/// Fill `out` from `position`, with zeros where the disk cannot read; returns how many bytes
/// those are.
pub(crate) fn read_around(file: &dyn File, out: &mut [u8], position: u64) -> io::Result<u64> {
    if !is_bad_sector(file.read_exact_at(out, position))? {
        return Ok(0);
    }
    let (mut rest, mut at, mut lost) = (out, position, 0);
    while !rest.is_empty() {
        let length = SECTOR_BYTES - at % SECTOR_BYTES;
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
        let (piece, behind) = rest.split_at_mut(length);
        if is_bad_sector(file.read_exact_at(piece, at))? {
            piece.fill(0);
            lost += length as u64;
        }
        (rest, at) = (behind, at + length as u64);
    }
    Ok(lost)
}

/// False if it was read. A medium error has a kind of its own that cannot be named; what may be
/// better the next time has another one.
fn is_bad_sector(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::Error::from(Errno::IO).kind() => Ok(true),
        Err(error) => Err(error),
    }
}
