//! What a run found, as a table or as JSON. Measures nothing.

use std::fmt;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::pulse::Sample;

/// Times in microseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Latency {
    pub(crate) fn of(times_ns: &Histogram<u64>) -> Self {
        let at = |share| times_ns.value_at_quantile(share) as f64 / 1e3;
        Self { p50_us: at(0.5), p99_us: at(0.99), p999_us: at(0.999), max_us: at(1.0) }
    }
}

/// What a plot needs of how late messages were: more of it where there are fewer of them.
pub(crate) fn percentiles(times_ns: &Histogram<u64>) -> Vec<(f64, f64)> {
    let points = times_ns
        .iter_quantiles(8)
        .map(|point| (point.quantile_iterated_to(), point.value_iterated_to() as f64 / 1e3));
    if times_ns.is_empty() { Vec::new() } else { points.collect() }
}

/// One part of a run: so many things in so much time.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    pub(crate) per_second: f64,
    /// Of the broker, if its process was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broker_cpu_us_each: Option<f64>,
}

impl Phase {
    pub(crate) fn new(name: &'static str, count: u64, seconds: f64, cpu_ns: Option<u64>) -> Self {
        let each = |cpu: u64| cpu as f64 / 1e3 / count.max(1) as f64;
        let per_second = count as f64 / seconds.max(1e-9);
        Self { name, count, seconds, per_second, broker_cpu_us_each: cpu_ns.map(each) }
    }
}

/// A whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) phases: Vec<Phase>,
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    pub(crate) foreign: u64,
    pub(crate) refused: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broker_resident_bytes: Option<u64>,
    /// Memory of the broker for one connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) broker_bytes_per_connection: Option<f64>,
    /// Shares of all messages, and how late the last of each was, in microseconds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) percentiles: Vec<(f64, f64)>,
    /// How it went, in order of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) samples: Vec<Sample>,
}

impl Report {
    /// Nothing was lost, and nothing came that should not.
    pub(crate) fn is_whole(&self) -> bool {
        self.lost == 0 && self.repeated == 0 && self.reordered == 0 && self.refused == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for phase in &self.phases {
            let Phase { name, count, seconds, per_second, broker_cpu_us_each } = phase;
            write!(out, "{name:<12} {count:>11} in {seconds:>6.2} s {per_second:>12.0}/s")?;
            match broker_cpu_us_each {
                Some(each) => writeln!(out, " {each:>9.3} us of the broker's processor each")?,
                None => writeln!(out)?,
            }
        }
        if let Some(Latency { p50_us, p99_us, p999_us, max_us }) = self.latency {
            writeln!(
                out,
                "latency      p50 {p50_us:.0} us, p99 {p99_us:.0} us, p99.9 {p999_us:.0} us, \
                 longest {max_us:.0} us"
            )?;
        }
        if let Some(bytes) = self.broker_resident_bytes {
            writeln!(out, "memory       {:.1} MiB of the broker", bytes as f64 / 1048576.0)?;
        }
        if let Some(bytes) = self.broker_bytes_per_connection {
            writeln!(out, "memory       {:.2} KiB for each connection", bytes / 1024.0)?;
        }
        let Self { sent, delivered, lost, repeated, reordered, foreign, refused, .. } = self;
        write!(
            out,
            "messages     {sent} sent, {delivered} delivered; {lost} lost, {repeated} repeated, \
             {reordered} out of order, {foreign} foreign, {refused} refused"
        )
    }
}
