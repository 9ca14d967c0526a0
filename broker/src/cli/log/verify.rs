//! `tidewire log verify`: the verdict in words or as JSON. Finds nothing itself.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tidewire_store::Disk;
use tidewire_store::inspect::{Affected, Extent, Finding, SegmentExtent, Verdict, verify};

use super::screen::{self, DAMAGED, FINE, Paint, paint};
use super::strip::strips;
use crate::cli::progress::Line;
use crate::cli::wording::{count, size};

/// More places than this are counted, not listed.
const PLACES_SHOWN: usize = 8;

pub(super) fn run(disk: &Arc<dyn Disk>, folder: &Path, json: bool) -> u8 {
    let mut line = Line::new("verify", size);
    let verdict = verify(disk, &mut |progress| line.show(progress));
    drop(line);
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(error) => return screen::fail(&error),
    };
    let shown = folder.display().to_string();
    match json {
        true => screen::print(&document(&shown, &verdict).to_string()),
        false => screen::print(&words(&shown, &verdict)),
    }
    if verdict.findings.is_empty() { FINE } else { DAMAGED }
}

fn document(folder: &str, verdict: &Verdict) -> Value {
    let checked = &verdict.checked;
    json!({
        "folder": folder,
        "ok": verdict.findings.is_empty(),
        "findings": verdict.findings.iter().map(finding).collect::<Vec<_>>(),
        "notes": verdict.notes,
        "partitions": verdict.extents.iter().map(extent).collect::<Vec<_>>(),
        "checked": {
            "bytes": checked.bytes,
            "log_files": checked.log_files,
            "frames": checked.frames,
            "segments": checked.segments,
            "batches": checked.batches,
            "records": checked.records,
            "indexes": checked.indexes,
        },
    })
}

/// A partition as JSON.
fn extent(extent: &Extent) -> Value {
    let segment = |one: &SegmentExtent| {
        let SegmentExtent { from, to, bytes, sealed } = one;
        json!({ "from": from, "to": to, "bytes": bytes, "sealed": sealed })
    };
    json!({
        "stream": extent.stream,
        "partition": extent.partition,
        "from": extent.from,
        "to": extent.to,
        "segments": extent.segments.iter().map(segment).collect::<Vec<_>>(),
    })
}

/// A finding as JSON.
pub(in crate::cli) fn finding(found: &Finding) -> Value {
    json!({
        "damage": found.damage.name(),
        "file": found.file,
        "position": found.position,
        "what": found.what,
        "affected": affected(&found.affected),
        "means": found.means,
        "advice": found.advice,
    })
}

/// Places as JSON.
pub(super) fn affected(places: &[Affected]) -> Value {
    let place = |one: &Affected| {
        json!({
            "stream": one.stream,
            "partition": one.partition,
            "from": one.from,
            "to": one.to,
        })
    };
    places.iter().map(place).collect()
}

fn words(folder: &str, verdict: &Verdict) -> String {
    let mut text = String::new();
    let head = match verdict.findings.len() {
        0 => paint("ok", Paint::Good),
        n => format!("{}, {}", paint("damaged", Paint::Bad), count(n as u64, "finding")),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{folder}: {head}");
    text.push_str(&strips(verdict));
    for (index, found) in verdict.findings.iter().enumerate() {
        let _ = writeln!(text, "\n{}. {}", index + 1, finding_words(found));
    }
    if !verdict.findings.is_empty() {
        text.push('\n');
    }
    let checked = &verdict.checked;
    let parts = [
        count(checked.log_files, "log file"),
        count(checked.frames, "frame"),
        count(checked.segments, "segment"),
        count(checked.batches, "batch"),
        count(checked.records, "record"),
        count(checked.indexes, "index"),
        size(checked.bytes),
    ];
    let _ = writeln!(text, "  {} {}", paint("checked", Paint::Dim), parts.join(", "));
    for note in &verdict.notes {
        let _ = writeln!(text, "  {} {note}", paint("note   ", Paint::Dim));
    }
    text
}

/// A finding in words, without its number.
pub(super) fn finding_words(found: &Finding) -> String {
    let Finding { file, position, what, means, advice, .. } = found;
    let file = paint(file, Paint::Bold);
    let mut text = format!("{file}, byte {position}: {what}\n");
    if let Some(places) = places(&found.affected) {
        let _ = writeln!(text, "   affects  {places}");
    }
    let _ = writeln!(text, "{}", screen::behind("   means    ", means));
    let _ = write!(text, "{}", screen::behind("   do       ", advice));
    text
}

/// Places in words, if there are any.
pub(super) fn places(affected: &[Affected]) -> Option<String> {
    let shown: Vec<String> = affected.iter().take(PLACES_SHOWN).map(ToString::to_string).collect();
    let more = affected.len().saturating_sub(PLACES_SHOWN);
    let rest = if more == 0 { String::new() } else { format!(", and {more} more partitions") };
    (!shown.is_empty()).then(|| shown.join(", ") + &rest)
}
