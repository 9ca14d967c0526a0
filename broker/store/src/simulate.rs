//! Histories of a store on a lying disk, each following from its seed alone, and a checker that
//! knows what must be left of them. Runs on the caller's thread; never touches a real disk.

mod every_byte;
mod life;
mod model;
mod observe;
mod plan;
mod tally;
mod traffic;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub use every_byte::{Cuts, Share, Steps, every_byte};
pub use tally::Tally;

use crate::disk::sim::{SimDisk, SimRandom};
use crate::mutation::Mutation;
use life::History;
use plan::Plan;

/// A history that ended in something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed that repeats it.
    pub seed: u64,
    /// What was found.
    pub what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

/// Live through the history of that seed, several lives of one data folder with what befalls each,
/// and compare what is there with what must be.
///
/// # Errors
/// When something acknowledged is gone, something is there by half, out of order or from nowhere,
/// or the store does not open without a reason.
pub fn history(seed: u64, mutation: Option<Mutation>) -> Result<Tally, Failure> {
    let live = || {
        let mut random = SimRandom(seed);
        let plan = Plan::new(&mut random);
        let disk = SimDisk::new(random.next());
        History::new(plan, disk, random).live()
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| Mutation::during(mutation, live)));
    match outcome {
        Ok(Ok(tally)) => Ok(tally),
        Ok(Err(what)) => Err(Failure { seed, what }),
        Err(panic) => Err(Failure { seed, what: format!("a panic: {}", said(&*panic)) }),
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
