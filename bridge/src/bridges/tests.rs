//! The supervisor with a bridge that does as it is told: whatever is ordered, whatever fails, it
//! misses nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder, KeyRule};
use tidewire_proto::routing::placement::{Placement, Shelf};
use tidewire_store::{Append, Commit, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::desk::Desk;
use super::scope::Scope;
use super::work::{Ended, Running, Testing, Work};
use super::{
    BridgeNumbers, Bridges, BridgesThread, Change, Event, Needs, Order, OrderError, Plan, Retry,
    Start, State, To, held,
};
use crate::retained::{RetainedLimit, Settle};

/// Says every offset that it is done with.
struct Copy {
    scope: Scope,
    read: Sender<u64>,
    /// So many runs fail as soon as they have read something.
    failures: AtomicU32,
    panics: AtomicU32,
}

impl Work for Copy {
    fn scope(&self) -> Option<&Scope> {
        Some(&self.scope)
    }

    fn run(self: Arc<Self>, mut desk: Desk) -> Running {
        Box::pin(async move {
            let copied = self.copy(desk.clone());
            tokio::select! {
                why = copied => Ended::Failed(why),
                () = desk.leaves() => Ended::Left,
            }
        })
    }

    fn test(self: Arc<Self>) -> Testing {
        Box::pin(async { Err("there is nobody".into()) })
    }
}

impl Copy {
    async fn copy(&self, desk: Desk) -> String {
        let (mut source, _) = match desk.source(&self.scope, Start::Earliest, 1 << 20).await {
            Ok(opened) => opened,
            Err(error) => return error,
        };
        desk.running("nobody");
        loop {
            let chunk = match source.next().await {
                Ok(chunk) => chunk,
                Err(error) => return error.to_string(),
            };
            if take_one(&self.panics) {
                panic!("as it was told");
            }
            if take_one(&self.failures) {
                return "as it was told".into();
            }
            let offsets: Vec<u64> = chunk.records().map(|(offset, _)| offset).collect();
            let change = desk.positioned(source.positions(), Box::default());
            let commit = Commit { appends: Vec::new(), changes: vec![change] };
            if let Err(error) = desk.commit(commit).await {
                return error.to_string();
            }
            desk.count(Event::Sent, offsets.len() as u64);
            for offset in offsets {
                // The test may be over.
                let _ = self.read.send(offset).await;
            }
        }
    }
}

fn take_one(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

struct NoLimit;

impl RetainedLimit for NoLimit {
    fn claim(&self, _: &str, _: Option<&Batch>) -> Option<Settle> {
        Some(Box::new(|_| ()))
    }
}

/// A store with one partition, and a bridge that copies it.
struct House {
    store: Store,
    bridges: Bridges,
    thread: Option<BridgesThread>,
    copy: Arc<Copy>,
    reads: Mutex<Receiver<u64>>,
    _folder: tempfile::TempDir,
}

impl House {
    fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StreamConfig::default();
        let streams = vec![StreamOptions { name: "mqtt".into(), partitions: 1, config }];
        let options = StoreOptions { streams, ..StoreOptions::default() };
        let disk = Arc::new(RealDisk::new(folder.path()));
        let (store, _) = Store::open(disk, options).expect("opens");
        let (read, reads) = channel(1_000);
        let (failures, panics) = (AtomicU32::new(0), AtomicU32::new(0));
        let copy = Arc::new(Copy { scope: Scope::default(), read, failures, panics });
        let (bridges, thread) = supervise(&store, &copy);
        let reads = Mutex::new(reads);
        Self { store, bridges, thread: Some(thread), copy, reads, _folder: folder }
    }

    /// Ends the thread in the middle of whatever it does, and begins anew.
    fn reopen(&mut self) {
        self.thread.take().expect("it runs").close();
        let (bridges, thread) = supervise(&self.store, &self.copy);
        (self.bridges, self.thread) = (bridges, Some(thread));
    }

    fn append(&self, count: usize) {
        for _ in 0..count {
            let mut batch = BatchBuilder::new();
            batch.push(1, Some(b"a"), Some(b"x"), &[]);
            let appends = vec![Append::new(PartitionId(0), batch.finish())];
            self.store.commit(Commit { appends, changes: Vec::new() }).expect("committed");
        }
    }

    fn expect(&self, offsets: std::ops::Range<u64>) {
        let mut reads = self.reads.lock();
        let mut missing: BTreeSet<u64> = offsets.collect();
        while let Some(first) = missing.first().copied() {
            let offset = reads.blocking_recv().expect("it lives");
            assert_eq!(offset, first, "in order, and none twice");
            missing.remove(&offset);
        }
    }

    fn order(&self, order: Order) -> Result<String, OrderError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(self.bridges.order("copy", order))
    }

    fn is_quiet(&self) -> bool {
        self.reads.lock().try_recv().is_err()
    }

    fn held(&self) -> Vec<(PartitionId, u64)> {
        held(&self.store, ["copy"]).expect("readable").remove(0).1
    }
}

fn supervise(store: &Store, copy: &Arc<Copy>) -> (Bridges, BridgesThread) {
    let (filters, key) = (Vec::new(), KeyRule::Topic);
    let partitions = vec![PartitionId(0)];
    let shelf = Shelf { filters, partitions, log_qos0: true, names_publisher: false, key };
    let plan = |name: &str, work: Arc<dyn Work>| Plan { name: name.into(), kind: "copy", work };
    let (hangs, hopeless) = (Arc::new(Hangs), Arc::new(Hopeless));
    let copy = Arc::clone(copy);
    let plans = vec![plan("hopeless", hopeless), plan("hangs", hangs), plan("copy", copy)];
    let names: Vec<_> = plans.iter().map(Plan::name_and_kind).collect();
    let (min, max) = (Duration::from_millis(1), Duration::from_millis(5));
    let needs = Needs {
        store: store.clone(),
        placement: Box::new(move || Placement::new(vec![shelf.clone()], 9).expect("whole")),
        retained: Arc::new(NoLimit),
        forecasts: Arc::default(),
        numbers: BridgeNumbers::register(&names),
        retry: Retry { min, max },
    };
    Bridges::open(plans, needs).expect("a thread")
}

/// Looks up names that nobody answers for.
struct Hangs;

/// More than the longest test takes.
const HANGS: Duration = Duration::from_secs(600);

impl Work for Hangs {
    fn scope(&self) -> Option<&Scope> {
        None
    }

    fn run(self: Arc<Self>, mut desk: Desk) -> Running {
        Box::pin(async move {
            for _ in 0..4 {
                tokio::task::spawn_blocking(|| std::thread::park_timeout(HANGS));
            }
            desk.leaves().await;
            Ended::Left
        })
    }

    fn test(self: Arc<Self>) -> Testing {
        Box::pin(async { Err("it hangs".into()) })
    }
}

/// Can never run.
struct Hopeless;

impl Work for Hopeless {
    fn scope(&self) -> Option<&Scope> {
        None
    }

    fn run(self: Arc<Self>, _: Desk) -> Running {
        Box::pin(async { Ended::Hopeless("there is no such file".into()) })
    }

    fn test(self: Arc<Self>) -> Testing {
        Box::pin(async { Ok("there it is".into()) })
    }
}

#[test]
fn nothing_is_missed_or_read_twice_through_failures_panics_and_restarts() {
    let mut house = House::open();
    house.append(3);
    house.expect(0..3);
    house.copy.failures.store(3, Ordering::SeqCst);
    house.append(1);
    house.expect(3..4);
    house.copy.panics.store(2, Ordering::SeqCst);
    house.append(1);
    house.expect(4..5);
    house.reopen();
    house.append(2);
    house.expect(5..7);
    let status = house.bridges.status("copy").expect("known");
    assert_eq!(status.counts.of(Event::Sent), 2, "since it began anew");
}

#[test]
fn a_bridge_that_failed_says_why_and_disturbs_no_other() {
    let house = House::open();
    house.copy.panics.store(1, Ordering::SeqCst);
    house.append(1);
    house.expect(0..1);
    let status = house.bridges.status("copy").expect("known");
    assert_eq!(status.last_error.expect("it failed").words, "it ended in a panic");
    assert_eq!(status.counts.of(Event::Failure), 1);
    let known = || house.bridges.status("hopeless").expect("known");
    while known().state != State::Failed {
        std::thread::yield_now();
    }
    let hopeless = known();
    assert_eq!(hopeless.last_error.expect("it failed").words, "there is no such file");
}

#[test]
fn a_paused_bridge_is_held_for_and_a_stopped_one_is_not_and_both_stay_so() {
    let mut house = House::open();
    house.append(2);
    house.expect(0..2);
    house.order(Order::Pause).expect("it rests");
    assert_eq!(house.bridges.status("copy").expect("known").state, State::Paused);
    house.append(2);
    assert_eq!(house.held(), [(PartitionId(0), 2)]);
    house.reopen();
    assert!(house.is_quiet());
    house.order(Order::Stop).expect("it stops");
    assert_eq!(house.held(), []);
    assert!(house.is_quiet());
    house.order(Order::Start).expect("it runs");
    house.expect(2..4);
}

#[test]
fn names_that_are_not_found_keep_nobody_from_reading_and_the_broker_from_stopping() {
    let mut house = House::open();
    house.append(3);
    house.expect(0..3);
    house.order(Order::Rewind(To::Earliest)).expect("files are read");
    house.expect(0..3);
    // This returns long before the names are found.
    let began = std::time::Instant::now();
    house.reopen();
    assert!(began.elapsed() < HANGS / 2);
}

#[test]
fn a_bridge_reads_on_where_it_is_told() {
    let house = House::open();
    house.append(5);
    house.expect(0..5);
    house.order(Order::Rewind(To::Earliest)).expect("moved");
    house.expect(0..5);
    let to = |offset| To::Offset { stream: "mqtt".into(), partition: 0, offset };
    house.order(Order::Rewind(to(3))).expect("moved");
    house.expect(3..5);
    house.order(Order::Pause).expect("it rests");
    house.append(4);
    let skip = |stream: &str| Order::Skip { stream: stream.into(), partition: 0, records: 3 };
    house.order(skip("mqtt")).expect("moved");
    let stream = "none".to_owned();
    assert_eq!(house.order(skip("none")), Err(OrderError::NoPartition { stream, partition: 0 }));
    house.order(Order::Start).expect("it runs");
    house.expect(8..9);
    assert_eq!(house.order(Order::Test), Err(OrderError::Test("there is nobody".into())));
}

#[test]
fn bridges_end_and_begin_beside_others_and_go_on_where_they_were() {
    let house = House::open();
    let change = |gone: &[&str], with_copy: bool| {
        let work = Arc::clone(&house.copy) as Arc<dyn Work>;
        let plan = Plan { name: "copy".into(), kind: "copy", work };
        let (min, max) = (Duration::from_millis(1), Duration::from_millis(5));
        house.bridges.change(Change {
            gone: gone.iter().map(ToString::to_string).collect(),
            plans: with_copy.then_some(plan).into_iter().collect(),
            retry: Retry { min, max },
            order: ["copy", "hangs", "hopeless"].map(str::to_owned).to_vec(),
        });
        let names = house.bridges.statuses().into_iter().map(|status| status.name);
        names.collect::<Vec<_>>()
    };
    // What it reads while it leaves it may not say.
    let await_holders = |count: usize| {
        while Arc::strong_count(&house.copy) != count {
            std::thread::yield_now();
        }
    };
    house.append(2);
    house.expect(0..2);
    assert_eq!(change(&["copy"], true), ["copy", "hangs", "hopeless"], "another of its name");
    // The test, the bridge, and what it runs: the one before runs nothing any more.
    await_holders(3);
    house.append(2);
    house.expect(2..4);
    assert_eq!(change(&["copy"], false), ["hangs", "hopeless"]);
    await_holders(1);
    assert_eq!(house.order(Order::Pause), Err(OrderError::Unknown("copy".into())));
    house.append(2);
    assert_eq!(change(&[], true), ["copy", "hangs", "hopeless"]);
    house.expect(4..6);
    assert!(house.is_quiet(), "the one before is gone");
}
