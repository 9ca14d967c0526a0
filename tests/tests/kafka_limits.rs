//! What Kafka clients may make the broker hold, and what happens beyond it.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use serde_json::json;
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::doors::connect_from;
use tidewire_tests::http::Http;
use tidewire_tests::program::{PATIENCE, Program};
use tidewire_tests::wire::{Publish, Version, Wire};

const MIB: u64 = 1 << 20;

fn kcat(broker: &Broker, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("kcat");
    command.args(["-b", &broker.kafka_address().to_string()]).args(arguments);
    Program::start(&mut command).succeeds()
}

fn open(port: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(port).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket
}

/// ApiVersions 0; true if it was answered.
fn is_served(socket: &mut TcpStream) -> bool {
    let sent = socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0]);
    sent.is_ok() && socket.read_exact(&mut [0; 8]).is_ok()
}

/// The same, and the answer is read to its end.
fn is_answered(socket: &mut TcpStream) -> bool {
    let sent = socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0]);
    let mut length = [0; 4];
    sent.is_ok() && socket.read_exact(&mut length).is_ok() && {
        let mut answer = vec![0; u32::from_be_bytes(length) as usize];
        socket.read_exact(&mut answer).is_ok()
    }
}

/// Fetch 4: everything in all four partitions, as much as goes into one answer.
fn fetch_everything() -> Vec<u8> {
    fetch(0, 0)
}

/// The same, which waits so long for so many bytes.
fn fetch(wait_ms: i32, least: i32) -> Vec<u8> {
    let mut body = vec![0, 1, 0, 4, 0, 0, 0, 9, 0, 2, b'm', b'e'];
    let mut put = |number: i32| body.extend_from_slice(&number.to_be_bytes());
    // Replica, wait, at least, at most.
    [-1, wait_ms, least, 1 << 30].into_iter().for_each(&mut put);
    body.extend_from_slice(b"\x00\x00\x00\x00\x01\x00\x04mqtt\x00\x00\x00\x04");
    for partition in 0..4_i32 {
        body.extend_from_slice(&partition.to_be_bytes());
        body.extend_from_slice(&[0; 8]);
        body.extend_from_slice(&(1_i32 << 30).to_be_bytes());
    }
    let length = u32::try_from(body.len()).expect("it is short");
    [&length.to_be_bytes()[..], &body].concat()
}

#[test]
fn a_reader_that_does_not_read_is_let_go_and_costs_one_answer_at_most() {
    let config = Configured::new(
        "[listener.kafka]\nsend_timeout_s = 1\n[log]\nfilter = \"info,tidewire_bridge=debug\"\n",
    );
    let broker = config.start();
    let folder = tempfile::tempdir().expect("a folder");
    let lines = folder.path().join("lines");
    let text: String = (0..40_000).map(|n| format!("t/{n}:{}\n", "x".repeat(1000))).collect();
    fs::write(&lines, text).expect("written");
    let _ = kcat(&broker, &["-P", "-t", "mqtt", "-K", ":", "-l", lines.to_str().expect("UTF-8")]);
    let before = broker.memory_bytes();

    let slow: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut socket = open(broker.kafka_address());
            for _ in 0..5 {
                socket.write_all(&fetch_everything()).expect("sent");
            }
            socket
        })
        .collect();
    // Who reads is served meanwhile.
    let read = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k\\n"];
    assert_eq!(kcat(&broker, &read).len(), 40_000);
    broker.await_output("slow_reader");
    let grown = broker.memory_bytes().saturating_sub(before);
    assert!(grown < 256 * MIB, "{} MiB more", grown / MIB);
    drop(slow);
}

#[test]
fn connections_beyond_the_limit_are_closed_and_the_others_served() {
    let config = Configured::new("[listener.kafka]\nconnections_max = 3\n");
    let broker = config.start();
    let mut open_ones: Vec<_> = (0..3).map(|_| open(broker.kafka_address())).collect();
    assert!(open_ones.iter_mut().all(is_served));
    assert!(!is_served(&mut open(broker.kafka_address())));
    assert!(open_ones.iter_mut().all(is_served));
    drop(open_ones.pop());
    // It has to notice first.
    let began = Instant::now();
    while !is_served(&mut open(broker.kafka_address())) {
        assert!(began.elapsed() < PATIENCE, "nobody is let in");
    }
}

#[test]
fn a_thousand_connections_cost_little_and_hold_nobody_up() {
    const MANY: usize = 1000;
    let config = Configured::new("[listener.kafka]\nconnections_max = 1100\n");
    let broker = config.start();
    let folder = tempfile::tempdir().expect("a folder");
    let lines = folder.path().join("lines");
    let text: String = (0..1000).map(|n| format!("t/{n}:{n}\n")).collect();
    fs::write(&lines, text).expect("written");
    let _ = kcat(&broker, &["-P", "-t", "mqtt", "-K", ":", "-l", lines.to_str().expect("UTF-8")]);
    let before = broker.memory_bytes();
    let mut all: Vec<_> = (0..MANY).map(|_| open(broker.kafka_address())).collect();
    assert!(all.iter_mut().all(is_served));
    // Every other one stops in the middle of a request.
    for pair in all.chunks_mut(2) {
        pair[0].write_all(&fetch_everything()[..20]).expect("sent");
    }
    let read = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k\n"];
    assert_eq!(kcat(&broker, &read).len(), 1000);
    let grown = broker.memory_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "{} KiB each", grown / 1024 / MANY as u64);
    assert!(all.iter_mut().skip(1).step_by(2).all(is_served), "they are there as before");
}

/// Produce 3 with so many bytes that are no batch for each of the partitions.
fn produce_nonsense(partitions: i32, bytes: i32) -> Vec<u8> {
    let mut body =
        b"\x00\x00\x00\x03\x00\x00\x00\x09\x00\x02me\xff\xff\xff\xff\x00\x00\x03\xe8".to_vec();
    body.extend_from_slice(b"\x00\x00\x00\x01\x00\x04mqtt");
    body.extend_from_slice(&partitions.to_be_bytes());
    for partition in 0..partitions {
        body.extend_from_slice(&partition.to_be_bytes());
        body.extend_from_slice(&bytes.to_be_bytes());
        body.resize(body.len() + usize::try_from(bytes).expect("it is short"), 0);
    }
    let length = u32::try_from(body.len()).expect("it is short");
    [&length.to_be_bytes()[..], &body].concat()
}

fn is_closed(socket: &mut TcpStream) -> bool {
    // Closed with bytes unread, a connection may also be reset.
    !matches!(socket.read(&mut [0; 1]), Ok(1..))
}

#[test]
fn a_produce_with_batches_of_many_partitions_may_be_larger_than_other_requests() {
    let settings = "request_bytes_max = \"4 KiB\"\nproduce_bytes_max = \"16 KiB\"\n";
    let broker = Configured::new(&format!("[listener.kafka]\n{settings}")).start();
    let mut producer = open(broker.kafka_address());
    producer.write_all(&produce_nonsense(4, 3 << 10)).expect("sent");
    assert!(producer.read_exact(&mut [0; 8]).is_ok(), "it is answered");
    let mut greedy = open(broker.kafka_address());
    let _ = greedy.write_all(&produce_nonsense(4, 5 << 10));
    assert!(is_closed(&mut greedy));
}

#[test]
fn who_announces_much_and_sends_little_holds_nobody_up_for_long() {
    let settings = "held_bytes_max = \"1 MiB\"\nsend_timeout_s = 1\n";
    let broker = Configured::new(&format!("[listener.kafka]\n{settings}")).start();
    let large = produce_nonsense(1, 1 << 20);
    let mut slow = open(broker.kafka_address());
    slow.write_all(&large[..1 << 10]).expect("sent");
    let mut other = open(broker.kafka_address());
    assert!(is_served(&mut other));
    other.write_all(&large).expect("sent");
    assert!(is_served(&mut other), "the large request and the one behind it are answered");
    assert!(is_closed(&mut slow));
}

#[test]
fn who_reads_gets_on_while_requests_hold_all_that_may_be_held() {
    let settings = "held_bytes_max = \"1 MiB\"\nsend_timeout_s = 600\n";
    let broker = Configured::new(&format!("[listener.kafka]\n{settings}")).start();
    let folder = tempfile::tempdir().expect("a folder");
    let lines = folder.path().join("lines");
    fs::write(&lines, (0..100).map(|n| format!("t/{n}:x\n")).collect::<String>()).expect("written");
    let _ = kcat(&broker, &["-P", "-t", "mqtt", "-K", ":", "-l", lines.to_str().expect("UTF-8")]);
    let mut slow = open(broker.kafka_address());
    slow.write_all(&produce_nonsense(1, 1 << 20)[..1 << 10]).expect("sent");
    let read = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k\\n"];
    assert_eq!(kcat(&broker, &read).len(), 100);
    drop(slow);
}

#[test]
fn a_request_beyond_the_limit_and_a_silent_connection_are_closed() {
    let settings = "request_bytes_max = \"4 KiB\"\nidle_timeout_s = 5\n";
    let broker = Configured::new(&format!("[listener.kafka]\n{settings}")).start();
    let mut large = open(broker.kafka_address());
    large.write_all(&[0, 0, 0x10, 1, 0, 18]).expect("sent");
    let mut silent = open(broker.kafka_address());
    assert!(is_served(&mut silent));
    for socket in [&mut large, &mut silent] {
        let mut rest = Vec::new();
        // Closed with bytes unread, a connection may also be reset.
        let _ = socket.read_to_end(&mut rest);
    }
    assert!(!is_served(&mut silent));
}

#[test]
fn a_ban_of_an_address_ends_the_connections_that_are_open_from_there() {
    let broker = Broker::start_configured("[listener.http]\nbind = \"127.0.0.1:0\"\n");
    let from = |last: u8| {
        let socket = connect_from([127, 0, 0, last].into(), broker.kafka_address());
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
        socket
    };
    let (mut asking, mut waiting, mut other) = (from(2), from(2), from(1));
    for socket in [&mut asking, &mut waiting, &mut other] {
        assert!(is_answered(socket));
    }
    // What it waits for comes when it is banned.
    waiting.write_all(&fetch(i32::MAX, 1)).expect("sent");
    let http = Http::new(broker.http_address());
    let ban = json!({ "kind": "address", "target": "127.0.0.2" });
    let _ = http.granted("POST", "/api/v1/bans", Some(&ban));
    assert!(!is_answered(&mut asking));
    let mut client = Wire::clean(broker.address(), Version::V5, "client");
    client.publish_acknowledged(&Publish::new("secret", "not for it", 1, 1));
    assert!(is_closed(&mut waiting));
    assert!(is_answered(&mut other));
    broker.await_times("a Kafka connection is closed: it is banned", 2);
}
