//! Reads topics of somebody else's Kafka: all partitions, from whatever offsets we say. Has no
//! group there, and keeps no offset.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest, ListOffsetsRequest, TopicName};
use tokio::time::sleep;

use crate::client::cluster::{Cluster, Node};
use crate::client::fault::Fault;
use crate::imports::aborted::Aborted;
use crate::imports::options::ImportOptions;
use crate::imports::position::Positions;
use crate::text::spoken;

/// Earliest and latest, as ListOffsets asks for them.
pub(crate) const EARLIEST: i64 = -2;
pub(crate) const LATEST: i64 = -1;

const COMMITTED: i8 = 1;
const CONSUMER: i32 = -1;
/// How long a topic is looked for.
const TOPIC_WAIT: Duration = Duration::from_secs(5);
/// Before leaders are asked for again.
const PAUSE: Duration = Duration::from_millis(200);

/// What came of one partition.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: i32,
    pub(crate) records: Bytes,
    pub(crate) aborted: Vec<Aborted>,
    /// The offset that was asked for is not there any more, or not yet.
    pub(crate) is_out_of_range: bool,
    /// Where the partition ends, for who reads as we do.
    pub(crate) end: i64,
}

/// A consumer that was connected.
pub(crate) struct Consumer {
    pub(crate) cluster: Cluster,
    options: Arc<ImportOptions>,
    /// Partitions of the topics that were found.
    topics: BTreeMap<Arc<str>, i32>,
    /// Which partition is asked for first; the others follow.
    turn: usize,
}

impl Consumer {
    /// Connects and looks its topics up.
    pub(crate) async fn open(options: Arc<ImportOptions>) -> Result<Self, Fault> {
        let cluster = Cluster::connect(Arc::new(options.source.clone())).await?;
        Ok(Self { cluster, options, topics: BTreeMap::new(), turn: 0 })
    }

    /// Looks for topics and partitions. Says what is wrong with topics that cannot be read; those
    /// that can are.
    pub(crate) async fn look(&mut self) -> Result<Option<Fault>, Fault> {
        let mut wrong = None;
        let options = Arc::clone(&self.options);
        for topic in &options.topics {
            let found = self.cluster.look_up(topic, false, TOPIC_WAIT).await;
            match found {
                Ok(()) => {
                    let partitions = self.cluster.partitions(topic).unwrap_or(0);
                    let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
                    self.topics.insert(topic.as_str().into(), partitions);
                }
                // The others are read all the same.
                Err(fault @ Fault::Refused { .. }) => wrong = Some(fault),
                Err(fault) => return Err(fault),
            }
        }
        match (self.topics.is_empty(), wrong) {
            (true, Some(fault)) => Err(fault),
            (_, wrong) => Ok(wrong),
        }
    }

    /// All partitions there are to be read.
    pub(crate) fn partitions(&self) -> Vec<(Arc<str>, i32)> {
        let of = |(topic, count): (&Arc<str>, &i32)| {
            let topic = Arc::clone(topic);
            (0..*count).map(move |partition| (Arc::clone(&topic), partition))
        };
        self.topics.iter().flat_map(of).collect()
    }

    /// The offset of this time, or [`EARLIEST`] or [`LATEST`].
    pub(crate) async fn offset_at(
        &mut self,
        (topic, partition): (&str, i32),
        timestamp: i64,
    ) -> Result<i64, Fault> {
        let node = self.leader(topic, partition)?;
        let wanted = ListOffsetsPartition::default()
            .with_partition_index(partition)
            .with_timestamp(timestamp);
        let topics = ListOffsetsTopic::default()
            .with_name(TopicName(spoken(topic)))
            .with_partitions(vec![wanted]);
        let request = ListOffsetsRequest::default()
            .with_replica_id(BrokerId(CONSUMER))
            .with_isolation_level(self.isolation())
            .with_topics(vec![topics]);
        let answer = self.cluster.call(node, &request).await?;
        let found = answer.topics.iter().flat_map(|topic| &topic.partitions).next();
        let found = found.ok_or_else(|| Fault::Other("no offset in the answer".into()))?;
        Fault::of(found.error_code, || format!("offsets of {topic:?}"))?;
        Ok(found.offset)
    }

    /// Asks all leaders at once for what comes at these positions.
    pub(crate) async fn fetch(&mut self, positions: &Positions) -> Result<Vec<Part>, Fault> {
        let mut waiting = Vec::new();
        for (node, request) in self.requests(positions)? {
            let sent = self.cluster.link(node).await?.send(&request).await?;
            waiting.push((node, sent));
        }
        let (mut parts, mut has_moved) = (Vec::new(), None);
        for (node, sent) in waiting {
            let answer = self.cluster.link(node).await?.receive::<FetchRequest>(sent).await?;
            Fault::of(answer.error_code, || "a fetch".into())?;
            for topic in answer.responses {
                let name: Arc<str> = (&**topic.topic).into();
                for data in topic.partitions {
                    match part(&name, data, self.options.read_committed) {
                        Ok(part) => parts.push(part),
                        Err(fault) if fault.is_passing() => has_moved = Some(fault),
                        Err(fault) => return Err(fault),
                    }
                }
            }
        }
        if let Some(fault) = has_moved {
            tracing::debug!(%fault, "partitions have moved");
            sleep(PAUSE).await;
            self.look().await?;
        }
        Ok(parts)
    }

    fn requests(&mut self, positions: &Positions) -> Result<Vec<(Node, FetchRequest)>, Fault> {
        let mut all = self.partitions();
        let count = all.len().max(1);
        all.rotate_left(self.turn % count);
        self.turn = (self.turn + 1) % count;
        let mut by_node: HashMap<Node, Vec<FetchTopic>> = HashMap::new();
        for (topic, partition) in all {
            let known = positions.get(&topic, partition).filter(|offset| *offset >= 0);
            let Some(offset) = known else { continue };
            let node = self.leader(&topic, partition)?;
            let bytes = i32::try_from(self.options.fetch_bytes_max).unwrap_or(i32::MAX);
            let wanted = FetchPartition::default()
                .with_partition(partition)
                .with_fetch_offset(offset)
                .with_partition_max_bytes(bytes);
            let topics = by_node.entry(node).or_default();
            match topics.last_mut().filter(|last| **last.topic == *topic) {
                Some(last) => last.partitions.push(wanted),
                None => {
                    let name = TopicName(spoken(&topic));
                    let topic = FetchTopic::default().with_topic(name);
                    topics.push(topic.with_partitions(vec![wanted]));
                }
            }
        }
        let nodes = u32::try_from(by_node.len().max(1)).unwrap_or(1);
        let wait = self.options.fetch_wait / nodes;
        let request = |(node, topics)| {
            let request = FetchRequest::default()
                .with_replica_id(BrokerId(CONSUMER))
                .with_max_wait_ms(i32::try_from(wait.as_millis()).unwrap_or(i32::MAX))
                .with_min_bytes(1)
                .with_max_bytes(i32::try_from(self.options.fetch_bytes_max).unwrap_or(i32::MAX))
                .with_isolation_level(self.isolation())
                .with_session_epoch(-1)
                .with_topics(topics);
            (node, request)
        };
        Ok(by_node.into_iter().map(request).collect())
    }

    fn leader(&self, topic: &str, partition: i32) -> Result<Node, Fault> {
        let index = u32::try_from(partition).unwrap_or(u32::MAX);
        self.cluster.leader(topic, index).ok_or_else(|| {
            let code = ResponseError::UnknownTopicOrPartition.code();
            Fault::Refused { what: format!("topic {topic:?}"), code }
        })
    }

    fn isolation(&self) -> i8 {
        if self.options.read_committed { COMMITTED } else { 0 }
    }
}

fn part(topic: &Arc<str>, data: PartitionData, is_committed: bool) -> Result<Part, Fault> {
    let out_of_range = ResponseError::OffsetOutOfRange.code();
    if data.error_code != out_of_range {
        let what = || format!("topic {topic:?}, partition {}", data.partition_index);
        Fault::of(data.error_code, what)?;
    }
    let aborted = data.aborted_transactions.unwrap_or_default();
    let aborted = aborted
        .iter()
        .map(|it| Aborted { producer: it.producer_id.0, first_offset: it.first_offset });
    // What is not said is said by the other.
    let end = match data.last_stable_offset {
        stable @ 0.. if is_committed => stable,
        _ => data.high_watermark,
    };
    Ok(Part {
        topic: Arc::clone(topic),
        partition: data.partition_index,
        records: data.records.unwrap_or_default(),
        aborted: aborted.collect(),
        is_out_of_range: data.error_code == out_of_range,
        end,
    })
}
