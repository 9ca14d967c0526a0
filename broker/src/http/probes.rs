//! `/healthz` and `/readyz`: for who starts brokers and gives them work. Open to everybody who can
//! reach the port: they say nothing of who uses it.

use axum::http::StatusCode;

use super::health;
use super::health::HealthReport;
use super::route::{Answers, Doing, Route, Verb, json, json_with};
use super::shape::{Shaped, view};

view! {
    /// That the broker runs.
    Alive {
        /// Always `alive`: a broker that is not does not answer.
        status: String,
    }
}

pub(super) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/healthz",
        role: None,
        name: "healthz",
        about: "Whether the broker runs at all; if not, restart it.",
        params: &[],
        body: None,
        answers: Answers::Json(Alive::shape),
        run: |_| -> Doing { Box::pin(async { json(&Alive { status: "alive".into() }) }) },
    },
    Route {
        verb: Verb::Get,
        path: "/readyz",
        role: None,
        name: "readyz",
        about: "Whether the broker may be given work, and what is in the way: 503 if something is. \
                Without a role the reasons are words for programs alone.",
        params: &[],
        body: None,
        answers: Answers::Json(HealthReport::shape),
        run: |call| -> Doing {
            Box::pin(async move {
                let mut report = health::look(&call.site);
                if call.holder.is_none() {
                    report.hide();
                }
                let status = match report.is_ready() {
                    true => StatusCode::OK,
                    false => StatusCode::SERVICE_UNAVAILABLE,
                };
                json_with(status, &report)
            })
        },
    },
];
