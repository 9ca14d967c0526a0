//! Does a link to another broker lose, repeat or turn around messages, when the network is cut,
//! dies without a word, or either side is killed?
//!
//! `TIDEWIRE_CUTS` and `TIDEWIRE_LINK_MESSAGES` say how often and how many at QoS 1 and at QoS 2
//! each way, and `TIDEWIRE_BACKLOG` how many wait for a broker that is away; `cargo xtask
//! link-cuts` asks for thirty, for a hundred thousand of each, and for what comes in an hour at
//! 1,000 a second.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tidewire_tests::bridge_status::{TRIED_AGAIN, await_words};
use tidewire_tests::broker::Broker;
use tidewire_tests::cable::Cable;
use tidewire_tests::chaos::{Place, Publisher, Received, Sent, Subscriber};
use tidewire_tests::flood;
use tidewire_tests::http::Http;
use tidewire_tests::mosquitto::{Mosquitto, write_password};
use tidewire_tests::program::PATIENCE;
use tidewire_tests::wire::{Hello, Publish, Version, Wire, kind};

/// Cuts of a run that is part of the tests.
const CUTS: usize = 6;
/// Messages of each topic that come between two cuts, at least.
const BETWEEN: usize = 100;
/// An HTTP port, for what its metrics say.
const HTTP: &str = "[listener.http]\nbind = \"127.0.0.1:0\"\n";
/// How long nothing may come once all has come: repeats would.
const QUIET: Duration = Duration::from_millis(1_500);

/// Messages that wait in a run that is part of the tests.
const BACKLOG: usize = 20_000;
/// What a backlog may add to a broker's memory, however long it is: what of the log is not filed
/// yet, whoever reads it, and what the link has on its way.
const BACKLOG_BYTES_MAX: u64 = 256 << 20;
/// Messages of a topic that may be on their way. Mosquitto 2.0.11 keeps neither order nor packet
/// ids where more wait for a session than may be in flight there.
const UNDELIVERED: u32 = 5_000;

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
         addresses = [\"{to}\"]\nprotocol = \"{protocol}\"\nkeep_alive_s = 2\n\
         in_flight_max = 20000\nrules = [{rules}]\n"
    )
}

const BOTH_WAYS: &str = "{ direction = \"out\", filter = \"out/#\", qos = 2 }, \
                         { direction = \"in\", filter = \"in/#\", qos = 2 }";

/// Who writes and reads on both sides of a link.
struct Load {
    writers: Vec<JoinHandle<Sent>>,
    readers: Vec<(&'static str, JoinHandle<Received>)>,
    taken: Receiver<Taken>,
    all: BTreeSet<Taken>,
    /// How many of each topic may be published.
    allowed: BTreeMap<&'static str, Arc<AtomicU32>>,
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
        let (mut writers, mut allowed) = (Vec::new(), BTreeMap::new());
        for (place, version, topic, qos) in [
            (here, Version::V5, "out/one", 1),
            (here, Version::V4, "out/two", 2),
            (there, Version::V4, "in/one", 1),
            (there, Version::V5, "in/two", 2),
        ] {
            let (stop, most) = (Arc::clone(&stops[0]), Arc::new(AtomicU32::new(UNDELIVERED)));
            allowed.insert(topic, Arc::clone(&most));
            let writer = Publisher::new(place.clone(), version, topic, qos, false).held_to(most);
            writers.push(thread::spawn(move || writer.run(&stop)));
        }
        Self { writers, readers, taken, all: BTreeSet::new(), allowed, stops }
    }

    /// One more was taken; says whether it is new.
    fn note(&mut self, one: Taken) -> bool {
        let most = Arc::clone(&self.allowed[&*one.1]);
        let is_new = self.all.insert(one);
        most.fetch_add(u32::from(is_new), Ordering::Relaxed);
        is_new
    }

    /// Until so many more have come of each topic.
    fn flow(&mut self, count: usize) {
        let mut left: BTreeMap<&str, usize> =
            self.allowed.keys().map(|topic| (*topic, count)).collect();
        while left.values().any(|left| *left > 0) {
            let one = self.taken.recv_timeout(PATIENCE).expect("messages come");
            let topic = self.allowed.get_key_value(&*one.1).map(|(topic, _)| *topic);
            if self.note(one)
                && let Some(left) = topic.and_then(|topic| left.get_mut(topic))
            {
                *left = left.saturating_sub(1);
            }
        }
    }

    /// Stops, waits for the rest, and looks at all of it.
    fn finish(mut self) {
        self.stops[0].store(true, Ordering::Relaxed);
        let writers = std::mem::take(&mut self.writers);
        let sent: Vec<Sent> = writers.into_iter().map(|it| it.join().expect("a writer")).collect();
        let count: usize = sent.iter().map(|sent| sent.count as usize).sum();
        // What does not come in time is lost, and named below.
        while self.all.len() < count
            && let Ok(one) = self.taken.recv_timeout(PATIENCE)
        {
            self.note(one);
        }
        while self.taken.recv_timeout(QUIET).is_ok() {}
        self.stops[1].store(true, Ordering::Relaxed);
        let mut repeated = 0;
        for (who, reader) in self.readers {
            let got = reader.join().expect("a reader");
            let is_his = |sent: &&Sent| sent.topic.starts_with("out/") == (who == "there");
            for sent in sent.iter().filter(is_his) {
                let numbers = got.by_topic.get(&sent.topic).cloned().unwrap_or_default();
                repeated += check(sent, who, &numbers);
            }
        }
        let each: Vec<String> =
            sent.iter().map(|sent| format!("{} of {}", sent.count, sent.topic)).collect();
        let each = each.join(", ");
        println!("{each}; {repeated} repeated at QoS 1: 0 lost, 0 repeated at QoS 2, all in order");
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
fn check(sent: &Sent, who: &str, numbers: &[u32]) -> usize {
    let distinct: BTreeSet<u32> = numbers.iter().copied().collect();
    let missing: Vec<u32> = (0..sent.count).filter(|number| !distinct.contains(number)).collect();
    assert!(missing.is_empty(), "{who} lost {missing:?} of {}", sent.topic);
    let repeated = numbers.len() - distinct.len();
    assert!(sent.qos == 1 || repeated == 0, "{who} got {repeated} of {} twice", sent.topic);
    let mut seen = BTreeSet::new();
    let firsts = numbers.iter().filter(|number| seen.insert(**number));
    assert!(firsts.is_sorted(), "{who} got {} in another order", sent.topic);
    repeated
}

fn between() -> usize {
    let cuts = asked("TIDEWIRE_CUTS", CUTS);
    asked("TIDEWIRE_LINK_MESSAGES", CUTS * BETWEEN) / cuts.max(1)
}

fn cuts() -> impl Iterator<Item = usize> {
    0..asked("TIDEWIRE_CUTS", CUTS)
}

/// Mosquitto, and everybody's way to it.
struct Far {
    mosquitto: Mosquitto,
    /// Of the link.
    cable: Cable,
    /// Of the clients there.
    others: Cable,
}

impl Far {
    fn start() -> Self {
        let mosquitto = Mosquitto::start("");
        let (cable, others) = (Cable::to(mosquitto.address()), Cable::to(mosquitto.address()));
        Self { mosquitto, cable, others }
    }

    /// SIGKILL in the middle of everything. Mosquitto forgets what it acknowledged since it wrote
    /// its file: so it writes it when nobody hears it any more, and what it forgets nobody knows.
    fn kill9(&mut self) {
        self.cable.die();
        self.others.die();
        self.mosquitto.save();
        self.mosquitto.kill9();
        // Before it is there again: who comes to it and is cut off at once gets PUBLISH once more
        // for what Mosquitto 2.0.11 was about to release.
        self.cable.cut();
        self.others.cut();
        self.mosquitto.restart();
    }

    /// Its clients notice by themselves.
    fn stop(&mut self) {
        self.mosquitto.stop();
        self.mosquitto.restart();
    }
}

fn check_mosquitto(protocol: &str) {
    let mut far = Far::start();
    let mut broker = linked(far.cable.address(), protocol, BOTH_WAYS);
    broker.await_output("subscribed there");
    let (here, there) = (Place::new(broker.address()), Place::new(far.others.address()));
    let mut load = Load::start(&here, &there);
    for cut in cuts() {
        load.flow(between());
        match cut % 5 {
            0 => far.cable.cut(),
            1 => far.cable.die(),
            2 => far.kill9(),
            3 => {
                broker.kill9();
                broker.restart();
                here.moved_to(broker.address());
            }
            _ => far.stop(),
        }
    }
    load.flow(between());
    load.finish();
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
    let mut load = Load::start(&here, &there);
    for cut in cuts() {
        load.flow(between());
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
    load.flow(between());
    load.finish();
}

#[test]
fn a_link_within_websocket_loses_nothing_when_it_is_cut() {
    let remote = Broker::start_configured("[listener.websocket]\nbind = \"127.0.0.1:0\"\n");
    let cable = Cable::to(remote.web_address());
    let config = config(cable.address(), "5", BOTH_WAYS);
    let within = "websocket_path = \"/mqtt\"\nrules =";
    let broker = Broker::start_configured(&config.replace("rules =", within));
    broker.await_output("subscribed there");
    let mut load = Load::start(&Place::new(broker.address()), &Place::new(remote.address()));
    for cut in cuts() {
        load.flow(between());
        if cut % 2 == 0 { cable.cut() } else { cable.die() }
    }
    load.flow(between());
    load.finish();
}

#[test]
fn while_the_other_side_is_away_what_waits_takes_no_memory() {
    let count = asked("TIDEWIRE_BACKLOG", BACKLOG);
    let mosquitto = Mosquitto::start("");
    let cable = Cable::to(mosquitto.address());
    let broker = linked(cable.address(), "5", BOTH_WAYS);
    broker.await_output("\"linked\"");
    let mut reader = Wire::clean(mosquitto.address(), Version::V4, "reader");
    reader.subscribe(1, &[("out/#", 1)]);
    flood::publish(broker.address(), "out/warm", 0..1_000);
    flood::take(&mut reader, "out/warm", 1_000);
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    cable.lead_to(nowhere);
    cable.cut();
    let before = broker.memory_bytes();
    broker.forget_memory_peak();
    let grown = || broker.memory_peak_bytes().saturating_sub(before);
    flood::publish(broker.address(), "out/late", 0..count / 2);
    let half = grown();
    flood::publish(broker.address(), "out/late", count / 2..count);
    let whole = grown();
    cable.lead_to(mosquitto.address());
    flood::take(&mut reader, "out/late", count);
    let drained = grown();
    println!(
        "{count} wait: {half} bytes more at half, {whole} at all, {drained} when all are gone"
    );
    assert!(drained <= BACKLOG_BYTES_MAX, "{drained} bytes of memory for {count} that waited");
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

/// Each hears what is published on either side, once.
fn check_no_echo(brokers: [&Broker; 2]) {
    let [first, second] = brokers;
    let mut listeners = brokers.map(listener);
    publish(first, "a", "from the first");
    publish(second, "a", "from the second");
    publish(first, "a", "last");
    for listener in &mut listeners {
        let mut heard: Vec<String> = (0..3).map(|_| text(listener)).collect();
        heard.sort_unstable();
        assert_eq!(heard, ["from the first", "from the second", "last"]);
        listener.silent_for(QUIET);
    }
}

#[test]
fn two_brokers_that_are_linked_both_ways_have_no_echo() {
    let first = Broker::start();
    let rules = "{ direction = \"both\", filter = \"#\", qos = 1 }";
    let second = linked(first.address(), "5", rules);
    second.await_output("subscribed there");
    check_no_echo([&first, &second]);
}

#[test]
fn two_brokers_with_a_link_from_each_side_have_no_echo() {
    let rules = "{ direction = \"out\", filter = \"#\", qos = 1 }";
    let seen = |to| Broker::start_configured(&format!("{HTTP}{}", config(to, "5", rules)));
    // The first must know where the second listens: a cable that is laid later.
    let nowhere = Broker::start();
    let cable = Cable::to(nowhere.address());
    let first = seen(cable.address());
    first.await_output("\"linked\"");
    let second = seen(first.address());
    cable.lead_to(second.address());
    drop(nowhere);
    cable.cut();
    first.await_times("\"linked\"", 2);
    second.await_output("\"linked\"");
    check_no_echo([&first, &second]);
    // It came back, was known by its mark, and went no further.
    for (broker, own) in [(&first, 2), (&second, 1)] {
        let since = Instant::now();
        while loops(broker) != own {
            assert!(since.elapsed() < PATIENCE, "{} came back of {own}", loops(broker));
            thread::yield_now();
        }
    }
}

/// Messages that came back to a broker, and were dropped.
fn loops(broker: &Broker) -> u64 {
    let metrics = Http::new(broker.http_address()).get("/metrics").body;
    let is_it = |line: &&str| {
        line.starts_with("tidewire_messages_dropped_total{") && line.contains("reason=\"loop\"")
    };
    let count = |line: &str| line.rsplit(' ').next().and_then(|count| count.parse::<u64>().ok());
    metrics.lines().filter(is_it).filter_map(count).sum()
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

/// A link that sends everything.
fn link(name: &str, to: SocketAddr, more: &str) -> String {
    format!(
        "[[bridge.link]]\nname = \"{name}\"\naddresses = [\"{to}\"]\nclient_id = \"{name}\"\n\
         {more}\nrules = [{{ direction = \"out\", filter = \"#\", qos = 1 }}]\n"
    )
}

#[test]
fn what_goes_wrong_is_said_in_words_and_the_rest_flows_on() {
    let files = tempfile::tempdir().expect("a folder");
    let [users, rules, wrong] = ["users", "rules", "wrong"].map(|name| files.path().join(name));
    write_password(&users, "ann", "pencil");
    std::fs::write(&rules, "topic readwrite ok/#\n").expect("written");
    std::fs::write(&wrong, "rubber\n").expect("written");
    let shut = Mosquitto::start(&format!("password_file {}", users.display()));
    let strict = format!("acl_file {}\nmax_packet_size 2000", rules.display());
    let strict = Mosquitto::start(&strict);
    let ann = format!("user = \"ann\"\npassword_file = {wrong:?}");
    let config = format!(
        "{HTTP}[bridge]\nretry_ms_min = 20\nretry_ms_max = 200\n{}{}{}{}{}{}",
        link("nowhere", SocketAddr::from(([127, 0, 0, 1], 1)), ""),
        link("nobody", shut.address(), ""),
        link("wrong", shut.address(), &ann),
        link("older", shut.address(), &format!("{ann}\nprotocol = \"3.1.1\"")),
        link("strict", strict.address(), ""),
        // It is not told how much may come, and Mosquitto ends the connection at too much.
        link("untold", strict.address(), "protocol = \"3.1.1\""),
    );
    let broker = Broker::start_configured(&config);
    broker.await_output("127.0.0.1:1: cannot be reached");
    await_words(&broker, "nowhere", TRIED_AGAIN, "127.0.0.1:1: cannot be reached");
    for name in ["nobody", "wrong", "older"] {
        let words = "it refuses the connection: not authorized";
        broker.await_output(words);
        await_words(&broker, name, TRIED_AGAIN, words);
    }
    broker.await_output("\"linked\"");
    let mut listener = Wire::clean(strict.address(), Version::V5, "listener");
    listener.subscribe(1, &[("ok/#", 1)]);
    publish(&broker, "denied/x", "nobody hears it");
    publish(&broker, "ok/large", &"x".repeat(3_000));
    publish(&broker, "ok/last", "heard");
    assert_eq!(text(&mut listener), "heard");
    broker.await_output("is passed over: not authorized");
    broker.await_output("are more than the 2000 it takes");
    // Debian's 2.0.11 also ends it after each refusal, whose PUBACK it still sends.
    broker.await_output("times so before \\\"ok/large\\\"");
    // Once the password is right, what waited comes.
    let hello = Hello { login: Some(("ann", "pencil")), ..Hello::new("listener") };
    let (mut listener, _) = Wire::greet(shut.address(), &hello);
    listener.subscribe(1, &[("ok/last", 1)]);
    std::fs::write(&wrong, "pencil\n").expect("written");
    assert_eq!([text(&mut listener), text(&mut listener)], ["heard", "heard"]);
}
