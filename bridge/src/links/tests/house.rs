//! A store with two partitions to read, a third for what comes, and one link.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewire_proto::id::PartitionId;
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{Properties, Version};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::{Batch, BatchBuilder, KeyRule};
use tidewire_proto::routing::placement::{Placement, Shelf};
use tidewire_proto::session::window::Exchange;
use tidewire_store::rows::bridge::BridgeRow;
use tidewire_store::rows::link;
use tidewire_store::{
    Append, Commit, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions, TableChange,
};

use super::remote::Remote;
use crate::bridges::{BridgeNumbers, Bridges, BridgesThread, Needs, Order, Retry, Start, Status};
use crate::links::{LinkOptions, LinkRule, plan};
use crate::retained::{RetainedLimit, Settle};

/// Only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Where messages are put that come.
const INTO: PartitionId = PartitionId(2);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

struct NoLimit;

impl RetainedLimit for NoLimit {
    fn claim(&self, _: &str, _: Option<&Batch>) -> Option<Settle> {
        Some(Box::new(|_| ()))
    }
}

pub(super) struct House {
    pub(super) store: Store,
    open: Option<(Bridges, BridgesThread)>,
    _folder: tempfile::TempDir,
}

pub(super) fn rule(is_out: bool, filter: &str, qos: u8) -> LinkRule {
    LinkRule {
        is_out,
        is_in: !is_out,
        filter: filter.into(),
        qos,
        local_prefix: String::new(),
        remote_prefix: String::new(),
        keeps_retain: true,
    }
}

fn options(remote: &Remote) -> LinkOptions {
    LinkOptions {
        name: "peer".into(),
        addresses: vec![remote.address()],
        version: Version::V5,
        client_id: None,
        user: None,
        password_file: None,
        tls: None,
        keep_alive: Duration::from_secs(60),
        session_expiry_s: 600,
        in_flight_max: 1_000,
        packet_bytes_max: 1 << 20,
        remote_packet_bytes_max: 0,
        start: Start::Earliest,
        try_private: false,
        websocket_path: None,
        remote_state_topic: None,
        rules: Vec::new(),
    }
}

impl House {
    pub(super) fn open() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = StreamConfig::default();
        let streams = vec![StreamOptions { name: "mqtt".into(), partitions: 3, config }];
        let store_options = StoreOptions { streams, ..StoreOptions::default() };
        let disk = Arc::new(RealDisk::new(folder.path()));
        let (store, _) = Store::open(disk, store_options).expect("opens");
        Self { store, open: None, _folder: folder }
    }

    /// Begins the link, anew if there is one.
    pub(super) fn link(&mut self, remote: &Remote, change: impl FnOnce(&mut LinkOptions)) {
        self.close();
        let mut options = options(remote);
        change(&mut options);
        let plans = vec![plan(options)];
        let (filters, key, log_qos0) = (Vec::new(), KeyRule::Topic, true);
        let (partitions, names_publisher) = (vec![INTO], false);
        let shelf = Shelf { filters, partitions, log_qos0, key, names_publisher };
        let (min, max) = (Duration::from_millis(1), Duration::from_millis(5));
        let names: Vec<_> = plans.iter().map(crate::bridges::Plan::name_and_kind).collect();
        let needs = Needs {
            store: self.store.clone(),
            placement: Box::new(move || Placement::new(vec![shelf.clone()], 9).expect("whole")),
            retained: Arc::new(NoLimit),
            forecasts: Arc::default(),
            numbers: BridgeNumbers::register(&names),
            retry: Retry { min, max },
        };
        self.open = Some(Bridges::open(plans, needs).expect("a thread"));
    }

    /// In the middle of whatever it does.
    pub(super) fn close(&mut self) {
        if let Some((_, thread)) = self.open.take() {
            thread.close();
        }
    }

    fn bridges(&self) -> &Bridges {
        &self.open.as_ref().expect("there is a link").0
    }

    pub(super) fn status(&self) -> Status {
        self.bridges().status("peer").expect("known")
    }

    pub(super) fn order(&self, order: Order) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(self.bridges().order("peer", order)).expect("carried out");
    }

    /// What its row says that is on its way.
    pub(super) fn exchanges(&self) -> Vec<Exchange> {
        let row = self.until("there is a row", |row| !row.extra.is_empty());
        let exchanges = link::decode(&row.extra).expect("a row").cursor.exchanges;
        exchanges.into_iter().map(|(_, exchange)| exchange).collect()
    }

    pub(super) fn append(&self, partition: u32, topics: &[&str], qos: Qos) {
        self.append_bytes(partition, topics, (qos, b"x"));
    }

    pub(super) fn append_bytes(
        &self,
        partition: u32,
        topics: &[&str],
        (qos, payload): (Qos, &[u8]),
    ) {
        let mut batch = BatchBuilder::new();
        for topic in topics {
            let (retain, properties) = (false, Properties::EMPTY);
            let message = Published { topic, payload, qos, retain, properties, origin: None };
            message.push_to(&mut batch, crate::time::now_ms());
        }
        let appends = vec![Append::new(PartitionId(partition), batch.finish())];
        self.store.commit(Commit { appends, changes: Vec::new() }).expect("committed");
    }

    pub(super) fn store_row(&self, change: TableChange) {
        let commit = Commit { appends: Vec::new(), changes: vec![change] };
        self.store.commit(commit).expect("committed");
    }

    /// Until its row is like that.
    pub(super) fn until(&self, what: &str, is_so: impl Fn(&BridgeRow) -> bool) -> BridgeRow {
        let began = Instant::now();
        loop {
            let row = crate::bridges::holds::row(&self.store, "peer").expect("readable");
            let row = row.unwrap_or_default();
            if is_so(&row) {
                return row;
            }
            assert!(began.elapsed() < PATIENCE, "{what}: {row:?} {:?}", self.status());
            std::thread::park_timeout(LOOK);
        }
    }

    /// The topics in the log, without the broker's own.
    pub(super) fn topics(&self) -> Vec<String> {
        let topics = self.come().into_iter().map(|(topic, _)| topic);
        topics.filter(|topic| !topic.starts_with("$SYS")).collect()
    }

    /// The first so many words about the link, once they are there.
    pub(super) fn states(&self, count: usize) -> Vec<String> {
        let mut states = Vec::new();
        self.until("they are told", |_| {
            let told = self.come().into_iter().filter(|(topic, _)| topic.starts_with("$SYS"));
            told.count() >= count
        });
        let told = self.come().into_iter().filter(|(topic, _)| topic.starts_with("$SYS"));
        states.extend(told.map(|(_, payload)| payload).take(count));
        states
    }

    /// Topics and payloads of what came.
    fn come(&self) -> Vec<(String, String)> {
        let slice = self.store.read(INTO, 0, 1 << 20).expect("readable");
        let records = slice.batches.iter().flat_map(|stored| stored.batch.records());
        let text =
            |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        records.map(|record| (text(record.key), text(record.value))).collect()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.close();
    }
}
