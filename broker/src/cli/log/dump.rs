//! `tidewire log dump`: records or frames, as lines or as JSON. Reads none itself.

use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use clap::Args;
use serde_json::{Map, Value, json};
use tidewire_store::Disk;
use tidewire_store::inspect::{
    LookError, ShownEntry, ShownFrame, ShownRecord, Wanted, dump, dump_log,
};

use super::screen::{self, DAMAGED, FINE};
use crate::cli::wording::{as_text, hex, shown};
use crate::moment::rfc3339;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct DumpArgs {
    /// Only this stream.
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Only this partition, counted from 0.
    #[arg(long, value_name = "N")]
    partition: Option<usize>,
    /// Begin at this offset.
    #[arg(long, value_name = "OFFSET", default_value_t = 0)]
    from: u64,
    /// Show this many at the most.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Show what the write-ahead log holds beyond the checkpoint instead, table rows included.
    #[arg(long, conflicts_with_all = ["stream", "partition", "from"])]
    wal: bool,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(disk: &Arc<dyn Disk>, arguments: &DumpArgs) -> u8 {
    let mut sheet = Sheet {
        out: BufWriter::new(io::stdout().lock()),
        json: arguments.json,
        left: arguments.count.unwrap_or(u64::MAX),
        is_first: true,
    };
    // A reader that went away wants no more; nothing else can be wrong with standard output.
    let _ = sheet.begin(if arguments.wal { "frames" } else { "records" });
    match show(disk, arguments, &mut sheet) {
        Ok(notes) => {
            let _ = sheet.end(&notes);
            if notes.is_empty() { FINE } else { DAMAGED }
        }
        Err(error) => screen::fail(&error),
    }
}

fn show(
    disk: &Arc<dyn Disk>,
    arguments: &DumpArgs,
    sheet: &mut Sheet<impl Write>,
) -> Result<Vec<String>, LookError> {
    if arguments.wal {
        return dump_log(disk, &mut |frame| {
            sheet.add(|json| if json { frame_document(&frame).to_string() } else { lines(&frame) })
        });
    }
    let wanted = Wanted {
        stream: arguments.stream.clone(),
        partition: arguments.partition,
        from: arguments.from,
    };
    dump(disk, &wanted, &mut |record| {
        sheet.add(|json| if json { document(&record).to_string() } else { line(&record) })
    })
}

/// What is printed, entry by entry: it may be longer than memory.
struct Sheet<W> {
    out: W,
    json: bool,
    /// Entries that may still come.
    left: u64,
    is_first: bool,
}

impl<W: Write> Sheet<W> {
    fn begin(&mut self, name: &str) -> io::Result<()> {
        if self.json { write!(self.out, "{{\"{name}\":[") } else { Ok(()) }
    }

    fn add(&mut self, entry: impl FnOnce(bool) -> String) -> ControlFlow<()> {
        if self.left == 0 {
            return ControlFlow::Break(());
        }
        self.left -= 1;
        let before = match (self.json, self.is_first) {
            (true, true) => "\n",
            (true, false) => ",\n",
            (false, _) => "",
        };
        let after = if self.json { "" } else { "\n" };
        self.is_first = false;
        let written = write!(self.out, "{before}{}{after}", entry(self.json));
        if written.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn end(&mut self, notes: &[String]) -> io::Result<()> {
        if self.json {
            writeln!(self.out, "\n],\"notes\":{}}}", json!(notes))?;
        }
        self.out.flush()?;
        for note in notes.iter().filter(|_| !self.json) {
            writeln!(io::stderr(), "tidewire: {note}")?;
        }
        Ok(())
    }
}

fn line(shown_record: &ShownRecord<'_>) -> String {
    let ShownRecord { stream, partition, offset, record, .. } = shown_record;
    let time = rfc3339(record.timestamp_ms);
    let key = shown(record.key);
    let mut text = format!("{stream}/{partition} {offset}  {time}  {key}");
    for header in record.headers() {
        text.push_str(&format!("  {}={}", shown(Some(header.key)), shown(header.value)));
    }
    if shown_record.is_control {
        return text + "  (not a message: kept by the store)";
    }
    format!("{text}  {}", shown(record.value))
}

fn document(shown_record: &ShownRecord<'_>) -> Value {
    let record = &shown_record.record;
    let header = |header: tidewire_proto::record::Header<'_>| {
        let mut entry = Map::new();
        put(&mut entry, "name", Some(header.key));
        put(&mut entry, "value", header.value);
        Value::Object(entry)
    };
    let mut entry = Map::new();
    entry.insert("stream".into(), shown_record.stream.into());
    entry.insert("partition".into(), shown_record.partition.into());
    entry.insert("offset".into(), shown_record.offset.into());
    entry.insert("time".into(), rfc3339(record.timestamp_ms).into());
    entry.insert("time_ms".into(), record.timestamp_ms.into());
    entry.insert("control".into(), shown_record.is_control.into());
    put(&mut entry, "key", record.key);
    put(&mut entry, "payload", record.value);
    entry.insert("headers".into(), record.headers().map(header).collect());
    Value::Object(entry)
}

/// Text under its name, other bytes under `name_hex`, nothing as null.
fn put(entry: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (bytes, as_text(bytes))) {
        None => entry.insert(name.into(), Value::Null),
        Some((_, Some(text))) => entry.insert(name.into(), text.into()),
        Some((bytes, None)) => entry.insert(format!("{name}_hex"), hex(bytes).into()),
    };
}

fn lines(frame: &ShownFrame<'_>) -> String {
    let ShownFrame { number, file, position, bytes, entries } = frame;
    let mut text = format!("commit {number}  {file} byte {position}, {bytes} bytes");
    for entry in entries {
        text.push_str("\n  ");
        text.push_str(&match entry {
            ShownEntry::Append { stream, partition, from, to, bytes } => {
                let last = to.saturating_sub(1);
                format!("append  {stream}/{partition} offsets {from} to {last}, {bytes} bytes")
            }
            ShownEntry::Change { table, key, value: Some(value) } => {
                format!("set     {} {} = {}", table.name(), shown(Some(key)), shown(Some(value)))
            }
            ShownEntry::Change { table, key, value: None } => {
                format!("remove  {} {}", table.name(), shown(Some(key)))
            }
        });
    }
    text
}

fn frame_document(frame: &ShownFrame<'_>) -> Value {
    let entry = |entry: &ShownEntry<'_>| match entry {
        ShownEntry::Append { stream, partition, from, to, bytes } => json!({
            "append": {
                "stream": stream,
                "partition": partition,
                "from": from,
                "to": to,
                "bytes": bytes,
            },
        }),
        ShownEntry::Change { table, key, value } => {
            let mut change = Map::new();
            change.insert("table".into(), table.name().into());
            put(&mut change, "key", Some(key));
            put(&mut change, "value", *value);
            json!({ "change": change })
        }
    };
    json!({
        "number": frame.number,
        "file": frame.file,
        "position": frame.position,
        "bytes": frame.bytes,
        "entries": frame.entries.iter().map(entry).collect::<Vec<_>>(),
    })
}
