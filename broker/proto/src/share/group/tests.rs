//! What a share group promises, case by case and in random histories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy as Generator, prop_oneof, proptest};

use super::{Choice, Group, Link};
use crate::id::PartitionId;
use crate::qos::Qos;
use crate::session::window::Place;
use crate::share::strategy::Strategy;

fn place(offset: u64) -> Place {
    Place { partition: PartitionId(0), offset }
}

fn link(serial: u64) -> Link {
    Link { serial, qos: Qos::ExactlyOnce, limit: 2 }
}

fn joined(strategy: Strategy, members: &[(&str, u64, bool)]) -> Group {
    let mut group = Group::new(strategy);
    for (client_id, serial, is_durable) in members {
        group.join(Arc::from(*client_id), *is_durable, link(*serial));
    }
    group
}

fn hand_next(group: &mut Group, offset: u64, qos: Qos) -> Option<u64> {
    let Choice::Member(to) = group.choose(0) else { return None };
    group.hand(place(offset), to, qos, 1);
    Some(to.serial)
}

#[test]
fn members_with_room_take_turns_until_all_are_full() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, false), ("b", 2, false)]);
    let to: Vec<_> = (0..5).map(|n| hand_next(&mut group, n, Qos::AtLeastOnce)).collect();
    assert_eq!(to, [Some(1), Some(2), Some(1), Some(2), None]);
    assert_eq!(group.choose(0), Choice::Wait);
    assert!(group.ended(place(1), "b").is_some());
    assert_eq!(hand_next(&mut group, 4, Qos::AtLeastOnce), Some(2));
}

#[test]
fn a_message_stays_until_its_dead_letter_is_written_and_not_too_many_do() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, true)]);
    group.restore_again(place(0), 3);
    group.doom(place(0), 3, Some(0x83));
    assert_eq!(group.next_again(), None, "nobody gets it any more");
    for offset in 1..1_000 {
        assert_eq!(group.choose(0), Choice::Member(link(1)), "{offset}");
        group.doom(place(offset), 1, None);
    }
    assert_eq!(group.choose(0), Choice::Wait);
    group.set_underway(place(0), true);
    let (first, doomed) = group.doomed().next().expect("it is still there");
    assert_eq!((*first, doomed.reason, doomed.is_underway), (place(0), Some(0x83), true));
    group.buried(place(0));
    assert_eq!(group.choose(0), Choice::Member(link(1)));
}

#[test]
fn what_a_lost_member_held_at_qos1_is_handed_out_again_and_at_qos2_stays_with_its_session() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, true), ("b", 2, true)]);
    assert_eq!(hand_next(&mut group, 0, Qos::AtLeastOnce), Some(1));
    assert_eq!(hand_next(&mut group, 1, Qos::AtLeastOnce), Some(2));
    assert_eq!(hand_next(&mut group, 2, Qos::ExactlyOnce), Some(1));
    group.lost("a", 1, &[place(2)], false);
    assert_eq!(group.next_again(), Some((place(0), 1)));
    let handed: BTreeSet<u64> = group.handed().map(|(place, _)| place.offset).collect();
    assert_eq!(handed, [1, 2].into());
    assert!(group.ended(place(2), "b").is_none(), "it is not b's to complete");
    group.join("a".into(), true, link(3));
    assert!(group.ended(place(2), "a").is_some(), "completed on a later connection");
}

#[test]
fn what_never_reached_a_lost_member_goes_to_another_at_qos2_too() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, true), ("b", 2, false)]);
    assert_eq!(hand_next(&mut group, 0, Qos::ExactlyOnce), Some(1));
    assert_eq!(hand_next(&mut group, 1, Qos::ExactlyOnce), Some(2));
    group.lost("a", 1, &[], false);
    group.lost("b", 2, &[], true);
    let again: Vec<_> = group.again().map(|(place, _)| place.offset).collect();
    assert_eq!(again, [0, 1]);
}

#[test]
fn what_was_handed_to_a_connection_that_was_gone_goes_to_another_and_was_no_attempt() {
    for (qos, is_durable) in [(Qos::AtLeastOnce, false), (Qos::ExactlyOnce, true)] {
        let mut group = joined(Strategy::RoundRobin, &[("a", 1, is_durable), ("b", 2, true)]);
        assert_eq!(hand_next(&mut group, 0, qos), Some(1));
        group.unreached(place(0), 1);
        assert_eq!(group.next_again(), Some((place(0), 0)));
        for _ in 0..2 {
            assert_eq!(group.choose(0), Choice::Member(link(2)), "the only one that is there");
        }
        group.hand(place(0), link(2), qos, 1);
        group.unreached(place(0), 1);
        assert_eq!(group.next_again(), None, "it is with another since");
        assert!(group.ended(place(0), "b").is_some());
    }
}

#[test]
fn what_a_client_had_at_qos1_when_it_left_goes_to_another_though_its_next_session_ends_first() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, false), ("b", 2, true)]);
    assert_eq!(hand_next(&mut group, 0, Qos::AtLeastOnce), Some(1));
    group.leave("a", 1);
    group.join("a".into(), false, link(3));
    group.lost("a", 3, &[], true);
    assert_eq!(group.next_again(), Some((place(0), 1)));
}

#[test]
fn what_was_on_its_way_at_qos2_when_a_client_left_is_not_over_with_its_next_session() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, false), ("b", 2, true)]);
    assert_eq!(hand_next(&mut group, 0, Qos::ExactlyOnce), Some(1));
    group.leave("a", 1);
    group.join("a".into(), false, link(3));
    assert_eq!(hand_next(&mut group, 1, Qos::ExactlyOnce), Some(3));
    group.lost("a", 3, &[place(1)], true);
    group.unreached(place(0), 1);
    assert_eq!(group.next_again(), Some((place(0), 0)));
    assert_eq!(group.handed().len(), 0, "what the session had is over");
}

#[test]
fn what_only_an_ended_session_could_complete_is_over() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, true), ("b", 2, false)]);
    hand_next(&mut group, 0, Qos::ExactlyOnce);
    hand_next(&mut group, 1, Qos::ExactlyOnce);
    group.lost("b", 2, &[place(1)], true);
    group.lost("a", 1, &[place(0)], false);
    assert_eq!(group.handed().len(), 1, "b's session ended with its connection");
    group.session_ended("a");
    assert_eq!((group.handed().len(), group.again().len()), (0, 0));
    assert!(group.is_empty());
}

#[test]
fn what_a_session_that_unsubscribed_could_complete_is_over_when_it_ends_with_its_connection() {
    for is_durable in [false, true] {
        let mut group = joined(Strategy::RoundRobin, &[("a", 1, is_durable), ("b", 2, true)]);
        hand_next(&mut group, 0, Qos::ExactlyOnce);
        hand_next(&mut group, 1, Qos::ExactlyOnce);
        group.leave("a", 1);
        group.lost("a", 1, &[place(0)], true);
        let handed: Vec<_> = group.handed().map(|(place, _)| place.offset).collect();
        assert_eq!((handed, group.again().len()), (vec![1], 0));
    }
}

#[test]
fn the_end_of_a_session_that_is_heard_late_leaves_the_next_session_of_the_client() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, true)]);
    hand_next(&mut group, 0, Qos::ExactlyOnce);
    group.lost("a", 1, &[place(0)], false);
    group.join(Arc::from("a"), true, link(2));
    assert_eq!(hand_next(&mut group, 1, Qos::ExactlyOnce), Some(2));
    group.session_ended("a");
    let handed: Vec<_> = group.handed().map(|(place, handed)| (*place, handed.serial)).collect();
    assert_eq!(handed, [(place(1), 2)], "what the first had is over");
    assert!(group.is_served());
}

#[test]
fn a_member_without_room_gets_nothing_until_it_says_so() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, false)]);
    hand_next(&mut group, 0, Qos::AtLeastOnce);
    group.returned(place(0), "a", true);
    assert_eq!(group.choose(0), Choice::Wait);
    assert_eq!(group.next_again(), Some((place(0), 0)), "not taking it was no attempt");
    group.has_room(1);
    assert_eq!(hand_next(&mut group, 0, Qos::AtLeastOnce), Some(1));
    assert_eq!(group.next_again(), None);
}

#[test]
fn a_group_lives_while_any_durable_session_does() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, true), ("b", 2, false)]);
    group.lost("a", 1, &[], false);
    group.lost("b", 2, &[], true);
    assert!(!group.is_empty() && group.is_durable() && !group.is_served());
    assert_eq!(group.choose(0), Choice::Nobody);
    group.leave("a", 1);
    assert!(group.is_empty());
}

#[test]
fn a_leave_that_is_heard_late_leaves_the_next_connection_of_the_client() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, true)]);
    group.lost("a", 1, &[], false);
    group.join("a".into(), true, link(2));
    group.leave("a", 1);
    assert!(group.is_served());
    group.leave("a", 2);
    assert!(group.is_empty());
}

#[derive(Clone, Debug)]
enum Doing {
    Hand(Qos),
    End(usize),
    Return(usize),
    Lose(usize),
    Connect(usize),
    EndSession(usize),
}

fn doing() -> impl Generator<Value = Doing> {
    prop_oneof![
        4 => prop_oneof![Just(Qos::AtLeastOnce), Just(Qos::ExactlyOnce)].prop_map(Doing::Hand),
        3 => (0..8usize).prop_map(Doing::End),
        1 => (0..8usize).prop_map(Doing::Return),
        2 => (0..3usize).prop_map(Doing::Lose),
        3 => (0..3usize).prop_map(Doing::Connect),
        1 => (0..3usize).prop_map(Doing::EndSession),
    ]
}

/// What the group must keep true, step by step.
#[derive(Default)]
struct Model {
    next: u64,
    serial: u64,
    links: BTreeMap<usize, u64>,
    begun: BTreeSet<u64>,
    over: BTreeSet<u64>,
    /// Who had each QoS 2 message.
    owners: BTreeMap<u64, BTreeSet<Arc<str>>>,
}

impl Model {
    fn step(&mut self, group: &mut Group, doing: &Doing) {
        let name = |n: usize| Arc::<str>::from(format!("client-{n}"));
        match doing {
            Doing::Hand(qos) => self.hand(group, *qos),
            Doing::End(nth) => {
                if let Some((place, owner)) = self.nth(group, *nth) {
                    assert!(group.ended(place, &owner).is_some());
                    self.over.insert(place.offset);
                }
            }
            Doing::Return(nth) => {
                if let Some((place, owner)) = self.nth(group, *nth) {
                    group.returned(place, &owner, false);
                    self.owners.remove(&place.offset);
                }
            }
            Doing::Lose(n) => {
                if let Some(serial) = self.links.remove(n) {
                    let kept = self.kept(group, serial);
                    group.lost(&name(*n), serial, &kept, false);
                }
            }
            Doing::Connect(n) if !self.links.contains_key(n) => {
                self.serial += 1;
                self.links.insert(*n, self.serial);
                group.join(name(*n), true, link(self.serial));
            }
            Doing::Connect(_) => (),
            Doing::EndSession(n) => {
                if let Some(serial) = self.links.remove(n) {
                    let kept = self.kept(group, serial);
                    group.lost(&name(*n), serial, &kept, false);
                }
                let of_it = |(_, handed): &(&Place, &super::Handed)| handed.client_id == name(*n);
                let gone = group.handed().filter(of_it).map(|(place, _)| place.offset);
                self.over.extend(gone);
                group.session_ended(&name(*n));
            }
        }
    }

    /// All that was handed reached its member.
    fn kept(&self, group: &Group, serial: u64) -> Vec<Place> {
        let of_it = group.handed().filter(|(_, handed)| handed.serial == serial);
        of_it.map(|(place, _)| *place).collect()
    }

    fn hand(&mut self, group: &mut Group, qos: Qos) {
        let again = group.next_again();
        let Choice::Member(to) = group.choose(0) else { return };
        let (place, attempts) = again.unwrap_or((place(self.next), 0));
        if again.is_none() {
            self.next += 1;
        }
        self.begun.insert(place.offset);
        group.hand(place, to, qos, attempts + 1);
        let (_, handed) = group.handed().find(|(at, _)| **at == place).expect("just handed");
        if qos == Qos::ExactlyOnce {
            self.owners.entry(place.offset).or_default().insert(Arc::clone(&handed.client_id));
        }
    }

    fn nth(&self, group: &Group, nth: usize) -> Option<(Place, Arc<str>)> {
        let mut handed: Vec<_> = group.handed().collect();
        handed.sort_unstable_by_key(|(place, _)| **place);
        let (place, handed) = handed.get(nth)?;
        Some((**place, Arc::clone(&handed.client_id)))
    }

    fn check(&self, group: &Group) {
        let handed: BTreeSet<u64> = group.handed().map(|(place, _)| place.offset).collect();
        let again: BTreeSet<u64> = group.again().map(|(place, _)| place.offset).collect();
        assert!(handed.is_disjoint(&again), "with a member and waiting at once");
        let known: BTreeSet<u64> = handed.union(&again).copied().collect();
        assert!(known.is_disjoint(&self.over), "over and not over");
        let all: BTreeSet<u64> = known.union(&self.over).copied().collect();
        assert_eq!(all, self.begun, "every message is somewhere");
        for (offset, owners) in &self.owners {
            assert!(owners.len() <= 1, "{offset} went at QoS 2 to {owners:?}");
        }
    }
}

proptest! {
    #[test]
    fn no_message_is_lost_and_none_has_two_owners_whatever_happens(
        doings in vec(doing(), 0..120),
    ) {
        let mut group = Group::new(Strategy::RoundRobin);
        let mut model = Model::default();
        for doing in &doings {
            model.step(&mut group, doing);
            model.check(&group);
        }
    }
}

#[test]
fn memory_of_many_that_were_handed_out_is_given_back() {
    let mut group = joined(Strategy::RoundRobin, &[("a", 1, true)]);
    let many = Link { limit: 10_000, ..link(1) };
    group.join("a".into(), true, many);
    for offset in 0..10_000 {
        group.hand(place(offset), many, Qos::AtLeastOnce, 1);
    }
    group.trim();
    assert!(group.handed.capacity() >= 10_000, "it is in use");
    for offset in 3..10_000 {
        assert!(group.ended(place(offset), "a").is_some());
    }
    group.trim();
    assert!(group.handed.capacity() <= super::ROOM_KEPT, "{}", group.handed.capacity());
    let left: BTreeSet<u64> = group.handed().map(|(place, _)| place.offset).collect();
    assert_eq!(left, [0, 1, 2].into());
}
