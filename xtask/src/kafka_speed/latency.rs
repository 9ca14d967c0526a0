//! How long a message takes from when an MQTT client should publish it (QoS 1) until a reader has
//! it, at a fixed rate.

use std::io::Read;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::fields::{batches, fetched};
use super::figures::Rounds;
use super::load;
use super::reading::{TOPIC, pinned};
use super::stamps::Stamps;
use super::wire::Client;
use crate::output::{announce, note};
use crate::processor;
use crate::servers::Server;

const PER_SECOND: u32 = 5_000;
const RUN: Duration = Duration::from_secs(10);
const MESSAGES: usize = 50_000;
/// Clients begin to read before anything is published.
const SETTLE: Duration = Duration::from_secs(2);
const WAIT: Duration = Duration::from_millis(500);

type Latencies = Vec<Duration>;
type Receive = fn(&Server, &AtomicBool) -> Result<Latencies, String>;

/// The last one is no Kafka client: what the broker itself needs, syncing included.
const READERS: [(&str, Receive); 3] =
    [("kcat (librdkafka)", kcat), ("lean Kafka client", lean), ("MQTT subscriber, QoS 0", mqtt)];

/// Prints a line for every reader.
pub(super) fn measure(server: &Server, rounds: usize) -> Result<(), String> {
    announce(&format!("latency from the due time, {PER_SECOND} messages a second at QoS 1"));
    // Publishers and readers, whoever wakes them.
    processor::stay_on(processor::CLIENT)?;
    let mut found: Vec<Vec<Rounds>> = READERS.iter().map(|_| Vec::new()).collect();
    for round in 0..=rounds {
        for ((name, receive), found) in READERS.iter().zip(&mut found) {
            let latencies = one(server, *receive).map_err(|error| format!("{name}: {error}"))?;
            if round > 0 {
                let ms = latencies.iter().map(|latency| latency.as_secs_f64() * 1e3);
                found.push(Rounds::of(ms));
            }
        }
    }
    note(&format!("{:<34} {:>26} {:>26}", "ms, median of rounds", "p50", "p99"));
    for ((name, _), rounds) in READERS.iter().zip(&found) {
        let [p50, p99] =
            [0.5, 0.99].map(|part| Rounds::of(rounds.iter().map(|round| round.at(part))));
        note(&format!("{name:<34} {p50} {p99}"));
    }
    Ok(())
}

fn one(server: &Server, receive: Receive) -> Result<Latencies, String> {
    let is_over = AtomicBool::new(false);
    let latencies = thread::scope(|scope| {
        let reader = scope.spawn(|| receive(server, &is_over));
        thread::sleep(SETTLE);
        let published = load::at_rate(server.mqtt, PER_SECOND, RUN);
        if published.is_err() {
            is_over.store(true, Ordering::SeqCst);
        }
        let latencies = reader.join().map_err(|_| "the reader broke off".to_owned())?;
        published.and(latencies)
    })?;
    match latencies.len() == MESSAGES {
        true => Ok(latencies),
        false => Err(format!("{} of {MESSAGES} messages", latencies.len())),
    }
}

/// Notes how old every stamp in a piece is now.
fn note_age(stamps: &mut Stamps, piece: &[u8], latencies: &mut Latencies) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    stamps.read(piece, &mut |due| latencies.push(now.saturating_sub(due)));
}

fn drain(from: &mut impl Read, is_over: &AtomicBool) -> Result<Latencies, String> {
    let (mut latencies, mut stamps) = (Vec::new(), Stamps::default());
    let mut piece = vec![0; 1 << 16];
    while latencies.len() < MESSAGES && !is_over.load(Ordering::SeqCst) {
        let read = from.read(&mut piece).map_err(|error| error.to_string())?;
        if read == 0 {
            return Err("it ended".to_owned());
        }
        note_age(&mut stamps, &piece[..read], &mut latencies);
    }
    Ok(latencies)
}

fn mqtt(server: &Server, is_over: &AtomicBool) -> Result<Latencies, String> {
    drain(&mut load::subscribe(server.mqtt)?, is_over)
}

fn kcat(server: &Server, is_over: &AtomicBool) -> Result<Latencies, String> {
    let mut kcat = pinned("kcat");
    kcat.args(["-C", "-q", "-u", "-o", "end", "-t", TOPIC, "-b", &server.kafka.to_string()]);
    let mut kcat = kcat.args(["-f", "%s\n"]).stdout(Stdio::piped()).stdin(Stdio::null()).spawn();
    let kcat = kcat.as_mut().map_err(|error| error.to_string())?;
    let latencies = match &mut kcat.stdout {
        Some(out) => drain(out, is_over),
        None => Err("it says nothing".to_owned()),
    };
    // It would wait for more.
    let _ = kcat.kill();
    let _ = kcat.wait();
    latencies
}

fn lean(server: &Server, is_over: &AtomicBool) -> Result<Latencies, String> {
    let mut client = Client::connect(server.kafka)?;
    let mut positions = client.positions(TOPIC)?;
    positions.iter_mut().for_each(|position| position.next = position.end);
    let mut latencies = Vec::new();
    while latencies.len() < MESSAGES && !is_over.load(Ordering::SeqCst) {
        let answer = client.fetch(TOPIC, &positions, WAIT)?;
        note_age(&mut Stamps::default(), answer, &mut latencies);
        fetched(answer, &mut |partition, records| {
            let here = positions.iter_mut().find(|position| position.partition == partition);
            if let (Some(here), Some(last)) = (here, batches(records).last()) {
                here.next = last.next;
            }
        })?;
    }
    Ok(latencies)
}
