//! What the API told, as people read it: times, lengths of time, what is not there. Asks nobody.

use serde_json::Value;

use super::table::plain;

/// A field as words: a dash where there is nothing.
pub(super) fn text(value: &Value, field: &str) -> String {
    shown(&value[field])
}

/// A number; 0 where there is none.
pub(super) fn number(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or(0)
}

/// Lag in records, in time, and until some of it is lost.
pub(super) fn lag(lag: &Value) -> [String; 3] {
    if lag.is_null() {
        return ["-", "-", "-"].map(str::to_owned);
    }
    let loss = lag["loses_in_seconds"].as_u64();
    let loss = loss.map_or_else(|| "-".into(), length);
    [number(lag, "records").to_string(), length(number(lag, "seconds")), loss]
}

/// Seconds as `0s`, `5m 3s`, `2h 10m`, `3d 4h`.
pub(super) fn length(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let two = |large: u64, unit: &str, small: u64, smaller: &str| match small {
        0 => format!("{large}{unit}"),
        small => format!("{large}{unit} {small}{smaller}"),
    };
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => two(minutes, "m", seconds % 60, "s"),
        (0, _, _) => two(hours, "h", minutes % 60, "m"),
        _ => two(days, "d", hours % 24, "h"),
    }
}

/// Every field of something, a line each.
pub(super) fn sheet(value: &Value) -> String {
    let mut lines = Vec::new();
    gather("", value, &mut lines);
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines = lines.iter().map(|(name, shown)| format!("{name:<width$}  {shown}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn gather(name: &str, value: &Value, lines: &mut Vec<(String, String)>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                let whole = if name.is_empty() { plain(field) } else { format!("{name}.{field}") };
                gather(&whole, value, lines);
            }
        }
        other => lines.push((name.to_owned(), shown(other))),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{lag, length, sheet};

    #[test]
    fn a_length_of_time_has_its_two_largest_units() {
        for (seconds, expected) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (303, "5m 3s"),
            (7_800, "2h 10m"),
            (86_400, "1d"),
            (273_600, "3d 4h"),
        ] {
            assert_eq!(length(seconds), expected);
        }
    }

    #[test]
    fn a_lag_is_records_time_and_when_it_turns_into_loss() {
        let told = json!({ "records": 7, "seconds": 61, "loses_in_seconds": 3600 });
        assert_eq!(lag(&told), ["7", "1m 1s", "1h"]);
        let told = json!({ "records": 0, "seconds": 0, "loses_in_seconds": null });
        assert_eq!(lag(&told), ["0", "0s", "-"]);
        assert_eq!(lag(&json!(null)), ["-", "-", "-"]);
    }

    #[test]
    fn a_sheet_has_a_line_for_each_field() {
        let told = json!({ "live": true, "lag": { "records": 1 }, "user": null, "id": "a\u{1b}" });
        let expected = "id           a\\u{1b}\nlag.records  1\nlive         yes\nuser         -";
        assert_eq!(sheet(&told), expected);
    }
}
