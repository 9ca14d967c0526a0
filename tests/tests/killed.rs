//! Does `kill -9` in the middle of everything, again and again, lose a message that was
//! acknowledged, repeat one at QoS 2, or change the order of a topic?
//!
//! `TIDEWIRE_KILLS` says how often; `cargo xtask kill` runs it 200 times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::chaos::{Place, Publisher, Received, Sent, Subscriber};
use tidewire_tests::wire::{Version, Wire, kind};

/// Kills of a run that is part of the tests.
const KILLS: u32 = 12;
/// How long nothing may come until all has come.
const QUIET: Duration = Duration::from_millis(1_500);

type Load = (Vec<JoinHandle<Sent>>, Vec<(&'static str, JoinHandle<Received>)>, Vec<Arc<AtomicU64>>);

fn start_load(place: &Place, writing: &Arc<AtomicBool>, reading: &Arc<AtomicBool>) -> Load {
    let (mut readers, mut taken) = (Vec::new(), Vec::new());
    for (version, client_id, filter) in [
        (Version::V5, "alone", "load/#"),
        (Version::V4, "older", "load/#"),
        (Version::V5, "first of group", "$share/team/load/#"),
        (Version::V4, "second of group", "$share/team/load/#"),
    ] {
        let mut reader = Subscriber::new(place.clone(), version, client_id, filter);
        reader.subscribe();
        taken.push(reader.taken());
        let stop = Arc::clone(reading);
        readers.push((client_id, thread::spawn(move || reader.run(&stop))));
    }
    let mut writers = Vec::new();
    for (version, topic, qos, retained) in [
        (Version::V4, "load/one", 1, false),
        (Version::V5, "load/two", 2, false),
        (Version::V5, "load/one retained", 1, true),
        (Version::V4, "load/two retained", 2, true),
    ] {
        let writer = Publisher::new(place.clone(), version, topic, qos, retained);
        let stop = Arc::clone(writing);
        writers.push(thread::spawn(move || writer.run(&stop)));
    }
    (writers, readers, taken)
}

fn wait_until_quiet(taken: &[Arc<AtomicU64>]) {
    let count = || taken.iter().map(|taken| taken.load(Ordering::Relaxed)).sum::<u64>();
    let (mut last, mut since) = (count(), Instant::now());
    while since.elapsed() < QUIET {
        thread::sleep(Duration::from_millis(20));
        if count() != last {
            (last, since) = (count(), Instant::now());
        }
    }
}

/// Every number of the topic came; at QoS 2 once; first arrivals in order if one reader had all.
fn check(sent: &Sent, who: &str, numbers: &[u32], is_alone: bool) -> usize {
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    let missing: Vec<u32> = (0..sent.count).filter(|number| !distinct.contains(number)).collect();
    assert!(missing.is_empty(), "{who} lost {missing:?} of {}", sent.topic);
    let repeated = numbers.len() - distinct.len();
    assert!(sent.qos == 1 || repeated == 0, "{who} got {repeated} of {} twice", sent.topic);
    if is_alone {
        let mut seen = BTreeSet::new();
        let firsts = numbers.iter().filter(|number| seen.insert(**number));
        assert!(firsts.is_sorted(), "{who} got {} in another order", sent.topic);
    }
    repeated
}

fn check_retained(broker: &Broker, sent: &[Sent]) {
    let mut reader = Wire::clean(broker.address(), Version::V5, "retained");
    reader.subscribe(1, &[("load/+", 1)]);
    let mut kept = BTreeMap::new();
    for _ in sent.iter().filter(|sent| sent.retained) {
        let message = reader.packet_of(kind::PUBLISH);
        assert!(message.is_retained(), "{message}");
        kept.insert(message.topic(), message.payload_text());
    }
    for sent in sent.iter().filter(|sent| sent.retained) {
        let last = (sent.count - 1).to_string();
        assert_eq!(kept.get(&sent.topic), Some(&last), "what is retained is the newest");
    }
}

#[test]
fn kills_lose_nothing_repeat_nothing_at_qos2_and_keep_the_order_of_topics() {
    let wanted = std::env::var("TIDEWIRE_KILLS").ok().and_then(|kills| kills.parse().ok());
    let kills: u32 = wanted.unwrap_or(KILLS);
    let mut broker = Broker::start();
    let place = Place::new(broker.address());
    let (writing, reading) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let (writers, readers, taken) = start_load(&place, &writing, &reading);
    for kill in 0..kills {
        // A different moment each time; nothing is awaited here but time.
        thread::sleep(Duration::from_millis(20 + u64::from(kill * 37 % 180)));
        broker.kill9();
        broker.restart();
        place.moved_to(broker.address());
    }
    writing.store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = writers.into_iter().map(|w| w.join().expect("a publisher")).collect();
    wait_until_quiet(&taken);
    reading.store(true, Ordering::Relaxed);
    let mut group: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let (mut repeated, mut received) = (0, 0);
    for (who, reader) in readers {
        let got = reader.join().expect("a subscriber");
        received += got.by_topic.values().map(Vec::len).sum::<usize>();
        for sent in &sent {
            let numbers = got.by_topic.get(&sent.topic).cloned().unwrap_or_default();
            if who.ends_with("of group") {
                group.entry(sent.topic.clone()).or_default().extend(numbers);
            } else {
                repeated += check(sent, who, &numbers, true);
            }
        }
    }
    for sent in &sent {
        repeated += check(sent, "the group", &group[&sent.topic], false);
    }
    check_retained(&broker, &sent);
    let count: u32 = sent.iter().map(|sent| sent.count).sum();
    println!(
        "{kills} kills, {count} messages acknowledged, {received} received, {repeated} repeated at \
         QoS 1: 0 lost, 0 repeated at QoS 2, 0 out of order"
    );
}
