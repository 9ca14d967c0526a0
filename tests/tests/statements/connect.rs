//! CONNECT and CONNACK: names, refusals, limits that both sides agree on.

use std::fs;
use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Publish, Version, Wire, connect, kind, publish, spelled};

/// The text in the value of a property.
fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[2..]).into_owned()
}

#[test]
fn an_assigned_client_id_is_told_and_names_the_session() {
    let broker = Broker::start();
    let assigned = || {
        let (wire, connack) = Wire::connect5(broker.address(), 2, "[11 00 00 00 64] $''");
        (wire, text(&connack.property(0x12).expect("an assigned client id")))
    };
    let ((one, name), (_two, other)) = (assigned(), assigned());
    assert_ne!(name, other, "both are connected");
    one.vanish();
    let (_three, third) = assigned();
    assert!(third != name && third != other, "a session of that name is there still");
    let (_, connack) = Wire::connect5(broker.address(), 0, &format!("[11 00 00 00 64] $'{name}'"));
    assert_eq!(connack.body()[..2], [1, 0], "{connack}");
    assert_eq!(connack.property(0x12), None, "it was not assigned this time");
}

#[test]
fn client_ids_of_letters_and_digits_are_taken_and_told_apart() {
    let broker = Broker::start();
    let names = [
        "a",
        "A",
        "0",
        "0123456789abcdefghijklm",
        "nopqrstuvwxyzABCDEFGHIJ",
        "KLMNOPQRSTUVWXYZ",
        "KLMNOPQRSTUVWXYZ0",
        "é",
        "e\u{301}",
    ];
    for version in Version::ALL {
        let connected = names.map(|name| Wire::clean(broker.address(), version, name));
        for mut wire in connected {
            wire.nothing_more();
            wire.disconnect();
        }
    }
}

#[test]
fn a_refusal_says_no_session_and_is_the_last_word() {
    let broker = Broker::start();
    let too_long = "i".repeat(1025);
    for (body, version, refusal) in [
        (format!("$'MQTT' 05 00 00 3c [] $'{too_long}'"), Version::V5, "00 85 []"),
        (format!("$'MQTT' 04 00 00 3c $'{too_long}'"), Version::V4, "00 02"),
        ("$'MQTT' 04 00 00 3c $''".to_owned(), Version::V4, "00 02"),
        ("$'MQIsdp' 03 02 00 3c $''".to_owned(), Version::V4, "00 02"),
        ("$'MQTT' 06 02 00 3c [] $'new'".to_owned(), Version::V5, "00 84 []"),
        ("$'MQTT' 03 02 00 3c $'old'".to_owned(), Version::V4, "00 01"),
    ] {
        let mut wire = Wire::open(broker.address(), version);
        wire.say(0x10, &body);
        wire.hear_refusal(0x20, refusal);
        wire.expect_closed();
    }
}

#[test]
fn what_follows_a_refused_connect_is_not_looked_at() {
    let broker = Broker::start();
    for version in Version::ALL {
        let kept = Publish::new("refused/kept", "never", 0, 0).retained();
        let client_id = "i".repeat(1025);
        let mut bytes = connect(version, &client_id, true, 60, None);
        bytes.extend(publish(version, &kept));
        bytes.extend(spelled(0xc0, ""));
        let mut wire = Wire::open(broker.address(), version);
        wire.send(&bytes);
        let connack = wire.packet_of(kind::CONNACK);
        assert_ne!(connack.reason(), 0, "{connack}");
        wire.expect_closed();
    }
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("refused/#", 1)]);
    reader.nothing_else_on("refused/kept");
}

#[test]
fn connack_comes_first_and_once() {
    let broker = Broker::start();
    for version in Version::ALL {
        for clean in [true, false] {
            let mut wire = Wire::open(broker.address(), version);
            let mut bytes = connect(version, "once", clean, 60, None);
            bytes.extend(spelled(0xc0, ""));
            wire.send(&bytes);
            let connack = wire.packet_of(kind::CONNACK);
            assert_eq!(connack.body()[0] & 0xfe, 0, "seven bits are reserved: {connack}");
            wire.packet_of(kind::PINGRESP);
            wire.nothing_more();
        }
    }
}

#[test]
fn nothing_larger_than_the_client_takes_is_sent() {
    let broker = Broker::start();
    let (mut reader, _) = Wire::connect5(broker.address(), 2, "[27 00 00 00 40] $'small'");
    reader.subscribe(1, &[("size/#", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for qos in 0..=2 {
        let large = "x".repeat(64);
        writer.publish_acknowledged(&Publish::new("size/a", &large, qos, 1));
        writer.publish_acknowledged(&Publish::new("size/a", "fits", qos, 2));
        assert_eq!(reader.receive("fits").qos(), qos, "what was too large counts as sent");
    }
    // 6 bytes are around the payload: topic, packet id, lengths.
    let exact = "x".repeat(64 - 2 - 8 - 2 - 1);
    writer.publish_acknowledged(&Publish::new("size/a", &exact, 1, 3));
    assert_eq!(reader.receive(&exact).bytes().len(), 64);
}

#[test]
fn an_answer_larger_than_the_client_takes_ends_the_connection() {
    let broker = Broker::start();
    let filters = "$'f/1' 00".repeat(80);
    let (mut wire, _) = Wire::connect5(broker.address(), 2, "[27 00 00 00 40] $'answers'");
    wire.say(0x82, &format!("00 01 [] {filters}"));
    wire.ended_for(0x95);
    let (mut wire, _) = Wire::connect5(broker.address(), 2, "[27 00 00 00 40] $'answers'");
    wire.say(0xa2, &format!("00 01 [] {}", "$'f/1'".repeat(80)));
    wire.ended_for(0x95);
    // Even CONNACK does not fit: there is no word short enough.
    for name in ["tiny".to_owned(), "refused".repeat(150)] {
        let mut wire = Wire::open(broker.address(), Version::V5);
        wire.say(0x10, &format!("$'MQTT' 05 02 00 3c [27 00 00 00 04] $'{name}'"));
        wire.expect_closed();
    }
}

#[test]
fn response_information_is_not_given_unasked() {
    let broker = Broker::start();
    for properties in ["[]", "[19 00]"] {
        let (_, connack) = Wire::connect5(broker.address(), 2, &format!("{properties} $''"));
        assert_eq!(connack.property(0x1a), None, "{connack}");
    }
}

#[test]
fn without_problem_information_acknowledgements_explain_nothing() {
    let broker = Broker::start();
    let (mut wire, _) = Wire::connect5(broker.address(), 2, "[17 00] $'terse'");
    let deep = "d/".repeat(200);
    wire.say(0x62, "00 09");
    wire.hear(0x70, "00 09 92");
    wire.say(0x50, "00 09");
    wire.hear(0x62, "00 09 92");
    wire.say(0xa2, "00 03 [] $'never/subscribed'");
    wire.hear(0xb0, "00 03 [] 11");
    wire.say(0x82, &format!("00 04 [] $'{deep}' 00"));
    wire.hear(0x90, "00 04 [] 8f");
    for (first, answer) in [(0x32, 0x40), (0x34, 0x50)] {
        wire.say(first, "$'$SYS/a' 00 05 []");
        wire.hear(answer, "00 05 87");
    }
}

#[test]
fn refusals_say_in_words_what_is_wrong_with_what_was_asked_for() {
    let broker = Broker::start();
    let (_, refused) = Wire::connect5(broker.address(), 6, "[] $'bold' [] $'$SYS/a' $'mine'");
    assert_eq!(refused.reason(), 0x87);
    let (mut wire, _) = Wire::connect5(broker.address(), 2, "[] $'curious'");
    let deep = "d/".repeat(200);
    let mut answers = vec![refused];
    for (first, body) in [
        (0x32, "$'$SYS/a' 00 05 []".to_owned()),
        (0x34, "$'$SYS/a' 00 05 []".to_owned()),
        (0x82, format!("00 04 [] $'a' 00 $'{deep}' 00")),
    ] {
        wire.say(first, &body);
        answers.push(wire.packet());
    }
    let words: Vec<_> = answers.iter().map(|answer| answer.words().unwrap_or_default()).collect();
    let (ours, there) = ("only the broker speaks in $SYS", "the client may not publish there");
    assert_eq!(words, [ours, there, there, "filter 2: it has too many levels"]);
}

#[test]
fn words_that_would_make_a_packet_too_large_are_left_out() {
    let broker = Broker::start();
    // 30 bytes hold a CONNACK, and none of the words.
    let will = "[27 00 00 00 1e] $'terse' [] $'$SYS/a' $'mine'";
    let (_, refused) = Wire::connect5(broker.address(), 6, will);
    assert_eq!((refused.reason(), refused.body().len()), (0x87, 3), "{refused}");
    let (mut wire, _) = Wire::connect5(broker.address(), 2, "[27 00 00 00 1e] $'terse'");
    for (first, answer) in [(0x32, 0x40), (0x34, 0x50)] {
        wire.say(first, "$'$SYS/a' 00 05 []");
        wire.hear(answer, "00 05 87");
    }
    let deep = "d/".repeat(200);
    wire.say(0x82, &format!("00 04 [] $'{deep}' 00"));
    wire.hear(0x90, "00 04 [] 8f");
}

#[test]
fn the_keep_alive_of_the_client_holds_unless_connack_says_otherwise() {
    let broker = Broker::start();
    let (_, connack) = Wire::connect5(broker.address(), 2, "[] $''");
    assert_eq!(connack.property(0x13), None, "{connack}");

    let folder = tempfile::tempdir().expect("a folder for the configuration");
    let config = folder.path().join("keep.toml");
    fs::write(&config, "[mqtt]\nkeep_alive_s_max = 2\n").expect("a writable folder");
    let broker = Broker::start_with(&["--config", &config.display().to_string()]);
    let (mut wire, connack) = Wire::connect5(broker.address(), 2, "[] $''");
    assert_eq!(connack.property(0x13), Some(vec![0, 2]), "{connack}");
    wire.ended_for(0x8d);
}

#[test]
fn a_session_ends_when_its_time_has_passed() {
    let broker = Broker::start();
    let connect = |clean: u8, expiry: &str, name: &str| {
        Wire::connect5(broker.address(), clean, &format!("[11 {expiry}] $'{name}'"))
    };
    for (name, expiry) in [("brief", "00 00 00 01"), ("long", "00 00 00 64")] {
        connect(2, expiry, name).0.vanish();
    }
    let mut clock = Wire::clean(broker.address(), Version::V5, "clock");
    clock.silent_for(Duration::from_millis(5_000));
    for (name, expiry, present) in [("brief", "00 00 00 01", 0), ("long", "00 00 00 64", 1)] {
        let (_, connack) = connect(0, expiry, name);
        assert_eq!(connack.body()[..2], [present, 0], "{name}: {connack}");
    }
}
