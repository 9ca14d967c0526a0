//! Topics as a tree: a row for each level, with the sum of what is below it. Asks nobody.

use std::collections::BTreeMap;

use serde_json::Value;

use super::rows::{Order, Row, table};

/// A level of topics.
#[derive(Debug, Default)]
struct Level {
    /// What came there and below it.
    row: Row,
    /// More is below it than is shown.
    is_branch: bool,
    below: BTreeMap<String, Self>,
}

/// The tree of all items, which do not overlap.
pub(super) fn shown(items: &[Value], order: Order) -> String {
    let mut root = Level::default();
    for item in items {
        let (row, mut level) = (Row::of(item), &mut root);
        for name in item["topic"].as_str().unwrap_or_default().split('/') {
            level = level.below.entry(name.to_owned()).or_default();
            level.row.add(&row);
        }
        level.row.retained = row.retained;
        level.is_branch |= item["branch"] == true;
    }
    let mut rows = Vec::new();
    for (name, level) in sorted(root.below, order) {
        push(&mut rows, (String::new(), ""), (&name, level), order);
    }
    table(rows.into_iter())
}

fn sorted(below: BTreeMap<String, Level>, order: Order) -> Vec<(String, Level)> {
    let mut levels: Vec<_> = below.into_iter().collect();
    order.sort(&mut levels, |(_, level)| &level.row);
    levels
}

/// One level, and what is below it. `lead`: what stands before its corner, and before those below.
fn push(
    rows: &mut Vec<(String, Row)>,
    (lead, corner): (String, &str),
    (name, level): (&str, Level),
    order: Order,
) {
    let name = if name.is_empty() { "\"\"" } else { name };
    let slash = if level.is_branch || !level.below.is_empty() { "/" } else { "" };
    rows.push((format!("{lead}{corner}{name}{slash}"), level.row));
    let lead = match corner {
        "" => lead,
        "└─ " => lead + "   ",
        _ => lead + "│  ",
    };
    let below = sorted(level.below, order);
    let count = below.len();
    for (place, (name, level)) in (1..).zip(below) {
        let corner = if place == count { "└─ " } else { "├─ " };
        push(rows, (lead.clone(), corner), (&name, level), order);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Order, shown};

    fn item(topic: &str, topics: u64, messages: u64) -> Value {
        json!({ "topic": topic, "branch": topics > 1, "topics": topics, "messages": messages,
                "bytes": messages, "last": format!("day {messages}"), "retained": topic == "a" })
    }

    #[test]
    fn each_level_has_the_sum_of_what_is_below_it() {
        let items = [item("a", 1, 1), item("a/b/x", 3, 5), item("a/b/y", 1, 7), item("a/c", 1, 2)];
        let expected = "\
TOPIC     TOPICS  MESSAGES  BYTES  LAST   RETAINED
a/             6        15   15 B  day 7  yes
├─ b/          4        12   12 B  day 7  no
│  ├─ x/       3         5    5 B  day 5  no
│  └─ y        1         7    7 B  day 7  no
└─ c           1         2    2 B  day 2  no";
        assert_eq!(shown(&items, Order::Topic), expected);
        let busiest = shown(&items, Order::Messages);
        let place = |name: &str| busiest.find(name).expect("it is shown");
        assert!(place("─ y") < place("─ x/") && place("─ b/") < place("─ c"), "{busiest}");
    }

    #[test]
    fn a_level_without_a_name_is_seen() {
        let tree = shown(&[item("/a", 1, 1), item("b/", 1, 1)], Order::Topic);
        let rows = tree.lines().skip(1);
        let names: Vec<_> = rows.filter_map(|row| row.split("  ").next()).collect();
        assert_eq!(names, ["\"\"/", "└─ a", "b/", "└─ \"\""]);
    }
}
