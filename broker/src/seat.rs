//! Places among the connections that are open: how many there are, and of one address. Never
//! decides what becomes of who has none.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::network::network_of;

/// Open connections by address.
pub(crate) type Addresses = Arc<Mutex<AHashMap<IpAddr, u32>>>;

/// A connection's place among those that are open; free again when it is dropped.
pub(crate) struct Seat {
    open: Option<Arc<AtomicUsize>>,
    /// The same of its listener.
    here: Option<Arc<AtomicUsize>>,
    address: Option<(Addresses, IpAddr)>,
}

impl Seat {
    /// `None` when all places are taken.
    pub(crate) fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let seat = Self { open: Some(Arc::clone(open)), here: None, address: None };
        // Counted first: two that come together must not both take the last place.
        (open.fetch_add(1, Ordering::Relaxed) < max).then_some(seat)
    }

    /// For a connection that is not counted: one within this process.
    pub(crate) const fn uncounted() -> Self {
        Self { open: None, here: None, address: None }
    }

    /// False when as many as may be open at its listener are.
    pub(crate) fn count_here(&mut self, open: &Arc<AtomicUsize>, max: usize) -> bool {
        self.here = Some(Arc::clone(open));
        open.fetch_add(1, Ordering::Relaxed) < max
    }

    /// False when as many as may come from this address are open.
    pub(crate) fn count_address(&mut self, all: &Addresses, address: IpAddr, max: u32) -> bool {
        let address = network_of(address);
        let mut open = all.lock();
        let count = open.entry(address).or_default();
        if *count >= max {
            return false;
        }
        *count += 1;
        self.address = Some((Arc::clone(all), address));
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for open in [&self.open, &self.here].into_iter().flatten() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
        let Some((all, address)) = &self.address else { return };
        let mut open = all.lock();
        if let Some(count) = open.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                open.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Addresses, Seat};

    #[test]
    fn a_seat_is_free_again_when_it_is_left() {
        let open = Arc::new(AtomicUsize::new(0));
        let first = Seat::take(&open, 1).expect("one place");
        assert!(Seat::take(&open, 1).is_none());
        assert_eq!(open.load(Ordering::Relaxed), 1, "who was turned away left no trace");
        drop(first);
        assert!(Seat::take(&open, 1).is_some());
    }

    #[test]
    fn an_address_has_so_many_seats_and_is_forgotten_with_the_last() {
        let (all, address) = (Addresses::default(), IpAddr::from(Ipv4Addr::LOCALHOST));
        let network = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, last, 0, 0, last]);
        let seat = || {
            let mut seat = Seat::uncounted();
            seat.count_address(&all, address, 2).then_some(seat)
        };
        let (one, two) = (seat().expect("one of two"), seat().expect("two of two"));
        assert!(seat().is_none());
        drop(one);
        let again = seat().expect("one left");
        drop((two, again));
        assert!(all.lock().is_empty());
        let mut both = [Seat::uncounted(), Seat::uncounted()];
        assert!(both[0].count_address(&all, network(1), 1));
        assert!(!both[1].count_address(&all, network(2), 1), "it is of the same network");
    }
}
