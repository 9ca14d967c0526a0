//! What the broker says of itself under `$SYS`, at intervals, and when somebody comes who wants to
//! know. Has a thread of its own, and looks at nothing while nobody subscribes to any of it.
//! Nothing of it is written to the log.

pub(crate) mod desk;
mod loads;
pub(crate) mod presence;
mod tree;

use std::fs;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tidewire_proto::record::Batch;
use tidewire_store::ReadError;
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;

use crate::broker::pipe::has_failed;
use crate::census::Census;
use crate::core::asked::{Asked, Counts};
use crate::core::inbox::Event;
use crate::core::shared::{Shared, wall_clock_ms};
use crate::lags::consumer_groups;
use desk::Edition;
use loads::Loads;
use tree::{Facts, Flow, Peaks, tree};

/// At most so small a part of the time is spent with looking.
const PATIENCE: u32 = 20;

/// The thread that says it; ends when told to.
pub(crate) struct SystemTopics {
    stop: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl SystemTopics {
    /// `None` when nothing is to be said.
    pub(crate) fn start(shared: &Arc<Shared>, node: &str) -> std::io::Result<Option<Self>> {
        let Some(interval) = shared.system.interval else { return Ok(None) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let press = Press::new(Arc::clone(shared), interval, node.into());
        let thread = std::thread::Builder::new().name("system-topics".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    // Without a sender we are to stop, too.
                    _ = stopped => (),
                    () = press.run() => (),
                }
            });
        })?;
        Ok(Some(Self { stop, thread }))
    }

    /// Waits for what is under way.
    pub(crate) fn stop(self) {
        drop(self.stop);
        if self.thread.join().is_err() {
            tracing::error!("what says the topics under $SYS ended in a panic");
        }
    }
}

/// Makes editions.
struct Press {
    shared: Arc<Shared>,
    interval: Duration,
    node: String,
    loads: Loads,
    peaks: Peaks,
    /// When loads were taken last.
    passed: Instant,
    /// What those who were there at the last interval have heard.
    told: Option<Arc<Edition>>,
    /// Before that no edition is made: the last one took long.
    rests_until: Instant,
}

impl Press {
    fn new(shared: Arc<Shared>, interval: Duration, node: String) -> Self {
        let now = Instant::now();
        let (loads, peaks) = (Loads::default(), Peaks::default());
        Self { shared, interval, node, loads, peaks, passed: now, told: None, rests_until: now }
    }

    async fn run(mut self) {
        let mut ticks = tokio::time::interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shared = Arc::clone(&self.shared);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.on_interval().await,
                () = shared.system.asked.notified() => self.on_asked().await,
            }
        }
    }

    /// Averages go on; if anybody wants to know, what is new is said.
    async fn on_interval(&mut self) {
        let seconds = self.passed.elapsed().as_secs_f64();
        self.passed = Instant::now();
        let flow = Flow::of(&self.shared.totals.now());
        self.loads.pass(flow.sums(), seconds);
        if !self.has_readers().await {
            self.told = None;
            return;
        }
        // Without one that was shown, nobody has heard anything: who is there waits.
        let before = self.told.clone().or_else(|| self.shared.system.shown_lately(self.interval));
        let Some(edition) = self.edition().await else { return };
        if let Some(before) = before
            && let Some(news) = edition.news_since(&before, wall_clock_ms())
        {
            let news: Arc<[_]> = Arc::new([news]);
            // Who came meanwhile has what the others have, and hears the news with them.
            self.hand_out(&before, Some(&news));
        }
        self.told = Some(Arc::clone(&edition));
        self.show(&edition);
        self.hand_out(&edition, None);
    }

    /// Somebody came, and there was nothing to show that is not stale.
    async fn on_asked(&mut self) {
        let newest = self.shared.system.newest();
        let edition = match newest {
            Some(edition) => Some(edition),
            None => self.edition().await.inspect(|edition| self.show(edition)),
        };
        if let Some(edition) = edition {
            self.told.get_or_insert_with(|| Arc::clone(&edition));
            self.hand_out(&edition, None);
        }
    }

    /// To those who wait for it; then to all what is new since.
    fn hand_out(&self, edition: &Arc<Edition>, news: Option<&Arc<[Batch]>>) {
        for inbox in &self.shared.inboxes {
            inbox.push(Event::System(Arc::clone(edition), news.map(Arc::clone)));
        }
    }

    /// Who comes from now on finds it, until it is stale.
    fn show(&self, edition: &Arc<Edition>) {
        let rest = self.rests_until.saturating_duration_since(Instant::now());
        self.shared.system.put(Arc::clone(edition), self.interval.max(rest));
    }

    /// A new edition; an old one while it is too soon.
    async fn edition(&mut self) -> Option<Arc<Edition>> {
        if let Some(told) = self.told.as_ref().filter(|_| Instant::now() < self.rests_until) {
            return Some(Arc::clone(told));
        }
        let counts = self.counts().await?;
        let began = Instant::now();
        let facts = self.facts(&counts);
        let facts = facts.inspect_err(|error| tracing::error!(%error, "$SYS cannot be looked up"));
        let facts = facts.ok()?;
        self.note_peaks();
        let said = tree(&facts, &self.loads, &mut self.peaks);
        let edition = Arc::new(Edition::new(said, facts.now_ms));
        self.rests_until = Instant::now() + began.elapsed() * PATIENCE;
        Some(edition)
    }

    /// What was counted when it came, also while nobody listened.
    fn note_peaks(&mut self) {
        let shared = &self.shared;
        let (clients, subscribed) = (shared.clients.most(), shared.subscribed.most());
        for (name, most) in [
            ("clients", clients),
            ("live_connections", clients),
            ("connections", shared.connections_most.most()),
            ("sessions", shared.sessions.most()),
            ("subscriptions", subscribed.all),
            ("subscriptions/shared", subscribed.shared),
            ("retained", shared.retained.most()),
        ] {
            self.peaks.with(name, most);
        }
    }

    async fn has_readers(&self) -> bool {
        for core in 0..self.shared.inboxes.len() {
            if self.ask(core, Asked::SystemReaders).await.unwrap_or(false) {
                return true;
            }
        }
        false
    }

    async fn counts(&self) -> Option<Counts> {
        let mut counts = Counts::default();
        for core in 0..self.shared.inboxes.len() {
            let mut from = Some(0);
            while let Some(place) = from {
                let more = self.ask(core, |answer| Asked::Counts(place, answer)).await?;
                counts.add(&more);
                from = more.next;
            }
        }
        Some(counts)
    }

    /// `None`: the broker ends.
    async fn ask<T>(
        &self,
        core: usize,
        question: impl FnOnce(oneshot::Sender<T>) -> Asked,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        self.shared.inboxes.get(core)?.push(Event::Asked(question(answer)));
        let mut failed = self.shared.failed.subscribe();
        tokio::select! {
            biased;
            answer = answered => answer.ok(),
            () = has_failed(&mut failed) => None,
        }
    }

    fn facts(&self, counts: &Counts) -> Result<Facts, ReadError> {
        let (shared, store) = (&self.shared, &self.shared.store);
        let Census { here, away, plain, shared: of_groups } = Census::take(shared, counts)?;
        let groups = consumer_groups(store)?;
        let streams = store.streams();
        let partitions = || streams.iter().flat_map(|stream| stream.partitions.iter());
        let records = |id| store.bounds(id).map_or(0, |(start, end)| end.saturating_sub(start));
        Ok(Facts {
            node: self.node.clone(),
            now_ms: wall_clock_ms(),
            uptime_ms: u64::try_from(shared.clock.elapsed_ms()).unwrap_or(0),
            counted: shared.totals.now(),
            sockets: shared.connections.load(std::sync::atomic::Ordering::Relaxed) as u64,
            clients: counts.clients.iter().sum(),
            away,
            sessions: here + away,
            subscriptions: plain,
            shared_subscriptions: of_groups,
            retained: shared.retained.totals().0,
            streams: streams.len() as u64,
            records: partitions().map(|id| records(*id)).sum(),
            record_bytes: partitions().map(|id| store.partition_bytes(*id)).sum(),
            groups: (groups.readers, groups.max, groups.sum),
            memory: memory(),
        })
    }
}

/// What the program takes of it now, and took at most, where the system says so.
fn memory() -> Option<(u64, u64)> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    Some((kib("VmRSS:")? * 1024, kib("VmHWM:")? * 1024))
}
