//! Asks others over HTTP, waiting for the answer: for threads that have nothing else to do. Follows
//! no redirect, and knows what is asked as little as what is answered.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;
use ureq::tls::{
    Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, TlsConfigBuilder, parse_pem,
};

use crate::tls::{TlsError, check_pair, provider};

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// How long a connection that is not used is kept.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// Where systems keep the authorities that they trust.
const SYSTEM_CA_FILES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// A file cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// It holds no certificate.
    #[error("{} holds no certificate of an authority", .0.display())]
    NoCertificate(PathBuf),
    /// The system has no authorities where others have them.
    #[error("the system has no file of authorities; name one")]
    NoSystem,
    /// What we would show cannot be used.
    #[error(transparent)]
    Shown(#[from] TlsError),
}

/// Why there is no answer. Never holds what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("an answer of more than {0} bytes")]
    TooLarge(u64),
    #[error("status {0}")]
    Status(u16),
    #[error("{0}")]
    Other(String),
}

/// What is wanted of what lies somewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) enum HttpVerb<'a> {
    Get,
    Delete,
    /// With this JSON.
    Post(&'a [u8]),
}

/// An answer, whatever its status is.
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Where, and how.
pub(crate) struct HttpClientOptions<'a> {
    pub(crate) is_secret: bool,
    pub(crate) ca_file: Option<&'a Path>,
    /// Our certificate and its key, where we are asked for one.
    pub(crate) shown: Option<(&'a Path, &'a Path)>,
    pub(crate) timeout: Duration,
    pub(crate) connections: usize,
    /// Largest answer.
    pub(crate) bytes_max: u64,
}

/// Asks.
pub(crate) struct HttpClient {
    agent: Agent,
    timeout: Duration,
    bytes_max: u64,
}

impl HttpClient {
    /// Reads the authorities, if they are needed.
    pub(crate) fn new(options: &HttpClientOptions<'_>) -> Result<Self, HttpClientError> {
        let mut tls = with_shown(options)?;
        if options.is_secret {
            let authorities = authorities(options.ca_file)?;
            tls = tls.root_certs(RootCerts::Specific(Arc::new(authorities)));
        }
        Ok(Self::with(tls.build(), options))
    }

    /// Believes whoever answers: for asking a port of this machine what is no secret.
    pub(crate) fn believing(options: &HttpClientOptions<'_>) -> Result<Self, HttpClientError> {
        let tls = with_shown(options)?.disable_verification(true);
        Ok(Self::with(tls.build(), options))
    }

    fn with(tls: TlsConfig, options: &HttpClientOptions<'_>) -> Self {
        let config = Config::builder()
            .http_status_as_error(false)
            // Neither another address nor somebody between is who was named.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(options.timeout))
            .max_response_header_size(HEAD_BYTES_MAX)
            .max_idle_connections(options.connections)
            .max_idle_connections_per_host(options.connections)
            .max_idle_age(IDLE_MAX)
            .user_agent("tidewire")
            .tls_config(tls)
            .build();
        let (timeout, bytes_max) = (options.timeout, options.bytes_max);
        Self { agent: config.new_agent(), timeout, bytes_max }
    }

    /// What is answered, whatever its status is; asked once.
    pub(crate) fn ask(
        &self,
        verb: HttpVerb<'_>,
        url: &str,
        header: Option<(&str, &str)>,
    ) -> Result<HttpAnswer, HttpError> {
        let (agent, all) = (&self.agent, header.into_iter());
        let answer = match verb {
            HttpVerb::Get => all.fold(agent.get(url), |it, (k, v)| it.header(k, v)).call(),
            HttpVerb::Delete => all.fold(agent.delete(url), |it, (k, v)| it.header(k, v)).call(),
            HttpVerb::Post(json) => {
                let question = agent.post(url).header("Content-Type", "application/json");
                all.fold(question, |it, (k, v)| it.header(k, v)).send(json)
            }
        };
        let mut answer = answer.map_err(|error| self.error(&error))?;
        let status = answer.status().as_u16();
        Ok(HttpAnswer { status, body: self.whole(answer.body_mut())? })
    }

    /// What lies there.
    pub(crate) fn get(&self, url: &str) -> Result<Vec<u8>, HttpError> {
        let answer = self.agent.get(url).header("Accept", "application/json").call();
        self.body(answer)
    }

    /// The answer to a question in JSON. One that meets a connection that the other side is just
    /// closing is asked again, once.
    pub(crate) fn post(
        &self,
        url: &str,
        header: Option<(&str, &str)>,
        json: &[u8],
    ) -> Result<Vec<u8>, HttpError> {
        let began = Instant::now();
        let ask = |left: Duration| {
            let question = self.agent.post(url).header("Content-Type", "application/json");
            let question = match header {
                Some((name, value)) => question.header(name, value),
                None => question,
            };
            question.config().timeout_global(Some(left)).build().send(json)
        };
        let answer = match ask(self.timeout) {
            // Both together take no longer than one may.
            Err(ureq::Error::Io(_)) if began.elapsed() < self.timeout / 2 => {
                ask(self.timeout.saturating_sub(began.elapsed()))
            }
            answer => answer,
        };
        self.body(answer)
    }

    fn body(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Vec<u8>, HttpError> {
        let mut answer = answer.map_err(|error| self.error(&error))?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(HttpError::Status(status));
        }
        self.whole(answer.body_mut())
    }

    fn whole(&self, body: &mut ureq::Body) -> Result<Vec<u8>, HttpError> {
        let body = body.with_config().limit(self.bytes_max).read_to_vec();
        body.map_err(|error| self.error(&error))
    }

    fn error(&self, error: &ureq::Error) -> HttpError {
        match error {
            ureq::Error::Timeout(_) => HttpError::Timeout(self.timeout),
            ureq::Error::BodyExceedsLimit(_) => HttpError::TooLarge(self.bytes_max),
            other => HttpError::Other(other.to_string()),
        }
    }
}

/// What we show of ourselves.
fn with_shown(options: &HttpClientOptions<'_>) -> Result<TlsConfigBuilder, HttpClientError> {
    let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider());
    let Some((cert_file, key_file)) = options.shown else { return Ok(tls) };
    // Else the library would panic when it is to show them.
    check_pair(cert_file, key_file)?;
    let read = |path: &Path| {
        std::fs::read(path).map_err(|error| HttpClientError::Read(path.to_path_buf(), error))
    };
    let chain = all_in(&read(cert_file)?);
    let key = PrivateKey::from_pem(&read(key_file)?);
    let key = key.map_err(|error| TlsError::Form(key_file.into(), error.to_string()))?;
    Ok(tls.client_cert(Some(ClientCert::new_with_certs(&chain, key))))
}

/// The certificates of a PEM file.
fn all_in(pem: &[u8]) -> Vec<Certificate<'static>> {
    parse_pem(pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect()
}

fn authorities(file: Option<&Path>) -> Result<Vec<Certificate<'static>>, HttpClientError> {
    let system = || SYSTEM_CA_FILES.iter().map(Path::new).find(|path| path.exists());
    let path = file.or_else(system).ok_or(HttpClientError::NoSystem)?;
    let pem =
        std::fs::read(path).map_err(|error| HttpClientError::Read(path.to_path_buf(), error))?;
    let found = all_in(&pem);
    if found.is_empty() {
        return Err(HttpClientError::NoCertificate(path.to_path_buf()));
    }
    Ok(found)
}
