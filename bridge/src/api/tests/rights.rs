//! Claims about what is told to who may do less than everything, and to who asks for no answer.

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse,
    ProduceRequest, TopicName,
};

use super::bench::{Bench, batch, framed};
use crate::text::spoken;
use crate::wire::Refusal;

fn commit(bench: &Bench) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
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
    assert_eq!(commit(&bench), denied);
    bench.is_asked_by("ann");
    assert_eq!(committed(&bench, true), [(0, -1)], "what was refused is not there");
    assert_eq!(commit(&bench), 0);
    for (user, named, all) in [("ann", (0, 7), vec![(0, 7)]), ("bob", (denied, -1), vec![])] {
        bench.is_asked_by(user);
        assert_eq!(committed(&bench, true), [named], "{user}");
        assert_eq!(committed(&bench, false), all, "{user}");
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
