//! Remotes that mean ill, or do not listen.

use std::io::Write;
use std::time::Duration;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{Ack, Packet, PropertiesBuilder, PropertyId, PropertyValue};
use tidewire_proto::qos::Qos;
use tidewire_store::rows::link;

use super::house::{House, rule};
use super::remote::{Remote, Said, id};
use crate::bridges::Order;

/// More than any socket holds.
const FLOOD_BYTES: usize = 256 * 1024 * 1024;

#[test]
fn a_remote_that_asks_and_does_not_listen_is_not_read_for_ever() {
    let remote = Remote::open();
    let mut house = House::open();
    house.link(&remote, |options| options.rules = vec![rule(false, "in/#", 2)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    peer.stream.set_write_timeout(Some(Duration::from_secs(2))).expect("set");
    // PUBREL of an exchange that is not: each is answered.
    let flood = [0x62, 0x02, 0x00, 0x07].repeat(64 * 1024);
    let mut written = 0;
    while written < FLOOD_BYTES && peer.stream.write_all(&flood).is_ok() {
        written += flood.len();
    }
    assert!(written < FLOOD_BYTES, "all of it was taken, and answered into memory");
}

#[test]
fn what_a_remote_does_not_acknowledge_is_not_gathered_in_memory() {
    const MESSAGE_BYTES: usize = 512 * 1024;
    const COUNT: usize = 48;
    let remote = Remote::open();
    let mut house = House::open();
    let payload = vec![0; MESSAGE_BYTES];
    for _ in 0..COUNT {
        house.append_bytes(0, &["a"], (Qos::ExactlyOnce, &payload));
    }
    house.link(&remote, |options| options.rules = vec![rule(true, "#", 2)]);
    let mut one_at_a_time = PropertiesBuilder::new();
    let one = PropertyValue::TwoByte(1);
    one_at_a_time.push(PropertyId::ReceiveMaximum, one).expect("it fits");
    let mut peer = remote.accept();
    peer.welcome_with(true, one_at_a_time.as_properties());
    let first = peer.published();
    house.order(Order::Pause);
    let waiting = house.exchanges().len();
    assert!(waiting <= 10, "{waiting} of {MESSAGE_BYTES} bytes each");
    // All of them go again, none is missing, and the rest behind them.
    house.order(Order::Start);
    let mut peer = remote.accept();
    peer.welcome(true);
    let again = peer.published();
    assert_eq!((again.id, again.dup), (first.id, true));
    for _ in 1..COUNT {
        peer.published();
    }
}

/// All of what a link has under way is acknowledged before it goes again.
fn goes_on_after_early_acknowledgements(qos: u8) {
    const MESSAGE_BYTES: usize = 512 * 1024;
    const COUNT: usize = 16;
    let remote = Remote::open();
    let mut house = House::open();
    let (level, payload) = (Qos::from_bits(qos).expect("a QoS"), vec![0; MESSAGE_BYTES]);
    for _ in 0..COUNT {
        house.append_bytes(0, &["a"], (level, &payload));
    }
    house.link(&remote, |options| options.rules = vec![rule(true, "#", qos)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    let ids: Vec<_> = (0..COUNT).map(|_| peer.published().id.expect("it has one")).collect();
    house.until("all are noted", |row| {
        link::decode(&row.extra).is_ok_and(|row| row.cursor.exchanges.len() == COUNT)
    });
    drop(peer);
    let mut peer = remote.accept();
    let ack = |id: &PacketId| match qos {
        1 => Packet::PubAck(Ack::success(*id)),
        _ => Packet::PubRec(Ack::success(*id)),
    };
    peer.welcome_with_acks(&ids.iter().map(ack).collect::<Vec<_>>());
    house.append(0, &["end"], level);
    let mut released = Vec::new();
    loop {
        match peer.hear().expect("it goes on") {
            Said::Publish(sent) if sent.topic == "end" => break,
            // Some may have been on their way before the acknowledgements were heard.
            Said::Publish(sent) => {
                let id = sent.id.expect("it has one");
                assert!(sent.dup, "{id:?} is no new message");
                assert!(!released.contains(&id), "{id:?} goes behind its PUBREL");
            }
            Said::Rel(id) => {
                released.push(id);
                peer.comp(id);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_link_goes_on_where_messages_at_qos1_are_acknowledged_before_they_go_again() {
    goes_on_after_early_acknowledgements(1);
}

#[test]
fn a_link_goes_on_where_messages_at_qos2_are_acknowledged_before_they_go_again() {
    goes_on_after_early_acknowledgements(2);
}

#[test]
fn what_is_not_read_to_its_end_is_answered_when_there_is_room() {
    let remote = Remote::open();
    let mut house = House::open();
    house.link(&remote, |options| options.rules = vec![rule(false, "in/#", 2)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    assert!(matches!(peer.hear(), Some(Said::Subscribe(_))));
    const COUNT: usize = 100_000;
    let mut writing = peer.stream.try_clone().expect("a handle");
    let writer = std::thread::spawn(move || {
        writing.write_all(&[0x62, 0x02, 0x00, 0x07].repeat(COUNT)).expect("taken in time");
    });
    for _ in 0..COUNT {
        assert_eq!(peer.hear(), Some(Said::Comp(id(7))));
    }
    writer.join().expect("written");
    peer.publish("in/a", 2, (id(9), false));
    assert_eq!(peer.hear(), Some(Said::Rec(id(9))));
    peer.rel(id(9));
    assert_eq!(peer.hear(), Some(Said::Comp(id(9))));
}
