//! The single changes that mend a folder, each durable before the next. Never decides which.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use tidewire_proto::record::Batch;

use super::finding::{Hole, Mend};
use super::view::{CACHE_BYTES, names_in};
use crate::disk::{Disk, File, OpenMode, salvage};
use crate::options::StoreOptions;
use crate::segment::{index_name, is_sieves, rebuild_index, segment_name, sieves_name};
use crate::tables::{Database, Layer, Manifest, SegmentRow};
use crate::wal::{WAL_DIR, WalFile, create_dir, epoch_of, name_of};

/// Zeros are written this many at once.
const BLANK_BYTES: usize = 1 << 20;
/// Streams have their folders here.
const STREAMS_DIR: &str = "streams";
/// Up to this length, a hole is filled with one gap of its length.
const GAP_BYTES_MAX: u64 = 64 << 20;

/// What became of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mended {
    /// It is put right; so many bytes of what was there could not be read.
    Done(u64),
    /// It cannot be.
    Not,
}

/// Put one thing right. What goes is kept in the folder `backup` first, if one is named.
pub(super) fn mend(disk: &Arc<dyn Disk>, mend: &Mend, backup: Option<&str>) -> io::Result<Mended> {
    let mut keeper = Keeper { disk: &**disk, backup, unread: 0 };
    match mend {
        Mend::Nothing => return Ok(Mended::Not),
        Mend::CutLog { epoch, position, is_first } => {
            cut_log(&mut keeper, (*epoch, *position), *is_first)?;
        }
        Mend::Lengthen { epoch } => lengthen(&**disk, *epoch)?,
        Mend::Gap(hole) => return fill(disk, &mut keeper, hole),
        Mend::Index { folder, segment, .. } => {
            keeper.set_aside(&index_name(folder, segment))?;
            rebuild_index(&**disk, folder, segment)?;
        }
    }
    Ok(Mended::Done(keeper.unread))
}

/// The log ends at this byte of this file; nothing behind it is left.
fn cut_log(
    keeper: &mut Keeper<'_>,
    (epoch, position): (u64, u64),
    is_first: bool,
) -> io::Result<()> {
    let disk = keeper.disk;
    forget_sieves(disk)?;
    let mut file_bytes = StoreOptions::default().wal_file_bytes;
    for name in names_in(disk, WAL_DIR)? {
        let Some(found) = epoch_of(&name).filter(|found| *found != epoch) else { continue };
        if let Ok(file) = WalFile::open(disk, found) {
            file_bytes = file.bytes;
        }
        if found > epoch {
            keeper.set_aside(&name_of(found))?;
        }
    }
    if let Ok(file) = WalFile::open(disk, epoch) {
        keeper.keep(&file.name(), &*file.file, (position, file.bytes))?;
        blank(&*file.file, position, file.bytes)?;
        return file.file.sync_data();
    }
    keeper.set_aside(&name_of(epoch))?;
    // The file that the checkpoint names must exist; any other one may end the log by its absence.
    if is_first {
        create_dir(disk)?;
        WalFile::create(disk, epoch, file_bytes)?;
    }
    Ok(())
}

/// Some may speak of records that were in the log and go now. They are made again.
fn forget_sieves(disk: &dyn Disk) -> io::Result<()> {
    for stream in names_in(disk, STREAMS_DIR)? {
        for partition in names_in(disk, &format!("{STREAMS_DIR}/{stream}"))? {
            let folder = format!("{STREAMS_DIR}/{stream}/{partition}");
            let names = names_in(disk, &folder)?;
            let sieves: Vec<_> = names.iter().filter(|name| is_sieves(name)).collect();
            for name in &sieves {
                disk.remove(&format!("{folder}/{name}"))?;
            }
            if !sieves.is_empty() {
                disk.sync_dir(&folder)?;
            }
        }
    }
    Ok(())
}

fn blank(file: &dyn File, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; BLANK_BYTES];
    while from < to {
        let length = usize::try_from(to - from).unwrap_or(BLANK_BYTES).min(BLANK_BYTES);
        file.write_all_at(&mut [IoSlice::new(&zeros[..length])], from)?;
        from += length as u64;
    }
    Ok(())
}

fn lengthen(disk: &dyn Disk, epoch: u64) -> io::Result<()> {
    let file = WalFile::open_any_length(disk, epoch)?;
    file.file.allocate(file.bytes)?;
    file.file.sync_data()
}

/// Put a gap where the hole is. At the end of a segment it may be shorter than what it replaces.
fn fill(disk: &Arc<dyn Disk>, keeper: &mut Keeper<'_>, hole: &Hole) -> io::Result<Mended> {
    let name = segment_name(&hole.folder, &hole.segment);
    keeper.set_aside(&sieves_name(&hole.folder, &hole.segment))?;
    let offsets = hole.offsets.1 - hole.offsets.0;
    let length = hole.bytes.1 - hole.bytes.0;
    if hole.is_tail {
        return fill_tail(disk, keeper, hole, &name);
    }
    let bytes =
        usize::try_from(length.min(GAP_BYTES_MAX + 1)).map_err(|_| ErrorKind::FileTooLarge)?;
    let fits = length <= GAP_BYTES_MAX;
    let gap = fits.then(|| Batch::gap(offsets, bytes, hole.timestamp)).flatten();
    let Some(gap) = gap else { return Ok(Mended::Not) };
    let file = disk.open(&name, OpenMode::Write)?;
    keeper.keep(&name, &*file, hole.bytes)?;
    put(&*file, &gap, hole.offsets.0, hole.bytes.0)?;
    Ok(Mended::Done(keeper.unread))
}

fn put(file: &dyn File, gap: &Batch, base: u64, position: u64) -> io::Result<()> {
    let (prefix, tail) = (gap.prefix(base), gap.tail());
    file.write_all_at(&mut [IoSlice::new(&prefix), IoSlice::new(&tail)], position)?;
    file.sync_data()
}

/// The rest of a segment, or all of it. The file is right before the checkpoint says so.
fn fill_tail(
    disk: &Arc<dyn Disk>,
    keeper: &mut Keeper<'_>,
    hole: &Hole,
    name: &str,
) -> io::Result<Mended> {
    let mut bytes = hole.bytes.0;
    let (from, to) = hole.offsets;
    let gap = Batch::gap(to - from, Batch::gap_bytes(), hole.timestamp);
    if gap.is_none() && from != to {
        return Ok(Mended::Not);
    }
    match disk.open(name, OpenMode::Write) {
        Ok(file) => {
            let end = file.len()?;
            keeper.keep(name, &*file, (hole.bytes.0, end.min(hole.segment.bytes)))?;
            if let Some(gap) = &gap {
                put(&*file, gap, from, hole.bytes.0)?;
            }
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let Some(gap) = &gap else { return Ok(Mended::Not) };
            disk.create_dir(&hole.folder)?;
            let temporary = format!("{}/{:020}.tmp", hole.folder, hole.segment.base);
            put(&*disk.open(&temporary, OpenMode::Create)?, gap, from, 0)?;
            disk.rename(&temporary, name)?;
            disk.sync_dir(&hole.folder)?;
        }
        Err(error) => return Err(error),
    }
    bytes += gap.map_or(0, |gap| gap.bytes().len() as u64);
    record_length(disk, hole, bytes)?;
    Ok(Mended::Done(keeper.unread))
}

/// Tell the checkpoint how long the segment is now.
fn record_length(disk: &Arc<dyn Disk>, hole: &Hole, bytes: u64) -> io::Result<()> {
    let failed = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
    let database = Database::open(Arc::clone(disk), CACHE_BYTES).map_err(|e| failed(&e))?;
    let (checkpoint, _) = database.load().map_err(|error| failed(&error))?;
    database.release()?;
    let segment = hole.segment;
    let row = SegmentRow {
        partition: hole.partition,
        base: segment.base,
        next: segment.next,
        bytes,
        max_timestamp: segment.max_timestamp,
        sealed: segment.sealed,
    };
    let manifest = Manifest { segments: vec![row], ..Manifest::default() };
    let advanced = database.advance(&Layer::default(), &manifest, checkpoint);
    advanced.map_err(|(_, error)| failed(&error))
}

/// Keeps what is taken away, durable before it goes.
struct Keeper<'a> {
    disk: &'a dyn Disk,
    backup: Option<&'a str>,
    /// Bytes that the disk could not read.
    unread: u64,
}

impl Keeper<'_> {
    /// Keep bytes of a file, without the zeros at their end. What the disk cannot read is kept as
    /// zeros, and counted.
    fn keep(&mut self, name: &str, file: &dyn File, (from, to): (u64, u64)) -> io::Result<()> {
        let length =
            usize::try_from(to.saturating_sub(from)).map_err(|_| ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; length];
        self.unread += salvage(file, &mut bytes, from)?;
        let Some(backup) = self.backup else { return Ok(()) };
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if used == 0 {
            return Ok(());
        }
        let copy = format!("{backup}/{name}.from-{from}");
        self.make_folder(&copy)?;
        let kept = self.disk.open(&copy, OpenMode::Create)?;
        kept.write_all_at(&mut [IoSlice::new(&bytes[..used])], 0)?;
        kept.sync_data()?;
        self.sync_folders(&copy)
    }

    /// Move a whole file out of the way, if there is one.
    fn set_aside(&self, name: &str) -> io::Result<()> {
        match self.disk.open(name, OpenMode::Read) {
            Ok(_) => (),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        let (folder, _) = name.rsplit_once('/').unwrap_or_default();
        let Some(backup) = self.backup else { return self.disk.remove(name) };
        let place = format!("{backup}/{name}");
        self.make_folder(&place)?;
        self.disk.rename(name, &place)?;
        self.sync_folders(&place)?;
        self.disk.sync_dir(folder)
    }

    fn make_folder(&self, file: &str) -> io::Result<()> {
        let (folder, _) = file.rsplit_once('/').unwrap_or_default();
        self.disk.create_dir(folder)
    }

    /// Every folder on the way to a file.
    fn sync_folders(&self, file: &str) -> io::Result<()> {
        let mut at = file;
        while let Some((folder, _)) = at.rsplit_once('/') {
            self.disk.sync_dir(folder)?;
            at = folder;
        }
        self.disk.sync_dir("")
    }
}
