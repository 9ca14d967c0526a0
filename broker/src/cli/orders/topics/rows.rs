//! What came at topics, as rows of a table, and their order. Asks nobody.

use std::cmp::Reverse;

use clap::ValueEnum;
use serde_json::Value;

use crate::cli::orders::table::{Table, number as numbers, words};
use crate::cli::orders::told::number;
use crate::cli::wording::size;

/// What came at a topic, or at several.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    pub(super) topics: u64,
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) last: Option<String>,
    /// At this very topic.
    pub(super) retained: bool,
}

impl Row {
    pub(super) fn of(item: &Value) -> Self {
        Self {
            topics: number(item, "topics"),
            messages: number(item, "messages"),
            bytes: number(item, "bytes"),
            last: item["last"].as_str().map(str::to_owned),
            retained: item["retained"] == true,
        }
    }

    /// All but what is said of one topic alone.
    pub(super) fn add(&mut self, other: &Self) {
        self.topics += other.topics;
        self.messages += other.messages;
        self.bytes += other.bytes;
        if other.last > self.last {
            self.last.clone_from(&other.last);
        }
    }
}

/// In which order rows stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// By topic, level by level.
    #[default]
    Topic,
    /// The one with the most messages comes first.
    Messages,
    /// The one with the most bytes comes first.
    Bytes,
    /// The one whose last message is the newest comes first.
    Last,
}

impl Order {
    /// Stable: what is equal stays in the order of levels.
    pub(super) fn sort<T>(self, items: &mut [T], row: impl Fn(&T) -> &Row) {
        match self {
            Self::Topic => (),
            Self::Messages => items.sort_by_key(|item| Reverse(row(item).messages)),
            Self::Bytes => items.sort_by_key(|item| Reverse(row(item).bytes)),
            Self::Last => items.sort_by(|one, other| row(other).last.cmp(&row(one).last)),
        }
    }
}

/// Rows below the names of their columns.
pub(super) fn table(rows: impl Iterator<Item = (String, Row)>) -> String {
    let mut table = Table::new([
        words("TOPIC"),
        numbers("TOPICS"),
        numbers("MESSAGES"),
        numbers("BYTES"),
        words("LAST"),
        words("RETAINED"),
    ]);
    for (name, row) in rows {
        table.push([
            name,
            row.topics.to_string(),
            row.messages.to_string(),
            size(row.bytes),
            row.last.unwrap_or_default(),
            if row.retained { "yes" } else { "no" }.into(),
        ]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::{Order, Row};

    #[test]
    fn the_busiest_comes_first_and_what_is_equal_stays_in_order() {
        let row = |messages, bytes, last: Option<&str>| Row {
            messages,
            bytes,
            last: last.map(str::to_owned),
            ..Row::default()
        };
        let rows =
            [("a", row(1, 9, None)), ("b", row(2, 1, Some("7"))), ("c", row(2, 2, Some("8")))];
        for (order, expected) in [
            (Order::Topic, ["a", "b", "c"]),
            (Order::Messages, ["b", "c", "a"]),
            (Order::Bytes, ["a", "c", "b"]),
            (Order::Last, ["c", "b", "a"]),
        ] {
            let mut sorted = rows.to_vec();
            order.sort(&mut sorted, |(_, row)| row);
            assert_eq!(sorted.iter().map(|(name, _)| *name).collect::<Vec<_>>(), expected);
        }
    }
}
