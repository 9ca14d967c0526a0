//! When keys are fetched again. Fetches nothing; time is handed in.

use std::time::{Duration, Instant};

/// When they are.
#[derive(Debug)]
pub(crate) struct Due {
    every: Duration,
    /// Not more often than this for a name that nobody knows.
    least: Duration,
    /// When the last try ended.
    tried: Option<Instant>,
    has_succeeded: bool,
    /// Somebody waits for the next try.
    is_wanted: bool,
    is_under_way: bool,
}

/// What becomes of a token whose key is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Keys are fetched, or about to be: it is looked at again then.
    Wait,
    /// They were fetched just now, and it is not among them.
    Wrong,
    /// They could not be fetched.
    Unavailable,
}

impl Due {
    pub(crate) const fn new(every: Duration, least: Duration) -> Self {
        let (tried, has_succeeded) = (None, false);
        Self { every, least, tried, has_succeeded, is_wanted: false, is_under_way: false }
    }

    /// A token names a key that is not known.
    pub(crate) fn on_unknown(&mut self, now: Instant) -> Unknown {
        let is_fresh = self.tried.is_some_and(|tried| now < tried + self.least);
        if !is_fresh && !self.is_under_way {
            self.is_wanted = true;
        }
        match (self.is_coming(), self.has_succeeded) {
            (true, _) => Unknown::Wait,
            (false, true) => Unknown::Wrong,
            (false, false) => Unknown::Unavailable,
        }
    }

    /// Whether somebody may wait for it.
    pub(crate) const fn is_coming(&self) -> bool {
        self.is_wanted || self.is_under_way
    }

    /// How long until the next try; `None`: it begins now.
    pub(crate) fn begin(&mut self, now: Instant) -> Option<Duration> {
        // What failed is tried again soon, and not only when somebody asks.
        let pause = if self.has_succeeded { self.every } else { self.least.min(self.every) };
        let left = self.tried.map(|tried| (tried + pause).saturating_duration_since(now));
        match left.filter(|left| !self.is_wanted && !left.is_zero()) {
            Some(left) => Some(left),
            None => {
                (self.is_wanted, self.is_under_way) = (false, true);
                None
            }
        }
    }

    /// The try is over.
    pub(crate) fn end(&mut self, now: Instant, has_succeeded: bool) {
        (self.is_under_way, self.has_succeeded, self.tried) = (false, has_succeeded, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Due, Unknown};

    #[test]
    fn keys_are_fetched_at_once_then_by_interval_and_for_unknown_names_now_and_then() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut due = Due::new(Duration::from_secs(300), Duration::from_secs(30));
        assert_eq!(due.on_unknown(at(0)), Unknown::Wait, "nothing has come yet");
        assert_eq!(due.begin(at(0)), None);
        assert_eq!(due.on_unknown(at(1)), Unknown::Wait);
        due.end(at(1), true);
        assert_eq!(due.on_unknown(at(30)), Unknown::Wrong, "it was fetched a moment ago");
        assert_eq!(due.begin(at(30)), Some(Duration::from_secs(271)));
        assert_eq!(due.on_unknown(at(31)), Unknown::Wait);
        assert_eq!(due.begin(at(31)), None);
        due.end(at(32), false);
        assert_eq!(due.on_unknown(at(33)), Unknown::Unavailable, "nobody can say");
        assert_eq!(due.begin(at(33)), Some(Duration::from_secs(29)), "a failure is mended soon");
        assert_eq!(due.begin(at(62)), None);
        due.end(at(62), true);
        assert_eq!(due.begin(at(361)), Some(Duration::from_secs(1)));
        assert_eq!(due.begin(at(362)), None);
    }
}
