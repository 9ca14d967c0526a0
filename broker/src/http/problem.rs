//! What is wrong with a request, or with us, as RFC 9457 has it: a code for programs, a sentence
//! for people. Decides nothing.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// A request that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// One word for programs.
    pub(super) code: &'static str,
    /// What is wrong, and what to do.
    pub(super) detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// Something that was said is not what it should be.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// There is none of that name.
    pub(super) fn unknown(what: &str, name: &str) -> Self {
        let detail = format!("there is no {what} {name:?}");
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// We are starting, stopping or broken.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail } = self;
        let title = status.canonical_reason().unwrap_or("Problem");
        let body = json!({
            "type": "about:blank",
            "title": title,
            "status": status.as_u16(),
            "code": code,
            "detail": detail,
        });
        let head = [(CONTENT_TYPE, "application/problem+json")];
        let mut response = (status, head, body.to_string()).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let bearer = axum::http::HeaderValue::from_static("Bearer realm=\"tidewire\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
        }
        response
    }
}
