//! Do handshakes, many at once or without an end, leave those alone who are connected?

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tidewire_tests::authority::{Authority, Pair, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::doors::{await_end, connect_from};
use tidewire_tests::over::Over;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::siege::{MIB, bear, sized};
use tidewire_tests::wire::{Publish, Version, Will, Wire, connect, subscribe};

const PINGS: usize = 400;

fn start(authority: &Authority, tls: &str) -> Broker {
    let Pair { cert, key, .. } = authority.sign("server", Use::Server, &["localhost"]);
    let listener = "[listener.mqtts]\nbind = \"127.0.0.1:0\"\n[listener.mqtts.tls]\n";
    let files = format!("cert_file = {cert:?}\nkey_file = {key:?}\n");
    Configured::new(&format!("{listener}{files}{tls}")).start()
}

fn open(address: SocketAddr, trust: &Trust, client_id: &str) -> Secure {
    let mut client = Secure::open(address, trust).expect("let in");
    client.say(&connect(Version::V4, client_id, true, 0, None)).expect("it reads");
    assert_eq!(client.hear(4).expect("CONNACK"), [0x20, 2, 0, 0]);
    client
}

/// How long the broker takes to answer a ping, in order.
fn pings(client: &mut Secure) -> Vec<Duration> {
    let mut times = Vec::new();
    for _ in 0..PINGS {
        let since = Instant::now();
        client.say(&[0xc0, 0]).expect("it reads");
        assert_eq!(client.hear(2).expect("it answers"), [0xd0, 0]);
        times.push(since.elapsed());
    }
    times.sort();
    times
}

#[test]
fn a_storm_of_handshakes_does_not_hold_up_who_is_connected() {
    const STORMING: usize = 4;
    let authority = Authority::new("Test CA");
    let broker = start(&authority, "");
    let (address, trust) = (broker.address_of("mqtts"), Trust::new(&authority.path(), None));
    let mut client = open(address, &trust, "good");
    let calm = pings(&mut client);
    let (over, count) = (Over::default(), AtomicU64::new(0));
    let (mut stormy, rate) = thread::scope(|scope| {
        let at_last = over.at_last();
        for _ in 0..STORMING {
            scope.spawn(|| {
                while !over.is_told() {
                    drop(Secure::open(address, &trust).expect("let in"));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let since = Instant::now();
        while count.load(Ordering::Relaxed) < 100 {
            assert!(since.elapsed() < PATIENCE, "there is no storm");
            thread::yield_now();
        }
        let began = (Instant::now(), count.load(Ordering::Relaxed));
        let mut stormy = Vec::new();
        for _ in 0..5 {
            stormy.extend(pings(&mut client));
        }
        let rate =
            (count.load(Ordering::Relaxed) - began.1) as f64 / began.0.elapsed().as_secs_f64();
        drop(at_last);
        (stormy, rate)
    });
    stormy.sort();
    let at = |times: &[Duration], part: usize| times[times.len() * part / 100];
    println!("a ping takes {:?} (p50), {:?} (p99)", at(&calm, 50), at(&calm, 99));
    println!("beside {rate:.0} handshakes a second {:?}, {:?}", at(&stormy, 50), at(&stormy, 99));
    // Generous: clients and broker share the processors, and others may too.
    let allowed = (50 * at(&calm, 50)).max(Duration::from_millis(250));
    assert!(at(&stormy, 50) < allowed, "{:?}", at(&stormy, 50));
}

#[test]
fn handshakes_that_never_end_keep_nobody_out_and_end() {
    const HALF: usize = 500;
    let authority = Authority::new("Test CA");
    let broker = start(&authority, "handshake_timeout_ms = 10000\n");
    let (address, trust) = (broker.address_of("mqtts"), Trust::new(&authority.path(), None));
    let hello = trust.hello();
    let began = Instant::now();
    let half: Vec<TcpStream> = (0..HALF)
        .map(|n| {
            let mut stream = TcpStream::connect(address).expect("it listens");
            stream.write_all(&hello[..n % hello.len()]).expect("it reads");
            stream
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        let since = Instant::now();
        drop(open(address, &trust, &format!("good {n}")));
        slowest = slowest.max(since.elapsed());
    }
    println!("beside {HALF} half handshakes a client is in after {slowest:?} at the most");
    assert!(slowest < Duration::from_secs(8), "it waits for those: {slowest:?}");
    for mut stream in half {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
    }
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

#[test]
fn more_handshakes_than_may_be_under_way_are_closed() {
    let authority = Authority::new("Test CA");
    let broker = start(&authority, "handshakes_max = 4\n");
    let (address, trust) = (broker.address_of("mqtts"), Trust::new(&authority.path(), None));
    // Each address has half of them.
    let waiting = [2, 2, 3, 3].map(|last| arrive(address, last));
    let began = Instant::now();
    while Secure::open(address, &trust).is_ok() {
        assert!(began.elapsed() < PATIENCE, "there is always one place more");
    }
    drop(waiting);
    let began = Instant::now();
    while Secure::open(address, &trust).is_err() {
        assert!(began.elapsed() < PATIENCE, "places are never free again");
    }
}

/// Somebody connects from an address of this machine, and says nothing.
fn arrive(address: SocketAddr, last: u8) -> TcpStream {
    connect_from(Ipv4Addr::new(127, 0, 0, last).into(), address)
}

#[test]
fn one_address_has_half_of_the_handshakes_that_may_be_under_way() {
    let authority = Authority::new("Test CA");
    // One thread does them in the order in which they came.
    let tls = "handshakes_max = 4\nhandshake_timeout_ms = 600000\n[threads]\nhandshakes = 1\n";
    let broker = start(&authority, tls);
    let (address, trust) = (broker.address_of("mqtts"), Trust::new(&authority.path(), None));
    let _waiting = [2, 2].map(|last| arrive(address, last));
    await_end(arrive(address, 2));
    drop(open(address, &trust, "from elsewhere"));
}

#[test]
fn keys_that_are_renewed_without_an_end_end_the_connection_and_hold_nobody_up() {
    let authority = Authority::new("Test CA");
    let broker = start(&authority, "");
    let (address, trust) = (broker.address_of("mqtts"), Trust::new(&authority.path(), None));
    bear(&broker, 32 * MIB, |broker| {
        for round in 0..sized(200, 20) {
            let mut client = open(address, &trust, &format!("renewing {round}"));
            // Nobody needs as many without a word between them.
            let began = Instant::now();
            while renews(&mut client) {
                assert!(began.elapsed() < PATIENCE, "it goes on for ever");
            }
        }
        broker.await_output("TooManyKeyUpdateRequests");
        // With words between them they are no more work than these.
        let mut client = open(address, &trust, "polite");
        for _ in 0..sized(20_000, 1_000) {
            assert!(renews(&mut client));
            client.say(&[0xc0, 0]).expect("it reads");
            assert_eq!(client.hear(2).expect("it answers"), [0xd0, 0]);
        }
    });
}

/// Whether the connection is still there when other keys were asked for.
fn renews(client: &mut Secure) -> bool {
    client.refresh_keys();
    client.say(&[]).is_ok()
}

#[test]
fn a_handshake_within_the_handshake_is_refused_and_holds_nobody_up() {
    let authority = Authority::new("Test CA");
    let broker = start(&authority, "");
    let address = broker.address_of("mqtts").to_string();
    bear(&broker, 32 * MIB, |_| {
        for _ in 0..sized(100, 5) {
            let mut command = Command::new("openssl");
            command.args(["s_client", "-tls1_2", "-connect", &address, "-CAfile"]);
            command.arg(authority.path()).stdin(Stdio::piped());
            let mut openssl = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
            let openssl = openssl.as_mut().expect("openssl is installed");
            let mut input = openssl.stdin.take().expect("piped");
            // It asks for another handshake at each R, and ends when it is told that there is none.
            let _ = input.write_all(&b"R\n".repeat(50));
            let mut said = String::new();
            let mut errors = openssl.stderr.take().expect("piped");
            let _ = errors.read_to_string(&mut said);
            let _ = openssl.wait().expect("our child");
            assert!(said.contains("renegotiation"), "{said}");
        }
    });
}

/// A broker with TLS, and WebSocket within it, that lets one client in at each.
fn start_narrow(authority: &Authority) -> Broker {
    let Pair { cert, key, .. } = authority.sign("server", Use::Server, &["localhost"]);
    let sections = ["mqtts", "wss"].map(|name| {
        format!(
            "[listener.{name}]\nbind = \"127.0.0.1:0\"\nconnections_per_address_max = 1\n\
             [listener.{name}.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n"
        )
    });
    Configured::new(&sections.concat()).start()
}

/// A client with a will that has more to read than the system keeps for it, and reads nothing.
fn stuck(broker: &Broker, trust: &Trust, scheme: &str, keep_alive_s: u16) -> Secure {
    let mut client = Secure::open(broker.address_of(scheme), trust).expect("let in");
    let is_web = scheme == "wss";
    if is_web {
        let request = "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n\
            Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
            Sec-WebSocket-Protocol: mqtt\r\n\r\n";
        client.say(request.as_bytes()).expect("it reads");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.extend(client.hear(1).expect("an answer"));
        }
    }
    let will = Will { topic: "stuck/will", payload: scheme, qos: 1, retain: false };
    let hello = connect(Version::V4, scheme, true, keep_alive_s, Some(&will));
    let asking = subscribe(Version::V4, 1, &[("stuck/flood", 1)]);
    for (packet, answer) in [(hello, 4), (asking, 5)] {
        let length = u8::try_from(packet.len()).expect("short");
        // In a frame behind a mask that changes nothing.
        let head = if is_web { vec![0x82, 0x80 | length, 0, 0, 0, 0] } else { Vec::new() };
        client.say(&[head, packet].concat()).expect("it reads");
        let _ = client.hear(if is_web { 2 } else { 0 } + answer).expect("it answers");
    }
    let mut writer = Wire::clean(broker.address(), Version::V4, "writer");
    let payload = "x".repeat(800_000);
    for id in 1..=20 {
        writer.publish_acknowledged(&Publish::new("stuck/flood", &payload, 1, id));
    }
    writer.disconnect();
    client
}

/// What waits in the connection's keys cannot be sent any more.
#[test]
fn who_is_reset_while_records_wait_for_it_is_lost() {
    let authority = Authority::new("Test CA");
    let (broker, trust) = (start_narrow(&authority), Trust::new(&authority.path(), None));
    let mut witness = Wire::clean(broker.address(), Version::V4, "witness");
    witness.subscribe(1, &[("stuck/will", 1)]);
    for scheme in ["mqtts", "wss"] {
        // What lies unread in our socket makes the kernel say RST and not FIN.
        drop(stuck(&broker, &trust, scheme, 0));
        witness.receive(scheme);
    }
}

#[test]
fn who_reads_nothing_leaves_his_place_when_he_is_closed() {
    let authority = Authority::new("Test CA");
    let (broker, trust) = (start_narrow(&authority), Trust::new(&authority.path(), None));
    let stuck = ["mqtts", "wss"].map(|scheme| (scheme, stuck(&broker, &trust, scheme, 5)));
    let began = Instant::now();
    for (scheme, client) in stuck {
        while Secure::open(broker.address_of(scheme), &trust).is_err() {
            assert!(began.elapsed() < PATIENCE, "{scheme}: its place is never free again");
        }
        drop(client);
    }
}
