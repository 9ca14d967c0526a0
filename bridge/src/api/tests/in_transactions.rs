//! Claims about what belongs to a transaction: who may say so, and when it is there.

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, FindCoordinatorRequest,
    FindCoordinatorResponse, TransactionalId,
};
use tidewire_proto::record::Batch;

use super::bench::{Bench, batch, in_transaction};
use crate::text::spoken;

#[test]
fn what_a_transaction_holds_is_read_when_it_is_committed_and_not_before() {
    let bench = Bench::new();
    let (id, epoch) = bench.transactional();
    let end = |bench: &Bench| bench.context.store.bounds(bench.partition()).unwrap().1;
    for (sequence, topic) in [(0, "a"), (5, "b"), (0, "a")] {
        let records = in_transaction(&batch(topic, 5, Some((id, epoch, sequence))));
        let answer = bench.produce_as(Some("line"), vec![records]).remove(0);
        assert_eq!((answer.error_code, answer.base_offset), (0, -1), "{sequence}");
        assert_eq!(answer.log_append_time_ms, -1);
    }
    assert_eq!(end(&bench), 0);
    assert_eq!(bench.end((id, epoch), true), 0);
    assert_eq!(end(&bench), 10, "each batch once");
    let fetched = bench.fetch(12, 0, 1 << 20, 0);
    let records = fetched.records.unwrap();
    let (first, second) = records.split_at(Batch::bytes_needed(&records).unwrap());
    let [first, second] =
        [first, second].map(|it| Batch::parse(Bytes::copy_from_slice(it)).unwrap());
    assert_eq!(first.validate().and(second.validate()), Ok(()));
    assert!(first.base_timestamp() > 1_000_000 && !first.is_control());
    assert_eq!(bench.end((id, epoch), true), 0, "the answer was lost");
    assert_eq!(end(&bench), 10);
}

#[test]
fn a_batch_without_its_transaction_is_refused() {
    let bench = Bench::new();
    let invalid = ResponseError::InvalidTxnState.code();
    let told = |sender| {
        let records = in_transaction(&batch("a", 1, sender));
        bench.produce_as(Some("line"), vec![records]).remove(0).error_code
    };
    assert_eq!([Some((5, 0, 0)), None].map(told), [invalid; 2]);
    let (id, epoch) = bench.transactional();
    assert_eq!(bench.produce(batch("a", 1, Some((id, epoch, 0)))).error_code, invalid);
    assert_eq!(told(Some((id, epoch - 1, 0))), ResponseError::InvalidProducerEpoch.code());
    assert_eq!(bench.end((id, epoch), false), 0);
    assert_eq!(told(Some((id, epoch, 0))), invalid, "too late");
    assert_eq!(bench.end((id, epoch), true), invalid);
}

#[test]
fn what_comes_behind_a_batch_of_a_transaction_that_was_refused_is_refused_alike() {
    let bench = Bench::new();
    let who = bench.transactional();
    let send = |topic, sequence| {
        let records = in_transaction(&batch(topic, 2, Some((who.0, who.1, sequence))));
        let answer = bench.produce_as(Some("line"), vec![records]).remove(0);
        ResponseError::try_from_code(answer.error_code)
    };
    assert_eq!(send("a", 0), None);
    for (topic, sequence) in [("#", 2), ("a", 4), ("a", 8), ("a", 0)] {
        assert_eq!(send(topic, sequence), Some(ResponseError::InvalidRecord));
    }
    assert_eq!(bench.end(who, true), ResponseError::UnknownProducerId.code());
    let behind = Some(ResponseError::UnknownProducerId);
    for (sequence, expected) in [(8, behind), (0, behind), (10, None)] {
        assert_eq!(bench.end(who, false), 0);
        bench.begin(who);
        assert_eq!(send("a", sequence), expected, "no repeat");
    }
    assert_eq!(bench.end(who, true), 0);
    assert_eq!(bench.context.store.bounds(bench.partition()).unwrap().1, 2);
}

/// What somebody is told who writes into the transaction of `line`, naming an id or none.
fn told(bench: &Bench, id: Option<&str>, topic: &str, sender: (i64, i16, i32)) -> i16 {
    let records = in_transaction(&batch(topic, 5, Some(sender)));
    bench.produce_as(id, vec![records]).remove(0).error_code
}

#[test]
fn only_who_may_use_a_transactional_id_writes_into_its_transaction_or_spoils_it() {
    let rules = "allow user=wil kafka-write #\nallow user=wil kafka-transaction line\n\
                 allow user=bob kafka-write a\nallow user=bob kafka-transaction other";
    let bench = Bench::ruled(rules);
    bench.is_asked_by("wil");
    let (id, epoch) = bench.transactional();
    assert_eq!(told(&bench, Some("line"), "a", (id, epoch, 0)), 0);
    let denied = ResponseError::TransactionalIdAuthorizationFailed.code();
    let unknown = ResponseError::InvalidTxnState.code();
    let (topic_denied, invalid) =
        (ResponseError::TopicAuthorizationFailed.code(), ResponseError::InvalidRecord.code());
    for (user, named, topic, expected) in [
        ("bob", None, "a", denied),
        ("bob", None, "b", topic_denied),
        ("bob", None, "#", invalid),
        ("bob", Some("line"), "a", denied),
        ("bob", Some("other"), "a", unknown),
        ("bob", Some("other"), "b", topic_denied),
        ("eve", None, "a", topic_denied),
        ("eve", Some("line"), "a", denied),
        ("eve", None, "#", topic_denied),
    ] {
        bench.is_asked_by(user);
        let heard = told(&bench, named, topic, (id, epoch, 5));
        assert_eq!(heard, expected, "{user} {named:?} {topic}");
    }
    let alone = bench.produce(batch("a", 5, Some((id, epoch, 5)))).error_code;
    assert_eq!(alone, topic_denied);
    bench.is_asked_by("bob");
    let alone = bench.produce(batch("a", 5, Some((id, epoch, 5)))).error_code;
    assert_eq!(alone, unknown, "its number is that of a transactional id");
    bench.is_asked_by("wil");
    assert_eq!(told(&bench, Some("line"), "a", (id, epoch, 5)), 0);
    assert_eq!(bench.end((id, epoch), true), 0);
    assert_eq!(bench.context.store.bounds(bench.partition()).unwrap().1, 10);
}

#[test]
fn an_id_that_is_named_often_is_told_of_once() {
    let bench = Bench::new();
    bench.transactional();
    let ids = vec![TransactionalId(spoken("line")); 99_000];
    let request = DescribeTransactionsRequest::default().with_transactional_ids(ids);
    let told: DescribeTransactionsResponse = bench.call(&request, 0);
    let [state] = &told.transaction_states[..] else { panic!("one: {told:?}") };
    assert_eq!((state.error_code, &state.topics[0].partitions[..]), (0, &[1][..]));
    let request =
        FindCoordinatorRequest::default().with_coordinator_keys(vec![spoken("team"); 99_000]);
    let told: FindCoordinatorResponse = bench.call(&request, 4);
    assert_eq!((told.coordinators.len(), told.coordinators[0].error_code), (1, 0));
}
