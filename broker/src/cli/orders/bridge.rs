//! `tidewire bridge`: how bridges are, and orders to them. Decides nothing.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::consent::Consent;
use super::place::place;
use super::table::{Table, number as numbers, words};
use super::told::{lag, sheet, text};
use crate::cli::remote::{Api, Remote, Trouble, coded};
use crate::config::Sources;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Bridge {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Which there are, how far behind, and what went wrong last (what `tidewire bridge` alone
    /// does, too).
    Ls,
    /// All about one bridge.
    Show {
        /// Its name.
        bridge: String,
    },
    /// Have it rest; what it has not read is held for it. Stays so over restarts.
    Pause {
        /// Its name.
        bridge: String,
    },
    /// Have it run, and at once if it waits.
    Resume {
        /// Its name.
        bridge: String,
    },
    /// Have it rest, and let go of what it has not read. Stays so over restarts.
    Stop {
        /// Its name.
        bridge: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Try the other side without moving a message.
    Test {
        /// Its name.
        bridge: String,
    },
    /// Have it read on elsewhere.
    Rewind {
        /// Its name.
        bridge: String,
        /// earliest, latest, how long ago (2h), or a time (2026-11-20T11:30, UTC).
        #[arg(long, value_name = "PLACE")]
        to: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Have it pass over records of one partition.
    Skip {
        /// Its name.
        bridge: String,
        /// The stream.
        #[arg(long)]
        stream: String,
        /// The partition, by its number in the stream.
        #[arg(long)]
        partition: u32,
        /// How many records.
        #[arg(long, default_value_t = 1)]
        records: u64,
        #[command(flatten)]
        consent: Consent,
    },
}

/// What there is to say, and whether all is well.
pub(super) fn run(asked: &Bridge, sources: &Sources) -> Result<(String, bool), Trouble> {
    let api = asked.remote.open(sources)?;
    let json = asked.remote.json;
    let give = |bridge: &str, verb: &str, order: Option<&Value>| {
        let path = format!("{}/{verb}", path(bridge));
        let done = order.map_or_else(|| api.order(&path), |order| api.post(&path, order))?;
        Ok((if json { done.to_string() } else { text(&done, "done") }, true))
    };
    match &asked.verb {
        None | Some(Verb::Ls) => Ok((ls(&api, json)?, true)),
        Some(Verb::Show { bridge }) => {
            let found = api.get(&path(bridge))?;
            Ok((if json { found.to_string() } else { sheet(&found) }, true))
        }
        Some(Verb::Pause { bridge }) => give(bridge, "pause", None),
        Some(Verb::Resume { bridge }) => give(bridge, "resume", None),
        Some(Verb::Test { bridge }) => give(bridge, "test", None),
        Some(Verb::Stop { bridge, consent }) => {
            let what = format!("stop bridge {bridge:?} and let go of what it has not read");
            match tried(&api, bridge, (*consent, json), &what)? {
                Some(said) => Ok(said),
                None => give(bridge, "stop", None),
            }
        }
        Some(Verb::Rewind { bridge, to, consent }) => {
            let order = place(to)?;
            let what = format!("have bridge {bridge:?} read on at {to}");
            match tried(&api, bridge, (*consent, json), &what)? {
                Some(said) => Ok(said),
                None => give(bridge, "rewind", Some(&order)),
            }
        }
        Some(Verb::Skip { bridge, stream, partition, records, consent }) => {
            let what = format!(
                "have bridge {bridge:?} pass over {records} of partition {partition} of {stream:?}"
            );
            let order = json!({ "stream": stream, "partition": partition, "records": records });
            match tried(&api, bridge, (*consent, json), &what)? {
                Some(said) => Ok(said),
                None => give(bridge, "skip", Some(&order)),
            }
        }
    }
}

fn path(bridge: &str) -> String {
    format!("/api/v1/bridges/{}", coded(bridge))
}

/// What is said of an order that is only tried; `None`: it is to be given.
fn tried(
    api: &Api,
    bridge: &str,
    (consent, json): (Consent, bool),
    what: &str,
) -> Result<Option<(String, bool)>, Trouble> {
    if !consent.dry_run {
        let (first, rest) = what.split_at(1);
        consent.given(&format!("{}{rest}", first.to_uppercase()))?;
        return Ok(None);
    }
    let found = api.get(&path(bridge))?;
    let words = format!("would {what}; it is {} records behind", text(&found, "lag_records"));
    let document = json!({ "done": null, "would": what, "bridge": found }).to_string();
    Ok(Some((if json { document } else { words }, true)))
}

fn ls(api: &Api, json: bool) -> Result<String, Trouble> {
    let found = api.get("/api/v1/bridges")?;
    if json {
        return Ok(found.to_string());
    }
    let mut table = Table::new([
        words("BRIDGE"),
        words("KIND"),
        words("STATE"),
        words("SINCE"),
        words("PEER"),
        numbers("LAG"),
        numbers("TIME-LAG"),
        numbers("LOSS-IN"),
        words("LAST-ERROR"),
    ]);
    for one in found["items"].as_array().into_iter().flatten() {
        let [records, time, loss] = lag(&json!({
            "records": one["lag_records"],
            "seconds": one["lag_seconds"],
            "loses_in_seconds": one["loses_in_seconds"],
        }));
        table.push([
            text(one, "name"),
            text(one, "kind"),
            text(one, "state"),
            text(one, "since"),
            text(one, "peer"),
            records,
            time,
            loss,
            text(one, "last_error"),
        ]);
    }
    Ok(table.text())
}
