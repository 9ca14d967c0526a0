//! `/api/v1/clients`: who is connected.

use std::sync::Arc;

use axum::response::Response;
use tidewire_proto::mqtt::Version;

use crate::ban::BanTarget;
use crate::broker::admin;
use crate::core::asked::{Asked, Client};
use crate::core::shared::Shared;
use crate::http::ask::ask;
use crate::http::behind::{ReaderLag, behind};
use crate::http::page::{CURSOR, LIMIT, Wanted, cursor, reading};
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json, part, query};
use crate::http::shape::{Shaped, view};
use crate::moment::rfc3339;

use super::bans::{Ended, refused};

view! {
    /// A client that is connected.
    ClientInfo {
        /// Its client id.
        client_id: String,
        /// Who it has shown to be.
        user: Option<String>,
        /// How: `certificate`, `SCRAM-SHA-256`, or who was asked.
        method: Option<String>,
        /// `3.1`, `3.1.1` or `5`.
        protocol: String,
        /// Where it comes from.
        address: String,
        /// The listener where it came in.
        listener: String,
        /// Since when.
        connected: String,
        /// How long nothing was heard of it, in seconds.
        silent_s: u64,
        /// Its keep-alive, in seconds; 0: none.
        keep_alive_s: u16,
        /// How long its session outlives its connection, in seconds.
        session_expiry_s: u32,
        /// How many messages it takes at a time.
        receive_max: u16,
        /// How many of them it has not acknowledged.
        in_flight: u64,
        /// Bytes that its socket has not taken.
        unsent_bytes: u64,
        /// Its subscriptions.
        subscriptions: u64,
        /// Whether it left a will.
        has_will: bool,
        /// Whether it gets messages as they are published; otherwise it reads the log behind them.
        live: bool,
        /// How far it is behind.
        lag: ReaderLag,
    }
}

view! {
    /// A page of clients.
    ClientPage {
        /// In no order that means anything.
        items: Vec<ClientInfo>,
        /// Where to go on.
        next: Option<String>,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/clients",
        role: Some(Role::Viewer),
        name: "listClients",
        about: "Clients that are connected. Who comes or goes meanwhile may be missed.",
        params: &[query("contains", "Only those whose client id has this in it."), LIMIT, CURSOR],
        body: None,
        answers: Answers::Json(ClientPage::shape),
        run: |call| -> Doing { Box::pin(async move { list(&call).await }) },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/clients/{client}",
        role: Some(Role::Viewer),
        name: "getClient",
        about: "One client that is connected.",
        params: &[part("client", "Its client id, with / as %2F.")],
        body: None,
        answers: Answers::Json(ClientInfo::shape),
        run: |call| -> Doing { Box::pin(async move { get(&call).await }) },
    },
    Route {
        verb: Verb::Delete,
        path: "/api/v1/clients/{client}",
        role: Some(Role::Operator),
        name: "kickClient",
        about: "Ends the connection of a client. Its session stays, and it may come back.",
        params: &[part("client", "Its client id, with / as %2F.")],
        body: None,
        answers: Answers::Json(Ended::shape),
        run: |call| -> Doing {
            Box::pin(async move {
                let connections = kick(&call.site.inside()?.shared, call.part("client")).await?;
                json(&Ended { connections })
            })
        },
    },
];

/// Ends the connection of a client; says how many that were.
pub(super) async fn kick(shared: &Arc<Shared>, client_id: &str) -> Result<u64, Problem> {
    let target = BanTarget::Client(client_id.into());
    let ended = admin::expel(shared, target, "kicked".into()).await;
    ended.map(|count| count as u64).map_err(|error| refused(&error))
}

async fn list(call: &Call) -> Result<Response, Problem> {
    let wanted = Wanted::of(call)?;
    let inside = call.site.inside()?;
    let shared = &inside.shared;
    let contains: Arc<str> = call.query("contains").unwrap_or_default().into();
    let mut place = match &wanted.after {
        Some(after) => place_of(after)?,
        None => (0, 0),
    };
    let (mut found, mut next) = (Vec::new(), None);
    while place.0 < shared.inboxes.len() {
        let (core, from) = place;
        let part = Arc::clone(&contains);
        let seen = ask(shared, core, |answer| Asked::Clients(from, part, answer)).await?;
        found.extend(seen.items.into_iter().map(|client| (core, client)));
        place = seen.next.map_or((core + 1, 0), |(next, _)| (core, next));
        if found.len() >= wanted.limit {
            next = (place.0 < shared.inboxes.len()).then_some(place);
            break;
        }
    }
    if found.len() > wanted.limit {
        // What does not fit is asked for again.
        next = found.get(wanted.limit).map(|(core, client)| (*core, client.place));
        found.truncate(wanted.limit);
    }
    let next = next.map(|(core, place)| cursor(format!("{core}:{place}").as_bytes()));
    let items = infos(call, found.into_iter().map(|(_, client)| client).collect()).await?;
    json(&ClientPage { items, next })
}

/// Core and place of a cursor.
pub(super) fn place_of(after: &[u8]) -> Result<(usize, u32), Problem> {
    let text = std::str::from_utf8(after).ok();
    let parts = text.and_then(|text| text.split_once(':'));
    let place = parts.and_then(|(core, place)| Some((core.parse().ok()?, place.parse().ok()?)));
    place.ok_or_else(|| Problem::invalid("the cursor is not one of this list"))
}

async fn get(call: &Call) -> Result<Response, Problem> {
    let name = call.part("client");
    let shared = &call.site.inside()?.shared;
    let unknown = || Problem::unknown("connected client", name);
    let owner = shared.registry.owner(name).ok_or_else(unknown)?;
    let client = ask(shared, owner.core, |answer| Asked::Client(name.into(), answer)).await?;
    let client = client.ok_or_else(unknown)?;
    let infos = infos(call, vec![client]).await?;
    json(infos.first().ok_or_else(unknown)?)
}

async fn infos(call: &Call, clients: Vec<Client>) -> Result<Vec<ClientInfo>, Problem> {
    reading(&call.site, move |inside| {
        let shared = &inside.shared;
        Ok(clients.iter().map(|client| info(shared, client)).collect())
    })
    .await
}

fn info(shared: &Shared, client: &Client) -> ClientInfo {
    let positions = client.positions.as_ref();
    let positions = positions.into_iter().flat_map(|positions| positions.iter());
    let lag = behind(shared, positions);
    ClientInfo {
        client_id: client.client_id.to_string(),
        user: client.user.as_deref().map(str::to_owned),
        method: client.method.map(str::to_owned),
        protocol: match client.version {
            Version::V31 => "3.1",
            Version::V311 => "3.1.1",
            Version::V5 => "5",
        }
        .into(),
        address: client.peer.to_string(),
        listener: client.listener.into(),
        connected: rfc3339(client.since_ms),
        silent_s: u64::try_from(client.silent_ms / 1000).unwrap_or(0),
        keep_alive_s: client.keep_alive_s,
        session_expiry_s: client.expiry_s,
        receive_max: client.receive_max,
        in_flight: client.in_flight as u64,
        unsent_bytes: client.unsent_bytes as u64,
        subscriptions: client.subscriptions as u64,
        has_will: client.has_will,
        live: client.positions.is_none(),
        lag,
    }
}
