//! Members join, agree, are silent, leave.

use crate::groups::tests::bench::{Bench, again, anew, caller, limits};
use crate::groups::{Answer, Caller, Limits, Phase, Refusal};

#[test]
fn one_member_agrees_with_itself_at_once_and_hears_what_it_said() {
    let mut bench = Bench::new();
    let joined = bench.with_one();
    assert_eq!((joined.generation, &*joined.protocol), (1, "range"));
    assert_eq!((&joined.leader, joined.members.len()), (&joined.member, 1));
    assert_eq!(bench.heartbeat(&caller(&joined.member, 1)), Ok(()));
}

#[test]
fn a_group_without_members_waits_a_moment_for_more_of_them() {
    let mut bench = Bench::with(Limits { initial_delay_ms: 100, ..limits() });
    let first = bench.join(&anew());
    bench.pass(60);
    let second = bench.join(&anew());
    bench.pass(99);
    assert!(bench.is_waiting(first) && bench.is_waiting(second), "each newcomer waits the same");
    bench.pass(1);
    let (one, two) = (bench.joined(first), bench.joined(second));
    assert_eq!((one.generation, two.generation), (1, 1), "one agreement for both");
    assert_eq!(one.members.len() + two.members.len(), 2, "the leader alone sees all");
}

#[test]
fn newcomers_do_not_put_off_the_agreement_for_longer_than_a_member_waits() {
    let mut bench = Bench::with(Limits { initial_delay_ms: 100, ..limits() });
    let patient = crate::groups::tests::bench::Who { rebalance_ms: Some(250), ..anew() };
    let first = bench.join(&patient);
    for _ in 0..3 {
        bench.pass(80);
        assert!(bench.is_waiting(first));
        bench.join(&patient);
    }
    bench.pass(10);
    assert!(!bench.is_waiting(first));
}

#[test]
fn a_second_member_waits_for_the_first_which_hears_it_by_its_heartbeat() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    let second = bench.join(&anew());
    assert!(bench.is_waiting(second));
    assert_eq!(bench.heartbeat(&caller(&one.member, 1)), Err(Refusal::Rebalancing));
    let first = bench.join(&again(&one.member));
    let (one, two) = (bench.joined(first), bench.joined(second));
    assert_eq!((one.generation, two.generation), (2, 2));
    assert_eq!((&one.leader, &two.leader), (&one.member, &one.member), "the leader stays");
    assert_eq!((one.members.len(), two.members.len()), (2, 0));
}

#[test]
fn a_newcomer_is_told_its_id_first_when_it_understands_that() {
    let mut bench = Bench::new();
    let mut who = anew();
    who.comes_back = true;
    let ticket = bench.join(&who);
    let Answer::ComeBack(id) = bench.answer(ticket) else { panic!("an id") };
    who.member = id;
    let ticket = bench.join(&who);
    assert_eq!(bench.joined(ticket).member, who.member);
}

#[test]
fn an_invitation_that_nobody_takes_holds_others_up_for_a_moment_only() {
    let mut bench = Bench::new();
    let mut never_back = anew();
    never_back.comes_back = true;
    bench.join(&never_back);
    let ticket = bench.join(&anew());
    bench.pass(999);
    assert!(bench.is_waiting(ticket));
    bench.pass(1);
    assert_eq!(bench.joined(ticket).members.len(), 1);
}

#[test]
fn an_id_from_an_invitation_is_worth_nothing_after_its_session() {
    let mut bench = Bench::new();
    let mut who = anew();
    who.comes_back = true;
    let ticket = bench.join(&who);
    let Answer::ComeBack(id) = bench.answer(ticket) else { panic!("an id") };
    bench.pass(10_000);
    let ticket = bench.join(&again(&id));
    assert_eq!(bench.refused(ticket), Refusal::UnknownMember);
}

#[test]
fn a_silent_member_is_out_and_the_others_share_out_anew() {
    let mut bench = Bench::new();
    let (one, two) = bench.with_two();
    bench.pass(9_000);
    assert_eq!(bench.heartbeat(&caller(&one.member, 2)), Ok(()));
    bench.pass(1_000);
    assert_eq!(bench.heartbeat(&caller(&two.member, 2)), Err(Refusal::UnknownMember));
    assert_eq!(bench.heartbeat(&caller(&one.member, 2)), Err(Refusal::Rebalancing));
    let ticket = bench.join(&again(&one.member));
    assert_eq!(bench.joined(ticket).generation, 3);
}

#[test]
fn who_does_not_join_again_in_time_is_out() {
    let mut bench = Bench::new();
    let (one, two) = bench.with_two();
    let ticket = bench.join(&again(&one.member));
    for _ in 0..12 {
        assert!(bench.is_waiting(ticket));
        bench.pass(5_000);
        // It lives, but does not join: as a client does whose program is stuck.
        let _ = bench.heartbeat(&caller(&two.member, 2));
    }
    assert_eq!(bench.joined(ticket).members.len(), 1);
    assert_eq!(bench.heartbeat(&caller(&two.member, 2)), Err(Refusal::UnknownMember));
}

#[test]
fn without_a_rebalance_timeout_the_session_timeout_holds() {
    let mut bench = Bench::new();
    let who = crate::groups::tests::bench::Who { rebalance_ms: None, ..anew() };
    let ticket = bench.join(&who);
    let one = bench.joined(ticket);
    let second = bench.join(&who);
    bench.pass(5_000);
    assert_eq!(bench.heartbeat(&caller(&one.member, 1)), Err(Refusal::Rebalancing));
    bench.pass(5_000);
    assert_eq!(bench.joined(second).members.len(), 1);
}

#[test]
fn a_leader_that_does_not_share_out_is_out() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    let second = bench.join(&anew());
    let first = bench.join(&again(&one.member));
    let (one, two) = (bench.joined(first), bench.joined(second));
    let waits = bench.sync(caller(&two.member, 2), &[]);
    for _ in 0..12 {
        assert!(bench.is_waiting(waits));
        let _ = bench.heartbeat(&caller(&one.member, 2));
        bench.pass(5_000);
    }
    assert_eq!(bench.refused(waits), Refusal::Rebalancing);
    let ticket = bench.join(&again(&two.member));
    assert_eq!(bench.joined(ticket).leader, two.member);
}

#[test]
fn a_member_that_leaves_is_not_waited_for() {
    let mut bench = Bench::new();
    let (one, two) = bench.with_two();
    let ticket = bench.join(&again(&one.member));
    assert!(bench.is_waiting(ticket));
    assert_eq!(bench.leave(&two.member), Ok(()));
    assert_eq!(bench.joined(ticket).generation, 3);
    assert_eq!(bench.leave(&two.member), Err(Refusal::UnknownMember));
}

#[test]
fn the_last_member_leaves_an_empty_group() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    assert_eq!(bench.leave(&one.member), Ok(()));
    let described = bench.groups.describe("team").expect("it is kept");
    assert_eq!((described.phase, described.generation), (Phase::Empty, 2));
    assert_eq!(bench.heartbeat(&caller(&one.member, 1)), Err(Refusal::UnknownMember));
}

#[test]
fn a_member_whose_connection_is_lost_while_it_waits_is_out_after_its_session() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    let second = bench.join(&anew());
    bench.groups.hang_up(&"team".into(), second, bench.now);
    bench.pass(9_999);
    let first = bench.join(&again(&one.member));
    assert!(bench.is_waiting(first));
    bench.pass(1);
    assert_eq!(bench.joined(first).members.len(), 1);
}

#[test]
fn a_member_that_asks_twice_is_answered_once_more_and_the_older_request_is_not_forgotten() {
    let mut bench = Bench::new();
    let one = bench.with_one();
    let second = bench.join(&anew());
    let first = bench.join(&again(&one.member));
    let (one, two) = (bench.joined(first), bench.joined(second));
    // It did not hear the answer and asks again.
    let repeated = bench.join(&again(&two.member));
    assert_eq!(bench.joined(repeated).generation, 2);
    let older = bench.sync(caller(&two.member, 2), &[]);
    let newer = bench.sync(caller(&two.member, 2), &[]);
    assert_eq!(bench.refused(older), Refusal::Rebalancing);
    let _ = bench.sync(caller(&one.member, 2), &[(&two.member, "mine")]);
    assert_eq!(bench.assigned(newer), "mine");
    let later = bench.sync(caller(&two.member, 2), &[]);
    assert_eq!(bench.assigned(later), "mine", "a stable group answers at once");
}

#[test]
fn a_follower_that_joins_a_stable_group_unchanged_disturbs_nobody() {
    let mut bench = Bench::new();
    let (one, two) = bench.with_two();
    let ticket = bench.join(&again(&two.member));
    assert_eq!(bench.joined(ticket).generation, 2);
    assert_eq!(bench.heartbeat(&caller(&one.member, 2)), Ok(()));
    let mut changed = again(&two.member);
    changed.metadata = b"another topic";
    let ticket = bench.join(&changed);
    assert!(bench.is_waiting(ticket));
    assert_eq!(bench.heartbeat(&caller(&one.member, 2)), Err(Refusal::Rebalancing));
}

#[test]
fn the_protocol_is_one_that_all_know_and_most_like_best() {
    let mut bench = Bench::new();
    let mut first = anew();
    first.protocols = &["sticky", "range", "roundrobin"];
    let ticket = bench.join(&first);
    let one = bench.joined(ticket);
    assert_eq!(&*one.protocol, "sticky");
    let mut second = anew();
    second.protocols = &["roundrobin", "range"];
    let waiting = [bench.join(&second), bench.join(&second)];
    first.member = one.member;
    bench.join(&first);
    for ticket in waiting {
        assert_eq!(&*bench.joined(ticket).protocol, "roundrobin");
    }
    let mut stranger = anew();
    stranger.protocols = &["sticky"];
    let ticket = bench.join(&stranger);
    assert_eq!(bench.refused(ticket), Refusal::InconsistentProtocol);
}

#[test]
fn an_instance_that_starts_again_keeps_what_it_reads_and_the_old_one_is_fenced() {
    let mut bench = Bench::new();
    let mut who = anew();
    who.instance = Some("box-1");
    let ticket = bench.join(&who);
    let old = bench.joined(ticket);
    let ticket = bench.sync(caller(&old.member, 1), &[(&old.member, "all")]);
    assert_eq!(bench.assigned(ticket), "all");

    let ticket = bench.join(&who);
    let new = bench.joined(ticket);
    assert_eq!((new.generation, new.members.len()), (1, 0), "nothing is shared out anew");
    assert_ne!(new.leader, new.member, "an old client would share out if it led");
    let ticket = bench.sync(caller(&new.member, 1), &[]);
    assert_eq!(bench.assigned(ticket), "all");
    let instance = Some("box-1".into());
    let zombie = Caller { instance, ..caller(&old.member, 1) };
    assert_eq!(bench.heartbeat(&zombie), Err(Refusal::Fenced));
    let ticket = bench.commit(&zombie, vec![]);
    assert_eq!(bench.refused(ticket), Refusal::Fenced);

    who.may_skip = true;
    let ticket = bench.join(&who);
    let newest = bench.joined(ticket);
    assert!(newest.skips && newest.leader == newest.member, "a new one leads and skips");
}

#[test]
fn an_instance_keeps_its_place_while_it_is_away_for_less_than_its_session() {
    let mut bench = Bench::new();
    let mut who = anew();
    who.instance = Some("box-1");
    let ticket = bench.join(&who);
    let fixed = bench.joined(ticket);
    bench.sync(caller(&fixed.member, 1), &[]);
    let ticket = bench.join(&anew());
    let mut back = who.clone();
    back.member = fixed.member;
    bench.join(&back);
    let other = bench.joined(ticket);
    assert_eq!(other.generation, 2);
    assert_eq!(
        bench.groups.leave(&"team".into(), &"".into(), Some(&"box-2".into()), bench.now),
        Err(Refusal::UnknownMember)
    );
    assert_eq!(
        bench.groups.leave(&"team".into(), &"".into(), Some(&"box-1".into()), bench.now),
        Ok(())
    );
    bench.work();
    assert_eq!(bench.heartbeat(&caller(&other.member, 2)), Err(Refusal::Rebalancing));
}
