//! The workload of a Kafka port: batches written to a topic, then read back.

use std::time::{Duration, Instant};

use tidewire_bridge::{Target, Trial};
use tidewire_proto::record::{Batch, BatchBuilder};

use super::ledger::Ledger;
use super::meter::Meter;
use super::observe::Observed;
use super::options::{Options, Place};
use super::pulse::Pulse;
use super::report::Report;
use super::stamp::{STAMP_BYTES, Stamp};

/// Batches that wait for their acknowledgement, as Kafka's own producer has them.
const UNACKNOWLEDGED_MAX: usize = 5;
/// How long a connection or an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 128 << 20;
/// Nothing arrived for so long: nothing will.
const SILENCE: Duration = Duration::from_secs(5);

/// What is written and read.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) messages: u64,
    /// Of a batch.
    pub(crate) records: u32,
}

/// Each partition has a publisher and its reader.
pub(crate) async fn run(options: &Options, topic: &Topic, run: u32) -> Result<Report, String> {
    let broker = options.pid.map(Observed::new).transpose()?;
    let mut pulse = Pulse::new(options.shows_progress, broker.clone(), None);
    let mut trial = Trial::open(target(&options.to)?, &topic.name).await?;
    let mut from = trial.ends().await?;
    let mut writer = Writer::new(options, topic, run, trial.partitions());
    let meter = Meter::start(broker.as_ref());
    pulse.begin("written", 0);
    let acknowledged = writer.write_all(&mut trial, &mut pulse).await?;
    pulse.end();
    let written = meter.stop("written", acknowledged);

    let mut ledger = Ledger::new(trial.partitions(), 1, false);
    let meter = Meter::start(broker.as_ref());
    pulse.begin("read", 0);
    let mut since = Instant::now();
    while ledger.distinct() < acknowledged && since.elapsed() < SILENCE {
        let before = ledger.total;
        trial.read(&mut from, |batch| note(&mut ledger, batch, run)).await?;
        if ledger.total > before {
            since = Instant::now();
        }
        pulse.beat(ledger.distinct(), || None);
    }
    pulse.end();
    let read = meter.stop("read", ledger.distinct());
    Ok(Report {
        phases: vec![written, read],
        sent: acknowledged,
        delivered: ledger.distinct(),
        lost: acknowledged.saturating_sub(ledger.distinct()),
        repeated: ledger.repeated,
        reordered: ledger.reordered,
        foreign: ledger.foreign,
        broker_resident_bytes: broker.as_ref().map(Observed::resident_bytes),
        samples: pulse.into_samples(),
        ..Report::default()
    })
}

fn target(to: &Place) -> Result<Target, String> {
    let address = to.address.rsplit_once(':');
    let place = address.and_then(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some((host.to_owned(), port.parse().ok()?))
    });
    let place = place.ok_or_else(|| format!("{}: host:port is wanted", to.address))?;
    Ok(Target {
        addresses: vec![place],
        client_id: "tidewire-bench".to_owned(),
        tls: to.tls.as_ref().map(|tls| tls.files.clone()),
        sign_in: None,
        connect: PATIENCE,
        answer: PATIENCE,
        answer_bytes_max: ANSWER_BYTES_MAX,
    })
}

fn note(ledger: &mut Ledger, batch: &Batch, run: u32) {
    for record in batch.records() {
        match record.value.and_then(Stamp::read).filter(|stamp| stamp.run == run) {
            Some(stamp) => {
                let publisher = usize::try_from(stamp.publisher).unwrap_or(usize::MAX);
                ledger.note(0, publisher, stamp.number);
            }
            // Whoever else writes to this topic.
            None => ledger.foreign += 1,
        }
    }
}

/// Makes batches, each with stamps of its partition.
struct Writer {
    keys: Vec<String>,
    /// The next number of each partition.
    numbers: Vec<u64>,
    payload: Vec<u8>,
    run: u32,
    records: u32,
    left: u64,
    builder: BatchBuilder,
    started: Instant,
}

impl Writer {
    fn new(options: &Options, topic: &Topic, run: u32, partitions: usize) -> Self {
        let keys = (0..partitions).map(|number| format!("{}/{number}", options.prefix));
        Self {
            keys: keys.collect(),
            numbers: vec![0; partitions],
            payload: vec![b'x'; options.payload_bytes.max(STAMP_BYTES)],
            run,
            records: topic.records,
            left: topic.messages,
            builder: BatchBuilder::new(),
            started: Instant::now(),
        }
    }

    /// How many were acknowledged.
    async fn write_all(&mut self, trial: &mut Trial, pulse: &mut Pulse) -> Result<u64, String> {
        let mut acknowledged = 0;
        for partition in (0..trial.partitions()).cycle() {
            if self.left == 0 {
                break;
            }
            while trial.unacknowledged() >= UNACKNOWLEDGED_MAX {
                acknowledged += trial.acknowledged().await?;
            }
            trial.write(partition, &self.batch(partition)).await?;
            pulse.beat(acknowledged, || None);
        }
        while trial.unacknowledged() > 0 {
            acknowledged += trial.acknowledged().await?;
        }
        Ok(acknowledged)
    }

    fn batch(&mut self, partition: usize) -> Batch {
        let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now_ms = now_ms.map_or(0, |now| i64::try_from(now.as_millis()).unwrap_or(0));
        let publisher = u32::try_from(partition).unwrap_or(u32::MAX);
        for _ in 0..self.left.min(self.records.into()) {
            let due_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let number = self.numbers[partition];
            let stamp = Stamp { run: self.run, publisher, number, due_ns };
            self.payload[..STAMP_BYTES].copy_from_slice(&stamp.bytes());
            let key = self.keys[partition].as_bytes();
            self.builder.push(now_ms, Some(key), Some(&self.payload), &[]);
            self.numbers[partition] += 1;
            self.left -= 1;
        }
        self.builder.finish()
    }
}
