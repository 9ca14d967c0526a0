//! What clients that went have left of their rate: who comes again goes on where it was. Bounded;
//! what is full again is forgotten. Never decides what is too fast.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::pace::Allowance;

/// Clients that are remembered.
const REMEMBERED_MAX: usize = 65_536;

/// How long it takes, at least, until all are looked through again: every core waits for that.
const LOOK_APART_MS: i64 = 1_000;

/// By client id.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    left: Mutex<Left>,
}

#[derive(Debug, Default)]
struct Left {
    of: AHashMap<Arc<str>, Allowance>,
    /// When all were looked through last for what is full again.
    looked_ms: Option<i64>,
}

impl Paces {
    /// A client went. One of whom no more can be remembered has what a new one has.
    pub(crate) fn leave(&self, client_id: &Arc<str>, mut allowance: Allowance, now_ms: i64) {
        if allowance.is_full(now_ms) {
            return;
        }
        let mut left = self.left.lock();
        let is_recent = |looked_ms| now_ms.saturating_sub(looked_ms) < LOOK_APART_MS;
        if left.of.len() >= REMEMBERED_MAX && !left.looked_ms.is_some_and(is_recent) {
            left.looked_ms = Some(now_ms);
            left.of.retain(|_, allowance| !allowance.is_full(now_ms));
        }
        if left.of.len() < REMEMBERED_MAX {
            left.of.insert(Arc::clone(client_id), allowance);
        }
    }

    /// It is back: what it has left, if that is less than a new one has.
    pub(crate) fn take(&self, client_id: &str) -> Option<Allowance> {
        self.left.lock().of.remove(client_id)
    }
}

#[cfg(test)]
mod tests {
    use super::{Paces, REMEMBERED_MAX};
    use crate::config::RateConfig;
    use crate::pace::{Allowance, Pace};

    fn spent(now_ms: i64) -> Allowance {
        let rate = RateConfig { messages_per_s_max: 1, ..RateConfig::default() };
        let mut pace = Pace::of(Allowance::of(&rate, now_ms), None).expect("a limit");
        assert!(pace.admit(1, now_ms).is_ok());
        pace.take_own().expect("its own")
    }

    #[test]
    fn who_comes_again_has_what_it_left_until_that_is_full() {
        let paces = Paces::default();
        paces.leave(&"a".into(), spent(0), 999);
        assert!(paces.take("a").is_some());
        assert!(paces.take("a").is_none(), "it has it");
        paces.leave(&"a".into(), spent(0), 1_000);
        assert!(paces.take("a").is_none(), "a second fills it");
    }

    #[test]
    fn more_than_can_be_remembered_are_not() {
        let paces = Paces::default();
        for number in 0..REMEMBERED_MAX + 10 {
            paces.leave(&number.to_string().into(), spent(0), 0);
        }
        assert_eq!(paces.left.lock().of.len(), REMEMBERED_MAX);
        paces.leave(&"late".into(), spent(5_000), 5_000);
        assert_eq!(paces.left.lock().of.len(), 1, "the others are full again");
    }

    #[test]
    fn all_that_are_remembered_are_looked_through_once_in_a_second_at_most() {
        let paces = Paces::default();
        for number in 0..REMEMBERED_MAX {
            paces.leave(&number.to_string().into(), spent(0), 0);
        }
        let leave_at = |now_ms| {
            paces.leave(&"late".into(), spent(now_ms), now_ms);
            paces.left.lock().of.len()
        };
        assert_eq!(leave_at(999), REMEMBERED_MAX, "none is full yet");
        assert_eq!(leave_at(1_000), REMEMBERED_MAX, "all are, and nobody looks");
        assert_eq!(leave_at(1_998), REMEMBERED_MAX);
        assert_eq!(leave_at(1_999), 1);
    }
}
