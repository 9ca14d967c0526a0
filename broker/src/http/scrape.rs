//! `/metrics`: all series, as Prometheus reads them.

use std::sync::Arc;

use super::measure::{measured, of_broker};
use super::problem::Problem;
use super::role::Role;
use super::route::{Answers, Call, Doing, Route, Verb, text};
use super::site::Stage;
use crate::metrics::exposition::CONTENT_TYPE;

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/metrics",
    role: Some(Role::Viewer),
    name: "metrics",
    about: "All series, as Prometheus reads them.",
    params: &[],
    body: None,
    answers: Answers::Text("text/plain"),
    run: |call| -> Doing { Box::pin(async move { Ok(text(CONTENT_TYPE, series(&call).await?)) }) },
}];

async fn series(call: &Call) -> Result<String, Problem> {
    let site = &call.site;
    // First: it sets some of the others.
    let measured: Option<Arc<str>> = match site.stage() {
        // Where it cannot be, the rest still says how the broker is.
        Stage::Serving => measured(site).await.ok(),
        Stage::Recovering | Stage::Stopping => None,
    };
    let recorded = site.served.as_ref().map(|served| served.render());
    let mut text = recorded.unwrap_or_default();
    // As it is now, however long ago the rest was measured.
    text += &of_broker(site);
    text += measured.as_deref().unwrap_or_default();
    Ok(text)
}
