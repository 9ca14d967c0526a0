//! What rounds measured: medians, and how far this broker is from each of the others. Runs nothing.

use std::fmt;

use serde_json::Value;

/// Of one run, by name, in the order in which they are shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Figures(Vec<(String, f64)>);

const MEDIAN_LATENCY: &str = "latency p50 us";
/// What comes from the report as it is.
const PLAIN: [&str; 4] = ["lost", "repeated", "reordered", "refused"];

impl Figures {
    /// Reads a report of `tidewire bench --json`.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let report: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut figures = Vec::new();
        for phase in report["phases"].as_array().into_iter().flatten() {
            let name = phase["name"].as_str().unwrap_or("?");
            put(&mut figures, &format!("{name} per second"), &phase["per_second"]);
            put(&mut figures, &format!("{name}, CPU us each"), &phase["broker_cpu_us_each"]);
        }
        put(&mut figures, MEDIAN_LATENCY, &report["latency"]["p50_us"]);
        put(&mut figures, "latency p99 us", &report["latency"]["p99_us"]);
        put(&mut figures, "bytes per connection", &report["broker_bytes_per_connection"]);
        PLAIN.iter().for_each(|name| put(&mut figures, name, &report[*name]));
        match figures.is_empty() {
            true => Err("no figures".to_owned()),
            false => Ok(Self(figures)),
        }
    }
}

fn put(figures: &mut Vec<(String, f64)>, name: &str, value: &Value) {
    if let Some(value) = value.as_f64() {
        figures.push((name.to_owned(), value));
    }
}

/// All rounds of one workload; the first column is this broker.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(String, Vec<Figures>)>,
    /// What a bare sync took in each round, one behind the other.
    syncs_us: Vec<f64>,
    /// And as often as messages come, where each message has a sync of its own.
    paced_syncs_us: Vec<f64>,
}

impl Table {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let columns = names.map(|name| (name.to_owned(), Vec::new())).collect();
        Self { columns, syncs_us: Vec::new(), paced_syncs_us: Vec::new() }
    }

    pub(super) fn add_sync(&mut self, median_us: f64) {
        self.syncs_us.push(median_us);
    }

    /// Times are told in bare syncs then.
    pub(super) fn add_paced_sync(&mut self, median_us: f64) {
        self.paced_syncs_us.push(median_us);
    }

    pub(super) fn add(&mut self, column: usize, figures: Figures) {
        if let Some((_, rounds)) = self.columns.get_mut(column) {
            rounds.push(figures);
        }
    }

    fn values(&self, column: usize, name: &str) -> Vec<f64> {
        let value = |round: &Figures| round.0.iter().find(|(known, _)| known == name).map(|f| f.1);
        let rounds = self.columns.get(column).map(|(_, rounds)| rounds.iter());
        rounds.into_iter().flatten().map(|round| value(round).unwrap_or(f64::NAN)).collect()
    }

    /// Of this broker's and another's in the same round: what slowed both says nothing.
    fn ratio(&self, column: usize, name: &str) -> f64 {
        let pairs = self.values(0, name).into_iter().zip(self.values(column, name));
        median(pairs.map(|(ours, theirs)| ours / theirs).collect())
    }

    fn write_in_syncs(
        &self,
        out: &mut fmt::Formatter<'_>,
        name: &str,
        syncs_us: &[f64],
    ) -> fmt::Result {
        write!(out, "\n{name:<26}")?;
        for column in 0..self.columns.len() {
            let times = self.values(column, MEDIAN_LATENCY).into_iter().zip(syncs_us);
            let times = median(times.map(|(time, sync)| time / sync).collect());
            let under_ratio = if column == 0 { "" } else { "         " };
            write!(out, " {times:>14.3}{under_ratio}")?;
        }
        Ok(())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, rounds)) = self.columns.first() else { return Ok(()) };
        write!(out, "{:<26} {first:>14}", "median")?;
        for (name, _) in &self.columns[1..] {
            write!(out, " {name:>14} {:>8}", "ratio")?;
        }
        for (name, _) in rounds.first().iter().flat_map(|figures| &figures.0) {
            write!(out, "\n{name:<26} {:>14.3}", median(self.values(0, name)))?;
            for column in 1..self.columns.len() {
                let theirs = median(self.values(column, name));
                write!(out, " {theirs:>14.3} {:>7.3}x", self.ratio(column, name))?;
            }
        }
        write!(out, "\n{:<26} {:>14.3}", "a bare sync, us", median(self.syncs_us.clone()))?;
        if self.paced_syncs_us.is_empty() {
            return Ok(());
        }
        let paced_us = median(self.paced_syncs_us.clone());
        write!(out, "\n{:<26} {paced_us:>14.3}", "one at that pace, us")?;
        self.write_in_syncs(out, "latency p50, bare syncs", &self.syncs_us)?;
        self.write_in_syncs(out, "the same, at that pace", &self.paced_syncs_us)
    }
}

#[cfg(test)]
mod tests {
    use super::{Figures, Table};

    #[test]
    fn a_table_shows_medians_and_ratios() {
        let report = |rate: f64| {
            let phase = format!(r#"{{"name":"delivered","per_second":{rate}}}"#);
            Figures::read(&format!(r#"{{"phases":[{phase}],"lost":0}}"#)).expect("figures")
        };
        let mut table = Table::new(["ours", "theirs"].into_iter());
        // The ratio is the middle one of three, and not that of the two medians.
        for (ours, theirs) in [(1.0, 10.0), (600.0, 200.0), (500.0, 100.0)] {
            table.add(0, report(ours));
            table.add(1, report(theirs));
        }
        let shown = table.to_string();
        let words: Vec<&str> = shown.lines().nth(1).expect("a line").split_whitespace().collect();
        assert_eq!(words, ["delivered", "per", "second", "500.000", "100.000", "3.000x"]);
    }

    #[test]
    fn a_latency_is_told_in_the_syncs_of_its_own_round() {
        let report = |us: f64| {
            Figures::read(&format!(r#"{{"latency":{{"p50_us":{us}}}}}"#)).expect("figures")
        };
        let mut table = Table::new(["ours"].into_iter());
        for (ours, sync) in [(150.0, 100.0), (600.0, 200.0), (120.0, 120.0)] {
            table.add_sync(sync);
            table.add_paced_sync(sync * 2.0);
            table.add(0, report(ours));
        }
        let shown = table.to_string();
        let lines = shown.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        let last: Vec<_> = lines.skip(4).collect();
        assert_eq!(last, ["latency p50, bare syncs 1.500", "the same, at that pace 0.750"]);
    }

    #[test]
    fn what_is_no_report_has_no_figures() {
        assert!(Figures::read("").is_err() && Figures::read("{}").is_err());
    }
}
