//! `tidewire sessions`: what outlives connections, and its end. Decides nothing.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::consent::Consent;
use super::listed::{Sifted, listed};
use super::table::{Table, number as numbers, plain, words};
use super::told::{lag, number, sheet, text};
use crate::cli::progress::Line;
use crate::cli::remote::{Api, Remote, Trouble, coded};
use crate::cli::span;
use crate::cli::wording::count;
use crate::config::Sources;
use crate::moment;
use crate::wall_clock::wall_clock_ms;
use tidewire_store::inspect::Progress;

/// Sessions that are named before they are ended; more are counted.
const NAMED_MAX: usize = 20;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Sessions {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Which there are, and how far behind (what `tidewire sessions` alone does, too).
    Ls(Listing),
    /// All about one session.
    Show {
        /// Its client id.
        client: String,
    },
    /// End a session, and the connection of its client: what it has not read is lost to it, and
    /// its will is published.
    Expire {
        /// Its client id.
        client: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// End all sessions whose clients have been away for long. One whose client comes back
    /// meanwhile is spared.
    Prune {
        /// For how long: 30d.
        #[arg(long, value_name = "TIME", value_parser = span::parse)]
        idle: Duration,
        /// Only those whose client id has this in it.
        #[arg(long, value_name = "TEXT")]
        contains: Option<String>,
        #[command(flatten)]
        consent: Consent,
    },
}

#[derive(Clone, Debug, Default, Args)]
struct Listing {
    /// Only those whose client id has this in it.
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
    /// Only those whose clients are connected.
    #[arg(long, conflicts_with = "away")]
    connected: bool,
    /// Only those whose clients are not.
    #[arg(long)]
    away: bool,
    /// In which order.
    #[arg(long, value_enum, default_value_t)]
    sort: Order,
    #[command(flatten)]
    sifted: Sifted,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Order {
    /// By client id.
    #[default]
    Id,
    /// Who is behind most comes first.
    Lag,
    /// Who is away longest comes first.
    Away,
}

/// What there is to say, and whether all is well.
pub(super) fn run(asked: &Sessions, sources: &Sources) -> Result<(String, bool), Trouble> {
    let api = asked.remote.open(sources)?;
    let json = asked.remote.json;
    match &asked.verb {
        None => ls(&api, &Listing::default(), json),
        Some(Verb::Ls(listing)) => ls(&api, listing, json),
        Some(Verb::Show { client }) => {
            let found = api.get(&path(client))?;
            Ok((if json { found.to_string() } else { sheet(&found) }, true))
        }
        Some(Verb::Expire { client, consent }) => expire(&api, client, (*consent, json)),
        Some(Verb::Prune { idle, contains, consent }) => {
            prune(&api, (*idle, contains.as_deref()), (*consent, json))
        }
    }
}

fn path(client: &str) -> String {
    format!("/api/v1/sessions/{}", coded(client))
}

fn ls(api: &Api, listing: &Listing, json: bool) -> Result<(String, bool), Trouble> {
    let connected = match (listing.connected, listing.away) {
        (true, _) => Some("true"),
        (_, true) => Some("false"),
        _ => None,
    };
    let said = [("contains", listing.contains.as_deref()), ("connected", connected)];
    let said = said.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let mut items = listed(api, "/api/v1/sessions", &said.collect::<Vec<_>>())?;
    listing.sifted.sift(&mut items);
    // Those who are here stand behind all who are away: their time is empty.
    let away = |item: &Value| item["disconnected"].as_str().unwrap_or("~").to_owned();
    match listing.sort {
        Order::Id => (),
        Order::Lag => {
            items.sort_by_key(|item| std::cmp::Reverse(number(&item["lag"], "records")));
        }
        Order::Away => items.sort_by_key(away),
    }
    listing.sifted.cut(&mut items);
    if json {
        return Ok((json!({ "items": items }).to_string(), true));
    }
    let mut table = Table::new([
        words("CLIENT"),
        words("USER"),
        words("CONNECTED"),
        words("AWAY-SINCE"),
        words("EXPIRES"),
        numbers("SUBSCRIPTIONS"),
        numbers("IN-FLIGHT"),
        numbers("LAG"),
        numbers("TIME-LAG"),
        numbers("LOSS-IN"),
    ]);
    for item in &items {
        let [records, time, loss] = lag(&item["lag"]);
        table.push([
            text(item, "client_id"),
            text(item, "user"),
            text(item, "connected"),
            text(item, "disconnected"),
            text(item, "expires"),
            text(item, "subscriptions"),
            text(item, "in_flight"),
            records,
            time,
            loss,
        ]);
    }
    Ok((table.text(), true))
}

fn expire(
    api: &Api,
    client: &str,
    (consent, json): (Consent, bool),
) -> Result<(String, bool), Trouble> {
    if consent.dry_run {
        let found = api.get(&path(client))?;
        let records = count(number(&found["lag"], "records"), "record");
        let words = format!("would end the session of {client:?}, which is {records} behind");
        let document = json!({ "done": false, "removed": true }).to_string();
        return Ok((if json { document } else { words }, true));
    }
    consent.given(&format!("End the session of {client:?}, with all that it has not read"))?;
    let ended = api.delete(&path(client))?;
    if ended["removed"] != true {
        let words = format!("{client:?} has no session");
        return Err(Trouble::broker(format!("{words}\n  try: `tidewire sessions ls`")));
    }
    let words = format!("the session of {client:?} is ended");
    Ok((if json { ended.to_string() } else { words }, true))
}

fn prune(
    api: &Api,
    (idle, contains): (Duration, Option<&str>),
    (consent, json): (Consent, bool),
) -> Result<(String, bool), Trouble> {
    let mut said = vec![("connected", "false")];
    said.extend(contains.map(|part| ("contains", part)));
    let mut items = listed(api, "/api/v1/sessions", &said)?;
    let idle_ms = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
    let before_ms = wall_clock_ms().saturating_sub(idle_ms);
    items.retain(|item| {
        let since = item["disconnected"].as_str().and_then(moment::parse);
        since.is_some_and(|since| since <= before_ms)
    });
    let clients: Vec<&str> = items.iter().filter_map(|item| item["client_id"].as_str()).collect();
    let many = count(clients.len() as u64, "session");
    if consent.dry_run || clients.is_empty() {
        let document = json!({ "done": false, "clients": clients }).to_string();
        return Ok((if json { document } else { named(&many, &clients) }, true));
    }
    consent.given(&format!("End {many}, with all that they have not read"))?;
    let mut line = Line::new("prune", |amount| amount.to_string());
    let (mut ended, mut spared, total) = (0, 0, clients.len() as u64);
    for (done, client) in (0..).zip(&clients) {
        line.show(Progress { done, total });
        // The broker looks again: since it was listed its client may have come back.
        let path = format!("{}?away_since_before={before_ms}", path(client));
        let answer = api.delete(&path)?;
        ended += u64::from(answer["removed"] == true);
        spared += u64::from(answer["spared"] == true);
    }
    drop(line);
    let document = json!({ "done": true, "ended": ended, "spared": spared }).to_string();
    let mut words = format!("{} ended", count(ended, "session"));
    if spared > 0 {
        words.push_str(&format!(", {spared} spared: the client came back meanwhile"));
    }
    Ok((if json { document } else { words }, true))
}

fn named(many: &str, clients: &[&str]) -> String {
    let mut words = format!("would end {many}");
    for client in clients.iter().take(NAMED_MAX) {
        words.push_str(&format!("\n  {}", plain(client)));
    }
    if clients.len() > NAMED_MAX {
        words.push_str(&format!("\n  and {} more", clients.len() - NAMED_MAX));
    }
    words
}

#[cfg(test)]
mod tests {
    use super::{NAMED_MAX, named};

    #[test]
    fn what_would_end_is_named_as_far_as_it_fits() {
        assert_eq!(named("2 sessions", &["a", "b"]), "would end 2 sessions\n  a\n  b");
        let many = named("22 sessions", &["a"; NAMED_MAX + 2]);
        assert!(many.ends_with("\n  and 2 more"), "{many}");
    }
}
