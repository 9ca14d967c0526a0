//! Judges the write-ahead log: what is damaged, and which commits an end before it would cost.
//! Never reads a frame's bytes itself.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::Batch;

use super::finding::{Affected, Damage, Finding, Mend};
use super::view::{View, names_in};
use crate::frame::{Entry, Frame};
use crate::wal::{FRAMES_FROM, ReplayError, WAL_DIR, WalFile, epoch_of, name_of, visit_strays};

const CUT: &str = "restore the folder from a backup; or stop the broker and run `tidewire log \
                   repair`, which ends the log before the damage and keeps what it cuts off";
const RESTORE: &str = "restore the folder from a backup, or copy it to a healthy disk first";

/// What is wrong with the log, if anything is. A write that was under way is not.
pub(super) fn judge(view: &View) -> Option<Finding> {
    let error = view.log.as_ref().err()?;
    Some(match error {
        ReplayError::Damaged { file, position, what } => {
            let epoch = file_epoch(file).unwrap_or(view.checkpoint.epoch);
            let lost = CutOff::measure(view, epoch, *position);
            Finding {
                damage: Damage::LogFrame,
                file: file.clone(),
                position: *position,
                what: what.clone(),
                means: lost.means(view.next_lsn()),
                affected: lost.affected(view, true),
                advice: CUT.into(),
                mend: cut(view, epoch, *position),
            }
        }
        ReplayError::Missing(file) => missing(view, file),
        ReplayError::Io(error) => match unusable_file(view) {
            Some(finding) => finding,
            None => unreadable(WAL_DIR, &error.to_string()),
        },
    })
}

fn file_epoch(name: &str) -> Option<u64> {
    epoch_of(name.rsplit('/').next()?)
}

fn cut(view: &View, epoch: u64, position: u64) -> Mend {
    Mend::CutLog { epoch, position, is_first: epoch == view.checkpoint.epoch }
}

fn missing(view: &View, file: &str) -> Finding {
    let epoch = file_epoch(file).unwrap_or(view.checkpoint.epoch);
    let lost = CutOff::measure(view, epoch, FRAMES_FROM);
    let behind = lost.behind();
    Finding {
        damage: Damage::LogMissing,
        file: file.into(),
        position: 0,
        what: "the file is missing, and the log goes through it".into(),
        affected: lost.affected(view, false),
        means: format!("the broker does not start; commits in this file are lost{behind}"),
        advice: CUT.into(),
        mend: cut(view, epoch, FRAMES_FROM),
    }
}

/// The first file of the log that has no right header or not its length.
fn unusable_file(view: &View) -> Option<Finding> {
    let epochs = epochs_from(view, view.checkpoint.epoch);
    if epochs.is_empty() {
        return Some(missing(view, &name_of(view.checkpoint.epoch)));
    }
    epochs.into_iter().find_map(|epoch| {
        let file = match WalFile::open_any_length(&*view.disk, epoch) {
            Ok(file) => file,
            Err(error) => return Some(bad_header(view, epoch, &error)),
        };
        let length = file.file.len().ok()?;
        (length < file.bytes).then(|| cut_short(epoch, length, file.bytes))
    })
}

fn bad_header(view: &View, epoch: u64, error: &std::io::Error) -> Finding {
    if !matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) {
        return unreadable(&name_of(epoch), &error.to_string());
    }
    let lost = CutOff::measure(view, epoch + 1, FRAMES_FROM);
    let behind = lost.behind();
    Finding {
        damage: Damage::LogFile,
        file: name_of(epoch),
        position: 0,
        what: "the header is damaged".into(),
        affected: lost.affected(view, false),
        means: format!("the broker does not start; no commit in this file can be read{behind}"),
        advice: CUT.into(),
        mend: cut(view, epoch, FRAMES_FROM),
    }
}

fn cut_short(epoch: u64, length: u64, bytes: u64) -> Finding {
    Finding {
        damage: Damage::LogFile,
        file: name_of(epoch),
        position: length,
        what: format!("the file is cut short: {length} bytes of {bytes}"),
        affected: Vec::new(),
        means: "the broker does not start; commits in the missing part are lost, if there were \
                any"
        .into(),
        advice: CUT.into(),
        mend: Mend::Lengthen { epoch },
    }
}

fn unreadable(file: &str, error: &str) -> Finding {
    Finding {
        damage: Damage::LogFile,
        file: file.into(),
        position: 0,
        what: format!("it cannot be read: {error}"),
        affected: Vec::new(),
        means: "the broker does not start; the disk, or who may read it, is the trouble".into(),
        advice: RESTORE.into(),
        mend: Mend::Nothing,
    }
}

/// The files of the log with this number or a higher one, in order.
pub(super) fn epochs_from(view: &View, first: u64) -> Vec<u64> {
    let names = names_in(&*view.disk, WAL_DIR).unwrap_or_default();
    let mut epochs: Vec<u64> = names.iter().filter_map(|name| epoch_of(name)).collect();
    epochs.retain(|epoch| *epoch >= first);
    epochs.sort_unstable();
    epochs
}

/// Whole frames that lie behind damage.
#[derive(Debug, Default)]
struct CutOff {
    frames: u64,
    last: u64,
    records: u64,
    changes: u64,
    /// First and next offset by partition.
    offsets: BTreeMap<u32, (u64, u64)>,
}

impl CutOff {
    /// Look at a file from a position on, and at all files behind it.
    fn measure(view: &View, epoch: u64, position: u64) -> Self {
        let mut lost = Self::default();
        for found in epochs_from(view, epoch) {
            let from = if found == epoch { position } else { FRAMES_FROM };
            let Ok(file) = WalFile::open(&*view.disk, found) else { continue };
            // What cannot be read cannot be counted; the damage itself is reported anyway.
            let _ = visit_strays(&file, from, &mut |frame| lost.add(frame));
        }
        lost
    }

    fn add(&mut self, frame: &Frame<'_>) {
        self.frames += 1;
        self.last = self.last.max(frame.lsn);
        for entry in frame.entries().flatten() {
            match entry {
                Entry::Change { .. } => self.changes += 1,
                Entry::Append { partition, batch, .. } => {
                    let Some(outline) = Batch::outline(batch) else { continue };
                    let (base, next) = (outline.base_offset, outline.next_offset);
                    self.records += next - base;
                    let known = self.offsets.entry(partition.0).or_insert((base, next));
                    *known = (known.0.min(base), known.1.max(next));
                }
            }
        }
    }

    fn means(&self, first: u64) -> String {
        let commits = match self.frames {
            0 => format!("commit {first}"),
            _ => format!("commits {first} to {}", self.last.max(first)),
        };
        let behind = self.behind();
        format!("the broker does not start; {commits} cannot be read in order{behind}")
    }

    fn behind(&self) -> String {
        match self.frames {
            0 => String::new(),
            frames => format!(
                ", with them {frames} whole ones that lie behind the damage ({} records, {} \
                 table rows)",
                self.records, self.changes
            ),
        }
    }

    /// By partition; from the last readable offset on if the log was read up to the damage.
    fn affected(&self, view: &View, is_read: bool) -> Vec<Affected> {
        let one = |(id, (from, to)): (&u32, &(u64, u64))| {
            let id = PartitionId(*id);
            let (stream, partition) = view.name_of(id);
            let end = view.engine.catalog.partition(id).map(|partition| partition.bounds().1);
            let from = end.filter(|_| is_read).unwrap_or(*from).min(*from);
            Affected { stream, partition, from, to: *to }
        };
        self.offsets.iter().map(one).collect()
    }
}
