//! Tokens as a way to show who one is: keys and settings together, asked by a desk. Fetches
//! nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, RwLock};

use super::claims::{Bearer, Said, judge};
use super::due::{Due, Unknown};
use super::fault::Fault;
use super::jwks;
use super::key::Key;
use super::keys::Keys;
use super::pem::{KeyFileError, read, read_keys, read_secret};
use super::token::Token;
use crate::config::JwtConfig;
use crate::file_watch::{FileWatch, Reading};
use crate::metrics::{CounterFamily, TokenFault};
use crate::passwords::{About, Check, Found, Question, Shown, Verdict};
use crate::wall_clock::wall_clock_ms;

/// How somebody shows who it is with a token.
const METHOD: &str = "token";

/// Knows whether tokens are right.
pub(crate) struct Verifier {
    config: JwtConfig,
    watch: FileWatch,
    keys: RwLock<Arc<Keys>>,
    /// When keys are fetched; `None`: never, they are all in files.
    due: Option<Mutex<Due>>,
    /// They are due before the time.
    wanted: Condvar,
    refused: Arc<CounterFamily<TokenFault>>,
}

/// What came of a look at a token.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    Said(Said),
    Wrong(Fault),
    Later,
    Unavailable,
}

impl Verifier {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When one cannot be read, or holds no key.
    pub(crate) fn open(
        config: &JwtConfig,
        refused: Arc<CounterFamily<TokenFault>>,
    ) -> Result<Self, KeyFileError> {
        let watch = FileWatch::new(files(config));
        let own = load(config)?;
        let every = std::time::Duration::from_secs(config.jwks_refresh_s.into());
        let least = std::time::Duration::from_secs(config.jwks_unknown_key_s.into());
        let due = config.jwks_url.is_some().then(|| Mutex::new(Due::new(every, least)));
        let keys = RwLock::new(Arc::new(Keys { own, fetched: None, may_come: due.is_some() }));
        Ok(Self { config: config.clone(), watch, keys, due, wanted: Condvar::new(), refused })
    }

    /// Reads the files anew when one has changed, and not since the last look.
    pub(crate) fn look(&self) {
        self.watch.look(|is_told| self.read(is_told));
    }

    /// Reads the files anew now.
    pub(crate) fn reload(&self) {
        self.watch.reload(|is_told| self.read(is_told));
    }

    /// Other keys were fetched: those of before are forgotten. Of none, they stay.
    pub(crate) fn on_fetched(&self, fetched: Option<Vec<Key>>) {
        let has_succeeded = fetched.is_some();
        if has_succeeded {
            let mut keys = self.keys.write();
            *keys = Arc::new(Keys { own: keys.own.clone(), fetched, may_come: true });
        }
        if let Some(due) = &self.due {
            due.lock().end(Instant::now(), has_succeeded);
        }
    }

    /// Waits until keys are to be fetched; false: it is over.
    pub(crate) fn wait_until_due(&self, is_over: impl Fn() -> bool) -> bool {
        let Some(due) = &self.due else { return false };
        let mut due = due.lock();
        loop {
            if is_over() {
                return false;
            }
            match due.begin(Instant::now()) {
                None => return true,
                Some(left) => self.wanted.wait_for(&mut due, left),
            };
        }
    }

    /// Has whoever waits there look again.
    pub(crate) fn wake(&self) {
        if let Some(due) = &self.due {
            let _due = due.lock();
            self.wanted.notify_all();
        }
    }

    fn judge(&self, token: &[u8], bearer: Bearer<'_>, now_ms: i64) -> Judged {
        let keys = Arc::clone(&self.keys.read());
        match self.look_at(&keys, token, bearer, now_ms) {
            Ok(said) => Judged::Said(said),
            // More keys may be known in a moment.
            Err(Fault::UnknownKey) => self.on_unknown(),
            Err(fault) => Judged::Wrong(fault),
        }
    }

    fn look_at(
        &self,
        keys: &Keys,
        token: &[u8],
        bearer: Bearer<'_>,
        now_ms: i64,
    ) -> Result<Said, Fault> {
        let token = Token::read(token)?;
        let allowed = &self.config.algorithms;
        if !allowed.is_empty() && !allowed.iter().any(|word| word == token.algorithm.word()) {
            return Err(Fault::Algorithm);
        }
        keys.check(&token)?;
        judge(&token.claims()?, &self.config, bearer, now_ms)
    }

    fn on_unknown(&self) -> Judged {
        let Some(due) = &self.due else { return Judged::Wrong(Fault::UnknownKey) };
        let unknown = due.lock().on_unknown(Instant::now());
        match unknown {
            Unknown::Wait => {
                self.wanted.notify_all();
                Judged::Later
            }
            Unknown::Wrong => Judged::Wrong(Fault::UnknownKey),
            Unknown::Unavailable => Judged::Unavailable,
        }
    }

    /// Of files that are wrong nothing is taken.
    fn read(&self, is_told: bool) -> Reading {
        match load(&self.config) {
            Ok(own) => {
                let count = own.len();
                let mut keys = self.keys.write();
                *keys = Arc::new(Keys { own, fetched: keys.fetched.clone(), ..**keys });
                tracing::info!(keys = count, "keys of tokens are read anew");
                Reading::Taken
            }
            Err(error) => {
                let reading = match &error {
                    KeyFileError::Read(_, error) => Reading::of_error(error),
                    _ => Reading::Wrong,
                };
                if is_told {
                    let (cause, next) = (std::error::Error::source(&error), reading.what_next());
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    tracing::error!("keys of tokens stay as they were: {error}{cause}{next}");
                }
                reading
            }
        }
    }
}

impl Check for Verifier {
    fn recall(&self, _: &Question) -> Option<Verdict> {
        None
    }

    fn check(&self, question: &Question) -> Found {
        let About { client_id, protocol, .. } = &question.about;
        // Kafka's way to bring a token has no user name: whom it acts for is compared there.
        let is_silent = question.user.is_empty() && *protocol == "kafka";
        let bearer = Bearer { user: (!is_silent).then_some(&*question.user), client_id };
        Found::Verdict(match self.judge(&question.password, bearer, wall_clock_ms()) {
            Judged::Said(Said { user, vouched, until_ms }) => {
                let until_ms = until_ms.filter(|_| self.config.disconnect_at_expiry);
                Verdict::Right(Shown { user, method: METHOD, vouched, until_ms })
            }
            Judged::Wrong(fault) => {
                self.refused.add(fault.label(), 1);
                Verdict::Wrong(fault.to_string().into())
            }
            Judged::Later => return Found::Later,
            Judged::Unavailable => {
                Verdict::Unavailable("the keys of tokens cannot be fetched".into())
            }
        })
    }

    fn is_coming(&self) -> bool {
        self.due.as_ref().is_some_and(|due| due.lock().is_coming())
    }
}

/// All keys of files.
///
/// # Errors
/// When one cannot be read, or holds none.
pub(crate) fn load(config: &JwtConfig) -> Result<Vec<Key>, KeyFileError> {
    let mut keys = Vec::new();
    if let Some(path) = &config.secret_file {
        keys.push(read_secret(path)?);
    }
    for path in &config.key_files {
        keys.extend(read_keys(path)?);
    }
    if let Some(path) = &config.jwks_file {
        let set = jwks::parse(&read(path)?);
        keys.extend(set.map_err(|error| KeyFileError::NoSet(path.clone(), error))?);
    }
    Ok(keys)
}

fn files(config: &JwtConfig) -> Vec<PathBuf> {
    let one = config.secret_file.iter().chain(&config.jwks_file);
    one.chain(&config.key_files).cloned().collect()
}

#[cfg(test)]
mod tests;
