//! Does a message get through, for each version and level, seen from raw bytes? (What foreign
//! clients see is asked in `foreign_clients.rs`.)

use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{
    Publish, Version, Will, Wire, connect, frame, kind, publish, subscribe, unsubscribe,
};

#[test]
fn a_message_arrives_at_the_lower_of_both_levels() {
    let broker = Broker::start();
    for version in Version::ALL {
        for (published, subscribed) in
            [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
        {
            let mut reader = Wire::clean(broker.address(), version, "reader");
            reader.subscribe(1, &[("level/+", subscribed)]);
            let mut writer = Wire::clean(broker.address(), version, "writer");
            let payload = format!("{published} to {subscribed}");
            writer.publish_acknowledged(&Publish::new("level/x", &payload, published, 5));
            let message = reader.receive(&payload);
            assert_eq!(message.qos(), published.min(subscribed), "{payload} {version:?}");
            assert!(!message.is_dup() && !message.is_retained(), "{message}");
            reader.nothing_else_on("level/x");
            writer.disconnect();
            reader.disconnect();
        }
    }
}

#[test]
fn filters_match_what_they_must_and_nothing_else() {
    let broker = Broker::start();
    for (filter, topic, matches) in [
        ("a/b", "a/b", true),
        ("a/b", "a/b/", false),
        ("a/b", "A/b", false),
        ("a/+", "a/b", true),
        ("a/+", "a/", true),
        ("a/+", "a/b/c", false),
        ("a/+", "a", false),
        ("+/b", "/b", true),
        ("+", "/b", false),
        ("a/#", "a/b/c", true),
        ("a/#", "a", true),
        ("#", "a/b", true),
        ("+/+", "/b", true),
        ("#", "$own/a", false),
        ("+/a", "$own/a", false),
        ("$own/#", "$own/a", true),
        ("$own/+", "$own/a", true),
        ("é/+", "é/ü", true),
    ] {
        let mut wire = Wire::clean(broker.address(), Version::V4, "matches");
        wire.subscribe(1, &[(filter, 0), ("end", 0)]);
        wire.publish(&Publish::new(topic, "probe", 0, 0));
        wire.publish(&Publish::new("end", "last", 0, 0));
        if matches {
            assert_eq!(wire.receive("probe").topic(), topic, "{filter}");
        }
        // Same publisher, so `last` is behind `probe`.
        let last = wire.packet_of(kind::PUBLISH);
        assert_eq!(last.topic(), "end", "{filter} must match {topic}: {matches}");
    }
}

#[test]
fn a_retained_message_greets_new_subscribers_until_an_empty_one_clears_it() {
    let broker = Broker::start();
    for version in Version::ALL {
        for qos in 0..=2 {
            let mut writer = Wire::clean(broker.address(), version, "writer");
            let kept = Publish::new("kept/state", "on", qos, 3).retained();
            writer.publish_acknowledged(&Publish { payload: "old", ..kept });
            writer.publish_acknowledged(&kept);
            writer.nothing_more();
            let mut reader = Wire::clean(broker.address(), version, "reader");
            reader.subscribe(1, &[("kept/#", 2)]);
            let greeting = reader.receive("on");
            assert!(greeting.is_retained() && greeting.qos() == qos, "{greeting}");
            reader.nothing_else_on("kept/state");

            writer.publish_acknowledged(&Publish { payload: "", ..kept });
            let live = reader.receive("");
            assert!(!live.is_retained(), "an established subscription sees it as live: {live}");
            let mut late = Wire::clean(broker.address(), version, "late");
            late.subscribe(1, &[("kept/#", 2)]);
            late.nothing_else_on("kept/state");
        }
    }
}

#[test]
fn a_live_message_is_shown_as_retained_only_to_those_who_asked() {
    const AS_PUBLISHED: u8 = 0x08;
    let (broker, version) = (Broker::start(), Version::V5);
    let mut writer = Wire::clean(broker.address(), version, "writer");
    for (options, is_shown) in [(1 | AS_PUBLISHED, true), (1, false)] {
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.send(&subscribe(version, 1, &[("live/a", options)]));
        reader.packet_of(kind::SUBACK);
        let message = Publish::new("live/a", "now", 1, 1);
        writer.publish_acknowledged(&message.retained());
        assert_eq!(reader.receive("now").is_retained(), is_shown, "options {options}");
        writer.publish_acknowledged(&message);
        assert!(!reader.receive("now").is_retained(), "it was not published so");
        // Empty and retained: the next reader begins with nothing.
        writer.publish_acknowledged(&Publish { payload: "", ..message }.retained());
        assert_eq!(reader.receive("").is_retained(), is_shown, "options {options}");
        reader.disconnect();
    }
}

#[test]
fn the_will_speaks_for_a_lost_client_and_is_silent_after_disconnect() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("will/#", 2)]);
        for qos in 0..=2 {
            let will = Will { topic: "will/gone", payload: "gone", qos, retain: false };
            let hello = connect(version, "mortal", true, 60, Some(&will));
            let mut polite = Wire::open(broker.address(), version);
            polite.send(&hello);
            polite.connected();
            polite.disconnect();
            reader.nothing_else_on("will/gone");

            let mut lost = Wire::open(broker.address(), version);
            lost.send(&hello);
            lost.connected();
            lost.vanish();
            assert_eq!(reader.receive("gone").qos(), qos);
        }
    }
}

#[test]
fn disconnect_with_will_message_asks_for_the_will() {
    let broker = Broker::start();
    let version = Version::V5;
    let mut reader = Wire::clean(broker.address(), version, "reader");
    reader.subscribe(1, &[("will/#", 1)]);
    let will = Will { topic: "will/asked", payload: "as asked", qos: 1, retain: false };
    let mut leaver = Wire::open(broker.address(), version);
    leaver.send(&connect(version, "leaver", true, 60, Some(&will)));
    leaver.connected();
    leaver.send(&[0xe0, 1, 0x04]);
    leaver.expect_closed();
    reader.receive("as asked");
}

#[test]
fn a_silent_client_is_closed_after_one_and_a_half_keep_alives() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut silent = Wire::open(broker.address(), version);
        silent.send(&connect(version, "silent", true, 2, None));
        silent.connected();
        let since = std::time::Instant::now();
        if version == Version::V5 {
            assert_eq!(silent.packet_of(kind::DISCONNECT).reason(), 0x8d, "keep alive timeout");
        }
        silent.expect_closed();
        let waited = since.elapsed();
        assert!(waited > Duration::from_millis(2900), "closed after {waited:?}, not after 3 s");
    }
}

#[test]
fn a_second_client_of_the_same_id_takes_over() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut first = Wire::clean(broker.address(), version, "twin");
        let mut second = Wire::clean(broker.address(), version, "twin");
        if version == Version::V5 {
            assert_eq!(first.packet_of(kind::DISCONNECT).reason(), 0x8e, "session taken over");
        }
        first.expect_closed();
        second.nothing_more();
    }
}

#[test]
fn session_present_is_true_exactly_when_there_is_one() {
    let broker = Broker::start();
    for version in Version::ALL {
        let (wire, present) = Wire::resume(broker.address(), version, "stays");
        assert!(!present, "nobody was here before");
        wire.disconnect();
        let (wire, present) = Wire::resume(broker.address(), version, "stays");
        assert!(present, "it was kept");
        wire.disconnect();
        // `clean` insists that it is not present, and ends it.
        Wire::clean(broker.address(), version, "stays").disconnect();
        let (wire, present) = Wire::resume(broker.address(), version, "stays");
        assert!(!present, "a clean session leaves nothing");
        wire.disconnect();
        Wire::clean(broker.address(), version, "stays").disconnect();
    }
}

#[test]
fn a_session_ends_with_the_connection_that_asks_for_it() {
    let (broker, version) = (Broker::start(), Version::V5);
    let nothing_stays = || {
        let (wire, present) = Wire::resume(broker.address(), version, "brief");
        assert!(!present, "it was to end");
        wire.disconnect();
    };
    nothing_stays();
    // CONNECT takes it up without Clean Start and without Session Expiry Interval.
    let mut taker = Wire::open(broker.address(), version);
    taker.send(&frame(0x10, b"\x00\x04MQTT\x05\x00\x00\x3c\x00\x00\x05brief"));
    assert!(taker.connected(), "it was there to be taken up");
    taker.disconnect();
    nothing_stays();
    // DISCONNECT with a Session Expiry Interval of 0.
    let (mut leaver, present) = Wire::resume(broker.address(), version, "brief");
    assert!(present, "it was kept");
    leaver.send(&[0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]);
    leaver.expect_closed();
    nothing_stays();
}

#[test]
fn nothing_comes_after_unsubscribe() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "leaver");
        wire.subscribe(1, &[("left/a", 1), ("left/b", 1)]);
        wire.send(&unsubscribe(version, 2, &["left/a"]));
        let unsuback = wire.packet_of(kind::UNSUBACK);
        assert_eq!(unsuback.id(), 2, "{unsuback}");
        wire.publish(&Publish::new("left/a", "no", 0, 0));
        wire.publish(&Publish::new("left/b", "yes", 0, 0));
        wire.receive("yes");
        wire.nothing_more();
    }
}

/// MQTT 3.1.1 and 5 let a server send one copy or one for each; ours sends one.
#[test]
fn overlapping_subscriptions_deliver_once_at_the_highest_level() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "overlap");
        reader.subscribe(1, &[("over/#", 0), ("over/+", 1), ("over/lap", 0)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("over/lap", "once", 2, 4));
        assert_eq!(reader.receive("once").qos(), 1);
        reader.nothing_else_on("over/lap");
    }
}

#[test]
fn messages_of_one_topic_keep_their_order() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("order", 1)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for id in 1..=200 {
            writer.publish(&Publish::new("order", &id.to_string(), 1, id));
        }
        for id in 1..=200_u16 {
            writer.answered(kind::PUBACK, id);
            reader.receive(&id.to_string());
        }
        reader.nothing_else_on("order");
    }
}

#[test]
fn an_empty_client_id_gets_one_from_the_broker() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut one = Wire::clean(broker.address(), version, "");
        let mut other = Wire::clean(broker.address(), version, "");
        one.nothing_more();
        other.nothing_more();
    }
}

#[test]
fn the_banner_says_where_the_data_is() {
    let broker = Broker::start();
    let data = broker.data().display().to_string();
    assert!(broker.output().contains(&data), "no {data} in\n{}", broker.output());
}

/// What is left of a read, small or large, and what comes with the next must be one packet.
#[test]
fn packets_are_whole_wherever_the_network_cuts_them() {
    let broker = Broker::start();
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("cut", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let lengths: [&[usize]; 2] = [&[0, 1, 300], &[4_070, 5, 4_100, 9_000, 150_000, 2, 131_072]];
    for (lengths, cuts) in lengths.into_iter().zip([[1, 7], [1_000, 5_000]]) {
        for cut in cuts {
            let texts = lengths.iter().map(|bytes| "x".repeat(*bytes));
            let payloads: Vec<(u16, String)> = (1..).zip(texts).collect();
            let mut stream = Vec::new();
            for (id, payload) in &payloads {
                stream.extend(publish(Version::V5, &Publish::new("cut", payload, 1, *id)));
            }
            stream.chunks(cut).for_each(|piece| writer.send(piece));
            for (id, payload) in &payloads {
                reader.receive(payload);
                writer.answered(kind::PUBACK, *id);
            }
        }
    }
}
