//! An import at work: fetches, appends to our log, and notes in the same commit how far it is.
//! Whoever drops it loses nothing and has nothing twice: it begins anew from its row.

use std::sync::Arc;

use tidewire_proto::message::Published;
use tidewire_proto::mqtt::PropertiesBuilder;
use tidewire_proto::record::Record;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bridges::counts::Event;
use crate::bridges::desk::{Answer, Desk};
use crate::bridges::inlet::Inlet;
use crate::client::fault::Fault;
use crate::exports::letters::{Letter, write};
use crate::imports::aborted::Sieve;
use crate::imports::behind::Partitions;
use crate::imports::consumer::{Consumer, EARLIEST, LATEST, Part};
use crate::imports::fetched::{self, Fetched};
use crate::imports::options::{From, ImportOptions};
use crate::imports::position::{Positions, wished};
use crate::imports::rule::Origin;
use crate::room::Room;
use crate::time::now_ms;

/// Why an import ended.
pub(crate) enum Stopped {
    /// The other side.
    Fault(Fault),
    /// Our side.
    Ours(String),
}

impl std::convert::From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// An import whose source was reached.
pub(crate) struct Import {
    desk: Desk,
    options: Arc<ImportOptions>,
    consumer: Consumer,
    positions: Positions,
    inlet: Inlet,
    /// Messages that were gathered for the next commit.
    gathered: u64,
    letters: u64,
    underway: Option<Underway>,
    partitions: Partitions,
}

/// A commit that is not answered.
struct Underway {
    told: oneshot::Receiver<Answer>,
    messages: u64,
    letters: u64,
}

impl Import {
    /// Connects, and finds out where it goes on.
    pub(crate) async fn begin(desk: Desk, options: Arc<ImportOptions>) -> Result<Self, Stopped> {
        let row = desk.row().map_err(|error| Stopped::Ours(error.to_string()))?;
        let extra = row.map(|row| row.extra).unwrap_or_default();
        let positions = Positions::decode(&extra)
            .ok_or_else(|| Stopped::Ours("its row is of no form that is known".into()))?;
        let consumer = Consumer::open(Arc::clone(&options)).await?;
        let inlet = desk.inlet();
        let mut import = Self {
            desk,
            options,
            consumer,
            positions,
            inlet,
            gathered: 0,
            letters: 0,
            underway: None,
            partitions: Partitions::default(),
        };
        import.look().await?;
        let address = import.consumer.cluster.address().to_owned();
        import.desk.running(address);
        Ok(import)
    }

    /// Until something goes wrong.
    pub(crate) async fn run(&mut self) -> Result<(), Stopped> {
        let mut looked = Instant::now();
        loop {
            if looked.elapsed() >= self.options.look {
                self.look().await?;
                looked = Instant::now();
            }
            let parts = self.consumer.fetch(&self.positions).await?;
            let mut room = Room::new(usize::MAX);
            for part in parts {
                self.take(part, &mut room).await?;
            }
            self.desk.behind(self.partitions.behind());
            self.commit().await?;
            if self.gathered == 0 && self.underway.is_some() {
                // Nothing comes just now: what is on its way is heard of.
                self.settle().await?;
            }
        }
    }

    /// Topics and partitions; those that were never read get their place.
    async fn look(&mut self) -> Result<(), Stopped> {
        if let Some(fault) = self.consumer.look().await? {
            self.desk.trouble(fault.to_string());
        }
        let mut is_new = false;
        for (topic, partition) in self.consumer.partitions() {
            let known = self.positions.get(&topic, partition);
            let wish = known.and_then(wished);
            if known.is_some() && wish.is_none() {
                continue;
            }
            // A topic that grew is read whole.
            let timestamp = match (wish, self.options.from) {
                (Some(wish), _) => wish,
                (None, From::Earliest) => EARLIEST,
                (None, _) if self.positions.knows(&topic) => EARLIEST,
                (None, From::Latest) => LATEST,
                (None, From::Time(at_ms)) => at_ms,
            };
            let mut offset = self.consumer.offset_at((&topic, partition), timestamp).await?;
            if offset < 0 {
                // Nothing is as young.
                offset = self.consumer.offset_at((&topic, partition), LATEST).await?;
            }
            self.positions.set(&topic, partition, offset);
            is_new = true;
        }
        if is_new {
            self.submit().await?;
            self.settle().await?;
        }
        Ok(())
    }

    async fn take(&mut self, part: Part, room: &mut Room) -> Result<(), Stopped> {
        let Part { topic, partition, mut records, aborted, is_out_of_range, end } = part;
        if is_out_of_range {
            return self.find_place(&topic, partition).await;
        }
        let (mut sieve, mut read_ms) = (Sieve::new(aborted), None);
        while let Some(fetched) = fetched::next(&mut records, &mut sieve, room) {
            let wrong = |error| Stopped::Ours(format!("topic {topic:?}, {partition}: {error}"));
            let Fetched { base_offset, next_offset, batch } = fetched.map_err(wrong)?;
            let from = self.positions.get(&topic, partition).unwrap_or(0);
            for record in batch.iter().flat_map(|batch| batch.records()) {
                let offset = base_offset.saturating_add(i64::from(record.offset_delta));
                if offset < from {
                    continue;
                }
                self.push((&topic, partition, offset), &record);
                read_ms = Some(record.timestamp_ms);
                if self.inlet.bytes() >= self.options.commit_bytes_max {
                    self.positions.set(&topic, partition, offset.saturating_add(1));
                    self.submit().await?;
                }
            }
            if next_offset > from {
                self.positions.set(&topic, partition, next_offset);
            }
        }
        let next = self.positions.get(&topic, partition).unwrap_or(end);
        self.partitions.note((&topic, partition), (next, end), (read_ms, now_ms()));
        Ok(())
    }

    /// What was to be read next is gone, or the topic was made anew.
    async fn find_place(&mut self, topic: &str, partition: i32) -> Result<(), Stopped> {
        let before = self.positions.get(topic, partition).unwrap_or(0);
        let first = self.consumer.offset_at((topic, partition), EARLIEST).await?;
        let lost = u64::try_from(first.saturating_sub(before)).unwrap_or(0);
        self.desk.count(Event::Lost, lost);
        self.desk.trouble(format!(
            "topic {topic:?}, partition {partition}: offset {before} is not there; \
             it goes on at {first}, the first that is"
        ));
        self.positions.set(topic, partition, first);
        Ok(())
    }

    /// A record becomes a message, or a dead letter.
    fn push(&mut self, (topic, partition, offset): (&str, i32, i64), record: &Record<'_>) {
        let mut properties = PropertiesBuilder::default();
        let (origin, now_ms) = (Origin { topic, partition }, now_ms());
        let applied = self.options.rule.apply(origin, record, &mut properties);
        let pushed = applied.map_err(|error| error.to_string()).and_then(|incoming| {
            let message = Published {
                topic: &incoming.topic,
                payload: record.value.unwrap_or_default(),
                qos: incoming.qos,
                retain: incoming.retain,
                properties: properties.as_properties(),
                origin: None,
            };
            let pushed = self.inlet.push(&message, now_ms);
            pushed.map_err(|error| format!("{error}: {:?}", incoming.topic))
        });
        let Err(why) = pushed else {
            self.gathered += 1;
            return;
        };
        let source = format!("{topic}:{partition}:{offset}");
        self.desk.count(Event::Invalid, 1);
        self.desk.trouble(format!("the record at {source} is no message: {why}"));
        let Some(dead) = &self.options.dead_letter_topic else { return };
        let letter = Letter { bridge: self.desk.name(), source: &source, why: &why };
        let mut properties = PropertiesBuilder::default();
        let message = write(letter, record, (dead, now_ms), &mut properties);
        match self.inlet.push(&message, now_ms) {
            Ok(()) => self.letters += 1,
            Err(error) => self.desk.trouble(format!("a dead letter was lost: {error}")),
        }
    }

    /// Everything that was gathered, if anything was.
    async fn commit(&mut self) -> Result<(), Stopped> {
        if self.gathered + self.letters > 0 { self.submit().await } else { Ok(()) }
    }

    /// Hands everything over with how far we are; one commit is on its way at a time.
    async fn submit(&mut self) -> Result<(), Stopped> {
        self.settle().await?;
        let row = self.desk.positioned(Vec::new(), self.positions.encode());
        let (commit, claims) = self.inlet.commit(vec![row]);
        // What is retained counts when it is durable, also if nobody waits for that any more.
        let told = self.desk.submit_with(commit, claims);
        let messages = std::mem::take(&mut self.gathered);
        let letters = std::mem::take(&mut self.letters);
        self.underway = Some(Underway { told, messages, letters });
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Stopped> {
        let Some(Underway { told, messages, letters }) = self.underway.take() else {
            return Ok(());
        };
        let answer = told.await;
        let is_durable = matches!(answer, Ok(Ok(_)));
        if is_durable {
            self.desk.count(Event::Received, messages);
            self.desk.count(Event::DeadLetter, letters);
            return Ok(());
        }
        let words = match answer {
            Ok(Err(error)) => error.to_string(),
            _ => "the store is closed".into(),
        };
        Err(Stopped::Ours(format!("messages cannot be stored: {words}")))
    }
}
