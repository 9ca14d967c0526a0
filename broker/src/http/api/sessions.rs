//! `/api/v1/sessions`: what outlives connections.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use tidewire_store::rows::cursor;
use tidewire_store::rows::session::SessionRow;
use tidewire_store::rows::subscription;
use tidewire_store::{Store, Table};
use tokio::sync::oneshot;

use crate::core::inbox::{EndAway, Event};
use crate::core::shared::Shared;
use crate::http::ask::await_core;
use crate::http::behind::{ReaderLag, behind};
use crate::http::page::{CURSOR, LIMIT, Wanted, reading, rows, unreadable};
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json, part, query};
use crate::http::shape::{Shaped, view};
use crate::http::site::Inside;
use crate::moment::rfc3339;

use super::clients::kick;

/// How often it is tried to end a session whose client is just leaving, or coming back.
const TRY_AGAIN: Duration = Duration::from_millis(20);
/// How often at most.
const TRIES_MAX: usize = 500;
/// Subscriptions of a session that are counted; more are shown as so many.
const COUNTED_MAX: usize = 10_000;

view! {
    /// A session that outlives its connections.
    SessionInfo {
        /// Its client id.
        client_id: String,
        /// Whose it is.
        user: Option<String>,
        /// Whether its client is connected.
        connected: bool,
        /// How long it outlives a connection, in seconds; 4294967295: for ever.
        expiry_s: u32,
        /// When its last connection ended.
        disconnected: Option<String>,
        /// When it is dropped if its client does not come back.
        expires: Option<String>,
        /// Its subscriptions.
        subscriptions: u64,
        /// Messages that its client has not acknowledged, as they were last stored.
        in_flight: u64,
        /// How far it is behind, by its position as it was last stored.
        lag: ReaderLag,
    }
}

view! {
    /// What became of a session that was to end.
    RemovedSession {
        /// Whether there was one, and it ended.
        removed: bool,
        /// Whether it goes on because its client is there, or was after the moment that was said.
        spared: bool,
    }
}

view! {
    /// A page of sessions.
    SessionPage {
        /// By client id.
        items: Vec<SessionInfo>,
        /// Where to go on.
        next: Option<String>,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/sessions",
        role: Some(Role::Viewer),
        name: "listSessions",
        about: "Sessions that outlive their connections, by client id.",
        params: &[
            query("contains", "Only those whose client id has this in it."),
            query("connected", "Only those that are (`true`) or are not (`false`)."),
            LIMIT,
            CURSOR,
        ],
        body: None,
        answers: Answers::Json(SessionPage::shape),
        run: |call| -> Doing { Box::pin(async move { list(&call).await }) },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/sessions/{client}",
        role: Some(Role::Viewer),
        name: "getSession",
        about: "One session.",
        params: &[part("client", "Its client id, with / as %2F.")],
        body: None,
        answers: Answers::Json(SessionInfo::shape),
        run: |call| -> Doing { Box::pin(async move { get(&call).await }) },
    },
    Route {
        verb: Verb::Delete,
        path: "/api/v1/sessions/{client}",
        role: Some(Role::Operator),
        name: "deleteSession",
        about: "Ends a session, and the connection of its client: what it has not read is lost \
                to it, and its will is published.",
        params: &[
            part("client", "Its client id, with / as %2F."),
            query(
                "away_since_before",
                "Only if its client has been away since that moment or longer, in milliseconds \
                 since 1970: nobody's connection is ended. Looked at when the session ends.",
            ),
            query("dry_run", "`true`: say only whether it would end."),
        ],
        body: None,
        answers: Answers::Json(RemovedSession::shape),
        run: |call| -> Doing { Box::pin(async move { delete(&call).await }) },
    },
];

async fn list(call: &Call) -> Result<Response, Problem> {
    let wanted = Wanted::of(call)?;
    let contains = call.query("contains").unwrap_or_default().to_owned();
    let connected = match call.query("connected") {
        None => None,
        Some("true") => Some(true),
        Some("false") => Some(false),
        Some(_) => return Err(Problem::invalid("connected is to be true or false")),
    };
    let page = reading(&call.site, move |inside| {
        let store = &inside.shared.store;
        let is_meant = |id: &str| {
            let is_here = || inside.shared.registry.owner(id).is_some();
            id.contains(&*contains) && connected.is_none_or(|wanted| wanted == is_here())
        };
        let (found, next) =
            rows(store, Table::Sessions, &wanted, (None, None), &mut |key, row| {
                let id = std::str::from_utf8(key).ok().filter(|id| is_meant(id))?;
                Some((id.to_owned(), SessionRow::decode(row).ok()?))
            })?;
        // One more read each: not while the tables are held.
        let items = found.iter().map(|(id, row)| info(inside, id, row));
        Ok(SessionPage { items: items.collect::<Result<_, _>>()?, next })
    })
    .await?;
    json(&page)
}

async fn get(call: &Call) -> Result<Response, Problem> {
    let id = call.part("client").to_owned();
    let found = reading(&call.site, move |inside| {
        let row = row(&inside.shared.store, &id)?;
        row.map(|row| info(inside, &id, &row)).transpose()
    })
    .await?;
    json(&found.ok_or_else(|| Problem::unknown("session", call.part("client")))?)
}

fn row(store: &Store, id: &str) -> Result<Option<SessionRow>, Problem> {
    let row = store.get(Table::Sessions, id.as_bytes()).map_err(|error| unreadable(&error))?;
    Ok(row.and_then(|row| SessionRow::decode(&row).ok()))
}

fn info(inside: &Inside, id: &str, row: &SessionRow) -> Result<SessionInfo, Problem> {
    let store = &inside.shared.store;
    let connected = inside.shared.registry.owner(id).is_some();
    let reading = store.get(Table::Cursors, id.as_bytes()).map_err(|error| unreadable(&error))?;
    let reading = reading.and_then(|row| cursor::decode(&row).ok()).unwrap_or_default();
    let (from, to) = tidewire_store::rows::bounds_of(id);
    let counted = Wanted { limit: COUNTED_MAX, after: None };
    let mut reads = false;
    let (subscriptions, _) =
        rows(store, Table::Subscriptions, &counted, (Some(&from), Some(&to)), &mut |key, _| {
            let filter = subscription::filter(id, key).ok()?;
            reads |= !tidewire_proto::topic::is_shared(filter);
            Some(())
        })?;
    let positions = reading.positions.iter().filter(|_| reads);
    let ended_ms = row.ended_ms.filter(|_| !connected);
    let lives_ms = i64::from(row.expiry_s) * 1000;
    let expires = ended_ms.filter(|_| row.expiry_s != u32::MAX);
    Ok(SessionInfo {
        client_id: id.into(),
        user: row.user.as_deref().map(str::to_owned),
        connected,
        expiry_s: row.expiry_s,
        disconnected: ended_ms.map(rfc3339),
        expires: expires.map(|at| rfc3339(at.saturating_add(lives_ms))),
        subscriptions: subscriptions.len() as u64,
        in_flight: reading.exchanges.len() as u64,
        lag: behind(&inside.shared, positions),
    })
}

/// Its client is sent away first; the session ends when nobody has it.
async fn delete(call: &Call) -> Result<Response, Problem> {
    let dry_run = call.flag("dry_run")?;
    let shared = &call.site.inside()?.shared;
    let id: Arc<str> = call.part("client").into();
    if let Some(away_since_ms) = call.number("away_since_before")? {
        return delete_away(call, &id, away_since_ms, dry_run).await;
    }
    let is_there = async || {
        let id = Arc::clone(&id);
        reading(&call.site, move |inside| row(&inside.shared.store, &id).map(|row| row.is_some()))
            .await
    };
    // One that ends with its connection has no row.
    let removed = is_there().await? || shared.registry.owner(&id).is_some();
    if dry_run || !removed {
        return json(&RemovedSession { removed, spared: false });
    }
    for _ in 0..TRIES_MAX {
        let _ = kick(shared, &id).await?;
        let ended = end_away(shared, &id, None).await?;
        let owned = shared.registry.owner(&id).is_some();
        if (ended || !owned) && !is_there().await? {
            return json(&RemovedSession { removed: true, spared: false });
        }
        tokio::time::sleep(TRY_AGAIN).await;
    }
    Err(Problem::unavailable("the client comes back faster than its session can be ended: ban it"))
}

/// False: there was nothing to end, or its client has it still, or was there after that moment.
async fn end_away(
    shared: &Arc<Shared>,
    id: &Arc<str>,
    away_since_ms: Option<i64>,
) -> Result<bool, Problem> {
    let core = shared.inboxes.first().ok_or_else(|| Problem::unavailable("there is no core"))?;
    let (done, is_done) = oneshot::channel();
    core.push(Event::EndAway(Arc::clone(id), EndAway { away_since_ms, done }));
    Ok(await_core(shared, is_done).await?.is_some())
}

/// What there is of a session that is to end only if its client stays away.
enum Found {
    Gone,
    Away,
    /// Its client is there, or was.
    Back,
}

/// Ends it only if its client has been away since that moment: who is back is left alone.
async fn delete_away(
    call: &Call,
    id: &Arc<str>,
    away_since_ms: i64,
    dry_run: bool,
) -> Result<Response, Problem> {
    let answer = |removed, spared| json(&RemovedSession { removed, spared });
    for tries in 0..TRIES_MAX {
        match found(call, id, away_since_ms).await? {
            Found::Gone => return answer(tries > 0, false),
            Found::Back => return answer(false, true),
            Found::Away if dry_run => return answer(true, false),
            Found::Away if tries > 0 => tokio::time::sleep(TRY_AGAIN).await,
            Found::Away => (),
        }
        let _ = end_away(&call.site.inside()?.shared, id, Some(away_since_ms)).await?;
    }
    Err(Problem::unavailable("its end cannot be written: the log of the broker says why"))
}

async fn found(call: &Call, id: &Arc<str>, away_since_ms: i64) -> Result<Found, Problem> {
    let id = Arc::clone(id);
    reading(&call.site, move |inside| {
        let row = row(&inside.shared.store, &id)?;
        let is_here = inside.shared.registry.owner(&id).is_some();
        let is_away = |row: &SessionRow| row.ended_ms.is_some_and(|at| at <= away_since_ms);
        Ok(match row {
            None if is_here => Found::Back,
            None => Found::Gone,
            Some(row) if !is_here && is_away(&row) => Found::Away,
            Some(_) => Found::Back,
        })
    })
    .await
}
