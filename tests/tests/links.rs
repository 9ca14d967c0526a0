//! Does a link to another broker lose, repeat or turn around messages, when the network is cut,
//! dies without a word, or either side is killed?
//!
//! `TIDEWIRE_CUTS` and `TIDEWIRE_LINK_MESSAGES` say how often and how many;
//! `cargo xtask link-cuts` asks for thirty and a hundred thousand.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::cable::Cable;
use tidewire_tests::chaos::{Place, Publisher, Received, Sent, Subscriber};
use tidewire_tests::mosquitto::Mosquitto;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::wire::{Publish, Version, Wire, kind};

/// Cuts of a run that is part of the tests.
const CUTS: usize = 6;
/// Messages that come between two cuts, at least.
const BETWEEN: usize = 300;
/// How long nothing may come once all has come: repeats would.
const QUIET: Duration = Duration::from_millis(1_500);

/// A message that somebody took: who, its topic and its number.
type Taken = (String, String, u32);

fn asked(variable: &str, otherwise: usize) -> usize {
    let asked = std::env::var(variable).ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(otherwise)
}

/// A broker with one link there.
fn linked(to: SocketAddr, protocol: &str, rules: &str) -> Broker {
    Broker::start_configured(&config(to, protocol, rules))
}

fn config(to: SocketAddr, protocol: &str, rules: &str) -> String {
    format!(
        "[bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n\n[[bridge.link]]\nname = \"peer\"\n\
         addresses = [\"{to}\"]\nprotocol = \"{protocol}\"\nkeep_alive_s = 2\nrules = [{rules}]\n"
    )
}

const BOTH_WAYS: &str = "{ direction = \"out\", filter = \"out/#\", qos = 2 }, \
                         { direction = \"in\", filter = \"in/#\", qos = 2 }";

/// Who writes and reads on both sides of a link.
struct Load {
    writers: Vec<JoinHandle<Sent>>,
    readers: Vec<(&'static str, JoinHandle<Received>)>,
    taken: Receiver<Taken>,
    stops: [Arc<AtomicBool>; 2],
}

impl Load {
    fn start(here: &Place, there: &Place) -> Self {
        let stops = [Arc::<AtomicBool>::default(), Arc::default()];
        let (tell, taken) = channel();
        let mut readers = Vec::new();
        for (place, name, filter) in [(there, "there", "out/#"), (here, "here", "in/#")] {
            readers.push((name, read(place, (name, filter), &tell, &stops[1])));
        }
        let mut writers = Vec::new();
        for (place, version, topic, qos) in [
            (here, Version::V5, "out/one", 1),
            (here, Version::V4, "out/two", 2),
            (there, Version::V4, "in/one", 1),
            (there, Version::V5, "in/two", 2),
        ] {
            let writer = Publisher::new(place.clone(), version, topic, qos, false);
            let stop = Arc::clone(&stops[0]);
            writers.push(thread::spawn(move || writer.run(&stop)));
        }
        Self { writers, readers, taken, stops }
    }

    /// Until so many more have come, and some of each topic.
    fn flow(&self, all: &mut BTreeSet<Taken>, count: usize) {
        let mut topics = BTreeSet::new();
        let goal = all.len() + count;
        while all.len() < goal || topics.len() < self.writers.len() {
            let one = self.taken.recv_timeout(PATIENCE).expect("messages come");
            topics.insert(one.1.clone());
            all.insert(one);
        }
    }

    /// Stops, waits for the rest, and looks at all of it; `ordered` are the readers to whom topics
    /// come in order.
    fn finish(self, mut all: BTreeSet<Taken>, ordered: &[&str]) {
        let Self { writers, readers, taken, stops: [writing, reading] } = self;
        writing.store(true, Ordering::Relaxed);
        let sent: Vec<Sent> = writers.into_iter().map(|it| it.join().expect("a writer")).collect();
        let count: usize = sent.iter().map(|sent| sent.count as usize).sum();
        // What does not come in time is lost, and named below.
        while all.len() < count
            && let Ok(one) = taken.recv_timeout(PATIENCE)
        {
            all.insert(one);
        }
        while taken.recv_timeout(QUIET).is_ok() {}
        reading.store(true, Ordering::Relaxed);
        let mut repeated = 0;
        for (who, reader) in readers {
            let got = reader.join().expect("a reader");
            let is_his = |sent: &&Sent| sent.topic.starts_with("out/") == (who == "there");
            for sent in sent.iter().filter(is_his) {
                let numbers = got.by_topic.get(&sent.topic).cloned().unwrap_or_default();
                repeated += check(sent, (who, ordered.contains(&who)), &numbers);
            }
        }
        println!("{count} messages, {repeated} repeated at QoS 1: 0 lost, 0 repeated at QoS 2");
    }
}

fn read(
    place: &Place,
    who: (&'static str, &'static str),
    tell: &Sender<Taken>,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<Received> {
    let mut reader = Subscriber::new(place.clone(), Version::V4, who, tell.clone());
    reader.subscribe();
    let stop = Arc::clone(stop);
    thread::spawn(move || reader.run(&stop))
}

/// Every number of the topic came; at QoS 2 once; in order, when each comes first.
fn check(sent: &Sent, (who, is_ordered): (&str, bool), numbers: &[u32]) -> usize {
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    let missing: Vec<u32> = (0..sent.count).filter(|number| !distinct.contains(number)).collect();
    assert!(missing.is_empty(), "{who} lost {missing:?} of {}", sent.topic);
    let repeated = numbers.len() - distinct.len();
    assert!(sent.qos == 1 || repeated == 0, "{who} got {repeated} of {} twice", sent.topic);
    let mut seen = BTreeSet::new();
    let firsts = numbers.iter().filter(|number| seen.insert(**number));
    assert!(!is_ordered || firsts.is_sorted(), "{who} got {} in another order", sent.topic);
    repeated
}

fn between() -> usize {
    let cuts = asked("TIDEWIRE_CUTS", CUTS);
    asked("TIDEWIRE_LINK_MESSAGES", CUTS * BETWEEN) / cuts.max(1)
}

fn cuts() -> impl Iterator<Item = usize> {
    0..asked("TIDEWIRE_CUTS", CUTS)
}

fn check_mosquitto(protocol: &str) {
    // It is not restarted: what it had on its way at QoS 2 it would send again itself.
    let mosquitto = Mosquitto::start("");
    let cable = Cable::to(mosquitto.address());
    let mut broker = linked(cable.address(), protocol, BOTH_WAYS);
    broker.await_output("subscribed there");
    let (here, there) = (Place::new(broker.address()), Place::new(mosquitto.address()));
    let load = Load::start(&here, &there);
    let mut all = BTreeSet::new();
    for cut in cuts() {
        load.flow(&mut all, between());
        match cut % 3 {
            0 => cable.cut(),
            1 => cable.die(),
            _ => {
                broker.kill9();
                broker.restart();
                here.moved_to(broker.address());
            }
        }
    }
    load.flow(&mut all, between());
    // Under load Mosquitto 2.0.11 sends new messages before some that wait: order is looked at
    // where no broker of others is between.
    load.finish(all, &[]);
}

#[test]
fn a_link_to_mosquitto_loses_nothing_and_repeats_nothing_at_qos2() {
    check_mosquitto("5");
}

#[test]
fn a_link_to_mosquitto_in_mqtt_3_1_1_loses_nothing_and_repeats_nothing_at_qos2() {
    check_mosquitto("3.1.1");
}

#[test]
fn a_link_between_two_of_ours_survives_the_kill_of_either() {
    let mut remote = Broker::start();
    let cable = Cable::to(remote.address());
    let mut broker = linked(cable.address(), "5", BOTH_WAYS);
    broker.await_output("subscribed there");
    let (here, there) = (Place::new(broker.address()), Place::new(remote.address()));
    let load = Load::start(&here, &there);
    let mut all = BTreeSet::new();
    for cut in cuts() {
        load.flow(&mut all, between());
        match cut % 3 {
            0 => {
                remote.kill9();
                remote.restart();
                cable.lead_to(remote.address());
                cable.cut();
                there.moved_to(remote.address());
            }
            1 => {
                broker.kill9();
                broker.restart();
                here.moved_to(broker.address());
            }
            _ => cable.die(),
        }
    }
    load.flow(&mut all, between());
    load.finish(all, &["here", "there"]);
}

/// A client that is subscribed to everything of a test.
fn listener(broker: &Broker) -> Wire {
    let mut wire = Wire::clean(broker.address(), Version::V5, "listener");
    wire.subscribe(1, &[("#", 1)]);
    wire
}

fn publish(broker: &Broker, topic: &str, payload: &str) {
    let mut wire = Wire::clean(broker.address(), Version::V5, "writer");
    wire.publish_acknowledged(&Publish::new(topic, payload, 1, 1));
    wire.disconnect();
}

#[test]
fn two_brokers_that_are_linked_both_ways_have_no_echo() {
    let first = Broker::start();
    let rules = "{ direction = \"both\", filter = \"#\", qos = 1 }";
    let second = linked(first.address(), "5", rules);
    second.await_output("subscribed there");
    let mut listeners = [listener(&first), listener(&second)];
    publish(&first, "a", "from the first");
    publish(&second, "a", "from the second");
    publish(&first, "a", "last");
    for listener in &mut listeners {
        let mut heard: Vec<String> = (0..3).map(|_| text(listener)).collect();
        heard.sort_unstable();
        assert_eq!(heard, ["from the first", "from the second", "last"]);
        listener.silent_for(QUIET);
    }
}

fn text(listener: &mut Wire) -> String {
    listener.packet_of(kind::PUBLISH).payload_text()
}

#[test]
fn in_a_ring_of_three_each_hears_a_message_once() {
    let rules = "{ direction = \"out\", filter = \"#\", qos = 1 }";
    // The first must know where the last listens: a cable that is laid later.
    let nowhere = Broker::start();
    let cable = Cable::to(nowhere.address());
    let first = linked(cable.address(), "5", rules);
    first.await_output("\"linked\"");
    let second = linked(first.address(), "5", rules);
    let third = linked(second.address(), "5", rules);
    cable.lead_to(third.address());
    drop(nowhere);
    cable.cut();
    first.await_times("\"linked\"", 2);
    second.await_output("\"linked\"");
    third.await_output("\"linked\"");
    let brokers = [&first, &second, &third];
    let mut listeners = brokers.map(listener);
    for (number, broker) in brokers.iter().enumerate() {
        publish(broker, "a", &number.to_string());
    }
    for listener in &mut listeners {
        let mut heard: Vec<String> = (0..3).map(|_| text(listener)).collect();
        heard.sort_unstable();
        assert_eq!(heard, ["0", "1", "2"]);
        listener.silent_for(QUIET);
    }
}

#[test]
fn what_goes_wrong_is_said_in_words_and_the_rest_flows_on() {
    let files = tempfile::tempdir().expect("a folder");
    let (users, rules) = (files.path().join("users"), files.path().join("rules"));
    std::fs::write(&users, "").expect("written");
    std::fs::write(&rules, "topic readwrite ok/#\n").expect("written");
    let shut = Mosquitto::start(&format!("password_file {}", users.display()));
    let strict = format!("acl_file {}\nmax_packet_size 2000", rules.display());
    let strict = Mosquitto::start(&strict);
    let out = "{ direction = \"out\", filter = \"#\", qos = 1 }";
    let link = |name: &str, to: &str| {
        format!(
            "[[bridge.link]]\nname = \"{name}\"\naddresses = [\"{to}\"]\nclient_id = \"{name}\"\n\
             rules = [{out}]\n"
        )
    };
    let config = format!(
        "[bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n{}{}{}",
        link("nowhere", "127.0.0.1:1"),
        link("shut", &shut.address().to_string()),
        link("strict", &strict.address().to_string()),
    );
    let broker = Broker::start_configured(&config);
    broker.await_output("127.0.0.1:1: cannot be reached");
    broker.await_output("it refuses the connection: ");
    broker.await_output("\"linked\"");
    let mut listener = Wire::clean(strict.address(), Version::V5, "listener");
    listener.subscribe(1, &[("ok/#", 1)]);
    publish(&broker, "denied/x", "nobody hears it");
    publish(&broker, "ok/large", &"x".repeat(3_000));
    publish(&broker, "ok/last", "heard");
    assert_eq!(text(&mut listener), "heard");
    broker.await_output("is passed over: not authorized");
    broker.await_output("are more than the 2000 it takes");
}
