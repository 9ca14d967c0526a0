//! Claims about what is told to who may do less than everything, and to who asks for no answer.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, GroupId, OffsetCommitRequest, OffsetCommitResponse,
    OffsetDeleteRequest, OffsetDeleteResponse, OffsetFetchRequest, OffsetFetchResponse,
    ProduceRequest, TopicName, TransactionalId,
};

use super::bench::{Bench, batch, framed};
use crate::text::spoken;
use crate::wire::Refusal;

fn commit(bench: &Bench, index: i32) -> i16 {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(index)
        .with_committed_offset(7);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(spoken("mqtt")))
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(spoken("team")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let answer: OffsetCommitResponse = bench.call(&request, 8);
    answer.topics[0].partitions[0].error_code
}

/// Of each topic that the answer names: error and offset.
fn committed(bench: &Bench, names_it: bool) -> Vec<(i16, i64)> {
    let topic = OffsetFetchRequestTopics::default()
        .with_name(TopicName(spoken("mqtt")))
        .with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(GroupId(spoken("team")))
        .with_topics(names_it.then(|| vec![topic]));
    let request = OffsetFetchRequest::default().with_groups(vec![group]);
    let answer: OffsetFetchResponse = bench.call(&request, 8);
    assert_eq!(answer.groups[0].error_code, 0);
    let topics = answer.groups[0].topics.iter();
    topics.map(|it| (it.partitions[0].error_code, it.partitions[0].committed_offset)).collect()
}

#[test]
fn offsets_of_a_topic_are_for_who_may_read_it() {
    let rules = "allow user=ann kafka-read #\nallow everyone kafka-group team";
    let bench = Bench::ruled(rules);
    let denied = ResponseError::TopicAuthorizationFailed.code();
    bench.is_asked_by("bob");
    assert_eq!(commit(&bench, 0), denied);
    bench.is_asked_by("ann");
    assert_eq!(committed(&bench, true), [(0, -1)], "what was refused is not there");
    assert_eq!(commit(&bench, 0), 0);
    for (user, named, all) in [("ann", (0, 7), vec![(0, 7)]), ("bob", (denied, -1), vec![])] {
        bench.is_asked_by(user);
        assert_eq!(committed(&bench, true), [named], "{user}");
        assert_eq!(committed(&bench, false), all, "{user}");
    }
}

#[test]
fn who_may_not_read_a_topic_throws_no_offset_of_it_away() {
    let rules = "allow user=ann kafka-read #\nallow everyone kafka-group team";
    let bench = Bench::ruled(rules);
    bench.is_asked_by("ann");
    assert_eq!(commit(&bench, 0), 0);
    let topic = OffsetDeleteRequestTopic::default()
        .with_name(TopicName(spoken("mqtt")))
        .with_partitions(vec![OffsetDeleteRequestPartition::default()]);
    let request = OffsetDeleteRequest::default()
        .with_group_id(GroupId(spoken("team")))
        .with_topics(vec![topic]);
    let denied = ResponseError::TopicAuthorizationFailed.code();
    for (user, expected, left) in [("bob", denied, 7), ("ann", 0, -1)] {
        bench.is_asked_by(user);
        let answer: OffsetDeleteResponse = bench.call(&request, 0);
        assert_eq!(answer.error_code, 0, "{user} may use the group");
        assert_eq!(answer.topics[0].partitions[0].error_code, expected, "{user}");
        bench.is_asked_by("ann");
        assert_eq!(committed(&bench, true), [(0, left)], "{user}");
    }
}

fn add(bench: &Bench, index: i32) -> i16 {
    let topic = AddPartitionsToTxnTopic::default()
        .with_name(TopicName(spoken("mqtt")))
        .with_partitions(vec![index]);
    let request = AddPartitionsToTxnRequest::default()
        .with_v3_and_below_transactional_id(TransactionalId(spoken("line")))
        .with_v3_and_below_topics(vec![topic]);
    let answer: AddPartitionsToTxnResponse = bench.call(&request, 3);
    let topic = &answer.results_by_topic_v3_and_below[0];
    topic.results_by_partition[0].partition_error_code
}

#[test]
fn who_may_not_use_a_group_or_an_id_does_not_hear_which_partitions_there_are() {
    let bench = Bench::ruled("allow user=ann any #");
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    bench.is_asked_by("ann");
    assert_eq!([commit(&bench, 99), add(&bench, 99)], [unknown; 2]);
    bench.is_asked_by("eve");
    let group = ResponseError::GroupAuthorizationFailed.code();
    let id = ResponseError::TransactionalIdAuthorizationFailed.code();
    for index in [0, 99] {
        assert_eq!([commit(&bench, index), add(&bench, index)], [group, id], "{index}");
    }
}

#[test]
fn who_may_write_nothing_into_a_stream_has_no_transaction_there() {
    let rules = "allow everyone kafka-transaction line\nallow user=ann kafka-write a/b";
    let bench = Bench::ruled(rules);
    bench.is_asked_by("eve");
    let denied = ResponseError::TopicAuthorizationFailed.code();
    assert_eq!([add(&bench, 0), add(&bench, 99)], [denied; 2]);
    bench.is_asked_by("ann");
    assert_eq!(add(&bench, 99), ResponseError::UnknownTopicOrPartition.code());
    let of_id = ResponseError::InvalidProducerIdMapping.code();
    assert_eq!(add(&bench, 0), of_id, "nobody has begun to use it");
}

#[test]
fn a_member_of_a_group_is_told_of_streams_that_it_may_see() {
    let rules = "allow user=ann kafka-read #\nallow everyone kafka-group team";
    let bench = Bench::ruled(rules);
    let denied = ResponseError::TopicAuthorizationFailed.code();
    let topics = |names: &[&str]| names.iter().map(|name| TopicName(spoken(name))).collect();
    for (user, names, error, told) in [
        ("bob", &["mqtt"][..], denied, 0),
        ("bob", &["nowhere"], 0, 0),
        ("ann", &["nowhere", "mqtt"], 0, 4),
    ] {
        bench.is_asked_by(user);
        let request = ConsumerGroupHeartbeatRequest::default()
            .with_group_id(GroupId(spoken("team")))
            .with_member_id(spoken("one"))
            .with_rebalance_timeout_ms(1_000)
            .with_subscribed_topic_names(Some(topics(names)))
            .with_topic_partitions(Some(Vec::new()));
        let answer: ConsumerGroupHeartbeatResponse = bench.call(&request, 1);
        let topics = answer.assignment.iter().flat_map(|it| &it.topic_partitions);
        let partitions: usize = topics.map(|topic| topic.partitions.len()).sum();
        assert_eq!((answer.error_code, partitions), (error, told), "{user} {names:?}");
    }
}

#[test]
fn nothing_is_looked_into_for_who_may_write_nothing() {
    let bench = Bench::ruled("allow user=ann kafka-write a/b");
    let mut damaged = BytesMut::from(&batch("a/b", 1, None)[..]);
    damaged[70] ^= 1;
    let damaged = damaged.freeze();
    let denied = ResponseError::TopicAuthorizationFailed.code();
    for (user, expected) in [("ann", ResponseError::CorruptMessage.code()), ("eve", denied)] {
        bench.is_asked_by(user);
        assert_eq!(bench.produce(damaged.clone()).error_code, expected, "{user}");
    }
}

/// A Produce that asks for no answer.
fn unanswered(bench: &Bench, records: Bytes) -> Result<usize, Refusal> {
    let data = PartitionProduceData::default().with_index(1).with_records(Some(records));
    let topic = TopicProduceData::default()
        .with_name(TopicName(spoken("mqtt")))
        .with_partition_data(vec![data]);
    let request = ProduceRequest::default().with_acks(0).with_topic_data(vec![topic]);
    let answered = bench.answered(&framed(&request, 9), std::future::ready(()));
    answered.map(|answer| answer.chunks.concat().len())
}

#[test]
fn who_asks_for_no_answer_is_closed_when_what_it_wrote_is_not_taken() {
    let bench = Bench::new();
    assert_eq!(unanswered(&bench, batch("a/b", 1, None)), Ok(0));
    assert_eq!(unanswered(&bench, batch("no/+/topic", 1, None)), Err(Refusal::NotTaken));
    assert_eq!(bench.context.store.bounds(bench.partition()).unwrap().1, 1);
}
