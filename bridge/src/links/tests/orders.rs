//! Orders to a link in the middle of what it does.

use tidewire_proto::mqtt::Version;
use tidewire_proto::qos::Qos;

use super::house::{House, rule};
use super::remote::{Peer, Remote, Said, Sent};
use crate::bridges::{Order, To};

const STREAM: &str = "mqtt";

/// A link that has sent five messages of partition 0 and two of partition 1, of which none is
/// acknowledged.
fn seven_on_their_way(remote: &Remote, qos: u8) -> (House, Peer) {
    let mut house = House::open();
    let level = Qos::from_bits(qos).expect("a QoS");
    house.append(0, &["a0", "a1", "a2", "a3", "a4"], level);
    house.append(1, &["b0", "b1"], level);
    house.link(remote, |options| {
        options.version = Version::V5;
        options.rules = vec![rule(true, "#", qos)];
    });
    let mut peer = remote.accept();
    peer.welcome(true);
    let mut topics: Vec<String> = (0..7).map(|_| peer.published().topic).collect();
    topics.sort_unstable();
    assert_eq!(topics, ["a0", "a1", "a2", "a3", "a4", "b0", "b1"]);
    (house, peer)
}

/// What comes on a new connection up to the topic `end`: messages in order, but for what was
/// released.
fn again(house: &House, remote: &Remote) -> (Vec<(String, bool)>, usize) {
    let mut peer = remote.accept();
    peer.welcome(true);
    house.append(1, &["end"], Qos::AtLeastOnce);
    let (mut sent, mut released) = (Vec::new(), 0);
    loop {
        match peer.hear().expect("it goes on") {
            Said::Publish(Sent { topic, .. }) if topic == "end" => break,
            Said::Publish(Sent { topic, dup, .. }) => sent.push((topic, dup)),
            Said::Rel(id) => {
                released += 1;
                peer.comp(id);
            }
            other => panic!("{other:?}"),
        }
    }
    sent.sort();
    (sent, released)
}

fn as_sent(topics: &[&str], dup: bool) -> Vec<(String, bool)> {
    topics.iter().map(|topic| ((*topic).to_owned(), dup)).collect()
}

fn skips_one(qos: u8) {
    let remote = Remote::open();
    let (house, _peer) = seven_on_their_way(&remote, qos);
    house.order(Order::Skip { stream: STREAM.into(), partition: 0, records: 1 });
    let (sent, released) = again(&house, &remote);
    assert_eq!(sent, as_sent(&["a1", "a2", "a3", "a4", "b0", "b1"], true));
    assert_eq!(released, usize::from(qos == 2), "its packet id is free again");
}

#[test]
fn what_is_skipped_at_qos1_never_comes_again_and_the_rest_once() {
    skips_one(1);
}

#[test]
fn what_is_skipped_at_qos2_never_comes_again_and_the_rest_once() {
    skips_one(2);
}

#[test]
fn the_second_skip_passes_over_the_second_message() {
    let remote = Remote::open();
    let (house, _peer) = seven_on_their_way(&remote, 2);
    house.order(Order::Pause);
    for _ in 0..2 {
        house.order(Order::Skip { stream: STREAM.into(), partition: 0, records: 1 });
    }
    house.order(Order::Start);
    let (sent, released) = again(&house, &remote);
    assert_eq!((sent.len(), released), (5, 2), "{sent:?}");
    assert_eq!(sent[0], ("a2".into(), true));
}

#[test]
fn a_rewind_of_one_partition_repeats_there_alone() {
    let remote = Remote::open();
    let (house, _peer) = seven_on_their_way(&remote, 2);
    let (stream, partition, offset) = (STREAM.to_owned(), 0, 3);
    house.order(Order::Rewind(To::Offset { stream, partition, offset }));
    let (sent, _) = again(&house, &remote);
    let mut expected = as_sent(&["a0", "a1", "a2", "a3", "a4", "b0", "b1"], true);
    expected.extend(as_sent(&["a3", "a4"], false));
    expected.sort();
    // What is read again may come behind the end of the other partition.
    let missing: Vec<_> = expected.iter().filter(|it| !sent.contains(it)).collect();
    assert!(missing.iter().all(|(_, dup)| !dup), "{missing:?}");
    assert!(sent.iter().all(|it| expected.contains(it)), "{sent:?}");
}

#[test]
fn a_pause_repeats_nothing_that_was_acknowledged() {
    let remote = Remote::open();
    let mut house = House::open();
    house.append(0, &["a0", "a1"], Qos::AtLeastOnce);
    house.link(&remote, |options| options.rules = vec![rule(true, "#", 1)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    let first = peer.published();
    assert_eq!(peer.published().topic, "a1");
    peer.ack(&first);
    house.until("that is noted", |row| row.positions.first().is_some_and(|it| it.1 == 1));
    house.order(Order::Pause);
    house.order(Order::Start);
    assert_eq!(again(&house, &remote), (as_sent(&["a1"], true), 0));
}
