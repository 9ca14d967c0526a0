//! Opens the connections of a run and lets them work; collects what went wrong. Measures nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::board::{Board, Limits, Receiver, Sender};
use super::link::{Hello, Link, Role};
use super::options::Options;
use super::publisher::{Messages, Publisher, Topic};
use super::pulse::{Pulse, Sample};
use super::report::Report;
use super::stamp::Stamp;

/// Nothing arrived for so long: nothing will.
const SILENCE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(1);

/// A publisher and its connection.
#[derive(Clone, Debug)]
pub(crate) struct Publishing {
    pub(crate) link: Rc<Link>,
    pub(crate) sender: Rc<RefCell<Sender>>,
}

/// All that was opened for a run.
#[derive(Debug)]
pub(crate) struct Crew<'a> {
    pub(crate) options: &'a Options,
    pub(crate) board: Rc<Board>,
    pub(crate) publishers: Vec<Publishing>,
    pub(crate) pulse: Pulse,
    /// Ends only when something went wrong.
    serving: JoinSet<Result<(), String>>,
}

impl<'a> Crew<'a> {
    pub(crate) fn new(options: &'a Options, board: Board, pulse: Pulse) -> Self {
        let (board, publishers) = (Rc::new(board), Vec::new());
        Self { options, board, publishers, pulse, serving: JoinSet::new() }
    }

    /// Connects a publisher; it begins when it is [started](Self::start_publishers).
    pub(crate) async fn add_publisher(
        &mut self,
        topic: Topic<'_>,
        retain: bool,
        limits: Limits,
    ) -> Result<(), String> {
        let index = self.publishers.len();
        let link = self.connect(&format!("p{index}"), false).await?;
        let number = u32::try_from(index).map_err(|error| error.to_string())?;
        let stamp = Stamp { run: self.board.run, publisher: number, number: 0, due_ns: 0 };
        let Options { qos, payload_bytes, version, .. } = *self.options;
        let messages = Messages { topic, qos, retain, payload_bytes };
        let publisher = Publisher::new(stamp, messages, version);
        let publisher = publisher.map_err(|error| error.to_string())?;
        self.board.add_publisher(&link);
        let sender = Sender { board: Rc::clone(&self.board), publisher, index, limits };
        self.publishers.push(Publishing { link, sender: Rc::new(RefCell::new(sender)) });
        Ok(())
    }

    /// A subscriber that reads from now on.
    pub(crate) fn add_subscriber(&mut self, index: usize, link: Rc<Link>) {
        let receiver = Receiver::new(&self.board, index);
        self.serve(link, Rc::new(RefCell::new(receiver)));
    }

    pub(crate) fn start_publishers(&mut self) {
        for Publishing { link, sender } in self.publishers.clone() {
            self.serve(link, sender);
        }
    }

    pub(crate) async fn connect(&self, name: &str, stays: bool) -> Result<Rc<Link>, String> {
        let Options { to, version, prefix, .. } = self.options;
        let client_id = format!("{prefix}-{name}");
        let hello = Hello { to, version: *version, client_id: &client_id, stays };
        Link::open(hello).await
    }

    /// Messages that publishers sent.
    pub(crate) fn sent(&self) -> u64 {
        self.publishers.iter().map(|one| one.sender.borrow().publisher.sent()).sum()
    }

    /// Messages whose exchange with their publisher is not over.
    pub(crate) fn in_flight(&self) -> u64 {
        self.publishers.iter().map(|one| one.sender.borrow().publisher.in_flight()).sum()
    }

    /// Messages whose exchange with their publisher is over.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.sent() - self.in_flight()
    }

    /// Messages that arrived, each once for each reader.
    pub(crate) fn delivered(&self) -> u64 {
        self.board.ledger.borrow().distinct()
    }

    /// Lets all work for this long.
    pub(crate) async fn work_for(&mut self, time: Duration) -> Result<(), String> {
        tokio::select! {
            () = tokio::time::sleep(time) => Ok(()),
            broken = broken(&mut self.serving) => Err(broken),
        }
    }

    /// The same, with a sample now and then of how much was delivered.
    pub(crate) async fn measure_for(&mut self, time: Duration) -> Result<(), String> {
        let started = Instant::now();
        self.pulse.begin("delivered", self.board.ledger.borrow().total);
        while let Some(left) = time.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) {
            self.work_for(left.min(self.pulse.every())).await?;
            let total = self.board.ledger.borrow().total;
            self.pulse.beat(total, || self.board.recent_latency());
        }
        self.pulse.end();
        Ok(())
    }

    /// Lets all work until this is so; whether it became so before nothing moved any more.
    /// Meanwhile there are samples of what is counted.
    pub(crate) async fn work_until(
        &mut self,
        counted: fn(&Self) -> u64,
        mut is_so: impl FnMut(&Self) -> bool,
    ) -> Result<bool, String> {
        let (mut moved, mut since) = ((0, 0), Instant::now());
        while !is_so(self) {
            let now = (self.board.ledger.borrow().total, self.acknowledged());
            if now != moved {
                (moved, since) = (now, Instant::now());
            } else if since.elapsed() > SILENCE {
                return Ok(false);
            }
            self.work_for(LOOK_EVERY).await?;
            let count = counted(self);
            self.pulse.beat(count, || None);
        }
        Ok(true)
    }

    /// What the ledger says at the end, if each message has so many readers.
    pub(crate) fn found(&self, copies: u64) -> Report {
        let ledger = self.board.ledger.borrow();
        Report {
            sent: self.sent(),
            delivered: ledger.distinct(),
            lost: (self.sent() * copies).saturating_sub(ledger.distinct()),
            repeated: ledger.repeated,
            reordered: ledger.reordered,
            foreign: ledger.foreign,
            refused: self.publishers.iter().map(|one| one.sender.borrow().publisher.refused).sum(),
            ..Report::default()
        }
    }

    /// What was sampled; nothing is sampled after.
    pub(crate) fn take_samples(&mut self) -> Vec<Sample> {
        let none = Pulse::new(false, None, None);
        std::mem::replace(&mut self.pulse, none).into_samples()
    }

    fn serve(&mut self, link: Rc<Link>, role: Rc<RefCell<impl Role + 'static>>) {
        let epoch = self.board.epoch;
        self.serving.spawn_local(async move { link.serve(&role, epoch).await });
    }
}

/// What went wrong first.
async fn broken(serving: &mut JoinSet<Result<(), String>>) -> String {
    match serving.join_next().await {
        Some(Ok(Err(problem))) => problem,
        Some(Err(problem)) => problem.to_string(),
        Some(Ok(Ok(()))) => "a connection ended".to_owned(),
        None => std::future::pending().await,
    }
}
