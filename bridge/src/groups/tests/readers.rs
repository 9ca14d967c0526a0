//! Members of the newer kind: the group shares out, and nobody reads what another still has.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::{prop, proptest};

use crate::groups::tests::bench::{Bench, GROUP, anew, caller, limits, spot, wanted};
use crate::groups::{Answer, Beat, Limits, Phase, Pulse, Refusal, Spot, Wanted};

const PARTITIONS: u32 = 5;

fn beat(member: &str, epoch: i32) -> Beat {
    Beat {
        member: member.into(),
        instance: None,
        epoch,
        client_id: "client".into(),
        host: "127.0.0.1".into(),
        rebalance_ms: 5_000,
        topics: (epoch == 0).then(|| BTreeSet::from(["mqtt".into()])),
        owned: (epoch == 0).then(BTreeSet::new),
        counts: vec![("mqtt".into(), PARTITIONS)],
    }
}

impl Bench {
    fn beat(&mut self, beat: &Beat) -> Result<Pulse, Refusal> {
        let pulse = self.groups.beat(&GROUP.into(), beat, self.now);
        self.work();
        pulse
    }
}

/// A client that does as it is told.
struct Client {
    id: String,
    epoch: i32,
    reads: BTreeSet<Spot>,
    says: bool,
}

impl Client {
    fn new(id: usize) -> Self {
        Self { id: format!("m{id}"), epoch: 0, reads: BTreeSet::new(), says: true }
    }

    fn say(&mut self, bench: &mut Bench) -> Result<Pulse, Refusal> {
        let mut said = beat(&self.id, self.epoch);
        if self.epoch > 0 && self.says {
            said.owned = Some(self.reads.clone());
        }
        self.says = false;
        bench.beat(&said)
    }

    /// The answer is lost: it does not know what was heard of it, and will say it all again.
    fn say_in_vain(&mut self, bench: &mut Bench) {
        let _ = self.say(bench);
        self.says = true;
    }

    fn beat(&mut self, bench: &mut Bench) {
        match self.say(bench) {
            Ok(pulse) => {
                self.epoch = pulse.epoch;
                if let Some(assignment) = pulse.assignment {
                    self.says = assignment.len() < self.reads.len()
                        || !self.reads.iter().all(|spot| assignment.contains(spot));
                    self.reads = assignment.into_iter().collect();
                }
            }
            Err(_) => *self = Self { id: self.id.clone(), ..Self::new(0) },
        }
    }
}

#[test]
fn one_member_reads_all_at_once() {
    let mut bench = Bench::new();
    let pulse = bench.beat(&beat("a", 0)).expect("it joins");
    let all: Vec<Spot> = (0..PARTITIONS).map(spot).collect();
    assert_eq!((pulse.epoch, pulse.assignment), (1, Some(all)));
    let quiet = bench.beat(&beat("a", 1)).expect("it lives");
    assert_eq!(quiet, Pulse { epoch: 1, assignment: None });
    let described = bench.groups.describe(GROUP).expect("it is there");
    assert_eq!((described.phase, described.members.len()), (Phase::Stable, 1));
}

#[test]
fn a_second_member_gets_what_the_first_let_go_and_not_before() {
    let mut bench = Bench::new();
    let (mut one, mut two) = (Client::new(1), Client::new(2));
    one.beat(&mut bench);
    two.beat(&mut bench);
    assert!(two.reads.is_empty());
    one.beat(&mut bench);
    assert_eq!(one.reads.len(), 3, "it is told to let two go, and keeps the rest");
    two.beat(&mut bench);
    assert!(two.reads.is_empty(), "it was told, but did not say yet that it did");
    one.beat(&mut bench);
    two.beat(&mut bench);
    assert_eq!((one.reads.len(), two.reads.len()), (3, 2));
    assert!(one.reads.is_disjoint(&two.reads));
}

#[test]
fn what_a_member_did_not_hear_of_goes_to_another_at_once() {
    let mut bench = Bench::new();
    let (mut one, mut two) = (Client::new(1), Client::new(2));
    for _ in 0..3 {
        one.beat(&mut bench);
        two.beat(&mut bench);
    }
    assert_eq!((one.reads.len(), two.reads.len()), (3, 2));
    bench.beat(&beat(&two.id, -1)).expect("it leaves");
    one.say_in_vain(&mut bench);
    two = Client::new(2);
    two.beat(&mut bench);
    one.beat(&mut bench);
    assert_eq!(one.reads.len(), 3, "it hears what it has already, and never of the rest");
    two.beat(&mut bench);
    assert_eq!(two.reads.len(), 2);
    bench.pass(5_000);
    one.beat(&mut bench);
    assert_eq!(one.reads.len(), 3, "nobody waited for it to let go");
}

#[test]
fn who_is_silent_or_does_not_let_go_is_out() {
    let mut bench = Bench::new();
    let mut two = Client::new(2);
    bench.beat(&beat("m1", 0)).expect("it joins");
    two.beat(&mut bench);
    bench.beat(&beat("m1", 1)).expect("it hears that it is to let go");
    for _ in 0..5 {
        bench.pass(1_000);
        let _ = bench.beat(&beat("m1", 1));
        two.beat(&mut bench);
    }
    assert_eq!(bench.beat(&beat("m1", 1)), Err(Refusal::UnknownMember));
    two.beat(&mut bench);
    assert_eq!(two.reads.len(), 5);
    bench.pass(15_000);
    assert_eq!(bench.beat(&beat("m2", two.epoch)), Err(Refusal::UnknownMember));
    let described = bench.groups.describe(GROUP).expect("it is kept");
    assert_eq!(described.phase, Phase::Empty);
}

#[test]
fn offsets_are_committed_with_the_members_epoch() {
    let mut bench = Bench::new();
    bench.beat(&beat("a", 0)).expect("it joins");
    let ticket = bench.commit(&caller(&"a".into(), 1), vec![wanted(0, 7)]);
    assert_eq!((bench.answer(ticket), bench.offset(0)), (Answer::Done, Some(7)));
    for (member, epoch, why) in [("a", 2, Refusal::StaleEpoch), ("b", 1, Refusal::UnknownMember)] {
        let ticket = bench.commit(&caller(&member.into(), epoch), vec![wanted(0, 9)]);
        assert_eq!(bench.refused(ticket), why);
    }
}

#[test]
fn a_member_that_did_not_hear_its_new_epoch_hears_it_again_and_commits_with_no_other() {
    let mut bench = Bench::new();
    bench.beat(&beat("a", 0)).expect("it joins");
    bench.beat(&beat("b", 0)).expect("it joins");
    bench.beat(&beat("a", 1)).expect("it hears what to let go");
    let kept = Beat { owned: Some((0..3).map(spot).collect()), ..beat("a", 1) };
    let lost = bench.beat(&kept).expect("it let go");
    assert_eq!(lost.epoch, 2);
    for said in [beat("a", 1), kept] {
        let again = bench.beat(&said).expect("the answer was lost");
        assert_eq!(again, Pulse { epoch: 2, assignment: Some((0..3).map(spot).collect()) });
    }
    let ticket = bench.commit(&caller(&"a".into(), 1), vec![wanted(0, 7)]);
    let why = bench.refused(ticket);
    assert_eq!((why, why.code()), (Refusal::StaleEpoch, 113));
    bench.beat(&beat("c", 0)).expect("it joins");
    bench.beat(&beat("a", 2)).expect("it hears what to let go");
    bench.beat(&Beat { owned: Some((0..2).map(spot).collect()), ..beat("a", 2) }).expect("let go");
    assert_eq!(bench.beat(&beat("a", 1)), Err(Refusal::FencedEpoch), "that is too long ago");
}

#[test]
fn offsets_of_topics_that_no_member_of_the_newer_kind_wants_go_with_age() {
    let mut bench = Bench::with(Limits { retention_ms: 1, ..limits() });
    bench.beat(&beat("a", 0)).expect("it joins");
    let old = Spot { topic: "old".into(), partition: 0 };
    let ticket = bench.commit(
        &caller(&"a".into(), 1),
        vec![wanted(0, 7), Wanted { spot: old.clone(), ..wanted(0, 8) }],
    );
    assert_eq!(bench.answer(ticket), Answer::Done);
    bench.pass(1);
    bench.groups.expire(bench.now);
    bench.work();
    assert_eq!(bench.offset(0), Some(7));
    assert_eq!(bench.groups.offset(GROUP, &old.topic, 0), None);
}

#[test]
fn offsets_outlast_a_restart_until_members_of_the_newer_kind_had_time_to_come_back() {
    let mut bench = Bench::with(Limits { retention_ms: 60_000, ..limits() });
    let pulse = bench.beat(&beat("a", 0)).expect("it joins");
    bench.commit(&caller(&"a".into(), pulse.epoch), vec![wanted(0, 7)]);
    for _ in 0..10 {
        bench.pass(10_000);
        bench.beat(&beat("a", pulse.epoch)).expect("it lives");
    }
    bench.crash();
    for (ms, offset) in [(0, Some(7)), (59_999, Some(7)), (1, None)] {
        bench.pass(ms);
        bench.groups.expire(bench.now);
        bench.work();
        assert_eq!(bench.offset(0), offset, "{ms}");
    }
    assert!(bench.rows.is_empty(), "the group went with them");
}

#[test]
fn who_is_back_first_after_a_restart_does_not_end_the_offsets_of_those_who_are_not() {
    let mut bench = Bench::with(Limits { retention_ms: 60_000, ..limits() });
    let old = Spot { topic: "old".into(), partition: 0 };
    let one = bench.beat(&beat("a", 0)).expect("it joins");
    let offsets = vec![Wanted { spot: old.clone(), ..wanted(0, 8) }];
    bench.commit(&caller(&"a".into(), one.epoch), offsets);
    bench.now.wall_ms += 60_000;
    bench.crash();
    bench.beat(&beat("b", 0)).expect("it joins");
    bench.groups.expire(bench.now);
    bench.work();
    assert!(bench.groups.offset(GROUP, &old.topic, 0).is_some());
}

#[test]
fn no_epoch_is_used_twice_however_often_members_came_before_a_crash() {
    let mut bench = Bench::new();
    let mut newest = 0;
    for round in 0..3 {
        for _ in 0..700 {
            let epoch = bench.beat(&beat("a", 0)).expect("it joins").epoch;
            assert!(epoch > newest, "{round}: {epoch} after {newest}");
            newest = epoch;
        }
        bench.crash();
    }
    bench.beat(&beat("a", 0)).expect("it joins");
    bench.beat(&beat("a", -1)).expect("it leaves");
    bench.crash();
    let joined = bench.with_one();
    assert!(joined.generation > newest, "{joined:?}");
}

#[test]
fn the_row_of_a_group_is_written_again_when_the_disk_refused_it() {
    let mut bench = Bench::new();
    bench.is_quick = false;
    let pulse = bench.beat(&beat("a", 0)).expect("it joins");
    bench.store(false);
    bench.beat(&beat("a", pulse.epoch)).expect("it lives");
    bench.store(true);
    bench.beat(&beat("a", pulse.epoch)).expect("it lives");
    assert_eq!((bench.writes.len(), bench.rows.len()), (0, 1));
}

#[test]
fn a_transaction_hears_of_an_old_epoch_in_words_that_do_not_end_its_producer() {
    let mut bench = Bench::new();
    let pulse = bench.beat(&beat("a", 0)).expect("it joins");
    let mut check = |member: &str, epoch| {
        let who = caller(&member.into(), epoch);
        bench.groups.check_offsets(&GROUP.into(), &who, &[wanted(0, 7)], bench.now)
    };
    assert_eq!(check("a", pulse.epoch), Ok(()));
    assert_eq!(check("a", pulse.epoch + 1), Err(Refusal::IllegalGeneration));
    assert_eq!(check("b", pulse.epoch), Err(Refusal::UnknownMember));
}

#[test]
fn the_two_kinds_are_not_in_one_group_at_one_time() {
    let mut bench = Bench::new();
    bench.beat(&beat("a", 0)).expect("it joins");
    let ticket = bench.join(&anew());
    assert_eq!(bench.refused(ticket), Refusal::InconsistentProtocol);
    let ticket = bench.end();
    assert_eq!(bench.refused(ticket), Refusal::NotEmpty);
    bench.beat(&beat("a", -1)).expect("it leaves");
    let joined = bench.with_one();
    assert!(joined.generation > 1, "no generation is used twice");
    assert_eq!(bench.beat(&beat("a", 0)), Err(Refusal::InconsistentProtocol));
}

#[test]
fn an_instance_that_pauses_comes_back_to_what_it_read() {
    let mut bench = Bench::new();
    let fixed = |member: &str, epoch| Beat { instance: Some("box".into()), ..beat(member, epoch) };
    bench.beat(&fixed("a", 0)).expect("it joins");
    assert_eq!(bench.beat(&fixed("b", 0)), Err(Refusal::Unreleased));
    let grown = Beat { counts: vec![("mqtt".into(), PARTITIONS + 1)], ..fixed("a", 1) };
    assert_eq!(bench.beat(&grown).map(|pulse| pulse.epoch), Ok(2));
    bench.beat(&fixed("a", -2)).expect("it pauses");
    assert_eq!(bench.beat(&fixed("a", 1)), Err(Refusal::FencedEpoch), "it is to join again");
    let back = bench.beat(&fixed("b", 0)).expect("it is back");
    assert_eq!(back.assignment.map(|it| it.len()), Some(5));
    assert_eq!(bench.beat(&fixed("a", 1)), Err(Refusal::UnknownMember));
}

#[test]
fn what_members_of_one_group_want_to_read_is_bounded_together_and_members_stay() {
    let mut bench = Bench::with(Limits { group_bytes_max: 200, ..limits() });
    for member in ["a", "b"] {
        bench.beat(&beat(member, 0)).expect("it joins");
    }
    assert_eq!(bench.beat(&beat("c", 0)), Err(Refusal::Full));
    let wants = |topics: &[&str]| Beat {
        topics: Some(topics.iter().map(|topic| (*topic).into()).collect()),
        ..beat("a", 2)
    };
    bench.beat(&beat("a", 1)).expect("it hears of the other");
    bench.beat(&Beat { owned: Some((0..3).map(spot).collect()), ..beat("a", 1) }).expect("let go");
    assert_eq!(bench.beat(&wants(&["mqtt", "one", "two"])), Err(Refusal::Full));
    bench.beat(&wants(&["mqtt"])).expect("it is no more than before");
    bench.beat(&beat("b", -1)).expect("it leaves");
    bench.beat(&beat("c", 0)).expect("there is room");
}

proptest! {
    /// Clients that beat, heard and in vain, leave, vanish and come back in any order.
    #[test]
    fn nobody_is_told_to_read_what_another_reads(
        actions in prop::collection::vec((0_usize..4, 0_u32..20), 0..200)
    ) {
        let mut bench = Bench::new();
        let mut clients: Vec<Client> = (0..4).map(Client::new).collect();
        for (at, dice) in actions {
            match dice {
                0 => {
                    let id: Arc<str> = clients[at].id.as_str().into();
                    let _ = bench.beat(&beat(&id, -1));
                    clients[at] = Client::new(at);
                }
                1 => clients[at] = Client::new(at),
                2 => bench.pass(2_000),
                3..6 => clients[at].say_in_vain(&mut bench),
                _ => clients[at].beat(&mut bench),
            }
            let lives = |client: &&Client| {
                let described = bench.groups.describe(GROUP);
                described.is_some_and(|it| it.members.iter().any(|one| *one.id == *client.id))
            };
            let read = clients.iter().filter(lives).flat_map(|client| &client.reads);
            let read: Vec<&Spot> = read.collect();
            assert_eq!(read.iter().collect::<BTreeSet<_>>().len(), read.len(), "{read:?}");
        }
        for _ in 0..20 {
            clients.iter_mut().for_each(|client| client.beat(&mut bench));
            bench.pass(500);
        }
        let shares: Vec<usize> = clients.iter().map(|client| client.reads.len()).collect();
        assert_eq!(shares.iter().sum::<usize>(), 5, "all is read: {shares:?}");
        assert!(shares.iter().all(|share| *share > 0), "and evenly: {shares:?}");
    }
}
