//! Connections: too many, too fast, and those that stop half way.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::doors::{Doors, UPGRADE, Way, await_end, connect_from};
use tidewire_tests::program::PATIENCE;
use tidewire_tests::siege::{MIB, bear, sized};
use tidewire_tests::wire::{Publish, Version, Wire, connect, kind};

use crate::ONE_CORE;

/// What a connection may cost that says nothing, or too little.
const IDLE_BYTES_MAX: u64 = 24 * 1024;

#[test]
fn who_stops_half_way_at_any_door_keeps_nobody_out_and_is_closed() {
    // 4,200 at all doors: fewer than the half of the places that one address may have.
    let each = sized(600, 40);
    let doors = Doors::new("");
    let broker = Broker::start_configured(&format!("{ONE_CORE}{}", doors.sections));
    let trust = doors.trust();
    let bytes_max = 32 * MIB + (each * Way::ALL.len()) as u64 * IDLE_BYTES_MAX;
    let half = bear(&broker, bytes_max, |broker| {
        let all = (0..each).flat_map(|bytes| Way::ALL.map(|way| (way, bytes)));
        all.map(|(way, bytes)| {
            way.go(broker, &trust, bytes).unwrap_or_else(|error| panic!("{way:?}: {error}"))
        })
        .collect::<Vec<TcpStream>>()
    });
    half.into_iter().for_each(await_end);
}

#[test]
fn a_request_for_a_websocket_may_not_go_on_for_ever() {
    let doors = Doors::new("");
    let broker = Broker::start_configured(&format!("{ONE_CORE}{}", doors.sections));
    let attack = |broker: &Broker| {
        for _ in 0..sized(200, 20) {
            let mut stream = TcpStream::connect(broker.web_address()).expect("it listens");
            stream.set_write_timeout(Some(PATIENCE)).expect("a timeout above zero");
            let head = UPGRADE.trim_end_matches("\r\n");
            stream.write_all(head.as_bytes()).expect("it reads");
            let more = "X-More: 0123456789abcdef\r\n".repeat(100);
            // Far more than any browser sends, far less than would be felt.
            let is_ended = (0..10_000).any(|_| stream.write_all(more.as_bytes()).is_err());
            assert!(is_ended, "26 MB of a request were read");
        }
    };
    bear(&broker, 16 * MIB, attack);
}

/// Each sends most of a long CONNECT; nothing but the limit of bytes closes them.
#[test]
fn who_sends_most_of_a_connect_has_little_kept_of_it_and_keeps_nobody_out() {
    let count = sized(2_000, 150);
    let settings = "[mqtt]\nunauthenticated_bytes_max = \"1 MiB\"\nconnect_timeout_ms = 600000\n";
    let broker = Configured::new(&format!("{settings}{ONE_CORE}")).start();
    let strangers = bear(&broker, 24 * MIB, |broker| {
        // A CONNECT of 65,000 bytes, and 60,000 of them.
        let most = [&[0x10, 0xe8, 0xfb, 0x03][..], b"\x00\x04MQTT\x05\x02", &[0; 60_000]].concat();
        let stranger = |_| {
            let mut stream = TcpStream::connect(broker.address()).expect("it listens");
            stream.set_read_timeout(Some(Duration::from_millis(1))).expect("above zero");
            // It may be closed before it has said so much.
            let _ = stream.write_all(&most);
            stream
        };
        (0..count).map(stranger).collect::<Vec<_>>()
    });
    // Half of the bytes are for one address: nine of them have so many beyond their first 4 KiB.
    let since = Instant::now();
    let mut left = strangers;
    while left.len() > 12 {
        assert!(since.elapsed() < PATIENCE, "{} are still there", left.len());
        left.retain_mut(|stream| match stream.read(&mut [0]) {
            Ok(0) => false,
            Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            Ok(_) => true,
        });
    }
}

#[test]
fn a_flood_beyond_the_limit_of_connections_is_closed_and_those_who_are_in_stay() {
    let limit = sized(2_000, 100);
    let config = Configured::new(&format!("[mqtt]\nconnections_max = {limit}\n{ONE_CORE}"));
    let broker = config.start();
    let bytes_max = 16 * MIB + limit as u64 * IDLE_BYTES_MAX;
    bear(&broker, bytes_max, |broker| {
        let hello = |at| connect(Version::V4, &format!("flood-{at}"), true, 600, None);
        let mut held = Vec::new();
        for at in 0..3 * limit {
            let mut wire = Wire::open(broker.address(), Version::V4);
            wire.send_if_open(&hello(at));
            if let Ok(Some(_)) = wire.try_packet() {
                held.push(wire);
            }
        }
        // The honest client has one of the places.
        assert_eq!(held.len(), limit - 1);
    });
}

#[test]
fn a_flood_from_one_address_keeps_no_other_out() {
    const PLACES: usize = 10;
    let section = format!("[listener.mqtt]\nconnections_per_address_max = {PLACES}\n");
    let config = Configured::new(&format!("{section}{ONE_CORE}"));
    let broker = config.start();
    let flood = sized(5_000, 200);
    let held = bear(&broker, 24 * MIB, |broker| {
        let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        let mut held = Vec::new();
        for at in 0..flood {
            let mut wire = Wire::on(connect_from(from, broker.address()), Version::V4);
            wire.send_if_open(&connect(Version::V4, &format!("flood-{at}"), true, 600, None));
            if let Ok(Some(_)) = wire.try_packet() {
                held.push(wire);
            }
        }
        assert_eq!(held.len(), PLACES);
        held
    });
    drop(held);
}

#[test]
fn a_storm_of_connections_that_come_and_go_leaves_nothing_behind() {
    const THREADS: usize = 4;
    let each = sized(6_000, 250);
    let config = Configured::new(ONE_CORE);
    let broker = config.start();
    bear(&broker, 24 * MIB, |broker| {
        let address = broker.address();
        thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    for at in 0..each {
                        come_and_go(address, at, &format!("storm-{thread}-{at}"));
                    }
                });
            }
        });
    });
}

/// In one of the ways to go: without a word, in the middle of one, without reading, with leave.
fn come_and_go(broker: SocketAddr, at: usize, client_id: &str) {
    let hello = connect(Version::V5, client_id, true, 600, None);
    let mut wire = Wire::open(broker, Version::V5);
    match at % 4 {
        0 => (),
        1 => wire.send(&hello[..hello.len() / 2]),
        2 => wire.send(&hello),
        _ => {
            wire.send(&hello);
            let _ = wire.connected();
            wire.disconnect();
        }
    }
}

/// At the end of what the system lets it open; what it reads anew then changes nothing.
#[test]
fn a_broker_without_files_left_serves_who_is_in_and_opens_no_door() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules");
    std::fs::write(&rules, "allow everyone any honest/#\n").expect("written");
    let access = format!("[access]\nrules_file = {:?}\n", rules.display().to_string());
    let config = Configured::new(&format!("{access}{ONE_CORE}"));
    let broker = config.start();
    let mut eve = Wire::clean(broker.address(), Version::V5, "eve");
    bear(&broker, 24 * MIB, |broker| {
        broker.limit_files(30);
        let flood: Vec<TcpStream> = (0..100)
            .map(|_| TcpStream::connect(broker.address()).expect("the kernel takes it"))
            .collect();
        broker.await_output("cannot accept connections for a moment");
        broker.hang_up();
        broker.await_output("access rules stay as they were");
        eve.publish(&Publish::new("secret/a", "x", 1, 1));
        let answer = eve.packet_of(kind::PUBACK);
        assert_eq!(answer.body().get(2), Some(&0x87), "{answer}");
        broker.limit_files(1_000);
        drop(flood);
    });
}

/// A keep-alive of many hours is granted; a client that promised it and is gone takes no more than
/// any other, and one that keeps silent longer than it promised is closed.
#[test]
fn promises_to_speak_late_hold_no_more_than_a_connection() {
    let config = Configured::new(&format!("[mqtt]\nkeep_alive_s_max = 10\n{ONE_CORE}"));
    let broker = config.start();
    let count = sized(5_000, 100);
    let bytes_max = 16 * MIB + count as u64 * IDLE_BYTES_MAX;
    let silent = bear(&broker, bytes_max, |broker| {
        (0..count)
            .map(|at| {
                let mut stream = TcpStream::connect(broker.address()).expect("it listens");
                let client_id = format!("silent-{at}");
                let hello = connect(Version::V5, &client_id, true, u16::MAX, None);
                stream.write_all(&hello).expect("it reads");
                stream.read_exact(&mut [0; 4]).expect("CONNACK");
                stream
            })
            .collect::<Vec<TcpStream>>()
    });
    silent.into_iter().for_each(await_end);
}
