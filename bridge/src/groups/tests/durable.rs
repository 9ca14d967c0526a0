//! What is answered is on disk, and what is on disk comes back.

use crate::groups::tests::bench::{Bench, GROUP, Who, again, anew, caller, limits, spot, wanted};
use crate::groups::{Answer, Limits, Phase, Refusal, Spot, Wanted};

#[test]
fn an_offset_is_answered_and_seen_only_when_it_is_durable() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    bench.is_quick = false;
    let me = caller(&one.member, 1);
    let first = bench.commit(&me, vec![wanted(0, 7), wanted(1, 8)]);
    let second = bench.commit(&me, vec![wanted(0, 9)]);
    assert!(bench.is_waiting(first));
    assert_eq!(bench.offset(0), None);
    bench.store(true);
    assert_eq!(bench.answer(first), Answer::Done);
    assert_eq!((bench.offset(0), bench.offset(1)), (Some(7), Some(8)));
    bench.store(false);
    assert_eq!(bench.refused(second), Refusal::NotStored);
    assert_eq!(bench.offset(0), Some(7));
}

#[test]
fn nobody_hears_what_it_reads_before_that_is_durable() {
    let mut bench = Bench::new();
    bench.is_quick = false;
    let ticket = bench.join(&anew());
    let one = bench.joined(ticket);
    let ticket = bench.sync(caller(&one.member, 1), &[(&one.member, "all")]);
    assert!(bench.is_waiting(ticket));
    bench.store(false);
    assert_eq!(bench.refused(ticket), Refusal::NotStored);
    assert_eq!(bench.heartbeat(&caller(&one.member, 1)), Err(Refusal::Rebalancing));
}

#[test]
fn members_go_on_after_a_crash_as_if_nothing_had_been() {
    let mut bench = Bench::new();
    let (one, two) = bench.with_two();
    let me = caller(&one.member, 2);
    bench.commit(&me, vec![wanted(0, 7)]);
    bench.crash();
    assert_eq!(bench.heartbeat(&me), Ok(()));
    assert_eq!(bench.offset(0), Some(7));
    let ticket = bench.sync(caller(&two.member, 2), &[]);
    assert_eq!(bench.assigned(ticket), "right");
    bench.pass(9_999);
    assert_eq!(bench.heartbeat(&me), Ok(()));
    bench.pass(1);
    assert_eq!(bench.heartbeat(&me), Err(Refusal::Rebalancing), "the other was never heard of");
}

#[test]
fn a_crash_while_members_agree_has_them_agree_again() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    let second = bench.join(&anew());
    let first = bench.join(&again(&one.member));
    let (one, two) = (bench.joined(first), bench.joined(second));
    bench.is_quick = false;
    bench.sync(caller(&one.member, 2), &[(&one.member, "left"), (&two.member, "right")]);
    bench.crash();
    for (member, why) in
        [(&one.member, Refusal::IllegalGeneration), (&two.member, Refusal::UnknownMember)]
    {
        let ticket = bench.sync(caller(member, 2), &[]);
        assert_eq!(bench.refused(ticket), why);
    }
}

#[test]
fn an_empty_group_comes_back_empty() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    bench.leave(&one.member).expect("it was there");
    bench.crash();
    let described = bench.groups.describe("team").expect("it is kept");
    assert_eq!((described.phase, described.generation), (Phase::Empty, 2));
    let ticket = bench.join(&anew());
    assert_eq!(bench.joined(ticket).generation, 3, "no generation is used twice");
}

#[test]
fn a_reader_that_is_nobodys_member_commits_while_there_are_no_members() {
    let mut bench = Bench::new();
    let nobody = caller(&"".into(), -1);
    let ticket = bench.commit(&nobody, vec![wanted(0, 5)]);
    assert_eq!((bench.answer(ticket), bench.offset(0)), (Answer::Done, Some(5)));
    bench.crash();
    assert_eq!(bench.offset(0), Some(5));
    bench.with_one();
    let ticket = bench.commit(&nobody, vec![wanted(0, 6)]);
    assert_eq!(bench.refused(ticket), Refusal::UnknownMember);
    assert_eq!(bench.offset(0), Some(5));
}

#[test]
fn members_commit_while_they_are_called_together_and_not_while_they_wait_for_the_leader() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    let second = bench.join(&anew());
    let ticket = bench.commit(&caller(&one.member, 1), vec![wanted(0, 5)]);
    assert_eq!(bench.answer(ticket), Answer::Done, "the last words before it gives up partitions");
    let first = bench.join(&again(&one.member));
    bench.joined(first);
    bench.joined(second);
    let ticket = bench.commit(&caller(&one.member, 2), vec![wanted(0, 6)]);
    assert_eq!(bench.refused(ticket), Refusal::Rebalancing);
}

#[test]
fn a_transaction_takes_offsets_also_while_members_wait_for_the_leader() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    let second = bench.join(&anew());
    let first = bench.join(&again(&one.member));
    bench.joined(first);
    bench.joined(second);
    let me = caller(&one.member, 2);
    let offsets = [wanted(0, 6)];
    let checked = bench.groups.check_offsets(&GROUP.into(), &me, &offsets, bench.now);
    assert_eq!(checked, Ok(()));
    let ticket = bench.commit(&me, offsets.to_vec());
    assert_eq!(bench.refused(ticket), Refusal::Rebalancing, "outside of one they are not taken");
}

#[test]
fn offsets_that_are_older_than_may_be_have_their_whole_time_again_after_a_restart() {
    let check = |has_members: bool| {
        let mut bench = Bench::with(Limits { retention_ms: 60_000, ..limits() });
        let (nobody, offsets) = (caller(&"".into(), -1), vec![wanted(0, 5)]);
        if has_members {
            let one = bench.with_one();
            bench.commit(&caller(&one.member, 1), offsets);
            bench.leave(&one.member).expect("it was there");
        } else {
            bench.commit(&nobody, offsets);
        }
        bench.now.wall_ms += 1_000_000;
        bench.crash();
        // A clock that is set after the start ends nothing either.
        bench.now.wall_ms += 1_000_000;
        for (ms, offset) in [(0, Some(5)), (59_999, Some(5)), (1, None)] {
            bench.pass(ms);
            bench.groups.expire(bench.now);
            bench.work();
            assert_eq!(bench.offset(0), offset, "{has_members} {ms}");
        }
    };
    check(true);
    check(false);
}

#[test]
fn offsets_go_when_nobody_used_them_for_long_and_the_group_with_them() {
    let mut bench = Bench::with(Limits { retention_ms: 3_600_000, ..limits() });
    let one = bench.with_one();
    bench.commit(&caller(&one.member, 1), vec![wanted(0, 5)]);
    bench.leave(&one.member).expect("it was there");
    for (minutes, is_there) in [(59, true), (1, false)] {
        bench.pass(minutes * 60_000);
        bench.groups.expire(bench.now);
        bench.work();
        assert_eq!(bench.offset(0).is_some(), is_there, "{minutes}");
    }
    assert!(bench.rows.is_empty() && bench.groups.names().count() == 0);
}

#[test]
fn offsets_of_a_group_with_members_stay_however_old_they_are() {
    let mut bench = Bench::with(Limits { retention_ms: 60_000, ..limits() });
    let one = bench.with_one();
    let me = caller(&one.member, 1);
    bench.commit(&me, vec![wanted(0, 5)]);
    for _ in 0..100 {
        bench.pass(5_000);
        bench.heartbeat(&me).expect("it lives");
        bench.groups.expire(bench.now);
    }
    assert_eq!(bench.offset(0), Some(5));
}

#[test]
fn offsets_of_topics_that_no_member_of_a_stable_group_wants_go_with_age_and_others_stay() {
    // The version, then how many topics, then each behind its length.
    let check = |metadata: &'static [u8], expected: [bool; 2]| {
        let mut bench = Bench::with(Limits { retention_ms: 60_000, ..limits() });
        let ticket = bench.join(&Who { metadata, ..anew() });
        let one = bench.joined(ticket);
        let me = caller(&one.member, 1);
        bench.sync(me.clone(), &[(&one.member, "all")]);
        let old = Spot { topic: "old".into(), partition: 0 };
        bench.commit(&me, vec![wanted(0, 5), Wanted { spot: old.clone(), ..wanted(0, 7) }]);
        let is_there = |bench: &Bench| {
            [&spot(0), &old].map(|it| bench.groups.offset("team", &it.topic, 0).is_some())
        };
        for after in [[true, true], expected] {
            for _ in 0..6 {
                bench.groups.expire(bench.now);
                bench.work();
                bench.pass(5_000);
                bench.heartbeat(&me).expect("it lives");
            }
            bench.pass(5_000);
            bench.heartbeat(&me).expect("it lives");
            bench.groups.expire(bench.now);
            bench.work();
            assert_eq!(is_there(&bench), after, "{metadata:?}");
        }
        bench.crash();
        assert_eq!(is_there(&bench), expected, "on disk too");
    };
    check(b"\0\x01\0\0\0\x01\0\x04mqtt\xff\xff\xff\xff", [true, false]);
    check(b"\0\x01\0\0\0\x02\0\x04mqtt\0\x03old\xff\xff\xff\xff", [true, true]);
    check(b"who knows what", [true, true]);
}

#[test]
fn a_deleted_offset_is_gone_on_disk_too_and_the_others_stay() {
    let mut bench = Bench::new();
    bench.commit(&caller(&"".into(), -1), vec![wanted(0, 5), wanted(1, 6)]);
    let ticket = bench.ticket();
    bench.groups.forget(&"team".into(), ticket, vec![spot(0)], bench.now);
    bench.work();
    assert_eq!(bench.answer(ticket), Answer::Done);
    assert_eq!((bench.offset(0), bench.offset(1)), (None, Some(6)));
    bench.crash();
    assert_eq!((bench.offset(0), bench.offset(1)), (None, Some(6)));
}

#[test]
fn what_was_never_committed_is_forgotten_without_a_row_and_the_rest_with_one() {
    let mut bench = Bench::new();
    bench.commit(&caller(&"".into(), -1), vec![wanted(0, 5)]);
    bench.is_quick = false;
    for (spots, rows) in
        [(vec![spot(1); 100], None), ([vec![spot(0); 9], vec![spot(7)]].concat(), Some(1))]
    {
        let ticket = bench.ticket();
        bench.groups.forget(&"team".into(), ticket, spots, bench.now);
        bench.work();
        assert_eq!(bench.writes.front().map(|(_, changes)| changes.len()), rows);
        assert_eq!(bench.is_waiting(ticket), rows.is_some());
    }
}

#[test]
fn a_commit_that_is_under_way_when_its_group_is_deleted_does_not_bring_it_back() {
    let mut bench = Bench::new();
    bench.is_quick = false;
    let nobody = caller(&"".into(), -1);
    let commit = bench.commit(&nobody, vec![wanted(0, 5)]);
    let end = bench.end();
    let late = bench.commit(&nobody, vec![wanted(0, 6)]);
    assert_eq!(bench.refused(late), Refusal::NotStored);
    bench.store(true);
    bench.store(true);
    assert_eq!((bench.answer(commit), bench.answer(end)), (Answer::Done, Answer::Done));
    assert!(bench.rows.is_empty() && bench.groups.names().count() == 0);
}

#[test]
fn a_group_is_deleted_once_however_often_that_is_asked_and_one_made_anew_stays() {
    let mut bench = Bench::new();
    let nobody = caller(&"".into(), -1);
    bench.commit(&nobody, vec![wanted(0, 5)]);
    bench.is_quick = false;
    let (first, second) = (bench.end(), bench.end());
    assert_eq!(bench.refused(second), Refusal::NotStored);
    assert_eq!(bench.writes.len(), 1);
    bench.store(true);
    assert_eq!(bench.answer(first), Answer::Done);
    let anew = bench.commit(&nobody, vec![wanted(0, 6)]);
    bench.store(true);
    assert_eq!((bench.answer(anew), bench.offset(0)), (Answer::Done, Some(6)));
}
