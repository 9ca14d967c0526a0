//! One series over a closed set of labels: a handle for each, or a plain number for each.

use std::marker::PhantomData;

use metrics::{Counter, Gauge, Histogram, Recorder};

use super::label::Label;
use super::series::{Pairs, Series};

/// A counter for each label of `L`.
pub struct CounterFamily<L> {
    counters: Box<[Counter]>,
    labels: PhantomData<L>,
}

impl<L: Label> CounterFamily<L> {
    pub(super) fn register(series: &Series, fixed: Pairs<'_>, to: &dyn Recorder) -> Self {
        let counters = every::<L>(fixed).map(|labels| series.counter(to, &labels)).collect();
        Self { counters, labels: PhantomData }
    }

    /// Adds to the counter of this label.
    pub fn add(&self, label: L, count: u64) {
        if let Some(counter) = self.counters.get(label.index()) {
            counter.increment(count);
        }
    }
}

/// A gauge for each label of `L`.
pub struct GaugeFamily<L> {
    gauges: Box<[Gauge]>,
    labels: PhantomData<L>,
}

impl<L: Label> GaugeFamily<L> {
    pub(super) fn register(series: &Series, fixed: Pairs<'_>, to: &dyn Recorder) -> Self {
        let gauges = every::<L>(fixed).map(|labels| series.gauge(to, &labels)).collect();
        Self { gauges, labels: PhantomData }
    }

    /// Sets the gauge of this label.
    pub fn set(&self, label: L, value: f64) {
        if let Some(gauge) = self.gauges.get(label.index()) {
            gauge.set(value);
        }
    }

    /// Moves the gauge of this label up, or down with a negative step.
    pub fn step(&self, label: L, step: f64) {
        if let Some(gauge) = self.gauges.get(label.index()) {
            gauge.increment(step);
        }
    }
}

/// A histogram for each label of `L`.
pub struct HistogramFamily<L> {
    histograms: Box<[Histogram]>,
    labels: PhantomData<L>,
}

impl<L: Label> HistogramFamily<L> {
    pub(super) fn register(series: &Series, fixed: Pairs<'_>, to: &dyn Recorder) -> Self {
        let all = every::<L>(fixed).map(|labels| series.histogram(to, &labels));
        Self { histograms: all.collect(), labels: PhantomData }
    }

    /// Records the same value so many times.
    pub fn record_many(&self, label: L, value: f64, count: usize) {
        if let Some(histogram) = self.histograms.get(label.index()).filter(|_| count > 0) {
            histogram.record_many(value, count);
        }
    }
}

fn every<L: Label>(fixed: Pairs<'_>) -> impl Iterator<Item = Vec<(&'static str, &'static str)>> {
    (0..L::COUNT).map(|index| fixed.iter().copied().chain(L::pairs(index)).collect())
}

/// A plain number for each label of `L`, owned by one core. `N` is `L::COUNT`.
#[derive(Clone, Debug)]
pub struct Tally<L, const N: usize> {
    counts: [u64; N],
    labels: PhantomData<L>,
}

impl<L: Label, const N: usize> Tally<L, N> {
    /// Counts for this label.
    #[inline]
    pub fn add(&mut self, label: L, count: u64) {
        if let Some(own) = self.counts.get_mut(label.index()) {
            *own += count;
        }
    }

    /// What was counted for this label.
    #[must_use]
    pub fn of(&self, label: L) -> u64 {
        self.counts.get(label.index()).copied().unwrap_or(0)
    }

    /// What was counted for all of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Counts in what another one did.
    pub(super) fn gather(&mut self, more: &Self) {
        for (own, more) in self.counts.iter_mut().zip(more.counts) {
            *own += more;
        }
    }

    /// Hands what was counted to the shared counters and starts from zero.
    pub(super) fn flush(&mut self, to: &CounterFamily<L>) {
        for (own, counter) in self.counts.iter_mut().zip(&to.counters) {
            flush(own, counter);
        }
    }
}

impl<L: Label, const N: usize> Default for Tally<L, N> {
    fn default() -> Self {
        const { assert!(N == L::COUNT, "a tally has one number per label") };
        Self { counts: [0; N], labels: PhantomData }
    }
}

/// Hands one number over. Most are zero on most ticks: those cost a comparison.
pub(super) fn flush(own: &mut u64, counter: &Counter) {
    if *own > 0 {
        counter.increment(std::mem::take(own));
    }
}
