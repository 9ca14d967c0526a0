//! A broker under attack and an honest client beside it: how long that one waits, and what the
//! broker holds meanwhile. Knows no attack.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::broker::Broker;
use crate::over::Over;
use crate::program::PATIENCE;
use crate::wire::{Publish, Version, Wire, connect, kind};

/// A million bytes, near enough.
pub const MIB: u64 = 1024 * 1024;
/// Pings before the attack.
const CALM: usize = 200;
/// Pings in the rest before each piece of an attack: as long as a piece takes, near enough, for the
/// median of a short rest is as often twice as long as not.
const REST: usize = 700;
/// Between two pings, so that the honest one is no load itself.
const PAUSE: Duration = Duration::from_millis(2);
/// What half of the honest client's turns may take at most, where waits are judged.
const WAIT_MAX: Duration = Duration::from_millis(50);
/// So many pings, and a message comes back to who sent it.
const PINGS_PER_MESSAGE: u64 = 16;

/// Whether the numbers are those that are promised, and the waits are judged: on a machine with
/// nothing else to do, by `cargo xtask siege`.
#[must_use]
pub fn is_full() -> bool {
    std::env::var_os("TIDEWIRE_SIEGE").is_some_and(|siege| siege == "full")
}

/// One of two numbers, by `is_full`.
#[must_use]
pub fn sized(full: usize, small: usize) -> usize {
    if is_full() { full } else { small }
}

/// Attacks a broker while an honest client works on it, and answers what the attack did. The
/// honest one is served throughout, a newcomer is served at the end, with all that the attack
/// holds still in place, and the broker held at no moment more than so many bytes more.
///
/// # Panics
/// When one of these is not so.
pub fn bear<T>(broker: &Broker, bytes_max: u64, attack: impl FnOnce(&Broker) -> T) -> T {
    let mut honest = Honest::new(broker.address(), "honest");
    let calm = honest.calm(CALM);
    let before = broker.memory_bytes();
    broker.forget_memory_peak();
    let over = Over::default();
    let (outcome, during) = thread::scope(|scope| {
        let waits = scope.spawn(|| honest.waits_until(&over));
        let at_last = over.at_last();
        let outcome = attack(broker);
        Honest::newcomer(broker.address()).message();
        drop(at_last);
        (outcome, waits.join().expect("the honest client is served"))
    });
    let more = broker.memory_peak_bytes().saturating_sub(before);
    let thread = thread::current();
    let name = thread.name().unwrap_or("attack");
    println!("{name}: a ping takes {calm}; meanwhile {during}; {} KiB more at most", more / 1024);
    assert!(more <= bytes_max, "{} MiB more, {} allowed", more / MIB, bytes_max / MIB);
    if is_full() {
        assert!(during.part(50) <= WAIT_MAX, "{during}, {WAIT_MAX:?} allowed");
    }
    outcome
}

/// Attacks a broker piece by piece, with a rest before each, and tells how many times as long as in
/// the rests an honest client waits: in half of the pieces no longer than that. What else the
/// machine does falls on both.
///
/// # Panics
/// When the honest client is not served.
pub fn slowdown(broker: &Broker, pieces: usize, attack: impl Fn(usize) + Sync) -> f64 {
    let mut honest = Honest::new(broker.address(), "steady");
    let mut ratios: Vec<f64> = (0..pieces)
        .map(|piece| {
            let calm = honest.calm(sized(REST, CALM)).part(50);
            let over = Over::default();
            let during = thread::scope(|scope| {
                let waits = scope.spawn(|| honest.waits_until(&over));
                let at_last = over.at_last();
                attack(piece);
                drop(at_last);
                waits.join().expect("the honest client is served")
            });
            println!("piece {piece}: a ping takes {calm:?}, under attack {during}");
            during.part(50).as_secs_f64() / calm.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[pieces / 2]
}

/// A client that does nothing wrong.
struct Honest {
    wire: Wire,
    topic: String,
    sent: u64,
}

impl Honest {
    fn new(broker: SocketAddr, name: &str) -> Self {
        Self::of(Wire::clean(broker, Version::V5, name), name)
    }

    /// Places that the attack gave up may not be free at once.
    fn newcomer(broker: SocketAddr) -> Self {
        let began = Instant::now();
        let hello = connect(Version::V5, "newcomer", true, 600, None);
        loop {
            let mut wire = Wire::open(broker, Version::V5);
            wire.send_if_open(&hello);
            if matches!(wire.try_packet(), Ok(Some(connack)) if connack.reason() == 0) {
                return Self::of(wire, "newcomer");
            }
            assert!(began.elapsed() < PATIENCE, "no newcomer gets in");
        }
    }

    fn of(mut wire: Wire, name: &str) -> Self {
        let topic = format!("honest/{name}");
        wire.subscribe(1, &[(&topic, 1)]);
        Self { wire, topic, sent: 0 }
    }

    /// The time of a turn of the broker's loop.
    fn ping(&mut self) -> Duration {
        let since = Instant::now();
        self.wire.send(&[0xc0, 0]);
        let _ = self.wire.packet_of(kind::PINGRESP);
        since.elapsed()
    }

    /// Through the log and back.
    fn message(&mut self) {
        self.sent += 1;
        let payload = self.sent.to_string();
        self.wire.publish_acknowledged(&Publish::new(&self.topic, &payload, 1, 1));
        let _ = self.wire.receive(&payload);
    }

    /// At the same pace as under attack: a processor that never rests answers sooner.
    fn calm(&mut self, pings: usize) -> Waits {
        let never = Over::default();
        let ping = |_| {
            let _ = never.within(PAUSE);
            self.ping()
        };
        Waits::of((0..pings).map(ping).collect())
    }

    fn waits_until(&mut self, over: &Over) -> Waits {
        let mut waits = Vec::new();
        let mut pings = 0;
        loop {
            waits.push(self.ping());
            if pings % PINGS_PER_MESSAGE == 0 {
                self.message();
            }
            pings += 1;
            if over.within(PAUSE) {
                return Waits::of(waits);
            }
        }
    }
}

/// Times, the shortest first.
struct Waits(Vec<Duration>);

impl Waits {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// So many of a hundred are no longer than this.
    fn part(&self, percent: usize) -> Duration {
        self.0.get(self.0.len() * percent / 100).or(self.0.last()).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Waits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} (p50), {:?} (p99) of {}", self.part(50), self.part(99), self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Waits;
    use std::time::Duration;

    #[test]
    fn parts_of_times_are_found_in_any_number_of_them() {
        let seconds =
            |all: &[u64]| Waits::of(all.iter().copied().map(Duration::from_secs).collect());
        assert_eq!(seconds(&[]).part(50), Duration::ZERO);
        assert_eq!(seconds(&[3]).part(99), Duration::from_secs(3));
        let hundred: Vec<u64> = (0..100).rev().collect();
        assert_eq!(seconds(&hundred).part(50), Duration::from_secs(50));
        assert_eq!(seconds(&hundred).part(100), Duration::from_secs(99));
    }
}
