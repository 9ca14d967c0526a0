//! Gives a sealed segment a topic index where it lies, without writing its batches anew: for one
//! whose batches are large already. Never changes the segment.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch};

use super::archive::Located;
use super::draft::Drafts;
use super::name::{TOPICS, file_name};
use super::read::indexed;
use super::remove::remove_file;
use super::rewrite::{Rewritten, save};
use super::topics::TopicsBuilder;
use super::window::{AHEAD_BYTES, Window, open};
use crate::disk::salvage;
use crate::partition::{Refined, Segment};

/// Headers that are looked at to learn how long a segment's batches are.
const SAMPLES_MAX: usize = 64;

/// Between which lengths three quarters of its bytes are batches, by the headers at places all over
/// it. `None` if no header can be read.
pub(crate) fn usual_batch_bytes(located: Located<'_>) -> io::Result<Option<[usize; 2]>> {
    let (file, index) = indexed(located)?;
    let places = index.places();
    let step = places.len().div_ceil(SAMPLES_MAX).max(1);
    let mut lengths = Vec::new();
    for place in places.iter().step_by(step) {
        let mut header = [0; BATCH_HEADER_BYTES];
        let lost = salvage(&*file, &mut header, place.position)?;
        lengths.extend(Batch::outline(&header).filter(|_| lost == 0).map(|batch| batch.bytes));
    }
    lengths.sort_unstable();
    let at = |eighths: usize| lengths.get(lengths.len() * eighths / 8).copied();
    Ok(at(1).zip(at(7)).map(|(short, long)| [short, long]))
}

/// Write a topic index beside it. The segment is the same, with what became of it.
pub(crate) fn enrich(
    located: Located<'_>,
    drafts: &Drafts,
    stop: &AtomicBool,
) -> io::Result<Rewritten> {
    let Located { partition, segment, .. } = located;
    let folder = &partition.folder;
    // If this attempt fails the next one reads.
    let topics = match drafts.take((partition.id, segment.base), segment.bytes) {
        Some(draft) => draft.into_topics(),
        None => match read_topics(located, stop)? {
            Ok(topics) => topics,
            Err(stays) => return Ok(stays),
        },
    };
    let refined = Some(Refined { generation: segment.generation(), compacted: false });
    let name = file_name(folder, segment, TOPICS);
    match topics.finish() {
        Some(bytes) => save(located.disk, &name, &bytes)?,
        // What an attempt before this one left must not be believed.
        None => remove_file(located.disk, &name),
    }
    located.disk.sync_dir(folder)?;
    Ok(Rewritten::Done(Segment { refined, ..*segment }))
}

/// The topics of all its records, or why it stays as it is.
fn read_topics(
    located: Located<'_>,
    stop: &AtomicBool,
) -> io::Result<Result<TopicsBuilder, Rewritten>> {
    let segment = located.segment;
    let mut topics = TopicsBuilder::new(segment.base);
    let mut window = Window::open(located, open(located)?, (segment.base, 0), AHEAD_BYTES * 16)?;
    while let Some(stored) = window.batch()? {
        if window.is_damaged() {
            break;
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(Err(Rewritten::Stopped));
        }
        if stored.batch.is_control() {
            continue;
        }
        for (offset_delta, key) in stored.batch.keys() {
            if let Some(topic) = key {
                topics.add(topic, stored.base_offset + u64::from(offset_delta));
            }
        }
    }
    Ok(if window.is_damaged() { Err(Rewritten::Damaged) } else { Ok(topics) })
}
