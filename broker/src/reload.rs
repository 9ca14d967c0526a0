//! Another configuration for a broker that runs: prepared whole, then applied whole. Of what needs
//! a restart nothing is applied.

mod in_force;
mod report;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tidewire_bridge::bridges::{Bridges, Change as OtherBridges, hold_name};
use tokio::runtime::Handle;

use crate::access_file::AccessFile;
use crate::closed_doors::closed_doors;
use crate::config::{Config, Sources, StreamConfig};
use crate::core::shared::Shared;
use crate::error::StartError;
use crate::live::Live;
use crate::ports::{self, OpenPorts};
use crate::{bridges, open_files, store_options, telemetry};

pub use report::{ReloadError, ReloadReport};

use in_force::in_force;

/// Said of what would be wrong only before the next start.
const UNTIL_THEN: &str = "with what has to wait for a restart as it is: ";

/// Reads the tokens of a configuration.
pub(crate) type OtherTokens = Box<dyn Fn(&Config) -> Result<LetIn, StartError> + Send + Sync>;
/// From now on they are those that count.
pub(crate) type LetIn = Box<dyn FnOnce()>;

/// What can be changed, and what is in force.
pub(crate) struct Reloader {
    shared: Arc<Shared>,
    ports: Arc<Mutex<OpenPorts>>,
    bridges: Bridges,
    /// For the HTTP port, if there is one.
    tokens: Option<OtherTokens>,
    in_force: Arc<Live<Config>>,
    /// Where the settings came from, if not from a program.
    sources: Option<Sources>,
    /// That of the listeners.
    runtime: Handle,
    /// Held during a reload: one at a time.
    turn: Mutex<()>,
    /// The last one changed nothing, because something was wrong.
    is_refused: AtomicBool,
}

impl Reloader {
    /// Needs the runtime of the listeners around it.
    pub(crate) fn new(
        (shared, ports): (Arc<Shared>, Arc<Mutex<OpenPorts>>),
        bridges: Bridges,
        tokens: Option<OtherTokens>,
        in_force: Arc<Live<Config>>,
        sources: Option<Sources>,
    ) -> Self {
        Self {
            shared,
            ports,
            bridges,
            tokens,
            in_force,
            sources,
            runtime: Handle::current(),
            turn: Mutex::default(),
            is_refused: AtomicBool::new(false),
        }
    }

    /// The settings in force.
    pub(crate) fn config(&self) -> Config {
        (**self.in_force).clone()
    }

    /// Whether the last reload went well; so it is before the first.
    pub(crate) fn was_well(&self) -> bool {
        !self.is_refused.load(Ordering::Relaxed)
    }

    /// Takes over these settings, as far as that is possible, or nothing, and has files read anew.
    /// The log says what became of it.
    pub(crate) async fn reload(
        self: &Arc<Self>,
        wanted: Config,
    ) -> Result<ReloadReport, ReloadError> {
        self.in_turn(|reloader| reloader.reload_to(Ok(wanted))).await
    }

    /// The same with the settings as they are now where they came from.
    pub(crate) async fn reload_sources(self: &Arc<Self>) -> Result<ReloadReport, ReloadError> {
        self.in_turn(|reloader| reloader.reload_to(reloader.load())).await
    }

    /// The same; files are read anew even when the settings are wrong: each is looked at by itself.
    pub(crate) async fn reload_all(self: &Arc<Self>) -> Result<ReloadReport, ReloadError> {
        self.in_turn(|reloader| {
            let report = reloader.reload_to(reloader.load());
            if report.is_err() {
                reloader.read_files();
            }
            report
        })
        .await
    }

    /// What a reload of the settings, as they are now where they came from, would do. Changes
    /// nothing; takes no address to see whether it is free.
    pub(crate) async fn try_sources(self: &Arc<Self>) -> Result<ReloadReport, ReloadError> {
        self.in_turn(|reloader| {
            let old = &**reloader.in_force;
            let (new, report) = judged(old, reloader.load()?)?;
            reloader.check_files(old, &new)?;
            Ok(report)
        })
        .await
    }

    /// As long as this is held, nobody else may look at the ports.
    #[cfg(test)]
    pub(crate) fn hold_ports(&self) -> parking_lot::MutexGuard<'_, OpenPorts> {
        self.ports.lock()
    }

    /// One at a time, and to its end, also when nobody waits for it any more.
    async fn in_turn(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<ReloadReport, ReloadError> + Send + 'static,
    ) -> Result<ReloadReport, ReloadError> {
        let reloader = Arc::clone(self);
        let done = self.runtime.spawn_blocking(move || {
            // Read in its turn: of two, the later has what was written later.
            let _alone = reloader.turn.lock();
            work(&reloader)
        });
        done.await.unwrap_or(Err(ReloadError::Stopped))
    }

    fn load(&self) -> Result<Config, ReloadError> {
        let sources = self.sources.as_ref().ok_or(ReloadError::NoSources)?;
        Ok(Config::load(sources)?)
    }

    fn reload_to(&self, wanted: Result<Config, ReloadError>) -> Result<ReloadReport, ReloadError> {
        let report = wanted.and_then(|wanted| self.take_over(wanted));
        self.is_refused.store(report.is_err(), Ordering::Relaxed);
        match &report {
            Ok(_) => self.read_files(),
            Err(error) => error.tell(),
        }
        report
    }

    /// Has certificates read anew, soon.
    pub(crate) fn read_certificates(&self) {
        let watch = self.ports.lock().cert_watch();
        if let Some(watch) = watch {
            watch.reload();
        }
    }

    /// Has all files read anew that are read while the broker runs: certificates, soon, and those
    /// of users and rules, before this returns.
    pub(crate) fn read_files(&self) {
        self.read_certificates();
        let shared = &self.shared;
        if let Some(users) = &shared.users {
            users.reload();
        }
        if let Some(chain) = &shared.chain {
            chain.reload();
        }
        if shared.access.reload() {
            shared.tell_rules();
        }
    }

    /// Applies what can be applied while it runs, or nothing. Works on disk, and waits: not for a
    /// task of the runtime; which must be around it.
    fn take_over(&self, wanted: Config) -> Result<ReloadReport, ReloadError> {
        let old = &**self.in_force;
        let (new, report) = judged(old, wanted)?;
        self.apply(old, &new).map_err(ReloadError::Refused)?;
        self.in_force.set_if_other(new);
        let new = &**self.in_force;
        // Told by the filter that lets it through.
        let is_heard = tracing::enabled!(tracing::Level::INFO);
        if is_heard {
            report.tell();
        }
        if old.log.filter != new.log.filter {
            telemetry::set_filter(&new.log.filter);
        }
        if !is_heard {
            report.tell();
        }
        Ok(report)
    }

    fn apply(&self, old: &Config, new: &Config) -> Result<(), Vec<String>> {
        let shared = &self.shared;
        let mut wrong = Vec::new();
        let access = (old.access != new.access).then(|| AccessFile::open(&new.access));
        let access = access.transpose().unwrap_or_else(|error| {
            wrong.push(words(&StartError::Access(error)));
            None
        });
        let tokens = self.other_tokens(old, new).transpose().unwrap_or_else(|error| {
            wrong.push(words(&error));
            None
        });
        let mut ports = self.ports.lock();
        let other = ports.prepare(shared, &old.listener, new);
        let other = other.map_err(|errors| wrong.extend(errors.iter().map(|one| words(one)))).ok();
        let Some(mut other) = other.filter(|_| wrong.is_empty()) else { return Err(wrong) };
        let fitted = self.fit_streams(old, new);
        if let Err(error) = fitted.and_then(|()| ports.make_room(&mut other, shared, old)) {
            // What cannot be made undone is said by the next start.
            let _ = self.fit_streams(new, old);
            return Err(vec![words(&error)]);
        }
        // From here on nothing can fail.
        shared.set_limits(&new.mqtt, &new.share);
        if let Some(access) = access {
            shared.access.set(access);
            shared.tell_rules();
        }
        ports.apply(other, shared, new);
        drop(ports);
        if let Some(let_in) = tokens {
            let_in();
        }
        self.change_bridges(old, new);
        Ok(())
    }

    /// Whether the files that it names and the old one does not can be used.
    fn check_files(&self, old: &Config, new: &Config) -> Result<(), ReloadError> {
        let access = (old.access != new.access).then(|| AccessFile::open(&new.access));
        let access = access.and_then(Result::err).map(|error| words(&StartError::Access(error)));
        let tokens = self.other_tokens(old, new).and_then(Result::err).map(|error| words(&error));
        let secret = ports::unusable_since(&old.listener, &new.listener);
        let secret =
            secret.into_iter().map(|(listener, error)| format!("{listener}: {}", words(&error)));
        let wrong: Vec<String> = access.into_iter().chain(tokens).chain(secret).collect();
        if wrong.is_empty() { Ok(()) } else { Err(ReloadError::Refused(wrong)) }
    }

    /// Other tokens for the HTTP port, if it is to have some.
    fn other_tokens(&self, old: &Config, new: &Config) -> Option<Result<LetIn, StartError>> {
        let is_other = old.listener.http.token_file != new.listener.http.token_file;
        let read = self.tokens.as_ref().filter(|_| is_other)?;
        Some(read(new))
    }

    /// What streams keep, and for how long.
    fn fit_streams(&self, old: &Config, new: &Config) -> Result<(), StartError> {
        let store = &self.shared.store;
        for wanted in &new.streams {
            let was = old.streams.iter().find(|stream| stream.name == wanted.name);
            if was.is_none_or(|was| was == wanted) {
                continue;
            }
            let StreamConfig { name, .. } = wanted;
            let fitted = store.set_stream_config(name, store_options::stream_config(wanted));
            fitted.map_err(|error| StartError::Stream(name.clone(), error))?;
        }
        Ok(())
    }

    fn change_bridges(&self, old: &Config, new: &Config) {
        if old.bridge == new.bridge {
            return;
        }
        let (shared, retry) = (&self.shared, bridges::retry(new));
        let (changes, are_all) = (old.changes_to(new), retry != bridges::retry(old));
        let differs = |name: &str| are_all || !bridges::is_same(&changes, name);
        let before: Vec<String> = bridges::names(old).into_iter().map(|(name, _)| name).collect();
        let order: Vec<String> = bridges::names(new).into_iter().map(|(name, _)| name).collect();
        let mut plans = bridges::plans(new);
        plans.retain(|plan| differs(&plan.name_and_kind().0));
        let gone: Vec<String> = before.iter().filter(|name| differs(name)).cloned().collect();
        // Before they begin: what they read is held, what they sent on is known.
        shared.mark.set(bridges::mark(&shared.store, new));
        shared.bridges.set(order.clone());
        let names = order.clone();
        self.bridges.change(OtherBridges { gone, plans, retry, order });
        for name in before.iter().filter(|name| !names.contains(name)) {
            shared.store.release_hold(&hold_name(name));
        }
    }
}

/// What would be in force, and what that would change. Opens nothing.
fn judged(old: &Config, wanted: Config) -> Result<(Config, ReloadReport), ReloadError> {
    let mut wanted = wanted.checked()?;
    // Tells again what does not fit; the one before was told of at its start.
    open_files::fit(&mut wanted);
    let new = in_force(old, &wanted, telemetry::is_ours());
    check_doors(&wanted, "")?;
    check_doors(&new, UNTIL_THEN)?;
    new.clone().checked().map_err(|errors| {
        let lines = errors.lines().into_iter();
        ReloadError::Refused(lines.map(|line| format!("{UNTIL_THEN}{line}")).collect())
    })?;
    let report = ReloadReport::of(old, &new, &wanted);
    Ok((new, report))
}

/// A listener at which nobody could come in keeps a broker from starting, too.
fn check_doors(config: &Config, when: &str) -> Result<(), ReloadError> {
    let closed: Vec<_> =
        closed_doors(config).iter().map(|one| format!("{when}{}", words(one))).collect();
    if closed.is_empty() { Ok(()) } else { Err(ReloadError::Refused(closed)) }
}

/// An error with its causes, in one line.
fn words(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
