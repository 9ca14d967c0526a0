//! `tidewire backup` and `tidewire restore`: a copy of a data folder, made by the broker that runs
//! on it or, when none does, by us; and back. Each copy is checked before it is called one.

mod asked;
mod copy;
mod place;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tidewire_store::inspect::{Finding, Verdict, verify};
use tidewire_store::{Disk, RealDisk};

use super::log::finding;
use super::progress::Line;
use super::remote::Trouble;
use super::wording::size;

use asked::{Asked, by_the_broker, interruptible};
use copy::{Copied, VERSION, copy_all};
use place::{LOCK, refuse_nested, refuse_occupied, settled};

#[derive(Clone, Debug, Args)]
pub(super) struct Backup {
    /// A folder that is not there yet, or empty; the broker must be able to write there.
    to: PathBuf,
    /// One JSON document instead of words.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
pub(super) struct Restore {
    /// A folder that `tidewire backup` made.
    from: PathBuf,
    /// One JSON document instead of words.
    #[arg(long)]
    json: bool,
}

/// Makes a backup of the data folder; what there is to say, and whether all is well.
pub(super) fn back_up(backup: &Backup, data: &Path) -> Result<(String, bool), Trouble> {
    let asked = Arc::new(Asked::default());
    let (order, data, ours) = (backup.clone(), data.to_owned(), Arc::clone(&asked));
    interruptible(move || make(&order, &data, &ours), || asked.take_back())
}

fn make(backup: &Backup, data: &Path, asked: &Asked) -> Result<(String, bool), Trouble> {
    let unusable = |error| Trouble::usage(format!("{}: {error}", data.display()));
    let to = settled(&backup.to).map_err(Trouble::usage)?;
    let data = &data.canonicalize().map_err(unusable)?;
    refuse_nested((&to, "the backup"), (data, "the data folder")).map_err(Trouble::usage)?;
    let own = RealDisk::new(data);
    let (made, by_broker) = match own.lock(LOCK) {
        Ok(()) => {
            refuse_occupied(&to).map_err(Trouble::usage)?;
            (copy_all(data, &to).map_err(Trouble::broker)?, false)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            (by_the_broker(data, &to, asked)?, true)
        }
        Err(error) => return Err(unusable(error)),
    };
    drop(own);
    let findings = check(&to).map_err(Trouble::broker)?;
    let is_good = findings.is_empty();
    if backup.json {
        let more = json!({ "by_broker": by_broker });
        return Ok((document(&to, (made, is_good), &findings, more), is_good));
    }
    let Copied { files, bytes } = made;
    let by = if by_broker { "made by the running broker" } else { "no broker was running" };
    let (to, findings) = (to.display(), lines(&findings));
    let how = format!("{files} files, {bytes} bytes; {by}{findings}");
    let words = match is_good {
        true => format!("ok: {to} is a backup: {how}"),
        false => format!("{to} is damaged: {how}"),
    };
    Ok((words, is_good))
}

/// Makes a data folder of a backup.
pub(super) fn restore(restore: &Restore, data: &Path) -> Result<(String, bool), Trouble> {
    let (from, data) = (&restore.from, &settled(data).map_err(Trouble::usage)?);
    if !from.join(VERSION).is_file() {
        let words = format!("{} is no whole backup: it has no file VERSION", from.display());
        return Err(Trouble::usage(words));
    }
    let from = &settled(from).map_err(Trouble::usage)?;
    refuse_nested((data, "the data folder"), (from, "the backup")).map_err(Trouble::usage)?;
    refuse_occupied(data).map_err(Trouble::usage)?;
    let (copied, findings) = checked_copy(from, data).map_err(Trouble::broker)?;
    let is_good = findings.is_empty();
    if restore.json {
        let copied = copied.unwrap_or_default();
        return Ok((document(data, (copied, is_good), &findings, json!({})), is_good));
    }
    let (from, shown, findings) = (from.display(), data.display(), lines(&findings));
    let words = match copied {
        None => format!("{from} is damaged, nothing was restored{findings}"),
        Some(_) if !is_good => format!("{from} was not copied as it is{findings}"),
        Some(Copied { bytes, .. }) => format!(
            "ok: {shown} holds what {from} does: {bytes} bytes, all checked\n\
             start a broker on it: tidewire --data {shown}"
        ),
    };
    Ok((words, is_good))
}

/// `None`: it is damaged, and nothing was copied.
fn checked_copy(from: &Path, data: &Path) -> Result<(Option<Copied>, Vec<Finding>), String> {
    let findings = check(from)?;
    if !findings.is_empty() {
        return Ok((None, findings));
    }
    let copied = copy_all(from, data)?;
    let findings = check(data)?;
    if !findings.is_empty() {
        // No broker is to start on it.
        let _ = fs::remove_file(data.join(VERSION));
    }
    Ok((Some(copied), findings))
}

/// Reads every byte of it.
fn check(folder: &Path) -> Result<Vec<Finding>, String> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(folder));
    let mut line = Line::new("reading it again", size);
    let verdict = verify(&disk, &mut |progress| line.show(progress));
    let Verdict { findings, .. } =
        verdict.map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(findings)
}

/// Findings in words.
fn lines(findings: &[Finding]) -> String {
    let line = |text: String, found: &Finding| {
        format!("{text}\n{} byte {}: {}", found.file, found.position, found.what)
    };
    findings.iter().fold(String::new(), line)
}

fn document(
    folder: &Path,
    (Copied { files, bytes }, is_good): (Copied, bool),
    findings: &[Finding],
    more: Value,
) -> String {
    let mut document = json!({
        "ok": is_good,
        "folder": folder.display().to_string(),
        "files": files,
        "bytes": bytes,
        "findings": findings.iter().map(finding).collect::<Vec<_>>(),
    });
    if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
        document.extend(more);
    }
    document.to_string()
}
