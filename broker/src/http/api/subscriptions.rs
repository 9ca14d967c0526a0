//! `/api/v1/subscriptions`: who gets what.

use std::sync::Arc;

use axum::response::Response;
use tidewire_proto::session::subscription::Subscription;
use tidewire_proto::topic;
use tidewire_store::Table;
use tidewire_store::rows::{bounds_of, subscription};

use crate::core::asked::{Asked, Subscribed};
use crate::http::ask::ask;
use crate::http::page::{CURSOR, LIMIT, Wanted, cursor, reading, rows};
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json, part, query};
use crate::http::shape::{Shaped, view};

use super::clients::place_of;

view! {
    /// A subscription.
    SubscriptionInfo {
        /// Whose it is.
        client_id: String,
        /// Whether that client is connected.
        connected: bool,
        /// Its filter, with `$share/…` if it is shared.
        filter: String,
        /// The highest QoS at which messages are sent for it.
        qos: u16,
        /// The client does not get what it publishes itself.
        no_local: bool,
        /// The retain flag is passed on as it was published.
        retain_as_published: bool,
        /// The number that the client gave it.
        subscription_id: Option<u32>,
        /// The share group, if it is shared.
        group: Option<String>,
        /// It is still reading what lies in the past.
        replaying: bool,
    }
}

view! {
    /// A page of subscriptions.
    SubscriptionPage {
        /// First those of clients that are connected, then those of sessions that are not.
        items: Vec<SubscriptionInfo>,
        /// Where to go on.
        next: Option<String>,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/subscriptions",
        role: Some(Role::Viewer),
        name: "listSubscriptions",
        about: "All subscriptions. Of who comes or goes meanwhile, some may be missed or come \
                twice.",
        params: &[query("topic", "Only those that messages of this topic go to."), LIMIT, CURSOR],
        body: None,
        answers: Answers::Json(SubscriptionPage::shape),
        run: |call| -> Doing { Box::pin(async move { list(&call).await }) },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/clients/{client}/subscriptions",
        role: Some(Role::Viewer),
        name: "listClientSubscriptions",
        about: "The subscriptions of one client, or of its session, by filter.",
        params: &[part("client", "Its client id, with / as %2F."), LIMIT, CURSOR],
        body: None,
        answers: Answers::Json(SubscriptionPage::shape),
        run: |call| -> Doing { Box::pin(async move { of_client(&call).await }) },
    },
];

/// Where a list goes on: at the connections of a core, or in the rows.
enum Place {
    Core(usize, u32, Box<str>),
    Rows(Option<Vec<u8>>),
}

impl Place {
    fn of(after: Option<&[u8]>) -> Result<Self, Problem> {
        let Some(after) = after else { return Ok(Self::Core(0, 0, Box::default())) };
        let strange = || Problem::invalid("the cursor is not one of this list");
        let (kind, rest) = after.split_first().ok_or_else(strange)?;
        match kind {
            b'r' => Ok(Self::Rows(Some(rest.to_vec()).filter(|rest| !rest.is_empty()))),
            b'c' => {
                let split = rest.iter().position(|byte| *byte == b' ').ok_or_else(strange)?;
                let (place, filter) = rest.split_at(split);
                let (core, place) = place_of(place)?;
                let filter = std::str::from_utf8(filter.get(1..).unwrap_or_default());
                Ok(Self::Core(core, place, filter.map_err(|_| strange())?.into()))
            }
            _ => Err(strange()),
        }
    }

    fn cursor(&self) -> String {
        let text = match self {
            Self::Core(core, place, filter) => format!("c{core}:{place} {filter}").into_bytes(),
            Self::Rows(after) => [b"r", after.as_deref().unwrap_or_default()].concat(),
        };
        cursor(&text)
    }
}

async fn list(call: &Call) -> Result<Response, Problem> {
    let wanted = Wanted::of(call)?;
    let shared = &call.site.inside()?.shared;
    let topic = call.query("topic").map(str::to_owned);
    let mut place = Place::of(wanted.after.as_deref())?;
    let mut items = Vec::new();
    while let Place::Core(core, from, after) = place {
        if items.len() >= wanted.limit {
            let next = Some(Place::Core(core, from, after).cursor());
            return json(&SubscriptionPage { items, next });
        }
        let asked = after.clone();
        let seen = ask(shared, core, |to| Asked::Subscriptions(from, asked, to)).await?;
        for (at, one) in seen.items.iter().enumerate() {
            if items.len() >= wanted.limit {
                // What does not fit is asked for again, behind the last one that did.
                let last = at.checked_sub(1).and_then(|last| seen.items.get(last));
                let filter = last.filter(|last| last.place == one.place);
                let filter = filter.map_or_else(Box::default, |last| last.filter.clone());
                let next = Some(Place::Core(core, one.place, filter).cursor());
                return json(&SubscriptionPage { items, next });
            }
            if is_meant(&one.filter, topic.as_deref()) {
                items.push(of_core(one));
            }
        }
        place = match seen.next {
            Some((next, filter)) => Place::Core(core, next, filter),
            None if core + 1 < shared.inboxes.len() => Place::Core(core + 1, 0, Box::default()),
            None => Place::Rows(None),
        };
    }
    let Place::Rows(after) = place else { return json(&SubscriptionPage { items, next: None }) };
    let room = wanted.limit - items.len();
    if room == 0 {
        let next = Some(Place::Rows(after).cursor());
        return json(&SubscriptionPage { items, next });
    }
    let (stored, next) = stored(call, Wanted { limit: room, after }, topic).await?;
    items.extend(stored);
    json(&SubscriptionPage { items, next })
}

type Found = (Vec<SubscriptionInfo>, Option<String>);

/// Those of sessions whose clients are away.
async fn stored(call: &Call, wanted: Wanted, topic: Option<String>) -> Result<Found, Problem> {
    reading(&call.site, move |inside| {
        let shared = &inside.shared;
        let mut last = None;
        let (found, next) =
            rows(&shared.store, Table::Subscriptions, &wanted, (None, None), &mut |key, row| {
                last = Some(key.to_vec());
                let client = key.split(|byte| *byte == 0).next()?;
                let client = std::str::from_utf8(client).ok()?;
                let filter = subscription::filter(client, key).ok()?;
                let is_away = shared.registry.owner(client).is_none();
                let meant = is_away && is_meant(filter, topic.as_deref());
                let row = meant.then(|| subscription::decode(row).ok()).flatten()?;
                Some(info(client, false, filter, &row))
            })?;
        Ok((found, next.map(|_| Place::Rows(last).cursor())))
    })
    .await
}

async fn of_client(call: &Call) -> Result<Response, Problem> {
    let wanted = Wanted::of(call)?;
    let client: Arc<str> = call.part("client").into();
    let shared = &call.site.inside()?.shared;
    if let Some(owner) = shared.registry.owner(&client) {
        let after = wanted.after.as_deref().map(std::str::from_utf8).transpose();
        let after = after.map_err(|_| Problem::invalid("the cursor is not one of this list"))?;
        let (asked, after) = (Arc::clone(&client), after.unwrap_or_default().into());
        let question = |to| Asked::SubscriptionsOf(asked, after, to);
        if let Some(seen) = ask(shared, owner.core, question).await? {
            let has_more = seen.next.is_some() || seen.items.len() > wanted.limit;
            let items: Vec<_> = seen.items.iter().take(wanted.limit).map(of_core).collect();
            let last = items.last().filter(|_| has_more);
            let next = last.map(|last| cursor(last.filter.as_bytes()));
            return json(&SubscriptionPage { items, next });
        }
    }
    let page = reading(&call.site, move |inside| {
        let (from, to) = bounds_of(&client);
        let after = wanted.after.map(|filter| [&*from, &*filter].concat());
        let wanted = Wanted { limit: wanted.limit, after };
        let (store, bounds) = (&inside.shared.store, (Some(&*from), Some(&*to)));
        let (items, next) = rows(store, Table::Subscriptions, &wanted, bounds, &mut |key, row| {
            let filter = subscription::filter(&client, key).ok()?;
            Some(info(&client, false, filter, &subscription::decode(row).ok()?))
        })?;
        let last = items.last().filter(|_| next.is_some());
        let next = last.map(|last: &SubscriptionInfo| cursor(last.filter.as_bytes()));
        Ok(SubscriptionPage { items, next })
    })
    .await?;
    json(&page)
}

fn is_meant(filter: &str, topic: Option<&str>) -> bool {
    let plain = topic::split_share(filter).ok().flatten().map_or(filter, |(_, filter)| filter);
    topic.is_none_or(|topic| topic::matches(plain, topic))
}

fn of_core(one: &Subscribed) -> SubscriptionInfo {
    info(&one.client_id, true, &one.filter, &one.subscription)
}

fn info(
    client_id: &str,
    connected: bool,
    filter: &str,
    subscription: &Subscription,
) -> SubscriptionInfo {
    let grant = &subscription.grant;
    let group = topic::split_share(filter).ok().flatten().map(|(group, _)| group.to_owned());
    SubscriptionInfo {
        client_id: client_id.into(),
        connected,
        filter: filter.into(),
        qos: u16::from(grant.qos.bits()),
        no_local: grant.no_local,
        retain_as_published: grant.retain_as_published,
        subscription_id: (grant.id > 0).then_some(grant.id),
        group,
        replaying: subscription.is_replay,
    }
}
