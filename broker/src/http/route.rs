//! A route: what it is called, who may ask, what it takes and answers. One table of them is the
//! port, the gate and the document. Runs nothing.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::problem::Problem;
use super::role::Role;
use super::shape::Book;
use super::site::Site;
use super::tokens::Holder;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Delete,
}

impl Verb {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

/// Something that is said in the address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Param {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// In the path; otherwise it is a query that may be left out.
    pub(super) in_path: bool,
}

/// A part of the path.
pub(super) const fn part(name: &'static str, about: &'static str) -> Param {
    Param { name, about, in_path: true }
}

/// A query.
pub(super) const fn query(name: &'static str, about: &'static str) -> Param {
    Param { name, about, in_path: false }
}

/// The schema of something.
pub(super) type Schema = fn(&mut Book) -> Value;

/// What is answered when all is well.
#[derive(Clone, Copy)]
pub(super) enum Answers {
    /// JSON.
    Json(Schema),
    /// Text of this type.
    Text(&'static str),
}

/// What happens.
pub(super) type Doing = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;

/// A route.
pub(super) struct Route {
    pub(super) verb: Verb,
    pub(super) path: &'static str,
    /// `None`: anybody may ask.
    pub(super) role: Option<Role>,
    /// By what programs call it.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) params: &'static [Param],
    pub(super) body: Option<Schema>,
    pub(super) answers: Answers,
    pub(super) run: fn(Call) -> Doing,
}

/// A request that was let in.
pub(super) struct Call {
    pub(super) site: Arc<Site>,
    /// Who asks.
    pub(super) holder: Option<Holder>,
    pub(super) parts: HashMap<String, String>,
    pub(super) queries: HashMap<String, String>,
    pub(super) body: Bytes,
}

impl Call {
    /// A part of the path.
    pub(super) fn part(&self, name: &str) -> &str {
        self.parts.get(name).map_or("", String::as_str)
    }

    /// A query, if it was said.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.queries.get(name).map(String::as_str)
    }

    /// A query that is a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let wrong = |said: &str| Problem::invalid(format!("{name}={said} is no number that fits"));
        self.query(name).map(|said| said.parse().map_err(|_| wrong(said))).transpose()
    }

    /// A query that is `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.query(name) {
            None | Some("false") => Ok(false),
            Some("true" | "") => Ok(true),
            Some(said) => Err(Problem::invalid(format!("{name}={said} is to be true or false"))),
        }
    }

    /// The body.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let read = serde_json::from_slice(&self.body);
        read.map_err(|error| {
            Problem::invalid(format!("the body is not what is asked for: {error}"))
        })
    }
}

/// An answer as JSON.
pub(super) fn json(answer: &impl Serialize) -> Result<Response, Problem> {
    json_with(StatusCode::OK, answer)
}

/// The same with another status.
pub(super) fn json_with(status: StatusCode, answer: &impl Serialize) -> Result<Response, Problem> {
    let unwritable = |error: serde_json::Error| {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", error.to_string())
    };
    let text = serde_json::to_string(answer).map_err(unwritable)?;
    let head = [(axum::http::header::CONTENT_TYPE, "application/json")];
    Ok((status, head, text).into_response())
}

/// An answer as text.
pub(super) fn text(kind: &'static str, text: String) -> Response {
    ([(axum::http::header::CONTENT_TYPE, kind)], text).into_response()
}
