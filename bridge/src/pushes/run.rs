//! A push at work: gathers messages, sends them, tries again, gives up what the receiver will
//! never take, and says how far it is. At least once: what was sent and not noted is sent again,
//! under the same id.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tidewire_proto::id::PartitionId;
use tidewire_proto::mqtt::PropertiesBuilder;
use tidewire_proto::session::window::Place;
use tidewire_store::Commit;
use tokio::sync::oneshot;
use tokio::time::Instant as Moment;

use crate::bridges::backoff::Backoff;
use crate::bridges::counts::Event;
use crate::bridges::desk::{Answer as Stored, Desk};
use crate::bridges::random::random;
use crate::bridges::source::{Chunk, Source};
use crate::exports::letters::{Letter, source_of, write};
use crate::pushes::address::Address;
use crate::pushes::judge::{Verdict, judge, retry_after, words};
use crate::pushes::load::{Load, Part, Taken};
use crate::pushes::options::{Form, PushOptions};
use crate::pushes::post::{NoAnswer, Poster};
use crate::pushes::reader::Answer;
use crate::time::now_ms;

/// How often it is noted how far we looked, where nothing comes that is meant.
const LOOK: Duration = Duration::from_secs(5);

/// A push at work.
pub(super) struct Push {
    desk: Desk,
    options: Arc<PushOptions>,
    source: Source,
    poster: Poster,
    backoff: Backoff,
    /// What lies before these is done with.
    done: BTreeMap<PartitionId, u64>,
    /// A note of that which is on its way to the disk.
    noting: Option<oneshot::Receiver<Stored>>,
}

/// What is to be done after a request.
enum Next {
    Taken,
    Again { wait: Option<Duration>, words: String, is_broken: bool },
    GiveUp(String),
}

impl Push {
    /// Reads on where its row says.
    pub(super) fn new(
        desk: Desk,
        (source, done): (Source, Vec<(PartitionId, u64)>),
        poster: Poster,
        options: Arc<PushOptions>,
    ) -> Self {
        let backoff = Backoff::new(options.retry);
        let done = done.into_iter().collect();
        Self { desk, options, source, poster, backoff, done, noting: None }
    }

    /// Until something of ours fails, in words.
    pub(super) async fn run(&mut self) -> Result<Infallible, String> {
        loop {
            let mut load = self.gather().await?;
            let most = match self.options.form {
                Form::Array => self.options.messages_max,
                Form::Object => 1,
            };
            let mut parts: VecDeque<Part> = load.parts(most, self.options.request_bytes_max).into();
            while let Some(part) = parts.pop_front() {
                self.deliver(&mut load, part, &mut parts).await?;
            }
            self.note_all().await?;
        }
    }

    /// About as much as fits into a request, and what comes soon.
    async fn gather(&mut self) -> Result<Load, String> {
        let mut load = Load::default();
        let mut until = None;
        let is_full = |load: &Load| {
            load.bytes() >= self.options.request_bytes_max
                || load.len() >= self.options.messages_max
        };
        while !is_full(&load) {
            // Where nothing comes that is meant, it is noted now and then how far we looked.
            let until_then = until.unwrap_or_else(|| Moment::now() + LOOK);
            let chunk = self.source.next_by(until_then).await;
            let chunk = chunk.map_err(|error| format!("the log cannot be read: {error}"))?;
            let Some(chunk) = chunk else { break };
            until.get_or_insert_with(|| Moment::now() + self.options.linger);
            if chunk.lost > 0 {
                self.desk.count(Event::Lost, chunk.lost);
                let lost = chunk.lost;
                self.desk.trouble(format!("{lost} messages were deleted before they were sent"));
            }
            add(&self.desk, &self.source, &chunk, &mut load);
        }
        Ok(load)
    }

    /// Sends a part. What is left of it comes before what is still to be sent.
    async fn deliver(
        &mut self,
        load: &mut Load,
        mut part: Part,
        parts: &mut VecDeque<Part>,
    ) -> Result<(), String> {
        // The try before may have been long ago.
        let now_ms = now_ms();
        let expired = load.expire(&part, now_ms);
        let count = load.count(&part);
        if expired > 0 {
            self.desk.count(Event::Expired, expired);
            if count == 1 {
                // It is alone from now on.
                part.broke = 0;
            }
        }
        if count == 0 {
            self.done_with(load, &part);
            return self.note().await;
        }
        if part.was_sent {
            self.desk.count(Event::Repeated, count as u64);
        }
        let body = load.body(&part, self.options.form, now_ms);
        let answered = self.poster.post(&body, now_ms / 1000).await;
        part.was_sent |= !matches!(answered, Err(NoAnswer::Unheard(_)));
        match self.judge(answered, &part) {
            Next::Taken => {
                self.desk.running(Address::origin(&self.options.url));
                self.backoff = Backoff::new(self.options.retry);
                self.desk.count(Event::Sent, count as u64);
                self.done_with(load, &part);
                self.note().await
            }
            Next::Again { wait, words, is_broken } => {
                part.broke += u32::from(is_broken);
                parts.push_front(part);
                self.rest(wait, words).await;
                Ok(())
            }
            Next::GiveUp(words) if count == 1 => self.bury(load, &part, &words).await,
            Next::GiveUp(_) => {
                let most = self.options.tries_max.saturating_sub(1);
                for half in part.halves(most).into_iter().rev() {
                    parts.push_front(half);
                }
                Ok(())
            }
        }
    }

    fn judge(&self, answered: Result<Answer, NoAnswer>, part: &Part) -> Next {
        let answer = match answered {
            Ok(answer) => answer,
            Err(error) => {
                let words = error.to_string();
                return Next::Again { wait: None, words, is_broken: false };
            }
        };
        let Answer { status, retry_after: asked, said, .. } = answer;
        let mut words = format!("the receiver answers {status}: {}", words(status));
        if !said.is_empty() {
            words = format!("{words} ({said})");
        }
        let (least, most) = (self.options.retry.min, self.options.retry_after_max);
        let wait = asked.and_then(|asked| retry_after(&asked, least, most));
        let tries_max = self.options.tries_max;
        match judge(status) {
            Verdict::Taken => Next::Taken,
            Verdict::Unwanted => Next::GiveUp(words),
            Verdict::Broken if tries_max > 0 && part.broke + 1 >= tries_max => Next::GiveUp(words),
            Verdict::Broken => Next::Again { wait, words, is_broken: true },
            Verdict::Later => Next::Again { wait, words, is_broken: false },
        }
    }

    /// Waits before the next try, as long as the receiver asks, or longer with each failure.
    async fn rest(&mut self, asked: Option<Duration>, words: String) {
        self.desk.count(Event::Failure, 1);
        self.desk.trouble(words);
        let own = self.backoff.failed(Duration::ZERO, random());
        let wait = asked.unwrap_or(own);
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.desk.waiting(now_ms().saturating_add(wait_ms));
        tokio::time::sleep(wait).await;
    }

    /// It gets its dead letter, and is done with.
    async fn bury(&mut self, load: &Load, part: &Part, words: &str) -> Result<(), String> {
        self.desk.count(Event::Refused, 1);
        let Some((place, record)) = load.first(part) else { return Ok(()) };
        let source = source_of(place);
        self.desk.trouble(format!("the message at {source} is given up: {words}"));
        self.done_with(load, part);
        let mut inlet = self.desk.inlet();
        let mut letters = 0;
        if let Some(topic) = &self.options.dead_letter_topic {
            let letter = Letter { bridge: self.desk.name(), source: &source, why: words };
            let (mut properties, now_ms) = (PropertiesBuilder::default(), now_ms());
            let message = write(letter, &record, (topic, now_ms), &mut properties);
            match inlet.push(&message, now_ms) {
                Ok(()) => letters = 1,
                Err(error) => self.desk.trouble(format!("a dead letter was lost: {error}")),
            }
        }
        self.noted().await?;
        let (commit, mut claims) = inlet.commit(vec![self.desk.positioned(self.at(), [].into())]);
        let stored = self.desk.commit(commit).await;
        claims.settle(stored.is_ok());
        stored.map_err(|error| format!("a dead letter cannot be stored: {error}"))?;
        self.desk.count(Event::DeadLetter, letters);
        Ok(())
    }

    fn done_with(&mut self, load: &Load, part: &Part) {
        for place in load.places(part) {
            self.done.insert(place.partition, place.offset + 1);
        }
    }

    /// All that was read is done with.
    async fn note_all(&mut self) -> Result<(), String> {
        let done = self.source.positions().into_iter().collect();
        if done == self.done {
            return Ok(());
        }
        self.done = done;
        self.note().await
    }

    /// Has it noted how far we are, once the note before is on disk.
    async fn note(&mut self) -> Result<(), String> {
        self.noted().await?;
        let changes = vec![self.desk.positioned(self.at(), [].into())];
        self.noting = Some(self.desk.submit(Commit { appends: Vec::new(), changes }));
        Ok(())
    }

    async fn noted(&mut self) -> Result<(), String> {
        let Some(noting) = self.noting.take() else { return Ok(()) };
        match noting.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(format!("the position cannot be stored: {error}")),
            Err(_) => Err("the store is closed".into()),
        }
    }

    fn at(&self) -> Vec<(PartitionId, u64)> {
        self.done.iter().map(|(partition, offset)| (*partition, *offset)).collect()
    }
}

/// The messages of a chunk that are to be sent.
fn add(desk: &Desk, source: &Source, chunk: &Chunk, load: &mut Load) {
    let Some(home) = source.home(chunk.partition) else { return };
    let now_ms = now_ms();
    for (offset, record) in chunk.shared() {
        let place = Place { partition: chunk.partition, offset };
        match load.take((home, place), &record, now_ms) {
            Taken::Yes => (),
            Taken::Invalid => desk.count(Event::Invalid, 1),
            Taken::Expired => desk.count(Event::Expired, 1),
        }
    }
}
