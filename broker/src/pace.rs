//! How fast clients may publish and connect: buckets that fill with time. Time is handed in;
//! whoever asks decides what happens to those that are too fast.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::RateConfig;
use crate::metrics::Throttled;

/// Levels are counted in thousandths: what one millisecond adds at one per second.
const WHOLE: i64 = 1000;

/// Fills with time up to its burst, and is emptied by what it is asked for. What is taken may go
/// below zero once, so that something larger than the burst is only late and not impossible.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_s: i64,
    full: i64,
    level: i64,
    at_ms: i64,
}

impl Bucket {
    /// A full one. `None` when there is no limit (0); a burst of 0 is that of one second.
    pub(crate) fn new(per_s: u64, burst: u64, now_ms: i64) -> Option<Self> {
        let burst = if burst == 0 { per_s } else { burst };
        let per_s = i64::try_from(per_s).unwrap_or(i64::MAX);
        let full = i64::try_from(burst).unwrap_or(i64::MAX).saturating_mul(WHOLE);
        (per_s > 0).then_some(Self { per_s, full, level: full, at_ms: now_ms })
    }

    /// Whether it has its whole burst.
    fn is_full(&mut self, now_ms: i64) -> bool {
        self.wait_ms(now_ms) == 0 && self.level == self.full
    }

    /// How long the next must wait; 0 when it need not.
    pub(crate) fn wait_ms(&mut self, now_ms: i64) -> i64 {
        let passed_ms = (now_ms - self.at_ms).max(0);
        self.at_ms = now_ms;
        let filled = self.per_s.saturating_mul(passed_ms);
        self.level = self.level.saturating_add(filled).min(self.full);
        if self.level > 0 { 0 } else { -self.level / self.per_s + 1 }
    }

    /// Takes so many.
    pub(crate) fn take(&mut self, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(WHOLE);
        self.level = self.level.saturating_sub(count);
    }
}

/// Messages and their bytes.
#[derive(Debug)]
pub(crate) struct Allowance {
    messages: Option<Bucket>,
    bytes: Option<Bucket>,
}

impl Allowance {
    /// `None` when nothing is limited.
    pub(crate) fn of(rate: &RateConfig, now_ms: i64) -> Option<Self> {
        let messages = u64::from(rate.messages_per_s_max);
        let messages = Bucket::new(messages, rate.messages_burst_max.into(), now_ms);
        let bytes = Bucket::new(rate.bytes_per_s_max, rate.bytes_burst_max, now_ms);
        (messages.is_some() || bytes.is_some()).then_some(Self { messages, bytes })
    }

    fn wait_ms(&mut self, now_ms: i64) -> i64 {
        let wait_ms = |bucket: &mut Option<Bucket>| {
            bucket.as_mut().map_or(0, |bucket| bucket.wait_ms(now_ms))
        };
        wait_ms(&mut self.messages).max(wait_ms(&mut self.bytes))
    }

    /// Whether a new one would allow no more.
    pub(crate) fn is_full(&mut self, now_ms: i64) -> bool {
        let is_full =
            |bucket: &mut Option<Bucket>| bucket.as_mut().is_none_or(|one| one.is_full(now_ms));
        is_full(&mut self.messages) && is_full(&mut self.bytes)
    }

    fn take(&mut self, bytes: u64) {
        if let Some(bucket) = &mut self.messages {
            bucket.take(1);
        }
        if let Some(bucket) = &mut self.bytes {
            bucket.take(bytes);
        }
    }
}

/// What all clients of a listener may do together.
pub(crate) type Shared = Arc<Mutex<Allowance>>;

/// What one connection may do: by itself, and as one of its listener's.
#[derive(Debug)]
pub(crate) struct Pace {
    own: Option<Allowance>,
    listener: Option<Shared>,
    /// The message at hand is one too many and is to be refused.
    pub(crate) is_over: bool,
}

impl Pace {
    /// `None` when nothing is limited.
    pub(crate) fn of(own: Option<Allowance>, listener: Option<Shared>) -> Option<Box<Self>> {
        let is_limited = own.is_some() || listener.is_some();
        is_limited.then(|| Box::new(Self { own, listener, is_over: false }))
    }

    /// What the connection may do by itself, which others may go on with.
    pub(crate) fn take_own(&mut self) -> Option<Allowance> {
        self.own.take()
    }

    /// Goes on with what an earlier connection left.
    pub(crate) fn go_on(&mut self, own: Allowance) {
        self.own = Some(own);
    }

    /// May a message of this size be taken now? If not: when to ask again, and whose limit it is.
    pub(crate) fn admit(&mut self, bytes: u64, now_ms: i64) -> Result<(), (i64, Throttled)> {
        if let Some(own) = &mut self.own {
            let wait_ms = own.wait_ms(now_ms);
            if wait_ms > 0 {
                return Err((wait_ms, Throttled::Client));
            }
        }
        if let Some(listener) = &self.listener {
            let mut listener = listener.lock();
            let wait_ms = listener.wait_ms(now_ms);
            if wait_ms > 0 {
                return Err((wait_ms, Throttled::Listener));
            }
            listener.take(bytes);
        }
        if let Some(own) = &mut self.own {
            own.take(bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::{Allowance, Bucket, Pace};
    use crate::config::RateConfig;
    use crate::metrics::Throttled;

    /// How many are let through in this time, one after the other as soon as each may.
    fn through(bucket: &mut Bucket, from_ms: i64, to_ms: i64) -> u32 {
        let (mut now_ms, mut count) = (from_ms, 0);
        while now_ms < to_ms {
            match bucket.wait_ms(now_ms) {
                0 => {
                    bucket.take(1);
                    count += 1;
                }
                wait_ms => now_ms += wait_ms,
            }
        }
        count
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut bucket = Bucket::new(100, 10, 0).expect("a limit");
        assert_eq!(through(&mut bucket, 0, 1), 10);
        let in_ten_seconds = through(&mut bucket, 1, 10_000);
        assert!((990..=1001).contains(&in_ten_seconds), "{in_ten_seconds}");
        // A long pause fills it up to the burst, not beyond.
        assert_eq!(through(&mut bucket, 100_000, 100_001), 10);
    }

    #[test]
    fn without_a_burst_it_is_that_of_a_second_and_without_a_rate_there_is_no_bucket() {
        let mut bucket = Bucket::new(7, 0, 0).expect("a limit");
        assert_eq!(through(&mut bucket, 0, 1), 7);
        assert!(Bucket::new(0, 10, 0).is_none());
    }

    #[test]
    fn what_is_larger_than_the_burst_passes_and_makes_the_next_wait() {
        let mut bucket = Bucket::new(1000, 100, 0).expect("a limit");
        assert_eq!(bucket.wait_ms(0), 0);
        bucket.take(5_000);
        assert_eq!(bucket.wait_ms(0), 4_901);
        assert!(bucket.wait_ms(4_899) > 0);
        assert_eq!(bucket.wait_ms(4_901), 0);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_fills_nothing() {
        let mut bucket = Bucket::new(1, 1, 1_000).expect("a limit");
        bucket.take(1);
        assert_eq!(bucket.wait_ms(1_000), 1);
        assert_eq!(bucket.wait_ms(500), 1);
        let mut huge = Bucket::new(u64::MAX, u64::MAX, 0).expect("a limit");
        huge.take(u64::MAX);
        assert_eq!(huge.wait_ms(i64::MAX), 0);
    }

    #[test]
    fn a_connection_keeps_to_its_own_limit_and_to_that_of_its_listener() {
        let rate = |messages| RateConfig { messages_per_s_max: messages, ..RateConfig::default() };
        let listener = Arc::new(Mutex::new(Allowance::of(&rate(3), 0).expect("a limit")));
        let pace = || {
            let own = Allowance::of(&rate(2), 0);
            Pace::of(own, Some(Arc::clone(&listener))).expect("limits")
        };
        let (mut one, mut two) = (pace(), pace());
        assert!(one.admit(1, 0).is_ok() && one.admit(1, 0).is_ok());
        assert_eq!(one.admit(1, 0).map_err(|(_, whose)| whose), Err(Throttled::Client));
        assert!(two.admit(1, 0).is_ok());
        assert_eq!(two.admit(1, 0).map_err(|(_, whose)| whose), Err(Throttled::Listener));
        assert!(Pace::of(None, None).is_none());
    }

    #[test]
    fn bytes_are_limited_as_messages_are() {
        let rate = RateConfig { bytes_per_s_max: 100, ..RateConfig::default() };
        let mut pace = Pace::of(Allowance::of(&rate, 0), None).expect("a limit");
        assert!(pace.admit(60, 0).is_ok() && pace.admit(60, 0).is_ok());
        assert_eq!(pace.admit(1, 0), Err((201, Throttled::Client)));
        assert!(pace.admit(1, 201).is_ok());
    }
}
