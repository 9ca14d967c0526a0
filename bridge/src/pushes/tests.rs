//! A push against a receiver that does as it is told.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewire_proto::id::PartitionId;
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{PropertiesBuilder, PropertyId, PropertyValue};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::{Batch, BatchBuilder, KeyRule};
use tidewire_proto::routing::placement::{Placement, Shelf};
use tidewire_store::{Append, Commit, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions};

use super::options::tests::options;
use super::push;
use crate::bridges::{BridgeNumbers, Bridges, Event, Needs, Plan, Retry};
use crate::retained::{RetainedLimit, Settle};

/// Only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often is looked.
const LOOK: Duration = Duration::from_millis(5);

struct NoLimit;

impl RetainedLimit for NoLimit {
    fn claim(&self, _: &str, _: Option<&Batch>) -> Option<Settle> {
        Some(Box::new(|_| ()))
    }
}

fn store(folder: &tempfile::TempDir) -> Store {
    let streams =
        vec![StreamOptions { name: "mqtt".into(), partitions: 1, config: StreamConfig::default() }];
    let disk = Arc::new(RealDisk::new(folder.path()));
    Store::open(disk, StoreOptions { streams, ..StoreOptions::default() }).expect("opens").0
}

/// Puts messages into the log that came just now, with payloads and seconds to live.
fn append(store: &Store, messages: &[(&str, Option<u32>)]) {
    let mut batch = BatchBuilder::new();
    for (payload, expiry_s) in messages {
        let mut properties = PropertiesBuilder::default();
        if let Some(expiry_s) = expiry_s {
            let value = PropertyValue::FourByte(*expiry_s);
            properties.push(PropertyId::MessageExpiry, value).expect("it fits");
        }
        let message = Published {
            topic: "a",
            payload: payload.as_bytes(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: properties.as_properties(),
            origin: None,
        };
        message.push_to(&mut batch, crate::time::now_ms());
    }
    let appends = vec![Append::new(PartitionId(0), batch.finish())];
    store.commit(Commit { appends, changes: Vec::new() }).expect("committed");
}

fn needs(store: &Store, names: &[(String, &'static str)]) -> Needs {
    let shelf = Shelf {
        filters: Vec::new(),
        partitions: vec![PartitionId(0)],
        log_qos0: true,
        names_publisher: false,
        key: KeyRule::Topic,
    };
    let soon = Duration::from_millis(1);
    Needs {
        store: store.clone(),
        placement: Box::new(move || Placement::new(vec![shelf.clone()], 9).expect("whole")),
        retained: Arc::new(NoLimit),
        forecasts: Arc::default(),
        numbers: BridgeNumbers::register(names),
        retry: Retry { min: soon, max: soon },
    }
}

/// The body of the next request, and where it is answered.
fn hear(listener: &TcpListener) -> (String, TcpStream) {
    let (stream, _) = listener.accept().expect("it comes");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    let mut reader = BufReader::new(stream);
    let (mut line, mut bytes) = (String::new(), 0);
    while line != "\r\n" {
        line.clear();
        reader.read_line(&mut line).expect("a line of the head");
        if let Some(length) = line.strip_prefix("Content-Length: ") {
            bytes = length.trim().parse().expect("a number");
        }
    }
    let mut body = vec![0; bytes];
    reader.read_exact(&mut body).expect("the body");
    (String::from_utf8(body).expect("text"), reader.into_inner())
}

#[test]
fn what_expires_while_the_receiver_is_away_is_not_sent_and_what_it_took_not_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = store(&folder);
    append(&store, &[("old", Some(2)), ("new", None)]);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let plans = vec![push("hook".into(), options(url))];
    let names: Vec<_> = plans.iter().map(Plan::name_and_kind).collect();
    let (bridges, thread) = Bridges::open(plans, needs(&store, &names)).expect("a thread");
    // Away for as long as it takes; then its answer breaks off.
    let last = loop {
        let (body, mut stream) = hear(&listener);
        assert!(body.contains("\"new\""), "{body}");
        let answer = match body.contains("\"old\"") {
            true => "HTTP/1.1 503 Later\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n",
            false => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
        };
        stream.write_all(answer.as_bytes()).expect("answered");
        if !body.contains("\"old\"") {
            break body;
        }
    };
    assert_eq!(last.matches("\"id\"").count(), 1, "{last}");
    // It is not sent again: the next is one that came later.
    append(&store, &[("next", None)]);
    let (body, mut stream) = hear(&listener);
    assert!(body.contains("\"next\"") && !body.contains("\"new\""), "{body}");
    stream.write_all(b"HTTP/1.1 204 Yes\r\n\r\n").expect("answered");
    let began = Instant::now();
    loop {
        let row = crate::bridges::holds::row(&store, "hook").expect("readable");
        if row.is_some_and(|row| row.positions == [(PartitionId(0), 3)]) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it is never noted");
        std::thread::park_timeout(LOOK);
    }
    let counts = bridges.status("hook").expect("known").counts;
    assert_eq!((counts.of(Event::Sent), counts.of(Event::Expired)), (2, 1));
    thread.close();
}
