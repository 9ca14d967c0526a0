//! `tidewire groups`: readers that share what they read, how far behind, and where they are put.
//! Decides nothing.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::consent::Consent;
use super::described::{described, is_share, share_group, share_groups};
use super::listed::{Sifted, listed};
use super::place::Place;
use super::table::{Table, number as numbers, words};
use super::told::{lag, number, text};
use crate::cli::remote::{Api, Remote, Trouble, coded};
use crate::config::Sources;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Groups {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Consumer groups and share groups, and how far behind (what `tidewire groups` alone does,
    /// too).
    Ls(Listing),
    /// One group, partition by partition, with the columns of Kafka's own tool, and how old what it
    /// has not read is, and when it begins to lose some.
    Describe {
        /// Its name; a share group's is its filter, $share/crew/jobs/#.
        group: String,
    },
    /// Put a consumer group without members elsewhere, durably. One that is not there yet is made,
    /// in a stream that is named.
    Reset {
        /// Its name.
        group: String,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        consent: Consent,
    },
    /// Forget a consumer group without members, and its offsets.
    Delete {
        /// Its name.
        group: String,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Clone, Debug, Default, Args)]
struct Listing {
    /// In which order.
    #[arg(long, value_enum, default_value_t)]
    sort: Order,
    #[command(flatten)]
    sifted: Sifted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Order {
    /// By name, share groups last.
    #[default]
    Name,
    /// Who is behind most comes first.
    Lag,
}

/// What there is to say, and whether all is well.
pub(super) fn run(asked: &Groups, sources: &Sources) -> Result<(String, bool), Trouble> {
    let api = asked.remote.open(sources)?;
    let json = asked.remote.json;
    let said = match &asked.verb {
        None => ls(&api, &Listing::default(), json)?,
        Some(Verb::Ls(listing)) => ls(&api, listing, json)?,
        Some(Verb::Describe { group }) => describe(&api, group, json)?,
        Some(Verb::Reset { group, place, consent }) => reset(&api, group, place, (*consent, json))?,
        Some(Verb::Delete { group, consent }) => delete(&api, group, (*consent, json))?,
    };
    Ok((said, true))
}

fn path(group: &str) -> String {
    format!("/api/v1/groups/{}", coded(group))
}

fn ls(api: &Api, listing: &Listing, json: bool) -> Result<String, Trouble> {
    let mut items = match listed(api, "/api/v1/groups", &[]) {
        Ok(items) => items,
        // Without a Kafka port there are share groups all the same.
        Err(trouble) if trouble.code.as_deref() == Some("no_kafka") => Vec::new(),
        Err(trouble) => return Err(trouble),
    };
    items.extend(share_groups(api)?);
    listing.sifted.sift(&mut items);
    if listing.sort == Order::Lag {
        items.sort_by_key(|item| std::cmp::Reverse(number(&item["lag"], "records")));
    }
    listing.sifted.cut(&mut items);
    if json {
        return Ok(json!({ "items": items }).to_string());
    }
    let mut table = Table::new([
        words("GROUP"),
        words("KIND"),
        words("STATE"),
        numbers("MEMBERS"),
        numbers("LAG"),
        numbers("TIME-LAG"),
        numbers("LOSS-IN"),
    ]);
    for item in &items {
        let [records, time, loss] = lag(&item["lag"]);
        let members = match &item["members"] {
            Value::Array(members) => members.len().to_string(),
            _ => text(item, "members"),
        };
        let (name, kind) = (text(item, "name"), text(item, "kind"));
        table.push([name, kind, text(item, "state"), members, records, time, loss]);
    }
    Ok(table.text())
}

fn describe(api: &Api, group: &str, json: bool) -> Result<String, Trouble> {
    let found = match is_share(group) {
        true => share_group(api, group)?,
        false => api.get(&path(group))?,
    };
    Ok(if json { found.to_string() } else { described(&found) })
}

fn reset(
    api: &Api,
    group: &str,
    place: &Place,
    (consent, json): (Consent, bool),
) -> Result<String, Trouble> {
    no_share(group)?;
    let mut order = place.order()?;
    order.insert("dry_run".into(), json!(true));
    let offsets = format!("{}/offsets", path(group));
    let mut done = api.post(&offsets, &Value::Object(order.clone()))?;
    if !consent.dry_run {
        let many = done["moved"].as_array().map_or(0, Vec::len);
        let parts = if many == 1 { "1 partition".into() } else { format!("{many} partitions") };
        consent.given(&format!("Put group {group:?} elsewhere in {parts}"))?;
        order.remove("dry_run");
        done = api.post(&offsets, &Value::Object(order))?;
    }
    if json {
        return Ok(done.to_string());
    }
    let mut table = Table::new([
        words("GROUP"),
        words("TOPIC"),
        numbers("PARTITION"),
        numbers("OLD-OFFSET"),
        numbers("NEW-OFFSET"),
    ]);
    for one in done["moved"].as_array().into_iter().flatten() {
        let [stream, partition, from, to] =
            ["stream", "partition", "from", "to"].map(|field| text(one, field));
        table.push([group.into(), stream, partition, from, to]);
    }
    let note = if consent.dry_run { "\n\nnothing was changed: --dry-run" } else { "" };
    Ok(format!("{}{note}", table.text()))
}

fn delete(api: &Api, group: &str, (consent, json): (Consent, bool)) -> Result<String, Trouble> {
    no_share(group)?;
    let tried = api.delete(&format!("{}?dry_run=true", path(group)))?;
    let unknown = || {
        let words = format!("there is no consumer group {group:?}");
        Trouble::broker(format!("{words}\n  try: `tidewire groups ls`"))
    };
    if tried["removed"] != true {
        return Err(unknown());
    }
    if consent.dry_run {
        let words = format!("would forget group {group:?} and its offsets");
        return Ok(if json {
            json!({ "done": false, "removed": true }).to_string()
        } else {
            words
        });
    }
    consent.given(&format!("Forget group {group:?} and its offsets"))?;
    let removed = api.delete(&path(group))?;
    if removed["removed"] != true {
        return Err(unknown());
    }
    let words = format!("group {group:?} is forgotten");
    Ok(if json { removed.to_string() } else { words })
}

/// Share groups are made and ended by their members.
fn no_share(group: &str) -> Result<(), Trouble> {
    match is_share(group) {
        false => Ok(()),
        true => Err(Trouble::usage(format!(
            "{group:?} is a share group: it is there as long as a session subscribes to it\n  try: \
             `tidewire sessions expire CLIENT`"
        ))),
    }
}
