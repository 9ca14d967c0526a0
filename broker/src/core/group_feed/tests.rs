//! What a share group hands out: to whom, when, and what it does when the disk or a member is gone.

use tidewire_proto::id::{GroupId, PartitionId};
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::Properties;
use tidewire_proto::qos::Qos;
use tidewire_proto::record::BatchBuilder;
use tidewire_proto::session::cursor::Reading;
use tidewire_proto::session::window::Place;
use tidewire_store::{Append, Commit, ReadError};

use super::LOOKS_AT_A_TIME;
use crate::config::ShareStrategy;
use crate::core::alone::{Alone, Hello};
use crate::core::open::ConnId;
use crate::core::timers::Due;

const PINGREQ: u8 = 0xc0;
const PINGRESP: [u8; 2] = [0xd0, 0];
const SUBSCRIBE_SHARED: &[u8] = b"\x00\x02\x00\x00\x0a$share/g/b\x01";

/// A group with a member, and two messages in the log of which the first is not in memory.
fn group(alone: &mut Alone) -> (GroupId, ConnId, PartitionId) {
    let member = alone.connect("member");
    alone.settle();
    alone.say(member, 0x82, SUBSCRIBE_SHARED);
    alone.rest();
    alone.heard(member);
    let id = alone.core.shared.shares.id_of("$share/g/b").expect("it has a member");
    let partition = alone.store.streams()[0].partitions[0];
    for _ in 0..2 {
        store(alone, partition, "b", 1);
    }
    (id, member, partition)
}

/// So many messages at once.
fn store(alone: &Alone, partition: PartitionId, topic: &str, count: usize) {
    store_at(alone, partition, topic, count, Qos::AtLeastOnce);
}

fn store_at(alone: &Alone, partition: PartitionId, topic: &str, count: usize, qos: Qos) {
    let mut batch = BatchBuilder::new();
    for _ in 0..count {
        let published = Published {
            topic,
            payload: b"x",
            qos,
            retain: false,
            properties: Properties::EMPTY,
            origin: None,
        };
        published.push_to(&mut batch, 0);
    }
    let appends = vec![Append::new(partition, batch.finish())];
    alone.store.commit(Commit { appends, changes: vec![] }).expect("committed");
}

/// The time of all that waits has come.
fn let_time_pass(alone: &mut Alone, id: GroupId) {
    assert_eq!(alone.core.timers.pop(i64::MAX).map(|(_, due)| due), Some(Due::Unread(id)));
    assert_eq!(alone.core.timers.pop(i64::MAX), None);
    alone.core.read_group_again(id);
}

#[test]
fn what_came_back_to_a_group_and_cannot_be_read_now_is_handed_out_when_it_can() {
    let mut alone = Alone::new(|config| config.store.recent_bytes_max = 1);
    let (id, member, partition) = group(&mut alone);
    let place = Place { partition, offset: 0 };
    alone.hide_the_log();
    let group = alone.core.groups.of_id(id).expect("it is there");
    group.group.restore_again(place, 0);
    for _ in 0..3 {
        let before = alone.hidden_reads();
        alone.core.groups.mark_hungry(id);
        alone.core.feed_hungry_groups();
        assert_eq!(alone.hidden_reads() - before, 1);
        alone.core.groups.mark_hungry(id);
        alone.core.feed_hungry_groups();
        assert_eq!(alone.hidden_reads() - before, 1, "not before its time");
        let group = alone.core.groups.of_id(id).expect("it is there");
        assert_eq!(group.group.next_again(), Some((place, 0)));
        let_time_pass(&mut alone, id);
    }
    alone.show_the_log();
    alone.rest();
    assert_eq!(alone.heard(member).first(), Some(&0x32));
    let group = alone.core.groups.of_id(id).expect("it is there");
    assert_eq!(group.group.next_again(), None);
}

#[test]
fn a_group_that_could_not_read_the_log_reads_it_again_after_a_while() {
    let mut alone = Alone::new(|config| config.store.recent_bytes_max = 1);
    let (id, _, partition) = group(&mut alone);
    let reading = Reading { partition, from: 0, to: 2 };
    alone.core.on_group_read(id, reading, Err(ReadError::Io("not now".into())));
    let is_hungry = |alone: &mut Alone| alone.core.groups.of_id(id).expect("it is there").is_hungry;
    assert!(!is_hungry(&mut alone), "not at once");
    let_time_pass(&mut alone, id);
    assert!(is_hungry(&mut alone));
}

#[test]
fn many_groups_that_catch_up_at_once_leave_others_and_sessions_their_turns() {
    let (groups, messages) = (50, 10_000);
    let mut alone = Alone::new(|_| ());
    let (member, other) = (alone.connect("member"), alone.connect("other"));
    alone.settle();
    let mut ids = Vec::new();
    for number in 0..groups {
        let filter = format!("$share/g{number:02}/b");
        let body = [b"\x00\x02\x00\x00\x0c", filter.as_bytes(), b"\x01"].concat();
        alone.say(member, 0x82, &body);
        alone.rest();
        ids.push(alone.core.shared.shares.id_of(&filter).expect("it has a member"));
    }
    alone.heard(other);
    let partition = alone.store.streams()[0].partitions[0];
    store(&alone, partition, "a", messages);
    let before = alone.core.positions.clone();
    alone.core.positions.advance(partition, messages as u64);
    for id in &ids {
        alone.core.groups.of_id(*id).expect("it is there").cursor.fall_behind(&before);
        alone.core.groups.mark_hungry(*id);
    }
    alone.core.open(other).expect("it is here").cursor.fall_behind(&before);
    alone.core.feed_soon(other);
    let is_live =
        |alone: &mut Alone, id| alone.core.groups.of_id(id).expect("there").cursor.is_live();
    let mut turns = 0;
    while !ids.iter().all(|id| is_live(&mut alone, *id)) {
        turns += 1;
        assert!(turns <= groups, "they go on");
        alone.core.end_turn();
        assert!(alone.core.scratch.looks.spent() <= LOOKS_AT_A_TIME, "after {turns}");
        alone.say(other, PINGREQ, &[]);
        assert_eq!(alone.heard(other), PINGRESP, "after {turns}");
        let session = alone.core.open(other).expect("it is here");
        assert!(turns < 2 || session.cursor.is_live(), "it has its turn after theirs");
    }
    assert!(turns >= groups * messages / LOOKS_AT_A_TIME, "{turns} turns");
}

/// A group whose members grant QoS 2.
fn joined(alone: &mut Alone, members: &[ConnId]) -> GroupId {
    for member in members {
        alone.say(*member, 0x82, b"\x00\x02\x00\x00\x0a$share/g/b\x02");
        alone.rest();
        alone.heard(*member);
    }
    alone.core.shared.shares.id_of("$share/g/b").expect("it has a member")
}

/// So many messages at this QoS are there for it, and it hands them out. How many letters it
/// writes to members.
fn fed(alone: &mut Alone, id: GroupId, count: usize, qos: Qos) -> usize {
    let partition = alone.store.streams()[0].partitions[0];
    let before = alone.core.positions.clone();
    store_at(alone, partition, "b", count, qos);
    alone.core.positions.advance(partition, alone.store.bounds(partition).expect("it").1);
    alone.core.groups.of_id(id).expect("it is there").cursor.fall_behind(&before);
    alone.core.groups.mark_hungry(id);
    alone.core.feed_hungry_groups();
    alone.core.post.to_members().map(Vec::len).sum()
}

fn in_flight(alone: &mut Alone, member: ConnId) -> usize {
    alone.core.open(member).expect("it is here").window.exchanges().count()
}

fn handed(alone: &mut Alone, id: GroupId) -> usize {
    alone.core.groups.of_id(id).expect("it is there").group.handed().len()
}

#[test]
fn a_member_beside_its_group_has_at_once_what_is_handed_to_it_at_qos1_and_a_letter_at_qos2() {
    for (qos, letters) in [(Qos::AtLeastOnce, 0), (Qos::ExactlyOnce, 1)] {
        let mut alone = Alone::new(|_| ());
        let member = alone.connect("member");
        alone.settle();
        let id = joined(&mut alone, &[member]);
        assert_eq!(fed(&mut alone, id, 1, qos), letters, "its row may not be first");
        assert_eq!(in_flight(&mut alone, member), 1 - letters);
        assert_eq!(handed(&mut alone, id), 1);
        alone.rest();
        assert_eq!(in_flight(&mut alone, member), 1);
    }
}

#[test]
fn in_a_sticky_group_qos1_waits_behind_qos2() {
    let mut alone = Alone::new(|config| config.share.strategy = ShareStrategy::StickyTopic);
    let member = alone.connect("member");
    alone.settle();
    let id = joined(&mut alone, &[member]);
    fed(&mut alone, id, 1, Qos::ExactlyOnce);
    assert_eq!(fed(&mut alone, id, 1, Qos::AtLeastOnce), 2);
}

#[test]
fn what_a_member_beside_its_group_acknowledged_is_over_for_the_group_at_once() {
    let mut alone = Alone::new(|_| ());
    let member = alone.connect("member");
    alone.settle();
    let id = joined(&mut alone, &[member]);
    fed(&mut alone, id, 1, Qos::AtLeastOnce);
    alone.say(member, 0x40, &[0, 1]);
    assert_eq!((in_flight(&mut alone, member), handed(&mut alone, id)), (0, 0));
    let group = alone.core.groups.of_id(id).expect("it is there");
    assert!(group.is_hungry, "it may have more for the member");
    assert_eq!(group.group.again().len(), 0);
}

#[test]
fn pubrec_for_a_message_at_qos1_ends_nothing_for_the_group() {
    for body in [&[0, 1][..], &[0, 1, 0x80]] {
        let mut alone = Alone::new(|_| ());
        let member = alone.connect("member");
        alone.settle();
        let id = joined(&mut alone, &[member]);
        fed(&mut alone, id, 1, Qos::AtLeastOnce);
        alone.say(member, 0x50, body);
        alone.rest();
        assert_eq!((in_flight(&mut alone, member), handed(&mut alone, id)), (1, 1), "{body:?}");
    }
}

/// A group, a member of it that stays, and another that leaves and goes, of which the group has not
/// heard.
fn left_by_one(alone: &mut Alone) -> (GroupId, ConnId) {
    let hello = Hello { client_id: "short", is_clean: true, expiry_s: 0, will_bytes: None };
    let (stays, goes) = (alone.connect("stays"), alone.greet(&hello));
    alone.settle();
    let id = joined(alone, &[stays, goes]);
    alone.say(goes, 0xa2, b"\x00\x03\x00\x00\x0a$share/g/b");
    alone.say(goes, 0xe0, &[]);
    (id, stays)
}

#[test]
fn nothing_is_kept_of_who_left_a_group_and_went() {
    let mut alone = Alone::new(|_| ());
    let (id, _) = left_by_one(&mut alone);
    assert_eq!(alone.core.groups.of_id(id).expect("it is there").addresses.len(), 2);
    alone.rest();
    assert_eq!(alone.core.groups.of_id(id).expect("it is there").addresses.len(), 1);
}

#[test]
fn what_was_handed_to_a_member_that_had_left_and_was_gone_goes_to_another() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let mut alone = Alone::new(|_| ());
        let (id, stays) = left_by_one(&mut alone);
        fed(&mut alone, id, 4, qos);
        assert_eq!(handed(&mut alone, id), 4, "some of it to nobody");
        alone.rest();
        assert_eq!(in_flight(&mut alone, stays), 4, "{qos:?}");
        let group = alone.core.groups.of_id(id).expect("it is there");
        assert_eq!((group.group.again().len(), group.addresses.len()), (0, 1));
    }
}
