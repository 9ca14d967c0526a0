//! `tidewire clients`: who is connected, who is sent away, who may not come. Decides nothing.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::consent::Consent;
use super::listed::{Sifted, listed};
use super::table::{Table, number as numbers, words};
use super::told::{lag, number, sheet, text};
use crate::cli::remote::{Api, Remote, Trouble, coded};
use crate::cli::span;
use crate::cli::wording::count;
use crate::config::Sources;

#[derive(Clone, Debug, Args)]
pub(in crate::cli) struct Clients {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    remote: Remote,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// Who is connected, and how far behind (what `tidewire clients` alone does, too).
    Ls(Listing),
    /// All about one client, and what it subscribes to.
    Show {
        /// Its client id.
        client: String,
    },
    /// End the connection of a client. Its session stays, and it may come back.
    Kick {
        /// Its client id.
        client: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Who may not connect.
    Bans,
    /// Shut out a client, or an address or a range of them.
    Ban {
        #[command(flatten)]
        target: Target,
        /// For so long; not said: until it is lifted.
        #[arg(long = "for", value_name = "TIME", value_parser = span::parse)]
        time: Option<Duration>,
        /// Why, for people.
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        #[command(flatten)]
        consent: Consent,
    },
    /// Lift a ban.
    Unban {
        #[command(flatten)]
        target: Target,
    },
}

#[derive(Clone, Debug, Default, Args)]
struct Listing {
    /// Only those whose client id has this in it.
    #[arg(long, value_name = "TEXT")]
    contains: Option<String>,
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
    /// Whose socket has not taken most comes first.
    Unsent,
}

#[derive(Clone, Debug, Args)]
struct Target {
    /// A client id; with --address, an address or a range such as 10.1.0.0/16.
    target: String,
    /// It is an address.
    #[arg(long)]
    address: bool,
}

impl Target {
    const fn kind(&self) -> &'static str {
        if self.address { "address" } else { "client" }
    }
}

/// What there is to say, and whether all is well.
pub(super) fn run(asked: &Clients, sources: &Sources) -> Result<(String, bool), Trouble> {
    let api = asked.remote.open(sources)?;
    let json = asked.remote.json;
    match &asked.verb {
        None => ls(&api, &Listing::default(), json),
        Some(Verb::Ls(listing)) => ls(&api, listing, json),
        Some(Verb::Show { client }) => show(&api, client, json),
        Some(Verb::Kick { client, consent }) => kick(&api, client, (*consent, json)),
        Some(Verb::Bans) => bans(&api, json),
        Some(Verb::Ban { target, time, reason, consent }) => {
            ban(&api, target, (*time, reason), (*consent, json))
        }
        Some(Verb::Unban { target }) => unban(&api, target, json),
    }
}

fn ls(api: &Api, listing: &Listing, json: bool) -> Result<(String, bool), Trouble> {
    let said = listing.contains.as_deref().map(|part| ("contains", part));
    let mut items = listed(api, "/api/v1/clients", said.as_slice())?;
    listing.sifted.sift(&mut items);
    items.sort_by_key(|item| {
        let behind = match listing.sort {
            Order::Id => 0,
            Order::Lag => number(&item["lag"], "records"),
            Order::Unsent => number(item, "unsent_bytes"),
        };
        (std::cmp::Reverse(behind), text(item, "client_id"))
    });
    listing.sifted.cut(&mut items);
    if json {
        return Ok((json!({ "items": items }).to_string(), true));
    }
    let mut table = Table::new([
        words("CLIENT"),
        words("USER"),
        words("MQTT"),
        words("ADDRESS"),
        words("CONNECTED"),
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
            text(item, "protocol"),
            text(item, "address"),
            text(item, "connected"),
            text(item, "subscriptions"),
            text(item, "in_flight"),
            records,
            time,
            loss,
        ]);
    }
    Ok((table.text(), true))
}

fn show(api: &Api, client: &str, json: bool) -> Result<(String, bool), Trouble> {
    let path = format!("/api/v1/clients/{}", coded(client));
    let mut found = api.get(&path)?;
    let subscriptions = listed(api, &format!("{path}/subscriptions"), &[])?;
    if json {
        found["subscriptions"] = Value::Array(subscriptions);
        return Ok((found.to_string(), true));
    }
    Ok((format!("{}\n\n{}", sheet(&found), filters(&subscriptions)), true))
}

/// What a client subscribes to.
fn filters(subscriptions: &[Value]) -> String {
    let mut table = Table::new([words("FILTER"), numbers("QOS"), words("REPLAYING")]);
    for one in subscriptions {
        table.push([text(one, "filter"), text(one, "qos"), text(one, "replaying")]);
    }
    table.text()
}

fn kick(
    api: &Api,
    client: &str,
    (consent, json): (Consent, bool),
) -> Result<(String, bool), Trouble> {
    let path = format!("/api/v1/clients/{}", coded(client));
    if consent.dry_run {
        let found = api.get(&path)?;
        let from = text(&found, "address");
        return Ok(match json {
            true => (json!({ "done": false, "connections": 1 }).to_string(), true),
            false => (format!("would end the connection of {client:?} from {from}"), true),
        });
    }
    consent.given(&format!("End the connection of {client:?}"))?;
    let ended = api.delete(&path)?;
    let connections = number(&ended, "connections");
    if connections == 0 {
        let words = format!("no client {client:?} is connected");
        return Err(Trouble::broker(format!("{words}\n  try: `tidewire clients ls`")));
    }
    let words = format!("{client:?}: {} ended", count(connections, "connection"));
    Ok((if json { ended.to_string() } else { words }, true))
}

fn bans(api: &Api, json: bool) -> Result<(String, bool), Trouble> {
    let found = api.get("/api/v1/bans")?;
    if json {
        return Ok((found.to_string(), true));
    }
    let columns = [words("KIND"), words("TARGET"), words("SINCE"), words("UNTIL"), words("REASON")];
    let mut table = Table::new(columns);
    for one in found["items"].as_array().into_iter().flatten() {
        table.push(["kind", "target", "since", "until", "reason"].map(|field| text(one, field)));
    }
    Ok((table.text(), true))
}

fn ban(
    api: &Api,
    target: &Target,
    (time, reason): (Option<Duration>, &str),
    (consent, json): (Consent, bool),
) -> Result<(String, bool), Trouble> {
    let (kind, name) = (target.kind(), &target.target);
    if consent.dry_run {
        let words = format!("would shut out the {kind} {name:?}");
        let document = json!({ "done": false, "kind": kind, "target": name }).to_string();
        return Ok((if json { document } else { words }, true));
    }
    consent.given(&format!("Shut out the {kind} {name:?}"))?;
    // A part of a second is a second: nothing is shut out for no time.
    let seconds = time.map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0));
    let order = json!({ "kind": kind, "target": name, "reason": reason, "seconds": seconds });
    let ended = api.post("/api/v1/bans", &order)?;
    let connections = count(number(&ended, "connections"), "connection");
    let words = format!("{name:?} is shut out; {connections} ended");
    Ok((if json { ended.to_string() } else { words }, true))
}

fn unban(api: &Api, target: &Target, json: bool) -> Result<(String, bool), Trouble> {
    let (kind, name) = (target.kind(), &target.target);
    let lifted = api.delete(&format!("/api/v1/bans/{kind}/{}", coded(name)))?;
    if lifted["removed"] != true {
        let words = format!("the {kind} {name:?} is not shut out");
        return Err(Trouble::broker(format!("{words}\n  try: `tidewire clients bans`")));
    }
    let words = format!("{name:?} may come again");
    Ok((if json { lifted.to_string() } else { words }, true))
}
