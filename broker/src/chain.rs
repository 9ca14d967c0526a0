//! The chain of those who know who clients are, behind certificates and SCRAM: tokens, the password
//! file, the HTTP hook. Says whom a question is for; answers nothing itself.

use std::num::NonZeroUsize;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Config;
use crate::error::StartError;
use crate::hook::Hook;
use crate::jwt::{Fetch, Source, Verifier, looks_like_token};
use crate::metrics::{Backend, CounterFamily, Metrics, SignInResult};
use crate::passwords::{Answer, Check, Desk, DeskLimits, Guesses, PasswordFile, Question, Verdict};
use crate::teller::Teller;

/// How signing in ended, by who was asked.
type SignIns = CounterFamily<(Backend, SignInResult)>;

/// All of them that there are.
pub(crate) struct Chain {
    tokens: Option<Link<Verifier>>,
    file: Option<Link<PasswordFile>>,
    hook: Option<Link<Hook>>,
    fetch: Option<Fetch>,
    sign_ins: Arc<SignIns>,
    /// For who reads the log.
    teller: Mutex<Teller>,
}

/// One, and where it is asked.
struct Link<T> {
    knows: Arc<T>,
    desk: Desk,
}

impl<T: Check + 'static> Link<T> {
    fn new(knows: T, limits: DeskLimits, guesses: &Arc<Mutex<Guesses>>) -> Self {
        let knows = Arc::new(knows);
        let check = Arc::clone(&knows) as Arc<dyn Check>;
        Self { knows, desk: Desk::new(check, limits, Arc::clone(guesses)) }
    }
}

impl Chain {
    /// Reads all files and starts the threads; `None`: nobody is asked about passwords.
    ///
    /// # Errors
    /// When a file cannot be read or is wrong, or the system gives no threads.
    pub(crate) fn open(
        config: &Config,
        guesses: &Arc<Mutex<Guesses>>,
        metrics: &Metrics,
    ) -> Result<Option<Self>, StartError> {
        if !config.auth.takes_passwords() {
            return Ok(None);
        }
        let tokens = tokens(config, guesses, metrics)?;
        let file = file(config, guesses)?;
        let hook = hook(config, guesses, metrics)?;
        let fetch = tokens.as_ref().map(|link| fetch(config, link)).transpose()?.flatten();
        let sign_ins = Arc::clone(&metrics.sign_ins);
        let teller = Mutex::default();
        let chain = Self { tokens, file, hook, fetch, sign_ins, teller };
        for desk in chain.desks() {
            desk.start().map_err(|error| StartError::System("a thread", error))?;
        }
        Ok(Some(chain))
    }

    /// Whether one more that is refused is told of: peers bring that about at will.
    pub(crate) fn may_tell(&self, now_ms: i64) -> bool {
        self.teller.lock().may_tell(now_ms / 1_000, "sign-ins")
    }

    /// Whether somebody looks at tokens.
    pub(crate) fn takes_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// Whether the hook is asked about who has shown a certificate.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        self.hook.as_ref().is_some_and(|link| link.knows.asks_for_certificates())
    }

    /// Answers at once, or has `answer` called later. What looks like a token is for who knows
    /// those; then the password file has the users that stand in it, and the hook the rest.
    pub(crate) fn ask(
        &self,
        mut question: Question,
        now_ms: i64,
        answer: Answer,
    ) -> Option<Verdict> {
        let Some((backend, desk)) = self.whom(&mut question) else {
            return Some(Verdict::Ignored);
        };
        let sign_ins = Arc::clone(&self.sign_ins);
        let told = move |verdict: Verdict| {
            sign_ins.add((backend, result(&verdict)), 1);
            answer(verdict);
        };
        let verdict = desk.ask(question, now_ms, Box::new(told));
        if let Some(verdict) = &verdict {
            self.sign_ins.add((backend, result(verdict)), 1);
        }
        verdict
    }

    fn whom(&self, question: &mut Question) -> Option<(Backend, &Desk)> {
        let hook = self.hook.as_ref().map(|link| (Backend::Http, &link.desk));
        if question.about.certificate.is_some() {
            return hook;
        }
        let tokens = self.tokens.as_ref().map(|link| (Backend::Jwt, &link.desk));
        question.about.is_token = tokens.is_some() && looks_like_token(&question.password);
        if question.about.is_token {
            return tokens;
        }
        let file = self.file.as_ref().map(|link| (Backend::PasswordFile, &link.desk));
        let knows = |link: &Link<PasswordFile>| link.knows.knows(&question.user);
        let known = file.filter(|_| self.file.as_ref().is_some_and(knows));
        // Of whom nobody knows it is the file, or who knows tokens, that says so.
        known.or(hook).or(file).or(tokens)
    }

    /// Reads files anew that have changed.
    pub(crate) fn look(&self) {
        if let Some(link) = &self.tokens {
            link.knows.look();
        }
        if let Some(link) = &self.file {
            link.knows.look();
        }
    }

    /// Reads all files anew now.
    pub(crate) fn reload(&self) {
        if let Some(link) = &self.tokens {
            link.knows.reload();
        }
        if let Some(link) = &self.file {
            link.knows.reload();
        }
    }

    /// Who waits is answered with "unavailable".
    pub(crate) fn stop(&self) {
        if let Some(fetch) = &self.fetch {
            fetch.stop();
        }
        for desk in self.desks() {
            desk.stop();
        }
    }

    fn desks(&self) -> impl Iterator<Item = &Desk> {
        let tokens = self.tokens.iter().map(|link| &link.desk);
        let file = self.file.iter().map(|link| &link.desk);
        tokens.chain(file).chain(self.hook.iter().map(|link| &link.desk))
    }
}

fn tokens(
    config: &Config,
    guesses: &Arc<Mutex<Guesses>>,
    metrics: &Metrics,
) -> Result<Option<Link<Verifier>>, StartError> {
    let jwt = &config.auth.jwt;
    if !jwt.is_on() {
        return Ok(None);
    }
    let refused = Arc::clone(&metrics.tokens_refused);
    let verifier = Verifier::open(jwt, refused).map_err(StartError::TokenKeys)?;
    let limits = DeskLimits {
        name: "token",
        threads: 1,
        queue_max: config.auth.password_queue_max as usize,
        wait_max: None,
        is_work: true,
    };
    Ok(Some(Link::new(verifier, limits, guesses)))
}

fn fetch(config: &Config, link: &Link<Verifier>) -> Result<Option<Fetch>, StartError> {
    let Some(source) = Source::new(&config.auth.jwt).map_err(StartError::TokenSource)? else {
        return Ok(None);
    };
    let desk = link.desk.clone();
    let fetch = Fetch::start(source, Arc::clone(&link.knows), move || desk.look_again());
    fetch.map(Some).map_err(|error| StartError::System("a thread", error))
}

fn file(
    config: &Config,
    guesses: &Arc<Mutex<Guesses>>,
) -> Result<Option<Link<PasswordFile>>, StartError> {
    let auth = &config.auth;
    let Some(path) = &auth.password_file else { return Ok(None) };
    let threads = match config.threads.passwords {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get).div_ceil(4),
        count => usize::from(count),
    };
    let limits = DeskLimits {
        name: "password",
        threads,
        queue_max: auth.password_queue_max as usize,
        wait_max: None,
        is_work: true,
    };
    let remembered_max = auth.passwords_remembered_max as usize;
    let file = PasswordFile::open(path, remembered_max).map_err(StartError::Passwords)?;
    Ok(Some(Link::new(file, limits, guesses)))
}

fn hook(
    config: &Config,
    guesses: &Arc<Mutex<Guesses>>,
    metrics: &Metrics,
) -> Result<Option<Link<Hook>>, StartError> {
    let http = &config.auth.http;
    let asked = Arc::clone(&metrics.hook_questions);
    let Some(hook) = Hook::open(http, asked).map_err(StartError::Hook)? else { return Ok(None) };
    let limits = DeskLimits {
        name: "auth-http",
        threads: http.connections_max as usize,
        queue_max: http.queue_max as usize,
        wait_max: Some(http.timeout),
        is_work: false,
    };
    Ok(Some(Link::new(hook, limits, guesses)))
}

const fn result(verdict: &Verdict) -> SignInResult {
    match verdict {
        Verdict::Right(_) => SignInResult::Accepted,
        Verdict::Wrong(_) => SignInResult::Wrong,
        Verdict::Ignored => SignInResult::Ignored,
        Verdict::TooOften => SignInResult::Guessing,
        Verdict::Busy => SignInResult::Busy,
        Verdict::Unavailable(_) => SignInResult::Unavailable,
    }
}
