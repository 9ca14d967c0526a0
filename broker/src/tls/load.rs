//! From the settings of a listener and the files that they name to what a handshake needs.
//! Keeps nothing and watches nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConfig, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, SupportedProtocolVersion};

use super::error::TlsError;
use super::files::{certificates, private_key, revocations};
use super::names::{Facts, RevocationFacts};
use super::resolve::{Chest, Shown};
use super::verify::Naming;
use crate::config::{ClientAuth, TlsConfig, TlsVersion};
use crate::metrics::TlsFile;

/// Tickets of TLS 1.3 that a client gets; one is enough to come back once.
const TICKETS: usize = 1;

const BOTH: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
const NEWEST: &[&SupportedProtocolVersion] = &[&TLS13];

/// What handshakes of a listener need, as its files were when they were read.
pub(super) struct Loaded {
    pub(super) server: Arc<ServerConfig>,
    pub(super) own: Own,
    /// Of authorities and lists of clients.
    theirs: Vec<Expiry>,
}

impl Loaded {
    /// Of all that is in use.
    pub(super) fn expiries(&self) -> Vec<Expiry> {
        [self.own.expiries.as_slice(), &self.theirs].concat()
    }
}

/// The certificates that a listener shows.
#[derive(Clone, Debug)]
pub(super) struct Own {
    chest: Arc<Chest>,
    pub(super) expiries: Vec<Expiry>,
}

/// Until when something of a listener is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) file: TlsFile,
    pub(crate) path: PathBuf,
    /// Whose it is.
    pub(crate) subject: String,
    /// From when on it is, in seconds of the Unix epoch; of a list of the revoked nobody asks.
    pub(crate) from_s: i64,
    /// In seconds of the Unix epoch.
    pub(crate) at_s: i64,
}

impl Expiry {
    /// Of a certificate that says this.
    fn of(facts: Facts, file: TlsFile, path: &Path) -> Self {
        let Facts { subject, not_before_s: from_s, not_after_s: at_s, .. } = facts;
        Self { file, path: path.into(), subject, from_s, at_s }
    }
}

/// The cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// Reads the certificates that a listener shows, and their keys.
pub(super) fn load_own(config: &TlsConfig) -> Result<Own, TlsError> {
    let provider = provider();
    let mut expiries = Vec::new();
    let mut chest = Vec::new();
    for (cert_file, key_file) in pairs(config)? {
        chest.push(shown(&provider, cert_file, key_file, &mut expiries)?);
    }
    Ok(Own { chest: Arc::new(Chest(chest)), expiries })
}

/// Reads who may come, and puts it together with what is shown. Keys of tickets are new each time:
/// who was let in by what the files said before is looked at again.
pub(super) fn load(config: &TlsConfig, alpn: Option<&[u8]>, own: Own) -> Result<Loaded, TlsError> {
    let provider = provider();
    let mut theirs = Vec::new();
    let verifier = match config.client_auth {
        ClientAuth::None => WebPkiClientVerifier::no_client_auth(),
        ClientAuth::Optional | ClientAuth::Required => verifier(config, &provider, &mut theirs)?,
    };
    let versions = match config.version_min {
        TlsVersion::Tls12 => BOTH,
        TlsVersion::Tls13 => NEWEST,
    };
    let refused = |error: Error| TlsError::Settings(error.to_string());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(refused)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::clone(&own.chest) as _);
    server.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    if config.resumption {
        server.ticketer = Ticketer::new().map_err(refused)?;
        server.send_tls13_tickets = TICKETS;
    }
    Ok(Loaded { server: Arc::new(server), own, theirs })
}

/// Every file that is read.
pub(super) fn files(config: &TlsConfig) -> Vec<&Path> {
    let TlsConfig { cert_file, key_file, more, client_ca_file, crl_files, .. } = config;
    let own = [cert_file, key_file, client_ca_file].into_iter().flatten();
    let others = more.iter().flat_map(|pair| [&pair.cert_file, &pair.key_file]);
    own.chain(others).chain(crl_files).map(PathBuf::as_path).collect()
}

fn pairs(config: &TlsConfig) -> Result<Vec<(&Path, &Path)>, TlsError> {
    let cert = config.cert_file.as_deref().ok_or(TlsError::Missing("cert_file"))?;
    let key = config.key_file.as_deref().ok_or(TlsError::Missing("key_file"))?;
    let more = config.more.iter().map(|pair| (pair.cert_file.as_path(), pair.key_file.as_path()));
    Ok([(cert, key)].into_iter().chain(more).collect())
}

fn shown(
    provider: &CryptoProvider,
    cert_file: &Path,
    key_file: &Path,
    expiries: &mut Vec<Expiry>,
) -> Result<Shown, TlsError> {
    let chain = certificates(cert_file)?;
    let content = |text: String| TlsError::Content(cert_file.into(), text);
    let mut names = Vec::new();
    for (at, cert) in chain.iter().enumerate() {
        let facts = Facts::of(cert).map_err(content)?;
        if at == 0 {
            names = facts.names.iter().map(|name| name.to_ascii_lowercase()).collect();
        }
        expiries.push(Expiry::of(facts, TlsFile::Certificate, cert_file));
    }
    let key = Arc::new(pair(provider, chain, (cert_file, key_file))?);
    Ok(Shown { names, key })
}

/// Whether a file of a certificate and one of a key belong together.
pub(crate) fn check_pair(cert_file: &Path, key_file: &Path) -> Result<(), TlsError> {
    pair(&provider(), certificates(cert_file)?, (cert_file, key_file)).map(drop)
}

fn pair(
    provider: &CryptoProvider,
    chain: Vec<CertificateDer<'static>>,
    (cert_file, key_file): (&Path, &Path),
) -> Result<CertifiedKey, TlsError> {
    let key = provider.key_provider.load_private_key(private_key(key_file)?);
    let key = key.map_err(|error| TlsError::Content(key_file.into(), error.to_string()))?;
    let key = CertifiedKey::new(chain, key);
    match key.keys_match() {
        Err(Error::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::Mismatch { cert: cert_file.into(), key: key_file.into() })
        }
        Err(Error::InvalidCertificate(error)) => {
            Err(TlsError::Content(cert_file.into(), error.to_string()))
        }
        // A key that does not tell its public part cannot be compared.
        Ok(()) | Err(_) => Ok(key),
    }
}

fn verifier(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
    expiries: &mut Vec<Expiry>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let path = config.client_ca_file.as_deref().ok_or(TlsError::Missing("client_ca_file"))?;
    let mut roots = RootCertStore::empty();
    for cert in certificates(path)? {
        let content = |text: String| TlsError::Content(path.into(), text);
        let facts = Facts::of(&cert).map_err(content)?;
        expiries.push(Expiry::of(facts, TlsFile::ClientCa, path));
        roots.add(cert).map_err(|error| content(error.to_string()))?;
    }
    let mut crls = Vec::new();
    for path in &config.crl_files {
        for crl in revocations(path)? {
            let facts = RevocationFacts::of(&crl);
            let facts = facts.map_err(|text| TlsError::Content(path.into(), text))?;
            if let Some(at_s) = facts.next_update_s {
                let (path, subject) = (path.clone(), facts.issuer);
                expiries.push(Expiry { file: TlsFile::Crl, path, subject, from_s: 0, at_s });
            }
            crls.push(crl);
        }
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = builder.with_crls(crls);
    let builder = match config.client_auth {
        ClientAuth::Optional => builder.allow_unauthenticated(),
        ClientAuth::None | ClientAuth::Required => builder,
    };
    let chain = builder.build().map_err(|error| TlsError::Settings(error.to_string()))?;
    Ok(Arc::new(Naming { chain, rule: config.identity }))
}
