//! Walks a whole data folder and says what is wrong with it. Changes nothing; a broker may run.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::extent::extents;
use super::finding::{Checked, Damage, Finding, Mend, Verdict};
use super::journal;
use super::segments::{self, Placed};
use super::view::{CACHE_BYTES, LookError, View, names_in, stable};
use crate::disk::{Disk, OpenMode};
use crate::error::OpenError;
use crate::folder;
use crate::progress::Progress;
use crate::segment::{index_name, segment_name, sieves_name, topics_name};
use crate::tables::{DATABASE_FILE, Database};

/// A broker may be writing what looks damaged: only what looks the same twice is.
const SECOND_LOOK: Duration = Duration::from_millis(20);
const LOOKS_MAX: usize = 50;

/// Check every file of a folder: version, tables, write-ahead log, segments, indexes.
pub fn verify(
    disk: &Arc<dyn Disk>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Verdict, LookError> {
    let mut verdict = Verdict::default();
    let view = match look_twice(disk) {
        Ok((view, damage)) => {
            verdict.findings.extend(damage);
            view
        }
        Err(LookError::Open(error)) => {
            verdict.findings.push(not_readable(error)?);
            return Ok(verdict);
        }
        Err(LookError::Busy) => return Err(LookError::Busy),
    };
    let placed = segments::all(&view);
    verdict.extents = extents(&view, &placed);
    let mut bar = Bar::new(&view, &placed, progress);
    bar.step(view.report.bytes);
    verdict.checked.log_files = view.log.as_ref().map_or(0, |log| log.live.len() as u64);
    verdict.checked.frames = view.report.frames;
    verdict.checked.records = view.report.records;
    verdict.checked.bytes = view.report.bytes;
    check_tables(disk, &mut verdict)?;
    check_segments(disk, &view, &placed, &mut verdict, &mut bar)?;
    verdict.notes.extend(notes(&view, &placed));
    Ok(verdict)
}

/// The folder, and what stays wrong with its log when one looks again.
pub(super) fn look_twice(disk: &Arc<dyn Disk>) -> Result<(View, Option<Finding>), LookError> {
    let mut before = None;
    for _ in 0..LOOKS_MAX {
        let view = View::load(disk, &mut |_| ())?;
        let finding = journal::judge(&view);
        let place = finding.as_ref().map(|found| (found.file.clone(), found.position));
        if finding.is_none() || place == before {
            return Ok((view, finding));
        }
        before = place;
        std::thread::sleep(SECOND_LOOK);
    }
    Err(LookError::Busy)
}

/// Damage that keeps everything else from being judged; the rest of the errors is for the caller.
fn not_readable(error: OpenError) -> Result<Finding, LookError> {
    let restore = "restore the folder from a backup: nothing else in it can be judged without it";
    let (file, position, what) = match error {
        OpenError::Missing { file } => (file, 0, "the file is missing".to_owned()),
        OpenError::Damaged { file, position, what } => (file, position, what),
        other => return Err(LookError::Open(other)),
    };
    let is_version = file == folder::VERSION;
    Ok(Finding {
        damage: if is_version { Damage::Version } else { Damage::Tables },
        file,
        position,
        what,
        affected: Vec::new(),
        means: "the broker does not start".into(),
        advice: match is_version {
            true => "restore the file: it is one line, `tidewire data folder, format 1`".into(),
            false => restore.into(),
        },
        mend: Mend::Nothing,
    })
}

/// Every page of the database.
fn check_tables(disk: &Arc<dyn Disk>, verdict: &mut Verdict) -> Result<(), LookError> {
    let mut check = |disk: &Arc<dyn Disk>| {
        verdict.checked.bytes += disk.open(DATABASE_FILE, OpenMode::Read)?.len()?;
        Ok(match Database::is_sound(&**disk, CACHE_BYTES) {
            Ok(true) => None,
            Ok(false) => Some("the checksum of a page is wrong".to_owned()),
            Err(error) => Some(error.to_string()),
        })
    };
    match stable(disk, &mut check) {
        Ok(None) => (),
        Ok(Some(what)) => {
            let damaged = OpenError::Damaged { file: DATABASE_FILE.into(), position: 0, what };
            let mut finding = not_readable(damaged)?;
            finding.means =
                "sessions, retained messages or group offsets may be wrong; the broker \
                             may not start"
                    .into();
            finding.advice = "restore the folder from a backup".into();
            verdict.findings.push(finding);
        }
        Err(LookError::Busy) => verdict.notes.push(format!(
            "{DATABASE_FILE}: pages not checked, the broker that runs changes them too fast"
        )),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn check_segments(
    disk: &Arc<dyn Disk>,
    view: &View,
    placed: &[Placed],
    verdict: &mut Verdict,
    bar: &mut Bar<'_>,
) -> Result<(), LookError> {
    let mut suspects = Vec::new();
    let mut before = Vec::new();
    for one in placed {
        let checked = &mut verdict.checked;
        let found = segments::judge(view, one, checked, &mut |done| bar.show(done));
        bar.step(one.segment.bytes);
        if !found.is_empty() {
            suspects.push((one.partition, one.segment.base));
            before.extend(places(&found));
        }
    }
    // A broker may have replaced or removed a segment meanwhile: what is damaged stays so.
    for _ in 0..LOOKS_MAX {
        if suspects.is_empty() {
            return Ok(());
        }
        let view = View::load(disk, &mut |_| ())?;
        let mut all = segments::all(&view);
        all.retain(|one| suspects.contains(&(one.partition, one.segment.base)));
        let mut again = Checked::default();
        let judged =
            all.iter().flat_map(|one| segments::judge(&view, one, &mut again, &mut |_| ()));
        let found: Vec<Finding> = judged.collect();
        if places(&found) == before {
            verdict.findings.extend(found);
            return Ok(());
        }
        before = places(&found);
        std::thread::sleep(SECOND_LOOK);
    }
    Err(LookError::Busy)
}

fn places(findings: &[Finding]) -> Vec<(String, u64)> {
    findings.iter().map(|found| (found.file.clone(), found.position)).collect()
}

/// What is left over and harmless.
fn notes(view: &View, placed: &[Placed]) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some((file, position)) = &view.report.torn {
        notes.push(format!(
            "{file}: a write was under way at byte {position}; nobody was promised it, the next \
             start cuts it off"
        ));
    }
    let known: HashSet<String> = placed
        .iter()
        .flat_map(|one| {
            let (folder, segment) = (&one.folder, &one.segment);
            [segment_name, index_name, topics_name, sieves_name].map(|name| name(folder, segment))
        })
        .collect();
    for partition in view.engine.catalog.partitions() {
        for name in names_in(&*view.disk, &partition.folder).unwrap_or_default() {
            let file = format!("{}/{name}", partition.folder);
            let is_ours = [".seg", ".idx", ".top", ".siv"].iter().any(|end| name.ends_with(end));
            if is_ours && !known.contains(&file) {
                notes.push(format!("{file}: not part of the log (yet); it is written over"));
            }
        }
    }
    notes
}

/// Counts bytes for whoever watches.
struct Bar<'a> {
    done: u64,
    total: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a> Bar<'a> {
    fn new(view: &View, placed: &[Placed], progress: &'a mut dyn FnMut(Progress)) -> Self {
        let segments: u64 = placed.iter().map(|one| one.segment.bytes).sum();
        Self { done: 0, total: segments + view.report.bytes, progress }
    }

    /// So far within a piece.
    fn show(&mut self, within: u64) {
        (self.progress)(Progress { done: self.done + within, total: self.total });
    }

    /// A piece is done.
    fn step(&mut self, bytes: u64) {
        self.done += bytes;
        self.show(0);
    }
}
