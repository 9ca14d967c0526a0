//! The workloads that are done once: connecting, retained messages, a backlog for who is away.

use std::rc::Rc;
use std::time::Instant;

use tokio::task::JoinSet;

use super::board::{Board, Limits};
use super::crew::Crew;
use super::ledger::Ledger;
use super::link::{Hello, Link};
use super::meter::Meter;
use super::observe::Observed;
use super::options::Options;
use super::publisher::Topic;
use super::pulse::Pulse;
use super::report::{Phase, Report};

/// Connections that are made at the same time.
const AT_ONCE: usize = 64;

/// Messages that are all sent, and then read by one subscriber.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) messages: u64,
    pub(crate) publishers: usize,
    /// They are retained, each under a topic of its own; otherwise they wait for sessions.
    pub(crate) is_retained: bool,
    /// That are away meanwhile.
    pub(crate) sessions: usize,
}

/// Connections that do nothing.
pub(crate) async fn connect(
    options: &Options,
    connections: usize,
    subscribes: bool,
) -> Result<Report, String> {
    let broker = options.pid.map(Observed::new).transpose()?;
    let before = broker.as_ref().map(Observed::resident_bytes);
    let mut pulse = Pulse::new(options.shows_progress, broker.clone(), None);
    let meter = Meter::start(broker.as_ref());
    pulse.begin("connected", 0);
    let links = open_many(options, false, connections, subscribes, &mut pulse).await?;
    pulse.end();
    let phase = meter.stop("connected", links.len() as u64);
    let after = broker.as_ref().map(Observed::resident_bytes);
    let each = before
        .zip(after)
        .map(|(before, after)| after.saturating_sub(before) as f64 / links.len().max(1) as f64);
    Ok(Report {
        phases: vec![phase],
        broker_resident_bytes: after,
        broker_bytes_per_connection: each,
        samples: pulse.into_samples(),
        ..Report::default()
    })
}

/// Messages that wait in the broker, and the subscriber for whom they wait.
pub(crate) async fn keep(options: &Options, kept: &Kept, run: u32) -> Result<Report, String> {
    let broker = options.pid.map(Observed::new).transpose()?;
    let ledger = Ledger::new(kept.publishers, 1, false);
    let pulse = Pulse::new(options.shows_progress, broker.clone(), None);
    let mut crew = Crew::new(options, Board::new(run, Instant::now(), ledger, 0), pulse);
    drop(open_many(options, true, kept.sessions, true, &mut crew.pulse).await?);
    let stored = store(&mut crew, kept, broker.as_ref()).await?;
    let link = crew.connect("0", true).await?;
    let meter = Meter::start(broker.as_ref());
    if kept.is_retained {
        link.subscribe(&format!("{}/#", options.prefix), options.qos).await?;
    }
    crew.add_subscriber(0, link);
    crew.pulse.begin("read", 0);
    crew.work_until(Crew::delivered, |crew| crew.delivered() >= crew.sent()).await?;
    let read = meter.stop("read", crew.delivered());
    crew.pulse.end();
    let mut report = crew.found(1);
    report.samples = crew.take_samples();
    report.phases = vec![stored, read];
    report.broker_resident_bytes = broker.as_ref().map(Observed::resident_bytes);
    Ok(report)
}

async fn store(
    crew: &mut Crew<'_>,
    kept: &Kept,
    broker: Option<&Observed>,
) -> Result<Phase, String> {
    let each = kept.messages.div_ceil(kept.publishers as u64);
    let inflight = crew.options.inflight.into();
    let limits = Limits { inflight, undelivered: u64::MAX, messages: each, is_paced: false };
    for index in 0..kept.publishers {
        let name = format!("{}/{index}", crew.options.prefix);
        let topic = if kept.is_retained { Topic::Numbered(&name) } else { Topic::Same(&name) };
        crew.add_publisher(topic, kept.is_retained, limits).await?;
    }
    let meter = Meter::start(broker);
    crew.pulse.begin("stored", 0);
    crew.start_publishers();
    let all = each * kept.publishers as u64;
    let is_done = |crew: &Crew<'_>| crew.sent() == all && crew.in_flight() == 0;
    let done = crew.work_until(Crew::acknowledged, is_done).await?;
    crew.pulse.end();
    let acknowledged = crew.acknowledged();
    match done {
        true => Ok(meter.stop("stored", acknowledged)),
        false => Err(format!("only {acknowledged} of {all} messages were acknowledged")),
    }
}

/// Opens connections, some at the same time.
async fn open_many(
    options: &Options,
    stays: bool,
    count: usize,
    subscribes: bool,
    pulse: &mut Pulse,
) -> Result<Vec<Rc<Link>>, String> {
    let (mut opening, mut links) = (JoinSet::new(), Vec::with_capacity(count));
    for number in 0..count {
        if opening.len() == AT_ONCE {
            links.push(joined(opening.join_next().await)?);
            pulse.beat(links.len() as u64, || None);
        }
        opening.spawn_local(open(options.clone(), number, stays, subscribes));
    }
    while !opening.is_empty() {
        links.push(joined(opening.join_next().await)?);
    }
    Ok(links)
}

type Joined<T> = Option<Result<Result<T, String>, tokio::task::JoinError>>;

fn joined<T>(outcome: Joined<T>) -> Result<T, String> {
    outcome.ok_or("nothing was opened")?.map_err(|error| error.to_string())?
}

async fn open(
    options: Options,
    number: usize,
    stays: bool,
    subscribes: bool,
) -> Result<Rc<Link>, String> {
    let Options { to, version, prefix, qos, .. } = options;
    let client_id = format!("{prefix}-{number}");
    let link = Link::open(Hello { to: &to, version, client_id: &client_id, stays }).await?;
    if subscribes {
        let filter = if stays { format!("{prefix}/+") } else { format!("{prefix}/{number}") };
        link.subscribe(&filter, qos).await?;
    }
    Ok(link)
}
