//! `/api/v1/reload`: other settings for the broker that runs.

use axum::http::StatusCode;

use crate::config;
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json, query};
use crate::http::shape::{Shaped, view};
use crate::reload::{ReloadError, ReloadReport};

view! {
    /// A setting that is not what it was.
    SettingChange {
        /// Its path, such as `mqtt.receive_max` or `stream[mqtt].retention_age_s`.
        setting: String,
        /// What it was, as it would be written in the file; null: it was not there.
        old: Option<String>,
        /// What it is to be; null: it is to be no more.
        new: Option<String>,
    }
}

view! {
    /// What a reload did, or would do.
    ReloadDone {
        /// In force now. What a connection was granted when it came stays as it was granted.
        applied: Vec<SettingChange>,
        /// In force after the next start; until then what was before.
        needs_restart: Vec<SettingChange>,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[Route {
    verb: Verb::Post,
    path: "/api/v1/reload",
    role: Some(Role::Admin),
    name: "reload",
    about: "Takes over the settings as they are now in the file, the environment and the flags, \
            as SIGHUP does: all that can be, or, with `invalid_configuration` and a line for each \
            mistake, none.",
    params: &[query(
        "dry_run",
        "`true`: say what it would do, change nothing. Whether addresses are free is not tried.",
    )],
    body: None,
    answers: Answers::Json(ReloadDone::shape),
    run: |call| -> Doing { Box::pin(async move { reload(&call).await }) },
}];

async fn reload(call: &Call) -> Result<axum::response::Response, Problem> {
    let reloader = &call.site.inside()?.reloader;
    let done = match call.flag("dry_run")? {
        true => reloader.try_sources().await,
        false => reloader.reload_sources().await,
    };
    let ReloadReport { applied, needs_restart } = done.map_err(|error| refused(&error))?;
    let shown = |changes: Vec<config::Change>| changes.into_iter().map(change).collect();
    json(&ReloadDone { applied: shown(applied), needs_restart: shown(needs_restart) })
}

fn change(change: config::Change) -> SettingChange {
    let config::Change { setting, old, new } = change;
    SettingChange { setting, old, new }
}

fn refused(error: &ReloadError) -> Problem {
    let detail = error.mistakes().join("\n");
    let (status, code) = match error {
        ReloadError::Config(_) | ReloadError::Refused(_) => {
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_configuration")
        }
        ReloadError::NoSources => (StatusCode::CONFLICT, "no_configuration_file"),
        ReloadError::Stopped => return Problem::unavailable(detail),
    };
    Problem::new(status, code, detail)
}
