//! What all cores share: the store, the registry, the ways to each other, the limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tidewire_bridge::bridges::Forecasts;
use tidewire_store::Store;
use tokio::sync::watch;

use crate::access_file::AccessFile;
use crate::backlog::Backlog;
use crate::bans::Bans;
use crate::chain::Chain;
use crate::config::{Config, MqttConfig, ShareConfig};
use crate::core::inbox::Event;
use crate::core::inbox::Inbox;
use crate::core::waiting_room::Delayed;
use crate::exclusive::Exclusives;
use crate::high_water::HighWater;
use crate::ledger::{Ledger, LedgerLimits};
use crate::link::Accepted;
use crate::live::Live;
use crate::metrics::{Metrics, RefuseReason, Totals};
use crate::newcomers::Newcomers;
use crate::paces::Paces;
use crate::passwords::Guesses;
use crate::payer::Payers;
use crate::registry::Registry;
use crate::retained::{RetainedIndex, RetainedLimits};
use crate::shares::Shares;
use crate::subscribed::Subscribed;
use crate::system_topics::desk::SystemDesk;
use crate::teller::Teller;
use crate::topic_rules::TopicRules;
use crate::users::UsersFile;
pub(crate) use crate::wall_clock::wall_clock_ms;

/// What is told of those that no core gets to see.
const REFUSALS: &str = "connections that were refused at a listener";

/// Shared by all cores of a broker.
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) registry: Registry,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) limits: Live<MqttConfig>,
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
    /// Who may do what.
    pub(crate) access: Live<AccessFile>,
    pub(crate) share: Live<ShareConfig>,
    /// Names of bridges: what they have not read is held.
    pub(crate) bridges: Live<Vec<String>>,
    /// What readers will lose.
    pub(crate) forecasts: Arc<Forecasts>,
    /// What messages say that links of ours have sent on.
    pub(crate) mark: Live<Option<String>>,
    /// Some share group looks at who published a message.
    pub(crate) notes_publisher: bool,
    pub(crate) shares: Shares,
    pub(crate) metrics: Metrics,
    pub(crate) retained: RetainedIndex,
    /// Sessions that outlive their connections.
    pub(crate) sessions: Ledger,
    pub(crate) wills: Ledger,
    /// How much all sessions subscribe to.
    pub(crate) subscribed: Subscribed,
    pub(crate) rules: TopicRules,
    pub(crate) exclusives: Exclusives,
    pub(crate) bans: Arc<Bans>,
    /// Connections now open, over all cores.
    pub(crate) connections: Arc<AtomicUsize>,
    /// The most of them at once.
    pub(crate) connections_most: HighWater,
    /// Clients that are connected.
    pub(crate) clients: Arc<HighWater>,
    /// Those of them whose clients are not in yet.
    pub(crate) newcomers: Arc<Newcomers>,
    /// Those at the HTTP port, if it is open.
    pub(crate) http_newcomers: Option<Arc<Newcomers>>,
    pub(crate) paces: Paces,
    /// What waits for the sockets of all clients.
    pub(crate) outbound: Arc<Backlog>,
    /// What came of packets of theirs that are not whole.
    pub(crate) inbound: Arc<Backlog>,
    /// Threads that read the log for one core.
    pub(crate) log_readers: usize,
    /// Whose part of what is there for all somebody takes.
    pub(crate) payers: Payers,
    /// A core ended in a panic: nothing is served any more.
    pub(crate) failed: watch::Sender<bool>,
    turns: AtomicUsize,
    /// Messages that wait for their time.
    pub(crate) delayed: Delayed,
    /// How often is told of connections that are refused before a core has them.
    refusals: Mutex<Teller>,
    /// What all cores have counted.
    pub(crate) totals: Totals,
    /// What the broker says of itself.
    pub(crate) system: SystemDesk,
    /// The name of the broker under which clients that come and go are told of there; `None`: they
    /// are not.
    pub(crate) presence: Option<Box<str>>,
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
        let retained = RetainedIndex::new(retained_limits(&limits));
        let (sessions_max, wills_max) = (sessions_limits(&limits), wills_limits(&limits));
        let newcomers = Newcomers::of(&limits);
        let (outbound, inbound) = (limits.outbound_all_bytes_max, limits.inbound_all_bytes_max);
        Self {
            store,
            registry: Registry::default(),
            inboxes,
            limits: Live::new(limits),
            turn_bytes_max: turn_bytes_max(config.store.wal_file_bytes),
            users: None,
            chain: None,
            may_vouch: config.auth.may_vouch(),
            guesses: Guesses::of(&config.auth),
            access: Live::new(AccessFile::without_rules(&config.access)),
            bridges: Live::new(Vec::new()),
            forecasts: Arc::default(),
            mark: Live::new(None),
            notes_publisher: share.asks_for_publisher(),
            share: Live::new(share),
            shares,
            metrics,
            retained,
            sessions: Ledger::new(
                sessions_max,
                "no more sessions are made; raise mqtt.sessions_max or lower \
                 mqtt.session_expiry_s_max",
            ),
            wills: Ledger::new(wills_max, "no more wills are taken; raise mqtt.wills_bytes_max"),
            subscribed: Subscribed::default(),
            rules: TopicRules::of(&config.topics),
            exclusives: Exclusives::default(),
            bans: Arc::default(),
            connections: Arc::new(AtomicUsize::new(0)),
            connections_most: HighWater::default(),
            clients: Arc::default(),
            newcomers,
            http_newcomers: None,
            paces: Paces::default(),
            outbound: Backlog::new(outbound),
            inbound: Backlog::new(inbound),
            log_readers: config.threads.log_readers.into(),
            payers: Payers::default(),
            failed: watch::Sender::new(false),
            turns: AtomicUsize::new(0),
            delayed: Delayed::default(),
            refusals: Mutex::default(),
            totals: Totals::default(),
            system: SystemDesk::new(config.system.sys_interval_s),
            presence: config.system.presence_node(),
            started_ms: wall_clock_ms(),
            clock: Clock::new(),
            serials: AtomicU64::new(1),
        }
    }

    /// Other limits hold from now on; what is there stays.
    pub(crate) fn set_limits(&self, limits: &MqttConfig, share: &ShareConfig) {
        self.retained.set_limits(retained_limits(limits));
        self.sessions.set_limits(sessions_limits(limits));
        self.wills.set_limits(wills_limits(limits));
        let newcomers = self.http_newcomers.iter().chain([&self.newcomers]);
        newcomers.for_each(|newcomers| newcomers.set_limits(limits));
        self.outbound.set_max(limits.outbound_all_bytes_max);
        self.inbound.set_max(limits.inbound_all_bytes_max);
        self.limits.set_if_other(limits.clone());
        self.share.set_if_other(share.clone());
    }

    /// Counts and tells that a connection is not even listened to. Who it is knows his socket file.
    pub(crate) fn refuse(&self, peer: Option<SocketAddr>, listener: &str, reason: RefuseReason) {
        self.metrics.connections_refused.add(reason, 1);
        let now_s = self.clock.elapsed_ms() / 1_000;
        if self.refusals.lock().may_tell(now_s, REFUSALS) {
            let (peer, reason) = (peer.map(tracing::field::display), reason.word());
            tracing::info!(peer, listener, reason, "connection refused");
        }
    }

    /// Tells of those that were left out.
    pub(crate) fn settle_refusals(&self) {
        self.refusals.lock().settle(self.clock.elapsed_ms() / 1_000, REFUSALS);
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

const fn retained_limits(limits: &MqttConfig) -> RetainedLimits {
    RetainedLimits {
        messages_max: limits.retained_messages_max,
        bytes_max: limits.retained_bytes_max,
        messages_per_payer_max: limits.retained_messages_per_user_max,
        bytes_per_payer_max: limits.retained_bytes_per_user_max,
    }
}

/// Of rows whose count or bytes are not limited.
const ANY: LedgerLimits =
    LedgerLimits { rows_max: u64::MAX, bytes_max: u64::MAX, rows_per_payer_max: 0 };

fn sessions_limits(limits: &MqttConfig) -> LedgerLimits {
    let (rows_max, of_one) = (limits.sessions_max.into(), limits.sessions_per_user_max.into());
    LedgerLimits { rows_max, rows_per_payer_max: of_one, ..ANY }
}

const fn wills_limits(limits: &MqttConfig) -> LedgerLimits {
    LedgerLimits { bytes_max: limits.wills_bytes_max, ..ANY }
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
