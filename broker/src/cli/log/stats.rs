//! `tidewire log stats`: counts as a table or as JSON. Counts nothing itself.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tidewire_store::inspect::{PartitionStats, Stats, StreamStats, TableStats, stats};
use tidewire_store::{Disk, Durability};

use super::groups;
use super::screen::{self, DAMAGED, FINE, Paint, paint};
use super::shares;
use crate::cli::progress::Line;
use crate::cli::wording::{count, size};
use crate::core::shared::wall_clock_ms;
use crate::moment::rfc3339;

pub(super) fn run(disk: &Arc<dyn Disk>, folder: &Path, json: bool) -> u8 {
    let mut line = Line::new("stats", |number| number.to_string());
    let counted = stats(disk, &mut |progress| line.show(progress));
    drop(line);
    let counted = match counted {
        Ok(counted) => counted,
        Err(error) => return screen::fail(&error),
    };
    let shown = folder.display().to_string();
    match json {
        true => screen::print(&document(&shown, &counted).to_string()),
        false => screen::print(&words(&shown, &counted)),
    }
    if counted.damage.is_none() { FINE } else { DAMAGED }
}

fn durability(stream: &StreamStats) -> &'static str {
    match stream.durability {
        Durability::Disk => "disk",
        Durability::Os => "os",
        Durability::None => "none",
    }
}

/// Bytes on disk for each byte of payload.
fn ratio(partition: &PartitionStats) -> Option<f64> {
    let (stored, payload) = (partition.measured_bytes as f64, partition.payload_bytes as f64);
    (partition.payload_bytes > 0).then(|| (stored / payload * 100.0).round() / 100.0)
}

fn document(folder: &str, stats: &Stats) -> Value {
    let log = &stats.log;
    let table = |one: &TableStats| {
        let (name, rows, bytes) = (one.table.name(), one.rows, one.bytes);
        json!({ "table": name, "rows": rows, "bytes": bytes })
    };
    json!({
        "folder": folder,
        "streams": stats.streams.iter().map(stream).collect::<Vec<_>>(),
        "log": {
            "files": log.files,
            "bytes": log.bytes,
            "not_checkpointed": {
                "files": log.live_files,
                "frames": log.frames,
                "bytes": log.frame_bytes,
                "records": log.records,
                "rows": log.changes,
            },
        },
        "share_groups": shares::document(&stats.shares, wall_clock_ms()),
        "consumer_groups": groups::document(&stats.groups, wall_clock_ms()),
        "tables": stats.tables.iter().map(table).collect::<Vec<_>>(),
        "database_bytes": stats.database_bytes,
        "damage": stats.damage,
    })
}

fn stream(stream: &StreamStats) -> Value {
    let partition = |(index, one): (usize, &PartitionStats)| {
        json!({
            "partition": index,
            "from": one.from,
            "to": one.to,
            "records": one.to - one.from,
            "segments": one.segments,
            "segment_bytes": one.segment_bytes,
            "log_bytes": one.log_bytes,
            "first_time": one.first_time.map(rfc3339),
            "last_time": one.last_time.map(rfc3339),
            "measured_bytes": one.measured_bytes,
            "payload_bytes": one.payload_bytes,
            "bytes_per_payload_byte": ratio(one),
        })
    };
    let partitions: Vec<Value> = stream.partitions.iter().enumerate().map(partition).collect();
    json!({ "stream": stream.name, "durability": durability(stream), "partitions": partitions })
}

const COLUMNS: [&str; 8] =
    ["PARTITION", "RECORDS", "FROM", "TO", "SEGMENTS", "BYTES", "PER PAYLOAD", "FIRST TO LAST"];

fn words(folder: &str, stats: &Stats) -> String {
    let mut text = format!("{folder}\n");
    for stream in &stats.streams {
        let name = paint(&stream.name, Paint::Bold);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\nstream {name}, durability {}", durability(stream));
        let rows = stream.partitions.iter().enumerate().map(row);
        text.push_str(&columns(std::iter::once(COLUMNS.map(String::from)).chain(rows).collect()));
    }
    let log = &stats.log;
    let _ = writeln!(text, "\nwrite-ahead log: {}, {}", count(log.files, "file"), size(log.bytes));
    let _ = writeln!(
        text,
        "  not checkpointed: {}, {}, {}, {}",
        count(log.frames, "frame"),
        count(log.records, "record"),
        count(log.changes, "table row"),
        size(log.frame_bytes)
    );
    let _ = writeln!(text, "\ntables: {} on disk", size(stats.database_bytes));
    for table in stats.tables.iter().filter(|table| table.rows > 0) {
        let (name, rows) = (table.table.name(), count(table.rows, "row"));
        let _ = writeln!(text, "  {name:<14} {rows}, {}", size(table.bytes));
    }
    shares::words(&stats.shares, wall_clock_ms(), &mut text);
    groups::words(&stats.groups, wall_clock_ms(), &mut text);
    if let Some(damage) = &stats.damage {
        let _ = writeln!(text, "\n{}: {damage}", paint("damaged", Paint::Bad));
        let _ = writeln!(text, "  what lies behind is not counted; see `tidewire log verify`");
    }
    text
}

fn row((index, one): (usize, &PartitionStats)) -> [String; 8] {
    let times = match (one.first_time, one.last_time) {
        (Some(first), Some(last)) => format!("{} to {}", rfc3339(first), rfc3339(last)),
        _ => "-".into(),
    };
    [
        index.to_string(),
        (one.to - one.from).to_string(),
        one.from.to_string(),
        one.to.to_string(),
        one.segments.to_string(),
        size(one.segment_bytes + one.log_bytes),
        ratio(one).map_or("-".into(), |ratio| format!("{ratio:.2}")),
        times,
    ]
}

/// Every column as wide as its widest cell.
fn columns(rows: Vec<[String; 8]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        let _ = writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  "));
    }
    text
}
