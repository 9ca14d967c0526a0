//! Files that are lost and sectors that cannot be read: each costs what was in it, and no more.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use rustix::io::Errno;
use tidewire_proto::id::PartitionId;

use super::crash::KEEP;
use super::harness::{options, put};
use crate::disk::sim::SimDisk;
use crate::disk::{Disk, File, OpenMode};
use crate::inspect::Repair;
use crate::{Health, Retention, Store, StoreOptions, StreamConfig};

const ID: PartitionId = PartitionId(0);
const FIRST_SEGMENT: &str = "streams/mqtt/0/00000000000000000000.seg";
/// Every batch of these tests is equally long.
const BATCH_BYTES: u64 = 61 + 7 + 3 + 10;

/// A disk with a sector in one file that cannot be read until it is written again.
#[derive(Debug)]
struct Scratched {
    disk: Arc<SimDisk>,
    scratch: Arc<Scratch>,
}

#[derive(Debug, Default)]
struct Scratch {
    name: String,
    bytes: Mutex<Range<u64>>,
    reads: AtomicU64,
}

#[derive(Debug)]
struct ScratchedFile {
    file: Arc<dyn File>,
    scratch: Option<Arc<Scratch>>,
}

impl Scratched {
    fn new(disk: Arc<SimDisk>, name: &str, bytes: Range<u64>) -> Arc<Self> {
        let scratch = Scratch { name: name.into(), bytes: Mutex::new(bytes), ..Scratch::default() };
        Arc::new(Self { disk, scratch: Arc::new(scratch) })
    }
}

impl Disk for Scratched {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let file = self.disk.open(name, mode)?;
        let scratch = (name == self.scratch.name).then(|| Arc::clone(&self.scratch));
        Ok(Arc::new(ScratchedFile { file, scratch }))
    }
    fn create_dir(&self, name: &str) -> io::Result<()> {
        self.disk.create_dir(name)
    }
    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        self.disk.list(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }
    fn sync_dir(&self, name: &str) -> io::Result<()> {
        self.disk.sync_dir(name)
    }
    fn lock(&self, name: &str) -> io::Result<()> {
        self.disk.lock(name)
    }
    fn random(&self) -> u64 {
        self.disk.random()
    }
}

impl File for ScratchedFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        if let Some(scratch) = &self.scratch {
            scratch.reads.fetch_add(1, Ordering::Relaxed);
            let bad = scratch.bytes.lock();
            if offset < bad.end && bad.start < offset + out.len() as u64 {
                return Err(Errno::IO.into());
            }
        }
        self.file.read_exact_at(out, offset)
    }
    fn write_all_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        if let Some(scratch) = &self.scratch {
            let end = offset + parts.iter().map(|part| part.len() as u64).sum::<u64>();
            let mut bad = scratch.bytes.lock();
            if offset <= bad.start && bad.end <= end {
                *bad = 0..0;
            }
        }
        self.file.write_all_at(parts, offset)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }
    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes)
    }
}

/// So much of a segment that a sector is a small part of it.
fn wide() -> StoreOptions {
    StoreOptions { segment_bytes_max: 64 << 10, ..options() }
}

fn text(n: u64) -> String {
    format!("record {n:03}")
}

/// So many records in batches of their own, all checkpointed.
fn filled(records: u64, options: StoreOptions) -> Arc<SimDisk> {
    let disk = SimDisk::new(5);
    let (store, _) = Store::open(disk.clone(), options).expect("opens");
    for n in 0..records {
        put(&store, 0, &text(n)).expect("committed");
    }
    drop(store);
    disk.restart(KEEP, 1)
}

/// The offsets that are served; what is served is right.
fn served(store: &Store) -> Vec<u64> {
    let (mut from, end) = store.bounds(ID).expect("the partition exists");
    let mut served = Vec::new();
    while from < end {
        let slice = store.read(ID, from, 300).expect("readable");
        for stored in &slice.batches {
            for record in stored.batch.records() {
                let offset = stored.base_offset + u64::from(record.offset_delta);
                assert_eq!(record.value, Some(text(offset).as_bytes()));
                served.push(offset);
            }
        }
        assert!(slice.next > from);
        from = slice.next;
    }
    served
}

/// All but `lost` are served, and that is named.
#[track_caller]
fn check(store: &Store, records: u64, lost: &Range<u64>) {
    let expected: Vec<_> = (0..records).filter(|n| !lost.contains(n)).collect();
    for _ in 0..2 {
        assert_eq!(served(store), expected);
    }
    let named = store.quarantined().1;
    let places: Vec<_> = named.iter().map(|one| (one.file.as_str(), one.from..one.to)).collect();
    let mut from = lost.start;
    for (file, offsets) in &places {
        assert_eq!((*file, offsets.start), (FIRST_SEGMENT, from), "{places:?}");
        from = offsets.end;
    }
    assert_eq!(from, lost.end, "{places:?}");
}

#[test]
fn a_segment_that_is_missing_is_quarantined_and_readers_go_on_behind_it() {
    let disk = filled(600, options());
    let (store, _) = Store::open(disk.clone(), options()).expect("opens");
    let all = disk.files();
    let mut segments =
        all.iter().filter(|name| name.starts_with("streams/mqtt/0/") && name.ends_with(".seg"));
    let lost = segments.next().expect("there are segments");
    let base_of = |name: &str| name[15..35].parse::<u64>().expect("a number");
    let behind = base_of(segments.next().expect("there are more"));
    disk.remove(lost).expect("removed");
    for _ in 0..2 {
        assert_eq!(served(&store), (behind..600).collect::<Vec<_>>());
        assert_eq!(store.offset_at(ID, 0), Ok(behind));
    }
    let (count, named) = store.quarantined();
    assert_eq!((count, &named[0].file, named[0].from, named[0].to), (1, lost, 0, behind));
}

#[test]
fn a_store_whose_open_segment_is_missing_begins_another_and_writes_on() {
    let disk = filled(20, options());
    disk.remove(FIRST_SEGMENT).expect("removed");
    let (store, _) = Store::open(disk.clone(), options()).expect("opens");
    for n in 20..500 {
        put(&store, 0, &text(n)).expect("the store writes on");
    }
    assert_eq!(store.health(), Health::Writable);
    check(&store, 500, &(0..20));
    drop(store);
    let (store, _) = Store::open(disk.restart(KEEP, 1), options()).expect("opens again");
    check(&store, 500, &(0..20));
}

#[test]
fn a_sector_that_cannot_be_read_costs_the_batches_in_it_and_no_more() {
    for bad in [0..4096, 4096..8192, 8192..12_288, 12_288..16_384] {
        let disk = Scratched::new(filled(300, wide()), FIRST_SEGMENT, bad.clone());
        let (store, _) = Store::open(disk, wide()).expect("opens");
        let last = (bad.end - 1) / BATCH_BYTES;
        check(&store, 300, &(bad.start / BATCH_BYTES..last + 1));
        let what = store.quarantined().1.pop().expect("named").what;
        assert!(what.contains("cannot read"), "{what}");
    }
}

#[test]
fn a_sector_that_cannot_be_read_is_repaired_and_the_dry_run_says_so() {
    let bad = 4096..8192;
    let disk = filled(300, wide());
    let scratched = Scratched::new(disk.clone(), FIRST_SEGMENT, bad);
    let repair = Repair::begin(scratched).expect("a folder of ours");
    let plan = repair.plan().expect("the dry run knows what can be done");
    assert!(plan.left.is_empty(), "{plan:?}");
    assert!(plan.steps[0].action.contains("cannot read 4096 bytes"), "{plan:?}");
    assert_eq!(repair.carry_out("backup").expect("repaired"), plan);
    let kept = disk.files().into_iter().find(|name| name.starts_with("backup/"));
    assert!(kept.is_some(), "what could be read is kept");
    let (store, _) = Store::open(disk.restart(KEEP, 1), wide()).expect("opens");
    assert_eq!(store.quarantined().0, 0);
}

#[test]
fn damage_is_passed_in_few_reads_also_where_nothing_is_read_ahead() {
    let disk = filled(300, wide());
    (0..40).for_each(|n| disk.flip(FIRST_SEGMENT, n * BATCH_BYTES + 16, 8));
    let disk = Scratched::new(disk, FIRST_SEGMENT, 0..0);
    let scratch = Arc::clone(&disk.scratch);
    let (store, _) = Store::open(disk, wide()).expect("opens");
    let retention = Retention { age_ms: Some(1_000_000), ..Retention::default() };
    let config = StreamConfig { retention, ..StreamConfig::default() };
    store.set_stream_config("mqtt", config).expect("set");
    let before = scratch.reads.load(Ordering::Relaxed);
    store.retain(1_000);
    assert_eq!(store.quarantined().0, 1, "retention looks when the segment begins");
    let reads = scratch.reads.load(Ordering::Relaxed) - before;
    assert!(reads < 10, "{reads} reads");
}
