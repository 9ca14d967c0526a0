//! A port without a socket: requests go in, answers come out. Claims nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest, EndTxnResponse,
    FetchRequest, FetchResponse, InitProducerIdRequest, InitProducerIdResponse, ProduceRequest,
    ProduceResponse, ProducerId, TopicName, TransactionalId,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, Compression};
use tidewire_store::{Durability, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions};
use tokio::runtime::Runtime;

use super::open::{self, Changing, options};
use crate::Door;
use crate::api::{Ends, Incoming, admit, begin};
use crate::caller::Caller;
use crate::context::Context;
use crate::guard::sample;
use crate::text::spoken;
use crate::versions::Api;
use crate::wire::{Answer, Refusal};

/// A port without a socket.
pub(super) struct Bench {
    pub(super) context: Rc<Context>,
    pub(super) runtime: Runtime,
    caller: RefCell<Rc<Caller>>,
    rules: Changing,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// Without users and rules.
    pub(super) fn new() -> Self {
        Self::with(StoreOptions::default())
    }

    /// With these rules.
    pub(super) fn ruled(rules: &str) -> Self {
        let bench = Self::new();
        bench.rule(rules);
        bench
    }

    /// With files so small that some are sealed soon, and little in memory.
    pub(super) fn sealing(compression: Compression) -> Self {
        let config = StreamConfig { compression, durability: Durability::Os, ..Default::default() };
        let streams = vec![StreamOptions { config, ..StreamOptions::default() }];
        let (wal_file_bytes, wal_bytes_max) = (64 << 10, 256 << 10);
        let (recent_bytes_max, segment_bytes_max) = (4 << 10, 16 << 10);
        let small = StoreOptions {
            streams,
            wal_file_bytes,
            wal_bytes_max,
            recent_bytes_max,
            segment_bytes_max,
            ..StoreOptions::default()
        };
        Self::with(small)
    }

    fn with(store: StoreOptions) -> Self {
        let rules = Changing::default();
        let folder = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::new(folder.path().join("data")));
        let (store, _) = Store::open(disk, store).unwrap();
        let doors = vec![Door { listener: "kafka", advertised: None, takes_anonymous: true }];
        let context = Rc::new(Context::new(store, options(&rules), doors, "test".into()).unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let caller = RefCell::default();
        Self { context, runtime, caller, rules, _folder: folder }
    }

    /// From now on it is this user who asks.
    pub(super) fn is_asked_by(&self, user: &str) {
        self.caller.replace(Rc::new(Caller::default().signed_in(user.into(), None)));
    }

    /// From now on these hold.
    pub(super) fn rule(&self, rules: &str) {
        *self.rules.lock() = open::rules(rules);
    }

    pub(super) fn partition(&self) -> PartitionId {
        self.context.topics().named("mqtt").unwrap().0.partitions[1]
    }

    pub(super) fn answer(&self, frame: &Bytes) -> Answer {
        self.answer_beside(frame, std::future::ready(()))
    }

    /// While something else happens.
    fn answer_beside(&self, frame: &Bytes, other: impl Future<Output = ()>) -> Answer {
        let answered = self.answered(frame, other);
        answered.unwrap_or_else(|refusal| panic!("{frame:?} is answered {refusal:?}"))
    }

    /// `Err`: the connection is closed.
    pub(super) fn answered(
        &self,
        frame: &Bytes,
        other: impl Future<Output = ()>,
    ) -> Result<Answer, Refusal> {
        let here = "127.0.0.1:9092".parse().unwrap();
        let caller = Rc::clone(&self.caller.borrow());
        let admitted = admit(frame, Ends { local: here, peer: here, door: 0 }, &caller);
        let Ok(Incoming::Request(request)) = admitted else { panic!("it is not admitted") };
        self.runtime.block_on(async {
            tokio::select! {
                (answered, ()) = async {
                    tokio::join!(begin(Rc::clone(&self.context), request), other)
                } => answered,
                () = self.context.run() => panic!("groups are at an end"),
            }
        })
    }

    pub(super) fn call<Q, A>(&self, request: &Q, version: i16) -> A
    where
        Q: Request + Encodable,
        A: Decodable + HeaderVersion,
    {
        self.call_beside((request, version), std::future::ready(()))
    }

    pub(super) fn call_beside<Q, A>(
        &self,
        (request, version): (&Q, i16),
        other: impl Future<Output = ()>,
    ) -> A
    where
        Q: Request + Encodable,
        A: Decodable + HeaderVersion,
    {
        let answer = self.answer_beside(&framed(request, version), other);
        let mut answer = Bytes::from(answer.chunks.concat());
        assert_eq!(usize::try_from(answer.get_i32()).unwrap(), answer.len());
        assert_eq!(answer.get_i32(), 7);
        if A::header_version(version) > 0 {
            assert_eq!(answer.get_u8(), 0);
        }
        let decoded = A::decode(&mut answer, version).unwrap();
        assert!(answer.is_empty(), "{} bytes are left", answer.len());
        decoded
    }

    /// A producer of transactions, with the id `line`, that may write to partition 1.
    pub(super) fn transactional(&self) -> (i64, i16) {
        let start = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(spoken("line"))))
            .with_transaction_timeout_ms(60_000);
        let started: InitProducerIdResponse = self.call(&start, 4);
        assert_eq!(started.error_code, 0);
        self.begin((started.producer_id.0, started.producer_epoch))
    }

    pub(super) fn begin(&self, (id, epoch): (i64, i16)) -> (i64, i16) {
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

    pub(super) fn end(&self, (id, epoch): (i64, i16), committed: bool) -> i16 {
        let end = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(spoken("line")))
            .with_producer_id(ProducerId(id))
            .with_producer_epoch(epoch)
            .with_committed(committed);
        self.call::<_, EndTxnResponse>(&end, 3).error_code
    }

    pub(super) fn produce(&self, records: Bytes) -> PartitionProduceResponse {
        self.produce_as(None, vec![records]).remove(0)
    }

    pub(super) fn produce_all(&self, batches: Vec<Bytes>) -> Vec<PartitionProduceResponse> {
        self.produce_as(None, batches)
    }

    /// With a transactional id, or without.
    pub(super) fn produce_as(
        &self,
        id: Option<&str>,
        batches: Vec<Bytes>,
    ) -> Vec<PartitionProduceResponse> {
        let data = |records| PartitionProduceData::default().with_index(1).with_records(records);
        let topic = TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_static_str("mqtt")))
            .with_partition_data(batches.into_iter().map(|it| data(Some(it))).collect());
        let request = ProduceRequest::default()
            .with_acks(-1)
            .with_transactional_id(id.map(|id| TransactionalId(spoken(id))))
            .with_topic_data(vec![topic]);
        let mut response: ProduceResponse = self.call(&request, 9);
        response.responses.remove(0).partition_responses
    }

    pub(super) fn fetch(
        &self,
        version: i16,
        offset: i64,
        bytes_max: i32,
        wait_ms: i32,
    ) -> PartitionData {
        let partition = FetchPartition::default()
            .with_partition(1)
            .with_fetch_offset(offset)
            .with_partition_max_bytes(bytes_max);
        self.fetch_all(version, vec![partition], 1, wait_ms).remove(0)
    }

    pub(super) fn fetch_all(
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

/// A request as it is sent, but for its length.
pub(super) fn framed<Q: Request + Encodable>(request: &Q, version: i16) -> Bytes {
    let mut frame = head(Q::KEY, version, Q::header_version(version) > 1);
    request.encode(&mut frame, version).unwrap();
    frame.freeze()
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

pub(super) fn frame(api: &Api, version: i16, elements: usize) -> Bytes {
    let mut frame = head(api.key as i16, version, api.is_flexible(version));
    frame.put_slice(&sample::write(api.shape, version, elements));
    frame.freeze()
}

/// A batch as a producer sends it, from the producer of this number, if any.
pub(super) fn batch(topic: &str, records: i32, sender: Option<(i64, i16, i32)>) -> Bytes {
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
pub(super) fn in_transaction(batch: &Bytes) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    bytes[22] |= 1 << 4;
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}
