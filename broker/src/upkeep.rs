//! What the broker does now and then: has expired sessions dropped, says what the others still have
//! to read, lets retention take the rest. Decides nothing.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tidewire_bridge::bridges::{held, hold_name};
use tidewire_proto::id::PartitionId;
use tidewire_proto::topic::is_shared;
use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::rows::session::SessionRow;
use tidewire_store::rows::{bounds_of, cursor, share, subscription};
use tidewire_store::{ReadError, RetentionReport, Store, Table};

use crate::core::inbox::Event;
use crate::core::shared::{Shared, wall_clock_ms};
use crate::share_gauges::ShareGauges;
use crate::share_lag::show_share_groups;

/// How often.
const INTERVAL: Duration = Duration::from_secs(30);
/// How often within an interval it is looked whether retention is urgent.
const LOOKS: u32 = 30;
/// Streams that grow past their limits are looked after at every so manieth look at most.
const LOOKS_APART: u32 = 3;
/// Under which name the store knows what sessions have not read.
pub(crate) const SESSIONS: &str = "sessions";
/// The same of consumer groups.
pub(crate) const CONSUMER_GROUPS: &str = "consumer groups";
/// Expired sessions that are dropped at one time; the rest the next time.
const EXPIRED_MAX: usize = 100_000;
/// Expired sessions that a core looks after before it serves others.
const EXPIRED_AT_A_TIME: usize = 32;
/// How often we look whether we are to stop while a core has them.
const VISIT_PATIENCE: Duration = Duration::from_millis(100);

/// The thread that does it; ends when told to.
pub(crate) struct Upkeep {
    stop: Sender<()>,
    thread: JoinHandle<()>,
}

impl Upkeep {
    /// Begins at once, then goes on at intervals.
    pub(crate) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("upkeep".into()).spawn(move || {
            let mut gauges = ShareGauges::new();
            loop {
                let now_ms = wall_clock_ms();
                run(&shared, now_ms);
                sweep(&shared, now_ms);
                drop_expired(&shared, &stopped);
                let now_ms = wall_clock_ms();
                run(&shared, now_ms);
                sweep(&shared, now_ms);
                show_shares(&shared, &mut gauges, now_ms);
                if rest(&shared, &stopped).is_break() {
                    return;
                }
            }
        })?;
        Ok(Self { stop, thread })
    }

    /// Waits for what is under way.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("the upkeep of the log ended in a panic");
        }
    }
}

/// Until the next time, with an eye on streams that grow past their limits, which retention looks
/// after meanwhile; or until we are to stop.
fn rest(shared: &Shared, stopped: &Receiver<()>) -> ControlFlow<()> {
    let mut between = Between::default();
    for _ in 0..LOOKS {
        match stopped.recv_timeout(INTERVAL / LOOKS) {
            Err(RecvTimeoutError::Timeout) => (),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return ControlFlow::Break(()),
        }
        if between.is_due(shared.store.is_retention_urgent()) {
            run(shared, wall_clock_ms());
        }
    }
    ControlFlow::Continue(())
}

/// When retention runs between two times of its own. It reads what all sessions and groups have not
/// read: a stream for which it can do nothing must not have it do that all the time.
#[derive(Default)]
struct Between {
    looks: u32,
}

impl Between {
    /// One more look: does it run now?
    fn is_due(&mut self, is_urgent: bool) -> bool {
        self.looks += 1;
        let is_due = is_urgent && self.looks >= LOOKS_APART;
        if is_due {
            self.looks = 0;
        }
        is_due
    }
}

/// Has the cores drop sessions whose clients stayed away too long. Only a core can: it knows
/// whether a client is coming back this moment.
fn drop_expired(shared: &Shared, stopped: &Receiver<()>) {
    let now_ms = wall_clock_ms();
    let mut expired: Vec<Arc<str>> = Vec::new();
    let (from, to) = (Bound::Unbounded, Bound::Unbounded);
    let scanned = shared.store.scan(Table::Sessions, from, to, &mut |key, row| {
        let is_expired = SessionRow::decode(row).is_ok_and(|row| row.is_expired(now_ms));
        if let (true, Ok(client_id)) = (is_expired, std::str::from_utf8(key)) {
            expired.push(client_id.into());
        }
        match expired.len() < EXPIRED_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    if let Err(error) = scanned {
        tracing::error!(%error, "sessions cannot be read; expired ones stay");
    }
    let cores = shared.inboxes.iter().cycle();
    for (client_ids, inbox) in expired.chunks(EXPIRED_AT_A_TIME).zip(cores) {
        let (done, is_done) = channel();
        inbox.push(Event::Visit(client_ids.to_vec(), done));
        while is_done.recv_timeout(VISIT_PATIENCE).is_err() {
            if stopped.try_recv() != Err(TryRecvError::Empty) {
                return;
            }
        }
    }
    if !expired.is_empty() {
        tracing::info!(sessions = expired.len(), "Dropped sessions whose time was over.");
    }
}

fn run(shared: &Shared, now_ms: i64) {
    let store = &shared.store;
    for (readers, unread) in
        [(SESSIONS, unread_from(store)), (CONSUMER_GROUPS, uncommitted_from(store))]
    {
        match unread {
            Ok(held) if held.is_empty() => store.release_hold(readers),
            Ok(held) => store.set_hold(readers, &held.into_iter().collect::<Vec<_>>()),
            // Without knowing who reads what, nothing may go.
            Err(error) => {
                return tracing::error!(%error, readers, "cannot be read; retention waits");
            }
        }
    }
    let bridges = &*shared.bridges;
    match held(store, bridges.iter().map(String::as_str)) {
        Ok(held) => {
            for (bridge, unread) in held {
                match unread.is_empty() {
                    true => store.release_hold(&bridge),
                    false => store.set_hold(&bridge, &unread),
                }
            }
        }
        Err(error) => return tracing::error!(%error, "bridges cannot be read; retention waits"),
    }
    // One that was taken away meanwhile is not held for.
    for gone in bridges.iter().filter(|name| !shared.bridges.contains(name)) {
        store.release_hold(&hold_name(gone));
    }
    let reports = store.retain(now_ms);
    shared.forecasts.set(&reports, now_ms);
    reports.iter().for_each(report);
}

/// How far share groups are behind.
fn show_shares(shared: &Shared, gauges: &mut ShareGauges, now_ms: i64) {
    let log = (&shared.store, &*shared.forecasts);
    if let Err(error) = gauges.show(|show| show_share_groups(log, now_ms, show)) {
        tracing::error!(%error, "share groups cannot be read");
    }
}

/// Retained messages that nobody gets any more, and bans that are over.
fn sweep(shared: &Shared, now_ms: i64) {
    shared.bans.sweep(&shared.store, now_ms);
    match shared.retained.sweep(&shared.store, now_ms) {
        Ok(0) => (),
        Ok(count) => tracing::info!(count, "stale retained messages deleted"),
        Err(error) => tracing::error!(%error, "retained messages cannot be read"),
    }
}

/// The lowest offset per partition that some session has not read, or not acknowledged.
fn unread_from(store: &Store) -> Result<BTreeMap<PartitionId, u64>, ReadError> {
    let mut lowest: BTreeMap<PartitionId, u64> = BTreeMap::new();
    let mut hold = |partition, offset| {
        let held = lowest.entry(partition).or_insert(offset);
        *held = offset.min(*held);
    };
    let mut failure = None;
    store.scan(Table::Cursors, Bound::Unbounded, Bound::Unbounded, &mut |key, row| {
        let Ok(row) = cursor::decode(row) else { return ControlFlow::Continue(()) };
        for (_, exchange) in &row.exchanges {
            hold(exchange.place.partition, exchange.place.offset);
        }
        match subscribes(store, key) {
            Ok(true) => row.positions.iter().for_each(|(partition, next)| hold(partition, next)),
            Ok(false) => (),
            Err(error) => {
                failure = Some(error);
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    store.scan(Table::Shares, Bound::Unbounded, Bound::Unbounded, &mut |key, row| {
        let Ok(share::Key::Group(_)) = share::Key::decode(key) else {
            return ControlFlow::Continue(());
        };
        let Ok(row) = share::GroupRow::decode(row) else { return ControlFlow::Continue(()) };
        row.unfinished.iter().for_each(|one| hold(one.place.partition, one.place.offset));
        row.positions.iter().for_each(|(partition, next)| hold(partition, next));
        ControlFlow::Continue(())
    })?;
    Ok(lowest)
}

/// The lowest offset per partition that some consumer group wants next. A partition in which a
/// group never committed is not held for it.
fn uncommitted_from(store: &Store) -> Result<BTreeMap<PartitionId, u64>, ReadError> {
    let mut lowest: BTreeMap<PartitionId, u64> = BTreeMap::new();
    let streams = store.streams();
    store.scan(Table::GroupOffsets, Bound::Unbounded, Bound::Unbounded, &mut |key, row| {
        if let (Ok(key), Ok(row)) = (OffsetKey::decode(key), OffsetRow::decode(row)) {
            let stream = streams.iter().find(|stream| stream.name == key.topic);
            let ids = stream.map(|stream| &stream.partitions);
            if let Some(id) = ids.and_then(|ids| ids.get(key.partition as usize)) {
                let held = lowest.entry(*id).or_insert(row.offset);
                *held = row.offset.min(*held);
            }
        }
        ControlFlow::Continue(())
    })?;
    Ok(lowest)
}

/// A session that subscribes to nothing waits for nothing; shared, its group does.
fn subscribes(store: &Store, client_id: &[u8]) -> Result<bool, ReadError> {
    let Ok(client_id) = std::str::from_utf8(client_id) else { return Ok(false) };
    let (from, to) = bounds_of(client_id);
    let mut found = false;
    let (from, to) = (Bound::Included(&*from), Bound::Excluded(&*to));
    store.scan(Table::Subscriptions, from, to, &mut |key, _| {
        found = subscription::filter(client_id, key).is_ok_and(|filter| !is_shared(filter));
        if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    Ok(found)
}

fn report(report: &RetentionReport) {
    let stream = &*report.stream;
    for gone in &report.deleted {
        tracing::info!(
            stream,
            partition = gone.partition.0,
            from = gone.from,
            to = gone.to,
            bytes = gone.bytes,
            "retention deleted records"
        );
    }
    if report.refuses {
        let held = report.held_bytes;
        tracing::warn!(stream, held, "the stream is full of what sessions have not read: refusing");
    }
    if let Some(forecast) = &report.forecast {
        let (readers, in_s) = (&forecast.readers, forecast.in_ms / 1000);
        tracing::warn!(stream, ?readers, in_s, "readers will lose messages if they do not read");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::id::PartitionId;
    use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
    use tidewire_store::{
        Commit, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions, Table, TableChange,
    };

    use super::{Between, LOOKS, LOOKS_APART, uncommitted_from};

    #[test]
    fn a_stream_that_stays_past_its_limit_has_retention_run_now_and_then_not_at_every_look() {
        let mut between = Between::default();
        let ran = (0..LOOKS).filter(|_| between.is_due(true)).count();
        assert_eq!(ran, (LOOKS / LOOKS_APART) as usize);
        let mut between = Between::default();
        assert!((0..LOOKS).all(|_| !between.is_due(false)));
        assert!(between.is_due(true), "after a rest at once");
    }

    #[test]
    fn the_log_is_held_from_the_lowest_offset_that_a_consumer_group_wants() {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StreamConfig::default();
        let streams = vec![StreamOptions { name: "mqtt".into(), partitions: 2, config }];
        let options = StoreOptions { streams, threads: false, ..StoreOptions::default() };
        let disk = Arc::new(RealDisk::new(folder.path()));
        let (store, _) = Store::open(disk, options).expect("opens");
        let commit = |group, topic, partition, offset: Option<u64>| {
            let key = OffsetKey { group, topic, partition }.encode().expect("short");
            let row = offset.map(|offset| OffsetRow { offset, ..OffsetRow::default() }.encode());
            let changes = vec![TableChange::new(Table::GroupOffsets, key, row)];
            store.commit(Commit { appends: Vec::new(), changes }).expect("committed");
        };
        let held = || {
            let held = uncommitted_from(&store).expect("readable").into_iter();
            held.map(|(id, from)| (id.0, from)).collect::<Vec<_>>()
        };
        commit("fast", "mqtt", 0, Some(90));
        commit("slow", "mqtt", 0, Some(7));
        commit("slow", "no such stream", 0, Some(1));
        commit("slow", "mqtt", 9, Some(1));
        assert_eq!(held(), [(0, 7)]);
        commit("slow", "mqtt", 0, None);
        assert_eq!(held(), [(0, 90)], "what was forgotten holds nothing");
        assert_eq!(PartitionId(0), store.streams()[0].partitions[0]);
    }
}
