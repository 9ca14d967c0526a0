//! Writes loads to the target: idempotent, and where that is wanted each in a transaction that
//! carries our position. Whatever goes wrong, the next [`Producer::open`] takes up from what the
//! target holds: it fences who was there before and ends what was open.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, EndTxnRequest,
    GroupId, InitProducerIdRequest, OffsetFetchRequest, ProduceRequest, ProducerId, TopicName,
    TransactionalId, TxnOffsetCommitRequest,
};
use tidewire_proto::session::window::Place;
use tokio::time::{Instant, sleep};

use crate::client::cluster::{Cluster, Coordinates, Node};
use crate::client::fault::{Fault, said};
use crate::client::link::Sent;
use crate::client::packed::{Stamp, Stamped};
use crate::client::produce::Produce;
use crate::exports::judge::{Verdict, Why, is_topic_forbidden, judge};
use crate::exports::load::{Lane, Load, Ready};
use crate::exports::options::ExportOptions;
use crate::exports::position::Mark;
use crate::text::spoken;

/// Between two tries of what passes by itself: the end of the transaction before, as a rule.
const PAUSE: Duration = Duration::from_millis(10);
/// So often the position in the target is asked for before what holds it up is taken for something
/// that will not pass: some seconds.
const STUCK: u32 = 300;
/// So long it is tried.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a broker may take to write a batch.
const WRITE_MS: i32 = 30_000;

/// What became of a load.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// All of it is there.
    All,
    /// Nothing of it is, or should not be: these records will never be taken.
    Refused(Vec<(Place, Why)>),
    /// The same: nothing will be taken for this topic.
    TopicRefused(String, Why),
    /// The same: some batch of so many records holds one that will not be taken. Of one record: it
    /// was not alone in its request, and is to be sent [apart](Load::is_apart).
    Halve(usize),
}

/// A producer with its numbers.
pub(crate) struct Producer {
    pub(crate) cluster: Cluster,
    options: Arc<ExportOptions>,
    /// Our transactional id, and the name of our group.
    id_text: Arc<str>,
    /// Who coordinates our transactions, and who our group.
    coordinators: Option<(Node, Node)>,
    id: i64,
    epoch: i16,
    /// The number of the next record, by partition of the target.
    sequences: HashMap<(String, u32), i32>,
}

impl Producer {
    /// Connects; ends what is open of before; says what the target holds of our position.
    pub(crate) async fn open(
        options: Arc<ExportOptions>,
        id: &Arc<str>,
    ) -> Result<(Self, Vec<Mark>), Fault> {
        let cluster = Cluster::connect(Arc::new(options.target.clone())).await?;
        let mut producer = Self {
            cluster,
            options,
            id_text: Arc::clone(id),
            coordinators: None,
            id: -1,
            epoch: -1,
            sequences: HashMap::new(),
        };
        let marks = producer.begin().await?;
        Ok((producer, marks))
    }

    /// New numbers: who had them before is fenced, what was open is aborted.
    pub(crate) async fn begin(&mut self) -> Result<Vec<Mark>, Fault> {
        self.sequences.clear();
        let options = Arc::clone(&self.options);
        if !options.exactly_once {
            let request = InitProducerIdRequest::default().with_transaction_timeout_ms(60_000);
            let answer = self.cluster.call_any(&request).await?;
            Fault::of(answer.error_code, || "the numbers of a producer".into())?;
            (self.id, self.epoch) = (answer.producer_id.0, answer.producer_epoch);
            return Ok(Vec::new());
        }
        let key = Arc::clone(&self.id_text);
        let id = &*key;
        let transactions = self.cluster.coordinator(Coordinates::Transaction, id, PATIENCE).await?;
        let group = self.cluster.coordinator(Coordinates::Group, id, PATIENCE).await?;
        self.coordinators = Some((transactions, group));
        let timeout = i32::try_from(options.transaction_timeout.as_millis()).unwrap_or(i32::MAX);
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(spoken(id))))
            .with_transaction_timeout_ms(timeout);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.cluster.call(transactions, &request).await?;
            let what = || format!("transactional id {id:?}");
            match Fault::of(answer.error_code, what) {
                Ok(()) => {
                    (self.id, self.epoch) = (answer.producer_id.0, answer.producer_epoch);
                    return self.marks(group).await;
                }
                Err(fault) => pause(fault, deadline).await?,
            }
        }
    }

    /// What the target's group says; waits for transactions that are about to end.
    async fn marks(&mut self, node: Node) -> Result<Vec<Mark>, Fault> {
        let group = Arc::clone(&self.id_text);
        let request = OffsetFetchRequest::default()
            .with_group_id(GroupId(spoken(&group)))
            .with_topics(None)
            .with_require_stable(true);
        let deadline = Instant::now() + PATIENCE;
        for tries in 1_u32.. {
            let answer = self.cluster.call(node, &request).await?;
            let partitions = || answer.topics.iter().flat_map(|topic| &topic.partitions);
            let inner = partitions().map(|it| it.error_code).find(|code| *code != 0);
            let code = if answer.error_code == 0 { inner.unwrap_or(0) } else { answer.error_code };
            match Fault::of(code, || format!("position in group {group:?}")) {
                Ok(()) => {
                    let texts = partitions().filter_map(|it| it.metadata.as_deref());
                    return Ok(texts.filter_map(Mark::parse).collect());
                }
                Err(fault) if tries == STUCK => self.free(fault).await?,
                Err(fault) => pause(fault, deadline).await?,
            }
        }
        Err(unready())
    }

    /// A Kafka that was killed may hold a position of a transaction of ours for open of which it
    /// does not know any more: that we were given new numbers says that none is. An empty
    /// transaction that is aborted ends it.
    async fn free(&mut self, fault: Fault) -> Result<(), Fault> {
        if fault.error() != Some(ResponseError::UnstableOffsetCommit) {
            return Err(fault);
        }
        tracing::warn!(group = &*self.id_text, "a position was left open there: it is given up");
        self.admit_group().await?;
        self.close(false).await
    }

    /// Writes a load, and with it how far we are then: all of it is there when it is
    /// [committed](Self::commit). After `Halve`, `Refused` and an error nothing may be written
    /// before [`begin`](Self::begin).
    pub(crate) async fn write(&mut self, load: &Load, mark: &Mark) -> Result<Written, Fault> {
        if self.options.exactly_once
            && let Some((topic, why)) = self.admit(load).await?
        {
            return Ok(Written::TopicRefused(topic, why));
        }
        let inflight = self.options.inflight_max.max(1);
        let rounds = load.rounds();
        let mut from = 0;
        while from < rounds {
            let to = rounds.min(from + inflight);
            let sent = self.send(load, from..to).await?;
            let position = match self.options.exactly_once && to == rounds {
                // It does not wait for the records: if they are refused, it is given up with them.
                true => Some(self.send_position(load, mark).await?),
                false => None,
            };
            let heard = self.hear(load, sent).await?;
            let placed = match position {
                Some(position) => self.hear_position(position).await?,
                None => Ok(()),
            };
            match heard.written()? {
                Written::All => (),
                other => return Ok(other),
            }
            if let Err(fault) = placed {
                pause(fault, Instant::now() + PATIENCE).await?;
                self.place(load, mark).await?;
            }
            from = to;
        }
        Ok(Written::All)
    }

    /// Ends what was written.
    pub(crate) async fn commit(&mut self) -> Result<(), Fault> {
        match self.options.exactly_once {
            true => self.close(true).await,
            false => Ok(()),
        }
    }

    /// Tells the coordinator what the transaction is about. Answers a topic that we may not write
    /// to, if there is one.
    async fn admit(&mut self, load: &Load) -> Result<Option<(String, Why)>, Fault> {
        let Some((node, _)) = self.coordinators else { return Err(unready()) };
        let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for lane in &load.lanes {
            topics.entry(&lane.topic).or_default().push(signed(lane.partition));
        }
        let topic = |(name, partitions)| {
            let topic = AddPartitionsToTxnTopic::default().with_name(TopicName(spoken(name)));
            topic.with_partitions(partitions)
        };
        let id = TransactionalId(spoken(&self.id_text));
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(id)
            .with_v3_and_below_producer_id(ProducerId(self.id))
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(topics.into_iter().map(topic).collect());
        let group = self.group_request();
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Both at once: the one says nothing that the other waits for.
            let link = self.cluster.link(node).await?;
            let sent = (link.send(&request).await?, link.send(&group).await?);
            let answer = link.receive::<AddPartitionsToTxnRequest>(sent.0).await?;
            let admitted = link.receive::<AddOffsetsToTxnRequest>(sent.1).await?;
            if let Some(refused) = refused_topic(&answer) {
                return Ok(Some(refused));
            }
            let results = answer.results_by_topic_v3_and_below.iter();
            let results = results.flat_map(|topic| &topic.results_by_partition);
            // Where one is wrong, the others are only not attempted.
            let not_attempted = ResponseError::OperationNotAttempted.code();
            let codes = results.map(|it| it.partition_error_code);
            let code = codes.filter(|code| *code != 0).min_by_key(|code| *code == not_attempted);
            let taken = Fault::of(code.unwrap_or(0), || "a transaction".into());
            match taken.and_then(|()| self.group_fault(admitted.error_code)) {
                Ok(()) => return Ok(None),
                Err(fault) => pause(fault, deadline).await?,
            }
        }
    }

    async fn admit_group(&mut self) -> Result<(), Fault> {
        let Some((node, _)) = self.coordinators else { return Err(unready()) };
        let (request, deadline) = (self.group_request(), Instant::now() + PATIENCE);
        loop {
            let answer = self.cluster.call(node, &request).await?;
            match self.group_fault(answer.error_code) {
                Ok(()) => return Ok(()),
                Err(fault) => pause(fault, deadline).await?,
            }
        }
    }

    fn group_request(&self) -> AddOffsetsToTxnRequest {
        AddOffsetsToTxnRequest::default()
            .with_transactional_id(TransactionalId(spoken(&self.id_text)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_group_id(GroupId(spoken(&self.id_text)))
    }

    fn group_fault(&self, code: i16) -> Result<(), Fault> {
        Fault::of(code, || format!("group {:?} in a transaction", self.id_text))
    }

    /// Sends some of the batches of each lane, to all brokers at once.
    async fn send(&mut self, load: &Load, rounds: Range<usize>) -> Result<Vec<Asked>, Fault> {
        let mut asked = Vec::new();
        for round in rounds {
            for ((node, _), lanes) in self.by_node(load, round)? {
                let mut topics = BTreeMap::<&str, Vec<_>>::new();
                for (lane, ready) in lanes {
                    let batch = self.stamped(lane, ready);
                    topics.entry(&lane.topic).or_default().push((signed(lane.partition), batch));
                }
                let id = Arc::clone(&self.id_text);
                let transactional_id = self.options.exactly_once.then_some(&*id);
                let produce = Produce { transactional_id, timeout_ms: WRITE_MS, topics };
                let (batches, bytes) = (produce.batches(), produce.bytes());
                let sent = self.cluster.link(node).await?.send_produce(&produce).await?;
                let alone = (batches == 1).then_some(bytes);
                asked.push(Asked { node, round, batches, alone, sent });
            }
        }
        Ok(asked)
    }

    /// What came of them.
    async fn hear(&mut self, load: &Load, asked: Vec<Asked>) -> Result<Heard, Fault> {
        let (mut heard, mut answered) = (Heard::default(), 0);
        let asked_batches: usize = asked.iter().map(|it| it.batches).sum();
        for Asked { node, round, alone, sent, .. } in asked {
            let link = self.cluster.link(node).await?;
            let answer = link.receive::<ProduceRequest>(sent).await?;
            for topic in &answer.responses {
                for partition in &topic.partition_responses {
                    if let Some(found) = ready(load, &topic.name, partition.index, round) {
                        heard.take(found, partition, alone);
                        answered += 1;
                    }
                }
            }
        }
        match answered < asked_batches {
            true => Err(Fault::Other("an answer says nothing of some batches".into())),
            false => Ok(heard),
        }
    }

    /// The batches of a round, by the brokers that they go to; where they go apart, one each.
    fn by_node<'a>(&self, load: &'a Load, round: usize) -> Result<ByNode<'a>, Fault> {
        let mut by_node = ByNode::new();
        for (at, lane) in load.lanes.iter().enumerate() {
            let Some(ready) = lane.ready.get(round) else { continue };
            let node = self.cluster.leader(&lane.topic, lane.partition);
            let node = node.ok_or_else(|| {
                let code = ResponseError::UnknownTopicOrPartition.code();
                Fault::Refused { what: format!("topic {:?}", lane.topic), code }
            })?;
            let apart = if load.is_apart { at } else { 0 };
            by_node.entry((node, apart)).or_default().push((lane, ready));
        }
        Ok(by_node)
    }

    fn stamped(&mut self, lane: &Lane, ready: &Ready) -> Stamped {
        let count = i32::try_from(ready.places.len()).unwrap_or(i32::MAX);
        let next = self.sequences.entry((lane.topic.clone(), lane.partition)).or_default();
        let sequence = *next;
        // After the last number comes 0.
        *next = sequence
            .checked_add(count)
            .unwrap_or_else(|| sequence.wrapping_add(count).wrapping_sub(i32::MIN));
        ready.packed.stamped(Stamp {
            producer: self.id,
            epoch: self.epoch,
            sequence,
            is_transactional: self.options.exactly_once,
        })
    }

    /// Puts our position into the transaction.
    async fn place(&mut self, load: &Load, mark: &Mark) -> Result<(), Fault> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let sent = self.send_position(load, mark).await?;
            match self.hear_position(sent).await? {
                Ok(()) => return Ok(()),
                Err(fault) => pause(fault, deadline).await?,
            }
        }
    }

    async fn send_position(&mut self, load: &Load, mark: &Mark) -> Result<Sent, Fault> {
        let Some((_, group)) = self.coordinators else { return Err(unready()) };
        let Some(lane) = load.lanes.first() else { return Err(unready()) };
        let partition = TxnOffsetCommitRequestPartition::default()
            .with_partition_index(signed(lane.partition))
            .with_committed_offset(i64::try_from(mark.count).unwrap_or(i64::MAX))
            .with_committed_metadata(Some(spoken(&mark.encode())));
        let topic = TxnOffsetCommitRequestTopic::default()
            .with_name(TopicName(spoken(&lane.topic)))
            .with_partitions(vec![partition]);
        let request = TxnOffsetCommitRequest::default()
            .with_transactional_id(TransactionalId(spoken(&self.id_text)))
            .with_group_id(GroupId(spoken(&self.id_text)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_topics(vec![topic]);
        self.cluster.link(group).await?.send(&request).await
    }

    /// What came of it.
    async fn hear_position(&mut self, sent: Sent) -> Result<Result<(), Fault>, Fault> {
        let Some((_, group)) = self.coordinators else { return Err(unready()) };
        let answer =
            self.cluster.link(group).await?.receive::<TxnOffsetCommitRequest>(sent).await?;
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let code = partitions.map(|it| it.error_code).find(|code| *code != 0).unwrap_or(0);
        Ok(Fault::of(code, || format!("position in group {:?}", self.id_text)))
    }

    async fn close(&mut self, is_committed: bool) -> Result<(), Fault> {
        let Some((transactions, _)) = self.coordinators else { return Err(unready()) };
        let deadline = Instant::now() + PATIENCE;
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(spoken(&self.id_text)))
            .with_producer_id(ProducerId(self.id))
            .with_producer_epoch(self.epoch)
            .with_committed(is_committed);
        loop {
            let answer = self.cluster.call(transactions, &request).await?;
            match Fault::of(answer.error_code, || "the end of a transaction".into()) {
                Ok(()) => return Ok(()),
                Err(fault) => pause(fault, deadline).await?,
            }
        }
    }
}

/// Batches by the request that they go in: the broker, and which lane's where they go apart.
type ByNode<'a> = BTreeMap<(Node, usize), Vec<(&'a Lane, &'a Ready)>>;

/// A request that is on its way.
struct Asked {
    node: Node,
    round: usize,
    batches: usize,
    /// Its bytes, where its batch is the only one.
    alone: Option<usize>,
    sent: Sent,
}

/// The first topic of a transaction that nothing can be written to.
fn refused_topic(answer: &AddPartitionsToTxnResponse) -> Option<(String, Why)> {
    let topics = answer.results_by_topic_v3_and_below.iter();
    topics.into_iter().find_map(|topic| {
        let codes = topic.results_by_partition.iter().map(|it| it.partition_error_code);
        let is_refused =
            |code: &i16| ResponseError::try_from_code(*code).is_some_and(is_topic_forbidden);
        let code = codes.into_iter().find(is_refused)?;
        Some((topic.name.to_string(), Why::new(said(code))))
    })
}

/// Waits a little where a coordinator only asks for time; what is not of that kind is an error.
async fn pause(fault: Fault, deadline: Instant) -> Result<(), Fault> {
    let waits = matches!(
        fault.error(),
        Some(
            ResponseError::ConcurrentTransactions
                | ResponseError::CoordinatorLoadInProgress
                | ResponseError::CoordinatorNotAvailable
                | ResponseError::UnstableOffsetCommit
        )
    );
    if !waits || Instant::now() >= deadline {
        return Err(fault);
    }
    sleep(PAUSE).await;
    Ok(())
}

fn ready<'a>(
    load: &'a Load,
    topic: &str,
    partition: i32,
    round: usize,
) -> Option<(&'a Lane, &'a Ready)> {
    let is_it = |lane: &&Lane| signed(lane.partition) == partition && lane.topic == topic;
    let lane = load.lanes.iter().find(is_it)?;
    Some((lane, lane.ready.get(round)?))
}

/// What the answers to some requests came to, in the order in which they were sent.
///
/// A broker may refuse all that comes behind a refused batch of a transaction with the same words,
/// as ours does: so the first refusal is believed, of those behind it only what cannot follow from
/// it. The rest is sent again without what was refused.
#[derive(Default)]
struct Heard {
    refused: Vec<(Place, Why)>,
    /// Bytes of the record that was too large, and of its request: larger ones are, too.
    too_large: Option<(usize, usize)>,
    topic: Option<(String, Why)>,
    halve: usize,
    again: Option<(i16, String)>,
}

impl Heard {
    fn take(
        &mut self,
        (lane, ready): (&Lane, &Ready),
        answer: &PartitionProduceResponse,
        alone: Option<usize>,
    ) {
        let is_first = self.refused.is_empty() && self.topic.is_none() && self.halve == 0;
        match verdict(answer, ready, alone.is_some()) {
            Verdict::Taken => (),
            Verdict::Records(records) => {
                let is_named = !answer.record_errors.is_empty();
                let (plain, packed) = (ready.plain_bytes, alone.unwrap_or(0));
                let is_larger = |least: (usize, usize)| plain >= least.0 && packed >= least.1;
                if is_first || is_named || self.too_large.is_some_and(is_larger) {
                    if is_first && records.iter().any(|(_, why)| why.is_too_large) {
                        self.too_large = Some((plain, packed));
                    }
                    let placed = |(at, why): (usize, Why)| Some((*ready.places.get(at)?, why));
                    self.refused.extend(records.into_iter().filter_map(placed));
                }
            }
            Verdict::Topic(why) if is_first => self.topic = Some((lane.topic.clone(), why)),
            Verdict::Halve if is_first => self.halve = ready.places.len(),
            Verdict::Topic(_) | Verdict::Halve => (),
            Verdict::Again(code) => {
                self.again.get_or_insert_with(|| (code, lane.topic.clone()));
            }
        }
    }

    /// What is refused for good is told first: the rest may only follow from it.
    fn written(self) -> Result<Written, Fault> {
        let Self { refused, topic, halve, again, .. } = self;
        match (topic, again) {
            _ if !refused.is_empty() => Ok(Written::Refused(refused)),
            (Some((topic, why)), _) => Ok(Written::TopicRefused(topic, why)),
            _ if halve > 0 => Ok(Written::Halve(halve)),
            (None, Some((code, topic))) => {
                Err(Fault::Refused { what: format!("topic {topic:?}"), code })
            }
            (None, None) => Ok(Written::All),
        }
    }
}

fn verdict(answer: &PartitionProduceResponse, ready: &Ready, is_alone: bool) -> Verdict {
    let wrong = answer.record_errors.iter().map(|it| {
        let words = it.batch_index_error_message.as_deref().unwrap_or_default();
        (it.batch_index, words.to_owned())
    });
    let wrong: Vec<_> = wrong.collect();
    let batch = (ready.places.len(), is_alone);
    judge(answer.error_code, &wrong, answer.error_message.as_deref(), batch)
}

fn signed(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}

fn unready() -> Fault {
    Fault::Other("nothing can be written before the producer has begun".into())
}
