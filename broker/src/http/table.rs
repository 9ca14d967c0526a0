//! All routes, in one table: the port, the gate and the document are made of it. Runs none.

use std::sync::LazyLock;

use super::api::{
    bans, bridges, clients, groups, overview, publish, reload, retained, sessions, streams,
    subscriptions, topics,
};
use super::openapi::document;
use super::probes;
use super::role::Role;
use super::route::{Answers, Doing, Route, Verb, text};
use super::scrape;

/// All of them.
pub(super) fn routes() -> impl Iterator<Item = &'static Route> {
    let nouns = [
        probes::ROUTES,
        overview::ROUTES,
        clients::ROUTES,
        sessions::ROUTES,
        subscriptions::ROUTES,
        streams::ROUTES,
        topics::ROUTES,
        retained::ROUTES,
        groups::ROUTES,
        publish::ROUTES,
        bridges::ROUTES,
        bans::ROUTES,
        reload::ROUTES,
        scrape::ROUTES,
        DOCUMENT,
    ];
    nouns.into_iter().flatten()
}

static TEXT: LazyLock<String> = LazyLock::new(|| document(routes()).to_string());

const DOCUMENT: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/api/v1/openapi.json",
    role: Some(Role::Viewer),
    name: "getDocument",
    about: "This document.",
    params: &[],
    body: None,
    answers: Answers::Text("application/json"),
    run: |_| -> Doing { Box::pin(async { Ok(text("application/json", TEXT.clone())) }) },
}];
