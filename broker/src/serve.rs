//! The broker as a program of its own: banner, signals, exit. Everything else is the library's.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::time::Duration;

use tidewire_bridge::group_series::FLEETING;
use tidewire_store::inspect::Progress;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::banner::{self, BannerFacts};
use crate::broker::Broker;
use crate::config::{Config, Sources};
use crate::error::{StartError, StopError};
use crate::metrics::exposition::Exposition;
use crate::notify::{self, Notify};
use crate::open_files;
use crate::privileges::{self, Runner};
use crate::recovering::{self, Shown};
use crate::reserved::Reserved;

/// Why the program ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Stop(#[from] StopError),
    #[error(
        "told to stop a second time: ended at once. What was acknowledged is on disk, and what \
         clients did not take waits for them"
    )]
    Hurried,
    #[error(
        "not stopped within {} ms (system.stop_timeout_ms): ended as it was. What was \
         acknowledged is on disk",
        .0.as_millis()
    )]
    Slow(Duration),
}

/// Draws how far something is.
pub(crate) type Bar = Box<dyn FnMut(Progress) + Send>;

/// Runs the broker until it is told to stop (SIGTERM, SIGINT). SIGHUP has files read anew.
///
/// Started by root, it becomes whom the configuration names, while this is the only thread; what
/// is opened after that (data, certificates, files of users) can be opened again later.
/// `bar` draws how far the log is read again.
pub(crate) fn run(config: &Config, sources: Sources, bar: Bar) -> Result<(), ServeError> {
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
        let builder = Broker::builder().config(config.clone()).exposition(exposition());
        let builder = builder.shown(shown(bar)).sources(sources);
        let broker = tokio::select! {
            started = builder.reserved(reserved).start() => started?,
            // Nobody was served yet, and a log that is read again is read again.
            () = stop.wait() => {
                tracing::info!("Stopped before the start was over.");
                return Ok(());
            }
        };
        greet(&broker, config);
        notify.say(notify::READY);
        loop {
            tokio::select! {
                () = stop.wait() => break,
                _ = hangup.recv() => tokio::select! {
                    () = reload(&broker, &notify) => (),
                    // It is done to its end meanwhile.
                    () = stop.wait() => break,
                },
                // Without an orderly end: nothing that lives on could be trusted.
                () = broker.failed() => return Err(StopError::Panicked.into()),
            }
        }
        notify.say(notify::STOPPING);
        end(broker, &mut stop, config.system.stop_timeout).await
    })
}

/// Tells systemd, too, and takes that back when it is over.
struct Status {
    notify: Notify,
    is_told: bool,
}

impl Drop for Status {
    fn drop(&mut self) {
        if self.is_told {
            self.notify.say("STATUS=");
        }
    }
}

fn shown(mut bar: Bar) -> Shown {
    let mut status = Status { notify: Notify::from_environment(), is_told: false };
    Box::new(move |progress, is_due| {
        if progress.done > 0 {
            bar(progress);
        }
        if is_due {
            status.notify.say(&recovering::status(progress));
            status.is_told = true;
        }
    })
}

/// Takes the broker down in order; at once when that is asked for again, or takes too long.
async fn end(broker: Broker, stop: &mut StopSignals, time: Duration) -> Result<(), ServeError> {
    tokio::select! {
        ended = broker.shutdown() => Ok(ended?),
        () = stop.wait() => Err(ServeError::Hurried),
        () = tokio::time::sleep(time) => Err(ServeError::Slow(time)),
    }
}

/// Runs the broker for as long as something else takes, which is told where it speaks MQTT.
pub(crate) fn run_for<T>(
    config: &Config,
    work: impl AsyncFnOnce(Option<SocketAddr>) -> T,
) -> Result<T, ServeError> {
    open_files::raise();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| StartError::System("a runtime", error))?;
    runtime.block_on(async {
        let builder = Broker::builder().config(config.clone()).exposition(exposition());
        let broker = builder.start().await?;
        greet(&broker, config);
        let done = tokio::select! {
            done = work(broker.mqtt_address()) => done,
            () = broker.failed() => return Err(StopError::Panicked.into()),
        };
        broker.shutdown().await?;
        Ok(done)
    })
}

/// Where this program records its metrics: parts of the broker make some while they run.
fn exposition() -> Exposition {
    let exposition = Exposition::with_fleeting(&FLEETING);
    if metrics::set_global_recorder(exposition.clone()).is_err() {
        tracing::debug!("Metrics are recorded elsewhere already.");
    }
    exposition
}

/// Everything that was read is read anew; of what is wrong nothing is taken.
async fn reload(broker: &Broker, notify: &Notify) {
    tracing::info!("SIGHUP: the configuration, certificates and files of users are read anew.");
    notify.reloading();
    // What is wrong was told.
    let _ = broker.reload_all().await;
    notify.say(notify::READY);
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
        program: std::env::args().next().unwrap_or_else(|| "tidewire".into()),
        version: env!("CARGO_PKG_VERSION"),
        config: config.file.clone(),
        data: config.data.dir.clone(),
        data_is_new: broker.data_is_new(),
        durability: config.durability_weakest(),
        listeners: broker.listeners(),
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
