//! The topic index of a segment: topic -> offsets, in pages, so that a search reads little of it.
//! Gathers one and reads one; never decides which segments have one.
//!
//! `magic 8 | postings … | pages … | root | footer`, little-endian. Postings are `crc u32 |
//! differences of offsets`. Pages and root are `crc u32 | fst`, a page from topic to the place of
//! its postings, the root from the last topic of a page to the page's place. A place is
//! `position << 24 | bytes`. docs/format.md draws the footer.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use ahash::RandomState;
use fst::{Map, MapBuilder};
use hashbrown::HashTable;

use super::meter::Meter;
use super::name::{TOPICS, file_name};
use super::postings::Postings;
use crate::disk::{Disk, File, OpenMode};
use crate::partition::Segment;

const MAGIC: [u8; 8] = *b"TwTop001";
const FOOTER_BYTES: usize = 40;
const CRC_BYTES: usize = 4;
/// Topics of one page.
const PAGE_TOPICS: usize = 256;
/// Bits of a place for its length.
const LENGTH_BITS: u32 = 24;
/// A segment with so many different topics that gathering them would take more memory than this
/// has no topic index: it is searched by reading it.
const BUILDER_BYTES_MAX: usize = 128 << 20;
/// What a topic costs while it is gathered, besides its own bytes.
const TOPIC_OVERHEAD_BYTES: usize = 96;

/// Gathers the topics of a segment.
#[derive(Debug, Default)]
pub(super) struct TopicsBuilder {
    base: u64,
    hasher: RandomState,
    /// Which of `topics` one is.
    places: HashTable<usize>,
    topics: Vec<Gathered>,
    /// Their names, one behind the other: a segment may have a topic for each record.
    names: Vec<u8>,
    /// The topic before: records of one topic often lie together.
    last: Option<usize>,
    bytes: usize,
    overflows: bool,
}

/// A topic and the offsets of its records.
#[derive(Debug)]
struct Gathered {
    hash: u64,
    name: Range<usize>,
    postings: Postings,
}

impl TopicsBuilder {
    pub(super) fn new(base: u64) -> Self {
        Self { base, ..Self::default() }
    }

    /// A record of this topic; offsets rise.
    pub(super) fn add(&mut self, topic: &[u8], offset: u64) {
        if self.overflows {
            return;
        }
        let relative = offset - self.base;
        let at = match self.last.filter(|last| self.name(*last) == topic) {
            Some(at) => at,
            None => self.place_of(topic),
        };
        self.last = Some(at);
        self.bytes += self.topics[at].postings.push(relative);
        if self.bytes > BUILDER_BYTES_MAX {
            *self = Self { base: self.base, overflows: true, ..Self::default() };
        }
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn name(&self, at: usize) -> &[u8] {
        &self.names[self.topics[at].name.clone()]
    }

    fn place_of(&mut self, topic: &[u8]) -> usize {
        let hash = self.hasher.hash_one(topic);
        let is_it = |at: &usize| self.topics[*at].hash == hash && self.name(*at) == topic;
        if let Some(at) = self.places.find(hash, is_it) {
            return *at;
        }
        let (at, start) = (self.topics.len(), self.names.len());
        self.names.extend_from_slice(topic);
        let name = start..self.names.len();
        self.topics.push(Gathered { hash, name, postings: Postings::default() });
        self.places.insert_unique(hash, at, |at| self.topics[*at].hash);
        self.bytes += topic.len() + TOPIC_OVERHEAD_BYTES;
        at
    }

    /// The file's bytes; `None` if there is too much for an index.
    pub(super) fn finish(self) -> Option<Vec<u8>> {
        if self.overflows {
            return None;
        }
        let mut topics: Vec<_> = self.topics.iter().collect();
        topics.sort_unstable_by_key(|topic| &self.names[topic.name.clone()]);
        let mut out = MAGIC.to_vec();
        let mut places = Vec::with_capacity(topics.len());
        for topic in &topics {
            let place = put(&mut out, topic.postings.bytes())?;
            places.push((&self.names[topic.name.clone()], place));
        }
        let mut root = MapBuilder::memory();
        for page in places.chunks(PAGE_TOPICS) {
            let topics = page.iter().map(|(topic, place)| (topic, *place));
            let fst = Map::from_iter(topics).ok()?.into_fst().into_inner();
            let (last, _) = page.last()?;
            root.insert(last, put(&mut out, &fst)?).ok()?;
        }
        let root = put(&mut out, &root.into_inner().ok()?)?;
        let mut footer = root.to_le_bytes().to_vec();
        footer.extend_from_slice(&self.base.to_le_bytes());
        footer.extend_from_slice(&(places.len() as u64).to_le_bytes());
        footer.extend_from_slice(&MAGIC);
        footer.extend_from_slice(&crc_fast::crc32_iscsi(&footer).to_le_bytes());
        footer.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&footer);
        Some(out)
    }
}

/// Add a checksum and bytes; returns their place.
fn put(out: &mut Vec<u8>, bytes: &[u8]) -> Option<u64> {
    let position = out.len() as u64;
    out.extend_from_slice(&crc_fast::crc32_iscsi(bytes).to_le_bytes());
    out.extend_from_slice(bytes);
    let length = out.len() as u64 - position;
    let fits = length < 1 << LENGTH_BITS && position < 1 << (64 - LENGTH_BITS);
    fits.then_some(position << LENGTH_BITS | length)
}

/// Where in the file something lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) position: u64,
    pub(super) bytes: usize,
}

impl Place {
    pub(super) fn unpack(packed: u64) -> Self {
        let bytes = packed & ((1 << LENGTH_BITS) - 1);
        let bytes = usize::try_from(bytes).expect("below 1 << 24");
        Self { position: packed >> LENGTH_BITS, bytes }
    }
}

/// A page, or the root: topics in order.
pub(super) type Page = Map<Vec<u8>>;

/// The part of a topic index that stays in memory.
#[derive(Debug)]
pub(crate) struct Topics {
    pub(super) root: Page,
    file: Arc<dyn File>,
}

impl Topics {
    /// The index of a segment. An error is one more reason to do without.
    pub(super) fn open(
        disk: &dyn Disk,
        folder: &str,
        segment: &Segment,
        meter: &Meter,
    ) -> io::Result<Self> {
        let file = disk.open(&file_name(folder, segment, TOPICS), OpenMode::Read)?;
        let at = file.len()?.checked_sub(FOOTER_BYTES as u64).ok_or_else(damaged)?;
        let footer = meter.read_at(&*file, FOOTER_BYTES, at)?;
        let number = |at: usize| {
            u64::from_le_bytes(footer[at..at + 8].try_into().expect("the range is 8 long"))
        };
        let crc = crc_fast::crc32_iscsi(&footer[..32]).to_le_bytes();
        let ours = footer[24..32] == MAGIC && footer[32..36] == crc;
        if !ours || number(8) != segment.base {
            return Err(damaged());
        }
        let place = Place::unpack(number(0));
        let root = page(read_checked(meter, &*file, place)?)?;
        Ok(Self { root, file })
    }

    /// The page at a place of the root.
    pub(super) fn page(&self, meter: &Meter, place: u64) -> io::Result<Page> {
        page(read_checked(meter, &*self.file, Place::unpack(place))?)
    }

    /// Postings from all these places, each shown once, in the order of the file. What lies close
    /// together is read at once.
    pub(super) fn visit_postings(
        &self,
        meter: &Meter,
        places: &[Place],
        visit: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut rest = places;
        while let Some(first) = rest.first() {
            let end = |place: &Place| place.position + place.bytes as u64;
            let mut count = 1;
            while let Some(next) = rest.get(count)
                && next.position <= end(&rest[count - 1]) + GAP_BYTES
                && end(next) <= first.position + RUN_BYTES
            {
                count += 1;
            }
            let length = end(&rest[count - 1]) - first.position;
            let length = usize::try_from(length).map_err(|_| damaged())?;
            let bytes = meter.read_at(&*self.file, length, first.position)?;
            for place in &rest[..count] {
                let at = usize::try_from(place.position - first.position).map_err(|_| damaged())?;
                visit(checked(&bytes[at..at + place.bytes])?);
            }
            rest = &rest[count..];
        }
        Ok(())
    }
}

/// Postings this close are read together with what is between them.
const GAP_BYTES: u64 = 4 << 10;
/// Read at once at most, unless one is longer.
const RUN_BYTES: u64 = 1 << 20;

fn read_checked(meter: &Meter, file: &dyn File, place: Place) -> io::Result<Vec<u8>> {
    let mut bytes = meter.read_at(file, place.bytes, place.position)?;
    checked(&bytes)?;
    bytes.drain(..CRC_BYTES);
    Ok(bytes)
}

fn checked(bytes: &[u8]) -> io::Result<&[u8]> {
    let (crc, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    let right = crc_fast::crc32_iscsi(rest) == u32::from_le_bytes(*crc);
    if right { Ok(rest) } else { Err(damaged()) }
}

fn page(bytes: Vec<u8>) -> io::Result<Page> {
    Map::new(bytes).map_err(|_| damaged())
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the topic index is damaged")
}
