//! Who asks, and whether that is for him to ask. Reads headers, and nothing else of a request.

use std::net::IpAddr;

use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};

use super::numbers::Refused;
use super::problem::Problem;
use super::role::Role;
use super::tokens::{Holder, TokenFileError, Tokens};
use crate::config::{AuthConfig, HttpListener};

/// Why a request is not answered by its route.
pub(super) type No = (Refused, Problem);

/// What holds at the port.
pub(super) struct Gate {
    pub(super) tokens: Option<Tokens>,
    /// Who brings no token may do everything.
    pub(super) takes_anonymous: bool,
}

impl Gate {
    /// As the settings say; reads the file of tokens.
    pub(super) fn open(http: &HttpListener, auth: &AuthConfig) -> Result<Self, TokenFileError> {
        let tokens = http.token_file.as_ref().map(|file| Tokens::open(file)).transpose()?;
        Ok(Self { tokens, takes_anonymous: http.takes_anonymous(auth) })
    }

    /// Who asks, if his role is enough.
    pub(super) fn admit(&self, parts: &Parts, needed: Role) -> Result<Holder, No> {
        let holder = match bearer(&parts.headers)? {
            Some(token) => self.holder(token)?,
            None if self.takes_anonymous => {
                check_local(parts)?;
                Holder { name: "anonymous".into(), role: Role::Admin }
            }
            None => return Err(self.stranger()),
        };
        if holder.role < needed {
            let Holder { name, role } = holder;
            let detail = format!("this takes the role {needed}; the token {name:?} has {role}");
            let problem = Problem::new(StatusCode::FORBIDDEN, "forbidden", detail);
            return Err((Refused::Role, problem));
        }
        Ok(holder)
    }

    fn holder(&self, token: &str) -> Result<Holder, No> {
        let known = self.tokens.as_ref().and_then(|tokens| tokens.holder(token));
        known.ok_or_else(|| unauthorized("the token is not known here"))
    }

    fn stranger(&self) -> No {
        unauthorized(match self.tokens {
            Some(_) => "bring a token: `Authorization: Bearer tw_…`",
            None => {
                "the broker has users, and this port no tokens: make one with `tidewire token \
                 create`, and name its file in listener.http.token_file"
            }
        })
    }
}

fn unauthorized(detail: &str) -> No {
    (Refused::Token, Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail))
}

fn bearer(headers: &HeaderMap) -> Result<Option<&str>, No> {
    let Some(said) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let token = said.to_str().ok().and_then(|said| {
        let (scheme, token) = said.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    token.map(Some).ok_or_else(|| unauthorized("only `Authorization: Bearer …` is understood"))
}

/// Where nobody is asked who he is because only this machine can come, a page from elsewhere that
/// a browser on it shows may not come in its name: neither by its origin, nor by a name of its own
/// that leads here.
fn check_local(parts: &Parts) -> Result<(), No> {
    let text = |name| parts.headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let of_target = parts.uri.authority().map(|authority| authority.as_str());
    let host = of_target.or(text(HOST)).unwrap_or_default();
    let is_foreign_page = text(ORIGIN)
        .is_some_and(|origin| origin.split_once("://").is_none_or(|(_, host)| !is_local(host)));
    let crosses = parts.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site");
    if is_local(host) && !is_foreign_page && !crosses {
        return Ok(());
    }
    let detail = "without tokens only this machine is served, by `localhost` or its address, and \
                  no page from elsewhere: name listener.http.token_file";
    Err((Refused::Foreign, Problem::new(StatusCode::FORBIDDEN, "foreign", detail)))
}

/// Whether a host, perhaps with a port, is this machine by its own name.
fn is_local(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(bare, _)| bare),
    };
    bare.eq_ignore_ascii_case("localhost")
        || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use axum::http::request::Parts;

    use super::{Gate, Role, is_local};

    fn asked(headers: &[(&str, &str)]) -> Parts {
        let request = headers
            .iter()
            .fold(Request::get("/api/v1/clients"), |request, (k, v)| request.header(*k, *v));
        request.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn this_machine_is_known_by_its_own_names() {
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:18080", "127.3.2.1", "[::1]:18080"] {
            assert!(is_local(host), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org:80", "10.0.0.1", "[::2]:1"] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn without_tokens_only_this_machine_is_served_and_no_page_from_elsewhere() {
        let gate = Gate { tokens: None, takes_anonymous: true };
        let check = |headers: &[(&str, &str)], expected| {
            let admitted = gate.admit(&asked(headers), Role::Admin).is_ok();
            assert_eq!(admitted, expected, "{headers:?}");
        };
        let host = ("host", "localhost:18080");
        check(&[host], true);
        check(&[host, ("origin", "http://127.0.0.1:18080")], true);
        check(&[], false);
        check(&[("host", "rebound.example")], false);
        check(&[host, ("origin", "https://example.org")], false);
        check(&[host, ("origin", "null")], false);
        check(&[host, ("sec-fetch-site", "cross-site")], false);
        check(&[host, ("authorization", "Basic YTpi")], false);
        check(&[host, ("authorization", "Bearer tw_wrong")], false);
    }

    #[test]
    fn who_must_bring_a_token_and_has_none_is_told_how_to_get_one() {
        let gate = Gate { tokens: None, takes_anonymous: false };
        let (_, problem) = gate.admit(&asked(&[]), Role::Viewer).expect_err("refused");
        assert_eq!(problem.status.as_u16(), 401);
        assert!(problem.detail.contains("tidewire token create"), "{}", problem.detail);
    }
}
