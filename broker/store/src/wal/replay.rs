//! Reads the write-ahead log back, frame by frame, and finds its end. Decides what is a torn tail
//! and what is damage; changes nothing on disk.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use super::file::{FRAMES_FROM, WAL_DIR, WalFile, epoch_of};
use crate::disk::{Disk, read_parts};
use crate::frame::{Claim, FRAME_ALIGNMENT, FRAME_HEADER_BYTES, Frame};

/// So many times a file's length at most are checksummed for what turns out to be no frame.
const IN_VAIN_MAX: u64 = 4;

/// What the log holds behind the checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Replayed {
    /// Files with frames that are not checkpointed, oldest first.
    pub(crate) live: Vec<Arc<WalFile>>,
    /// The file behind them, if it can take frames as it is.
    pub(crate) ready: Option<Arc<WalFile>>,
    /// Files whose frames are all checkpointed.
    pub(crate) spare: Vec<Arc<WalFile>>,
    /// Files that hold nothing and are in the way.
    pub(crate) leftover: Vec<String>,
    /// The number of the file after the live and the ready ones.
    pub(crate) next_epoch: u64,
    /// The number of the next frame.
    pub(crate) next_lsn: u64,
    /// Frames read.
    pub(crate) frames: u64,
    /// Bytes of those frames.
    pub(crate) bytes: u64,
    /// Where a frame was begun and not finished.
    pub(crate) torn: Option<(String, u64)>,
    /// Where the last live file can go on: behind its frames, and no stray one lies there or in
    /// any file behind it that could be taken for the next.
    pub(crate) goes_on_at: Option<u64>,
    /// What may lie in the system's memory alone, oldest first.
    pub(crate) unproven: Vec<Unproven>,
    /// What the disk cannot read where no frame of the log is, or nothing but zeros of one: to be
    /// blanked before any is written, since it may hold a stray one, and be readable another time.
    pub(crate) unread: Vec<(Arc<WalFile>, Range<u64>)>,
}

/// Frames that are read, and that no frame behind them knows to have been synced: perhaps the
/// sync failed. The system then shows them as if they were on disk, and writes them no more.
#[derive(Debug)]
pub(crate) struct Unproven {
    pub(crate) file: Arc<WalFile>,
    pub(crate) position: u64,
    pub(crate) bytes: Vec<u8>,
    /// The number of the last of them.
    last: u64,
}

/// A frame and its place.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) file: &'a Arc<WalFile>,
    pub(crate) position: u64,
    pub(crate) frame: Frame<'a>,
}

/// Why the log cannot be read back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplayError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0} is missing")]
    Missing(String),
    #[error("{file} is damaged at byte {position}: {what}")]
    Damaged { file: String, position: u64, what: String },
}

/// Read every frame from file `epoch` on, where the first has the number `next_lsn`.
pub(crate) fn replay(
    disk: &dyn Disk,
    epoch: u64,
    next_lsn: u64,
    visit: &mut dyn FnMut(Found<'_>) -> Result<(), String>,
) -> Result<Replayed, ReplayError> {
    let (files, mut replayed) = open_all(disk, epoch)?;
    replayed.next_lsn = next_lsn;
    replayed.next_epoch = epoch;
    let mut contents = Contents::default();
    let mut end = None;
    for (index, file) in files.iter().enumerate() {
        let bytes = contents.read(file)?;
        match continuation(file, bytes, replayed.next_lsn) {
            Continuation::Next => (),
            Continuation::None => break,
            Continuation::Skips { found } => {
                let (file, position) = end.unwrap_or((file.name(), FRAMES_FROM));
                let what = format!("frame {} should be here, {found} follows", replayed.next_lsn);
                return Err(ReplayError::Damaged { file, position, what });
            }
        }
        let position = read_frames(file, bytes, &mut replayed, visit)?;
        // The frames were read from these bytes: zeros among them are what was written.
        replayed.note_unread(file, &contents, FRAMES_FROM)?;
        replayed.live.push(Arc::clone(&files[index]));
        replayed.next_epoch = file.epoch + 1;
        end = Some((file.name(), position));
    }
    find_the_end(&files, &mut contents, end, &mut replayed)?;
    Ok(replayed)
}

impl Replayed {
    /// What was read before and is not now is no bad sector: the disk failed for a moment, and
    /// what it holds below `from` is needed.
    fn note_unread(
        &mut self,
        file: &Arc<WalFile>,
        contents: &Contents,
        from: u64,
    ) -> io::Result<()> {
        for part in &contents.unread {
            let is_noted =
                |(of, known): &(Arc<WalFile>, Range<u64>)| of.epoch == file.epoch && known == part;
            if self.unread.iter().any(is_noted) {
                continue;
            }
            if part.start < from {
                let (name, Range { start, end }) = (file.name(), part);
                let what = format!("{name}: bytes {start} to {end} could be read, and cannot now");
                return Err(io::Error::other(what));
            }
            self.unread.push((Arc::clone(file), part.clone()));
        }
        Ok(())
    }
}

/// How a file carries on from the frames before it.
enum Continuation {
    Next,
    None,
    Skips { found: u64 },
}

fn continuation(file: &WalFile, bytes: &[u8], next_lsn: u64) -> Continuation {
    match frame_at(file, bytes, FRAMES_FROM) {
        Some(frame) if frame.lsn == next_lsn => Continuation::Next,
        // What was synced when it was written tells whether a frame before it is missing.
        Some(frame) if frame.durable >= next_lsn => Continuation::Skips { found: frame.lsn },
        Some(_) | None => Continuation::None,
    }
}

/// Visit the frames of one file; returns where they end.
fn read_frames(
    file: &Arc<WalFile>,
    bytes: &[u8],
    replayed: &mut Replayed,
    visit: &mut dyn FnMut(Found<'_>) -> Result<(), String>,
) -> Result<u64, ReplayError> {
    let mut position = FRAMES_FROM;
    let mut unproven = VecDeque::new();
    while let Some(frame) = frame_at(file, bytes, position) {
        if frame.lsn != replayed.next_lsn {
            break;
        }
        let (length, durable) = (frame.bytes(), frame.durable);
        replayed.unproven.retain(|before| before.last > durable);
        while unproven.pop_front_if(|(lsn, _)| *lsn <= durable).is_some() {}
        unproven.push_back((frame.lsn, position));
        visit(Found { file, position, frame }).map_err(|what| ReplayError::Damaged {
            file: file.name(),
            position,
            what,
        })?;
        replayed.next_lsn += 1;
        replayed.frames += 1;
        replayed.bytes += length;
        position = (position + length).next_multiple_of(FRAME_ALIGNMENT);
    }
    if let (Some((_, from)), Some((last, _))) = (unproven.front(), unproven.back()) {
        let bytes = part(bytes, *from, position).to_vec();
        let file = Arc::clone(file);
        replayed.unproven.push(Unproven { file, position: *from, bytes, last: *last });
    }
    Ok(position)
}

/// The gap behind the last frame of a file may lie behind its end.
fn part(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let place = |at| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
    &bytes[place(from)..place(to)]
}

/// Look behind the last frame: only what was never acknowledged may be lost there. A later frame
/// that knows the missing one was synced is proof of damage.
fn find_the_end(
    files: &[Arc<WalFile>],
    contents: &mut Contents,
    end: Option<(String, u64)>,
    replayed: &mut Replayed,
) -> Result<(), ReplayError> {
    let last = replayed.live.len().saturating_sub(1);
    let numbers = possible_numbers(&files[last..], replayed.next_lsn);
    replayed.goes_on_at = end.as_ref().map(|(_, position)| *position);
    for (index, file) in files.iter().enumerate().skip(last) {
        contents.read(file)?;
        let is_live = index < replayed.live.len();
        let from = match &end {
            Some((_, position)) if is_live => *position,
            _ => FRAMES_FROM,
        };
        replayed.note_unread(file, contents, from)?;
        if index <= replayed.live.len() {
            check_unread(file, contents, from, replayed.next_lsn)?;
        }
        let bytes = contents.read(file)?;
        let unfinished = frame_begins(file, bytes, from);
        let Strays { frames: strays, is_all, .. } = stray_frames(file, bytes, from, &numbers);
        if !is_all {
            let (file, position) = end.clone().unwrap_or((file.name(), from));
            let what = format!(
                "frame {} is not readable, and too much behind it pretends to be a frame",
                replayed.next_lsn
            );
            return Err(ReplayError::Damaged { file, position, what });
        }
        if let Some(frame) = strays.iter().find(|frame| frame.durable >= replayed.next_lsn) {
            let (file, position) = end.clone().unwrap_or((file.name(), from));
            let what =
                format!("frame {} is not readable, {} follows", replayed.next_lsn, frame.lsn);
            return Err(ReplayError::Damaged { file, position, what });
        }
        replayed.goes_on_at = replayed.goes_on_at.filter(|_| strays.is_empty());
        if replayed.torn.is_none() && (unfinished || !strays.is_empty()) {
            replayed.torn = Some((file.name(), from));
        }
        if is_live {
            continue;
        }
        if file.epoch == replayed.next_epoch && strays.is_empty() {
            replayed.ready = Some(Arc::clone(file));
        } else if file.epoch > replayed.next_epoch {
            replayed.leftover.push(file.name());
        }
    }
    replayed.next_epoch += u64::from(replayed.ready.is_some());
    Ok(())
}

/// What cannot be read where the log would go on is damage: nobody knows whether a commit that was
/// acknowledged lies there.
fn check_unread(
    file: &WalFile,
    contents: &Contents,
    position: u64,
    next_lsn: u64,
) -> Result<(), ReplayError> {
    let unread = contents.unread_of_frame(file, position);
    if unread == 0 {
        return Ok(());
    }
    let what = format!("the disk cannot read {unread} bytes where frame {next_lsn} would be");
    Err(ReplayError::Damaged { file: file.name(), position, what })
}

/// Show the whole frames of a file from a position on, whatever leads to them: what is cut off
/// with damage before them.
pub(crate) fn visit_strays(
    file: &WalFile,
    from: u64,
    visit: &mut dyn FnMut(&Frame<'_>),
) -> Result<(), ReplayError> {
    let mut contents = Contents::default();
    let bytes = contents.read(file)?;
    stray_frames(file, bytes, from, &(1..=u64::MAX)).frames.iter().for_each(visit);
    Ok(())
}

/// The numbers that frames behind the end can have.
fn possible_numbers(files: &[Arc<WalFile>], next_lsn: u64) -> RangeInclusive<u64> {
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    next_lsn..=next_lsn.saturating_add(bytes / FRAME_HEADER_BYTES as u64)
}

/// Whole frames of a file that no chain of frames leads to.
#[derive(Debug)]
struct Strays<'a> {
    frames: Vec<Frame<'a>>,
    /// Bytes of which a checksum was made in vain.
    in_vain: u64,
    /// Not given up before the end.
    is_all: bool,
}

/// Look for frames anywhere. What was sent to the broker lies there as well, and may be made to
/// look like frames: without a limit it could keep a start busy for hours.
fn stray_frames<'a>(
    file: &WalFile,
    bytes: &'a [u8],
    from: u64,
    numbers: &RangeInclusive<u64>,
) -> Strays<'a> {
    let limit = file.bytes.saturating_mul(IN_VAIN_MAX);
    let mut strays = Strays { frames: Vec::new(), in_vain: 0, is_all: true };
    let mut position = from;
    while position + FRAME_HEADER_BYTES as u64 <= bytes.len() as u64 {
        let rest = usize::try_from(position).map_or(&bytes[..0], |at| &bytes[at..]);
        position += FRAME_ALIGNMENT;
        let claim = Claim::read(rest, file.sign()).filter(|claim| claim.is_plausible(numbers));
        let Some(claim) = claim.filter(|claim| claim.bytes <= rest.len() as u64) else { continue };
        if let Some(frame) = Frame::parse(rest, file.sign(), file.salt) {
            position += (claim.bytes - 1) / FRAME_ALIGNMENT * FRAME_ALIGNMENT;
            strays.frames.push(frame);
            continue;
        }
        strays.in_vain += claim.bytes;
        if strays.in_vain > limit {
            strays.is_all = false;
            return strays;
        }
    }
    strays
}

fn frame_at<'a>(file: &WalFile, bytes: &'a [u8], position: u64) -> Option<Frame<'a>> {
    let rest = bytes.get(usize::try_from(position).ok()?..)?;
    Frame::parse(rest, file.sign(), file.salt)
}

/// A frame of this file was begun here, whole or not.
fn frame_begins(file: &WalFile, bytes: &[u8], position: u64) -> bool {
    let header = usize::try_from(position).ok().and_then(|at| bytes.get(at..));
    header.is_some_and(|rest| Frame::begins(rest, file.sign()))
}

/// The file that was read last, whole.
#[derive(Default)]
struct Contents {
    epoch: Option<u64>,
    bytes: Vec<u8>,
    /// What the disk could not read; zeros stand there.
    unread: Vec<Range<u64>>,
}

impl Contents {
    fn read(&mut self, file: &WalFile) -> Result<&[u8], ReplayError> {
        if self.epoch != Some(file.epoch) {
            self.epoch = None;
            let length = usize::try_from(file.bytes)
                .map_err(|_| io::Error::new(ErrorKind::FileTooLarge, file.name()))?;
            self.bytes.resize(length, 0);
            self.unread = read_parts(&*file.file, &mut self.bytes, 0)?;
            self.epoch = Some(file.epoch);
        }
        Ok(&self.bytes)
    }

    /// How much the disk could not read of the frame that is, or would be, at this position. What
    /// was acknowledged may lie there: a write that was under way could be read.
    fn unread_of_frame(&self, file: &WalFile, position: u64) -> u64 {
        let rest = usize::try_from(position).ok().and_then(|at| self.bytes.get(at..));
        let claim = rest.and_then(|rest| Claim::read(rest, file.sign()));
        let length = claim.map_or(FRAME_HEADER_BYTES as u64, |claim| claim.bytes);
        let end = position.saturating_add(length);
        let part = |part: &Range<u64>| part.end.min(end).saturating_sub(part.start.max(position));
        self.unread.iter().map(part).sum()
    }
}

/// All files in order; those before the checkpoint are spare, those from it on have no gap.
fn open_all(disk: &dyn Disk, epoch: u64) -> Result<(Vec<Arc<WalFile>>, Replayed), ReplayError> {
    let names = disk.list(WAL_DIR).map_err(|error| match error.kind() {
        ErrorKind::NotFound => ReplayError::Missing(WAL_DIR.into()),
        _ => error.into(),
    })?;
    let mut epochs: Vec<u64> = names.iter().filter_map(|name| epoch_of(name)).collect();
    epochs.sort_unstable();
    let mut replayed = Replayed::default();
    let unfinished = names.iter().filter(|name| name.ends_with(".tmp"));
    replayed.leftover = unfinished.map(|name| format!("{WAL_DIR}/{name}")).collect();
    let mut files = Vec::new();
    let mut expected = epoch;
    for found in epochs {
        if found < epoch {
            match WalFile::open(disk, found) {
                Ok(file) => replayed.spare.push(Arc::new(file)),
                Err(_) => replayed.leftover.push(format!("{WAL_DIR}/{found:020}.wal")),
            }
            continue;
        }
        if found != expected {
            break;
        }
        files.push(Arc::new(WalFile::open(disk, found)?));
        expected += 1;
    }
    let beyond = names.iter().filter_map(|name| epoch_of(name)).any(|found| found >= expected);
    if beyond || files.is_empty() {
        return Err(ReplayError::Missing(format!("{WAL_DIR}/{expected:020}.wal")));
    }
    Ok((files, replayed))
}

#[cfg(test)]
mod tests {
    use super::super::file::create_dir;
    use super::{FRAMES_FROM, IN_VAIN_MAX, ReplayError, Strays, WalFile, replay, stray_frames};
    use crate::disk::sim::SimDisk;
    use crate::disk::{Disk, OpenMode};
    use std::io::IoSlice;

    const BYTES: u64 = 256 << 10;

    /// A header every 40 bytes, each of which claims all that follows.
    fn fakes(sign: u64) -> Vec<u8> {
        let room = BYTES - FRAMES_FROM;
        let mut bytes = Vec::new();
        for n in 0..room / 40 {
            let length = u32::try_from(room - n * 40).expect("small");
            bytes.extend_from_slice(b"TwF1\0\0\0\0");
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(&1_u32.to_le_bytes());
            for number in [sign, n + 2, 0] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
        }
        bytes
    }

    /// What a search through a file full of fakes costs, and what a start says of it.
    fn search(is_plain: bool) -> (Result<(), ReplayError>, u64, bool) {
        let disk = SimDisk::new(4);
        create_dir(&*disk).expect("made");
        let made = WalFile::create(&*disk, 1, BYTES).expect("made");
        if is_plain {
            let file = disk.open(&made.name(), OpenMode::Write).expect("opens");
            let header = *b"TwWal001\x01\0\0\0\0\0\0\0SaltSalt\0\0\x04\0\0\0\0\0";
            let crc = crc_fast::crc32_iscsi(&header[..]);
            file.write_all_at(&mut [IoSlice::new(&header)], 0).expect("written");
            file.write_all_at(&mut [IoSlice::new(&crc.to_le_bytes())], 32).expect("written");
        }
        let file = WalFile::open(&*disk, 1).expect("a right header");
        // The epoch is all that a stranger can know.
        file.file.write_all_at(&mut [IoSlice::new(&fakes(1))], FRAMES_FROM).expect("written");
        let mut bytes = vec![0; usize::try_from(BYTES).expect("small")];
        file.file.read_exact_at(&mut bytes, 0).expect("readable");
        let Strays { in_vain, is_all, .. } = stray_frames(&file, &bytes, FRAMES_FROM, &(1..=9000));
        let replayed = replay(&*disk, 1, 1, &mut |_| Ok(())).map(|_| ());
        (replayed, in_vain, is_all)
    }

    #[test]
    fn a_file_full_of_what_pretends_to_be_frames_costs_the_start_no_checksum() {
        let (replayed, in_vain, is_all) = search(false);
        assert!(replayed.is_ok() && is_all, "{replayed:?}");
        assert_eq!(in_vain, 0);
    }

    #[test]
    fn in_a_file_of_an_earlier_build_the_search_for_frames_has_a_limit() {
        let (replayed, in_vain, is_all) = search(true);
        assert!(matches!(replayed, Err(ReplayError::Damaged { .. })) && !is_all, "{replayed:?}");
        assert!(in_vain <= (IN_VAIN_MAX + 1) * BYTES, "{in_vain} bytes");
    }
}
