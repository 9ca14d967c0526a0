//! Claims about all APIs at once, and about those that read and write the log.

mod open;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
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
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ConsumerGroupDescribeRequest,
    ConsumerGroupDescribeResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, EndTxnRequest, EndTxnResponse,
    FetchRequest, FetchResponse, GroupId, InitProducerIdRequest, InitProducerIdResponse,
    ListGroupsResponse, OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest,
    OffsetFetchResponse, ProduceRequest, ProduceResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder, Compression, Header, Repacker};
use tidewire_store::{RealDisk, Store, StoreOptions};
use tokio::runtime::Runtime;

use super::{Ends, Incoming, admit, begin};
use crate::Door;
use crate::context::Context;
use crate::guard::sample;
use crate::text::spoken;
use crate::versions::{APIS, Api};
use crate::wire::{Answer, Refusal};

use open::options;

/// A port without a socket.
struct Bench {
    context: Rc<Context>,
    runtime: Runtime,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path().join("data")));
        let (store, _) = Store::open(disk, StoreOptions::default()).unwrap();
        let doors = vec![Door { listener: "kafka", advertised: None, takes_anonymous: true }];
        let context = Rc::new(Context::new(store, options(), doors, "test".into()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { context, runtime, _folder: folder }
    }

    fn partition(&self) -> PartitionId {
        self.context.topics().named("mqtt").unwrap().0.partitions[1]
    }

    fn answer(&self, frame: &Bytes) -> Answer {
        let here = "127.0.0.1:9092".parse().unwrap();
        let admitted = admit(frame, Ends { local: here, peer: here, door: 0 }, &Rc::default());
        let Ok(Incoming::Request(request)) = admitted else { panic!("it is not admitted") };
        let answered = self.runtime.block_on(async {
            tokio::select! {
                answered = begin(Rc::clone(&self.context), request) => answered,
                () = self.context.run() => panic!("groups are at an end"),
            }
        });
        answered.unwrap_or_else(|refusal| panic!("{frame:?} is answered {refusal:?}"))
    }

    fn call<Q, A>(&self, request: &Q, version: i16) -> A
    where
        Q: Request + Encodable,
        A: Decodable + HeaderVersion,
    {
        let mut frame = head(Q::KEY, version, Q::header_version(version) > 1);
        request.encode(&mut frame, version).unwrap();
        let mut answer = Bytes::from(self.answer(&frame.freeze()).chunks.concat());
        assert_eq!(usize::try_from(answer.get_i32()).unwrap(), answer.len());
        assert_eq!(answer.get_i32(), 7);
        if A::header_version(version) > 0 {
            assert_eq!(answer.get_u8(), 0);
        }
        let decoded = A::decode(&mut answer, version).unwrap();
        assert!(answer.is_empty(), "{} bytes are left", answer.len());
        decoded
    }

    /// A producer of transactions that may write to partition 1.
    fn transactional(&self) -> (i64, i16) {
        let start = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(spoken("line"))))
            .with_transaction_timeout_ms(60_000);
        let started: InitProducerIdResponse = self.call(&start, 4);
        assert_eq!(started.error_code, 0);
        self.begin((started.producer_id.0, started.producer_epoch))
    }

    fn begin(&self, (id, epoch): (i64, i16)) -> (i64, i16) {
        let topic = AddPartitionsToTxnTopic::default()
            .with_name(TopicName(spoken("mqtt")))
            .with_partitions(vec![1]);
        let add = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(TransactionalId(spoken("line")))
            .with_v3_and_below_producer_id(ProducerId(id))
            .with_v3_and_below_producer_epoch(epoch)
            .with_v3_and_below_topics(vec![topic]);
        let added: AddPartitionsToTxnResponse = self.call(&add, 3);
        let topic = &added.results_by_topic_v3_and_below[0];
        assert_eq!(topic.results_by_partition[0].partition_error_code, 0);
        (id, epoch)
    }

    fn end(&self, (id, epoch): (i64, i16), committed: bool) -> i16 {
        let end = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(spoken("line")))
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_committed(committed);
        self.call::<_, EndTxnResponse>(&end, 3).error_code
    }

    fn produce(&self, records: Bytes) -> PartitionProduceResponse {
        self.produce_all(vec![records]).remove(0)
    }

    fn produce_all(&self, batches: Vec<Bytes>) -> Vec<PartitionProduceResponse> {
        let data = |records| PartitionProduceData::default().with_index(1).with_records(records);
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_static_str("mqtt")))
            .with_partition_data(batches.into_iter().map(|it| data(Some(it))).collect());
        let request = ProduceRequest::default().with_acks(-1).with_topic_data(vec![topic]);
        let mut response: ProduceResponse = self.call(&request, 9);
        response.responses.remove(0).partition_responses
    }

    fn fetch(&self, version: i16, offset: i64, bytes_max: i32, wait_ms: i32) -> PartitionData {
        let partition = FetchPartition::default()
            .with_partition(1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(bytes_max);
        self.fetch_all(version, vec![partition], 1, wait_ms).remove(0)
    }

    fn fetch_all(
        &self,
        version: i16,
        partitions: Vec<FetchPartition>,
        bytes_min: i32,
        wait_ms: i32,
    ) -> Vec<PartitionData> {
        let topic = FetchTopic::default().with_partitions(partitions);
        let topic = match version {
            13.. => topic.with_topic_id(self.context.topics().named("mqtt").unwrap().1),
            _ => topic.with_topic(TopicName(StrBytes::from_static_str("mqtt"))),
        };
        let request = FetchRequest::default()
            .with_max_wait_ms(wait_ms)
            .with_min_bytes(bytes_min)
            .with_max_bytes(1 << 20)
            .with_topics(vec![topic]);
        let mut response: FetchResponse = self.call(&request, version);
        response.responses.remove(0).partitions
    }
}

fn head(key: i16, version: i16, is_flexible: bool) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(key);
    frame.put_i16(version);
    frame.put_i32(7);
    frame.put_i16(2);
    frame.put_slice(b"me");
    if is_flexible {
        frame.put_u8(0);
    }
    frame
}

fn frame(api: &Api, version: i16, elements: usize) -> Bytes {
    let mut frame = head(api.key as i16, version, api.is_flexible(version));
    frame.put_slice(&sample::write(api.shape, version, elements));
    frame.freeze()
}

/// A batch as a producer sends it, from the producer of this number, if any.
fn batch(topic: &str, records: i32, sender: Option<(i64, i16, i32)>) -> Bytes {
    let mut builder = BatchBuilder::new();
    for n in 0..records {
        builder.push(n.into(), Some(topic.as_bytes()), Some(&[7; 100]), &[]);
    }
    let mut bytes = BytesMut::from(&builder.finish().bytes()[..]);
    if let Some((id, epoch, sequence)) = sender {
        bytes[43..51].copy_from_slice(&id.to_be_bytes());
        bytes[51..53].copy_from_slice(&epoch.to_be_bytes());
        bytes[53..57].copy_from_slice(&sequence.to_be_bytes());
    }
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// The same as a part of a transaction.
fn in_transaction(batch: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    bytes[22] |= 1 << 4;
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

#[test]
fn what_a_transaction_holds_is_read_when_it_is_committed_and_not_before() {
    let bench = Bench::new();
    let (id, epoch) = bench.transactional();
    let end = |bench: &Bench| bench.context.store.bounds(bench.partition()).unwrap().1;
    for (sequence, topic) in [(0, "a"), (5, "b"), (0, "a")] {
        let records = in_transaction(&batch(topic, 5, Some((id, epoch, sequence))));
        let answer = bench.produce(records);
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
    let told = |sender| bench.produce(in_transaction(&batch("a", 1, sender))).error_code;
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
        ResponseError::try_from_code(bench.produce(records).error_code)
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
