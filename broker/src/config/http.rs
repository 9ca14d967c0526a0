//! `[listener.http]`: the port for people and programs that look after the broker. Never reads a
//! file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::auth::{Anonymous, AuthConfig};
use super::defaults::{KIB, MIB};
use super::quantity::{bytes, count, millis, millis_out};
use super::rules::Breach;
use super::text::{address_or_off, address_or_off_out, file_or_off, file_or_off_out, word};
use super::tls::{TlsConfig, TlsIdentity, check_tls};

/// `[listener.http]`: health, metrics and the API, on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpListener {
    /// Address and port, or `off` (`None`). The default is for this machine only.
    #[serde(deserialize_with = "address_or_off", serialize_with = "address_or_off_out")]
    pub bind: Option<SocketAddr>,
    /// Whether who brings no token may do everything; never beyond this machine.
    #[serde(deserialize_with = "word")]
    pub anonymous: Anonymous,
    /// File with hashes of tokens and their roles, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub token_file: Option<PathBuf>,
    /// Open connections; who comes beyond is told to come later.
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    pub connections_max: u32,
    /// Largest head of a request, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, { 8 * KIB }, { MIB }>")]
    pub header_bytes_max: u32,
    /// Largest body of a request, in bytes.
    #[serde(deserialize_with = "bytes::<_, _, { KIB }, { 256 * MIB }>")]
    pub body_bytes_max: u32,
    /// The time for a whole head to come, also on a connection that was used before, in
    /// milliseconds.
    #[serde(rename = "header_timeout_ms", serialize_with = "millis_out")]
    #[serde(deserialize_with = "millis::<_, 100, 600_000>")]
    pub header_timeout: Duration,
    /// The time for a body to come and its answer to be found, in milliseconds.
    #[serde(rename = "request_timeout_ms", serialize_with = "millis_out")]
    #[serde(deserialize_with = "millis::<_, 100, 600_000>")]
    pub request_timeout: Duration,
    /// A connection that takes nothing of an answer for this time is closed, in milliseconds.
    #[serde(rename = "send_timeout_ms", serialize_with = "millis_out")]
    #[serde(deserialize_with = "millis::<_, 100, 600_000>")]
    pub send_timeout: Duration,
    /// Certificates; with one, the port speaks HTTPS alone.
    pub tls: TlsConfig,
}

impl Default for HttpListener {
    fn default() -> Self {
        Self {
            bind: Some((Ipv4Addr::LOCALHOST, 18_080).into()),
            anonymous: Anonymous::Auto,
            token_file: None,
            connections_max: 128,
            header_bytes_max: 16 * 1024,
            body_bytes_max: 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            send_timeout: Duration::from_secs(30),
            tls: TlsConfig::default(),
        }
    }
}

impl HttpListener {
    /// Whether it speaks HTTPS.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        self.tls.cert_file.is_some() || self.tls.key_file.is_some()
    }

    /// Whether who brings no token may do everything.
    #[must_use]
    pub fn takes_anonymous(&self, auth: &AuthConfig) -> bool {
        let asks = self.token_file.is_some() && self.anonymous == Anonymous::Auto;
        !asks && self.anonymous.lets_in(self.bind, auth)
    }
}

/// Nobody but this machine comes in without a token.
pub(super) fn check_http(http: &HttpListener) -> Vec<Breach> {
    let Some(bind) = http.bind else { return Vec::new() };
    // Who asks for certificates and shows none would serve everybody without TLS.
    let mut breaches = match http.tls == TlsConfig::default() {
        true => Vec::new(),
        false => check_tls("http", &http.tls),
    };
    if http.tls.identity != TlsIdentity::None {
        let message = "`listener.http.tls.identity` is for ports with users: here a certificate \
                       lets in, and a token says who it is";
        let hint = "leave it out; `client_auth` says whether certificates are asked for";
        breaches.push(Breach::new(&["listener.http.tls.identity"], message.into()).hint(hint));
    }
    let (address, anonymous) = ("listener.http.bind", "listener.http.anonymous");
    let hint = "name `listener.http.token_file`, and make a token with \
                `tidewire token create --role admin --file FILE`; or bind to 127.0.0.1";
    if bind.ip().is_loopback() {
        return breaches;
    }
    if http.anonymous == Anonymous::Allow {
        let message = format!("`{anonymous}` = \"allow\" is for addresses of this machine alone");
        breaches.push(Breach::new(&[anonymous, address], message).hint(hint));
    } else if http.token_file.is_none() {
        let message = format!("`{address}` = {bind} would be open to the network without tokens");
        breaches.push(Breach::new(&[address], message).hint(hint));
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::super::tls::ClientAuth;
    use super::{Anonymous, AuthConfig, HttpListener, TlsConfig, TlsIdentity, check_http};

    #[test]
    fn certificates_are_asked_for_with_tls_alone_and_name_nobody() {
        let pair = || TlsConfig {
            cert_file: Some("cert.pem".into()),
            key_file: Some("key.pem".into()),
            ..TlsConfig::default()
        };
        let asking = |tls| TlsConfig {
            client_auth: ClientAuth::Required,
            client_ca_file: Some("ca.pem".into()),
            ..tls
        };
        let named = TlsConfig { identity: TlsIdentity::Cn, ..asking(pair()) };
        for (tls, count) in
            [(pair(), 0), (asking(pair()), 0), (asking(TlsConfig::default()), 2), (named, 1)]
        {
            let http = HttpListener { tls, ..HttpListener::default() };
            assert_eq!(check_http(&http).len(), count, "{http:?}");
        }
    }

    #[test]
    fn nobody_beyond_this_machine_comes_in_without_a_token() {
        let (here, there) = ("127.0.0.1:1".parse().ok(), "0.0.0.0:1".parse().ok());
        let file = || Some("tokens".into());
        for (bind, anonymous, token_file, count) in [
            (here, Anonymous::Auto, None, 0),
            (here, Anonymous::Allow, None, 0),
            (there, Anonymous::Auto, None, 1),
            (there, Anonymous::Refuse, None, 1),
            (there, Anonymous::Auto, file(), 0),
            (there, Anonymous::Allow, file(), 1),
            (None, Anonymous::Allow, None, 0),
        ] {
            let http = HttpListener { bind, anonymous, token_file, ..HttpListener::default() };
            assert_eq!(check_http(&http).len(), count, "{http:?}");
        }
    }

    #[test]
    fn with_tokens_or_users_somebody_without_one_may_nothing() {
        let (nobody, mut users) = (AuthConfig::default(), AuthConfig::default());
        users.password_file = Some("users".into());
        let open = HttpListener::default();
        assert!(open.takes_anonymous(&nobody) && !open.takes_anonymous(&users));
        let file = Some("tokens".into());
        let asking = HttpListener { token_file: file.clone(), ..HttpListener::default() };
        assert!(!asking.takes_anonymous(&nobody));
        let allow = Anonymous::Allow;
        let both = HttpListener { token_file: file, anonymous: allow, ..HttpListener::default() };
        assert!(both.takes_anonymous(&users));
    }
}
