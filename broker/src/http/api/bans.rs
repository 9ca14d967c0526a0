//! `/api/v1/bans`: who may not connect.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::address_range::AddressRangeError;
use crate::ban::{Ban, BanTarget};
use crate::broker::admin;
use crate::error::AdminError;
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json, part};
use crate::http::shape::{Shaped, asked, view};
use crate::moment::rfc3339;
use crate::wall_clock::wall_clock_ms;

/// A thousand years: what is longer is a mistake.
const SECONDS_MAX: u64 = 1000 * 365 * 24 * 60 * 60;

view! {
    /// A ban that is in force.
    BanInfo {
        /// `client` (by its id) or `address`.
        kind: String,
        /// Who: a client id, or an address or a range of them, such as `10.1.0.0/16`.
        target: String,
        /// When it began.
        since: String,
        /// When it ends by itself; null: never.
        until: Option<String>,
        /// Why, for people.
        reason: String,
    }
}

view! {
    /// All bans in force.
    BanList {
        /// In no order.
        items: Vec<BanInfo>,
    }
}

view! {
    /// What became of an order to clients.
    Ended {
        /// Connections that were ended.
        connections: u64,
    }
}

view! {
    /// What became of something that was to go.
    Removed {
        /// Whether there was one.
        removed: bool,
    }
}

asked! {
    /// A ban that is to be.
    NewBan {
        /// `client` or `address`.
        kind: String,
        /// Who.
        target: String,
        /// Why, for people.
        reason: Option<String>,
        /// After how many seconds it ends, a thousand years at most; not said: when it is lifted.
        seconds: Option<u64>,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/bans",
        role: Some(Role::Viewer),
        name: "listBans",
        about: "All bans in force.",
        params: &[],
        body: None,
        answers: Answers::Json(BanList::shape),
        run: |call| -> Doing {
            Box::pin(async move {
                let bans = call.site.inside()?.shared.bans.list(wall_clock_ms());
                json(&BanList { items: bans.iter().map(info).collect() })
            })
        },
    },
    Route {
        verb: Verb::Post,
        path: "/api/v1/bans",
        role: Some(Role::Admin),
        name: "createBan",
        about: "Shuts clients out, durably, and ends the connections of those that are meant.",
        params: &[],
        body: Some(NewBan::shape),
        answers: Answers::Json(Ended::shape),
        run: |call| -> Doing { Box::pin(async move { create(&call).await }) },
    },
    Route {
        verb: Verb::Delete,
        path: "/api/v1/bans/{kind}/{target}",
        role: Some(Role::Admin),
        name: "deleteBan",
        about: "Lifts a ban, durably.",
        params: &[part("kind", "`client` or `address`."), part("target", "Who.")],
        body: None,
        answers: Answers::Json(Removed::shape),
        run: |call| -> Doing {
            Box::pin(async move {
                let target = target(call.part("kind"), call.part("target"))?;
                let removed = admin::unban(&call.site.inside()?.shared, &target).await;
                json(&Removed { removed: removed.map_err(|error| refused(&error))? })
            })
        },
    },
];

async fn create(call: &Call) -> Result<axum::response::Response, Problem> {
    let new: NewBan = call.read()?;
    let ban = match target(&new.kind, &new.target)? {
        BanTarget::Client(id) => Ban::client(id),
        BanTarget::Address(range) => Ban::addresses(range),
    };
    let ban = ban.because(new.reason.unwrap_or_default());
    let ban = match new.seconds {
        Some(seconds) if seconds > SECONDS_MAX => {
            return Err(Problem::invalid(format!(
                "seconds = {seconds} is more than {SECONDS_MAX}: leave it out for a ban that holds \
                 until it is lifted"
            )));
        }
        Some(seconds) => ban.during(Duration::from_secs(seconds)),
        None => ban,
    };
    let ended = admin::ban(&call.site.inside()?.shared, &ban).await;
    json(&Ended { connections: ended.map_err(|error| refused(&error))? as u64 })
}

fn target(kind: &str, target: &str) -> Result<BanTarget, Problem> {
    match kind {
        "client" => Ok(BanTarget::Client(target.into())),
        "address" => {
            let range = target.parse();
            range.map(BanTarget::Address).map_err(|error: AddressRangeError| {
                Problem::invalid(format!("{target:?} is {error}"))
            })
        }
        other => Err(Problem::invalid(format!("kind {other:?} is to be `client` or `address`"))),
    }
}

/// Why an order to clients was not carried out.
pub(super) fn refused(error: &AdminError) -> Problem {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Problem::unavailable(format!("{error}{}", cause.unwrap_or_default()))
}

fn info(ban: &Ban) -> BanInfo {
    let (kind, target) = match &ban.target {
        BanTarget::Client(id) => ("client", id.clone()),
        BanTarget::Address(range) => ("address", range.to_string()),
    };
    BanInfo {
        kind: kind.into(),
        target,
        since: moment(ban.since),
        until: ban.until.map(moment),
        reason: ban.reason.clone(),
    }
}

fn moment(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    rfc3339(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
