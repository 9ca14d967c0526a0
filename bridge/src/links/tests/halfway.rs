//! Messages at QoS 2 that come, and are half-way when either side goes: PUBREC was sent, PUBREL has
//! not come.

use tidewire_proto::mqtt::Version;

use super::house::{House, rule};
use super::remote::{Peer, Remote, Said, id};

fn begin(house: &mut House, remote: &Remote, version: Version) -> Peer {
    house.link(remote, |options| {
        options.version = version;
        options.rules = vec![rule(false, "in/#", 2)];
    });
    come_back(remote)
}

/// The next connection, in the session of before.
fn come_back(remote: &Remote) -> Peer {
    let mut peer = remote.accept();
    peer.welcome(true);
    peer
}

/// What is answered next, whether or not the link subscribes again first.
fn answered(peer: &mut Peer) -> Said {
    match peer.hear().expect("an answer") {
        Said::Subscribe(_) => peer.hear().expect("an answer"),
        said => said,
    }
}

fn publish(peer: &mut Peer, number: u16, dup: bool) {
    peer.publish(&format!("in/{number}"), 2, (id(number), dup));
    assert_eq!(answered(peer), Said::Rec(id(number)));
}

fn release(peer: &mut Peer, number: u16) {
    peer.rel(id(number));
    assert_eq!(answered(peer), Said::Comp(id(number)));
}

fn is_once(house: &House, numbers: std::ops::RangeInclusive<u16>) {
    let expected: Vec<String> = numbers.map(|number| format!("in/{number}")).collect();
    assert_eq!(house.topics(), expected);
}

/// The other side restarts, and then so do we: each time some are half-way.
fn check(version: Version) {
    let (remote, mut house) = (Remote::open(), House::open());
    let mut peer = begin(&mut house, &remote, version);
    (1..=8).for_each(|number| publish(&mut peer, number, false));
    drop(peer);
    let mut peer = come_back(&remote);
    // It has heard PUBREC of the first, of the others it has not.
    (1..=2).for_each(|number| release(&mut peer, number));
    (3..=8).for_each(|number| publish(&mut peer, number, true));
    (3..=4).for_each(|number| release(&mut peer, number));
    drop(peer);
    // It has not heard PUBCOMP.
    let mut peer = come_back(&remote);
    (3..=4).for_each(|number| release(&mut peer, number));
    is_once(&house, 1..=8);

    house.close();
    drop(peer);
    let mut peer = begin(&mut house, &remote, version);
    (5..=6).for_each(|number| release(&mut peer, number));
    (7..=8).for_each(|number| publish(&mut peer, number, true));
    (7..=8).for_each(|number| release(&mut peer, number));
    is_once(&house, 1..=8);

    // All of them are over: their packet ids are free for others.
    for number in 1..=8 {
        peer.publish(&format!("in/{}", number + 8), 2, (id(number), false));
        assert_eq!(answered(&mut peer), Said::Rec(id(number)));
        release(&mut peer, number);
    }
    is_once(&house, 1..=16);
}

#[test]
fn what_is_half_way_when_either_side_restarts_comes_once() {
    check(Version::V5);
}

#[test]
fn in_3_1_1_what_is_half_way_when_either_side_restarts_comes_once() {
    check(Version::V311);
}

#[test]
fn what_was_taken_and_not_answered_comes_once() {
    let (remote, mut house) = (Remote::open(), House::open());
    let mut peer = begin(&mut house, &remote, Version::V5);
    assert!(matches!(peer.hear(), Some(Said::Subscribe(_))));
    // It goes without hearing any answer, at whatever moment, and sends all of it again.
    for number in 1..=20 {
        peer.publish(&format!("in/{number}"), 2, (id(number), false));
        drop(peer);
        peer = come_back(&remote);
        publish(&mut peer, number, true);
        release(&mut peer, number);
    }
    is_once(&house, 1..=20);
}
