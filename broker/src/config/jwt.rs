//! `[auth.jwt]`: clients that show who they are by a token. Reads no key.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::http_client::{HttpUrl, check_secrecy, url_or_off, url_or_off_out};
use super::quantity::{count, millis, millis_out, seconds};
use super::rules::Breach;
use super::text::{file_or_off, file_or_off_out, name_or_off, topic_or_off_out, word};
use crate::jwt_words;

/// `[auth.jwt]`: clients that show who they are by a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JwtConfig {
    /// File with the secret of HS256, HS384 and HS512, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub secret_file: Option<PathBuf>,
    /// PEM files with public keys.
    pub key_files: Vec<PathBuf>,
    /// File with a set of public keys (JWKS), or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub jwks_file: Option<PathBuf>,
    /// Where a set of public keys is fetched from, or `off` (`None`).
    #[serde(deserialize_with = "url_or_off", serialize_with = "url_or_off_out")]
    pub jwks_url: Option<HttpUrl>,
    /// The authorities that the server of that address is known by, or `off` (`None`): those of the
    /// system.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub jwks_ca_file: Option<PathBuf>,
    /// It may be an address without TLS on another machine.
    pub jwks_plain_http: bool,
    /// How often it is fetched, in seconds.
    #[serde(deserialize_with = "seconds::<_, _, 1, 604_800>")]
    pub jwks_refresh_s: u32,
    /// When a token names a key that is not known it is fetched too, but not more often than this.
    #[serde(deserialize_with = "seconds::<_, _, 1, 86_400>")]
    pub jwks_unknown_key_s: u32,
    /// How long that may take, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 100, 60_000>", serialize_with = "millis_out")]
    #[serde(rename = "jwks_timeout_ms")]
    pub jwks_timeout: Duration,
    /// The only ways to sign that are taken; none named: all that the keys are for.
    pub algorithms: Vec<String>,
    /// What `iss` must be, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub issuer: Option<String>,
    /// What `aud` must name, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub audience: Option<String>,
    /// The claim that is the user.
    pub user_claim: String,
    /// What the user name of CONNECT may be.
    #[serde(deserialize_with = "word")]
    pub user_name: TokenUserName,
    /// The claim that must be the client id, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub client_id_claim: Option<String>,
    /// The claim that names groups, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub groups_claim: Option<String>,
    /// The claim that says which topics the client may have at most, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub acl_claim: Option<String>,
    /// A token must say when it expires.
    pub require_expiry: bool,
    /// Seconds that clocks may differ.
    #[serde(deserialize_with = "count::<_, _, 0, 3_600>")]
    pub leeway_s: u32,
    /// Connections end when their token expires.
    pub disconnect_at_expiry: bool,
}

impl Default for JwtConfig {
    fn default() -> Self {
        Self {
            secret_file: None,
            key_files: Vec::new(),
            jwks_file: None,
            jwks_url: None,
            jwks_ca_file: None,
            jwks_plain_http: false,
            jwks_refresh_s: 300,
            jwks_unknown_key_s: 30,
            jwks_timeout: Duration::from_secs(5),
            algorithms: Vec::new(),
            issuer: None,
            audience: None,
            user_claim: "sub".into(),
            user_name: TokenUserName::Any,
            client_id_claim: None,
            groups_claim: None,
            acl_claim: None,
            require_expiry: true,
            leeway_s: 30,
            disconnect_at_expiry: true,
        }
    }
}

impl JwtConfig {
    /// Whether tokens are taken: there is a key.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.secret_file.is_some()
            || !self.key_files.is_empty()
            || self.jwks_file.is_some()
            || self.jwks_url.is_some()
    }
}

/// What the user name of CONNECT may be, beside a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenUserName {
    /// Anything: who the client is says the token.
    #[default]
    Any,
    /// What the token says.
    Claim,
}

/// What must hold in it.
pub(super) fn check_jwt(jwt: &JwtConfig) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for word in &jwt.algorithms {
        if !jwt_words::ALGORITHMS.contains(&word.as_str()) {
            let message = format!("`auth.jwt.algorithms` names {word:?}, which is not taken");
            let hint = format!("there are {}", jwt_words::ALGORITHMS.join(", "));
            breaches.push(Breach::new(&["auth.jwt.algorithms"], message).hint(hint));
        }
    }
    if jwt.user_claim.is_empty() {
        let message = "`auth.jwt.user_claim` is empty: nobody would be anybody".into();
        breaches.push(Breach::new(&["auth.jwt.user_claim"], message));
    }
    breaches.extend(check_secrecy(
        ("auth.jwt.jwks_url", jwt.jwks_url.as_ref()),
        ("auth.jwt.jwks_plain_http", jwt.jwks_plain_http),
    ));
    breaches
}
