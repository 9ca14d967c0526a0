//! The workload of messages that flow: as fast as they go, or at a fixed rate.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::board::{Board, Limits};
use super::crew::{Crew, Publishing};
use super::ledger::Ledger;
use super::link::nanoseconds_since;
use super::meter::Meter;
use super::observe::Observed;
use super::options::{Layout, Options, Streams};
use super::publisher::Topic;
use super::pulse::Pulse;
use super::report::{Latency, Report, percentiles};

/// Timers are no finer; what is due earlier is awaited awake.
const TIMER: Duration = Duration::from_millis(2);

/// Runs it.
pub(crate) async fn run(options: &Options, streams: &Streams, run: u32) -> Result<Report, String> {
    let broker = options.pid.map(Observed::new).transpose()?;
    let is_shared = streams.layout == Layout::Shared;
    let ledger = Ledger::new(streams.publishers, streams.subscribers, is_shared);
    let board = Board::new(run, Instant::now(), ledger, streams.copies());
    let pulse = Pulse::new(options.shows_progress, broker.clone(), Some(streams.time));
    let mut crew = Crew::new(options, board, pulse);
    open(&mut crew, streams).await?;
    let pacing = streams.rate.map(|rate| tokio::task::spawn_local(pace(&crew, rate)));
    crew.start_publishers();
    crew.work_for(streams.warm_up).await?;
    let meter = Meter::start(broker.as_ref());
    let before = crew.board.ledger.borrow().total;
    crew.board.measures.set(true);
    crew.measure_for(streams.time).await?;
    crew.board.measures.set(false);
    let delivered = crew.board.ledger.borrow().total - before;
    let phase = meter.stop("delivered", delivered);
    crew.board.publishes.set(false);
    if let Some(pacing) = pacing {
        pacing.await.map_err(|error| error.to_string())??;
    }
    let copies = streams.copies();
    crew.work_until(Crew::delivered, |crew| {
        crew.delivered() >= crew.sent() * copies && crew.in_flight() == 0
    })
    .await?;
    let mut report = crew.found(copies);
    report.phases.push(phase);
    let latency = crew.board.all_latency();
    report.latency = Some(Latency::of(&latency));
    report.percentiles = percentiles(&latency);
    report.samples = crew.take_samples();
    report.broker_resident_bytes = broker.as_ref().map(Observed::resident_bytes);
    Ok(report)
}

async fn open(crew: &mut Crew<'_>, streams: &Streams) -> Result<(), String> {
    let options = crew.options;
    let prefix = &options.prefix;
    let limits = Limits {
        inflight: options.inflight.into(),
        undelivered: options.undelivered,
        messages: u64::MAX,
        is_paced: streams.rate.is_some(),
    };
    for index in 0..streams.publishers {
        crew.add_publisher(Topic::Same(&format!("{prefix}/{index}")), false, limits).await?;
    }
    for index in 0..streams.subscribers {
        let filter = match streams.layout {
            Layout::All => format!("{prefix}/+"),
            Layout::Pairs => format!("{prefix}/{index}"),
            Layout::Shared => format!("$share/{prefix}/{prefix}/+"),
        };
        let link = crew.connect(&format!("s{index}"), false).await?;
        link.subscribe(&filter, options.qos).await?;
        crew.add_subscriber(index, link);
    }
    Ok(())
}

/// Sends each message when it is due, by one publisher after the other.
fn pace(crew: &Crew<'_>, rate: u32) -> impl Future<Output = Result<(), String>> + 'static {
    let (publishers, board) = (crew.publishers.clone(), Rc::clone(&crew.board));
    async move {
        let first = board.epoch.elapsed();
        for (turn, Publishing { link, sender }) in (0_u64..).zip(publishers.iter().cycle()) {
            let due = first + Duration::from_nanos(turn * 1_000_000_000 / u64::from(rate));
            await_time(board.epoch, due).await;
            if !board.publishes.get() {
                return Ok(());
            }
            let due_ns = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
            link.send(|out| sender.borrow_mut().publisher.send(due_ns, out))?;
        }
        Ok(())
    }
}

async fn await_time(epoch: Instant, due: Duration) {
    let due_ns = u64::try_from(due.as_nanos()).unwrap_or(u64::MAX);
    loop {
        let Some(left) = due_ns.checked_sub(nanoseconds_since(epoch)).filter(|left| *left > 0)
        else {
            return;
        };
        match Duration::from_nanos(left).checked_sub(TIMER) {
            Some(long) => tokio::time::sleep(long).await,
            None => tokio::task::yield_now().await,
        }
    }
}
