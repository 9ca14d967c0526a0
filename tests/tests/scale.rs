//! Does what nobody uses cost nothing? Idle connections, filters that do not fit, offline sessions,
//! retained messages.
//!
//! Small sizes are part of the tests; `cargo xtask scale` runs the sizes that are promised, with
//! the program as it is released, and asserts the promises.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::wire::{Publish, Version, Wire, connect, kind, publish, subscribe};

/// Whether the promised sizes are asked for.
fn is_full() -> bool {
    std::env::var_os("TIDEWIRE_SCALE").is_some_and(|scale| scale == "full")
}

fn sized(full: usize, small: usize) -> usize {
    if is_full() { full } else { small }
}

/// Resident memory of the broker, in bytes.
fn resident_bytes(broker: &Broker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.id())).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line of it");
    let kib: u64 = line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("KiB");
    kib * 1024
}

/// Processor time that the broker used, in seconds.
fn processor_seconds(broker: &Broker) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", broker.id())).expect("it runs");
    let fields = stat.rsplit(") ").next().expect("fields behind the name");
    let ticks = |at: usize| fields.split(' ').nth(at).and_then(|f| f.parse::<f64>().ok());
    (ticks(11).expect("user time") + ticks(12).expect("system time")) / 100.0
}

fn roomy() -> Broker {
    let settings = "[mqtt]\nretained_messages_max = 10000000\n\
                    retained_messages_per_user_max = 0\nsessions_per_user_max = 0\n";
    Configured::new(settings).start()
}

fn connected(address: SocketAddr, packet: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the broker listens");
    stream.set_nodelay(true).expect("a live socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a live socket");
    stream.write_all(packet).expect("the broker reads");
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).expect("CONNACK");
    assert_eq!((connack[0], connack[3]), (0x20, 0), "refused");
    stream
}

#[test]
fn an_idle_connection_costs_little_memory() {
    let count = sized(10_000, 1_000);
    let broker = Broker::start();
    let warm: Vec<TcpStream> = (0..100).map(|n| idle(&broker, &format!("warm {n}"))).collect();
    let before = resident_bytes(&broker);
    let idle: Vec<TcpStream> = (0..count).map(|n| idle(&broker, &format!("idle {n}"))).collect();
    let each = resident_bytes(&broker).saturating_sub(before) / count as u64;
    println!("{count} idle connections: {each} bytes of memory each");
    assert!(each <= 4096, "an idle connection costs {each} bytes");
    drop((warm, idle));
}

fn idle(broker: &Broker, client_id: &str) -> TcpStream {
    connected(broker.address(), &connect(Version::V4, client_id, true, 0, None))
}

#[test]
fn idle_connections_cost_a_publisher_nothing() {
    let count = sized(10_000, 200);
    let (alone, among) = (Broker::start(), Broker::start());
    let mut idle: Vec<_> = (0..count).map(|n| idle(&among, &format!("idle {n}"))).collect();
    let what = format!("beside {count} idle connections");
    let ratio = cost_ratio([&alone, &among], sized(2_000_000, 20_000), &what, |_| "load/a".into());
    assert!(!is_full() || ratio < 1.10, "idle connections cost publishing {ratio:.2}");
    idle.iter_mut().for_each(is_alive);
}

fn is_alive(stream: &mut TcpStream) {
    let mut pong = [0; 2];
    stream.write_all(&[0xc0, 0]).expect("the broker reads");
    stream.read_exact(&mut pong).expect("PINGRESP");
    assert_eq!(pong, [0xd0, 0]);
}

/// Two of three have wildcards, and all go as deep as the topics before they differ from them.
#[test]
fn a_million_filters_cost_a_publisher_little_more_than_a_hundredth_of_them() {
    const EACH: usize = 1_000;
    let clients = sized(1_000, 100);
    let (few, many) = (Broker::start(), Broker::start());
    let some: Vec<_> = (0..clients).map(|n| filtering(&few, n, EACH / 100)).collect();
    let (before, began) = (resident_bytes(&many), Instant::now());
    let all: Vec<_> = (0..clients).map(|n| filtering(&many, n, EACH)).collect();
    let (count, took) = (clients * EACH, began.elapsed());
    let each = resident_bytes(&many).saturating_sub(before) / count as u64;
    println!("{count} filters in {took:?}: {each} bytes of memory each");
    // What fits ten thousand topics is remembered; of a million, most is forgotten before it is
    // asked for again.
    for (topics, lines, allowed) in [("10,000", 10, 1.25), ("1,000,000", 1_000, 2.0)] {
        let topic = |n: usize| format!("plant/{}/line/{}", n % 1_000, n / 1_000 % lines);
        let what = format!("beside {count} filters, on {topics} topics");
        let ratio = cost_ratio([&few, &many], sized(1_000_000, 20_000), &what, topic);
        assert!(!is_full() || ratio < allowed, "filters cost publishing {ratio:.2}: {what}");
    }
    drop((all, some));
}

/// A client with so many filters, of which none fits a topic of that test.
fn filtering(broker: &Broker, n: usize, count: usize) -> TcpStream {
    let mut stream = idle(broker, &format!("filters {n}"));
    let filters: Vec<String> = (0..count)
        .map(|m| match m % 3 {
            0 => format!("plant/{n}/line/{m}/set"),
            1 => format!("plant/+/line/{n}/{m}/#"),
            _ => format!("+/{n}/+/{m}/state"),
        })
        .collect();
    let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), 0)).collect();
    stream.write_all(&subscribe(Version::V4, 1, &filters)).expect("the broker reads");
    // One byte of kind, one or two of length, two of identifier, one for each filter.
    let before = if 2 + count < 128 { 4 } else { 5 };
    let mut suback = vec![0; before + count];
    stream.read_exact(&mut suback).expect("SUBACK");
    let codes = &suback[before..];
    assert!(suback[0] == 0x90 && codes.iter().all(|code| *code == 0), "subscribed");
    stream
}

/// Over TLS, and with a certificate of the client.
#[test]
fn an_idle_connection_over_tls_costs_little_memory() {
    const BYTES_MAX: u64 = 20 * 1024;
    let count = sized(10_000, 1_000);
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost"]);
    let client = authority.sign("client", Use::Client, &["device"]);
    let ca = authority.path();
    for (what, asked, trust) in [
        ("over TLS", String::new(), Trust::new(&ca, None)),
        (
            "with client certificates",
            format!("client_auth = \"required\"\nclient_ca_file = {ca:?}\nidentity = \"cn\"\n"),
            Trust::new(&ca, Some(&client)),
        ),
    ] {
        let (cert, key) = (&server.cert, &server.key);
        let listener = "[listener.mqtts]\nbind = \"127.0.0.1:0\"\n[listener.mqtts.tls]\n";
        let files = format!("cert_file = {cert:?}\nkey_file = {key:?}\n");
        let broker = Configured::new(&format!("{listener}{files}{asked}")).start();
        let secret = |n: usize| idle_secret(&broker, &trust, &format!("idle {n}"));
        let warm: Vec<TcpStream> = (0..100).map(secret).collect();
        let before = resident_bytes(&broker);
        let idle: Vec<TcpStream> = (100..100 + count).map(secret).collect();
        let each = resident_bytes(&broker).saturating_sub(before) / count as u64;
        println!("{count} idle connections {what}: {each} bytes of memory each");
        assert!(each <= BYTES_MAX, "an idle connection {what} costs {each} bytes");
        drop((warm, idle));
    }
}

fn idle_secret(broker: &Broker, trust: &Trust, client_id: &str) -> TcpStream {
    let mut client = Secure::open(broker.address_of("mqtts"), trust).expect("let in");
    client.say(&connect(Version::V4, client_id, true, 0, None)).expect("the broker reads");
    assert_eq!(client.hear(4).expect("CONNACK"), [0x20, 2, 0, 0]);
    client.into_socket()
}

/// Leaves sessions with three subscriptions each, from many threads.
fn leave_sessions(address: SocketAddr, count: usize) {
    const THREADS: usize = 32;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for n in (thread..count).step_by(THREADS) {
                    leave_session(address, n);
                }
            });
        }
    });
}

fn leave_session(address: SocketAddr, n: usize) {
    let client_id = format!("away {n}");
    let mut stream = connected(address, &connect(Version::V4, &client_id, false, 0, None));
    let own = format!("device/{n}/command");
    let filters = [(own.as_str(), 1), ("news/#", 1), ("device/+/all", 1)];
    stream.write_all(&subscribe(Version::V4, 1, &filters)).expect("the broker reads");
    let mut suback = [0; 7];
    stream.read_exact(&mut suback).expect("SUBACK");
    assert_eq!(suback, [0x90, 5, 0, 1, 1, 1, 1], "subscribed");
    stream.write_all(&[0xe0, 0]).expect("the broker reads");
    let _ = stream.read(&mut suback);
}

/// Processor time of the broker per message, in microseconds, at QoS 1.
fn publish_cost(broker: &Broker, messages: usize, topic: &dyn Fn(usize) -> String) -> f64 {
    const WINDOW: usize = 500;
    let mut stream = connected(broker.address(), &connect(Version::V4, "publisher", true, 0, None));
    let payload = "x".repeat(100);
    let before = processor_seconds(broker);
    let (mut sent, mut acknowledged, mut bytes) = (0, 0, [0; 8192]);
    while acknowledged < messages {
        let mut packets = Vec::new();
        while sent < messages && sent - acknowledged < WINDOW {
            let id = u16::try_from(sent % 60_000 + 1).expect("small");
            let topic = topic(sent);
            packets.extend(publish(Version::V4, &Publish::new(&topic, &payload, 1, id)));
            sent += 1;
        }
        stream.write_all(&packets).expect("the broker reads");
        let count = stream.read(&mut bytes).expect("the broker answers");
        assert!(count > 0, "the broker closed");
        acknowledged += count / 4;
        if count % 4 != 0 {
            stream.read_exact(&mut bytes[..4 - count % 4]).expect("the rest of a PUBACK");
            acknowledged += 1;
        }
    }
    (processor_seconds(broker) - before) * 1e6 / messages as f64
}

/// How much more a message costs the second broker than the first: the median of five pairs.
fn cost_ratio(
    brokers: [&Broker; 2],
    messages: usize,
    what: &str,
    topic: impl Fn(usize) -> String,
) -> f64 {
    // What a start left to be filed is filed meanwhile.
    for broker in brokers {
        publish_cost(broker, messages, &topic);
    }
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let [none, many] = brokers.map(|broker| publish_cost(broker, messages, &topic));
        println!("a message costs {none:.2} us, {many:.2} us {what}");
        ratios.push(many / none);
    }
    ratios.sort_by(f64::total_cmp);
    println!("ratio of the costs: {:.2} (median of 5 pairs)", ratios[2]);
    ratios[2]
}

#[test]
fn sessions_that_are_away_cost_publishing_nothing_and_a_start_little() {
    let count = sized(100_000, 2_000);
    let messages = sized(2_000_000, 20_000);
    let mut full = Broker::start();
    let began = Instant::now();
    leave_sessions(full.address(), count);
    println!("{count} sessions left in {:?}", began.elapsed());
    full.kill9();
    let began = Instant::now();
    full.restart();
    let start = began.elapsed();
    println!("start with {count} offline sessions after a kill: {start:?}");
    assert!(!is_full() || start < Duration::from_secs(3), "the start took {start:?}");
    let (_, present) = Wire::resume(full.address(), Version::V4, "away 7");
    assert!(present, "a session is there");
    let empty = Broker::start();
    let what = format!("with {count} sessions");
    let ratio = cost_ratio([&empty, &full], messages, &what, |_| "load/a".into());
    // Small runs are too short for the clock of processor time.
    assert!(!is_full() || ratio < 1.10, "sessions that are away cost publishing {ratio:.2}");
}

#[test]
fn a_hundred_of_very_many_retained_messages_come_at_once() {
    let count = sized(1_000_000, 20_000);
    let broker = roomy();
    let mut writer = connected(broker.address(), &connect(Version::V4, "w", true, 0, None));
    let mut packets = Vec::new();
    for n in 0..count {
        let topic = format!("plant/{}/sensor/{}", n / 100, n % 100);
        packets.extend(publish(Version::V4, &Publish::new(&topic, "21.5", 0, 0).retained()));
        if packets.len() > 60_000 || n + 1 == count {
            writer.write_all(&packets).expect("the broker reads");
            packets.clear();
        }
    }
    writer.write_all(&publish(Version::V4, &Publish::new("done", "", 1, 1))).expect("it reads");
    let mut puback = [0; 4];
    writer.read_exact(&mut puback).expect("PUBACK");
    let mut times: Vec<Duration> = (0..11).map(|n| greeted(&broker, n)).collect();
    times.sort();
    println!("100 of {count} retained messages came in {:?} (median of 11)", times[5]);
    // A small run may be on a machine that is busy with others.
    let allowed = Duration::from_millis(if is_full() { 20 } else { 1_000 });
    assert!(times[5] < allowed, "{times:?}");
}

fn greeted(broker: &Broker, n: usize) -> Duration {
    let mut reader = Wire::clean(broker.address(), Version::V5, &format!("reader {n}"));
    let began = Instant::now();
    reader.send(&subscribe(Version::V5, 1, &[("plant/7/#", 1)]));
    assert_eq!(reader.packet_of(kind::SUBACK).id(), 1);
    for _ in 0..100 {
        assert!(reader.packet_of(kind::PUBLISH).topic().starts_with("plant/7/"));
    }
    began.elapsed()
}
