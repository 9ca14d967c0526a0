//! A line that moves while something takes long: on standard error, on a terminal, and gone
//! after. Says nothing when the work is quick.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use tidewire_store::inspect::Progress;

/// Quicker work shows no line.
const QUIET: Duration = Duration::from_millis(500);
const EVERY: Duration = Duration::from_millis(100);
const CELLS: u64 = 30;

/// The line, if there is a terminal to draw it on.
pub(crate) struct Line {
    what: &'static str,
    is_terminal: bool,
    started: Instant,
    drawn: Option<Instant>,
    /// How an amount is said.
    amount: fn(u64) -> String,
}

impl Line {
    pub(crate) fn new(what: &'static str, amount: fn(u64) -> String) -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { what, is_terminal, started: Instant::now(), drawn: None, amount }
    }

    /// So far.
    pub(crate) fn show(&mut self, progress: Progress) {
        if !self.is_terminal {
            return;
        }
        let now = Instant::now();
        let since = now.duration_since(self.drawn.unwrap_or(self.started));
        if since < self.drawn.map_or(QUIET, |_| EVERY) {
            return;
        }
        self.drawn = Some(now);
        let text = line(self.what, progress, now.duration_since(self.started), self.amount);
        let mut terminal = io::stderr();
        // A terminal that takes no line is no reason to stop working.
        let _ = write!(terminal, "\r\u{1b}[2K{text}").and_then(|()| terminal.flush());
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            wipe();
        }
    }
}

/// Takes away a line that may stand there still.
pub(crate) fn wipe() {
    if io::stderr().is_terminal() {
        let _ = write!(io::stderr(), "\r\u{1b}[2K");
    }
}

fn line(what: &str, progress: Progress, time: Duration, amount: fn(u64) -> String) -> String {
    let Progress { done, total } = progress;
    let total = total.max(done).max(1);
    let filled = share(done, CELLS, total);
    let bar: String = (0..CELLS).map(|cell| if cell < filled { '█' } else { '░' }).collect();
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1);
    let rate = share(done, 1000, millis);
    let left = (total - done) / rate.max(1);
    let percent = share(done, 100, total);
    format!(
        "{what} {bar} {percent:>3} %  {} of {}, {}/s, {left} s left",
        amount(done),
        amount(total),
        amount(rate)
    )
}

/// `part * of / whole`, without overflow.
fn share(part: u64, of: u64, whole: u64) -> u64 {
    let exact = u128::from(part) * u128::from(of) / u128::from(whole.max(1));
    u64::try_from(exact).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::{Duration, Progress, line};

    #[test]
    fn the_line_tells_how_far_how_fast_and_how_long() {
        let progress = Progress { done: 250, total: 1000 };
        let text = line("verify", progress, Duration::from_secs(5), |n| n.to_string());
        assert!(text.starts_with("verify ███████░"), "{text}");
        assert!(text.ends_with(" 25 %  250 of 1000, 50/s, 15 s left"), "{text}");
    }

    #[test]
    fn the_line_survives_any_numbers() {
        for progress in [Progress { done: u64::MAX, total: 0 }, Progress { done: 0, total: 0 }] {
            line("verify", progress, Duration::ZERO, |n| n.to_string());
        }
    }
}
