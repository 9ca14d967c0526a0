//! Numbers that came, and how they look: a plot of one topic, a line for each of several.
//! Reads no clock and draws on no terminal.

use std::collections::{BTreeMap, VecDeque};

use serde_json::Value;

use crate::cli::wording::count;

/// Values of one topic that are kept: wider is no terminal.
const VALUES_MAX: usize = 1000;
/// Topics that are drawn.
const TOPICS_MAX: usize = 24;
/// Lines of the plot of one topic.
const HEIGHT: usize = 8;
/// Letters of a topic in front of its line.
const TOPIC_WIDTH: usize = 28;
/// Letters of a number.
const NUMBER_WIDTH: usize = 9;
/// From nearly nothing to a whole cell.
const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The numbers of all topics.
#[derive(Debug, Default)]
pub(crate) struct Board {
    /// The field of a JSON payload that is drawn; empty: the payload is the number.
    field: String,
    topics: BTreeMap<String, Series>,
    /// Messages without the number.
    blank: u64,
}

#[derive(Debug, Default)]
struct Series {
    values: VecDeque<f64>,
    /// All that came, also what is not kept.
    came: u64,
}

impl Board {
    /// Draws this field: names with dots between them.
    pub(crate) fn of(field: &str) -> Self {
        Self { field: field.into(), ..Self::default() }
    }

    pub(crate) fn note(&mut self, topic: &str, payload: &[u8]) {
        let Some(number) = number(payload, &self.field) else {
            self.blank += 1;
            return;
        };
        let series = self.topics.entry(topic.into()).or_default();
        if series.values.len() == VALUES_MAX {
            series.values.pop_front();
        }
        series.values.push_back(number);
        series.came += 1;
    }

    /// As lines, none wider than that. A column is a message; the last stands at the right.
    pub(crate) fn draw(&self, width: usize) -> String {
        let mut lines: Vec<String> = match self.topics.iter().next() {
            Some((topic, series)) if self.topics.len() == 1 => plot(topic, series, width),
            _ => self.rows(width),
        };
        if self.topics.len() > TOPICS_MAX {
            lines.push(format!("and {} more topics", self.topics.len() - TOPICS_MAX));
        }
        if self.blank > 0 {
            let what = match self.field.as_str() {
                "" => "without a number".to_owned(),
                field => format!("without a number in {field:?}"),
            };
            lines.push(format!("{} {what}", count(self.blank, "message")));
        }
        if lines.is_empty() {
            lines.push("nothing yet".into());
        }
        let cut = |line: String| line.chars().take(width).collect::<String>();
        lines.into_iter().map(|line| cut(line) + "\n").collect()
    }

    /// A line for each topic; what their names have in common stands above them once.
    fn rows(&self, width: usize) -> Vec<String> {
        let drawn: Vec<_> = self.topics.iter().take(TOPICS_MAX).collect();
        let topics: Vec<&str> = drawn.iter().map(|(topic, _)| topic.as_str()).collect();
        let (common, names) = names(&topics);
        let letters = names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
        let rows = names.iter().zip(&drawn);
        let rows = rows.map(|(name, (_, series))| row((name, letters), series, width));
        common.into_iter().chain(rows).collect()
    }
}

/// What topics have in common, if they do, and what is left of each; no longer than a line has
/// room for.
fn names(topics: &[&str]) -> (Option<String>, Vec<String>) {
    let levels: Vec<Vec<&str>> = topics.iter().map(|topic| topic.split('/').collect()).collect();
    let Some(first) = levels.first() else { return (None, Vec::new()) };
    // Of each topic a level is left, or there would be nothing to call it.
    let most = levels.iter().map(Vec::len).min().unwrap_or_default().saturating_sub(1);
    let same = |at: usize| levels.iter().all(|levels| levels.get(at) == first.get(at));
    let before = (0..most).take_while(|at| same(*at)).count();
    let last = |levels: &Vec<&str>, at: usize| levels.iter().rev().nth(at).map(ToString::to_string);
    let same = |at: usize| levels.iter().all(|levels| last(levels, at) == last(first, at));
    let behind = (0..most - before).take_while(|at| same(*at)).count();
    let left = |levels: &Vec<&str>| {
        let left = levels.get(before..levels.len() - behind).unwrap_or_default();
        shortened(&left.join("/"))
    };
    let names = levels.iter().map(left).collect();
    if before + behind == 0 {
        return (None, names);
    }
    let ends = [first.get(..before), Some(&["…"][..]), first.get(first.len() - behind..)];
    let common: Vec<&str> = ends.into_iter().flatten().flatten().copied().collect();
    (Some(common.join("/")), names)
}

/// The end of a name counts.
fn shortened(name: &str) -> String {
    match name.chars().count() {
        letters if letters > TOPIC_WIDTH => {
            let end: String = name.chars().skip(letters + 1 - TOPIC_WIDTH).collect();
            format!("…{end}")
        }
        _ => name.into(),
    }
}

/// The number of a payload; none, if it is not finite.
fn number(payload: &[u8], field: &str) -> Option<f64> {
    let text = str::from_utf8(payload).ok()?.trim();
    let found = match field {
        "" => text.parse().ok(),
        _ => {
            let document: Value = serde_json::from_str(text).ok()?;
            let step = |here: Value, name| match here {
                Value::Object(mut fields) => fields.remove(name),
                Value::Array(mut items) => {
                    let at = str::parse(name).ok().filter(|at| *at < items.len())?;
                    Some(items.swap_remove(at))
                }
                _ => None,
            };
            match field.split('.').try_fold(document, step)? {
                Value::Number(number) => number.as_f64(),
                Value::Bool(is_on) => Some(f64::from(u8::from(is_on))),
                Value::String(text) => text.trim().parse().ok(),
                _ => None,
            }
        }
    };
    found.filter(|number: &f64| number.is_finite())
}

/// The lowest and the highest.
fn range(values: &[f64]) -> (f64, f64) {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    (low, values.iter().copied().fold(f64::NEG_INFINITY, f64::max))
}

/// How high a value stands, from 1 to `steps`. All the same stand in the middle.
fn level(value: f64, (low, high): (f64, f64), steps: usize) -> usize {
    // Halved: the distance of the largest numbers has no name.
    let (above, span) = (value / 2.0 - low / 2.0, high / 2.0 - low / 2.0);
    let share = if span > 0.0 { (above / span).clamp(0.0, 1.0) } else { 0.5 };
    (1..steps).filter(|step| share * (steps - 1) as f64 >= *step as f64 - 0.5).count() + 1
}

fn last(series: &Series, columns: usize) -> Vec<f64> {
    let skipped = series.values.len().saturating_sub(columns);
    series.values.iter().skip(skipped).copied().collect()
}

fn shown(number: f64) -> String {
    let text = match number.abs() {
        size if size >= 1e7 || (size > 0.0 && size < 1e-3) => format!("{number:.2e}"),
        _ => {
            let text = format!("{number:.3}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    };
    format!("{text:>NUMBER_WIDTH$}")
}

/// One line: the topic, its last values, the last of them.
fn row((name, letters): (&str, usize), series: &Series, width: usize) -> String {
    let columns = width.saturating_sub(letters + NUMBER_WIDTH + 2).max(1);
    let values = last(series, columns);
    let range = range(&values);
    let cell = |value: &f64| EIGHTHS.get(level(*value, range, 8) - 1).copied().unwrap_or('█');
    let line: String = values.iter().map(cell).collect();
    let now = shown(values.last().copied().unwrap_or_default());
    format!("{name:<letters$} {line:<columns$} {now}")
}

/// Some lines with the highest and the lowest value beside them.
fn plot(topic: &str, series: &Series, width: usize) -> Vec<String> {
    let columns = width.saturating_sub(NUMBER_WIDTH + 2).max(1);
    let values = last(series, columns);
    let (low, high) = range(&values);
    let levels: Vec<usize> =
        values.iter().map(|value| level(*value, (low, high), HEIGHT * 8)).collect();
    let now = shown(values.last().copied().unwrap_or_default());
    let came = match (values.len() as u64, series.came) {
        (shown, all) if shown < all => format!("the last {shown} of {all} messages"),
        (_, all) => count(all, "message"),
    };
    let mut lines = vec![format!("{topic}  now {}  {came}", now.trim())];
    for place in (0..HEIGHT).rev() {
        let label = match place {
            _ if place + 1 == HEIGHT => shown(high),
            0 => shown(low),
            _ => " ".repeat(NUMBER_WIDTH),
        };
        let cell = |level: &usize| match level.saturating_sub(place * 8) {
            0 => ' ',
            eighths => EIGHTHS.get(eighths.min(8) - 1).copied().unwrap_or('█'),
        };
        let cells: String = levels.iter().map(cell).collect();
        lines.push(format!("{label} ┤{}", cells.trim_end()));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{Board, level, names, number};

    #[test]
    fn a_number_is_a_payload_or_a_field_of_one() {
        for (payload, field, found) in [
            ("21.5", "", Some(21.5)),
            (" -3\n", "", Some(-3.0)),
            ("{\"t\": {\"c\": 4}}", "t.c", Some(4.0)),
            ("{\"t\": [1, \"2.5\"]}", "t.1", Some(2.5)),
            ("{\"on\": true}", "on", Some(1.0)),
            ("{\"t\": 1}", "u", None),
            ("{\"t\": [1]}", "t.7", None),
            ("NaN", "", None),
            ("inf", "", None),
            ("on", "", None),
        ] {
            assert_eq!(number(payload.as_bytes(), field), found, "{payload}");
        }
        assert_eq!(number(b"\xff", ""), None);
    }

    #[test]
    fn the_lowest_stands_low_and_the_highest_high() {
        for (value, steps) in [(0.0, 1), (50.0, 5), (100.0, 8)] {
            assert_eq!(level(value, (0.0, 100.0), 8), steps, "{value}");
        }
        assert_eq!(level(7.0, (7.0, 7.0), 9), 5, "all the same");
        assert_eq!(level(f64::MAX, (f64::MIN, f64::MAX), 8), 8);
    }

    #[test]
    fn one_topic_is_plotted_with_its_range() {
        let mut board = Board::of("");
        (0..100).for_each(|n| board.note("a", n.to_string().as_bytes()));
        board.note("a", b"no number");
        let text = board.draw(40);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "a  now 99  the last 29 of 100 messages");
        assert!(lines[1].starts_with("       99 ┤") && lines[1].ends_with('█'), "{text}");
        assert!(lines[8].starts_with("       71 ┤▁▃"), "{text}");
        assert_eq!(lines[9], "1 message without a number");
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{text}");
    }

    #[test]
    fn what_topics_have_in_common_is_said_once() {
        let check = |topics: &[&str], common: Option<&str>, left: &[&str]| {
            let (said, names) = names(topics);
            assert_eq!(
                (said.as_deref(), names),
                (common, left.iter().map(|it| (*it).into()).collect())
            );
        };
        check(&["a/1/t", "a/2/t"], Some("a/…/t"), &["1", "2"]);
        check(&["a/1/x", "a/2/y"], Some("a/…"), &["1/x", "2/y"]);
        check(&["a", "b"], None, &["a", "b"]);
        check(&["a", "a/a", "a/a/a"], None, &["a", "a/a", "a/a/a"]);
        check(&["a/a", "a/a/a"], Some("a/…"), &["a", "a/a"]);
        check(&["/t", "//t"], Some("/…"), &["t", "/t"]);
        let long = "0123456789012345678901234567890";
        check(&[&format!("a/{long}"), "a/b"], Some("a/…"), &["…456789012345678901234567890", "b"]);
        check(&[], None, &[]);
    }

    #[test]
    fn several_topics_have_a_line_each_and_none_is_wider_than_the_terminal() {
        let mut board = Board::of("t");
        for n in 0..30 {
            for topic in 0..30 {
                let payload = format!("{{\"t\": {}}}", n * topic);
                let topic = format!("plant/line-{topic:02}/a-sensor-of-temperature");
                board.note(&topic, payload.as_bytes());
            }
        }
        for width in [1, 10, 60, 200] {
            let text = board.draw(width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}: {text}");
        }
        let text = board.draw(60);
        assert_eq!(text.lines().count(), 26);
        assert!(text.starts_with("plant/…/a-sensor-of-temperature\nline-00 ▅▅"), "{text}");
        assert!(text.contains("line-01 ▁▁"), "{text}");
        assert!(text.contains("█                    29\n"), "{text}");
        assert!(text.ends_with("and 6 more topics\n"), "{text}");
        assert_eq!(Board::of("").draw(60), "nothing yet\n");
    }
}
