//! Do streams do what the configuration says, also when it changes?

use std::path::Path;
use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::places::built_program;
use tidewire_tests::wire::{Publish, Version, Wire, kind};

/// What `tidewire log dump` says of one stream.
fn dumped(data: &Path, stream: &str) -> String {
    let output = Command::new(built_program("tidewire"))
        .args(["log", "dump", "--data"])
        .arg(data)
        .args(["--stream", stream])
        .output()
        .expect("tidewire runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_message_lies_in_the_stream_whose_filter_takes_its_topic() {
    let config = Configured::new(
        "[[stream]]\nname = \"alarms\"\nfilters = [\"+/alarm/#\"]\npartitions = 1\n\
         [[stream]]\nname = \"mqtt\"\nfilters = [\"#\"]\n",
    );
    let mut broker = config.start();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("plant/alarm/fire", "it burns", 1, 1));
    writer.publish_acknowledged(&Publish::new("plant/state", "all quiet", 1, 2));
    broker.stop();
    let (alarms, rest) = (dumped(broker.data(), "alarms"), dumped(broker.data(), "mqtt"));
    assert!(alarms.contains("it burns") && !alarms.contains("all quiet"), "{alarms}");
    assert!(rest.contains("all quiet") && !rest.contains("it burns"), "{rest}");
}

#[test]
fn messages_at_qos_0_are_in_the_log_in_their_order_after_a_stop() {
    let mut broker = Broker::start();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("many/#", 0)]);
    for number in 0..200 {
        // One turn each: it is handed out before the next is sent.
        let text = format!("number {number} of many");
        writer.publish(&Publish::new("many/of/them", &text, 0, 0));
        assert_eq!(reader.packet_of(kind::PUBLISH).payload_text(), text);
    }
    broker.stop();
    let dump = dumped(broker.data(), "mqtt");
    let mut from = 0;
    for number in 0..200 {
        let text = format!("number {number} of many");
        let place = dump[from..].find(&text);
        from += place.unwrap_or_else(|| panic!("{text} is not there, or not behind the others"));
    }
}

#[test]
fn a_stream_that_grew_is_read_in_order_by_a_session_that_was_away() {
    let of = |partitions: u32| {
        format!("[[stream]]\nname = \"mqtt\"\nfilters = [\"#\"]\npartitions = {partitions}\n")
    };
    let config = Configured::new(&of(1));
    let mut broker = config.start();
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("kept/#", 1)]);
    reader.disconnect();
    let topics: Vec<String> = (0..8).map(|n| format!("kept/{n}")).collect();
    let mut sent = 0;
    for partitions in [1, 3, 8] {
        config.write(&of(partitions));
        broker.stop();
        broker.restart();
        let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
        for round in 0..5 {
            for topic in &topics {
                let payload = format!("{}", sent / topics.len());
                let id = u16::try_from(round + 1).expect("small");
                writer.publish_acknowledged(&Publish::new(topic, &payload, 1, id));
                sent += 1;
            }
        }
    }
    let (mut reader, present) = Wire::resume(broker.address(), Version::V5, "reader");
    assert!(present);
    let mut next = vec![0; topics.len()];
    for _ in 0..sent {
        let message = reader.packet_of(kind::PUBLISH);
        reader.acknowledge(kind::PUBACK, message.id());
        let topic = topics.iter().position(|topic| *topic == message.topic());
        let topic = topic.expect("one of ours");
        assert_eq!(message.payload_text(), next[topic].to_string(), "{message}");
        next[topic] += 1;
    }
    assert!(next.iter().all(|count| *count == 15), "{next:?}");
    reader.nothing_else_on("kept/0");
}

/// A session that is connected and gets nothing has its place in the log written down now and then:
/// what it stood before when it came must not be kept for it for ever.
#[test]
fn a_session_without_messages_holds_no_records_of_others() {
    let config = Configured::new(
        "[mqtt]\npacket_bytes_max = 8192\nconnect_bytes_max = 4096\n\
         [threads]\ncores = 1\n\
         [store]\nsegment_bytes_max = 1048576\nwal_file_bytes = 1048576\n\
         [[stream]]\nname = \"mqtt\"\nfilters = [\"#\"]\npartitions = 1\n\
         retention_bytes = 1048576\n",
    );
    let mut broker = config.start();
    let (mut quiet, _) = Wire::resume(broker.address(), Version::V5, "quiet");
    quiet.subscribe(1, &[("quiet", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let payload = "x".repeat(8_000);
    writer.publish_acknowledged(&Publish::new("loud", "the first", 1, 1));
    for id in 1..=500 {
        writer.publish_acknowledged(&Publish::new("loud", &payload, 1, id));
    }
    writer.publish_acknowledged(&Publish::new("loud", "the last", 1, 1));
    // What comes later than asked comes with a tick, as the rows do: by the second, they are there.
    writer.subscribe(1, &[("later", 0)]);
    for id in 1..=2 {
        writer.publish_acknowledged(&Publish::new("$delayed/1/later", "", 1, id));
        writer.packet_of(kind::PUBLISH);
    }
    broker.kill9();
    // A clean stop files what is in the write-ahead log; retention looks at each start.
    for _ in 0..2 {
        broker.restart();
        broker.stop();
    }
    let kept = dumped(broker.data(), "mqtt");
    assert!(kept.contains("the last") && !kept.contains("the first"), "nobody wants the first");
}
