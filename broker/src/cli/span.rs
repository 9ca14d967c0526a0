//! A length of time as people write it on a command line: `500ms`, `2h`, `1.5`. Knows no clock.

use std::time::Duration;

const UNITS: [(&str, f64); 7] = [
    ("ms", 0.001),
    ("s", 1.0),
    ("min", 60.0),
    ("m", 60.0),
    ("h", 3600.0),
    ("d", 86_400.0),
    ("", 1.0),
];
/// Longer than anybody waits, and short enough for every sum.
const SECONDS_MAX: f64 = 1e10;

/// Reads `500ms`, `2s`, `5min`, `2h`, `7d`, or seconds without a unit.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let worth = UNITS.iter().find(|(name, _)| *name == unit.trim()).map(|(_, worth)| worth);
    let seconds = number.parse::<f64>().ok().zip(worth).map(|(number, worth)| number * worth);
    seconds
        .filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "a time such as 500ms, 2s, 5min, 2h or 7d".into())
}

#[cfg(test)]
mod tests {
    use super::{Duration, parse};

    #[test]
    fn a_time_has_a_unit_or_is_in_seconds() {
        for (text, ms) in [
            ("500ms", 500),
            ("2s", 2_000),
            ("1.5", 1_500),
            ("5min", 300_000),
            ("5m", 300_000),
            ("2h", 7_200_000),
            ("1 d", 86_400_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in ["", "h", "-1s", "1y", "1..2", "99999999999d", "NaN"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
