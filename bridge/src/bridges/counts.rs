//! What a bridge has done, and how much of it, for its status and as metrics. Decides nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{Counter, Gauge, counter, describe_counter, describe_gauge, gauge};
use parking_lot::Mutex;

const EVENTS: &str = "tidewire_bridge_events_total";
const RUNNING: &str = "tidewire_bridge_running";
const LAG: &str = "tidewire_bridge_lag_messages";
const LAG_SECONDS: &str = "tidewire_bridge_lag_seconds";
const LOSES_IN: &str = "tidewire_bridge_loses_in_seconds";

/// Something that a bridge does with messages, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Taken over by the other side.
    Sent,
    /// Taken from the other side, on our disk.
    Received,
    /// Sent again, though the other side may have had it already.
    Repeated,
    /// Refused by the other side for good; passed over.
    Refused,
    /// More than the other side takes; passed over.
    TooLarge,
    /// Came from the other side and cannot be a message of ours; passed over.
    Invalid,
    /// Had been to the other side before; passed over.
    Loop,
    /// Its time was over before it could be sent.
    Expired,
    /// Put aside, with the reason, where dead letters go.
    DeadLetter,
    /// Deleted by retention or by order before it was read.
    Lost,
    /// Tries of ours that failed; not messages.
    Failure,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Sent,
        Self::Received,
        Self::Repeated,
        Self::Refused,
        Self::TooLarge,
        Self::Invalid,
        Self::Loop,
        Self::Expired,
        Self::DeadLetter,
        Self::Lost,
        Self::Failure,
    ];

    /// As it is called in metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::TooLarge => "too_large",
            Self::Invalid => "invalid",
            Self::Loop => "loop",
            Self::Expired => "expired",
            Self::DeadLetter => "dead_letter",
            Self::Lost => "lost",
            Self::Failure => "failure",
        }
    }

    const fn index(self) -> usize {
        self as usize
    }
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; Event::ALL.len()]);

impl Counts {
    /// How often this did.
    #[must_use]
    pub fn of(&self, event: Event) -> u64 {
        self.0.get(event.index()).copied().unwrap_or(0)
    }
}

/// Counts as it happens. Clones count together.
#[derive(Clone)]
pub(crate) struct Counting(Arc<Handles>);

struct Handles {
    counts: [AtomicU64; Event::ALL.len()],
    counters: Vec<Counter>,
    running: Gauge,
    lag: Gauge,
    lag_seconds: Gauge,
    loses_in: Gauge,
}

impl Counting {
    pub(crate) fn add(&self, event: Event, count: u64) {
        if let Some(known) = self.0.counts.get(event.index()) {
            known.fetch_add(count, Ordering::Relaxed);
        }
        if let Some(counter) = self.0.counters.get(event.index()) {
            counter.increment(count);
        }
    }

    pub(crate) fn now(&self) -> Counts {
        let mut counts = Counts::default();
        for (count, known) in counts.0.iter_mut().zip(&self.0.counts) {
            *count = known.load(Ordering::Relaxed);
        }
        counts
    }

    pub(crate) fn show_running(&self, is_running: bool) {
        self.0.running.set(if is_running { 1.0 } else { 0.0 });
    }

    pub(crate) fn show_lag(&self, messages: u64, seconds: u64, loses_in_s: Option<u64>) {
        self.0.lag.set(messages as f64);
        self.0.lag_seconds.set(seconds as f64);
        self.0.loses_in.set(loses_in_s.map_or(-1.0, |seconds| seconds as f64));
    }
}

/// The handles of all series of bridges.
pub struct BridgeNumbers(Mutex<Vec<Numbered>>);

/// Name, kind, and where it is counted.
type Numbered = (String, &'static str, Counting);

impl BridgeNumbers {
    /// Describes and registers the series of the bridges with these names and kinds with the
    /// recorder in force; without one, the handles do nothing.
    #[must_use]
    pub fn register(bridges: &[(String, &'static str)]) -> Self {
        describe_counter!(EVENTS, "What bridges did with messages, and how often they failed.");
        describe_gauge!(RUNNING, "1 while messages of a bridge move.");
        describe_gauge!(LAG, "Records that a bridge has not done with.");
        describe_gauge!(LAG_SECONDS, "How long ago the first of those records came.");
        describe_gauge!(LOSES_IN, "Seconds until a bridge loses what it has not read; -1: never.");
        let numbered =
            |(name, kind): &(String, &'static str)| (name.clone(), *kind, counting(name, kind));
        Self(Mutex::new(bridges.iter().map(numbered).collect()))
    }

    /// Where it is counted; one that is new is registered with the program's recorder. One that
    /// was there before goes on counting.
    pub(crate) fn of(&self, bridge: &str, kind: &'static str) -> Counting {
        let mut all = self.0.lock();
        let known = all.iter().find(|(name, known, _)| name == bridge && *known == kind);
        if let Some((_, _, counting)) = known {
            return counting.clone();
        }
        let counting = counting(bridge, kind);
        all.push((bridge.to_owned(), kind, counting.clone()));
        counting
    }
}

fn counting(name: &str, kind: &'static str) -> Counting {
    let name = || name.to_owned();
    let counter = |event: &Event| {
        let counter = counter!(EVENTS, "bridge" => name(), "kind" => kind, "event" => event.word());
        counter.increment(0);
        counter
    };
    let gauge = |series: &'static str| gauge!(series, "bridge" => name(), "kind" => kind);
    Counting(Arc::new(Handles {
        counts: Default::default(),
        counters: Event::ALL.iter().map(counter).collect(),
        running: gauge(RUNNING),
        lag: gauge(LAG),
        lag_seconds: gauge(LAG_SECONDS),
        loses_in: gauge(LOSES_IN),
    }))
}

#[cfg(test)]
mod tests {
    use super::{BridgeNumbers, Event};

    #[test]
    fn each_event_is_counted_by_itself() {
        let numbers = BridgeNumbers::register(&[("edge".into(), "link")]);
        let counting = numbers.of("edge", "link");
        for (count, event) in (1..).zip(Event::ALL) {
            counting.add(event, count);
        }
        for (count, event) in (1..).zip(Event::ALL) {
            assert_eq!(counting.now().of(event), count, "{}", event.word());
        }
        let again = numbers.of("edge", "link").now();
        assert_eq!(again, counting.now(), "one that comes again goes on");
        assert_eq!(numbers.of("other", "link").now().of(Event::Sent), 0);
    }
}
