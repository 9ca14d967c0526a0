//! Where the messages come from, one after the other: a payload again and again, or lines.
//! Sends nothing.

use std::io::{self, BufRead as _};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::template::{Filling, fill};
use crate::wall_clock::wall_clock_ms;

/// Lines that wait.
const LINES_MAX: usize = 256;

/// A message, ready to be sent.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) topic: String,
    pub(crate) payload: Vec<u8>,
}

/// What each message is made of.
#[derive(Debug)]
pub(crate) enum Payload {
    /// Text with places to fill in.
    Template(String),
    /// The same bytes each time.
    Bytes(Vec<u8>),
    /// A line of standard input each.
    Lines(mpsc::Receiver<io::Result<Vec<u8>>>),
}

/// All messages.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) topic: String,
    pub(crate) payload: Payload,
    /// How many; for ever without.
    pub(crate) count: Option<u64>,
    pub(crate) interval: Duration,
    pub(crate) given: u64,
    pub(crate) due: Instant,
}

impl Source {
    /// The next one, when it is due. Cancelled, none is lost.
    pub(crate) async fn next(&mut self) -> Result<Option<Ready>, String> {
        if self.count == Some(self.given) {
            return Ok(None);
        }
        if !self.interval.is_zero() {
            sleep_until(self.due).await;
        }
        let line = match &mut self.payload {
            Payload::Lines(lines) => match lines.recv().await {
                Some(line) => Some(line.map_err(|error| format!("standard input: {error}"))?),
                None => return Ok(None),
            },
            _ => None,
        };
        self.given += 1;
        // One that is late does not hurry the others.
        self.due = (self.due + self.interval).max(Instant::now());
        let filling = Filling { seq: self.given, now_ms: wall_clock_ms(), rand: chance()? };
        let payload = match (&self.payload, line) {
            (_, Some(line)) => line,
            (Payload::Template(text), None) => fill(text, filling).into_bytes(),
            (Payload::Bytes(bytes), None) => bytes.clone(),
            (Payload::Lines(_), None) => Vec::new(),
        };
        Ok(Some(Ready { topic: fill(&self.topic, filling), payload }))
    }
}

/// Lines of standard input, read on a thread of their own: nothing else can wait for them.
pub(crate) fn lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (tell, lines) = mpsc::channel(LINES_MAX);
    thread::spawn(move || {
        for line in io::stdin().lock().split(b'\n') {
            let line = line.map(|mut line| {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                line
            });
            let is_over = line.is_err();
            if tell.blocking_send(line).is_err() || is_over {
                return;
            }
        }
    });
    lines
}

/// From 0 to 100.
fn chance() -> Result<f64, String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    Ok(f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX) * 100.0)
}
