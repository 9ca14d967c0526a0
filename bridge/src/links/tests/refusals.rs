//! Remotes that refuse a message and close the connection for it: with a word or without.

use std::io::Write;

use tidewire_proto::mqtt::{
    Ack, Disconnect, Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode,
    Version, encode,
};
use tidewire_proto::qos::Qos;

use super::house::{House, rule};
use super::remote::{Remote, Said};

/// The last error of the link, once it says this.
fn until_said(house: &House, words: &str) -> String {
    let said = || house.status().last_error.map(|it| it.words).unwrap_or_default();
    house.until(words, |_| said().contains(words));
    said()
}

/// A remote that refuses a message, and closes the connection in the same breath.
fn refuses_and_closes(qos: Qos) {
    let (remote, mut house) = (Remote::open(), House::open());
    house.append(0, &["bad", "good"], qos);
    house.link(&remote, |options| options.rules = vec![rule(true, "#", qos.bits())]);
    let mut one_at_a_time = PropertiesBuilder::new();
    let one = PropertyValue::TwoByte(1);
    one_at_a_time.push(PropertyId::ReceiveMaximum, one).expect("it fits");
    let mut peer = remote.accept();
    peer.welcome_with(true, one_at_a_time.as_properties());
    let bad = peer.published();
    assert_eq!(bad.topic, "bad");
    let refused = Ack::with_reason(bad.id.expect("it has one"), ReasonCode::NOT_AUTHORIZED);
    peer.put(&match qos {
        Qos::ExactlyOnce => Packet::PubRec(refused),
        _ => Packet::PubAck(refused),
    });
    drop(peer);
    let mut peer = remote.accept();
    peer.welcome(true);
    assert_eq!(peer.published().topic, "good", "what was refused goes again");
}

#[test]
fn a_refused_message_for_which_the_connection_is_closed_does_not_go_again() {
    refuses_and_closes(Qos::AtLeastOnce);
}

#[test]
fn at_qos2_a_refused_message_for_which_the_connection_is_closed_does_not_go_again() {
    refuses_and_closes(Qos::ExactlyOnce);
}

#[test]
fn the_message_at_which_connections_end_is_named_and_what_gets_past_it() {
    let (remote, mut house) = (Remote::open(), House::open());
    house.append(0, &["never/taken", "behind/it"], Qos::AtLeastOnce);
    house.link(&remote, |options| {
        options.version = Version::V311;
        options.rules = vec![rule(true, "#", 1)];
    });
    for _ in 0..2 {
        let mut peer = remote.accept();
        peer.welcome(true);
        assert_eq!(peer.published().topic, "never/taken");
    }
    let words = until_said(&house, "2 times so before \"never/taken\" (partition 0, offset 0)");
    assert!(words.contains("it closed the connection") && words.contains("Skip"), "{words}");
}

#[test]
fn why_the_other_side_closes_is_heard_though_it_does_not_listen() {
    const MESSAGE_BYTES: usize = 4 << 20;
    let (remote, mut house) = (Remote::open(), House::open());
    let payload = vec![0; MESSAGE_BYTES];
    for _ in 0..4 {
        house.append_bytes(0, &["large"], (Qos::AtLeastOnce, &payload));
    }
    house.link(&remote, |options| options.rules = vec![rule(true, "#", 1)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    let (reason, properties) = (ReasonCode::PACKET_TOO_LARGE, Properties::EMPTY);
    let mut bytes = Vec::new();
    let disconnect = Packet::Disconnect(Disconnect { reason, properties });
    encode(&disconnect, Version::V5, &mut bytes).expect("written");
    peer.stream.write_all(&bytes).expect("taken");
    // What it has not read makes the link's next write fail.
    drop(peer);
    let words = until_said(&house, "it closes the connection: ");
    assert!(words.contains("packet too large"), "{words}");
    let mut peer = remote.accept();
    peer.welcome(true);
    assert!(matches!(peer.hear(), Some(Said::Publish(_))), "it goes on");
}
