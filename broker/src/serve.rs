//! The broker as a program of its own: banner, signals, exit. Everything else is the library's.

use std::io::{self, IsTerminal, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::banner::{self, BannerFacts};
use crate::broker::Broker;
use crate::config::Config;
use crate::error::{StartError, StopError};
use crate::notify::{self, Notify};
use crate::open_files;
use crate::privileges::{self, Runner};
use crate::reserved::Reserved;

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Stop(#[from] StopError),
}

/// Runs the broker until it is told to stop (SIGTERM, SIGINT). SIGHUP has files read anew.
///
/// Started by root, it becomes whom the configuration names, while this is the only thread; what
/// is opened after that (data, certificates, files of users) can be opened again later.
pub(crate) fn run(config: &Config) -> Result<(), ServeError> {
    open_files::raise();
    privileges::renounce();
    let reserved = step_down(config)?;
    let notify = Notify::from_environment();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System("a runtime", error))?;
    runtime.block_on(async {
        let mut stop = StopSignals::new()?;
        let mut hangup = caught(SignalKind::hangup())?;
        let broker = Broker::builder().config(config.clone()).reserved(reserved).start().await?;
        greet(&broker, config);
        notify.say(notify::READY);
        loop {
            tokio::select! {
                () = stop.wait() => break,
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP: certificates and files of users are read anew.");
                    broker.reload_files();
                }
                // Without an orderly end: nothing that lives on could be trusted.
                () = broker.failed() => return Err(StopError::Panicked.into()),
            }
        }
        notify.say(notify::STOPPING);
        Ok(broker.shutdown().await?)
    })
}

/// Takes the ports as root, and is root no more.
fn step_down(config: &Config) -> Result<Reserved, StartError> {
    let Some(said) = &config.system.run_as else {
        if privileges::is_root() {
            tracing::warn!("the broker runs as root: name another user in system.run_as");
        }
        return Ok(Reserved::default());
    };
    let failed = |error| StartError::RunAs(said.clone(), error);
    let runner = Runner::find(said).map_err(failed)?;
    if runner.is_us() {
        return Ok(Reserved::default());
    }
    if !privileges::is_root() {
        let words = "only root can become another user: start it as root, or as that user";
        return Err(failed(io::Error::other(words)));
    }
    let reserved = Reserved::take_all(&config.listener)?;
    reserved.give_file(runner.ids(), &config.listener)?;
    runner.own(&config.data.dir).map_err(failed)?;
    runner.become_it().map_err(failed)?;
    tracing::info!(run_as = said, "root's rights are given up");
    Ok(reserved)
}

fn greet(broker: &Broker, config: &Config) {
    let facts = BannerFacts {
        version: env!("CARGO_PKG_VERSION"),
        config: config.file.clone(),
        data: config.data.dir.clone(),
        data_is_new: broker.data_is_new(),
        durability: config.durability_weakest(),
        listeners: broker.listeners().to_vec(),
        unix: config.listener.unix.path.clone(),
        colours: io::stdout().is_terminal(),
    };
    // Nobody may be reading; the broker runs all the same.
    let _ = write!(io::stdout(), "{}", banner::render(&facts));
    let _ = io::stdout().flush();
}

struct StopSignals {
    term: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> Result<Self, StartError> {
        Ok(Self {
            term: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.term.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

fn caught(kind: SignalKind) -> Result<Signal, StartError> {
    signal(kind).map_err(|error| StartError::System("signals", error))
}
