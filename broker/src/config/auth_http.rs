//! `[auth.http]`: a program elsewhere that is asked who clients are. Asks nothing.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::http_client::{HttpUrl, check_secrecy, url_or_off, url_or_off_out};
use super::quantity::{count, millis, millis_out, seconds};
use super::rules::Breach;
use super::text::{file_or_off, file_or_off_out, name_or_off, topic_or_off_out};

/// `[auth.http]`: a program elsewhere that is asked who clients are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthHttpConfig {
    /// Where it is asked, or `off` (`None`).
    #[serde(deserialize_with = "url_or_off", serialize_with = "url_or_off_out")]
    pub url: Option<HttpUrl>,
    /// It may be an address without TLS on another machine.
    pub plain_http: bool,
    /// The authorities that its server is known by, or `off` (`None`): those of the system.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub ca_file: Option<PathBuf>,
    /// How long an answer may take, in milliseconds, and how long a client may wait to be asked
    /// for.
    #[serde(deserialize_with = "millis::<_, 10, 60_000>", serialize_with = "millis_out")]
    #[serde(rename = "timeout_ms")]
    pub timeout: Duration,
    /// Questions that are under way at once.
    #[serde(deserialize_with = "count::<_, _, 1, 256>")]
    pub connections_max: u32,
    /// Clients that wait to be asked for; who comes beyond is told that the server is busy.
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    pub queue_max: u32,
    /// How long an "allow" is remembered, in seconds; 0: not at all.
    #[serde(deserialize_with = "seconds::<_, _, 0, 86_400>")]
    pub cache_s: u32,
    /// How long a "deny" is.
    #[serde(deserialize_with = "seconds::<_, _, 0, 3_600>")]
    pub cache_denied_s: u32,
    /// Answers that are remembered.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub cache_entries_max: u32,
    /// A header that is sent with each question, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub secret_header: Option<String>,
    /// The file with its value, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub secret_file: Option<PathBuf>,
    /// Or the environment variable with its value, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub secret_variable: Option<String>,
    /// It is asked for clients too that have shown who they are by a certificate.
    pub asks_for_certificates: bool,
}

impl Default for AuthHttpConfig {
    fn default() -> Self {
        Self {
            url: None,
            plain_http: false,
            ca_file: None,
            timeout: Duration::from_secs(2),
            connections_max: 8,
            queue_max: 256,
            cache_s: 60,
            cache_denied_s: 5,
            cache_entries_max: 10_000,
            secret_header: None,
            secret_file: None,
            secret_variable: None,
            asks_for_certificates: false,
        }
    }
}

/// What must hold in it.
pub(super) fn check_auth_http(http: &AuthHttpConfig) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let sources =
        usize::from(http.secret_file.is_some()) + usize::from(http.secret_variable.is_some());
    if sources != usize::from(http.secret_header.is_some()) {
        let message =
            "`auth.http.secret_header` takes one of `secret_file` and `secret_variable`, \
                       and they take it"
                .into();
        let settings =
            ["auth.http.secret_header", "auth.http.secret_file", "auth.http.secret_variable"];
        breaches.push(Breach::new(&settings, message));
    }
    if let Some(name) = &http.secret_header
        && !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        let message = format!("`auth.http.secret_header` = {name:?} is no name of a header");
        breaches.push(Breach::new(&["auth.http.secret_header"], message));
    }
    breaches.extend(check_secrecy(
        ("auth.http.url", http.url.as_ref()),
        ("auth.http.plain_http", http.plain_http),
    ));
    breaches
}
