//! The thread that fetches keys. What it cannot fetch changes nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::jwks;
use super::key::Key;
use super::verifier::Verifier;
use crate::config::{HttpUrl, JwtConfig};
use crate::http_client::{HttpClient, HttpClientError, HttpClientOptions};

/// Largest set of keys, in bytes.
const SET_BYTES_MAX: u64 = 512 * 1024;

/// Who fetches keys.
pub(crate) struct Fetch {
    verifier: Arc<Verifier>,
    is_over: Arc<AtomicBool>,
}

/// Somebody to ask, and where.
pub(crate) struct Source {
    client: HttpClient,
    url: HttpUrl,
}

impl Source {
    /// `None`: keys are in files alone.
    ///
    /// # Errors
    /// When authorities cannot be read.
    pub(crate) fn new(config: &JwtConfig) -> Result<Option<Self>, HttpClientError> {
        let Some(url) = config.jwks_url.clone() else { return Ok(None) };
        let options = HttpClientOptions {
            is_secret: url.is_secret(),
            ca_file: config.jwks_ca_file.as_deref(),
            shown: None,
            timeout: config.jwks_timeout,
            connections: 1,
            bytes_max: SET_BYTES_MAX,
        };
        Ok(Some(Self { client: HttpClient::new(&options)?, url }))
    }

    fn fetch(&self) -> Result<Vec<Key>, String> {
        let set = self.client.get(self.url.as_str()).map_err(|error| error.to_string())?;
        jwks::parse(&set).map_err(|error| error.to_string())
    }
}

impl Fetch {
    /// Starts the thread; `told` is called after each try.
    pub(crate) fn start(
        source: Source,
        verifier: Arc<Verifier>,
        told: impl Fn() + Send + 'static,
    ) -> io::Result<Self> {
        let fetch = Self { verifier, is_over: Arc::default() };
        let (verifier, is_over) = (Arc::clone(&fetch.verifier), Arc::clone(&fetch.is_over));
        let run = move || {
            let mut count = None;
            while verifier.wait_until_due(|| is_over.load(Ordering::Relaxed)) {
                let found = source.fetch();
                match &found {
                    Ok(keys) if count != Some(keys.len()) => {
                        count = Some(keys.len());
                        tracing::info!(keys = keys.len(), "keys of tokens are fetched");
                    }
                    Ok(_) => (),
                    Err(error) => {
                        let url = source.url.as_str();
                        tracing::warn!(url, error, "keys of tokens cannot be fetched");
                    }
                }
                verifier.on_fetched(found.ok());
                told();
            }
        };
        std::thread::Builder::new().name("token-keys".into()).spawn(run)?;
        Ok(fetch)
    }

    /// Does not wait for what is under way.
    pub(crate) fn stop(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.verifier.wake();
    }
}
