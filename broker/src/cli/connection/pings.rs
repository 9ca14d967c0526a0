//! When a client shows that it is there, and when nobody seems to be there any more. Sends nothing.

use std::time::Duration;

use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

/// A broker that says nothing for so long, not even to a PINGREQ, is gone.
const SILENCE_MAX: Duration = Duration::from_secs(120);

/// The pings of one connection.
#[derive(Debug)]
pub(crate) struct Pings {
    ticks: Interval,
    heard: Instant,
}

impl Pings {
    /// For a connection that is to be heard of once in so long.
    pub(crate) fn new(keep_alive: Duration) -> Self {
        let (now, half) = (Instant::now(), keep_alive / 2);
        let mut ticks = interval_at(now + half, half);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, heard: now }
    }

    /// The broker said something.
    pub(crate) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Waits until a PINGREQ is to be sent. Cancelled, none is lost.
    pub(crate) async fn due(&mut self) -> Result<(), String> {
        self.ticks.tick().await;
        match self.heard.elapsed() > SILENCE_MAX {
            true => Err("the broker answers nothing any more".into()),
            false => Ok(()),
        }
    }
}
