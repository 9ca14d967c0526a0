//! A value that is replaced while others read it: they need no lock, and what they have read stays
//! valid. So what was replaced is kept until the broker ends: for settings, which people change.

use std::ops::Deref;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Shelf `n` has room for 2^n values: more than anybody replaces.
const SHELVES: usize = 32;

/// The newest value, and all before it.
pub(crate) struct Live<T> {
    shelves: [OnceLock<Box<[OnceLock<T>]>>; SHELVES],
    newest: AtomicUsize,
    replacing: Mutex<()>,
}

impl<T> Live<T> {
    pub(crate) fn new(value: T) -> Self {
        let live = Self {
            shelves: std::array::from_fn(|_| OnceLock::new()),
            newest: AtomicUsize::new(0),
            replacing: Mutex::new(()),
        };
        live.put(0, value);
        live
    }

    /// Whoever looks from now on sees this value.
    pub(crate) fn set(&self, value: T) {
        let _alone = self.replacing.lock();
        let next = self.newest.load(Ordering::Relaxed) + 1;
        if self.put(next, value) {
            self.newest.store(next, Ordering::Release);
        }
    }

    /// The same, unless it is the value that is seen already: what is replaced is kept for ever.
    pub(crate) fn set_if_other(&self, value: T)
    where
        T: PartialEq,
    {
        if **self != value {
            self.set(value);
        }
    }

    /// False when there is no place left.
    fn put(&self, number: usize, value: T) -> bool {
        let (shelf, place) = place_of(number);
        let Some(shelf_of_it) = self.shelves.get(shelf) else { return false };
        let places = shelf_of_it.get_or_init(|| (0..1 << shelf).map(|_| OnceLock::new()).collect());
        places.get(place).is_some_and(|place| place.set(value).is_ok())
    }
}

impl<T> Deref for Live<T> {
    type Target = T;

    fn deref(&self) -> &T {
        let (shelf, place) = place_of(self.newest.load(Ordering::Acquire));
        let places = self.shelves.get(shelf).and_then(OnceLock::get);
        let value = places.and_then(|places| places.get(place)).and_then(OnceLock::get);
        value.expect("a value is put there before it is called the newest")
    }
}

/// Shelf, and place on it.
fn place_of(number: usize) -> (usize, usize) {
    let number = number + 1;
    let shelf = number.ilog2();
    (shelf as usize, number - (1 << shelf))
}

#[cfg(test)]
mod tests {
    use super::Live;

    #[test]
    fn the_newest_is_seen_and_what_was_read_before_stays() {
        let live = Live::new(0);
        let first: &i32 = &live;
        for value in 1..1_000 {
            live.set(value);
            assert_eq!(*live, value);
        }
        assert_eq!(*first, 0);
    }

    #[test]
    fn a_value_that_is_there_already_takes_no_room_again() {
        let live = Live::new(String::from("a"));
        let first: *const String = &*live;
        live.set_if_other("a".into());
        assert!(std::ptr::eq(first, &*live), "another one was put beside it");
        live.set_if_other("b".into());
        assert_eq!(*live, "b");
    }
}
