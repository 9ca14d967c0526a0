//! What clients that went have left of their rate: who comes again goes on where it was. Bounded;
//! what is full again is forgotten. Never decides what is too fast.

use std::sync::Arc;

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::pace::Allowance;

/// Clients that are remembered.
const REMEMBERED_MAX: usize = 65_536;

/// By client id.
#[derive(Debug, Default)]
pub(crate) struct Paces {
    left: Mutex<AHashMap<Arc<str>, Allowance>>,
}

impl Paces {
    /// A client went. One of whom no more can be remembered has what a new one has.
    pub(crate) fn leave(&self, client_id: &Arc<str>, mut allowance: Allowance, now_ms: i64) {
        if allowance.is_full(now_ms) {
            return;
        }
        let mut left = self.left.lock();
        if left.len() >= REMEMBERED_MAX {
            left.retain(|_, allowance| !allowance.is_full(now_ms));
        }
        if left.len() < REMEMBERED_MAX {
            left.insert(Arc::clone(client_id), allowance);
        }
    }

    /// It is back: what it has left, if that is less than a new one has.
    pub(crate) fn take(&self, client_id: &str) -> Option<Allowance> {
        self.left.lock().remove(client_id)
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
        assert_eq!(paces.left.lock().len(), REMEMBERED_MAX);
        paces.leave(&"late".into(), spent(5_000), 5_000);
        assert_eq!(paces.left.lock().len(), 1, "the others are full again");
    }
}
