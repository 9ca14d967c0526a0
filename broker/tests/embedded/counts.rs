//! A recorder of metrics that a test can ask. Knows counters, and gauges that are set.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Counters, and the bits of gauges, by name and labels.
#[derive(Clone, Default)]
pub(crate) struct Counts(Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>);

impl Counts {
    /// The sum of all counters of this name whose labels have these words.
    pub(crate) fn of(&self, name: &str, words: &[&str]) -> u64 {
        let counters = self.0.lock().expect("nobody panics with it");
        let fits = |key: &str| {
            let mut parts = key.split(' ');
            parts.next() == Some(name)
                && words.iter().all(|word| key.split(' ').any(|w| w == *word))
        };
        let found = counters.iter().filter(|(key, _)| fits(key));
        found.map(|(_, count)| count.load(Ordering::Relaxed)).sum()
    }

    /// The gauge of this name and these labels, in their order.
    pub(crate) fn gauge(&self, name: &str) -> f64 {
        let known = self.0.lock().expect("nobody panics with it");
        known.get(name).map_or(f64::NAN, |bits| f64::from_bits(bits.load(Ordering::Relaxed)))
    }

    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value()));
        let name = format!("{}{}", key.name(), labels.collect::<String>());
        Arc::clone(self.0.lock().expect("nobody panics with it").entry(name).or_default())
    }
}

impl Recorder for Counts {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
