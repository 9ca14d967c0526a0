//! What turns measured: medians, and the ratio of two that ran one behind the other. Runs nothing.

use std::fmt;
use std::time::Duration;

/// One reading of all records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) took: Duration,
    /// Of who served it.
    pub(crate) processor_time: Duration,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

impl Reading {
    pub(super) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }

    pub(crate) fn messages_per_second(&self) -> f64 {
        self.messages as f64 / self.took.as_secs_f64()
    }

    /// Nanoseconds of the server's processor for each message.
    pub(crate) fn each_ns(&self) -> f64 {
        self.processor_time.as_secs_f64() * 1e9 / self.messages as f64
    }
}

/// The same figure of every round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The value that this part of all do not exceed.
    pub(super) fn at(&self, part: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        // Whole and never negative: rounded, and no larger than the number of values.
        let index = (0..=last).find(|index| *index as f64 >= part * last as f64).unwrap_or(last);
        self.0.get(index).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }
}

impl fmt::Display for Rounds {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:>9.2} ({:.2} to {:.2})", self.median(), self.at(0.0), self.at(1.0))
    }
}

/// One line: a figure of ours, the same of another, and what each round's two came to.
pub(crate) fn line(
    name: &str,
    rounds: &[(Reading, Reading)],
    figure: impl Fn(&Reading) -> f64,
) -> String {
    let ours = Rounds::of(rounds.iter().map(|(ours, _)| figure(ours)));
    let theirs = Rounds::of(rounds.iter().map(|(_, theirs)| figure(theirs)));
    let ratios = Rounds::of(rounds.iter().map(|(ours, theirs)| figure(ours) / figure(theirs)));
    format!("{name:<34} {ours} {theirs}  x{ratios}")
}

#[cfg(test)]
mod tests {
    use super::{Reading, Rounds, line};
    use std::time::Duration;

    #[test]
    fn a_line_shows_medians_and_the_median_of_the_ratios() {
        let reading = |ms| Reading { took: Duration::from_millis(ms), ..Reading::default() };
        let rounds = [(10, 20), (30, 10), (20, 10)].map(|(a, b)| (reading(a), reading(b)));
        let shown = line("took", &rounds, |reading| reading.took.as_secs_f64() * 1e3);
        let words: Vec<&str> = shown.split_whitespace().collect();
        assert_eq!(words[1], "20.00");
        assert_eq!(words[5], "10.00");
        assert!(shown.contains("2.00 (0.50 to 3.00)"), "{shown}");
    }

    #[test]
    fn nothing_measured_is_no_number() {
        assert!(Rounds::default().median().is_nan());
    }
}
