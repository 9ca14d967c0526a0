//! Does the broker keep to its promises with clients that are rude, slow, or in a hurry?

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::over::Over;
use tidewire_tests::wire::{
    Publish, Version, Wire, connect, frame, kind, publish, subscribe, unsubscribe,
};

const PINGREQ: [u8; 2] = [0xc0, 0];

#[test]
fn a_client_that_reads_nothing_is_soon_not_read_either() {
    let broker = Broker::start();
    let mut stream = TcpStream::connect(broker.address()).expect("the broker listens");
    stream.set_write_timeout(Some(Duration::from_secs(2))).expect("a timeout above zero");
    stream.write_all(&connect(Version::V5, "deaf", true, 0, None)).expect("the broker reads");
    let pings = PINGREQ.repeat(512 * 1024);
    let taken = (0..256).take_while(|_| stream.write_all(&pings).is_ok()).count();
    assert!(taken < 64, "{taken} MiB of PINGREQ were taken from a client that reads no answer");
}

#[test]
fn what_follows_connect_in_one_breath_is_answered_after_connack() {
    let broker = Broker::start();
    for version in Version::ALL {
        let count = 100_000;
        let mut bytes = connect(version, "hasty", true, 60, None);
        bytes.extend(PINGREQ.repeat(count));
        let mut wire = Wire::open(broker.address(), version);
        wire.send(&bytes);
        wire.connected();
        for _ in 0..count {
            wire.packet_of(kind::PINGRESP);
        }
    }
}

#[test]
fn connack_comes_first_however_busy_the_session_is() {
    let broker = Broker::start();
    let address = broker.address();
    for (version, client_id) in Version::ALL.into_iter().zip(["busy/0", "busy/1"]) {
        let (mut first, _) = Wire::resume(address, version, client_id);
        first.subscribe(1, &[("noise", 0)]);
        first.vanish();
    }
    let over = Over::default();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| publish_until(address, &over));
        }
        let at_last = over.at_last();
        let reader = scope.spawn(|| {
            for (version, client_id) in Version::ALL.into_iter().zip(["busy/0", "busy/1"]) {
                come_back_often(address, version, client_id);
            }
        });
        let outcome = reader.join();
        drop(at_last);
        outcome.expect("CONNACK came first each time");
    });
}

fn come_back_often(address: SocketAddr, version: Version, client_id: &str) {
    for _ in 0..100 {
        // Anything but CONNACK as the first packet is refused there.
        let (again, present) = Wire::resume(address, version, client_id);
        assert!(present);
        again.vanish();
    }
}

fn publish_until(broker: SocketAddr, over: &Over) {
    let mut writer = Wire::clean(broker, Version::V4, "");
    while !over.is_told() {
        writer.publish(&Publish::new("noise", "n", 0, 0));
        writer.nothing_more();
    }
}

#[test]
fn of_many_that_claim_one_client_id_each_hears_connack_or_the_end() {
    let broker = Broker::start();
    for version in Version::ALL {
        for _ in 0..20 {
            let mut wires: Vec<Wire> =
                (0..8).map(|_| Wire::open(broker.address(), version)).collect();
            for wire in &mut wires {
                wire.send(&connect(version, "wanted", false, 60, None));
            }
            for mut wire in wires {
                if let Some(packet) = wire.packet_or_end() {
                    assert_eq!(packet.kind(), kind::CONNACK, "{packet}");
                }
            }
        }
    }
    assert!(!broker.output().contains("could not be encoded"), "{}", broker.output());
}

#[test]
fn before_mqtt_5_there_is_no_receive_maximum() {
    let broker = Broker::start();
    for (qos, answer) in [(1, kind::PUBACK), (2, kind::PUBREC)] {
        let mut wire = Wire::clean(broker.address(), Version::V4, "many");
        let ids = 1..=5_000;
        let bytes: Vec<u8> = ids
            .clone()
            .flat_map(|id| publish(Version::V4, &Publish::new("many", "m", qos, id)))
            .collect();
        wire.send(&bytes);
        for id in ids {
            wire.answered(answer, id);
        }
    }
}

#[test]
fn what_is_sent_again_keeps_to_the_receive_maximum_of_the_new_connection() {
    let broker = Broker::start();
    let (mut reader, _) = Wire::resume(broker.address(), Version::V5, "narrow");
    reader.subscribe(1, &[("again", 2)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for (payload, qos) in [("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 1)] {
        writer.publish_acknowledged(&Publish::new("again", payload, qos, 1));
        reader.packet_of(kind::PUBLISH);
    }
    reader.vanish();

    let mut reader = Wire::open(broker.address(), Version::V5);
    reader.send(&connect_with_receive_maximum("narrow", 1));
    assert!(reader.connected());
    for payload in ["a", "b", "c", "d", "e"] {
        let message = reader.packet_of(kind::PUBLISH);
        assert_eq!((message.payload_text(), message.is_dup()), (payload.into(), true));
        reader.nothing_more();
        if message.qos() == 2 {
            reader.acknowledge(kind::PUBREC, message.id());
            reader.answered(kind::PUBREL, message.id());
            reader.nothing_more();
            reader.acknowledge(kind::PUBCOMP, message.id());
        } else {
            reader.acknowledge(kind::PUBACK, message.id());
        }
    }
    reader.nothing_else_on("again");
}

fn connect_with_receive_maximum(client_id: &str, maximum: u16) -> Vec<u8> {
    let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 0, 0, 60];
    body.extend_from_slice(&[8, 0x11, 0xff, 0xff, 0xff, 0xff, 0x21]);
    body.extend_from_slice(&maximum.to_be_bytes());
    body.extend_from_slice(&u16::try_from(client_id.len()).expect("short").to_be_bytes());
    body.extend_from_slice(client_id.as_bytes());
    frame(0x10, &body)
}

#[test]
fn a_resumed_client_may_release_and_publish_up_to_the_receive_maximum() {
    let broker = Broker::start();
    let (mut wire, _) = Wire::resume(broker.address(), Version::V5, "quota");
    for id in 1..=600 {
        wire.publish(&Publish::new("quota", "q", 2, id));
    }
    for id in 1..=600 {
        wire.answered(kind::PUBREC, id);
    }
    wire.vanish();
    // PUBREL takes nothing from what the client may send, which begins anew: 1,000 by default.
    let (mut wire, present) = Wire::resume(broker.address(), Version::V5, "quota");
    assert!(present);
    let mut bytes: Vec<u8> =
        (1..=600_u16).flat_map(|id| [[0x62, 2], id.to_be_bytes()].concat()).collect();
    for id in 1_001..=2_000 {
        bytes.extend(publish(Version::V5, &Publish::new("quota", "q", 2, id)));
    }
    wire.send(&bytes);
    let mut left = 1_600;
    while left > 0 {
        let packet = wire.packet();
        assert!([kind::PUBCOMP, kind::PUBREC].contains(&packet.kind()), "{packet}");
        left -= 1;
    }
}

#[test]
fn retained_messages_of_an_ended_subscription_stay_where_they_are() {
    let broker = Broker::start();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for topic in ["kept/1", "kept/2", "kept/3"] {
        writer.publish_acknowledged(&Publish::new(topic, "on", 1, 1).retained());
    }
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send(&connect_with_receive_maximum("fickle", 1));
    wire.connected();
    let mut bytes = subscribe(Version::V5, 1, &[("kept/#", 1)]);
    bytes.extend(unsubscribe(Version::V5, 2, &["kept/#"]));
    wire.send(&bytes);
    wire.packet_of(kind::SUBACK);
    wire.packet_of(kind::UNSUBACK);
    wire.nothing_more();
}

#[test]
fn a_connect_that_only_drips_in_is_given_up_in_time() {
    let folder = tempfile::tempdir().expect("a folder for the configuration");
    let config = folder.path().join("drip.toml");
    std::fs::write(&config, "[mqtt]\nconnect_timeout_ms = 1000\n").expect("a writable folder");
    let broker = Broker::start_with(&["--config", &config.display().to_string()]);
    let mut stream = TcpStream::connect(broker.address()).expect("the broker listens");
    stream.set_nodelay(true).expect("a live socket");
    let since = Instant::now();
    let bytes = connect(Version::V5, "drip-drip-drip-drip-drip", true, 60, None);
    stream.set_read_timeout(Some(Duration::from_millis(250))).expect("a timeout above zero");
    let is_over = bytes.iter().any(|byte| {
        let is_refused = stream.write_all(&[*byte]).is_err();
        // Waits for the end, or for the time of the next drop.
        is_refused || matches!(stream.read(&mut [0]), Ok(0))
    });
    assert!(is_over, "still heard after {:?}", since.elapsed());
}

/// The walk over retained topics of which none matches is long; it is gone in steps.
#[test]
fn others_are_served_while_the_retained_messages_of_a_wildcard_are_looked_for() {
    const TOPICS: u32 = 60_000;
    let broker = Broker::start_configured("[threads]\ncores = 1\n");
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for first in (0..TOPICS).step_by(500) {
        let retained = |number: u32| {
            let topic = format!("{number:06}/here");
            let id = u16::try_from(number - first + 1).expect("small");
            publish(Version::V5, &Publish { retain: true, ..Publish::new(&topic, "x", 1, id) })
        };
        writer.send(&(first..first + 500).map(retained).collect::<Vec<_>>().concat());
        (1..=500).for_each(|id| writer.answered(kind::PUBACK, id));
    }
    // The only one that matches is the last of all.
    let last = Publish { retain: true, ..Publish::new("~/there", "found", 1, 1) };
    writer.publish_acknowledged(&last);
    let mut other = Wire::clean(broker.address(), Version::V5, "other");
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    // Of a few looks, for the system may leave the client alone too little to ask.
    let most = (0..20).map(|_| answered_meanwhile(&mut other, &mut reader)).find(|it| *it > 3);
    assert!(most.is_some(), "others wait until all are looked through");
}

/// How many PINGREQ of one are answered until the other is told what it looks for.
fn answered_meanwhile(other: &mut Wire, reader: &mut Wire) -> usize {
    let found = Over::default();
    reader.subscribe(1, &[("+/there", 0)]);
    thread::scope(|scope| {
        let pinger = scope.spawn(|| {
            let mut answered = 0;
            while !found.is_told() {
                other.nothing_more();
                answered += 1;
            }
            answered
        });
        let at_last = found.at_last();
        assert_eq!(reader.packet_of(kind::PUBLISH).payload_text(), "found");
        drop(at_last);
        pinger.join().expect("each PINGREQ is answered")
    })
}
