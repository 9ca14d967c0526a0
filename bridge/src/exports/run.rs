//! An export at work: reads the log, writes to the target, notes how far it is. Whoever drops it
//! loses nothing: it begins anew from what the target holds, or from its row.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::id::PartitionId;
use tidewire_proto::mqtt::PropertiesBuilder;
use tidewire_proto::session::window::Place;
use tidewire_store::Commit;
use tokio::time::{Instant, timeout, timeout_at};

use crate::bridges::counts::Event;
use crate::bridges::desk::Desk;
use crate::bridges::scope::Scope;
use crate::bridges::source::{Chunk, Source};
use crate::bridges::start::Start;
use crate::client::fault::Fault;
use crate::exports::judge::{Why, is_topic_refused};
use crate::exports::letters::{Letter, source_of, write};
use crate::exports::load::{Known, Load, Origin, Sizes};
use crate::exports::options::{AtRefusedTopic, ExportOptions};
use crate::exports::position::{Kept, Mark, resolve};
use crate::exports::producer::{Producer, Written};
use crate::identity::{NoIdentity, cluster_id};
use crate::time::now_ms;

/// The source gives about so much at a time.
const CHUNK_BYTES_MAX: usize = 1 << 20;
/// Topics of the target that are remembered.
const TOPICS_MAX: usize = 10_000;
/// A topic that takes nothing is looked at again after this time.
const REFUSED: Duration = Duration::from_secs(30);
/// How long a transaction waits for what is in the log already.
const READ: Duration = Duration::from_millis(500);
/// Without anything for it, an export notes after this time what it has passed.
const NOTE: Duration = Duration::from_secs(5);
/// Whoever was idle for so long looks first whether the other side is still there.
const IDLE: Duration = Duration::from_secs(60);

/// Why an export ended.
pub(crate) enum Stopped {
    /// The target.
    Fault(Fault),
    /// Our side.
    Ours(String),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// An export whose target was reached.
pub(crate) struct Export {
    desk: Desk,
    options: Arc<ExportOptions>,
    /// Our transactional id.
    id: Arc<str>,
    producer: Producer,
    source: Source,
    mark: Mark,
    buried: BTreeSet<Place>,
    refused: HashMap<String, (Why, Instant)>,
}

impl Export {
    /// Connects, and finds out how far it is.
    pub(crate) async fn begin(
        desk: Desk,
        scope: &Scope,
        options: Arc<ExportOptions>,
    ) -> Result<Self, Stopped> {
        let start = if options.from_earliest { Start::Earliest } else { Start::Latest };
        // From here on what comes is held for it, also while the target cannot be reached.
        let (source, kept) =
            desk.source(scope, start, CHUNK_BYTES_MAX).await.map_err(Stopped::Ours)?;
        let id = match &options.transactional_id {
            Some(id) => id.as_str().into(),
            None => own_id(&desk)?,
        };
        let (producer, marks) = Producer::open(Arc::clone(&options), &id).await?;
        let kept = Kept::decode(&kept);
        let mark = resolve(&source.positions(), &kept, &marks);
        let mut export = Self {
            desk,
            options,
            id,
            producer,
            source,
            mark,
            buried: kept.buried.iter().copied().collect(),
            refused: HashMap::new(),
        };
        if export.mark.positions != export.source.positions() {
            export.note().await?;
            let again = export.desk.source(scope, start, CHUNK_BYTES_MAX).await;
            (export.source, _) = again.map_err(Stopped::Ours)?;
        }
        let address = export.producer.cluster.address().to_owned();
        export.desk.running(address);
        Ok(export)
    }

    /// Until something goes wrong or it is to leave.
    pub(crate) async fn run(&mut self) -> Result<(), Stopped> {
        loop {
            let since = Instant::now();
            let Some(first) = self.first().await? else { return Ok(()) };
            if since.elapsed() >= IDLE {
                let (producer, _) = Producer::open(Arc::clone(&self.options), &self.id).await?;
                self.producer = producer;
            }
            let chunks = self.gather(first).await?;
            self.pass(&chunks).await?;
        }
    }

    /// Waits for something to come; `None` when it is to leave.
    async fn first(&mut self) -> Result<Option<Chunk>, Stopped> {
        let mut desk = self.desk.clone();
        loop {
            let first = tokio::select! {
                biased;
                () = desk.leaves() => return Ok(None),
                first = timeout(NOTE, self.source.next()) => first,
            };
            if let Ok(first) = first {
                return first.map(Some).map_err(|error| Stopped::Ours(error.to_string()));
            }
            // What came meanwhile was not for us: nobody has to hold it.
            let positions = self.source.positions();
            if positions != self.mark.positions {
                self.mark.positions = positions;
                self.note().await?;
            }
        }
    }

    /// What comes within the time, up to the size of a transaction.
    async fn gather(&mut self, first: Chunk) -> Result<Vec<Chunk>, Stopped> {
        let deadline = Instant::now() + self.options.linger;
        let mut bytes = first.bytes();
        let mut chunks = vec![first];
        while bytes < self.options.transaction_bytes_max {
            // What is there may not be for us: who waits for it may wait in vain.
            let until = match self.source.is_at_end() {
                true => deadline,
                false => Instant::now() + READ,
            };
            let more = timeout_at(until, self.source.next()).await;
            let Ok(more) = more else { break };
            let more = more.map_err(|error| Stopped::Ours(error.to_string()))?;
            bytes += more.bytes();
            chunks.push(more);
        }
        Ok(chunks)
    }

    /// Has all of these in the target, or buried.
    async fn pass(&mut self, chunks: &[Chunk]) -> Result<(), Stopped> {
        let lost: u64 = chunks.iter().map(|chunk| chunk.lost).sum();
        if lost > 0 {
            self.desk.count(Event::Lost, lost);
            self.desk.trouble(format!("{lost} messages were deleted before they were exported"));
        }
        // Everything that was read is in these, or was not for us.
        let next = self.source.positions();
        let (mut records_max, mut is_apart) = (usize::MAX, false);
        loop {
            let mut load = self.load(chunks, records_max).await?;
            load.is_apart = is_apart;
            if !load.poison.is_empty() {
                self.bury(chunks, &load.poison).await?;
                continue;
            }
            if load.records == 0 {
                self.mark = Mark { positions: next, ..self.mark.clone() };
                return self.note().await;
            }
            let mark =
                Mark { count: self.mark.count + 1, positions: next.clone(), ..self.mark.clone() };
            match self.producer.write(&load, &mark).await? {
                Written::All => {
                    self.desk.count(Event::Sent, load.records as u64);
                    self.mark = mark;
                    return self.note().await;
                }
                Written::Refused(poison) => {
                    self.producer.begin().await?;
                    self.bury(chunks, &poison).await?;
                }
                Written::TopicRefused(topic, why) => {
                    self.producer.begin().await?;
                    self.refuse(topic, why)?;
                }
                Written::Halve(records) => {
                    self.producer.begin().await?;
                    is_apart |= records <= 1;
                    records_max = (records / 2).max(1);
                }
            }
        }
    }

    /// The records as batches; topics that are not known are looked up first.
    async fn load(&mut self, chunks: &[Chunk], records_max: usize) -> Result<Load, Stopped> {
        let sizes = Sizes {
            batch_bytes_max: self.options.batch_bytes_max,
            record_bytes_max: self.options.message_bytes_max,
            batch_records_max: records_max,
        };
        loop {
            let load = self.build(chunks, sizes);
            if load.unknown.is_empty() {
                return Ok(load);
            }
            if self.producer.cluster.topics_known() + load.unknown.len() > TOPICS_MAX {
                self.producer.cluster.forget_topics();
            }
            for topic in load.unknown {
                let (may_make, within) = (self.options.may_make_topics, self.options.topic_wait);
                let found = self.producer.cluster.look_up(&topic, may_make, within).await;
                let Err(fault) = found else { continue };
                if !fault.error().is_some_and(is_topic_refused) {
                    return Err(fault.into());
                }
                self.refuse(topic, Why::new(fault.to_string()))?;
            }
        }
    }

    fn build(&self, chunks: &[Chunk], sizes: Sizes) -> Load {
        let (mut load, now) = (Load::default(), Instant::now());
        let known = |topic: &str| match self.producer.cluster.partitions(topic) {
            _ if self.refused.get(topic).is_some_and(|(_, until)| *until > now) => {
                let why = self.refused.get(topic).map(|(why, _)| why.clone());
                Known::Refused(why.unwrap_or_else(|| Why::new("")))
            }
            Some(partitions) => Known::Partitions(partitions),
            None => Known::No,
        };
        for chunk in chunks {
            let Some(home) = self.source.home(chunk.partition) else { continue };
            let (stream, index, partition) = (&*home.stream, home.index, chunk.partition);
            let origin = Origin { stream, index, partition };
            for (offset, record) in chunk.records() {
                if !self.buried.contains(&Place { partition, offset }) {
                    load.add((&self.options.rule, sizes), origin, (offset, &record), known);
                }
            }
        }
        load.finish();
        load
    }

    /// Nothing will be taken for this topic, for a while.
    fn refuse(&mut self, topic: String, why: Why) -> Result<(), Stopped> {
        match self.options.at_refused_topic {
            AtRefusedTopic::Wait => Err(Stopped::Fault(Fault::Other(why.words))),
            AtRefusedTopic::DeadLetter => {
                self.desk.trouble(why.words.clone());
                if self.refused.len() >= TOPICS_MAX {
                    self.refused.clear();
                }
                self.refused.insert(topic, (why, Instant::now() + REFUSED));
                Ok(())
            }
        }
    }

    /// Dead letters for these, with the note that they have theirs, in one commit.
    async fn bury(&mut self, chunks: &[Chunk], poison: &[(Place, Why)]) -> Result<(), Stopped> {
        let whys: BTreeMap<Place, &Why> = poison.iter().map(|(place, why)| (*place, why)).collect();
        let (mut inlet, mut letters) = (self.desk.inlet(), 0);
        for chunk in chunks {
            for (offset, record) in chunk.records() {
                let place = Place { partition: chunk.partition, offset };
                let Some(why) = whys.get(&place) else { continue };
                let what = if why.is_too_large { Event::TooLarge } else { Event::Refused };
                self.desk.count(what, 1);
                let Some(topic) = &self.options.dead_letter_topic else { continue };
                let (bridge, source) = (self.desk.name(), source_of(place));
                let letter = Letter { bridge, source: &source, why: &why.words };
                let mut properties = PropertiesBuilder::default();
                let now_ms = now_ms();
                let message = write(letter, &record, (topic, now_ms), &mut properties);
                match inlet.push(&message, now_ms) {
                    Ok(()) => letters += 1,
                    Err(error) => self.desk.trouble(format!("a dead letter was lost: {error}")),
                }
            }
        }
        let Some((first, why)) = poison.first() else { return Ok(()) };
        let (count, words) = (poison.len(), &why.words);
        let at = source_of(*first);
        self.desk.trouble(format!("{count} messages are given up, the first at {at}: {words}"));
        self.buried.extend(poison.iter().map(|(place, _)| *place));
        let row = self.desk.positioned(self.mark.positions.clone(), self.kept().encode());
        let (commit, mut claims) = inlet.commit(vec![row]);
        let done = self.desk.commit(commit).await;
        claims.settle(done.is_ok());
        done.map_err(|error| Stopped::Ours(format!("dead letters cannot be stored: {error}")))?;
        self.desk.count(Event::DeadLetter, letters);
        Ok(())
    }

    /// Our row says how far we are.
    async fn note(&mut self) -> Result<(), Stopped> {
        let positions: HashMap<PartitionId, u64> = self.mark.positions.iter().copied().collect();
        let is_ahead = |place: &Place| {
            positions.get(&place.partition).is_none_or(|offset| place.offset >= *offset)
        };
        self.buried.retain(is_ahead);
        let row = self.desk.positioned(self.mark.positions.clone(), self.kept().encode());
        let commit = Commit { appends: Vec::new(), changes: vec![row] };
        let noted = self.desk.commit(commit).await;
        noted.map_err(|error| Stopped::Ours(format!("the position cannot be stored: {error}")))?;
        Ok(())
    }

    fn kept(&self) -> Kept {
        let Mark { generation, count, .. } = self.mark;
        Kept { generation, count, buried: self.buried.iter().copied().collect() }
    }
}

/// A transactional id that no other broker has, nor another export of ours. To be asked for behind
/// a commit of ours: what the Kafka port may have made of itself is to be seen then.
fn own_id(desk: &Desk) -> Result<Arc<str>, Stopped> {
    let ours = cluster_id(desk.store()).map_err(|error| match error {
        NoIdentity::Tables(error) => Stopped::Ours(error.to_string()),
        NoIdentity::Random(error) => Stopped::Ours(format!("no random numbers: {error}")),
    })?;
    Ok(format!("tidewire-{ours}-{}", desk.name()).into())
}
