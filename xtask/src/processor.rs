//! Processor time, as the kernel counts it, and which processor a thread runs on. Never starts a
//! program.

use std::fs;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

/// What serves runs here.
pub(crate) const SERVER: usize = 0;
/// What puts load on it, or reads, runs here.
pub(crate) const CLIENT: usize = 1;

/// The unit of the kernel's figures: it is 100 a second for every program that asks.
const TICK: Duration = Duration::from_millis(10);

/// Keeps the calling thread, and those it starts, on one processor.
pub(crate) fn stay_on(processor: usize) -> Result<(), String> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).map_err(|error| format!("processor {processor}: {error}"))
}

/// All threads of a program, user and system, since it began.
pub(crate) fn of_program(id: u32) -> Result<Duration, String> {
    read(&format!("/proc/{id}/stat"))
}

/// The calling thread's.
pub(crate) fn of_this_thread() -> Result<Duration, String> {
    read("/proc/thread-self/stat")
}

fn read(file: &str) -> Result<Duration, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    parse(&text).ok_or_else(|| format!("{file}: not what it should be"))
}

/// The name in parentheses may hold anything; the two figures are the 12th and 13th behind it.
fn parse(stat: &str) -> Option<Duration> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

#[cfg(test)]
mod tests {
    use super::{of_this_thread, parse};
    use std::time::Duration;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let stat = "7 (a) b c) S 1 7 7 0 -1 4194304 9 9 9 9 150 50 3 4 20 0 1 0 99";
        assert_eq!(parse(stat), Some(Duration::from_secs(2)));
        assert_eq!(parse("7 (a) S 1 2"), None);
        assert!(of_this_thread().is_ok());
    }
}
