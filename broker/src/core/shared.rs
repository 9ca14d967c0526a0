//! What all cores share: the store, the registry, the ways to each other, the limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tidewire_bridge::bridges::Forecasts;
use tidewire_store::Store;
use tokio::sync::watch;

use crate::access_file::AccessFile;
use crate::bans::Bans;
use crate::chain::Chain;
use crate::config::{Config, MqttConfig, ShareConfig};
use crate::core::inbox::Event;
use crate::core::inbox::Inbox;
use crate::core::waiting_room::Delayed;
use crate::exclusive::Exclusives;
use crate::ledger::{Ledger, LedgerLimits};
use crate::link::Accepted;
use crate::metrics::Metrics;
use crate::newcomers::Newcomers;
use crate::paces::Paces;
use crate::passwords::Guesses;
use crate::registry::Registry;
use crate::retained::{RetainedIndex, RetainedLimits};
use crate::shares::Shares;
use crate::topic_rules::TopicRules;
use crate::users::UsersFile;
pub(crate) use crate::wall_clock::wall_clock_ms;

/// Shared by all cores of a broker.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) limits: MqttConfig,
    /// Bytes after which a turn of a core commits without waiting for its end.
    pub(crate) turn_bytes_max: usize,
    /// Who may use SCRAM-SHA-256, if anybody may.
    pub(crate) users: Option<UsersFile>,
    /// Who is asked about passwords and tokens, if anybody is.
    pub(crate) chain: Option<Chain>,
    /// Who vouches for clients may say more of them than their names.
    pub(crate) may_vouch: bool,
    /// How often wrong passwords came, of either kind.
    pub(crate) guesses: Arc<Mutex<Guesses>>,
    /// Who may do what; `None`: everybody everything.
    pub(crate) access: Option<AccessFile>,
    pub(crate) share: ShareConfig,
    /// Names of bridges: what they have not read is held.
    pub(crate) bridges: Vec<String>,
    /// What readers will lose.
    pub(crate) forecasts: Arc<Forecasts>,
    /// What messages say that links of ours have sent on.
    pub(crate) mark: Option<String>,
    /// Some share group looks at who published a message.
    pub(crate) notes_publisher: bool,
    pub(crate) shares: Shares,
    pub(crate) metrics: Metrics,
    pub(crate) retained: RetainedIndex,
    /// Sessions that outlive their connections.
    pub(crate) sessions: Ledger,
    pub(crate) wills: Ledger,
    pub(crate) rules: TopicRules,
    pub(crate) exclusives: Exclusives,
    pub(crate) bans: Arc<Bans>,
    /// Connections now open, over all cores.
    pub(crate) connections: Arc<AtomicUsize>,
    /// Those of them whose clients are not in yet.
    pub(crate) newcomers: Arc<Newcomers>,
    pub(crate) paces: Paces,
    /// A core ended in a panic: nothing is served any more.
    pub(crate) failed: watch::Sender<bool>,
    turns: AtomicUsize,
    /// Messages that wait for their time.
    pub(crate) delayed: Delayed,
    /// When this run of the broker began.
    pub(crate) started_ms: i64,
    pub(crate) clock: Clock,
    serials: AtomicU64,
}

impl Shared {
    pub(crate) fn new(
        store: Store,
        shares: Shares,
        inboxes: Vec<Arc<Inbox>>,
        config: &Config,
        metrics: Metrics,
    ) -> Self {
        let (limits, share) = (config.mqtt.clone(), config.share.clone());
        let retained = RetainedIndex::new(RetainedLimits {
            messages_max: limits.retained_messages_max,
            bytes_max: limits.retained_bytes_max,
        });
        let sessions_max =
            LedgerLimits { rows_max: limits.sessions_max.into(), bytes_max: u64::MAX };
        let wills_max = LedgerLimits { rows_max: u64::MAX, bytes_max: limits.wills_bytes_max };
        let newcomers = Newcomers::of(&limits);
        Self {
            store,
            registry: Registry::default(),
            inboxes,
            limits,
            turn_bytes_max: turn_bytes_max(config.store.wal_file_bytes),
            users: None,
            chain: None,
            may_vouch: config.auth.may_vouch(),
            guesses: Guesses::of(&config.auth),
            access: None,
            bridges: Vec::new(),
            forecasts: Arc::default(),
            mark: None,
            notes_publisher: share.asks_for_publisher(),
            share,
            shares,
            metrics,
            retained,
            sessions: Ledger::new(
                sessions_max,
                "no more sessions are made; raise mqtt.sessions_max or lower \
                 mqtt.session_expiry_s_max",
            ),
            wills: Ledger::new(wills_max, "no more wills are taken; raise mqtt.wills_bytes_max"),
            rules: TopicRules::of(&config.topics),
            exclusives: Exclusives::default(),
            bans: Arc::default(),
            connections: Arc::new(AtomicUsize::new(0)),
            newcomers,
            paces: Paces::default(),
            failed: watch::Sender::new(false),
            turns: AtomicUsize::new(0),
            delayed: Delayed::default(),
            started_ms: wall_clock_ms(),
            clock: Clock::new(),
            serials: AtomicU64::new(1),
        }
    }

    /// Gives a new connection to a core; cores take turns.
    pub(crate) fn seat(&self, accepted: Accepted) {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) % self.inboxes.len();
        self.inboxes[turn].push(Event::Accepted(accepted));
    }

    /// Other access rules hold from now on.
    pub(crate) fn tell_rules(&self) {
        self.inboxes.iter().for_each(|inbox| inbox.push(Event::Rules(0)));
    }

    /// A number that no other connection of this process has.
    pub(crate) fn next_serial(&self) -> u64 {
        self.serials.fetch_add(1, Ordering::Relaxed)
    }
}

/// A commit lies in one file of the write-ahead log: what a turn gathers, and one more packet, a
/// quarter of the file at most, which is there twice if it is retained.
fn turn_bytes_max(wal_file_bytes: u64) -> usize {
    const ENOUGH: usize = 1024 * 1024;
    usize::try_from(wal_file_bytes / 4).map_or(ENOUGH, |quarter| quarter.min(ENOUGH))
}

/// Time that does not jump, in the terms of the wall clock: what waits is measured with it.
pub(crate) struct Clock {
    started: Instant,
    /// Wall-clock time at the start, as far as we know.
    began_ms: AtomicI64,
}

/// Beyond that the wall clock was set, and what is yet to come is counted from its new time.
const JUMP_MS: i64 = 1_000;

impl Clock {
    fn new() -> Self {
        Self { started: Instant::now(), began_ms: AtomicI64::new(wall_clock_ms()) }
    }

    /// Milliseconds since the start.
    pub(crate) fn elapsed_ms(&self) -> i64 {
        i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX)
    }

    /// Milliseconds of the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.began_ms.load(Ordering::Relaxed).saturating_add(self.elapsed_ms())
    }

    /// In so many seconds, never early: of this millisecond a part is gone already.
    pub(crate) fn in_s(&self, seconds: u32) -> i64 {
        self.now_ms().saturating_add(1 + i64::from(seconds) * 1000)
    }

    /// When that is, in milliseconds since the start.
    pub(crate) fn since_start(&self, at_ms: i64) -> i64 {
        at_ms.saturating_sub(self.began_ms.load(Ordering::Relaxed))
    }

    /// Takes over what the wall clock was set to.
    pub(crate) fn follow(&self, wall_ms: i64) {
        if (wall_ms - self.now_ms()).abs() > JUMP_MS {
            self.began_ms.store(wall_ms.saturating_sub(self.elapsed_ms()), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::Clock;

    #[test]
    fn what_is_due_in_a_second_is_not_due_earlier_whichever_part_of_a_millisecond_is_gone() {
        let clock = Clock::new();
        for _ in 0..10_000 {
            let asked = Instant::now();
            let due_ms = u64::try_from(clock.since_start(clock.in_s(1))).expect("after the start");
            assert!(
                clock.started + Duration::from_millis(due_ms) >= asked + Duration::from_secs(1)
            );
        }
    }
}
