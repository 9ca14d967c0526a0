//! One who is let in and wants what is not hers: other topics, names and sessions.

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::siege::{MIB, bear, sized};
use tidewire_tests::users;
use tidewire_tests::wire::{
    Hello, LastWill, Publish, Version, Wire, frame, kind, property, subscribe,
};

use crate::ONE_CORE;

const NOT_AUTHORIZED: u8 = 0x87;
const TOPIC_NAME_INVALID: u8 = 0x90;

/// A broker with users ann, whose all is below `private`, and eve, who has only her own.
fn start() -> (Broker, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    users::write(&file("users"), &["ann", "eve"]);
    let rules = "allow anonymous any honest/#\nallow user=ann any private/#\n\
                 allow user=ann subscribe $SYS/#\nallow user=eve any eve/#\n";
    std::fs::write(file("rules"), rules).expect("written");
    let config = format!(
        "[listener.mqtt]\nanonymous = \"allow\"\n[auth]\npassword_file = {:?}\n\
         [access]\nrules_file = {:?}\n{ONE_CORE}",
        file("users"),
        file("rules")
    );
    (Configured::new(&config).start(), folder)
}

fn hello<'a>(client_id: &'a str, user: &'a str) -> Hello<'a> {
    Hello { login: Some((user, user)), ..Hello::new(client_id) }
}

/// What CONNECT is answered.
fn answer(broker: &Broker, hello: &Hello<'_>) -> u8 {
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send(&hello.bytes());
    wire.packet_of(kind::CONNACK).body()[1]
}

#[test]
fn who_wants_what_is_anothers_gets_none_of_it_however_she_asks() {
    let (broker, _folder) = start();
    let expiry = property::session_expiry(3600);
    let own = Hello { clean: false, properties: &expiry, ..hello("anns", "ann") };
    let (mut ann, _) = Wire::greet(broker.address(), &own);
    ann.subscribe(1, &[("private/#", 1)]);
    bear(&broker, 32 * MIB, |broker| {
        let (mut eve, _) = Wire::greet(broker.address(), &hello("eves", "eve"));
        for _ in 0..sized(2_000, 30) {
            wants_wills(broker);
            wants_topics(&mut eve);
            wants_filters(&mut eve);
            for clean in [false, true] {
                let hers = Hello { clean, properties: &expiry, ..hello("anns", "eve") };
                assert_eq!(answer(broker, &hers), NOT_AUTHORIZED);
                assert_eq!(answer(broker, &Hello { login: None, ..hers }), NOT_AUTHORIZED);
            }
        }
    });
    // She was on her connection all the time, and heard none of it.
    ann.publish_acknowledged(&Publish::new("private/end", "end", 1, 1));
    assert_eq!(ann.packet_of(kind::PUBLISH).topic(), "private/end");
    // And while ann is away.
    ann.vanish();
    for clean in [false, true] {
        let hers = Hello { clean, properties: &expiry, ..hello("anns", "eve") };
        assert_eq!(answer(&broker, &hers), NOT_AUTHORIZED);
    }
    let (mut ann, present) = Wire::greet(broker.address(), &own);
    assert!(present, "her session was ended");
    assert_eq!(ann.packet_of(kind::PUBLISH).topic(), "private/end");
}

fn wants_wills(broker: &Broker) {
    for (topic, code) in [
        ("private/will", NOT_AUTHORIZED),
        ("$SYS/will", NOT_AUTHORIZED),
        // A will has a delay of its own.
        ("$delayed/1/private/will", TOPIC_NAME_INVALID),
    ] {
        let will = Some(LastWill::new(topic, "gone"));
        let asked = Hello { will, ..hello("eves-will", "eve") };
        assert_eq!(answer(broker, &asked), code, "{topic}");
    }
}

fn wants_topics(eve: &mut Wire) {
    for topic in ["private/a", "$SYS/a", "$delayed/0/private/a", "private"] {
        for (qos, step) in [(1, kind::PUBACK), (2, kind::PUBREC)] {
            eve.publish(&Publish::new(topic, "x", qos, 7).retained());
            let code = eve.packet_of(step).body().get(2).copied();
            assert_eq!(code, Some(NOT_AUTHORIZED), "{topic}");
        }
        eve.publish(&Publish::new(topic, "x", 0, 0).retained());
    }
    // An alias stands for what it was set to, though that message was refused.
    for topic in ["private/a", ""] {
        let length = u8::try_from(topic.len()).expect("short");
        let rest = [0, 1, 3, 0x23, 0, 1, b'x'];
        eve.send(&frame(0x32, &[&[0, length], topic.as_bytes(), &rest].concat()));
        assert_eq!(eve.packet_of(kind::PUBACK).body().get(2), Some(&NOT_AUTHORIZED));
    }
}

fn wants_filters(eve: &mut Wire) {
    let wanted = [
        ("private/a", 1),
        ("private/#", 0),
        ("#", 2),
        ("+/a", 1),
        ("$share/g/private/a", 1),
        ("$share/g/#", 1),
        ("$share/eve/private/#", 1),
        ("$queue/private/a", 1),
        ("$exclusive/private/a", 1),
        ("$s/earliest/private/a", 1),
        ("$SYS/#", 1),
        ("$SYS/broker/version", 1),
    ];
    eve.send(&subscribe(Version::V5, 9, &wanted));
    let suback = eve.packet_of(kind::SUBACK);
    assert!(suback.body().ends_with(&[NOT_AUTHORIZED; 12]), "{suback}");
}

/// What a client says of itself is quoted in the log: it can write no line of its own there.
#[test]
fn no_client_writes_lines_of_the_log() {
    for format in ["human", "json"] {
        let log = format!("[log]\nformat = \"{format}\"\nfilter = \"debug\"\n");
        let config = Configured::new(&format!("{log}{ONE_CORE}"));
        let broker = config.start();
        bear(&broker, 32 * MIB, |broker| {
            let name = "eve\nFORGED line of the log\r\n\u{1b}[31mFORGED\u{1b}[0m";
            for round in 0..sized(1_000, 20) {
                // One takes the place of the other, which is told of.
                let first = Wire::clean(broker.address(), Version::V5, name);
                let second = Wire::clean(broker.address(), Version::V5, name);
                drop((first, second));
                let long = "n".repeat(60_000 + round);
                let mut wire = Wire::open(broker.address(), Version::V5);
                wire.send_if_open(&Hello::new(&long).bytes());
                let refused = wire.packet_of(kind::CONNACK);
                assert_eq!(refused.body()[1], 0x85, "{refused}");
            }
        });
        broker.await_output("session taken over");
        for line in broker.output().lines() {
            assert!(!line.starts_with("FORGED") && !line.contains("\u{1b}[31mFORGED"), "{line}");
            assert!(line.len() < 4_096, "{} bytes", line.len());
        }
    }
}
