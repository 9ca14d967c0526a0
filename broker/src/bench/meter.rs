//! A stopwatch that reads the broker's processor time as well.

use std::time::Instant;

use super::observe::Observed;
use super::report::Phase;

/// Runs from when it is made.
#[derive(Debug)]
pub(crate) struct Meter<'a> {
    broker: Option<&'a Observed>,
    since: Instant,
    processor_ns: u64,
}

impl<'a> Meter<'a> {
    pub(crate) fn start(broker: Option<&'a Observed>) -> Self {
        let processor_ns = broker.map_or(0, Observed::processor_ns);
        Self { broker, since: Instant::now(), processor_ns }
    }

    /// So many things were done since.
    pub(crate) fn stop(&self, name: &'static str, count: u64) -> Phase {
        let seconds = self.since.elapsed().as_secs_f64();
        let used = |broker: &Observed| broker.processor_ns().saturating_sub(self.processor_ns);
        Phase::new(name, count, seconds, self.broker.map(used))
    }
}
