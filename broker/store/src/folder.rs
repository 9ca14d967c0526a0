//! The data folder as a whole: is it ours, of which version, and the making of a new one.

use std::io::{self, ErrorKind, IoSlice};

use crate::disk::{Disk, OpenMode};
use crate::error::OpenError;
use crate::tables::{Checkpoint, Database};
use crate::wal::{FRAMES_FROM, WAL_DIR, WalFile, create_dir, epoch_of, first_bytes};

/// Locked while the folder is in use.
pub(crate) const LOCK: &str = "LOCK";
/// Written last when a folder is made: with it, everything else is there.
pub(crate) const VERSION: &str = "VERSION";
const VERSION_TEMPORARY: &str = "VERSION.tmp";
/// The format that this build writes, and the newest it reads.
const FORMAT: u32 = 1;
const FORMAT_LINE: &str = "tidewire data folder, format ";
/// Where a new store begins.
const FIRST: Checkpoint = Checkpoint { epoch: 1, next_lsn: 1 };

/// Make sure that there is a data folder of a version that we know, making it if there is none.
pub(crate) fn prepare(disk: &dyn Disk, wal_file_bytes: u64) -> Result<(), OpenError> {
    if let Some(text) = read_version(disk)? {
        return check_version(&text);
    }
    if holds_data(disk)? {
        return Err(OpenError::Missing { file: VERSION.into() });
    }
    create_dir(disk)?;
    WalFile::create(disk, FIRST.epoch, first_bytes(wal_file_bytes))?;
    Database::create(disk, FIRST).map_err(|error| OpenError::Io(error.to_string()))?;
    let file = disk.open(VERSION_TEMPORARY, OpenMode::Create)?;
    let text = format!("{FORMAT_LINE}{FORMAT}\n");
    file.write_all_at(&mut [IoSlice::new(text.as_bytes())], 0)?;
    file.sync_data()?;
    disk.rename(VERSION_TEMPORARY, VERSION)?;
    disk.sync_dir("")?;
    Ok(())
}

/// Is there a data folder of a version that we know? Makes nothing.
pub(crate) fn check(disk: &dyn Disk) -> Result<(), OpenError> {
    match read_version(disk)? {
        Some(text) => check_version(&text),
        None => Err(OpenError::Missing { file: VERSION.into() }),
    }
}

fn read_version(disk: &dyn Disk) -> Result<Option<String>, OpenError> {
    let file = match disk.open(VERSION, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let length = usize::try_from(file.len()?.min(1024)).expect("at most 1024");
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn check_version(text: &str) -> Result<(), OpenError> {
    let number = text.strip_prefix(FORMAT_LINE).and_then(|rest| rest.trim_end().parse().ok());
    match number {
        Some(FORMAT) => Ok(()),
        Some(found) if found > FORMAT => Err(OpenError::NewerVersion { found, known: FORMAT }),
        _ => Err(OpenError::Damaged {
            file: VERSION.into(),
            position: 0,
            what: "it does not name a format".into(),
        }),
    }
}

/// A folder without VERSION was either never finished, and then holds nothing, or lost it.
fn holds_data(disk: &dyn Disk) -> Result<bool, OpenError> {
    if disk.list("")?.iter().any(|name| name == "streams") {
        return Ok(true);
    }
    let names = match disk.list(WAL_DIR) {
        Ok(names) => names,
        Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    let epochs: Vec<u64> = names.iter().filter_map(|name| epoch_of(name)).collect();
    match epochs[..] {
        [] => Ok(Database::exists(disk)?),
        [epoch] if epoch == FIRST.epoch => Ok(!is_unused(disk, epoch)?),
        _ => Ok(true),
    }
}

/// Nothing but zeros where frames would be.
fn is_unused(disk: &dyn Disk, epoch: u64) -> io::Result<bool> {
    let file = WalFile::open(disk, epoch)?;
    let mut front = [0; 64];
    file.file.read_exact_at(&mut front, FRAMES_FROM)?;
    Ok(front == [0; 64])
}
