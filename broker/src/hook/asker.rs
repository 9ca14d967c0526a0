//! Asks the program, and remembers what it said. Waits: for threads that do nothing else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::answer::{Allowed, Said, read};
use super::memory::Memory;
use super::question::json;
use super::secret::{HookError, Secret, secret};
use crate::config::{AuthHttpConfig, HttpUrl};
use crate::http_client::{HttpClient, HttpClientOptions, HttpError};
use crate::metrics::{CounterFamily, HookResult};
use crate::passwords::{Check, Found, Question, Shown, Verdict};
use crate::wall_clock::wall_clock_ms;

/// How somebody shows who it is that the program lets in.
const METHOD: &str = "http";
/// Largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Asks the program.
pub(crate) struct Hook {
    client: HttpClient,
    url: HttpUrl,
    secret: Option<Secret>,
    cache: Duration,
    cache_denied: Duration,
    memory: Mutex<Memory>,
    asks_for_certificates: bool,
    asked: Arc<CounterFamily<HookResult>>,
}

impl Hook {
    /// `None`: nobody is to be asked.
    ///
    /// # Errors
    /// When authorities or the secret cannot be read.
    pub(crate) fn open(
        config: &AuthHttpConfig,
        asked: Arc<CounterFamily<HookResult>>,
    ) -> Result<Option<Self>, HookError> {
        let Some(url) = config.url.clone() else { return Ok(None) };
        let memory = Memory::new(config.cache_entries_max as usize).ok_or(HookError::Random)?;
        Ok(Some(Self {
            client: client(config, &url)?,
            url,
            secret: secret(config)?,
            cache: Duration::from_secs(config.cache_s.into()),
            cache_denied: Duration::from_secs(config.cache_denied_s.into()),
            memory: Mutex::new(memory),
            asks_for_certificates: config.asks_for_certificates,
            asked,
        }))
    }

    /// Whether it could be opened.
    ///
    /// # Errors
    /// As [`Hook::open`].
    pub(crate) fn check(config: &AuthHttpConfig) -> Result<(), HookError> {
        let Some(url) = &config.url else { return Ok(()) };
        client(config, url)?;
        secret(config).map(drop)
    }

    /// Whether it is asked for who has shown a certificate.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        self.asks_for_certificates
    }

    fn ask(&self, question: &Question) -> Result<Said, (HookResult, String)> {
        let header = self.secret.as_ref().map(|it| (it.name.as_str(), it.value.as_str()));
        let answer = self.client.post(self.url.as_str(), header, &json(question));
        let answer = answer.map_err(|error| (result_of(&error), error.to_string()))?;
        read(&answer).map_err(|words| (HookResult::Malformed, words))
    }

    fn verdict(&self, question: &Question, said: Said) -> (Verdict, Duration) {
        let is_shown = question.about.certificate.is_some();
        match said {
            Said::Allow(Allowed { user, vouched, expires_in_s }) => {
                let lasts = expires_in_s.map(Duration::from_secs);
                let until_ms = expires_in_s.map(|seconds| {
                    let ms = i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX);
                    wall_clock_ms().saturating_add(ms)
                });
                let user = user.unwrap_or_else(|| question.user.clone());
                let shown = Shown { user, method: METHOD, vouched, until_ms };
                let keep = lasts.map_or(self.cache, |lasts| lasts.min(self.cache));
                (Verdict::Right(shown), keep)
            }
            Said::Deny => (Verdict::Wrong("the HTTP hook says no".into()), self.cache_denied),
            Said::Ignore if is_shown => (Verdict::Ignored, self.cache_denied),
            // Nobody is behind it who might know the client.
            Said::Ignore => {
                let words = "nobody knows the client: the HTTP hook does not either";
                (Verdict::Wrong(words.into()), self.cache_denied)
            }
        }
    }
}

fn client(config: &AuthHttpConfig, url: &HttpUrl) -> Result<HttpClient, HookError> {
    let options = HttpClientOptions {
        is_secret: url.is_secret(),
        ca_file: config.ca_file.as_deref(),
        shown: None,
        timeout: config.timeout,
        connections: config.connections_max as usize,
        bytes_max: ANSWER_BYTES_MAX,
    };
    HttpClient::new(&options).map_err(HookError::Client)
}

impl Check for Hook {
    fn recall(&self, question: &Question) -> Option<Verdict> {
        let memory = self.memory.lock();
        let known = memory.recall(&memory.trace(question), Instant::now())?;
        self.asked.add(HookResult::Remembered, 1);
        Some(known)
    }

    fn check(&self, question: &Question) -> Found {
        let said = match self.ask(question) {
            Ok(said) => said,
            Err((result, words)) => {
                self.asked.add(result, 1);
                let words = format!("the HTTP hook gives no answer: {words}");
                return Found::Verdict(Verdict::Unavailable(words.into()));
            }
        };
        self.asked.add(
            match &said {
                Said::Allow(_) => HookResult::Allow,
                Said::Deny => HookResult::Deny,
                Said::Ignore => HookResult::Ignore,
            },
            1,
        );
        let (verdict, keep) = self.verdict(question, said);
        if !keep.is_zero() {
            let mut memory = self.memory.lock();
            let trace = memory.trace(question);
            memory.add(trace, Instant::now() + keep, verdict.clone());
        }
        Found::Verdict(verdict)
    }
}

const fn result_of(error: &HttpError) -> HookResult {
    match error {
        HttpError::Timeout(_) => HookResult::Timeout,
        HttpError::Status(_) => HookResult::Status,
        HttpError::TooLarge(_) => HookResult::Malformed,
        HttpError::Other(_) => HookResult::Unreachable,
    }
}
