//! An export at work: reads the log, writes to the target, notes how far it is. Whoever drops it
//! loses nothing: it begins anew from what the target holds, or from its row.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::id::PartitionId;
use tidewire_proto::mqtt::PropertiesBuilder;
use tidewire_proto::session::window::Place;
use tidewire_store::{Commit, CommitError, ReadError};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bridges::counts::Event;
use crate::bridges::desk::{Answer, Desk};
use crate::bridges::scope::Scope;
use crate::bridges::source::Chunk;
use crate::bridges::start::Start;
use crate::client::fault::Fault;
use crate::exports::basis::{Basis, Made, Refused};
use crate::exports::judge::{Why, is_topic_refused};
use crate::exports::letters::{Letter, source_of, write};
use crate::exports::load::Load;
use crate::exports::options::{AtRefusedTopic, ExportOptions};
use crate::exports::portion::{Portion, Portions};
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
    mark: Mark,
    buried: Arc<BTreeSet<Place>>,
    refused: Arc<Refused>,
    /// Our row is being stored.
    noting: Option<oneshot::Receiver<Answer>>,
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Ours(error.to_string())
    }
}

impl Export {
    /// Connects, and finds out how far it is.
    pub(crate) async fn begin(
        desk: Desk,
        scope: &Scope,
        options: Arc<ExportOptions>,
    ) -> Result<(Self, Portions), Stopped> {
        let start = if options.from_earliest { Start::Earliest } else { Start::Latest };
        // From here on what comes is held for it, also while the target cannot be reached.
        let (mut source, kept) =
            desk.source(scope, start, CHUNK_BYTES_MAX).await.map_err(Stopped::Ours)?;
        let id = match &options.transactional_id {
            Some(id) => id.as_str().into(),
            None => own_id(&desk)?,
        };
        let (producer, marks) = Producer::open(Arc::clone(&options), &id).await?;
        let kept = Kept::decode(&kept);
        let end = |id| desk.store().bounds(id).map_or(0, |(_, end)| end);
        let (mark, is_foreign) = resolve(&source.positions(), &kept, &marks, end);
        if is_foreign {
            desk.trouble(
                "the target holds positions of a log that had more than this one, which may be a \
                 copy of before: it goes on by its own, and may repeat what the copy had not noted",
            );
        }
        let is_noted = (mark.generation, mark.count) == (kept.generation, kept.count);
        let mut export = Self {
            desk,
            options,
            id,
            producer,
            mark,
            buried: Arc::new(kept.buried.iter().copied().collect()),
            refused: Arc::default(),
            noting: None,
        };
        if !is_noted || export.mark.positions != source.positions() {
            export.note();
            export.noted().await?;
            let again = export.desk.source(scope, start, CHUNK_BYTES_MAX).await;
            (source, _) = again.map_err(Stopped::Ours)?;
        }
        let address = export.producer.cluster.address().to_owned();
        export.desk.running(address);
        let (bytes_max, linger) = (export.options.transaction_bytes_max, export.options.linger);
        Ok((export, Portions::new(source, bytes_max, linger)))
    }

    /// Until something goes wrong or it is to leave.
    pub(crate) async fn run(&mut self, mut portions: Portions) -> Result<(), Stopped> {
        let mut desk = self.desk.clone();
        let mut ready = None;
        loop {
            let since = Instant::now();
            let (portion, made) = match ready.take() {
                Some(ready) if !desk.is_to_leave() => ready,
                _ => match self.first(&mut desk, &mut portions).await? {
                    Some(portion) => (portion, None),
                    None => return self.noted().await,
                },
            };
            if since.elapsed() >= IDLE {
                let (producer, _) = Producer::open(Arc::clone(&self.options), &self.id).await?;
                self.producer = producer;
            }
            // While one part is on its way, the next is read and built.
            let ahead = ahead(&mut portions, &portion, self.basis());
            let (passed, next) = tokio::join!(self.pass(&portion, made), ahead);
            passed?;
            ready = next?;
        }
    }

    /// Waits for something to come; `None` when it is to leave.
    async fn first(
        &mut self,
        desk: &mut Desk,
        portions: &mut Portions,
    ) -> Result<Option<Portion>, Stopped> {
        self.noted().await?;
        loop {
            let first = tokio::select! {
                biased;
                () = desk.leaves() => return Ok(None),
                first = portions.next(NOTE) => first,
            };
            if let Some(first) = first? {
                return Ok(Some(first));
            }
            // What came meanwhile was not for us: nobody has to hold it.
            let positions = portions.positions();
            if positions != self.mark.positions {
                self.mark.positions = positions;
                self.note();
                self.noted().await?;
            }
        }
    }

    /// Has all of these in the target, or buried.
    async fn pass(&mut self, portion: &Portion, made: Option<Made>) -> Result<(), Stopped> {
        let lost: u64 = portion.chunks.iter().map(|chunk| chunk.lost).sum();
        if lost > 0 {
            self.desk.count(Event::Lost, lost);
            self.desk.trouble(format!("{lost} messages were deleted before they were exported"));
        }
        let next = &portion.next;
        let (mut records_max, mut is_apart, since) = (usize::MAX, false, Instant::now());
        let mut made = made.and_then(|made| made.still(&self.basis()));
        loop {
            let mut load = match made.take() {
                Some(load) => load,
                None => self.load(portion, (records_max, since)).await?,
            };
            load.is_apart = is_apart;
            if !load.poison.is_empty() {
                self.bury(&portion.chunks, &load.poison).await?;
                continue;
            }
            if load.records == 0 {
                self.mark = Mark { positions: next.clone(), ..self.mark.clone() };
                self.note();
                return Ok(());
            }
            let mark =
                Mark { count: self.mark.count + 1, positions: next.clone(), ..self.mark.clone() };
            match self.producer.write(&load, &mark).await? {
                Written::All => {
                    // The target is never ahead of our row by more than one transaction.
                    self.noted().await?;
                    self.producer.commit().await?;
                    self.desk.count(Event::Sent, load.records as u64);
                    self.mark = mark;
                    self.note();
                    return Ok(());
                }
                Written::Refused(poison) => {
                    self.producer.begin().await?;
                    self.bury(&portion.chunks, &poison).await?;
                }
                Written::TopicRefused(topic, why) => {
                    self.producer.begin().await?;
                    self.refuse(topic, why, since)?;
                }
                Written::Halve(records) => {
                    self.producer.begin().await?;
                    is_apart |= records <= 1;
                    records_max = (records / 2).max(1);
                }
            }
        }
    }

    /// The records as batches; topics that are not known are looked up first. What was refused
    /// since then stays so until the load is written.
    async fn load(
        &mut self,
        portion: &Portion,
        (records_max, since): (usize, Instant),
    ) -> Result<Load, Stopped> {
        // Once: what this load needs is not forgotten again.
        let mut may_forget = true;
        loop {
            let load = self.basis().build(portion, (records_max, since)).await;
            if let Some(error) = load.broken {
                return Err(Stopped::Ours(format!("a batch cannot be compressed: {error}")));
            }
            if load.unknown.is_empty() {
                return Ok(load);
            }
            let count = self.producer.cluster.topics_known() + load.unknown.len();
            if std::mem::take(&mut may_forget) && count > TOPICS_MAX {
                self.producer.cluster.forget_topics();
            }
            let may_make = self.options.may_make_topics;
            // Who was waited for in vain before is not waited for again.
            let (known, new): (Vec<_>, Vec<_>) =
                load.unknown.into_iter().partition(|topic| self.refused.contains_key(topic));
            for (topics, within) in [(known, Duration::ZERO), (new, self.options.topic_wait)] {
                let missing = self.producer.cluster.look_up_all(topics, may_make, within).await?;
                for (topic, fault) in missing {
                    if !fault.error().is_some_and(is_topic_refused) {
                        return Err(fault.into());
                    }
                    self.refuse(topic, Why::new(fault.to_string()), since)?;
                }
            }
        }
    }

    fn basis(&self) -> Basis {
        let (options, topics) = (Arc::clone(&self.options), self.producer.cluster.topics());
        let (refused, buried) = (Arc::clone(&self.refused), Arc::clone(&self.buried));
        Basis { options, topics, refused, buried }
    }

    /// Nothing will be taken for this topic, for a while.
    fn refuse(&mut self, topic: String, why: Why, since: Instant) -> Result<(), Stopped> {
        match self.options.at_refused_topic {
            AtRefusedTopic::Wait => Err(Stopped::Fault(Fault::Other(why.words))),
            AtRefusedTopic::DeadLetter => {
                self.desk.trouble(why.words.clone());
                let refused = Arc::make_mut(&mut self.refused);
                if refused.len() >= TOPICS_MAX {
                    refused.retain(|_, (_, until)| *until > since);
                }
                refused.insert(topic, (why, Instant::now() + REFUSED));
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
        Arc::make_mut(&mut self.buried).extend(poison.iter().map(|(place, _)| *place));
        let row = self.desk.positioned(self.mark.positions.clone(), self.kept().encode());
        let (commit, mut claims) = inlet.commit(vec![row]);
        let done = self.desk.commit(commit).await;
        claims.settle(done.is_ok());
        done.map_err(|error| Stopped::Ours(format!("dead letters cannot be stored: {error}")))?;
        self.desk.count(Event::DeadLetter, letters);
        Ok(())
    }

    /// Has our row say how far we are.
    fn note(&mut self) {
        let positions: HashMap<PartitionId, u64> = self.mark.positions.iter().copied().collect();
        let is_ahead = |place: &Place| {
            positions.get(&place.partition).is_none_or(|offset| place.offset >= *offset)
        };
        if !self.buried.is_empty() {
            Arc::make_mut(&mut self.buried).retain(is_ahead);
        }
        let row = self.desk.positioned(self.mark.positions.clone(), self.kept().encode());
        let commit = Commit { appends: Vec::new(), changes: vec![row] };
        self.noting = Some(self.desk.submit(commit));
    }

    /// Until it does.
    async fn noted(&mut self) -> Result<(), Stopped> {
        let Some(noting) = self.noting.take() else { return Ok(()) };
        let noted = noting.await.unwrap_or(Err(CommitError::Closed));
        noted.map_err(|error| Stopped::Ours(format!("the position cannot be stored: {error}")))?;
        Ok(())
    }

    fn kept(&self) -> Kept {
        let Mark { generation, count, .. } = self.mark;
        Kept { generation, count, buried: self.buried.iter().copied().collect() }
    }
}

/// The next part, and what becomes of it.
async fn ahead(
    portions: &mut Portions,
    before: &Portion,
    basis: Basis,
) -> Result<Option<(Portion, Option<Made>)>, ReadError> {
    let Some(portion) = portions.behind(before).await? else { return Ok(None) };
    let made = basis.make(&portion).await;
    Ok(Some((portion, made)))
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
