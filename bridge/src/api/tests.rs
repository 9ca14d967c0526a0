//! Claims about all APIs at once, and about those that read and write the log.

mod bench;
mod fetching;
mod in_transactions;
pub(crate) mod open;
mod rights;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
    FetchRequest, FetchResponse, GroupId, ListGroupsResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use tidewire_proto::record::{Batch, BatchBuilder, Compression, Header, Repacker};

use crate::text::spoken;
use crate::versions::APIS;
use crate::wire::{Answer, Refusal};

use bench::{Bench, batch, frame};

#[test]
fn every_version_of_every_api_is_answered() {
    let bench = Bench::new();
    for api in APIS {
        for version in api.lowest..=api.advertised.1 {
            for elements in 0..3 {
                let answered = bench.answer(&frame(api, version, elements));
                assert!(!answered.chunks.is_empty(), "{:?} {version}", api.key);
            }
        }
    }
}

#[test]
fn a_batch_that_comes_again_is_appended_once() {
    let bench = Bench::new();
    let send = |sequence| {
        let answer = bench.produce(batch("a/b", 3, Some((1000, 0, sequence))));
        (answer.error_code, answer.base_offset)
    };
    assert_eq!(send(0), (0, 0));
    assert_eq!(send(3), (0, 3));
    assert_eq!(send(0), (0, 0));
    assert_eq!(send(3), (0, 3));
    assert_eq!(send(9), (ResponseError::OutOfOrderSequenceNumber.code(), -1));
    assert_eq!(bench.fetch(12, 0, 1 << 20, 0).high_watermark, 6);
}

/// One record whose header is so long, packed.
fn packed(header_bytes: usize, compression: Compression) -> Bytes {
    let mut builder = BatchBuilder::new();
    let value = vec![0; header_bytes];
    builder.push(1, Some(b"a"), None, &[Header { key: b"h", value: Some(&value) }]);
    let batch = builder.finish();
    let mut packer = Repacker::new(0);
    assert!(packer.push(0, &batch.records().next().unwrap()));
    packer.finish(1, compression, false).unwrap()
}

#[test]
fn headers_of_packed_records_count_and_nothing_is_looked_at_behind_what_was_too_much() {
    let bench = Bench::new();
    let large = packed(20 << 20, Compression::Zstd);
    assert!(large.len() < 1 << 16, "a bomb");
    let small = packed(10, Compression::None);
    let answers = bench.produce_all(vec![large.clone(), large.clone(), small.clone()]);
    let errors: Vec<i16> = answers.iter().map(|answer| answer.error_code).collect();
    let not_now = ResponseError::KafkaStorageError.code();
    assert_eq!(errors, [0, not_now, not_now], "they come again");
    // It was unpacked, who knows how far.
    let damaged = mispacked(&large);
    let errors =
        bench.produce_all(vec![damaged, small]).into_iter().map(|answer| answer.error_code);
    assert_eq!(errors.collect::<Vec<_>>(), [ResponseError::CorruptMessage.code(), not_now]);
}

#[test]
fn what_is_to_be_retained_counts_in_every_form_in_which_it_is_held() {
    let bench = Bench::new();
    let send = |value: usize, is_retained: &[u8]| {
        let mut builder = BatchBuilder::new();
        let header = Header { key: b"mqtt.retain", value: Some(is_retained) };
        builder.push(1, Some(b"a"), Some(&vec![0; value]), &[header]);
        bench.produce(builder.finish().bytes().clone()).error_code
    };
    assert_eq!(send(12 << 20, b"0"), 0);
    assert_eq!(send(12 << 20, b"1"), ResponseError::MessageTooLarge.code());
    assert_eq!(send(8 << 20, b"1"), 0);
}

/// A batch that says that it is packed, and is not.
fn mispacked(batch: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    bytes[21..23].copy_from_slice(&1_u16.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

#[test]
fn a_batch_with_a_record_that_is_no_message_is_refused_as_a_whole_and_explained() {
    let bench = Bench::new();
    let answer = bench.produce(batch("no/+/topic", 2, None));
    assert_eq!(answer.error_code, ResponseError::InvalidRecord.code());
    let wrong: Vec<i32> = answer.record_errors.iter().map(|error| error.batch_index).collect();
    assert_eq!(wrong, [0, 1]);
    let damaged = batch("a", 1, None).slice(..70);
    assert_eq!(bench.produce(damaged).error_code, ResponseError::CorruptMessage.code());
    assert_eq!(bench.fetch(12, 0, 1 << 20, 0).high_watermark, 0);
}

#[test]
fn what_lies_in_the_log_is_fetched_in_every_version_and_within_its_limits() {
    let bench = Bench::new();
    for _ in 0..10 {
        assert_eq!(bench.produce(batch("a/b", 50, None)).error_code, 0);
    }
    for version in 4..=17 {
        let fetched = bench.fetch(version, 60, 1 << 20, 0);
        let records = fetched.records.expect("there are records");
        assert_eq!((fetched.error_code, fetched.high_watermark), (0, 500), "{version}");
        // The batch that holds the offset comes whole.
        assert_eq!(Batch::base_offset_in(&records), Some(50), "{version}");
    }
    let one = bench.fetch(12, 0, 1, 0).records.expect("one batch comes however large");
    assert_eq!(Batch::bytes_needed(&one), Ok(one.len()));
    let two = bench.fetch(12, 0, i32::try_from(2 * one.len() + 1).unwrap(), 0);
    assert_eq!(two.records.map(|two| two.len()), Some(2 * one.len()));
    for (offset, error) in [(501, 1), (-1, 1), (500, 0)] {
        assert_eq!(bench.fetch(12, offset, 1 << 20, 0).error_code, error, "{offset}");
    }
}

#[test]
fn who_is_named_often_is_answered_once() {
    let bench = Bench::new();
    let name = GroupId(StrBytes::from_static_str("team"));
    let topic = TopicName(StrBytes::from_static_str("mqtt"));
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(7);
    let committed = OffsetCommitRequestTopic::default()
        .with_name(topic.clone())
        .with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(name.clone())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![committed]);
    let response: OffsetCommitResponse = bench.call(&request, 8);
    assert_eq!(response.topics[0].partitions[0].error_code, 0);

    let request = DescribeGroupsRequest::default().with_groups(vec![name.clone(); 1000]);
    let response: DescribeGroupsResponse = bench.call(&request, 5);
    assert_eq!((response.groups.len(), response.groups[0].error_code), (1, 0));
    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![name.clone(); 1000]);
    let response: ConsumerGroupDescribeResponse = bench.call(&request, 1);
    assert_eq!(response.groups.len(), 1);
    let wanted =
        OffsetFetchRequestTopics::default().with_name(topic).with_partition_indexes(vec![0; 1000]);
    let group =
        OffsetFetchRequestGroup::default().with_group_id(name).with_topics(Some(vec![wanted; 10]));
    let request = OffsetFetchRequest::default().with_groups(vec![group; 3]);
    let response: OffsetFetchResponse = bench.call(&request, 8);
    assert_eq!((response.groups.len(), response.groups[0].topics.len()), (1, 1));
    let partitions = &response.groups[0].topics[0].partitions;
    assert_eq!((partitions.len(), partitions[0].committed_offset), (1, 7));
}

#[test]
fn an_answer_that_would_be_too_long_is_not_encoded() {
    let group = ListedGroup::default().with_group_id(GroupId(spoken(&"g".repeat(32_000))));
    let long = ListGroupsResponse::default().with_groups(vec![group; 2100]);
    assert_eq!(Answer::of(&long, 4, 1).err(), Some(Refusal::Internal));
}

#[test]
fn a_partition_that_a_fetch_names_often_is_read_once() {
    let bench = Bench::new();
    assert_eq!(bench.produce(batch("a/b", 50, None)).error_code, 0);
    let partition = FetchPartition::default().with_partition(1).with_partition_max_bytes(1 << 20);
    let fetched = bench.fetch_all(12, vec![partition; 100], 1, 0);
    let errors: Vec<i16> = fetched.iter().map(|it| it.error_code).collect();
    assert_eq!((errors.len(), errors[0]), (100, 0));
    let refused = ResponseError::InvalidRequest.code();
    assert!(errors[1..].iter().all(|error| *error == refused));
}

#[test]
fn a_fetch_whose_answer_is_full_does_not_wait_for_the_bytes_it_asks_for() {
    let bench = Bench::new();
    for _ in 0..2 {
        assert_eq!(bench.produce(batch("a/b", 50, None)).error_code, 0);
    }
    let began = std::time::Instant::now();
    let partition = FetchPartition::default().with_partition(1).with_partition_max_bytes(1);
    let fetched = bench.fetch_all(12, vec![partition.clone()], 1 << 20, 120_000).remove(0);
    assert!(fetched.records.is_some_and(|records| !records.is_empty()));
    assert!(began.elapsed() < Duration::from_secs(60), "there is more, and it does not fit");
    let began = std::time::Instant::now();
    let last = partition.with_fetch_offset(50);
    bench.fetch_all(12, vec![last], 1 << 20, 100);
    assert!(began.elapsed() >= Duration::from_millis(100), "more may come");
}

#[test]
fn a_fetch_at_the_end_waits_its_time_and_no_longer() {
    let bench = Bench::new();
    let began = std::time::Instant::now();
    let fetched = bench.fetch(12, 0, 1 << 20, 100);
    assert_eq!(fetched.records.map(|records| records.len()), Some(0));
    assert!((100..60_000).contains(&began.elapsed().as_millis()));
}

/// One Fetch in a session: id and epoch, offsets wanted by partition, partitions forgotten. Gives
/// the error, the session, and of each partition in the answer its number and how many bytes came.
fn fetch_in(
    bench: &Bench,
    version: i16,
    (id, epoch): (i32, i32),
    wanted: &[(i32, i64)],
    forgotten: &[i32],
) -> (i16, i32, Vec<(i32, usize)>) {
    let name = || TopicName(StrBytes::from_static_str("mqtt"));
    let topic_id = bench.context.topics().named("mqtt").unwrap().1;
    let (topic, gone) = match version {
        13.. => (
            FetchTopic::default().with_topic_id(topic_id),
            ForgottenTopic::default().with_topic_id(topic_id),
        ),
        _ => {
            (FetchTopic::default().with_topic(name()), ForgottenTopic::default().with_topic(name()))
        }
    };
    let partition = |&(index, offset): &(i32, i64)| {
        let partition = FetchPartition::default().with_partition(index).with_fetch_offset(offset);
        partition.with_partition_max_bytes(1 << 20)
    };
    let topics = vec![topic.with_partitions(wanted.iter().map(partition).collect())];
    let request = FetchRequest::default()
        .with_max_bytes(1 << 20)
        .with_session_id(id)
        .with_session_epoch(epoch)
        .with_topics(if wanted.is_empty() { Vec::new() } else { topics })
        .with_forgotten_topics_data(match forgotten {
            [] => Vec::new(),
            _ => vec![gone.with_partitions(forgotten.to_vec())],
        });
    let answer: FetchResponse = bench.call(&request, version);
    let bytes = |it: &PartitionData| it.records.as_ref().map_or(0, Bytes::len);
    let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
    let partitions = partitions.map(|it| (it.partition_index, bytes(it))).collect();
    (answer.error_code, answer.session_id, partitions)
}

#[test]
fn a_fetch_session_tells_of_partitions_with_news_only() {
    for version in [7, 12, 13, 17] {
        let bench = Bench::new();
        let all = [(0, 0), (1, 0), (2, 0)];
        let (error, id, told) = fetch_in(&bench, version, (0, 0), &all, &[]);
        assert_eq!((error, told), (0, vec![(0, 0), (1, 0), (2, 0)]), "first all are told");
        assert_ne!(id, 0);
        assert_eq!(fetch_in(&bench, version, (id, 1), &[], &[]), (0, id, vec![]));
        bench.produce(batch("a", 3, None));
        let (_, _, told) = fetch_in(&bench, version, (id, 2), &[], &[]);
        assert!(matches!(*told, [(1, 1..)]), "{told:?} at version {version}");
        let (_, _, told) = fetch_in(&bench, version, (id, 3), &[(1, 3)], &[]);
        assert_eq!(told, [], "it has read to the end, and knows where that is");
        let (_, _, told) = fetch_in(&bench, version, (id, 4), &[(1, 0)], &[2]);
        assert!(matches!(*told, [(1, 1..)]), "it reads again");
        assert_eq!(fetch_in(&bench, version, (id, 4), &[], &[]), (71, 0, vec![]), "a repeat");
        assert_eq!(fetch_in(&bench, version, (id + 1, 5), &[], &[]), (70, 0, vec![]));
        let (error, none, told) = fetch_in(&bench, version, (id, -1), &all, &[]);
        assert_eq!((error, none, told.len()), (0, 0, 3), "it ends, with one whole answer");
        assert_eq!(fetch_in(&bench, version, (id, 5), &[], &[]), (70, 0, vec![]));
        let many: Vec<(i32, i64)> = (0..11).map(|index| (index, 0)).collect();
        assert_eq!(fetch_in(&bench, version, (0, 0), &many, &[]).1, 0, "no room for so many");
    }
}

#[test]
fn topics_are_described_in_pages_and_in_their_order() {
    let bench = Bench::new();
    let page = |names: &[&str], limit: i32, from: Option<(&'static str, i32)>| {
        let topic = |name: &&str| TopicRequest::default().with_name(topic_name(name));
        let cursor = from.map(|(name, index)| {
            Cursor::default().with_topic_name(topic_name(name)).with_partition_index(index)
        });
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(names.iter().map(topic).collect())
            .with_response_partition_limit(limit)
            .with_cursor(cursor);
        let answer: DescribeTopicPartitionsResponse = bench.call(&request, 0);
        let topics = answer.topics.iter().map(|topic| {
            let name = topic.name.as_ref().unwrap().to_string();
            (
                name,
                topic.error_code,
                topic.partitions.iter().map(|it| it.partition_index).collect::<Vec<_>>(),
            )
        });
        let next = answer.next_cursor.map(|it| (it.topic_name.to_string(), it.partition_index));
        (topics.collect::<Vec<_>>(), next)
    };
    let mqtt = |indexes: &[i32]| ("mqtt".to_owned(), 0, indexes.to_vec());
    assert_eq!(page(&[], 2000, None), (vec![mqtt(&[0, 1, 2, 3])], None));
    assert_eq!(page(&[], 3, None), (vec![mqtt(&[0, 1, 2])], Some(("mqtt".to_owned(), 3))));
    assert_eq!(page(&[], 3, Some(("mqtt", 3))), (vec![mqtt(&[3])], None));
    let unknown = ("a".to_owned(), 3, Vec::new());
    let both = page(&["mqtt", "a", "a"], 1, None);
    assert_eq!(both, (vec![unknown], Some(("mqtt".to_owned(), 0))));
    assert_eq!(page(&["mqtt"], -5, Some(("mqtt", 99))), (vec![mqtt(&[])], None));
}

fn topic_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
