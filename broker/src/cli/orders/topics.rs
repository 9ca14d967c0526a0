//! `tidewire topics`: which topics there are, and what came at each, as a table or a tree. Changes
//! nothing.

mod rows;
mod tree;

use clap::Args;
use serde_json::{Value, json};

use super::told::{number, text};
use crate::cli::remote::{Api, Remote, Trouble};
use crate::cli::wording::count;
use crate::config::Sources;
use rows::{Order, Row, table};

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Topics {
    /// Only topics that match this filter, such as 'plant/+/state'.
    filter: Option<String>,
    /// Only this topic and those below it.
    #[arg(long, value_name = "TOPIC")]
    prefix: Option<String>,
    /// Sum what is more levels below: with 1, only the branches are shown.
    #[arg(long, value_name = "LEVELS")]
    depth: Option<u16>,
    /// As a tree: each level with the sum of all that is below it.
    #[arg(long, conflicts_with = "limit")]
    tree: bool,
    /// In which order.
    #[arg(long, value_enum, default_value_t)]
    sort: Order,
    /// Only so many.
    #[arg(long, value_name = "COUNT")]
    limit: Option<usize>,
    #[command(flatten)]
    remote: Remote,
}

/// What there is to say, and whether all is well.
pub(super) fn run(asked: &Topics, sources: &Sources) -> Result<(String, bool), Trouble> {
    let api = asked.remote.open(sources)?;
    let (items, counted) = found(&api, asked)?;
    let mut rows: Vec<_> = items.into_iter().map(|item| (Row::of(&item), item)).collect();
    asked.sort.sort(&mut rows, |(row, _)| row);
    rows.truncate(asked.limit.unwrap_or(usize::MAX));
    let items: Vec<Value> = rows.into_iter().map(|(_, item)| item).collect();
    if asked.remote.json {
        return Ok((json!({ "items": items, "counted": counted }).to_string(), true));
    }
    // Beside the table: who reads columns has them alone.
    for note in notes(&counted) {
        eprintln!("{note}");
    }
    let shown = match asked.tree {
        true => tree::shown(&items, asked.sort),
        false => table(items.iter().map(|item| (name(item), Row::of(item)))),
    };
    Ok((shown, true))
}

/// All items that are wanted, and what their numbers are of.
fn found(api: &Api, asked: &Topics) -> Result<(Vec<Value>, Value), Trouble> {
    let depth = asked.depth.map(|depth| depth.to_string());
    let said = [
        ("filter", asked.filter.as_deref()),
        ("prefix", asked.prefix.as_deref()),
        ("depth", depth.as_deref()),
    ];
    let said: Vec<_> = said.iter().filter_map(|(name, value)| Some((*name, (*value)?))).collect();
    // In another order than that of the pages, the first may stand on the last page.
    let enough = asked.limit.filter(|_| asked.sort == Order::Topic).unwrap_or(usize::MAX);
    let (mut all, mut counted) = (Vec::new(), Value::Null);
    api.whole_pages("/api/v1/topics", &said, &mut |page, items| {
        if counted.is_null() {
            counted = page["counted"].clone();
        }
        all.extend(items);
        all.len() < enough
    })?;
    Ok((all, counted))
}

/// A branch by the filter of all that is in it.
fn name(item: &Value) -> String {
    let topic = item["topic"].as_str().unwrap_or_default();
    if item["branch"] == true { format!("{topic}/#") } else { topic.to_owned() }
}

/// What the numbers are of, and what is not in them.
fn notes(counted: &Value) -> Vec<String> {
    let known = count(number(counted, "topics"), "topic");
    let mut notes = vec![format!("{known}, counted since {}", text(counted, "since"))];
    let others = &counted["others"];
    if number(others, "topics") > 0 {
        notes.push(format!(
            "{} at {} are not shown: topics.count_max is {}",
            count(number(others, "messages"), "message"),
            count(number(others, "topics"), "other topic"),
            number(counted, "topics_max"),
        ));
    }
    let skipped = number(counted, "skipped");
    if skipped > 0 {
        let records = count(skipped, "record");
        notes.push(format!("{records} not counted: too many came since somebody asked"));
    }
    let waiting = number(counted, "waiting");
    if waiting > 0 {
        notes.push(format!("{} not looked at yet: ask again", count(waiting, "record")));
    }
    notes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{name, notes};

    #[test]
    fn a_branch_is_shown_as_the_filter_of_what_is_in_it() {
        assert_eq!(name(&json!({ "topic": "a/b", "branch": false })), "a/b");
        assert_eq!(name(&json!({ "topic": "a/b", "branch": true })), "a/b/#");
        assert_eq!(name(&json!({ "topic": "", "branch": true })), "/#");
    }

    #[test]
    fn what_was_not_counted_is_said_only_where_there_is_some() {
        let counted = |others: u64, skipped: u64, waiting: u64| {
            json!({ "since": "then", "topics": 1, "topics_max": 9, "skipped": skipped,
                    "waiting": waiting, "others": { "topics": others, "messages": 2 * others } })
        };
        assert_eq!(notes(&counted(0, 0, 0)), ["1 topic, counted since then"]);
        let said = notes(&counted(3, 1, 2));
        assert_eq!(
            said[1..],
            [
                "6 messages at 3 other topics are not shown: topics.count_max is 9",
                "1 record not counted: too many came since somebody asked",
                "2 records not looked at yet: ask again",
            ]
        );
    }
}
