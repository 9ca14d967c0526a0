//! The broker as a program of its own: banner, signals, exit. Everything else is the library's.

use std::io::{self, IsTerminal, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::banner::{self, BannerFacts};
use crate::broker::Broker;
use crate::config::Config;
use crate::error::{StartError, StopError};
use crate::open_files;

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Stop(#[from] StopError),
}

/// Runs the broker until it is told to stop (SIGTERM, SIGINT). SIGHUP has files read anew.
pub(crate) fn run(config: &Config) -> Result<(), ServeError> {
    open_files::raise();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System("a runtime", error))?;
    runtime.block_on(async {
        let mut stop = StopSignals::new()?;
        let mut hangup = caught(SignalKind::hangup())?;
        let broker = Broker::builder().config(config.clone()).start().await?;
        greet(&broker, config);
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
        Ok(broker.shutdown().await?)
    })
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
