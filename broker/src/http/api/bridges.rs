//! `/api/v1/bridges`: how bridges are, and orders to them.

use axum::http::StatusCode;
use axum::response::Response;
use std::collections::BTreeMap;
use tidewire_bridge::bridges::{Event, Order, OrderError, State, Status, To};

use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json, part};
use crate::http::shape::{Shaped, asked, view};
use crate::moment::rfc3339;

view! {
    /// How a bridge is.
    BridgeInfo {
        /// Its name.
        name: String,
        /// What it is: `link`, `export`, `import` or `push`.
        kind: String,
        /// `starting`, `connecting`, `running`, `paused`, `waiting`, `stopped` or `failed`.
        state: String,
        /// Since when it is so.
        since: String,
        /// When it is tried again, if it waits.
        retry_at: Option<String>,
        /// Where it is connected to, if it is.
        peer: Option<String>,
        /// Records that it has not done with.
        lag_records: u64,
        /// How long ago the first of them came, in seconds.
        lag_seconds: u64,
        /// In how many seconds it begins to lose what it has not read; null: it does not.
        loses_in_seconds: Option<u64>,
        /// What went wrong last; it may be over.
        last_error: Option<String>,
        /// When that was.
        last_error_at: Option<String>,
        /// What it has done since the broker started, by name.
        counts: BTreeMap<String, u64>,
    }
}

view! {
    /// All bridges.
    BridgeList {
        /// In the order of the configuration.
        items: Vec<BridgeInfo>,
    }
}

view! {
    /// What an order did.
    OrderDone {
        /// In words.
        done: String,
    }
}

asked! {
    /// Where a bridge is to read on. Say one of `to`, `time_ms` and `offset`.
    RewindOrder {
        /// `earliest` or `latest`.
        to: Option<String>,
        /// At the first record that is not older, in milliseconds since 1970.
        time_ms: Option<i64>,
        /// At this offset of `partition` of `stream`.
        offset: Option<u64>,
        /// The stream of an offset.
        stream: Option<String>,
        /// The partition of an offset.
        partition: Option<u32>,
    }
}

asked! {
    /// What a bridge is to pass over.
    SkipOrder {
        /// The stream.
        stream: String,
        /// The partition, by its number in the stream.
        partition: u32,
        /// How many records; 1 if not said.
        records: Option<u64>,
    }
}

const BRIDGE: &[crate::http::route::Param] = &[part("bridge", "Its name.")];

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/bridges",
        role: Some(Role::Viewer),
        name: "listBridges",
        about: "All bridges: state, lag, last error.",
        params: &[],
        body: None,
        answers: Answers::Json(BridgeList::shape),
        run: |call| -> Doing {
            Box::pin(async move {
                let statuses = call.site.inside()?.bridges.statuses();
                json(&BridgeList { items: statuses.iter().map(info).collect() })
            })
        },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/bridges/{bridge}",
        role: Some(Role::Viewer),
        name: "getBridge",
        about: "One bridge.",
        params: BRIDGE,
        body: None,
        answers: Answers::Json(BridgeInfo::shape),
        run: |call| -> Doing {
            Box::pin(async move {
                let name = call.part("bridge");
                let status = call.site.inside()?.bridges.status(name);
                json(&info(&status.ok_or_else(|| Problem::unknown("bridge", name))?))
            })
        },
    },
    order("pauseBridge", "/api/v1/bridges/{bridge}/pause", PAUSE, |call| -> Doing {
        Box::pin(async move { give(&call, Order::Pause).await })
    }),
    order("resumeBridge", "/api/v1/bridges/{bridge}/resume", RESUME, |call| -> Doing {
        Box::pin(async move { give(&call, Order::Start).await })
    }),
    order("stopBridge", "/api/v1/bridges/{bridge}/stop", STOP, |call| -> Doing {
        Box::pin(async move { give(&call, Order::Stop).await })
    }),
    order("testBridge", "/api/v1/bridges/{bridge}/test", TEST, |call| -> Doing {
        Box::pin(async move { give(&call, Order::Test).await })
    }),
    Route {
        body: Some(RewindOrder::shape),
        ..order("rewindBridge", "/api/v1/bridges/{bridge}/rewind", REWIND, |call| -> Doing {
            Box::pin(async move {
                let order = Order::Rewind(to(call.read()?)?);
                give(&call, order).await
            })
        })
    },
    Route {
        body: Some(SkipOrder::shape),
        ..order("skipBridge", "/api/v1/bridges/{bridge}/skip", SKIP, |call| -> Doing {
            Box::pin(async move {
                let SkipOrder { stream, partition, records } = call.read()?;
                let records = records.unwrap_or(1);
                give(&call, Order::Skip { stream, partition, records }).await
            })
        })
    },
];

const PAUSE: &str = "Has it rest; what it has not read is held for it. Stays so over restarts.";
const RESUME: &str = "Has it run, and at once if it waits.";
const STOP: &str = "Has it rest, and lets go of what it has not read. Stays so over restarts.";
const TEST: &str = "Tries the other side without moving a message.";
const REWIND: &str = "Has it read on elsewhere.";
const SKIP: &str = "Has it pass over records of one partition.";

const fn order(
    name: &'static str,
    path: &'static str,
    about: &'static str,
    run: fn(Call) -> Doing,
) -> Route {
    Route {
        verb: Verb::Post,
        path,
        role: Some(Role::Operator),
        name,
        about,
        params: BRIDGE,
        body: None,
        answers: Answers::Json(OrderDone::shape),
        run,
    }
}

async fn give(call: &Call, order: Order) -> Result<Response, Problem> {
    let bridges = &call.site.inside()?.bridges;
    let done = bridges.order(call.part("bridge"), order).await;
    json(&OrderDone { done: done.map_err(|error| refused(&error))? })
}

fn refused(error: &OrderError) -> Problem {
    let (status, code) = match error {
        OrderError::Unknown(_) => (StatusCode::NOT_FOUND, "not_found"),
        OrderError::NoCursor(_) | OrderError::NoPartition { .. } => {
            (StatusCode::BAD_REQUEST, "invalid")
        }
        OrderError::Test(_) => (StatusCode::BAD_GATEWAY, "test_failed"),
        OrderError::Store(_) | OrderError::Closed => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
        }
    };
    Problem::new(status, code, error.to_string())
}

fn to(order: RewindOrder) -> Result<To, Problem> {
    let RewindOrder { to, time_ms, offset, stream, partition } = order;
    match (to.as_deref(), time_ms, offset) {
        (Some("earliest"), None, None) => Ok(To::Earliest),
        (Some("latest"), None, None) => Ok(To::Latest),
        (None, Some(time_ms), None) => Ok(To::Time(time_ms)),
        (None, None, Some(offset)) => match (stream, partition) {
            (Some(stream), Some(partition)) => Ok(To::Offset { stream, partition, offset }),
            _ => Err(Problem::invalid("an offset needs its `stream` and `partition`")),
        },
        _ => Err(Problem::invalid(
            "say one of `to` (\"earliest\" or \"latest\"), `time_ms` and `offset`",
        )),
    }
}

fn info(status: &Status) -> BridgeInfo {
    let retry_at = match status.state {
        State::Waiting { until_ms } => Some(rfc3339(until_ms)),
        _ => None,
    };
    let count = |event: Event| (event.word().to_owned(), status.counts.of(event));
    BridgeInfo {
        name: status.name.clone(),
        kind: status.kind.into(),
        state: status.state.word().into(),
        since: rfc3339(status.since_ms),
        retry_at,
        peer: status.peer.clone(),
        lag_records: status.lag.messages,
        lag_seconds: status.lag.seconds,
        loses_in_seconds: status.lag.loses_in_s,
        last_error: status.last_error.as_ref().map(|trouble| trouble.words.clone()),
        last_error_at: status.last_error.as_ref().map(|trouble| rfc3339(trouble.at_ms)),
        counts: Event::ALL.into_iter().map(count).collect(),
    }
}
