//! `tidewire backup` and `tidewire restore`: a copy of a data folder, made by the broker that runs
//! on it or, when none does, by us; and back. Each copy is checked before it is called one.

use std::fs;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use tidewire_store::inspect::{Verdict, verify};
use tidewire_store::{Disk, RealDisk};

use crate::backup::{Answer, Request};

/// Last of all: without it a broker does not start.
const VERSION: &str = "VERSION";
const LOCK: &str = "LOCK";
/// As the broker makes the files of its data folder.
const FILE_MODE: u32 = 0o640;
/// How often it is looked what the broker says.
const LOOK: Duration = Duration::from_millis(100);
/// It looks every second whether it is asked.
const ANSWERS_WITHIN: Duration = Duration::from_secs(120);

#[derive(Clone, Debug, Args)]
pub(super) struct Backup {
    /// A folder that is not there yet, or empty; the broker must be able to write there.
    to: PathBuf,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Restore {
    /// A folder that `tidewire backup` made.
    from: PathBuf,
}

/// Makes a backup of the data folder; what there is to say, and whether all is well.
pub(super) fn back_up(backup: &Backup, data: &Path) -> Result<(String, bool), String> {
    let to = std::path::absolute(&backup.to).map_err(|error| error.to_string())?;
    let data = data.canonicalize().map_err(|error| format!("{}: {error}", data.display()))?;
    if to.starts_with(&data) {
        return Err(format!("{} is in the data folder itself", to.display()));
    }
    let own = RealDisk::new(&data);
    let made = match own.lock(LOCK) {
        Ok(()) => {
            refuse_occupied(&to)?;
            copy_all(&data, &to).map(|bytes| format!("{bytes} bytes; no broker was running"))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => by_the_broker(&data, &to),
        Err(error) => return Err(format!("{}: {error}", data.display())),
    };
    drop(own);
    let made = made?;
    let (findings, is_good) = check(&to)?;
    let words = match is_good {
        true => format!("ok: {} is a backup: {made}{findings}", to.display()),
        false => format!("{} is damaged: {made}{findings}", to.display()),
    };
    Ok((words, is_good))
}

/// Makes a data folder of a backup.
pub(super) fn restore(restore: &Restore, data: &Path) -> Result<(String, bool), String> {
    let from = &restore.from;
    if !from.join(VERSION).is_file() {
        return Err(format!("{} is no whole backup: it has no file VERSION", from.display()));
    }
    refuse_occupied(data)?;
    let (findings, is_good) = check(from)?;
    if !is_good {
        let what = format!("{} is damaged, nothing was restored", from.display());
        return Ok((format!("{what}{findings}"), false));
    }
    let bytes = copy_all(from, data)?;
    let (findings, is_good) = check(data)?;
    if !is_good {
        // No broker is to start on it.
        let _ = fs::remove_file(data.join(VERSION));
        return Ok((format!("{} was not copied as it is{findings}", from.display()), false));
    }
    let (from, shown) = (from.display(), data.display());
    let words = format!("ok: {shown} holds what {from} does: {bytes} bytes, all checked{findings}");
    Ok((format!("{words}\nstart a broker on it: tidewire --data {shown}"), true))
}

fn by_the_broker(data: &Path, to: &Path) -> Result<String, String> {
    let asked = Request::make(data, to).map_err(|error| format!("{}: {error}", data.display()))?;
    let began = Instant::now();
    loop {
        sleep(LOOK);
        match asked.answer() {
            Some(Answer::Done(report)) => {
                let (files, bytes) = (report.files, report.bytes);
                return Ok(format!("{files} files, {bytes} bytes, made by the running broker"));
            }
            Some(Answer::Failed(words)) => return Err(words),
            Some(Answer::Waiting | Answer::Working(..)) => (),
            None if began.elapsed() < ANSWERS_WITHIN => (),
            None => {
                return Err("the broker that runs on the data folder does not answer".into());
            }
        }
        if RealDisk::new(data).lock(LOCK).is_ok() {
            return Err("the broker ended meanwhile; try again".into());
        }
    }
}

fn refuse_occupied(folder: &Path) -> Result<(), String> {
    match folder.read_dir().map(|mut found| found.next().is_none()) {
        Ok(true) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Ok(false) => {
            Err(format!("{} is not empty: name a folder that is not there yet", folder.display()))
        }
        Err(error) => Err(format!("{}: {error}", folder.display())),
    }
}

/// Reads every byte of it; findings in words.
fn check(folder: &Path) -> Result<(String, bool), String> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder));
    let verdict = verify(&disk, &mut |_| ());
    let Verdict { findings, .. } = verdict.map_err(|error| format!("{error:?}"))?;
    let line = |text: String, found: &tidewire_store::inspect::Finding| {
        format!("{text}\n{} byte {}: {}", found.file, found.position, found.what)
    };
    Ok((findings.iter().fold(String::new(), line), findings.is_empty()))
}

/// Every file that is a part of a data folder, synced; how many bytes.
fn copy_all(from: &Path, to: &Path) -> Result<u64, String> {
    let failed = |error: io::Error| format!("{} to {}: {error}", from.display(), to.display());
    let bytes = copy_folder(from, to, true).map_err(failed)?;
    let last = copy_file(&from.join(VERSION), &to.join(VERSION)).map_err(failed)?;
    sync(to).map_err(failed)?;
    Ok(bytes + last)
}

fn copy_folder(from: &Path, to: &Path, is_top: bool) -> io::Result<u64> {
    // With the rights of a data folder, whatever those of the copy were.
    RealDisk::new(to).create_dir("")?;
    let mut bytes = 0;
    for entry in from.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            bytes += copy_folder(&entry.path(), &to.join(&name), false)?;
        } else if !(is_left(&shown) || is_top && *shown == *VERSION) {
            bytes += copy_file(&entry.path(), &to.join(&name))?;
        }
    }
    sync(to)?;
    Ok(bytes)
}

/// Of one run of a broker, or never finished.
fn is_left(name: &str) -> bool {
    name == LOCK || name.starts_with("backup.") || name.ends_with(".tmp")
}

fn copy_file(from: &Path, to: &Path) -> io::Result<u64> {
    let mut options = fs::OpenOptions::new();
    let mut copy = options.write(true).create(true).truncate(true).mode(FILE_MODE).open(to)?;
    let bytes = io::copy(&mut fs::File::open(from)?, &mut copy)?;
    copy.sync_all()?;
    Ok(bytes)
}

fn sync(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}
