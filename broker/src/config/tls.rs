//! `[listener.*.tls]`: what a listener that speaks TLS shows and asks for. Reads no certificate.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::defaults;
use super::quantity::{count, millis, millis_out};
use super::rules::Breach;
use super::text::{file_or_off, file_or_off_out, word};

/// `[listener.*.tls]`: the TLS of one listener. All files are PEM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The server's certificate, then those between it and the authority; `off` is `None`.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub cert_file: Option<PathBuf>,
    /// The key of the server's certificate; `off` is `None`.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub key_file: Option<PathBuf>,
    /// Certificates for other names; a client gets the one for the name that it asks for.
    pub more: Vec<TlsPair>,
    /// Whether clients show certificates.
    #[serde(deserialize_with = "word")]
    pub client_auth: ClientAuth,
    /// The authorities whose clients may come; `off` is `None`.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub client_ca_file: Option<PathBuf>,
    /// Lists of client certificates that were revoked.
    pub crl_files: Vec<PathBuf>,
    /// What of a client's certificate is its user name.
    #[serde(deserialize_with = "word")]
    pub identity: TlsIdentity,
    /// The oldest version of TLS that is spoken.
    #[serde(deserialize_with = "word")]
    pub version_min: TlsVersion,
    /// Whether clients that come back may shorten the handshake, by tickets.
    pub resumption: bool,
    /// How long a handshake may take, in milliseconds.
    #[serde(rename = "handshake_timeout_ms", serialize_with = "millis_out")]
    #[serde(deserialize_with = "millis::<_, 100, 600_000>")]
    pub handshake_timeout: Duration,
    /// Handshakes that may be under way at once, half of them of one address; who comes beyond is
    /// closed.
    #[serde(deserialize_with = "count::<_, _, 1, 10_000_000>")]
    pub handshakes_max: u32,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            more: Vec::new(),
            client_auth: ClientAuth::None,
            client_ca_file: None,
            crl_files: Vec::new(),
            identity: TlsIdentity::None,
            version_min: TlsVersion::Tls12,
            resumption: true,
            handshake_timeout: defaults::HANDSHAKE_TIMEOUT,
            handshakes_max: defaults::HANDSHAKES_MAX,
        }
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsPair {
    /// The certificate, then those between it and the authority.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
}

/// Whether clients show certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// They are not asked for one.
    None,
    /// They may; a wrong one is refused.
    Optional,
    /// They must.
    Required,
}

/// What of a client's certificate is its user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsIdentity {
    /// Nothing.
    None,
    /// The common name of its subject.
    Cn,
    /// Its first DNS name.
    SanDns,
    /// Its first e-mail address.
    SanEmail,
    /// Its first URI.
    SanUri,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// What a listener needs when it is to speak TLS.
pub(super) fn check_tls(listener: &str, tls: &TlsConfig) -> Vec<Breach> {
    let asks = tls.client_auth != ClientAuth::None;
    let has_ca = tls.client_ca_file.is_some();
    let rows = [
        (tls.cert_file.is_none(), "cert_file", "it has no certificate to show"),
        (tls.key_file.is_none(), "key_file", "its certificate needs its key"),
        (asks && !has_ca, "client_ca_file", "it asks for client certificates and trusts nobody's"),
        (!asks && has_ca, "client_auth", "`client_ca_file` is for clients that are asked"),
        (!asks && !tls.crl_files.is_empty(), "crl_files", "clients are not asked for certificates"),
        (
            !asks && tls.identity != TlsIdentity::None,
            "identity",
            "clients are not asked for certificates",
        ),
    ];
    let broken = rows.into_iter().filter(|(is_broken, ..)| *is_broken);
    let breach = |(_, setting, why): (bool, &str, &str)| {
        let setting = format!("listener.{listener}.tls.{setting}");
        Breach::new(&[&setting], format!("`{setting}` does not fit: {why}"))
            .hint("see docs/tls.md; certificates for trying out: tidewire certs")
    };
    broken.map(breach).collect()
}

#[cfg(test)]
mod tests {
    use super::{ClientAuth, TlsConfig, TlsIdentity, check_tls};

    #[track_caller]
    fn check(tls: TlsConfig, expected: &[&str]) {
        let breaches = check_tls("mqtts", &tls);
        let found: Vec<_> = breaches.iter().map(|breach| breach.settings[0][3].as_str()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let pair = TlsConfig {
            cert_file: Some("cert.pem".into()),
            key_file: Some("key.pem".into()),
            ..TlsConfig::default()
        };
        let ca = Some("ca.pem".into());
        check(TlsConfig::default(), &["cert_file", "key_file"]);
        check(pair.clone(), &[]);
        check(TlsConfig { client_ca_file: ca.clone(), ..pair.clone() }, &["client_auth"]);
        let asking = TlsConfig { client_auth: ClientAuth::Required, ..pair.clone() };
        check(asking.clone(), &["client_ca_file"]);
        check(TlsConfig { client_ca_file: ca, identity: TlsIdentity::Cn, ..asking }, &[]);
        check(TlsConfig { identity: TlsIdentity::Cn, ..pair.clone() }, &["identity"]);
        check(TlsConfig { crl_files: vec!["crl.pem".into()], ..pair }, &["crl_files"]);
    }
}
