//! Links against a remote that does as it is told: whatever it answers, forgets or breaks off.

mod halfway;
mod hostile;
mod house;
mod orders;
mod refusals;
mod remote;

use tidewire_proto::id::PartitionId;
use tidewire_proto::mqtt::Version;
use tidewire_proto::qos::Qos;
use tidewire_store::rows::link;
use tidewire_store::{Table, TableChange};

use crate::bridges::Event;
use house::{House, rule};
use remote::{Peer, REFUSED, Remote, Said, id};

#[test]
fn what_a_link_need_not_send_is_passed_and_nobody_holds_it() {
    let remote = Remote::open();
    let mut house = House::open();
    house.append(0, &["other/a", "other/b"], Qos::AtLeastOnce);
    house.link(&remote, |options| options.rules = vec![rule(true, "only/#", 1)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    house.append(0, &["other/c", "only/d"], Qos::AtLeastOnce);
    house.append(1, &["other/e"], Qos::AtLeastOnce);
    assert_eq!(peer.published().topic, "only/d");
    // It is not acknowledged: what lies before it is passed all the same, and partition 1 whole.
    house.until("the row is at the end", |row| {
        row.positions.starts_with(&[(PartitionId(0), 3), (PartitionId(1), 1)])
    });
}

fn subscribes_again_after_a_lost_answer(version: Version) {
    let remote = Remote::open();
    let mut house = House::open();
    house.link(&remote, |options| {
        options.version = version;
        options.rules = vec![rule(false, "in/#", 2)];
    });
    let mut peer = remote.accept();
    peer.welcome(false);
    assert_eq!(peer.hear(), Some(Said::Subscribe(vec!["in/#".into()])));
    house.until("that is noted", |row| !row.extra.is_empty());
    drop(peer);
    // The session is lost there, and with it the answer that says so.
    let mut peer = remote.accept();
    assert!(matches!(peer.hear(), Some(Said::Connect { .. })));
    drop(peer);
    let mut peer = remote.accept();
    peer.welcome(true);
    assert_eq!(peer.hear(), Some(Said::Subscribe(vec!["in/#".into()])));
}

#[test]
fn a_link_subscribes_again_where_the_answer_to_connect_was_lost() {
    subscribes_again_after_a_lost_answer(Version::V5);
}

#[test]
fn a_link_in_3_1_1_subscribes_again_where_the_answer_to_connect_was_lost() {
    subscribes_again_after_a_lost_answer(Version::V311);
}

#[test]
fn in_3_1_1_nothing_is_subscribed_again_that_surely_stands() {
    let remote = Remote::open();
    let mut house = House::open();
    house.link(&remote, |options| {
        options.version = Version::V311;
        options.rules = vec![rule(false, "in/#", 2)];
    });
    let mut peer = remote.accept();
    peer.welcome(false);
    assert_eq!(peer.hear(), Some(Said::Subscribe(vec!["in/#".into()])));
    peer.publish("in/a", 1, (id(3), false));
    assert_eq!(peer.hear(), Some(Said::Ack(id(3))), "SUBACK was heard before it");
    drop(peer);
    let mut peer = remote.accept();
    peer.welcome(true);
    peer.publish("in/b", 1, (id(4), false));
    assert_eq!(peer.hear(), Some(Said::Ack(id(4))), "no SUBSCRIBE before it");
}

/// A link that is subscribed to this filter there, and comes again with another one.
fn changes(narrow: &str, wide: &str) -> (House, Peer) {
    let remote = Remote::open();
    let mut house = House::open();
    house.link(&remote, |options| options.rules = vec![rule(false, narrow, 1)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    assert_eq!(peer.hear(), Some(Said::Subscribe(vec![narrow.into()])));
    peer.publish(&narrow.replace('#', "first"), 1, (id(3), false));
    assert_eq!(peer.hear(), Some(Said::Ack(id(3))), "SUBACK was heard before it");
    house.until("that is noted", |row| {
        link::decode(&row.extra).is_ok_and(|row| !row.subscribed.is_empty())
    });
    house.link(&remote, |options| options.rules = vec![rule(false, wide, 1)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    assert_eq!(peer.hear(), Some(Said::Subscribe(vec![wide.into()])));
    (house, peer)
}

#[test]
fn what_is_wanted_no_more_is_given_up_when_what_covers_it_stands() {
    let (_house, mut peer) = changes("a/b/#", "a/#");
    assert_eq!(peer.hear(), Some(Said::Unsubscribe(vec!["a/b/#".into()])));
}

#[test]
fn what_stands_is_not_given_up_where_what_covers_it_is_refused() {
    let (house, mut peer) = changes("refused/b/#", REFUSED);
    peer.publish("refused/b/1", 1, (id(4), false));
    assert_eq!(peer.hear(), Some(Said::Ack(id(4))), "no UNSUBSCRIBE before it");
    assert!(house.topics().contains(&"refused/b/1".to_owned()), "{:?}", house.topics());
}

#[test]
fn a_new_message_under_an_id_that_an_earlier_session_left_is_taken() {
    let remote = Remote::open();
    let mut house = House::open();
    let key = tidewire_store::rows::bridge::receipt_key("peer", id(7));
    let row = tidewire_store::rows::receipt::ROW;
    house.store_row(TableChange::new(Table::Bridges, key, Some(row.into())));
    house.link(&remote, |options| options.rules = vec![rule(false, "in/#", 2)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    assert!(matches!(peer.hear(), Some(Said::Subscribe(_))));
    peer.publish("in/again", 2, (id(7), true));
    assert_eq!(peer.hear(), Some(Said::Rec(id(7))));
    assert_eq!(house.topics(), Vec::<String>::new());
    peer.publish("in/new", 2, (id(7), false));
    assert_eq!(peer.hear(), Some(Said::Rec(id(7))));
    assert_eq!(house.topics(), ["in/new"]);
    peer.publish("in/new", 2, (id(7), true));
    assert_eq!(peer.hear(), Some(Said::Rec(id(7))));
    assert_eq!(house.topics(), ["in/new"]);
}

#[test]
fn two_brokers_with_the_same_settings_are_two_clients_there_and_stay_who_they_are() {
    let remote = Remote::open();
    let mut names = Vec::new();
    let mut houses = [House::open(), House::open()];
    for house in &mut houses {
        for _ in 0..2 {
            house.link(&remote, |options| options.rules = vec![rule(true, "#", 1)]);
            names.push(remote.accept().welcome(true).0);
            house.close();
        }
    }
    assert_eq!((&names[0], &names[2]), (&names[1], &names[3]));
    assert_ne!(names[0], names[2]);
    assert!(names.iter().all(|name| name.starts_with("tidewire-") && name.ends_with("-peer")));
}

#[test]
fn in_3_1_1_a_message_that_is_too_large_is_passed_over_and_the_next_one_comes() {
    let remote = Remote::open();
    let mut house = House::open();
    house.link(&remote, |options| {
        (options.version, options.packet_bytes_max) = (Version::V311, 1_000);
        options.rules = vec![rule(false, "in/#", 2)];
    });
    let mut peer = remote.accept();
    peer.welcome(true);
    assert!(matches!(peer.hear(), Some(Said::Subscribe(_))));
    let large = vec![b'x'; 200_000];
    peer.publish_bytes("in/large", 1, (id(1), false), &large);
    assert_eq!(peer.hear(), Some(Said::Ack(id(1))));
    peer.publish_bytes("in/large", 2, (id(2), false), &large);
    assert_eq!(peer.hear(), Some(Said::Rec(id(2))));
    peer.rel(id(2));
    assert_eq!(peer.hear(), Some(Said::Comp(id(2))));
    peer.publish("in/small", 1, (id(3), false));
    assert_eq!(peer.hear(), Some(Said::Ack(id(3))));
    assert_eq!(house.topics(), ["in/small"]);
    let status = house.status();
    assert_eq!(status.counts.of(Event::TooLarge), 2);
    let words = status.last_error.expect("it is said").words;
    assert!(words.contains("in/large") && words.contains("packet_bytes_max"), "{words}");
}

#[test]
fn subscribers_here_hear_first_that_a_link_is_not_connected_and_then_that_it_is() {
    let remote = Remote::open();
    let mut house = House::open();
    house.link(&remote, |options| options.rules = vec![rule(true, "#", 1)]);
    let mut peer = remote.accept();
    peer.welcome(true);
    assert_eq!(house.states(2), ["0", "1"]);
    drop(peer);
    remote.accept().welcome(true);
    assert_eq!(house.states(4), ["0", "1", "0", "1"]);
}
