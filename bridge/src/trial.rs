//! One topic of a Kafka port, written and read as fast as it goes: for who measures that. Counts
//! nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    BrokerId, FetchRequest, ListOffsetsRequest, ProduceRequest, TopicName,
};
use tidewire_proto::record::Batch;

use crate::client::Target;
use crate::client::cluster::{Cluster, Node};
use crate::client::fault::Fault;
use crate::client::link::Sent;
use crate::imports::aborted::Sieve;
use crate::imports::fetched;
use crate::room::Room;
use crate::text::spoken;

/// How long a topic is looked for, or waited for while it is made.
const TOPIC_WAIT: Duration = Duration::from_secs(10);
/// How long a broker may take to write a batch.
const WRITE_MS: i32 = 30_000;
const ACKS_ALL: i16 = -1;
const CONSUMER: i32 = -1;
const LATEST: i64 = -1;
/// How long a broker may wait for something to read.
const READ_MS: i32 = 500;
/// What is asked for of a partition at once, as Kafka's own clients do.
const PARTITION_BYTES: i32 = 1 << 20;
const ANSWER_BYTES: i32 = 50 << 20;
/// Memory for what a fetched batch is unpacked to.
const BATCH_BYTES_MAX: usize = 64 << 20;

/// A topic, and a connection to each of its leaders.
pub struct Trial {
    cluster: Cluster,
    topic: String,
    leaders: Vec<Node>,
    /// What was written and is not answered, in order.
    waiting: VecDeque<(Node, u64, Sent)>,
}

impl Trial {
    /// Connects, and looks the topic up; it is made where the broker does that.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn open(target: Target, topic: &str) -> Result<Self, String> {
        let mut cluster = Cluster::connect(Arc::new(target)).await.map_err(told)?;
        cluster.look_up(topic, true, TOPIC_WAIT).await.map_err(told)?;
        let count = cluster.partitions(topic).unwrap_or(0);
        let leaders = (0..count).filter_map(|partition| cluster.leader(topic, partition));
        let leaders = leaders.collect();
        Ok(Self { cluster, topic: topic.to_owned(), leaders, waiting: VecDeque::new() })
    }

    /// How many partitions it has.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.leaders.len()
    }

    /// Where each partition ends.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn ends(&mut self) -> Result<Vec<i64>, String> {
        let mut ends = Vec::new();
        for partition in 0..self.partitions() {
            let wanted = ListOffsetsPartition::default()
                .with_partition_index(index(partition))
                .with_timestamp(LATEST);
            let topic = ListOffsetsTopic::default()
                .with_name(TopicName(spoken(&self.topic)))
                .with_partitions(vec![wanted]);
            let request = ListOffsetsRequest::default()
                .with_replica_id(BrokerId(CONSUMER))
                .with_topics(vec![topic]);
            let answer = self.cluster.call(self.leaders[partition], &request).await;
            let answer = answer.map_err(told)?;
            let found = answer.topics.iter().flat_map(|topic| &topic.partitions).next();
            let found = found.ok_or("no offset in the answer")?;
            Fault::of(found.error_code, || format!("offsets of {:?}", self.topic)).map_err(told)?;
            ends.push(found.offset);
        }
        Ok(ends)
    }

    /// Sends a batch, to be acknowledged by all that keep it.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn write(&mut self, partition: usize, batch: &Batch) -> Result<(), String> {
        let data = PartitionProduceData::default()
            .with_index(index(partition))
            .with_records(Some(batch.bytes().clone()));
        let topic = TopicProduceData::default()
            .with_name(TopicName(spoken(&self.topic)))
            .with_partition_data(vec![data]);
        let request = ProduceRequest::default()
            .with_acks(ACKS_ALL)
            .with_timeout_ms(WRITE_MS)
            .with_topic_data(vec![topic]);
        let node = self.leaders[partition];
        let sent = self.cluster.link(node).await.map_err(told)?.send(&request).await;
        self.waiting.push_back((node, batch.record_count().into(), sent.map_err(told)?));
        Ok(())
    }

    /// Batches that are not acknowledged.
    #[must_use]
    pub fn unacknowledged(&self) -> usize {
        self.waiting.len()
    }

    /// Awaits that the oldest of them is; how many records it has.
    ///
    /// # Errors
    /// What is wrong, in words; so when it was refused.
    pub async fn acknowledged(&mut self) -> Result<u64, String> {
        let Some((node, records, sent)) = self.waiting.pop_front() else { return Ok(0) };
        let link = self.cluster.link(node).await.map_err(told)?;
        let answer = link.receive::<ProduceRequest>(sent).await.map_err(told)?;
        let refused = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
        for part in refused {
            Fault::of(part.error_code, || format!("a batch for {:?}", self.topic)).map_err(told)?;
        }
        Ok(records)
    }

    /// Reads on from these offsets, one for each partition, and moves them; shows each batch.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub async fn read(
        &mut self,
        from: &mut [i64],
        mut show: impl FnMut(&Batch),
    ) -> Result<(), String> {
        for (node, request) in self.requests(from) {
            let answer = self.cluster.call(node, &request).await.map_err(told)?;
            Fault::of(answer.error_code, || "a fetch".into()).map_err(told)?;
            for part in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
                let what = || format!("{:?}, partition {}", self.topic, part.partition_index);
                Fault::of(part.error_code, what).map_err(told)?;
                let partition = usize::try_from(part.partition_index).unwrap_or(usize::MAX);
                let Some(next) = from.get_mut(partition) else { continue };
                let mut records = part.records.unwrap_or_default();
                let (mut sieve, mut room) = (Sieve::new(Vec::new()), Room::new(BATCH_BYTES_MAX));
                while let Some(found) = fetched::next(&mut records, &mut sieve, &mut room) {
                    let found = found.map_err(told)?;
                    *next = found.next_offset.max(*next);
                    found.batch.iter().for_each(&mut show);
                }
            }
        }
        Ok(())
    }

    fn requests(&self, from: &[i64]) -> BTreeMap<Node, FetchRequest> {
        let mut by_node: BTreeMap<Node, Vec<FetchPartition>> = BTreeMap::new();
        for (partition, (node, offset)) in self.leaders.iter().zip(from).enumerate() {
            let wanted = FetchPartition::default()
                .with_partition(index(partition))
                .with_fetch_offset(*offset)
                .with_partition_max_bytes(PARTITION_BYTES);
            by_node.entry(*node).or_default().push(wanted);
        }
        let request = |(node, partitions)| {
            let topic = FetchTopic::default().with_topic(TopicName(spoken(&self.topic)));
            let request = FetchRequest::default()
                .with_replica_id(BrokerId(CONSUMER))
                .with_max_wait_ms(READ_MS)
                .with_min_bytes(1)
                .with_max_bytes(ANSWER_BYTES)
                .with_session_epoch(-1)
                .with_topics(vec![topic.with_partitions(partitions)]);
            (node, request)
        };
        by_node.into_iter().map(request).collect()
    }
}

fn index(partition: usize) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
