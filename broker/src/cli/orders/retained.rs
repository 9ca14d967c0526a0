//! `tidewire retained`: what new subscribers get at once. Publishes nothing.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tidewire_store::inspect::Progress;

use super::consent::Consent;
use super::listed::listed;
use super::table::{Table, number as numbers, plain, words};
use super::told::{number, text};
use crate::cli::progress::Line;
use crate::cli::remote::{Api, Remote, Trouble, coded};
use crate::cli::wording::{count, size};
use crate::config::Sources;

/// As much of a payload as a line of a table shows, in letters.
const SHOWN_MAX: usize = 40;
/// Topics that are named before they are cleared; more are counted.
const NAMED_MAX: usize = 20;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Retained {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Which there are, by topic (what `tidewire retained` alone does, too).
    Ls {
        /// Only topics that match this filter, such as 'plant/+/state'.
        filter: Option<String>,
        /// Only so many.
        #[arg(long, value_name = "COUNT")]
        limit: Option<usize>,
    },
    /// The payload of one, byte for byte; with --json all about it.
    Get {
        /// Its topic.
        topic: String,
    },
    /// Clear retained messages, as empty ones that are published would. To set one, there is
    /// `tidewire pub --retain`.
    Rm {
        /// The topic of one.
        #[arg(required_unless_present = "filter", conflicts_with = "filter")]
        topic: Option<String>,
        /// All whose topics match this.
        #[arg(long)]
        filter: Option<String>,
        #[command(flatten)]
        consent: Consent,
    },
}

/// What there is to say, and whether all is well.
pub(super) fn run(asked: &Retained, sources: &Sources) -> Result<(String, bool), Trouble> {
    let api = asked.remote.open(sources)?;
    let json = asked.remote.json;
    match &asked.verb {
        None => ls(&api, (None, None), json),
        Some(Verb::Ls { filter, limit }) => ls(&api, (filter.as_deref(), *limit), json),
        Some(Verb::Get { topic }) => get(&api, topic, json),
        Some(Verb::Rm { topic, filter, consent }) => {
            let topics = match (topic, filter) {
                (Some(topic), _) => vec![topic.clone()],
                (None, filter) => matching(&api, filter.as_deref())?,
            };
            rm(&api, &topics, (*consent, json))
        }
    }
}

fn path(topic: &str) -> String {
    format!("/api/v1/retained/{}", coded(topic))
}

fn found(api: &Api, filter: Option<&str>) -> Result<Vec<Value>, Trouble> {
    listed(api, "/api/v1/retained", filter.map(|filter| ("filter", filter)).as_slice())
}

fn matching(api: &Api, filter: Option<&str>) -> Result<Vec<String>, Trouble> {
    let items = found(api, filter)?;
    Ok(items.iter().filter_map(|item| item["topic"].as_str()).map(str::to_owned).collect())
}

fn ls(
    api: &Api,
    (filter, limit): (Option<&str>, Option<usize>),
    json: bool,
) -> Result<(String, bool), Trouble> {
    let mut items = found(api, filter)?;
    items.truncate(limit.unwrap_or(usize::MAX));
    if json {
        return Ok((json!({ "items": items }).to_string(), true));
    }
    let mut table = Table::new([
        words("TOPIC"),
        numbers("BYTES"),
        numbers("QOS"),
        words("RECEIVED"),
        words("PUBLISHER"),
        words("PAYLOAD"),
    ]);
    for item in &items {
        table.push([
            text(item, "topic"),
            size(number(item, "payload_bytes")),
            text(item, "qos"),
            text(item, "received"),
            text(item, "publisher"),
            beginning(item),
        ]);
    }
    Ok((table.text(), true))
}

/// As much of a payload as fits.
fn beginning(item: &Value) -> String {
    let (kind, whole) = match item["payload"].as_str() {
        Some(text) => ("", text),
        None => ("base64:", item["payload_base64"].as_str().unwrap_or_default()),
    };
    let mut shown = format!("{kind}{}", whole.chars().take(SHOWN_MAX).collect::<String>());
    if whole.chars().count() > SHOWN_MAX {
        shown.push('…');
    }
    shown
}

fn get(api: &Api, topic: &str, json: bool) -> Result<(String, bool), Trouble> {
    let found = api.get(&path(topic))?;
    if json {
        return Ok((found.to_string(), true));
    }
    let bytes = match found["payload"].as_str() {
        Some(text) => text.as_bytes().to_vec(),
        None => STANDARD.decode(found["payload_base64"].as_str().unwrap_or_default()).map_err(
            |error| Trouble::broker(format!("the broker's answer is no base64: {error}")),
        )?,
    };
    // A reader that went away is no reason to fail; and nothing is put behind the payload.
    let mut out = std::io::stdout();
    let _ = out.write_all(&bytes).and_then(|()| out.flush());
    Ok((String::new(), true))
}

fn rm(
    api: &Api,
    topics: &[String],
    (consent, json): (Consent, bool),
) -> Result<(String, bool), Trouble> {
    let many = count(topics.len() as u64, "retained message");
    if consent.dry_run || topics.is_empty() {
        if let [topic] = topics {
            let _ = api.get(&path(topic))?;
        }
        let document = json!({ "done": false, "topics": topics }).to_string();
        return Ok((if json { document } else { named(&many, topics) }, true));
    }
    consent.given(&format!("Clear {many}"))?;
    let mut line = Line::new("clear", |amount| amount.to_string());
    let (mut cleared, total) = (0, topics.len() as u64);
    for (done, topic) in (0..).zip(topics) {
        line.show(Progress { done, total });
        cleared += u64::from(api.delete(&path(topic))?["removed"] == true);
    }
    drop(line);
    if let ([topic], 0) = (topics, cleared) {
        let words = format!("nothing is retained at {topic:?}");
        return Err(Trouble::broker(format!("{words}\n  try: `tidewire retained ls`")));
    }
    let document = json!({ "done": true, "removed": cleared }).to_string();
    let words = format!("{} cleared", count(cleared, "retained message"));
    Ok((if json { document } else { words }, true))
}

fn named(many: &str, topics: &[String]) -> String {
    let mut words = format!("would clear {many}");
    for topic in topics.iter().take(NAMED_MAX) {
        words.push_str(&format!("\n  {}", plain(topic)));
    }
    if topics.len() > NAMED_MAX {
        words.push_str(&format!("\n  and {} more", topics.len() - NAMED_MAX));
    }
    words
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::beginning;

    #[test]
    fn a_line_shows_the_beginning_of_a_payload() {
        assert_eq!(beginning(&json!({ "payload": "21.5" })), "21.5");
        assert_eq!(beginning(&json!({ "payload": null, "payload_base64": "/wA=" })), "base64:/wA=");
        let long = beginning(&json!({ "payload": "ü".repeat(50) }));
        assert_eq!(long, format!("{}…", "ü".repeat(40)));
    }
}
