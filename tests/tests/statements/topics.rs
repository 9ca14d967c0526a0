//! Topic names and filters: taken letter by letter, as long as they may be.

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Publish, Version, Wire};

#[test]
fn topics_are_compared_as_they_are_written() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "exact");
        let topics = [
            "same/é",
            "same/e\u{301}",
            "same/É",
            "same/\u{feff}é",
            "same/é ",
            " same/é",
            "/same/é",
            "same/é/",
            "same//é",
            "SAME/é",
            "same/./é",
            "same/%c3%a9",
            "same/\u{fffd}",
        ];
        for (at, topic) in topics.iter().enumerate() {
            wire.subscribe(1, &[(topic, 0)]);
            for other in topics {
                wire.publish(&Publish::new(other, &at.to_string(), 0, 0));
            }
            assert_eq!(wire.receive(&at.to_string()).topic(), *topic);
            wire.nothing_more();
            wire.send(&tidewire_tests::wire::unsubscribe(version, 2, &[topic]));
            wire.packet_of(tidewire_tests::wire::kind::UNSUBACK);
        }
    }
}

#[test]
fn a_topic_and_a_filter_may_have_65535_bytes() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "long");
        for (topic, filter) in [
            ("t".repeat(65_535), "t".repeat(65_535)),
            (format!("u/{}", "é".repeat(32_766)), "u/+".to_owned()),
        ] {
            wire.subscribe(1, &[(&filter, 1)]);
            wire.publish_acknowledged(&Publish::new(&topic, "long", 1, 1));
            assert_eq!(wire.receive("long").topic(), topic);
        }
    }
}

#[test]
fn a_topic_with_too_many_levels_is_refused_and_harms_nobody() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut wire = Wire::clean(broker.address(), version, "deep");
        let most = "/".repeat(127);
        wire.subscribe(1, &[(&most, 1)]);
        wire.publish_acknowledged(&Publish::new(&most, "deep", 1, 1));
        wire.receive("deep");
        let deep = "/".repeat(65_535);
        if version == Version::V5 {
            // With MQTT 5 an acknowledgement can say no.
            wire.publish(&Publish::new(&deep, "too deep", 1, 2));
            wire.hear_refusal(0x40, "00 02 90");
            wire.publish(&Publish::new(&deep, "too deep", 2, 3));
            wire.hear_refusal(0x50, "00 03 90");
        }
        wire.publish(&Publish::new(&deep, "too deep", u8::from(version == Version::V4), 2));
        wire.ended_for(0x90);
    }
}
