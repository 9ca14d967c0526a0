//! Does `kill -9` in the middle of everything, again and again, lose a message that was
//! acknowledged, repeat one at QoS 2, or change the order of a topic?
//!
//! `TIDEWIRE_KILLS` says how often; `cargo xtask kill` runs it 200 times.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::chaos::{Place, Publisher, Received, Sent, Subscriber};
use tidewire_tests::program::PATIENCE;
use tidewire_tests::wire::{Version, Wire, kind};

/// Kills of a run that is part of the tests.
const KILLS: u32 = 12;
/// How long nothing may come once all has come: repeats would.
const QUIET: Duration = Duration::from_millis(1_500);

/// A message that somebody took: who, its topic and its number.
type Taken = (String, String, u32);

/// Threads that write, and those that read, by name.
type Load = (Vec<JoinHandle<Sent>>, Vec<(&'static str, JoinHandle<Received>)>);

fn start_load(place: &Place, stops: &[Arc<AtomicBool>; 2], taken: &Sender<Taken>) -> Load {
    let [writing, reading] = stops;
    let mut readers = Vec::new();
    for (version, client_id, filter) in [
        (Version::V5, "alone", "load/#"),
        (Version::V4, "older", "load/#"),
        (Version::V5, "first of group", "$share/team/load/#"),
        (Version::V4, "second of group", "$share/team/load/#"),
    ] {
        let who = (client_id, filter);
        let mut reader = Subscriber::new(place.clone(), version, who, taken.clone());
        reader.subscribe();
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
    (writers, readers)
}

/// Two read all there is, and the two of the group together once more.
fn by_reader((who, topic, number): Taken) -> Taken {
    let who = if who.ends_with("of group") { "group".to_owned() } else { who };
    (who, topic, number)
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
    let stops = [Arc::<AtomicBool>::default(), Arc::default()];
    let (taken, takes) = channel::<Taken>();
    let mut all = BTreeSet::new();
    let (writers, readers) = start_load(&place, &stops, &taken);
    for kill in 0..kills {
        // Another moment each time.
        for _ in 0..1 + kill * 379 % 2_000 {
            all.insert(by_reader(takes.recv_timeout(PATIENCE).expect("messages come")));
        }
        broker.kill9();
        broker.restart();
        place.moved_to(broker.address());
    }
    stops[0].store(true, Ordering::Relaxed);
    let sent: Vec<Sent> = writers.into_iter().map(|w| w.join().expect("a publisher")).collect();
    let count: u32 = sent.iter().map(|sent| sent.count).sum();
    // What does not come in time is lost, and named below.
    while all.len() < 3 * usize::try_from(count).expect("few")
        && let Ok(one) = takes.recv_timeout(PATIENCE)
    {
        all.insert(by_reader(one));
    }
    while takes.recv_timeout(QUIET).is_ok() {}
    stops[1].store(true, Ordering::Relaxed);
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
    println!(
        "{kills} kills, {count} messages acknowledged, {received} received, {repeated} repeated at \
         QoS 1: 0 lost, 0 repeated at QoS 2, 0 out of order"
    );
}
