//! Finds the records of a filter in a segment through its topic index, and reads only the batches
//! that hold them. Never scans.

use std::collections::BinaryHeap;
use std::io;
use std::sync::Arc;

use fst::{IntoStreamer, Streamer};

use super::archive::Located;
use super::filter::FilterAutomaton;
use super::postings::Offsets;
use super::read::{Stretch, indexed};
use super::topics::{Place, Topics};
use super::window::Window;

/// A filter that matches more than one record out of this many is better served by reading all.
const DENSE: u64 = 8;

/// What the topic index says.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    /// Rising.
    pub(crate) offsets: Vec<u64>,
    /// There are no more in the segment.
    pub(crate) is_complete: bool,
}

/// The first `limit` offsets from `from` on whose topics match. `None` without a topic index.
pub(crate) fn find(
    located: Located<'_>,
    filter: &str,
    from: u64,
    limit: usize,
) -> Option<io::Result<Lookup>> {
    let topics = topics(located)?;
    Some(
        matching(located, &topics, filter)
            .and_then(|places| offsets(located, &topics, &places, (from, limit))),
    )
}

/// The batches that hold records from `from` on whose topics match, up to about `bytes_max`.
/// `None` without a topic index, or if most batches hold some.
pub(crate) fn read_matching(
    located: Located<'_>,
    filter: &str,
    from: u64,
    bytes_max: usize,
) -> Option<io::Result<Stretch>> {
    let topics = topics(located)?;
    let places = match matching(located, &topics, filter) {
        Ok(places) => places,
        Err(error) => return Some(Err(error)),
    };
    let postings: u64 = places.iter().map(|place| place.bytes as u64).sum();
    let segment = located.segment;
    if postings > (segment.next - segment.base) / DENSE && places.len() > 1 {
        return None;
    }
    let found = offsets(located, &topics, &places, (from, OFFSETS_MAX));
    Some(found.and_then(|found| read_at(located, &found, bytes_max)))
}

/// Offsets that are looked for at a time.
const OFFSETS_MAX: usize = 4096;

/// The index, if the segment has one that can be used.
fn topics(located: Located<'_>) -> Option<Arc<Topics>> {
    located.segment.refined?;
    let kept = &located.archive.topics;
    let topics = match kept.take(located.key()) {
        Some(topics) => topics,
        None => {
            let (folder, meter) = (&located.partition.folder, &located.archive.meter);
            Arc::new(Topics::open(located.disk, folder, located.segment, meter).ok()?)
        }
    };
    kept.put(located.key(), &topics);
    Some(topics)
}

/// Where the postings of all topics that match lie, in the order of the file.
fn matching(located: Located<'_>, topics: &Topics, filter: &str) -> io::Result<Vec<Place>> {
    let automaton = FilterAutomaton::new(filter);
    let prefix = automaton.prefix();
    let mut places = Vec::new();
    let mut pages = topics.root.range().ge(prefix).into_stream();
    while let Some((last, place)) = pages.next() {
        let page = topics.page(&located.archive.meter, place)?;
        let mut found = page.search(automaton).ge(prefix).into_stream();
        while let Some((_, place)) = found.next() {
            places.push(Place::unpack(place));
        }
        if automaton.is_exact() || !last.starts_with(prefix) {
            break;
        }
    }
    places.sort_unstable();
    Ok(places)
}

/// The smallest `limit` offsets from `from` on; never more than that in memory.
fn offsets(
    located: Located<'_>,
    topics: &Topics,
    places: &[Place],
    (from, limit): (u64, usize),
) -> io::Result<Lookup> {
    let base = located.segment.base;
    let mut smallest = BinaryHeap::new();
    let mut is_complete = true;
    topics.visit_postings(&located.archive.meter, places, &mut |postings| {
        let found = Offsets::new(postings).map(|offset| base.saturating_add(offset));
        for offset in found.skip_while(|offset| *offset < from) {
            if smallest.len() < limit {
                smallest.push(offset);
                continue;
            }
            is_complete = false;
            match smallest.peek_mut() {
                Some(mut largest) if *largest > offset => *largest = offset,
                _ => break,
            }
        }
    })?;
    Ok(Lookup { offsets: smallest.into_sorted_vec(), is_complete })
}

/// The batches that hold these offsets, each once.
fn read_at(located: Located<'_>, found: &Lookup, bytes_max: usize) -> io::Result<Stretch> {
    let segment = located.segment;
    let (file, index) = indexed(located)?;
    let mut window = Window::open(located, file, (segment.base, 0), 0)?;
    let mut stretch = Stretch::default();
    let mut taken = 0;
    for offset in &found.offsets {
        if stretch.next > *offset {
            continue;
        }
        window.seek(index.place_of(*offset, segment.base));
        window.skip_to(*offset)?;
        let length = window.peek()?.unwrap_or_default();
        if taken + length > bytes_max && !stretch.batches.is_empty() {
            stretch.next = *offset;
            return Ok(stretch);
        }
        let Some(stored) = window.batch_beyond(*offset)? else {
            stretch.next = segment.next;
            return Ok(stretch);
        };
        stretch.next = stored.next_offset();
        // What comes behind damage may hold none of them.
        let first = found.offsets.partition_point(|offset| *offset < stored.base_offset);
        if found.offsets.get(first).is_some_and(|offset| *offset < stretch.next) {
            taken += stored.batch.bytes().len();
            stretch.batches.push(stored);
        }
    }
    if found.is_complete {
        stretch.next = segment.next;
    }
    Ok(stretch)
}
