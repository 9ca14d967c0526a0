//! Claims, one by one.

use std::collections::BTreeSet;

use crate::transactions::tests::bench::{Bench, HERE, THERE, TIMEOUT_MS, WHY, group, id, spot};
use crate::transactions::{
    Answer, End, Limits, Part, Producer, Refusal, Start, Ticket, Unnumbered,
};

fn refused(why: Refusal) -> Answer {
    Answer::Refused(why)
}

#[test]
fn what_is_committed_is_in_the_log_and_what_is_aborted_never() {
    let mut bench = Bench::new();
    let producer = bench.started(None);
    bench.begun(producer, &[1, 2]);
    let ticket = bench.end(producer, false);
    assert_eq!(bench.hear(ticket), Answer::Done);
    bench.begun(producer, &[3, 4]);
    let ticket = bench.add_part(producer, Part::Group(group()));
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert_eq!(bench.read_up_to(producer, 7), Ok(()));
    assert!(bench.transactions.is_waiting(&group(), &spot()));
    let ticket = bench.end(producer, true);
    assert_eq!((bench.log.len(), bench.offset), (0, None), "not before the commit");
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert_eq!((&bench.log[..], bench.offset), (&[3, 4][..], Some(7)));
    assert!(!bench.transactions.is_waiting(&group(), &spot()));
    assert_eq!(bench.ends, [End::Aborted, End::Committed]);
    assert_eq!((bench.transactions.open_count(), bench.transactions.held_bytes()), (0, 0));
}

#[test]
fn an_end_whose_answer_was_lost_is_answered_as_it_was_after_a_crash_too() {
    for crashes in [false, true] {
        let mut bench = Bench::new();
        let producer = bench.started(None);
        bench.begun(producer, &[1]);
        bench.end(producer, true);
        bench.settle();
        if crashes {
            bench.crash(0);
        }
        let ticket = bench.end(producer, true);
        assert_eq!(bench.hear(ticket), Answer::Done);
        assert_eq!(bench.log, [1], "once");
    }
}

#[test]
fn a_commit_that_a_crash_took_back_is_not_taken_for_the_one_before() {
    let mut bench = Bench::new();
    let producer = bench.started(None);
    bench.begun(producer, &[1]);
    bench.end(producer, true);
    bench.settle();
    bench.begun(producer, &[2]);
    bench.end(producer, true);
    bench.crash(0);
    let ticket = bench.end(producer, true);
    assert_eq!(bench.hear(ticket), refused(Refusal::Lost));
    assert_eq!(bench.produce(producer, 3), Err(Refusal::Lost));
    let ticket = bench.add(producer);
    assert_eq!(bench.hear(ticket), refused(Refusal::Lost), "it is still the same transaction");
    // It aborts, takes the next epoch, and goes on.
    let ticket = bench.end(producer, false);
    assert_eq!(bench.hear(ticket), Answer::Done);
    let next = bench.started(Some(producer));
    assert_eq!((next.id, next.epoch), (producer.id, producer.epoch + 1));
    bench.begun(next, &[4]);
    let ticket = bench.end(next, true);
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert_eq!(bench.log, [1, 4]);
}

#[test]
fn a_commit_that_the_next_start_may_find_is_not_called_lost_before() {
    for is_found in [false, true] {
        let mut bench = Bench::new();
        let producer = bench.started(None);
        bench.begun(producer, &[1]);
        let ticket = bench.end(producer, true);
        bench.fail(is_found);
        assert_eq!(bench.hear(ticket), refused(Refusal::NotStored));
        for is_commit in [true, false] {
            bench.pass(u64::try_from(TIMEOUT_MS).unwrap());
            let ticket = bench.end(producer, is_commit);
            assert_eq!(bench.hear(ticket), refused(Refusal::Busy));
        }
        let ticket = bench.start(None);
        assert_eq!(bench.hear(ticket), refused(Refusal::Busy));
        assert!(bench.ends.is_empty());
        bench.crash(0);
        let ticket = bench.end(producer, true);
        let expected = if is_found { Answer::Done } else { refused(Refusal::Lost) };
        assert_eq!(bench.hear(ticket), expected);
        assert_eq!(bench.log.len(), usize::from(is_found));
    }
}

#[test]
fn a_new_producer_fences_the_old_one_and_ends_what_it_left() {
    let mut bench = Bench::new();
    let old = bench.started(None);
    bench.begun(old, &[1]);
    let new = bench.started(None);
    assert_eq!((new.id, new.epoch), (old.id, old.epoch + 1));
    assert_eq!(bench.produce(old, 2), Err(Refusal::Fenced));
    for ticket in [bench.end(old, true), bench.end(old, false), bench.add(old)] {
        assert_eq!(bench.hear(ticket), refused(Refusal::Fenced));
    }
    let ticket = bench.start(Some(old));
    assert_eq!(bench.hear(ticket), refused(Refusal::Fenced));
    assert_eq!((bench.log.len(), &bench.ends[..]), (0, &[End::Fenced][..]));
    let stranger = Producer { id: 5, epoch: 0 };
    let ticket = bench.end(stranger, true);
    assert_eq!(bench.hear(ticket), refused(Refusal::Unknown));
}

#[test]
fn a_producer_that_asks_again_for_its_next_epoch_gets_the_same() {
    let mut bench = Bench::new();
    let first = bench.started(None);
    let second = bench.started(Some(first));
    assert_eq!(bench.started(Some(first)), second);
    bench.crash(0);
    assert_eq!(bench.started(Some(first)), second);
    assert_ne!(bench.started(Some(second)), second);
}

#[test]
fn epochs_that_are_used_up_are_followed_by_a_new_number() {
    let mut bench = Bench::new();
    let mut producer = bench.started(None);
    let id = producer.id;
    while producer.epoch < i16::MAX - 1 {
        producer = bench.started(Some(producer));
        assert_eq!(producer.id, id);
    }
    let next = bench.started(Some(producer));
    assert!(next.id != id && next.epoch == 0);
    assert!(!bench.transactions.has_number(id) && bench.transactions.has_number(next.id));
}

#[test]
fn a_transaction_whose_time_is_over_is_gone_and_its_producer_may_go_on() {
    let mut bench = Bench::new();
    let producer = bench.started(None);
    bench.begun(producer, &[1]);
    let timeout = u64::try_from(TIMEOUT_MS).unwrap();
    bench.pass(timeout - 1);
    assert_eq!(bench.produce(producer, 2), Ok(()));
    bench.pass(1);
    assert_eq!(bench.produce(producer, 3), Err(Refusal::Lost));
    let ticket = bench.end(producer, true);
    assert_eq!(bench.hear(ticket), refused(Refusal::Lost));
    let ticket = bench.end(producer, false);
    assert_eq!(bench.hear(ticket), Answer::Done);
    bench.begun(producer, &[4]);
    bench.end(producer, true);
    // Its end is on its way: that is not taken back.
    bench.pass(timeout);
    bench.settle();
    assert_eq!((&bench.log[..], &bench.ends[..]), (&[4][..], &[End::TimedOut, End::Committed][..]));
}

#[test]
fn a_transaction_of_which_something_was_refused_for_good_is_never_committed() {
    let mut bench = Bench::new();
    let producer = bench.started(None);
    bench.begun(producer, &[1]);
    let ticket = bench.add_part(producer, Part::Group(group()));
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert_eq!(bench.read_up_to(producer, 7), Ok(()));
    assert!(bench.refuse(producer));
    assert!(bench.refuse(producer), "what comes behind it is as used");
    let doomed = Refusal::Doomed(WHY);
    assert_eq!((bench.produce(producer, 2), doomed.to_produce()), (Err(doomed), WHY));
    assert_eq!(bench.read_up_to(producer, 8), Err(doomed));
    assert!(!bench.transactions.is_waiting(&group(), &spot()), "nobody waits for its offsets");
    assert_eq!((bench.transactions.open_count(), bench.transactions.held_bytes()), (0, 0));
    for ticket in [bench.add(producer), bench.end(producer, true), bench.end(producer, true)] {
        assert_eq!(bench.hear(ticket), refused(doomed));
    }
    bench.pass(u64::try_from(TIMEOUT_MS).unwrap());
    assert_eq!(bench.produce(producer, 2), Err(doomed), "for as long as it is not aborted");
    for _ in 0..2 {
        let ticket = bench.end(producer, false);
        assert_eq!(bench.hear(ticket), Answer::Done);
    }
    let partitions = Some(BTreeSet::from([HERE, THERE]));
    assert_eq!(bench.unnumbered, [Unnumbered { producer: producer.id, partitions }]);
    // The same producer goes on.
    bench.begun(producer, &[3]);
    let ticket = bench.end(producer, true);
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert_eq!((&bench.log[..], bench.offset), (&[3][..], None));
    assert_eq!(bench.ends, [End::Doomed, End::Committed]);
}

#[test]
fn only_the_transaction_that_it_belongs_to_is_doomed() {
    let mut bench = Bench::new();
    let old = bench.started(None);
    assert!(!bench.refuse(old), "there is none");
    let producer = bench.started(None);
    bench.begun(producer, &[1]);
    assert!(!bench.refuse(old), "it is another producer's now");
    let stranger = Producer { id: 5, epoch: 0 };
    assert!(!bench.refuse(stranger));
    let ticket = bench.end(producer, true);
    assert!(!bench.refuse(producer), "its end is on its way");
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert!(!bench.refuse(producer), "that one is over");
    assert_eq!((&bench.log[..], &bench.ends[..]), (&[1][..], &[End::Committed][..]));
}

#[test]
fn a_doomed_transaction_is_lost_after_a_restart() {
    for known in [false, true] {
        let mut bench = Bench::new();
        let producer = bench.started(None);
        bench.begun(producer, &[1]);
        assert!(bench.refuse(producer));
        bench.crash(0);
        assert!(bench.refuse(producer), "what was sent before the crash is as used");
        assert_eq!(bench.produce(producer, 2), Err(Refusal::Lost));
        let ticket = bench.end(producer, true);
        assert_eq!(bench.hear(ticket), refused(Refusal::Lost));
        let ticket = bench.end(producer, false);
        assert_eq!(bench.hear(ticket), Answer::Done);
        // Nobody knows any more where it wrote.
        let unnumbered = Unnumbered { producer: producer.id, partitions: None };
        assert_eq!(bench.unnumbered, [unnumbered]);
        let next = if known { bench.started(Some(producer)) } else { producer };
        bench.begun(next, &[3]);
        let ticket = bench.end(next, true);
        assert_eq!(bench.hear(ticket), Answer::Done);
        assert_eq!(bench.log, [3]);
    }
}

#[test]
fn what_the_store_refuses_can_be_asked_for_again() {
    let mut bench = Bench::new();
    let ticket = bench.start(None);
    bench.store(false);
    assert_eq!(bench.hear(ticket), refused(Refusal::NotStored));
    let producer = bench.started(None);
    let ticket = bench.add(producer);
    bench.store(false);
    assert_eq!(bench.hear(ticket), refused(Refusal::NotStored));
    assert_eq!(bench.produce(producer, 1), Err(Refusal::NotOpen));
    bench.begun(producer, &[2]);
    let ticket = bench.end(producer, true);
    assert_eq!(bench.produce(producer, 3), Err(Refusal::Busy));
    let again = bench.end(producer, true);
    assert_eq!(bench.answers.remove(&again), Some(refused(Refusal::Busy)));
    bench.store(false);
    assert_eq!(bench.hear(ticket), refused(Refusal::NotStored));
    let ticket = bench.end(producer, true);
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert_eq!(bench.log, [2]);
}

#[test]
fn what_is_more_than_a_transaction_may_hold_is_refused() {
    let limits = Limits { bytes_max: 250, all_bytes_max: 250, ids_max: 1, ..Limits::default() };
    let mut bench = Bench::with(limits);
    let producer = bench.started(None);
    assert_eq!(bench.produce(producer, 1), Err(Refusal::NotOpen));
    bench.begun(producer, &[1, 2]);
    assert_eq!(bench.produce(producer, 3), Err(Refusal::TooLarge));
    assert_eq!(bench.read_up_to(producer, 1), Err(Refusal::NotOpen), "the group was not added");
    let ticket = bench.add_part(producer, Part::Group(group()));
    assert_eq!(bench.hear(ticket), refused(Refusal::TooLarge));
    bench.transactions.limits = Limits { bytes_max: 400, all_bytes_max: 400, ..limits };
    let ticket = bench.add_part(producer, Part::Group(group()));
    assert_eq!(bench.hear(ticket), Answer::Done);
    let start = Start { timeout_ms: 1, known: None, fresh: Some(9) };
    let ticket = Ticket(99);
    bench.transactions.start(&"another".into(), ticket, start, bench.now);
    let effects = bench.transactions.take_effects();
    assert_eq!(effects.len(), 1, "{effects:?}");
    bench.transactions.limits.bytes_max = 1000;
    assert_eq!(bench.produce(producer, 3), Err(Refusal::NoRoom), "that is asked for again");
    assert_eq!(bench.read_up_to(producer, 1), Err(Refusal::NoRoom));
    bench.transactions.limits.bytes_max = 250;
    assert_eq!(bench.read_up_to(producer, 1), Err(Refusal::TooLarge));
    let doomed = Refusal::Doomed(Refusal::TooLarge.to_produce());
    assert_eq!(bench.produce(producer, 3), Err(doomed), "without its offsets it is not whole");
}

#[test]
fn the_groups_of_a_transaction_are_counted_whether_it_began_or_not() {
    let limits = Limits { bytes_max: 500, all_bytes_max: 300, ..Limits::default() };
    let mut bench = Bench::with(limits);
    let producer = bench.started(None);
    let part = |bytes: usize| Part::Group("g".repeat(bytes).into());
    let ticket = bench.add_part(producer, part(400));
    assert_eq!(bench.hear(ticket), refused(Refusal::TooLarge), "nothing begins");
    let ticket = bench.add_part(producer, part(200));
    assert_eq!(bench.hear(ticket), refused(Refusal::NoRoom));
    // The beginning is refused by the disk: nothing is held.
    let ticket = bench.add_part(producer, part(100));
    let beside = bench.add_part(producer, part(10));
    bench.store(false);
    assert_eq!(bench.hear(ticket), refused(Refusal::NotStored));
    assert_eq!(bench.hear(beside), refused(Refusal::NoRoom));
    assert_eq!(bench.transactions.held_bytes(), 0);
    for (bytes, answer) in
        [(20, Answer::Done), (20, Answer::Done), (21, Answer::Done), (22, refused(Refusal::NoRoom))]
    {
        let ticket = bench.add_part(producer, part(bytes));
        assert_eq!(bench.hear(ticket), answer, "{bytes}");
    }
    assert_eq!(bench.transactions.held_bytes(), 2 * 128 + 41);
    let ticket = bench.end(producer, false);
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert_eq!(bench.transactions.held_bytes(), 0);
}

#[test]
fn where_there_are_as_many_ids_as_may_be_the_one_used_longest_ago_goes() {
    let mut bench = Bench::with(Limits { ids_max: 1, ..Limits::default() });
    let producer = bench.started(None);
    let start = Start { timeout_ms: 1, known: None, fresh: Some(9) };
    let other = |bench: &mut Bench, number| {
        let ticket = Ticket(number);
        bench.transactions.start(&"another".into(), ticket, start, bench.now);
        bench.pass(0);
        bench.hear(ticket)
    };
    bench.begun(producer, &[1]);
    assert_eq!(other(&mut bench, 98), refused(Refusal::Full), "it is in use");
    let ticket = bench.end(producer, true);
    assert_eq!(bench.hear(ticket), Answer::Done);
    let next = Producer { id: 9, epoch: 0 };
    assert_eq!(other(&mut bench, 99), Answer::Producer(next));
    assert!(!bench.transactions.has_number(producer.id) && bench.transactions.has_number(9));
}

#[test]
fn an_id_that_nobody_uses_is_forgotten() {
    let mut bench = Bench::with(Limits { retention_ms: 1000, ..Limits::default() });
    let producer = bench.started(None);
    bench.begun(producer, &[1]);
    bench.now.wall_ms += 5000;
    bench.transactions.expire(bench.now);
    assert_eq!(bench.produce(producer, 2), Ok(()), "it is in use");
    let ticket = bench.end(producer, true);
    assert_eq!(bench.hear(ticket), Answer::Done);
    bench.transactions.expire(bench.now);
    assert!(!bench.transactions.needs_number(&id()));
    bench.now.wall_ms += 1000;
    bench.transactions.expire(bench.now);
    bench.pass(0);
    bench.settle();
    assert!(bench.transactions.needs_number(&id()) && !bench.transactions.has_number(producer.id));
    bench.crash(0);
    assert!(bench.transactions.needs_number(&id()));
}

#[test]
fn tools_are_told_how_far_an_id_is_and_where_it_writes() {
    let mut bench = Bench::new();
    let told = |bench: &Bench| bench.transactions.describe(&id()).expect("it is known");
    assert!(bench.transactions.describe(&id()).is_none());
    let producer = bench.started(None);
    assert_eq!((told(&bench).state, told(&bench).producer), ("Empty", producer));
    bench.begun(producer, &[1]);
    let open = told(&bench);
    assert_eq!((open.state, open.partitions), ("Ongoing", BTreeSet::from([HERE])));
    assert_eq!((open.since_ms, open.timeout_ms.try_into()), (Some(1), Ok(TIMEOUT_MS)));
    let ticket = bench.end(producer, true);
    assert_eq!(told(&bench).state, "PrepareCommit");
    assert_eq!(bench.hear(ticket), Answer::Done);
    let committed = told(&bench);
    assert_eq!((committed.state, committed.since_ms), ("CompleteCommit", None));
    assert!(committed.partitions.is_empty());
    bench.begun(producer, &[2]);
    let ticket = bench.end(producer, false);
    assert_eq!(bench.hear(ticket), Answer::Done);
    assert_eq!(told(&bench).state, "CompleteAbort");
    bench.begun(producer, &[3]);
    bench.crash(0);
    assert_eq!(told(&bench).state, "CompleteAbort", "what was open then is gone");
    assert_eq!(bench.transactions.list(), [(id(), told(&bench))]);
}
