//! Random bytes against the codec and against a whole broker, guided by what they lead to: an
//! input whose outcome is new is kept and changed further. The loop; knows no target.

mod corpus;
mod memory;
mod mutate;
mod outcome;
mod seeds;

pub mod codec;
pub mod kafka;
pub mod session;

use std::collections::HashSet;
use std::env;
use std::time::{Duration, Instant};

pub use corpus::Corpus;
pub use memory::{forget_peak, peak_bytes, resident_bytes};
pub use outcome::Outcome;

use crate::random::Random;
use mutate::Mutator;

/// How long, from which seed, and with what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When to stop.
    pub time: Duration,
    /// The same seed makes the same first inputs.
    pub seed: u64,
}

impl Plan {
    /// As `cargo xtask fuzz` says it in `TIDEWIRE_FUZZ_SECONDS` and `TIDEWIRE_FUZZ_SEED`; else a
    /// short run of the first seed.
    #[must_use]
    pub fn of_environment(short: Duration) -> Self {
        let number = |name| env::var(name).ok().and_then(|text| text.parse().ok());
        Self {
            time: number("TIDEWIRE_FUZZ_SECONDS").map_or(short, Duration::from_secs),
            seed: number("TIDEWIRE_FUZZ_SEED").unwrap_or(1),
        }
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Inputs tried.
    pub inputs: u64,
    /// Different outcomes seen.
    pub outcomes: usize,
    /// Inputs in the corpus at the end.
    pub corpus: usize,
}

/// Tries inputs until the time is over. The target panics when something is wrong, and gets the
/// inputs one after the other.
///
/// # Panics
/// When the target does.
pub fn run(plan: Plan, corpus: &mut Corpus, mut target: impl FnMut(&[u8]) -> Outcome) -> Report {
    let mut mutator = Mutator::new(Random::new(plan.seed));
    let mut seen = HashSet::new();
    let mut report = Report::default();
    for input in corpus.begin(seeds::all()) {
        let outcome = target(&input);
        report.inputs += 1;
        if is_new(&mut seen, outcome) {
            corpus.keep(input);
        }
    }
    let end = Instant::now() + plan.time;
    while Instant::now() < end {
        let input = mutator.next(corpus.inputs());
        let outcome = target(&input);
        report.inputs += 1;
        if is_new(&mut seen, outcome) {
            corpus.keep(input);
        }
    }
    Report { outcomes: seen.len(), corpus: corpus.inputs().len(), ..report }
}

fn is_new(seen: &mut HashSet<u64>, outcome: Outcome) -> bool {
    // All of them are to be seen, so nothing that stops at the first.
    let before = seen.len();
    seen.extend(outcome);
    seen.len() > before
}

#[cfg(test)]
mod tests {
    use super::{Corpus, Plan, run};
    use std::time::Duration;

    /// A fault behind four right bytes: blind luck would need years.
    #[test]
    fn what_is_new_leads_to_what_is_hidden() {
        let mut corpus = Corpus::empty();
        let mut is_found = false;
        let target = |input: &[u8]| {
            let right = input.iter().zip(b"\x66\xe1\x07\xb3").take_while(|(a, b)| a == b).count();
            is_found |= right == 4;
            vec![right as u64]
        };
        let plan = Plan { time: Duration::from_secs(1), seed: 1 };
        let report = run(plan, &mut corpus, target);
        assert!(is_found, "{report:?}");
    }
}
