//! A recorder that keeps all series, and writes them as Prometheus reads them. Knows no name.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::{
    Counter, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString, Unit,
};
use parking_lot::RwLock;

/// As Prometheus asks for it.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Upper bounds of the buckets of times, in seconds.
const SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// Series that nobody holds any more are let go of when there are at least so many of a name.
const PRUNED_FROM: usize = 1_000;

/// All series of one broker, or of a program. Clones are one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exposition {
    families: Arc<RwLock<BTreeMap<String, Family>>>,
    fleeting: &'static [&'static str],
}

#[derive(Debug, Default)]
struct Family {
    help: String,
    series: BTreeMap<String, Cell>,
    is_fleeting: bool,
    /// How many there may be before those are let go of that nobody holds.
    room: usize,
}

impl Family {
    /// Those that are there, and their labels.
    fn shown(&self) -> impl Iterator<Item = (&String, &Cell)> {
        self.series.iter().filter(|(_, cell)| !self.is_fleeting || cell.is_held())
    }

    /// Makes room for one more.
    fn prune(&mut self) {
        if self.is_fleeting && self.series.len() >= self.room {
            self.series.retain(|_, cell| cell.is_held());
            self.room = PRUNED_FROM.max(self.series.len() * 2);
        }
    }
}

#[derive(Clone, Debug)]
enum Cell {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

impl Cell {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Counter(_) => "counter",
            Self::Gauge(_) => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }

    /// Whether somebody may still set it.
    fn is_held(&self) -> bool {
        1 < match self {
            Self::Counter(cell) | Self::Gauge(cell) => Arc::strong_count(cell),
            Self::Histogram(buckets) => Arc::strong_count(buckets),
        }
    }
}

/// A distribution.
#[derive(Debug, Default)]
struct Buckets {
    counts: [AtomicU64; SECONDS.len() + 1],
    /// The sum of all, as the bits of an `f64`.
    sum: AtomicU64,
}

impl Buckets {
    fn add(&self, value: f64, count: u64) {
        let place = SECONDS.iter().position(|bound| value <= *bound).unwrap_or(SECONDS.len());
        if let Some(bucket) = self.counts.get(place) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
        let more = |sum| Some((f64::from_bits(sum) + value * count as f64).to_bits());
        // It always says yes.
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.add(value, 1);
    }

    fn record_many(&self, value: f64, count: usize) {
        self.add(value, count as u64);
    }
}

impl Exposition {
    /// Series of these names are there as long as somebody holds their handles; all others stay.
    pub(crate) fn with_fleeting(fleeting: &'static [&'static str]) -> Self {
        Self { fleeting, ..Self::default() }
    }

    /// All of it as text.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        for (name, family) in &*self.families.read() {
            let mut shown = family.shown().peekable();
            let Some((_, first)) = shown.peek() else { continue };
            head(&mut text, name, first.kind(), &family.help);
            for (labels, cell) in shown {
                match cell {
                    Cell::Counter(value) => {
                        line(&mut text, name, labels, &value.load(Ordering::Relaxed).to_string());
                    }
                    Cell::Gauge(bits) => {
                        let value = f64::from_bits(bits.load(Ordering::Relaxed));
                        line(&mut text, name, labels, &number(value));
                    }
                    Cell::Histogram(buckets) => distribution(&mut text, name, labels, buckets),
                }
            }
        }
        text
    }

    fn describe(&self, name: &KeyName, help: &SharedString) {
        self.families.write().entry(name.as_str().into()).or_default().help = help.to_string();
    }

    fn cell(&self, key: &Key, make: impl FnOnce() -> Cell) -> Cell {
        let pairs = key.labels().map(|label| (label.key(), label.value()));
        let labels = labels(pairs);
        let mut families = self.families.write();
        let family = families.entry(key.name().into()).or_default();
        family.is_fleeting = self.fleeting.contains(&key.name());
        family.prune();
        family.series.entry(labels).or_insert_with(make).clone()
    }
}

impl Recorder for Exposition {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, help: SharedString) {
        self.describe(&name, &help);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.cell(key, || Cell::Counter(Arc::default())) {
            Cell::Counter(value) => Counter::from_arc(value),
            // A name is one kind of series.
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.cell(key, || Cell::Gauge(Arc::default())) {
            Cell::Gauge(bits) => Gauge::from_arc(bits),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.cell(key, || Cell::Histogram(Arc::default())) {
            Cell::Histogram(buckets) => Histogram::from_arc(buckets),
            _ => Histogram::noop(),
        }
    }
}

/// What stands above the series of a name.
pub(crate) fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let help = help.replace('\\', "\\\\").replace('\n', "\\n");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

/// One value.
pub(crate) fn line(text: &mut String, name: &str, labels: &str, value: &str) {
    let _ = match labels.is_empty() {
        true => writeln!(text, "{name} {value}"),
        false => writeln!(text, "{name}{{{labels}}} {value}"),
    };
}

/// `a="b",c="d"`
pub(crate) fn labels<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = String::new();
    for (name, value) in pairs {
        let comma = if text.is_empty() { "" } else { "," };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(text, "{comma}{name}=\"{value}\"");
    }
    text
}

/// As Prometheus writes numbers.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value.is_nan() => "NaN".into(),
        f64::INFINITY => "+Inf".into(),
        f64::NEG_INFINITY => "-Inf".into(),
        value => value.to_string(),
    }
}

fn distribution(text: &mut String, name: &str, labels: &str, buckets: &Buckets) {
    let comma = if labels.is_empty() { "" } else { "," };
    let bounds = SECONDS.iter().map(|bound| number(*bound)).chain(["+Inf".to_owned()]);
    let mut count = 0;
    for (bound, bucket) in bounds.zip(&buckets.counts) {
        count += bucket.load(Ordering::Relaxed);
        let labels = format!("{labels}{comma}le=\"{bound}\"");
        line(text, &format!("{name}_bucket"), &labels, &count.to_string());
    }
    let sum = f64::from_bits(buckets.sum.load(Ordering::Relaxed));
    line(text, &format!("{name}_sum"), labels, &number(sum));
    line(text, &format!("{name}_count"), labels, &count.to_string());
}

#[cfg(test)]
mod tests {
    use metrics::{counter, describe_counter, gauge, histogram, with_local_recorder};

    use super::{Exposition, PRUNED_FROM};

    #[test]
    fn series_are_written_as_prometheus_reads_them() {
        let exposition = Exposition::default();
        with_local_recorder(&exposition, || {
            describe_counter!("a_total", "Things\nof a kind.");
            counter!("a_total", "kind" => "x\"y").increment(3);
            counter!("a_total", "kind" => "z").increment(0);
            gauge!("b").set(1.5);
            histogram!("c_seconds", "qos" => "1").record_many(0.002, 4);
            histogram!("c_seconds", "qos" => "1").record(99.0);
        });
        let text = exposition.render();
        assert!(text.starts_with(
            "# HELP a_total Things\\nof a kind.\n# TYPE a_total counter\n\
             a_total{kind=\"x\\\"y\"} 3\na_total{kind=\"z\"} 0\n"
        ));
        for line in [
            "# TYPE b gauge\nb 1.5\n",
            "c_seconds_bucket{qos=\"1\",le=\"0.001\"} 0\n",
            "c_seconds_bucket{qos=\"1\",le=\"0.0025\"} 4\n",
            "c_seconds_bucket{qos=\"1\",le=\"10\"} 4\n",
            "c_seconds_bucket{qos=\"1\",le=\"+Inf\"} 5\n",
            "c_seconds_sum{qos=\"1\"} 99.008\nc_seconds_count{qos=\"1\"} 5\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn a_fleeting_series_is_there_as_long_as_its_handle() {
        let exposition = Exposition::with_fleeting(&["passing"]);
        with_local_recorder(&exposition, || {
            gauge!("staying", "n" => "1").set(1.0);
            let held = gauge!("passing", "n" => "1");
            held.set(2.0);
            for n in 0..10 * PRUNED_FROM {
                gauge!("passing", "n" => n.to_string()).set(3.0);
            }
            let text = exposition.render();
            assert_eq!(text.matches("\npassing{").count(), 1, "{text}");
            drop(held);
            let kept = exposition.families.read()["passing"].series.len();
            assert!(kept <= PRUNED_FROM, "{kept} are kept");
        });
        let text = exposition.render();
        assert!(text.contains("staying{n=\"1\"} 1\n") && !text.contains("passing"), "{text}");
    }
}
