//! Judges segments and the indexes beside them against what the checkpoint says. Never looks at
//! the write-ahead log.

use std::collections::HashMap;
use std::io::ErrorKind;

use tidewire_proto::id::PartitionId;

use super::finding::{Affected, Checked, Damage, Finding, Hole, Mend};
use super::view::View;
use super::walk::{Bad, Piece, walk};
use crate::partition::{Refined, Segment};
use crate::segment::{check_index, index_name, segment_name};
use crate::tables::{SealedRow, SegmentRow};

const GAP: &str = "restore the file from a backup; or stop the broker and run `tidewire log \
                   repair`, which puts a gap in the place of these records, keeps what it takes \
                   out, and leaves the rest readable";
const REBUILD: &str = "stop the broker and run `tidewire log repair`, which makes it again";

/// A segment and where it belongs.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) partition: PartitionId,
    pub(super) folder: String,
    pub(super) segment: Segment,
}

/// Every segment that the checkpoint names and whose partition exists.
pub(super) fn all(view: &View) -> Vec<Placed> {
    let refined = |row: &SealedRow| {
        let refined = Refined { generation: row.generation, compacted: row.compacted };
        ((row.partition, row.base), refined)
    };
    let refined: HashMap<_, _> = view.manifest.sealed.iter().map(refined).collect();
    let placed = |row: &SegmentRow| {
        let partition = view.engine.catalog.partition(row.partition)?;
        let segment = Segment {
            base: row.base,
            next: row.next,
            bytes: row.bytes,
            max_timestamp: row.max_timestamp,
            sealed: row.sealed,
            refined: refined.get(&(row.partition, row.base)).copied(),
        };
        Some(Placed { partition: row.partition, folder: partition.folder.clone(), segment })
    };
    view.manifest.segments.iter().filter_map(placed).collect()
}

/// What is wrong with one segment and its index.
pub(super) fn judge(
    view: &View,
    placed: &Placed,
    checked: &mut Checked,
    progress: &mut dyn FnMut(u64),
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut timestamp = 0;
    let walked = walk(&*view.disk, &placed.folder, &placed.segment, &mut |piece| match piece {
        Piece::Batch { position, batch } => {
            checked.batches += 1;
            checked.records += u64::from(batch.record_count());
            timestamp = batch.max_timestamp();
            progress(position + batch.bytes().len() as u64);
        }
        Piece::Bad(bad) => findings.push(bad_bytes(view, placed, bad, timestamp)),
    });
    checked.segments += 1;
    checked.bytes += placed.segment.bytes;
    if let Err(error) = walked {
        findings.push(no_file(view, placed, &error));
    }
    if findings.is_empty() && placed.segment.sealed {
        checked.indexes += 1;
        findings.extend(bad_index(view, placed));
    }
    findings
}

fn affected(view: &View, placed: &Placed, (from, to): (u64, u64)) -> Vec<Affected> {
    let (stream, partition) = view.name_of(placed.partition);
    vec![Affected { stream, partition, from, to }]
}

fn lost(offsets: (u64, u64)) -> String {
    match offsets.1.saturating_sub(offsets.0) {
        0 => "no record is lost, but the file and the tables disagree".into(),
        1 => "this record cannot be read; the rest of the partition can".into(),
        n => format!("these {n} records cannot be read; the rest of the partition can"),
    }
}

fn bad_bytes(view: &View, placed: &Placed, bad: Bad, timestamp: i64) -> Finding {
    let is_short = bad.what.starts_with("the file is cut short");
    Finding {
        damage: if is_short { Damage::SegmentShort } else { Damage::SegmentBatch },
        file: segment_name(&placed.folder, &placed.segment),
        position: bad.bytes.0,
        what: bad.what,
        affected: affected(view, placed, bad.offsets),
        means: lost(bad.offsets),
        advice: GAP.into(),
        mend: Mend::Gap(Hole {
            partition: placed.partition,
            folder: placed.folder.clone(),
            segment: placed.segment,
            bytes: bad.bytes,
            offsets: bad.offsets,
            timestamp,
            is_tail: bad.is_tail,
        }),
    }
}

fn no_file(view: &View, placed: &Placed, error: &std::io::Error) -> Finding {
    let file = segment_name(&placed.folder, &placed.segment);
    let offsets = (placed.segment.base, placed.segment.next);
    let is_missing = error.kind() == ErrorKind::NotFound;
    let hole = Hole {
        partition: placed.partition,
        folder: placed.folder.clone(),
        segment: placed.segment,
        bytes: (0, placed.segment.bytes),
        offsets,
        timestamp: placed.segment.max_timestamp.max(0),
        is_tail: true,
    };
    Finding {
        damage: Damage::SegmentMissing,
        file,
        position: 0,
        what: match is_missing {
            true => "the file is missing".into(),
            false => format!("it cannot be read: {error}"),
        },
        affected: affected(view, placed, offsets),
        means: lost(offsets),
        advice: GAP.into(),
        mend: if is_missing { Mend::Gap(hole) } else { Mend::Nothing },
    }
}

fn bad_index(view: &View, placed: &Placed) -> Option<Finding> {
    let checked = check_index(&*view.disk, &placed.folder, &placed.segment);
    let what = match checked {
        Ok(wrong) => wrong?.to_owned(),
        Err(error) => format!("it cannot be read: {error}"),
    };
    Some(Finding {
        damage: Damage::Index,
        file: index_name(&placed.folder, &placed.segment),
        position: 0,
        what,
        affected: Vec::new(),
        means: "no record is lost; reads from this segment are slower after each start".into(),
        advice: REBUILD.into(),
        mend: Mend::Index {
            partition: placed.partition,
            folder: placed.folder.clone(),
            segment: placed.segment,
        },
    })
}
