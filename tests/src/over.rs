//! The word that something is over, for threads that go on until they hear it. Who is to tell it
//! tells it also when he panics: a test that fails must end.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Whether it is over.
#[derive(Debug, Default)]
pub struct Over {
    is_told: Mutex<bool>,
    told: Condvar,
}

/// Tells it when it is dropped.
#[derive(Debug)]
pub struct AtLast<'a>(&'a Over);

impl Over {
    /// It is over at the latest when this is dropped.
    #[must_use]
    pub const fn at_last(&self) -> AtLast<'_> {
        AtLast(self)
    }

    /// Whether it is over.
    ///
    /// # Panics
    /// Never in practice: nobody panics with the lock.
    #[must_use]
    pub fn is_told(&self) -> bool {
        *self.is_told.lock().expect("nobody panics with it")
    }

    /// Whether it is over, now or within this time.
    ///
    /// # Panics
    /// Never in practice: nobody panics with the lock.
    #[must_use]
    pub fn within(&self, time: Duration) -> bool {
        let is_told = self.is_told.lock().expect("nobody panics with it");
        let waited = self.told.wait_timeout_while(is_told, time, |is_told| !*is_told);
        *waited.expect("nobody panics with it").0
    }
}

impl Drop for AtLast<'_> {
    fn drop(&mut self) {
        *self.0.is_told.lock().expect("nobody panics with it") = true;
        self.0.told.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::thread;

    use super::Over;
    use crate::program::PATIENCE;

    #[test]
    fn who_waits_hears_it_also_from_one_who_panics() {
        let over = Over::default();
        assert!(!over.is_told());
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            thread::scope(|scope| {
                scope.spawn(|| assert!(over.within(PATIENCE)));
                let _at_last = over.at_last();
                assert!(over.is_told(), "he panics");
            });
        }));
        assert!(outcome.is_err());
        assert!(over.is_told());
    }
}
