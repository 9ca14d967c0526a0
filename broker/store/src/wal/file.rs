//! One file of the write-ahead log: name, header, preparation. Never its frames.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use crate::disk::{Disk, File, OpenMode, read_around};

/// The folder of the write-ahead log.
pub(crate) const WAL_DIR: &str = "wal";
/// Frames begin here: the header has a block of its own that no frame's write touches.
pub(crate) const FRAMES_FROM: u64 = 4096;

const MAGIC: [u8; 8] = *b"TwWal002";
/// Files of earlier builds: their frames name the epoch as it is.
const MAGIC_PLAIN: [u8; 8] = *b"TwWal001";
const HEADER_BYTES: usize = 40;
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
/// Synced at once when a file is filled, so that the writer's syncs need not wait for all of it.
const SYNC_EVERY: u64 = 1 << 20;

/// A file with a right header. Whoever holds the `Arc` may read: it is used again only when
/// nobody else does.
#[derive(Debug)]
pub(crate) struct WalFile {
    pub(crate) epoch: u64,
    pub(crate) salt: u64,
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn File>,
    magic: [u8; 8],
}

/// Make the folder durable.
pub(crate) fn create_dir(disk: &dyn Disk) -> io::Result<()> {
    disk.create_dir(WAL_DIR)?;
    disk.sync_dir("")
}

/// The number in a file's name, if it is a ready file of the write-ahead log.
pub(crate) fn epoch_of(name: &str) -> Option<u64> {
    name.strip_suffix(".wal").filter(|digits| digits.len() == 20)?.parse().ok()
}

/// The name of the file with that number, in the data folder.
pub(crate) fn name_of(epoch: u64) -> String {
    format!("{WAL_DIR}/{epoch:020}.wal")
}

impl WalFile {
    /// Its name in the data folder.
    pub(crate) fn name(&self) -> String {
        name_of(self.epoch)
    }

    /// What its frames name as their file. A payload that names the same would have to be looked
    /// at by whoever searches for frames, so that nobody must be able to foresee it.
    pub(crate) fn sign(&self) -> u64 {
        if self.magic == MAGIC_PLAIN { self.epoch } else { self.epoch ^ self.salt }
    }

    /// The same file, read in another way.
    pub(crate) fn through(&self, file: Arc<dyn File>) -> Self {
        let Self { epoch, salt, bytes, magic, .. } = *self;
        Self { epoch, salt, bytes, file, magic }
    }

    /// Make a file that commits can go to without a change to the file system: written in full
    /// once, so that its blocks are real. It has its name only when it is ready.
    pub(crate) fn create(disk: &dyn Disk, epoch: u64, bytes: u64) -> io::Result<Self> {
        let temporary = format!("{WAL_DIR}/{epoch:020}.tmp");
        let made = disk.open(&temporary, OpenMode::Create).and_then(|file| {
            fill(&*file, bytes)?;
            Self::enter_service(disk, file, epoch, bytes, &temporary)
        });
        if made.is_err() {
            // The space it took may be what is lacking; the next attempt empties it anyway.
            let _ = disk.remove(&temporary);
        }
        made
    }

    /// Take a file whose frames are all checkpointed into service under a new number.
    pub(crate) fn recycle(&self, disk: &dyn Disk, epoch: u64) -> io::Result<Self> {
        let temporary = format!("{WAL_DIR}/{epoch:020}.tmp");
        disk.rename(&self.name(), &temporary)?;
        Self::enter_service(disk, Arc::clone(&self.file), epoch, self.bytes, &temporary)
    }

    fn enter_service(
        disk: &dyn Disk,
        file: Arc<dyn File>,
        epoch: u64,
        bytes: u64,
        temporary: &str,
    ) -> io::Result<Self> {
        let made = Self { epoch, salt: disk.random(), bytes, file, magic: MAGIC };
        made.file.write_all_at(&mut [IoSlice::new(&made.header())], 0)?;
        made.file.sync_data()?;
        disk.rename(temporary, &made.name())?;
        disk.sync_dir(WAL_DIR)?;
        Ok(made)
    }

    /// Open a file that is in service and as long as it says.
    pub(crate) fn open(disk: &dyn Disk, epoch: u64) -> io::Result<Self> {
        let opened = Self::open_any_length(disk, epoch)?;
        if opened.file.len()? < opened.bytes {
            let (name, bytes) = (opened.name(), opened.bytes);
            let error = format!("{name}: the file is cut short, it had {bytes} bytes");
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(opened)
    }

    /// Open a file that is in service. A header that is not right is damage: the file had its
    /// name only after the header was synced.
    pub(crate) fn open_any_length(disk: &dyn Disk, epoch: u64) -> io::Result<Self> {
        let name = name_of(epoch);
        let file = disk.open(&name, OpenMode::Write)?;
        let mut header = [0; HEADER_BYTES];
        // A header that cannot be read is as bad as a wrong one.
        read_around(&*file, &mut header, 0)?;
        let number = |at: usize| {
            u64::from_le_bytes(header[at..at + 8].try_into().expect("the range is 8 long"))
        };
        let magic = if header[..8] == MAGIC_PLAIN { MAGIC_PLAIN } else { MAGIC };
        let opened = Self { epoch, salt: number(16), bytes: number(24), file, magic };
        if opened.header() != header {
            let error = format!("{name}: the header (bytes 0 to {HEADER_BYTES}) is damaged");
            return Err(io::Error::new(ErrorKind::InvalidData, error));
        }
        Ok(opened)
    }

    /// `magic 8 | epoch u64 | salt u64 | bytes u64 | crc u32 | zero u32`, little-endian.
    fn header(&self) -> [u8; HEADER_BYTES] {
        let mut header = [0; HEADER_BYTES];
        header[..8].copy_from_slice(&self.magic);
        header[8..16].copy_from_slice(&self.epoch.to_le_bytes());
        header[16..24].copy_from_slice(&self.salt.to_le_bytes());
        header[24..32].copy_from_slice(&self.bytes.to_le_bytes());
        let crc = crc_fast::crc32_iscsi(&header[..32]);
        header[32..36].copy_from_slice(&crc.to_le_bytes());
        header
    }
}

fn fill(file: &dyn File, bytes: u64) -> io::Result<()> {
    file.allocate(bytes)?;
    let mut at = 0;
    while at < bytes {
        let step = (bytes - at).min(ZEROS.len() as u64);
        let zeros = &ZEROS[..usize::try_from(step).expect("no longer than the zeros")];
        file.write_all_at(&mut [IoSlice::new(zeros)], at)?;
        at += step;
        if at.is_multiple_of(SYNC_EVERY) {
            file.sync_data()?;
        }
    }
    Ok(())
}
