//! Who is refused, and why: one line each.

use crate::groups::tests::bench::{Bench, Who, again, anew, caller, limits, wanted};
use crate::groups::{Answer, Limits, Refusal, Wanted};

#[test]
fn who_cannot_join_hears_why() {
    let check = |who: Who, why: Refusal| {
        let mut bench = Bench::with(Limits { members_max: 2, group_bytes_max: 200, ..limits() });
        bench.with_two();
        let ticket = bench.join(&who);
        assert_eq!(bench.refused(ticket), why);
    };
    check(Who { session_ms: 999, ..anew() }, Refusal::InvalidSessionTimeout);
    check(Who { session_ms: 1_800_001, ..anew() }, Refusal::InvalidSessionTimeout);
    check(Who { session_ms: -1, ..anew() }, Refusal::InvalidSessionTimeout);
    check(Who { protocols: &["sticky"], ..anew() }, Refusal::InconsistentProtocol);
    check(Who { protocols: &[], ..anew() }, Refusal::InconsistentProtocol);
    check(anew(), Refusal::Full);
    check(Who { comes_back: true, ..anew() }, Refusal::Full);
    check(again(&"member-1".into()).with_metadata(&[0; 200]), Refusal::Full);
    check(again(&"stranger".into()), Refusal::UnknownMember);
    check(Who { instance: Some("box"), ..again(&"member-1".into()) }, Refusal::UnknownMember);
}

#[test]
fn a_member_that_joins_again_is_counted_once() {
    for who in [anew(), Who { instance: Some("box"), ..anew() }] {
        let mut bench = Bench::with(Limits { group_bytes_max: 60, bytes_max: 60, ..limits() });
        let ticket = bench.join(&who);
        let one = bench.joined(ticket);
        bench.sync(caller(&one.member, 1), &[]);
        let member = if who.instance.is_some() { "".into() } else { one.member };
        let again = Who { member, ..who };
        let ticket = bench.join(&again);
        bench.joined(ticket);
        let ticket = bench.join(&anew());
        assert_eq!(bench.refused(ticket), Refusal::Full);
    }
}

#[test]
fn a_member_knows_no_more_ways_to_share_out_than_allowed() {
    let mut bench = Bench::with(Limits { protocols_max: 2, ..limits() });
    let ticket = bench.join(&Who { protocols: &["range", "roundrobin", "sticky"], ..anew() });
    assert_eq!(bench.refused(ticket), Refusal::InvalidRequest);
    bench.with_two();
}

#[test]
fn who_is_not_in_step_hears_why() {
    let mut bench = Bench::new();
    let (one, _) = bench.with_two();
    for (member, generation, why) in [
        (one.member.clone(), 1, Refusal::IllegalGeneration),
        (one.member.clone(), 3, Refusal::IllegalGeneration),
        ("stranger".into(), 2, Refusal::UnknownMember),
        ("".into(), -1, Refusal::UnknownMember),
    ] {
        let who = caller(&member, generation);
        assert_eq!(bench.heartbeat(&who), Err(why), "{who:?}");
        let ticket = bench.sync(who.clone(), &[]);
        assert_eq!(bench.refused(ticket), why, "{who:?}");
        let ticket = bench.commit(&who, vec![wanted(0, 7)]);
        assert_eq!(bench.refused(ticket), why, "{who:?}");
    }
    assert_eq!(bench.offset(0), None);
}

#[test]
fn a_group_has_a_name_that_is_its_own() {
    let mut bench = Bench::new();
    for name in ["", "$share/team/plant/#", &"g".repeat(1025)] {
        let ticket = bench.ticket();
        let who = caller(&"".into(), -1);
        bench.groups.commit(&name.into(), (ticket, &who), vec![wanted(0, 1)], bench.now);
        bench.work();
        assert_eq!(bench.refused(ticket), Refusal::InvalidGroupId, "{name}");
    }
}

#[test]
fn there_are_no_more_groups_than_allowed() {
    let mut bench = Bench::with(Limits { groups_max: 1, ..limits() });
    bench.with_one();
    let ticket = bench.ticket();
    let who = caller(&"".into(), -1);
    bench.groups.commit(&"other".into(), (ticket, &who), vec![wanted(0, 1)], bench.now);
    bench.work();
    assert_eq!(bench.refused(ticket), Refusal::Full);
}

#[test]
fn all_groups_together_hold_no_more_than_allowed_and_members_stay() {
    let mut bench = Bench::with(Limits { bytes_max: 340, ..limits() });
    let one = bench.with_one();
    let large = anew().with_metadata(&[0; 200]);
    let ticket = bench.join(&large);
    assert_eq!(bench.refused(ticket), Refusal::Full);
    let me = caller(&one.member, 1);
    let noted = |bytes: usize| Wanted { metadata: "n".repeat(bytes).into(), ..wanted(0, 1) };
    let ticket = bench.commit(&me, vec![noted(200)]);
    assert_eq!(bench.refused(ticket), Refusal::MetadataTooLarge);
    for (partition, answer) in [
        (0, Answer::Done),
        (1, Answer::Refused(Refusal::NoRoom)),
        // Who has an offset there can always move it.
        (0, Answer::Done),
    ] {
        let ticket = bench.commit(&me, vec![wanted(partition, 7)]);
        assert_eq!(bench.answer(ticket), answer, "{partition}");
    }
    bench.leave(&one.member).expect("it was there");
    for (bytes, fits) in [(144, true), (5, true), (100, true), (145, false)] {
        let ticket = bench.commit(&caller(&"".into(), -1), vec![noted(bytes)]);
        assert_eq!(bench.answer(ticket) == Answer::Done, fits, "{bytes}");
    }
    let ticket = bench.end();
    assert_eq!(bench.answer(ticket), Answer::Done);
    let ticket = bench.join(&anew());
    bench.joined(ticket);
}

#[test]
fn members_say_and_are_assigned_no_more_than_all_groups_may_hold() {
    let mut bench = Bench::with(Limits { bytes_max: 200, ..limits() });
    let one = bench.with_one();
    let ticket = bench.join(&again(&one.member).with_metadata(&[0; 200]));
    assert_eq!(bench.refused(ticket), Refusal::Full);
    let me = caller(&one.member, 1);
    assert_eq!(bench.heartbeat(&me), Ok(()), "what it said before holds");
    // It leads, and shares out anew.
    let ticket = bench.join(&again(&one.member));
    let me = caller(&one.member, bench.joined(ticket).generation);
    let ticket = bench.sync(me.clone(), &[(&one.member, &"p".repeat(200))]);
    assert_eq!(bench.refused(ticket), Refusal::Full);
    let ticket = bench.sync(me, &[(&one.member, &"p".repeat(100))]);
    assert_eq!(bench.assigned(ticket).len(), 100);
}

#[test]
fn nobody_uses_up_the_groups_with_what_holds_nothing() {
    let mut bench = Bench::with(Limits { groups_max: 2, ..limits() });
    let nobody = caller(&"".into(), -1);
    let named = |name: &str, bench: &mut Bench, wanted: Vec<Wanted>| {
        let ticket = bench.ticket();
        bench.groups.commit(&name.into(), (ticket, &nobody), wanted, bench.now);
        bench.work();
        bench.answer(ticket)
    };
    for name in ["one", "two", "three"] {
        assert_eq!(named(name, &mut bench, vec![]), Answer::Done);
    }
    assert_eq!(bench.groups.names().count(), 0, "no group is made for nothing");
    assert_eq!(named("reads", &mut bench, vec![wanted(0, 1)]), Answer::Done);
    // Somebody is invited, and does not come.
    bench.join(&Who { comes_back: true, ..anew() });
    assert_eq!(named("reads too", &mut bench, vec![wanted(0, 1)]), Answer::Done);
    let full = Answer::Refused(Refusal::Full);
    assert_eq!(named("reads also", &mut bench, vec![wanted(0, 1)]), full);
    assert_eq!(bench.offset(0), None);
}

#[test]
fn a_group_without_members_and_offsets_makes_place_for_another() {
    let mut bench = Bench::with(Limits { groups_max: 1, ..limits() });
    let one = bench.with_one();
    bench.leave(&one.member).expect("it was there");
    let nobody = caller(&"".into(), -1);
    for expected in [Answer::Refused(Refusal::NotStored), Answer::Done] {
        let ticket = bench.ticket();
        bench.groups.commit(&"other".into(), (ticket, &nobody), vec![wanted(0, 1)], bench.now);
        bench.work();
        assert_eq!(bench.answer(ticket), expected);
    }
    assert_eq!(bench.groups.names().count(), 1);
}

#[test]
fn a_group_with_members_is_not_deleted_and_an_empty_one_is() {
    let mut bench = Bench::new();
    let ticket = bench.end();
    assert_eq!(bench.refused(ticket), Refusal::UnknownGroup);
    let one = bench.with_one();
    let ticket = bench.commit(&caller(&one.member, 1), vec![wanted(0, 7)]);
    assert_eq!(bench.answer(ticket), Answer::Done);
    let ticket = bench.end();
    assert_eq!(bench.refused(ticket), Refusal::NotEmpty);
    bench.leave(&one.member).expect("it was there");
    let ticket = bench.end();
    assert_eq!(bench.answer(ticket), Answer::Done);
    assert_eq!(bench.groups.names().count(), 0);
    assert!(bench.rows.is_empty(), "nothing is left on disk");
}

impl Who {
    fn with_metadata(self, metadata: &'static [u8]) -> Self {
        Self { metadata, ..self }
    }
}
