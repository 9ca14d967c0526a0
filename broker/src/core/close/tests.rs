//! What is left of a client whose connection ends when its CONNECT is not answered, or refused.

use std::ops::{Bound, ControlFlow};

use tidewire_proto::id::GroupId;
use tidewire_proto::qos::Qos;
use tidewire_proto::record::BatchBuilder;
use tidewire_proto::session::window::{Exchange, Place, Step};
use tidewire_proto::share::group::Choice;
use tidewire_store::rows::session::SessionRow;
use tidewire_store::rows::share::Key;
use tidewire_store::rows::subscription;
use tidewire_store::rows::will::{WillRow, WillState};
use tidewire_store::{Append, Commit, Table, TableChange};

use crate::core::alone::{Alone, Hello};
use crate::core::open::ConnId;
use crate::metrics::CloseReason;

const SUBSCRIBE: &[u8] = b"\x00\x02\x00\x00\x0a$share/g/b\x01";
const UNSUBSCRIBE: &[u8] = b"\x00\x03\x00\x00\x0a$share/g/b";
/// DISCONNECT of a session that ends with it.
const OVER: &[u8] = b"\x00\x05\x11\x00\x00\x00\x00";
const FILTER: &str = "$share/g/b";
const CLIENT: &str = "client";

/// A will that no file of the log can take, and one that is only not small.
const TOO_LARGE: Option<u16> = Some(u16::MAX);
const LARGE: Option<u16> = Some(2048);

/// A broker with a log of small files.
fn alone() -> Alone {
    let mut alone = Alone::new(|config| {
        config.store.wal_file_bytes = 64 << 10;
        config.mqtt.connect_bytes_max = 1 << 20;
    });
    alone.cut_turns_at(1 << 20);
    alone
}

/// A client that is in the group and has gone.
fn member(alone: &mut Alone, client_id: &str, expiry_s: u32) -> GroupId {
    let id = alone.greet(&Hello { client_id, is_clean: true, expiry_s, will_bytes: None });
    alone.rest();
    alone.say(id, 0x82, SUBSCRIBE);
    alone.rest();
    alone.core.close(id, CloseReason::Lost, None);
    alone.rest();
    let group = alone.core.shared.shares.id_of(FILTER).expect("it has a member");
    assert!(is_there(alone, group));
    group
}

fn is_there(alone: &mut Alone, group: GroupId) -> bool {
    alone.core.groups.of_id(group).is_some_and(|group| !group.group.is_empty())
}

fn has_row(alone: &Alone, client_id: &str) -> bool {
    let key = subscription::key(client_id, FILTER);
    alone.store.get(Table::Subscriptions, &key).expect("readable").is_some()
}

/// Rows of share groups and of their members.
fn rows_of_groups(alone: &Alone) -> usize {
    let (all, mut count) = (Bound::Unbounded, 0);
    let visit = &mut |_: &[u8], _: &[u8]| {
        count += 1;
        ControlFlow::Continue(())
    };
    alone.store.scan(Table::Shares, all, all, visit).expect("readable");
    count
}

fn hello(is_clean: bool, expiry_s: u32, will_bytes: Option<u16>) -> Hello<'static> {
    Hello { client_id: CLIENT, is_clean, expiry_s, will_bytes }
}

/// The client connects; it goes before it is answered, or hears the first byte and the code.
fn try_to_connect(alone: &mut Alone, hello: &Hello<'_>, goes_before: bool) -> Option<(u8, u8)> {
    let id = alone.greet(hello);
    if goes_before {
        alone.core.close(id, CloseReason::Lost, None);
    }
    alone.rest();
    assert!(alone.core.unheard.is_empty() && alone.core.ending.is_empty(), "all is settled");
    let heard = alone.heard(id);
    Some((*heard.first()?, *heard.get(3)?))
}

#[track_caller]
fn is_resumed(alone: &mut Alone) {
    let id: ConnId = alone.connect(CLIENT);
    alone.rest();
    let connack = alone.heard(id);
    assert_eq!((connack[0], connack[2], connack[3]), (0x20, 1, 0), "the session is there");
    let open = alone.core.open(id).expect("it is connected");
    assert!(open.shares.contains_key(FILTER));
}

#[test]
fn a_refused_connect_that_was_to_end_the_session_leaves_its_share_group() {
    for goes_before in [false, true] {
        let mut alone = alone();
        let group = member(&mut alone, CLIENT, 3600);
        let heard = try_to_connect(&mut alone, &hello(false, 0, TOO_LARGE), goes_before);
        assert_eq!(heard.map(|(first, code)| (first, code >= 0x80)), {
            (!goes_before).then_some((0x20, true))
        });
        assert!(has_row(&alone, CLIENT), "nothing of it was done");
        assert_eq!(alone.core.shared.shares.id_of(FILTER), Some(group), "{goes_before}");
        assert!(is_there(&mut alone, group));
        is_resumed(&mut alone);
        assert_eq!(alone.core.shared.shares.id_of(FILTER), Some(group));
    }
}

#[test]
fn a_connect_that_a_full_disk_refuses_leaves_the_session_its_share_group() {
    for (goes_before, expiry_s) in [(false, 0), (true, 0), (false, 3600), (true, 3600)] {
        let mut alone = alone();
        let group = member(&mut alone, CLIENT, 3600);
        alone.fill();
        try_to_connect(&mut alone, &hello(false, expiry_s, None), goes_before);
        assert!(has_row(&alone, CLIENT), "there was no room to delete it");
        alone.make_room();
        alone.core.visit(&CLIENT.into(), None);
        alone.rest();
        assert_eq!(alone.core.shared.shares.id_of(FILTER), Some(group));
        assert!(is_there(&mut alone, group));
        is_resumed(&mut alone);
    }
}

#[test]
fn a_connection_that_goes_before_its_answer_leaves_no_member_without_a_session() {
    for (is_clean, expiry_s) in [(true, 0), (true, 3600), (false, 0)] {
        for will_bytes in [None, LARGE] {
            let mut alone = alone();
            let group = member(&mut alone, CLIENT, 3600);
            try_to_connect(&mut alone, &hello(is_clean, expiry_s, will_bytes), true);
            let of_it = (is_clean, expiry_s, will_bytes);
            assert!(!has_row(&alone, CLIENT), "it was to go: {of_it:?}");
            assert_eq!(alone.core.shared.shares.id_of(FILTER), None, "{of_it:?}");
            assert!(!is_there(&mut alone, group), "{of_it:?}");
            assert_eq!(rows_of_groups(&alone), 0, "{of_it:?}");
            let will = alone.store.get(Table::Wills, CLIENT.as_bytes()).expect("readable");
            assert_eq!(will, None, "nothing was promised: {of_it:?}");
        }
    }
}

#[test]
fn a_refused_connect_leaves_the_will_that_is_owed_also_when_its_client_goes_first() {
    for goes_before in [false, true] {
        let mut alone = alone();
        let mut message = BatchBuilder::new();
        message.push(7, Some(b"gone"), Some(b"x"), &[]);
        let due_ms = alone.core.shared.clock.now_ms() + 600_000;
        let state = WillState::Waiting { due_ms, by_broker: false };
        let message = message.finish();
        let will = WillRow { state, delay_s: 600, user: None, left_by: None, message };
        let session = SessionRow { expiry_s: 3600, ended_ms: Some(i64::MAX), user: None };
        let rows = [(Table::Wills, will.encode()), (Table::Sessions, session.encode())];
        let row = |(table, row)| TableChange::new(table, CLIENT.as_bytes().into(), Some(row));
        let changes = rows.clone().map(row).into();
        alone.store.commit(Commit { appends: vec![], changes }).expect("committed");
        try_to_connect(&mut alone, &hello(true, 3600, TOO_LARGE), goes_before);
        for (table, row) in rows {
            let left = alone.store.get(table, CLIENT.as_bytes()).expect("readable");
            assert_eq!(left.as_deref(), Some(&*row), "{table:?} {goes_before}");
        }
        assert_eq!(alone.store.get(Table::Cursors, CLIENT.as_bytes()).expect("readable"), None);
    }
}

#[test]
fn a_connect_that_is_refused_by_half_leaves_the_groups_whose_rows_are_gone() {
    let mut alone = alone();
    let group = member(&mut alone, CLIENT, 3600);
    alone.cut_turns_at(1);
    let first = alone.core.next_ticket;
    let id = alone.greet(&hello(true, 3600, LARGE));
    alone.core.submit();
    assert!(alone.core.next_ticket > first + 2, "the deletions are cut");
    alone.refuse(first);
    alone.rest();
    let connack = alone.heard(id);
    assert_eq!((connack[0], connack[3] >= 0x80), (0x20, true), "refused");
    let will = alone.store.get(Table::Wills, CLIENT.as_bytes()).expect("readable");
    assert_eq!((will, logged(&alone)), (None, 0), "its will is not owed");
    assert!(!has_row(&alone, CLIENT));
    assert_eq!(alone.core.shared.shares.id_of(FILTER), None);
    assert!(!is_there(&mut alone, group));
}

#[test]
fn a_session_whose_deletion_is_tried_again_counts_no_other_member_out() {
    let mut alone = alone();
    let group = member(&mut alone, CLIENT, 1);
    assert_eq!(member(&mut alone, "other", 3600), group);
    let later_ms = alone.core.now_ms + 60_000;
    for is_full in [true, true, false] {
        if is_full {
            alone.fill();
        } else {
            alone.make_room();
        }
        alone.core.now_ms = later_ms;
        alone.core.visit(&CLIENT.into(), None);
        alone.rest();
        assert_eq!(has_row(&alone, CLIENT), is_full);
        assert_eq!(alone.core.shared.shares.id_of(FILTER), Some(group), "the other is in it");
    }
    alone.core.now_ms = later_ms + 3_600_000;
    alone.core.visit(&"other".into(), None);
    alone.rest();
    assert_eq!(alone.core.shared.shares.id_of(FILTER), None);
    assert!(!is_there(&mut alone, group));
    assert_eq!(rows_of_groups(&alone), 0);
}

#[test]
fn a_subscription_that_a_full_disk_refuses_when_its_client_is_gone_leaves_no_member() {
    for is_full in [true, false] {
        let mut alone = alone();
        let id = alone.connect(CLIENT);
        alone.rest();
        if is_full {
            alone.fill();
        }
        alone.say(id, 0x82, SUBSCRIBE);
        // Its group hears of it.
        alone.core.end_turn();
        alone.core.close(id, CloseReason::Lost, None);
        alone.rest();
        assert_eq!(has_row(&alone, CLIENT), !is_full);
        assert_eq!(alone.core.shared.shares.id_of(FILTER).is_some(), !is_full);
        assert!(is_there(&mut alone, GroupId(0)) != is_full);
    }
}

/// How many messages the log has.
fn logged(alone: &Alone) -> u64 {
    let partitions = alone.store.streams()[0].partitions.clone();
    partitions.iter().filter_map(|id| alone.store.bounds(*id)).map(|(_, end)| end).sum()
}

/// Where it lies.
fn a_message(alone: &Alone) -> Place {
    let partition = alone.store.streams()[0].partitions[0];
    let mut batch = BatchBuilder::new();
    batch.push(7, Some(b"b"), Some(b"x"), &[]);
    let appends = vec![Append::new(partition, batch.finish())];
    alone.store.commit(Commit { appends, changes: vec![] }).expect("committed");
    Place { partition, offset: 0 }
}

/// A client that is in a group, and has a message of it that it did not acknowledge.
fn holder(alone: &mut Alone, expiry_s: u32, qos: Qos) -> (ConnId, GroupId) {
    let id = alone.greet(&hello(true, expiry_s, None));
    alone.rest();
    alone.say(id, 0x82, SUBSCRIBE);
    alone.rest();
    let group = alone.core.shared.shares.id_of(FILTER).expect("it has a member");
    let place = a_message(alone);
    let of_it = &mut alone.core.groups.of_id(group).expect("it is there").group;
    let Choice::Member(link) = of_it.choose(0) else { panic!("nobody is there") };
    of_it.hand(place, link, qos, 1);
    alone.core.groups.mark_changed(group, true);
    let open = alone.core.open(id).expect("it is connected");
    let step = Step::Published;
    open.window.begin(Exchange { place, qos, step, retain: false, group: Some(group) });
    alone.core.mark_changed(id, true);
    alone.rest();
    member(alone, "other", 3600);
    (id, group)
}

/// How many messages members have, and how many wait for another member.
fn unfinished(alone: &mut Alone, group: GroupId) -> (usize, usize) {
    let group = &alone.core.groups.of_id(group).expect("the other is in it").group;
    (group.handed().len(), group.again().len())
}

#[test]
fn a_message_at_qos2_of_a_client_that_unsubscribed_is_over_with_its_session() {
    for unsubscribes in [true, false] {
        for (expiry_s, ends) in [(0, "lost"), (3600, "bye"), (3600, "late"), (3600, "anew")] {
            let mut alone = alone();
            let (id, group) = holder(&mut alone, expiry_s, Qos::ExactlyOnce);
            if unsubscribes {
                alone.say(id, 0xa2, UNSUBSCRIBE);
                alone.rest();
            }
            assert_eq!(unfinished(&mut alone, group), (1, 0), "it may complete it");
            match ends {
                "bye" => alone.say(id, 0xe0, OVER),
                _ => alone.core.close(id, CloseReason::Lost, None),
            }
            alone.rest();
            match ends {
                "late" => {
                    alone.core.now_ms += 3_601_000;
                    alone.core.visit(&CLIENT.into(), None);
                }
                "anew" => drop(alone.greet(&hello(true, 3600, None))),
                _ => (),
            }
            alone.rest();
            let of_it = (unsubscribes, ends);
            assert_eq!(unfinished(&mut alone, group), (0, 0), "{of_it:?}");
        }
    }
}

#[test]
fn a_message_at_qos1_of_a_client_that_unsubscribed_goes_to_another_when_its_connection_is_lost() {
    for expiry_s in [0, 3600] {
        let mut alone = alone();
        let (id, group) = holder(&mut alone, expiry_s, Qos::AtLeastOnce);
        alone.say(id, 0xa2, UNSUBSCRIBE);
        alone.rest();
        assert_eq!(unfinished(&mut alone, group), (1, 0), "it may complete it");
        alone.core.close(id, CloseReason::Lost, None);
        alone.rest();
        assert_eq!(unfinished(&mut alone, group), (0, 1), "{expiry_s}");
    }
}

#[test]
fn an_unsubscribe_that_a_full_disk_refuses_leaves_the_member_that_the_row_says() {
    for (is_full, goes_before) in [(true, false), (true, true), (false, false), (false, true)] {
        let of_it = (is_full, goes_before);
        let mut alone = alone();
        let id = alone.connect(CLIENT);
        alone.rest();
        alone.say(id, 0x82, SUBSCRIBE);
        alone.rest();
        let group = alone.core.shared.shares.id_of(FILTER).expect("it has a member");
        if is_full {
            alone.fill();
        }
        alone.say(id, 0xa2, UNSUBSCRIBE);
        if goes_before {
            alone.core.close(id, CloseReason::Lost, None);
        }
        alone.rest();
        assert_eq!(has_row(&alone, CLIENT), is_full, "{of_it:?}");
        assert_eq!(alone.core.shared.shares.id_of(FILTER).is_some(), is_full, "{of_it:?}");
        assert_eq!(is_there(&mut alone, group), is_full, "{of_it:?}");
        if !is_full {
            continue;
        }
        let of_it = alone.core.groups.of_id(group).expect("it is there");
        assert!(!of_it.group.is_served(), "the connection has ended");
        alone.make_room();
        alone.core.visit(&CLIENT.into(), None);
        alone.rest();
        is_resumed(&mut alone);
        assert_eq!(alone.core.shared.shares.id_of(FILTER), Some(group));
        assert!(alone.core.groups.of_id(group).expect("it is there").group.is_served());
    }
}

#[test]
fn who_unsubscribes_and_subscribes_again_at_once_is_a_member() {
    for waits in [false, true] {
        let mut alone = alone();
        let id = alone.connect(CLIENT);
        alone.rest();
        for (first, body) in [(0x82, SUBSCRIBE), (0xa2, UNSUBSCRIBE), (0x82, SUBSCRIBE)] {
            alone.say(id, first, body);
            if waits {
                alone.core.end_turn();
            }
        }
        alone.rest();
        let group = alone.core.shared.shares.id_of(FILTER).expect("it has a member");
        assert!(alone.core.groups.of_id(group).expect("it is there").group.is_served());
        assert_eq!(rows_of_groups(&alone), 2);
    }
}

#[test]
fn a_session_that_comes_back_is_written_down_as_a_member_of_its_groups() {
    let mut alone = alone();
    let group = member(&mut alone, CLIENT, 3600);
    assert_eq!(rows_of_groups(&alone), 2);
    // As if the group had another number since a crash.
    let key = Key::Member(group, CLIENT).encode();
    let changes = vec![TableChange::new(Table::Shares, key, None)];
    alone.store.commit(Commit { appends: vec![], changes }).expect("committed");
    assert_eq!(rows_of_groups(&alone), 1);
    is_resumed(&mut alone);
    assert_eq!(rows_of_groups(&alone), 2);
}

#[test]
fn a_subscription_that_is_refused_when_its_client_ends_the_session_leaves_no_member() {
    for is_full in [true, false] {
        let mut alone = alone();
        let id = alone.connect(CLIENT);
        alone.rest();
        if is_full {
            alone.fill();
        }
        alone.say(id, 0x82, SUBSCRIBE);
        // Its group hears of it.
        alone.core.end_turn();
        alone.say(id, 0xe0, OVER);
        alone.rest();
        assert!(!has_row(&alone, CLIENT), "{is_full}");
        assert_eq!(alone.core.shared.shares.id_of(FILTER), None, "{is_full}");
        assert!(!is_there(&mut alone, GroupId(0)), "{is_full}");
    }
}
