//! Claims about the table and the handles, seen by a recorder that remembers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Recorder, SharedString, Unit};

use super::{
    CloseReason, CoreCounters, Direction, DropReason, Kind, Label, Metrics, PacketType, Quality,
    RefuseReason, SERIES, SessionState,
};

/// Remembers every series by its name and labels, as a scrape would show it.
#[derive(Default)]
struct Memory {
    cells: Mutex<BTreeMap<String, Arc<AtomicU64>>>,
    described: Mutex<BTreeSet<String>>,
    samples: Arc<Samples>,
}

#[derive(Default)]
struct Samples(Mutex<Vec<f64>>);

impl HistogramFn for Samples {
    fn record(&self, value: f64) {
        self.0.lock().unwrap().push(value);
    }
}

impl Memory {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        self.cells.lock().unwrap().entry(shown(key)).or_default().clone()
    }

    fn value(&self, series: &str) -> u64 {
        let cells = self.cells.lock().unwrap();
        let cell = cells.get(series).unwrap_or_else(|| panic!("no {series} in {cells:#?}"));
        cell.load(Ordering::Relaxed)
    }

    fn gauge(&self, series: &str) -> f64 {
        f64::from_bits(self.value(series))
    }

    fn names(&self) -> BTreeSet<String> {
        let name = |series: &String| series.split('{').next().unwrap().to_owned();
        self.cells.lock().unwrap().keys().map(name).collect()
    }

    fn describe(&self, key: &KeyName) {
        assert!(self.described.lock().unwrap().insert(key.as_str().into()), "{key:?} twice");
    }
}

fn shown(key: &Key) -> String {
    let labels: Vec<_> = key.labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
    match labels.len() {
        0 => key.name().into(),
        _ => format!("{}{{{}}}", key.name(), labels.join(",")),
    }
}

impl Recorder for Memory {
    fn describe_counter(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn describe_gauge(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&key);
    }

    fn register_counter(&self, key: &Key, _: &metrics::Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &metrics::Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, key: &Key, _: &metrics::Metadata<'_>) -> Histogram {
        self.cell(key);
        Histogram::from_arc(self.samples.clone())
    }
}

fn registered() -> (Memory, Metrics) {
    let memory = Memory::default();
    let metrics = metrics::with_local_recorder(&memory, Metrics::register);
    (memory, metrics)
}

#[test]
fn every_declared_series_is_there_at_zero_from_the_start() {
    let (memory, _) = registered();
    let declared: BTreeSet<_> = SERIES.iter().map(|series| series.name.to_owned()).collect();
    assert_eq!(declared.len(), SERIES.len(), "a name is declared twice");
    assert_eq!(memory.names(), declared);
    assert_eq!(*memory.described.lock().unwrap(), declared);
    assert!(memory.cells.lock().unwrap().values().all(|cell| cell.load(Ordering::Relaxed) == 0));
}

#[test]
fn names_say_what_prometheus_expects() {
    for series in SERIES {
        assert!(series.name.starts_with("tidewire_"), "{series:?}");
        assert_eq!(series.name.ends_with("_total"), series.kind == Kind::Counter, "{series:?}");
        assert!(series.help.ends_with('.'), "{series:?}");
        let has_unit = |unit, word| series.unit != unit || series.name.contains(word);
        assert!(has_unit(Unit::Seconds, "_seconds") && has_unit(Unit::Bytes, "_bytes"));
    }
}

#[test]
fn a_core_counts_alone_until_it_flushes() {
    let (memory, metrics) = registered();
    let mut core = CoreCounters::default();
    core.connections_accepted += 2;
    core.messages_received.add(Quality::AtLeastOnce, 3);
    core.messages_dropped.add((DropReason::Slow, Quality::AtMostOnce), 5);
    core.packets.add((PacketType::Publish, Direction::In), 7);
    core.bytes.add(Direction::Out, 11);
    core.connections_refused.add(RefuseReason::Limit, 13);
    core.connections_closed.add(CloseReason::Shutdown, 17);
    core.messages_delivered.add(Quality::ExactlyOnce, 19);
    assert_eq!(memory.value("tidewire_messages_received_total{qos=1}"), 0);

    core.flush(&metrics);
    let check = |series, expected| assert_eq!(memory.value(series), expected, "{series}");
    check("tidewire_connections_total{result=accepted,reason=none}", 2);
    check("tidewire_messages_received_total{qos=1}", 3);
    check("tidewire_messages_dropped_total{reason=slow,qos=0}", 5);
    check("tidewire_mqtt_packets_total{type=publish,dir=in}", 7);
    check("tidewire_bytes_total{proto=mqtt,dir=out}", 11);
    check("tidewire_connections_total{result=refused,reason=limit}", 13);
    check("tidewire_connections_closed_total{reason=shutdown}", 17);
    check("tidewire_messages_delivered_total{path=mqtt,qos=2}", 19);
}

#[test]
fn a_flush_hands_over_once_and_cores_add_up() {
    let (memory, metrics) = registered();
    let mut cores = [CoreCounters::default(), CoreCounters::default()];
    for core in &mut cores {
        core.bytes.add(Direction::In, 10);
        core.flush(&metrics);
        core.flush(&metrics);
    }
    assert_eq!(memory.value("tidewire_bytes_total{proto=mqtt,dir=in}"), 20);
}

#[test]
fn gauges_and_histograms_reach_the_recorder() {
    let (memory, metrics) = registered();
    metrics.sessions.set(SessionState::Disconnected, 4.0);
    metrics.sessions.step(SessionState::Disconnected, -1.0);
    metrics.retained.set(9.0);
    metrics.delivery_seconds.record(0.002);
    assert!((memory.gauge("tidewire_sessions{state=disconnected}") - 3.0).abs() < f64::EPSILON);
    assert!((memory.gauge("tidewire_retained_messages") - 9.0).abs() < f64::EPSILON);
    assert_eq!(*memory.samples.0.lock().unwrap(), [0.002]);
}

#[test]
fn a_pair_of_labels_has_a_number_of_its_own() {
    let mut seen = BTreeSet::new();
    for quality in [Quality::AtMostOnce, Quality::AtLeastOnce, Quality::ExactlyOnce] {
        for reason in [DropReason::Slow, DropReason::Retention] {
            let pair = (reason, quality);
            assert!(pair.index() < <(DropReason, Quality)>::COUNT);
            assert!(seen.insert(pair.index()), "{pair:?}");
        }
    }
    let last = (DropReason::Retention, Quality::ExactlyOnce).index();
    let words = <(DropReason, Quality)>::pairs(last);
    assert_eq!(words, [("reason", "retention"), ("qos", "2")]);
}

#[test]
fn without_a_recorder_counting_is_harmless() {
    let metrics = Metrics::register();
    let mut core = CoreCounters { connections_accepted: 1, ..CoreCounters::default() };
    core.flush(&metrics);
    assert_eq!(core.connections_accepted, 0);
}
