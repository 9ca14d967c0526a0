//! Does a broker that is told to stop end in time, whoever does not listen, and lose nothing?

use std::net::{SocketAddr, TcpListener};

use tidewire_tests::broker::Broker;
use tidewire_tests::program::Program;
use tidewire_tests::typed::tidewire;
use tidewire_tests::wire::{Hello, Publish, Version, Wire, kind};

/// A session that outlives its connection for an hour.
const LASTING: &[u8] = &[17, 0, 0, 14, 16];
/// More than sockets hold, both sides together, in parts.
const PARTS: usize = 600;
const PART_BYTES: usize = 64 << 10;

/// A broker with this configuration, as a program that can be told to stop twice.
struct Told {
    program: Program,
    mqtt: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Told {
    fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("tidewire.toml");
        std::fs::write(&file, config).expect("written");
        let words = ["--mqtt", "127.0.0.1:0", "--kafka", "off", "--http", "off", "--config"];
        let mut command = tidewire(&words);
        command.arg(&file).arg("--data").arg(folder.path().join("data"));
        let program = Program::start(&mut command);
        let line = program.line_that(|line| line.contains("mqtt://"));
        let address = line.split("mqtt://").nth(1).and_then(|rest| rest.split(' ').next());
        let mqtt = address.and_then(|text| text.parse().ok()).expect("an address");
        Self { program, mqtt, _folder: folder }
    }
}

/// A reader that reads nothing of much more than sockets hold.
fn slow_reader(mqtt: SocketAddr) -> Wire {
    let mut reader = Wire::clean(mqtt, Version::V5, "slow");
    reader.subscribe(1, &[("a", 1)]);
    let mut writer = Wire::clean(mqtt, Version::V5, "writer");
    let part = "x".repeat(PART_BYTES);
    for _ in 0..PARTS {
        writer.publish_acknowledged(&Publish::new("a", &part, 1, 1));
    }
    reader
}

#[test]
fn a_reader_that_reads_nothing_does_not_hold_up_the_stop_and_others_are_told() {
    let mut told = Told::start("");
    let _slow = slow_reader(told.mqtt);
    let hello = Hello { clean: false, properties: LASTING, ..Hello::new("quick") };
    let mut quick = Wire::greet(told.mqtt, &hello).0;
    told.program.ask_to_end();
    quick.ended_for(0x8b);
    assert!(told.program.rest().0.success(), "{}", told.program.output());
    told.program.await_output("Stopped.");
}

#[test]
fn a_bridge_that_gets_no_answer_does_not_hold_up_the_stop() {
    // Connections are taken by the system, and nobody ever answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = silent.local_addr().expect("bound");
    let mut told = Told::start(&format!(
        "[[bridge.link]]\nname = \"stuck\"\naddresses = [\"{at}\"]\n\
         rules = [{{ direction = \"out\", filter = \"a\" }}]\n"
    ));
    // It has been called, and waits.
    let _called = silent.accept().expect("the link comes");
    let mut writer = Wire::clean(told.mqtt, Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("a", "x", 1, 1));
    assert!(told.program.terminate().success(), "{}", told.program.output());
    told.program.await_output("Stopped.");
}

#[test]
fn told_a_second_time_it_ends_at_once_and_what_was_acknowledged_is_there() {
    let mut told = Told::start("");
    let _slow = slow_reader(told.mqtt);
    // The slow reader has its moment to read: the second signal comes before that is over.
    told.program.ask_to_end();
    told.program.interrupt();
    assert_eq!(told.program.rest().0.code(), Some(1), "{}", told.program.output());
    told.program.await_output("told to stop a second time");
    assert!(!told.program.output().contains("Stopped."), "{}", told.program.output());
}

#[test]
fn acknowledgements_of_before_a_stop_hold_after_it_on_both_sides() {
    const MESSAGES: u16 = 40;
    const ACKNOWLEDGED: u16 = 25;
    let mut broker = Broker::start();
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("a", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for number in 0..MESSAGES {
        let qos = 1 + u8::from(number % 2 == 0);
        writer.publish_acknowledged(&Publish::new("a", &number.to_string(), qos, 1 + number));
    }
    let handed: Vec<_> = (0..MESSAGES).map(|_| reader.packet_of(kind::PUBLISH)).collect();
    for packet in &handed[..usize::from(ACKNOWLEDGED)] {
        match packet.qos() {
            1 => reader.acknowledge(kind::PUBACK, packet.id()),
            _ => {
                reader.acknowledge(kind::PUBREC, packet.id());
                reader.answered(kind::PUBREL, packet.id());
                reader.acknowledge(kind::PUBCOMP, packet.id());
            }
        }
    }
    // All of that is read, and one that was not answered by the stop may be there or not.
    reader.nothing_more();
    writer.publish(&Publish::new("a", "at the last moment", 1, 99));
    broker.stop();
    // What it did not read ends the connection for it without a word.
    let is_answered = std::iter::from_fn(|| writer.try_packet().ok().flatten())
        .any(|packet| packet.kind() == kind::PUBACK && packet.id() == 99);

    broker.restart();
    let (mut reader, is_there) = Wire::resume(broker.address(), Version::V5, "reader");
    assert!(is_there, "its session");
    for number in ACKNOWLEDGED..MESSAGES {
        let packet = reader.packet_of(kind::PUBLISH);
        assert_eq!(packet.payload_text(), number.to_string());
        assert!(packet.is_dup(), "it was handed out before");
    }
    if is_answered {
        let _ = reader.receive("at the last moment");
    }
}
