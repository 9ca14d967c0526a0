//! How a run goes while it goes: a line for who watches, samples for a plot. Decides nothing.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::observe::Observed;

/// A plot is made of about so many samples.
const SAMPLES: u32 = 60;
const EVERY_MIN: Duration = Duration::from_millis(50);
const EVERY_MAX: Duration = Duration::from_secs(1);

/// What happened since the one before.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) phase: &'static str,
    /// When it ends, in seconds of the run.
    pub(crate) at_s: f64,
    pub(crate) each_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) median_us: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) slowest_hundredth_us: Option<f64>,
    /// Of the broker, if its process was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) processors: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) memory_mib: Option<f64>,
}

/// Takes samples.
#[derive(Debug)]
pub(crate) struct Pulse {
    shows_progress: bool,
    broker: Option<Observed>,
    every: Duration,
    started: Instant,
    /// What is counted now, if anything is.
    phase: Option<&'static str>,
    before: Before,
    /// When the line was written, and how many there were then.
    told: (Instant, u64),
    samples: Vec<Sample>,
}

/// Where the sample at hand began.
#[derive(Clone, Copy, Debug)]
struct Before {
    at: Instant,
    count: u64,
    processor_ns: u64,
}

impl Pulse {
    /// `time` is how long the run takes, if that is known.
    pub(crate) fn new(
        shows_progress: bool,
        broker: Option<Observed>,
        time: Option<Duration>,
    ) -> Self {
        let (at, every) = (Instant::now(), time.map_or(EVERY_MIN, |time| time / SAMPLES));
        Self {
            shows_progress,
            broker,
            every: every.clamp(EVERY_MIN, EVERY_MAX),
            started: at,
            phase: None,
            before: Before { at, count: 0, processor_ns: 0 },
            told: (at, 0),
            samples: Vec::new(),
        }
    }

    /// How long a sample is.
    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    /// From now on this is counted, and there are so many already.
    pub(crate) fn begin(&mut self, phase: &'static str, count: u64) {
        self.phase = Some(phase);
        self.before = self.now(count);
        self.told = (self.before.at, count);
    }

    /// There are so many now. `latency` gives the median and the slowest hundredth since it was
    /// asked last, and is asked only when a sample ends.
    pub(crate) fn beat(&mut self, count: u64, latency: impl FnOnce() -> Option<(f64, f64)>) {
        let Some(phase) = self.phase else { return };
        let passed = self.before.at.elapsed();
        if passed < self.every {
            return;
        }
        let (before, now) = (self.before, self.now(count));
        let seconds = (now.at - before.at).as_secs_f64().max(1e-9);
        let used = now.processor_ns.saturating_sub(before.processor_ns) as f64 / 1e9;
        let (median_us, slowest_hundredth_us) = latency().unzip();
        self.samples.push(Sample {
            phase,
            at_s: (now.at - self.started).as_secs_f64(),
            each_second: count.saturating_sub(before.count) as f64 / seconds,
            median_us,
            slowest_hundredth_us,
            processors: self.broker.as_ref().map(|_| used / seconds),
            memory_mib: self.broker.as_ref().map(|it| it.resident_bytes() as f64 / 1_048_576.0),
        });
        self.before = now;
        // A run of hours has no more samples than one of minutes.
        if self.samples.len() > 4 * SAMPLES as usize {
            self.samples = self.samples.chunks(2).map(joined).collect();
            self.every *= 2;
        }
        self.tell(phase, now.at, count);
    }

    /// Nothing is counted any more.
    pub(crate) fn end(&mut self) {
        if self.phase.take().is_some() && self.shows_progress {
            eprintln!();
        }
    }

    /// What there is.
    pub(crate) fn into_samples(self) -> Vec<Sample> {
        self.samples
    }

    fn now(&self, count: u64) -> Before {
        let processor_ns = self.broker.as_ref().map_or(0, Observed::processor_ns);
        Before { at: Instant::now(), count, processor_ns }
    }

    fn tell(&mut self, phase: &str, at: Instant, count: u64) {
        let (before, had) = self.told;
        let seconds = (at - before).as_secs_f64();
        if !self.shows_progress || seconds < 0.5 {
            return;
        }
        self.told = (at, count);
        let each = count.saturating_sub(had) as f64 / seconds;
        let run = (at - self.started).as_secs_f64();
        eprint!("\r{run:>6.1} s  {count:>11} {phase}  {each:>10.0} each second ");
    }
}

/// Two samples as one; the worse latency is kept.
fn joined(pair: &[Sample]) -> Sample {
    let [first, second] = pair else { return pair.first().cloned().unwrap_or_default() };
    let mean = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| f64::midpoint(a, b));
    let worse = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.max(b)).or(a).or(b);
    Sample {
        each_second: f64::midpoint(first.each_second, second.each_second),
        median_us: worse(first.median_us, second.median_us),
        slowest_hundredth_us: worse(first.slowest_hundredth_us, second.slowest_hundredth_us),
        processors: mean(first.processors, second.processors),
        ..second.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pulse, SAMPLES, Sample, joined};

    #[test]
    fn nothing_is_sampled_before_it_begins_and_after_it_ends() {
        let mut pulse = Pulse::new(false, None, None);
        pulse.every = Duration::ZERO;
        pulse.beat(7, || None);
        pulse.begin("read", 7);
        pulse.beat(9, || Some((1.0, 2.0)));
        pulse.end();
        pulse.beat(11, || None);
        let samples = pulse.into_samples();
        assert_eq!(samples.len(), 1);
        assert_eq!((samples[0].phase, samples[0].median_us), ("read", Some(1.0)));
        assert!(samples[0].each_second > 0.0, "2 were read");
    }

    #[test]
    fn a_run_of_any_length_has_a_bounded_number_of_samples() {
        let mut pulse = Pulse::new(false, None, None);
        pulse.begin("read", 0);
        for count in 0..10_000 {
            pulse.every = Duration::ZERO;
            pulse.beat(count, || None);
        }
        assert!(pulse.into_samples().len() <= 4 * SAMPLES as usize);
    }

    #[test]
    fn samples_that_are_joined_keep_the_worse_latency() {
        let sample = |at_s, each_second, us| Sample {
            at_s,
            each_second,
            median_us: us,
            slowest_hundredth_us: us,
            ..Sample::default()
        };
        let both = joined(&[sample(1.0, 10.0, Some(9.0)), sample(2.0, 20.0, Some(5.0))]);
        assert_eq!((both.at_s, both.each_second, both.median_us), (2.0, 15.0, Some(9.0)));
    }
}
