//! A broker of somebody else's with one topic of two partitions, which keeps transactions as Kafka
//! does and answers wrongly when it is told to.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponsePartition, OffsetFetchResponseTopic,
};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, ApiKey,
    ApiVersionsResponse, BrokerId, EndTxnRequest, EndTxnResponse, FindCoordinatorResponse,
    InitProducerIdRequest, InitProducerIdResponse, MetadataResponse, OffsetFetchResponse,
    ProduceRequest, ProduceResponse, ProducerId, TopicName, TxnOffsetCommitRequest,
    TxnOffsetCommitResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::foreign::Foreign;
use crate::room::Room;
use crate::text::spoken;

const TOPIC: &str = "copy";
const PRODUCER: i64 = 7;

#[derive(Default)]
struct State {
    asked: Vec<ApiKey>,
    wrong: VecDeque<(ApiKey, i16)>,
    hangs_up: Option<ApiKey>,
    refused_record: Option<i32>,
    epoch: i16,
    /// Records that are committed, and those of the open transaction.
    records: usize,
    open: usize,
    mark: Option<(i64, String)>,
    open_mark: Option<(i64, String)>,
    /// The next number, by epoch and partition.
    sequences: HashMap<(i16, i32), i32>,
    /// Where a batch was refused: what was on its way behind it is refused too.
    spoiled: HashSet<(i16, i32)>,
    is_out_of_order: bool,
    /// A position is open of which only an abort knows.
    is_stuck: bool,
    /// So many requests, and then so many, are answered when all of them are there.
    together: VecDeque<usize>,
}

/// Answers until the test is over.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) port: u16,
    state: Rc<RefCell<State>>,
}

impl Fake {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = Self { port, state: Rc::default() };
        let serving = fake.clone();
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(serving.clone().serve(stream));
            }
        });
        fake
    }

    /// Once, in their order.
    pub(super) fn answers(&self, key: ApiKey, error: ResponseError) {
        self.state.borrow_mut().wrong.push_back((key, error.code()));
    }

    /// Does what it is asked for, once, and does not say so.
    pub(super) fn hangs_up_behind(&self, key: ApiKey) {
        self.state.borrow_mut().hangs_up = Some(key);
    }

    /// The next requests of a connection are answered by so many at once.
    pub(super) fn answers_together(&self, groups: &[usize]) {
        self.state.borrow_mut().together.extend(groups);
    }

    /// The next batch that has such a record is refused for it.
    pub(super) fn refuses_record(&self, at: i32) {
        self.state.borrow_mut().refused_record = Some(at);
    }

    /// From now on a position of a transaction of before holds up who asks for it.
    pub(super) fn forgets_an_open_position(&self) {
        self.state.borrow_mut().is_stuck = true;
    }

    pub(super) fn records(&self) -> usize {
        self.state.borrow().records
    }

    pub(super) fn is_in_order(&self) -> bool {
        !self.state.borrow().is_out_of_order
    }

    pub(super) fn asked(&self) -> Vec<ApiKey> {
        self.state.borrow().asked.clone()
    }

    async fn serve(self, mut stream: TcpStream) {
        let (mut held, mut count) = (BytesMut::new(), 0);
        while let Ok(length) = stream.read_i32().await {
            let mut frame = vec![0; usize::try_from(length).unwrap()];
            stream.read_exact(&mut frame).await.unwrap();
            let mut frame = Bytes::from(frame);
            let (key, version) = (ApiKey::try_from(frame.get_i16()).unwrap(), frame.get_i16());
            let correlation = frame.get_i32();
            let name = usize::try_from(frame.get_i16()).unwrap();
            frame.advance(name);
            let is_flexible = key == ApiKey::OffsetFetch;
            if is_flexible {
                assert_eq!(frame.get_u8(), 0);
            }
            let mut answer = BytesMut::new();
            answer.put_i32(0);
            answer.put_i32(correlation);
            if is_flexible {
                answer.put_u8(0);
            }
            self.state.borrow_mut().answer(self.port, (key, version), frame, &mut answer);
            let length = i32::try_from(answer.len() - 4).unwrap();
            answer[..4].copy_from_slice(&length.to_be_bytes());
            if self.state.borrow_mut().hangs_up.take_if(|it| *it == key).is_some() {
                return;
            }
            held.extend_from_slice(&answer);
            count += 1;
            if self.state.borrow().together.front().is_some_and(|size| *size != count) {
                continue;
            }
            self.state.borrow_mut().together.pop_front();
            if stream.write_all(&held).await.is_err() {
                return;
            }
            (held, count) = (BytesMut::new(), 0);
        }
    }
}

impl State {
    fn answer(&mut self, port: u16, (key, v): (ApiKey, i16), body: Bytes, out: &mut BytesMut) {
        self.asked.push(key);
        let wrong = self.wrong.iter().position(|(it, _)| *it == key);
        let code = wrong.and_then(|at| self.wrong.remove(at)).map_or(0, |(_, code)| code);
        match key {
            ApiKey::ApiVersions => versions().encode(out, v),
            ApiKey::Metadata => metadata(port, code).encode(out, v),
            ApiKey::FindCoordinator => FindCoordinatorResponse::default()
                .with_error_code(code)
                .with_node_id(BrokerId(1))
                .with_host(spoken("127.0.0.1"))
                .with_port(i32::from(port))
                .encode(out, v),
            ApiKey::InitProducerId => self.init(code, &read(body, v)).encode(out, v),
            ApiKey::OffsetFetch => self.offsets(code).encode(out, v),
            ApiKey::AddPartitionsToTxn => self.admit(code, &read(body, v)).encode(out, v),
            ApiKey::AddOffsetsToTxn => {
                AddOffsetsToTxnResponse::default().with_error_code(code).encode(out, v)
            }
            ApiKey::Produce => self.produce(code, &read(body, v)).encode(out, v),
            ApiKey::TxnOffsetCommit => self.mark(code, &read(body, v)).encode(out, v),
            ApiKey::EndTxn => self.end(code, &read(body, v)).encode(out, v),
            other => panic!("{other:?} was asked for"),
        }
        .unwrap();
    }

    /// Whoever had the id before is fenced; what was open is aborted.
    fn init(&mut self, code: i16, request: &InitProducerIdRequest) -> InitProducerIdResponse {
        if code == 0 {
            self.epoch += 1;
            if request.transactional_id.is_some() {
                (self.open, self.open_mark) = (0, None);
            }
        }
        InitProducerIdResponse::default()
            .with_error_code(code)
            .with_producer_id(ProducerId(PRODUCER))
            .with_producer_epoch(self.epoch)
    }

    fn fenced(&self, code: i16, epoch: i16) -> i16 {
        match code {
            0 if epoch != self.epoch => ResponseError::InvalidProducerEpoch.code(),
            code => code,
        }
    }

    fn admit(&self, code: i16, request: &AddPartitionsToTxnRequest) -> AddPartitionsToTxnResponse {
        let code = self.fenced(code, request.v3_and_below_producer_epoch);
        let topics = request.v3_and_below_topics.iter().map(|topic| {
            let partition = |index: &i32| {
                AddPartitionsToTxnPartitionResult::default()
                    .with_partition_index(*index)
                    .with_partition_error_code(code)
            };
            AddPartitionsToTxnTopicResult::default()
                .with_name(topic.name.clone())
                .with_results_by_partition(topic.partitions.iter().map(partition).collect())
        });
        AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect())
    }

    fn produce(&mut self, code: i16, request: &ProduceRequest) -> ProduceResponse {
        let is_transactional = request.transactional_id.is_some();
        let mut responses = Vec::new();
        for topic in &request.topic_data {
            let mut partitions = Vec::new();
            for data in &topic.partition_data {
                let records = data.records.clone().unwrap();
                let answer = self.append(data.index, (code, is_transactional), &records);
                partitions.push(answer.with_index(data.index));
            }
            let topic = TopicProduceResponse::default().with_name(topic.name.clone());
            responses.push(topic.with_partition_responses(partitions));
        }
        ProduceResponse::default().with_responses(responses)
    }

    fn append(
        &mut self,
        partition: i32,
        (code, is_transactional): (i16, bool),
        records: &Bytes,
    ) -> PartitionProduceResponse {
        let answer = PartitionProduceResponse::default();
        let batch = Foreign::open(records, &mut Room::new(usize::MAX)).unwrap();
        let sender = batch.sender.unwrap();
        assert_eq!((sender.id, batch.is_transactional), (PRODUCER, is_transactional));
        let code = self.fenced(code, sender.epoch);
        let place = (sender.epoch, partition);
        if code != 0 {
            self.spoiled.insert(place);
            return answer.with_error_code(code);
        }
        let count = i32::try_from(batch.batch.record_count()).unwrap();
        if let Some(at) = self.refused_record.take_if(|at| *at < count) {
            let wrong = BatchIndexAndErrorMessage::default()
                .with_batch_index(at)
                .with_batch_index_error_message(Some(spoken("no good")));
            let code = ResponseError::InvalidRecord.code();
            self.spoiled.insert(place);
            return answer.with_error_code(code).with_record_errors(vec![wrong]);
        }
        let next = self.sequences.entry(place).or_default();
        if *next != sender.sequence {
            self.is_out_of_order |= !self.spoiled.contains(&place);
            return answer.with_error_code(ResponseError::OutOfOrderSequenceNumber.code());
        }
        *next = sender.sequence + count;
        let count = usize::try_from(count).unwrap();
        if is_transactional {
            self.open += count
        } else {
            self.records += count
        }
        answer
    }

    fn mark(&mut self, code: i16, request: &TxnOffsetCommitRequest) -> TxnOffsetCommitResponse {
        let code = self.fenced(code, request.producer_epoch);
        let topic = &request.topics[0];
        let partition = &topic.partitions[0];
        if code == 0 {
            let text = partition.committed_metadata.as_deref().unwrap().to_owned();
            self.open_mark = Some((partition.committed_offset, text));
        }
        let answer = TxnOffsetCommitResponsePartition::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(code);
        let topic = TxnOffsetCommitResponseTopic::default().with_name(topic.name.clone());
        TxnOffsetCommitResponse::default().with_topics(vec![topic.with_partitions(vec![answer])])
    }

    fn end(&mut self, code: i16, request: &EndTxnRequest) -> EndTxnResponse {
        let code = self.fenced(code, request.producer_epoch);
        if code == 0 && !request.committed {
            (self.open, self.open_mark, self.is_stuck) = (0, None, false);
        } else if code == 0 {
            self.records += std::mem::take(&mut self.open);
            self.mark = self.open_mark.take().or(self.mark.take());
        }
        EndTxnResponse::default().with_error_code(code)
    }

    fn offsets(&self, code: i16) -> OffsetFetchResponse {
        let code = if self.is_stuck { ResponseError::UnstableOffsetCommit.code() } else { code };
        let partition = self.mark.as_ref().map(|(offset, text)| {
            OffsetFetchResponsePartition::default()
                .with_committed_offset(*offset)
                .with_metadata(Some(spoken(text)))
        });
        let topic = OffsetFetchResponseTopic::default()
            .with_name(TopicName(spoken(TOPIC)))
            .with_partitions(partition.into_iter().collect());
        OffsetFetchResponse::default().with_error_code(code).with_topics(vec![topic])
    }
}

fn read<Q: Decodable>(mut body: Bytes, version: i16) -> Q {
    Q::decode(&mut body, version).unwrap()
}

/// All that a Kafka of today has.
fn versions() -> ApiVersionsResponse {
    let key =
        |key: i16| ApiVersion::default().with_api_key(key).with_min_version(0).with_max_version(9);
    ApiVersionsResponse::default().with_api_keys((0..40).map(key).collect())
}

fn metadata(port: u16, code: i16) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(BrokerId(1))
        .with_host(spoken("127.0.0.1"))
        .with_port(i32::from(port));
    let partition = |index| {
        MetadataResponsePartition::default().with_partition_index(index).with_leader_id(BrokerId(1))
    };
    let topic = MetadataResponseTopic::default()
        .with_error_code(code)
        .with_name(Some(TopicName(spoken(TOPIC))))
        .with_partitions((0..2).map(partition).collect());
    MetadataResponse::default().with_brokers(vec![broker]).with_topics(vec![topic])
}
