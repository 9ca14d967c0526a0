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
use crate::disk::{Disk, File, Layer, LayeredDisk};
use crate::inspect::Repair;
use crate::partition::Segment;
use crate::segment::check_index;
use crate::wal::WalFile;
use crate::{Health, OpenError, ReadError, Retention, Slice, Store, StoreOptions, StreamConfig};

const ID: PartitionId = PartitionId(0);
const FIRST_SEGMENT: &str = "streams/mqtt/0/00000000000000000000.seg";
/// Every batch of these tests is equally long.
const BATCH_BYTES: u64 = 61 + 7 + 3 + 10;

/// A disk with a sector in one file that cannot be read until it is written again.
type Scratched = LayeredDisk<Scratch>;

#[derive(Debug, Default)]
struct Scratch {
    name: String,
    bytes: Mutex<Range<u64>>,
    reads: AtomicU64,
    /// So many reads of it succeed before.
    good_reads: AtomicU64,
}

fn scratched(disk: Arc<SimDisk>, name: &str, bytes: Range<u64>) -> Arc<Scratched> {
    let scratch = Scratch { name: name.into(), bytes: Mutex::new(bytes), ..Scratch::default() };
    Arc::new(LayeredDisk::new(disk, Arc::new(scratch)))
}

impl Layer for Scratch {
    fn covers(&self, name: &str) -> bool {
        name == self.name
    }

    fn read_exact_at(&self, file: &dyn File, out: &mut [u8], offset: u64) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let bad = self.bytes.lock();
        if offset < bad.end && bad.start < offset + out.len() as u64 {
            let order = Ordering::Relaxed;
            let fewer = |left: u64| left.checked_sub(1);
            if self.good_reads.fetch_update(order, order, fewer).is_err() {
                return Err(Errno::IO.into());
            }
        }
        file.read_exact_at(out, offset)
    }

    fn write_all_at(
        &self,
        file: &dyn File,
        parts: &mut [IoSlice<'_>],
        offset: u64,
    ) -> io::Result<()> {
        let end = offset + parts.iter().map(|part| part.len() as u64).sum::<u64>();
        let mut bad = self.bytes.lock();
        if offset <= bad.start && bad.end <= end {
            *bad = 0..0;
        }
        drop(bad);
        file.write_all_at(parts, offset)
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
        let disk = scratched(filled(300, wide()), FIRST_SEGMENT, bad.clone());
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
    let repair =
        Repair::begin(scratched(disk.clone(), FIRST_SEGMENT, bad)).expect("a folder of ours");
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
    let disk = scratched(disk, FIRST_SEGMENT, 0..0);
    let scratch = Arc::clone(disk.layer());
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

#[test]
fn a_disk_that_reads_nothing_for_a_while_costs_no_record() {
    let disk = scratched(filled(300, wide()), FIRST_SEGMENT, 0..u64::MAX);
    let scratch = Arc::clone(disk.layer());
    let (store, _) = Store::open(disk, wide()).expect("opens");
    for from in [0, 1, 150, 260, 299] {
        let read = store.read(ID, from, 300);
        assert!(matches!(read, Err(ReadError::Io(_))), "{from}: {read:?}");
    }
    assert_eq!(store.quarantined().0, 0);
    *scratch.bytes.lock() = 0..0;
    assert_eq!(served(&store), (0..300).collect::<Vec<_>>());
}

#[test]
fn a_disk_that_reads_nothing_of_a_small_segment_for_a_while_costs_no_record() {
    let disk = scratched(filled(20, wide()), FIRST_SEGMENT, 0..u64::MAX);
    let scratch = Arc::clone(disk.layer());
    let (store, _) = Store::open(disk, wide()).expect("opens");
    for from in [0, 1, 19, 0] {
        let read = store.read(ID, from, 300);
        assert!(matches!(read, Err(ReadError::Io(_))), "{from}: {read:?}");
    }
    assert_eq!(store.quarantined().0, 0);
    let bad = std::mem::take(&mut *scratch.bytes.lock());
    assert_eq!(served(&store), (0..20).collect::<Vec<_>>());
    *scratch.bytes.lock() = bad;
    for now_ms in [0, 60_000] {
        store.retain(now_ms);
        let is_read = store.read(ID, 0, 300).is_ok();
        assert_eq!(is_read, now_ms > 0, "bad sectors do not stop readers for ever");
    }
}

/// Seal a segment while the file of that name cannot be read from `bytes` on.
fn sealed_beside(name: &str, bytes: Range<u64>) -> (Arc<SimDisk>, Segment) {
    let sim = filled(700, wide());
    let disk = scratched(sim.clone(), name, bytes);
    let (store, _) = Store::open(disk, wide()).expect("opens");
    for n in 700..1_300 {
        put(&store, 0, &text(n % 1_000)).expect("the store writes on");
    }
    assert_eq!(store.health(), Health::Writable);
    let partition = store.inner.engine.catalog.partition(ID).expect("there");
    let sealed = partition.sealed_segments();
    assert_eq!(store.quarantined().0, 0);
    drop(store);
    (sim, *sealed.first().expect("one is sealed"))
}

#[test]
fn a_segment_that_cannot_be_read_when_it_is_sealed_has_no_short_index() {
    let (disk, sealed) = sealed_beside(FIRST_SEGMENT, 0..u64::MAX);
    assert_eq!(sealed.refined, None, "nor is it written anew");
    let found = check_index(&*disk, "streams/mqtt/0", &sealed).expect("readable");
    assert_eq!(found, Some("it is missing"));
    let (store, _) = Store::open(disk.restart(KEEP, 1), wide()).expect("opens");
    let offsets = |slice: &Slice| {
        let batches = slice.batches.iter();
        batches.flat_map(|one| one.base_offset..one.next_offset()).collect::<Vec<_>>()
    };
    let slice = store.read(ID, 0, 1 << 20).expect("readable");
    assert_eq!(offsets(&slice), (0..sealed.next).collect::<Vec<_>>());
}

#[test]
fn what_cannot_be_read_back_does_not_take_the_place_of_a_good_segment() {
    let anew = "streams/mqtt/0/00000000000000000000.1.seg";
    let (disk, sealed) = sealed_beside(&format!("{anew}.tmp"), 4096..u64::MAX);
    assert_eq!(sealed.refined, None);
    assert!(disk.files().iter().all(|name| !name.starts_with(anew)), "{:?}", disk.files());
}

const FIRST_WAL: &str = "wal/00000000000000000001.wal";
const SECOND_WAL: &str = "wal/00000000000000000002.wal";

/// So many commits in the log alone, and a disk that cannot read those bytes of one of its files.
fn logged(records: u64, name: &str, bad: Range<u64>) -> (Arc<SimDisk>, Arc<Scratched>) {
    let disk = SimDisk::new(5);
    let (store, _) = Store::open(disk.clone(), options()).expect("opens");
    for n in 0..records {
        put(&store, 0, &text(n)).expect("committed");
    }
    let disk = disk.restart(KEEP, 1);
    // The threads of a broker have the next file ready.
    WalFile::create(&*disk, 2, options().wal_file_bytes).expect("made");
    (disk.clone(), scratched(disk, name, bad))
}

#[test]
fn a_sector_behind_the_end_of_the_log_does_not_stop_the_start() {
    for (name, bad) in
        [(FIRST_WAL, 8192..12_288), (FIRST_WAL, 12_288..16_384), (SECOND_WAL, 8192..12_288)]
    {
        let (disk, scratched) = logged(10, name, bad.clone());
        let (store, report) = Store::open(scratched, options()).expect("it starts");
        assert_eq!((report.frames > 10, report.torn), (true, None));
        for n in 10..300 {
            put(&store, 0, &text(n)).expect("and goes on");
        }
        drop(store);
        let (store, _) = Store::open(disk.restart(KEEP, 1), options()).expect("opens again");
        assert_eq!(served(&store), (0..300).collect::<Vec<_>>(), "{name}, {bad:?}");
    }
}

/// The start is refused because of this place in the log, and a repair saves what lies before it.
#[track_caller]
fn check_log(records: u64, (name, bad): (&str, Range<u64>), at: Range<u64>, saved: Range<u64>) {
    let (disk, bad_disk) = logged(records, name, bad);
    let error = Store::open(bad_disk.clone(), options()).map(|_| ()).expect_err("refused");
    let OpenError::Damaged { file, position, what } = error else { panic!("{error}") };
    assert!(file == name && at.contains(&position), "{file}, {position}");
    assert!(what.contains("the disk cannot read"), "{what}");
    let disk_after = disk.restart(KEEP, 1);
    let again = scratched(disk_after.clone(), name, bad_disk.layer().bytes.lock().clone());
    let repair = Repair::begin(again).expect("a folder of ours");
    let plan = repair.plan().expect("the dry run knows what can be done");
    assert!(plan.left.is_empty() && plan.steps[0].file == name, "{plan:?}");
    repair.carry_out("backup").expect("repaired");
    drop(repair);
    let (store, _) = Store::open(disk_after.restart(KEEP, 1), options()).expect("opens");
    let served = served(&store);
    let is_start = served.iter().copied().eq(0..served.len() as u64);
    assert!(is_start && saved.contains(&(served.len() as u64)), "{served:?}");
}

#[test]
fn a_sector_that_may_hold_what_was_acknowledged_stops_the_start_and_is_named() {
    // All that was committed, its end, its middle, and what may be more of it.
    check_log(10, (FIRST_WAL, 4096..8192), 4096..4097, 0..1);
    check_log(35, (FIRST_WAL, 8192..12_288), 7900..8193, 15..35);
    check_log(60, (FIRST_WAL, 8192..12_288), 7900..8193, 15..35);
    check_log(10, (SECOND_WAL, 4096..8192), 4096..4097, 10..11);
}

#[test]
fn a_log_file_whose_header_cannot_be_read_is_one_with_a_damaged_header() {
    let (_, scratched) = logged(10, FIRST_WAL, 0..4096);
    let error = Store::open(scratched, options()).map(|_| ()).expect_err("refused");
    assert!(error.to_string().contains("header"), "{error}");
}

#[test]
fn a_disk_that_fails_for_a_moment_during_a_start_costs_nothing_of_the_log() {
    let places = [
        (FIRST_WAL, 0..4096),
        (FIRST_WAL, 4096..8192),
        (FIRST_WAL, 8192..12_288),
        (SECOND_WAL, 0..4096),
        (SECOND_WAL, 4096..8192),
    ];
    let mut refused = 0;
    for ((name, bad), good) in places.iter().flat_map(|place| (0..4).map(move |n| (place, n))) {
        let (disk, scratched) = logged(60, name, bad.clone());
        scratched.layer().good_reads.store(good, Ordering::Relaxed);
        let opened = Store::open(scratched, options());
        refused += u32::from(matches!(opened, Err(OpenError::Io(_))));
        drop(opened);
        let (store, _) = Store::open(disk.restart(KEEP, 1), options()).expect("the next starts");
        assert_eq!(served(&store), (0..60).collect::<Vec<_>>(), "{name}, {bad:?}, {good}");
    }
    assert!(refused >= 4, "{refused}");
}
