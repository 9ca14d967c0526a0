//! Places for connections of the HTTP port: all of them, of one address, and those that are kept
//! for this machine. Never decides what becomes of who has none.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::seat::{Addresses, Seat};

/// At most so many are kept for this machine: probes and operators come in whoever else is there.
const KEPT_MAX: u32 = 8;

/// All of them.
pub(super) struct Places {
    max: u32,
    all: Arc<Semaphore>,
    /// Taken from other machines.
    elsewhere: Arc<AtomicUsize>,
    addresses: Addresses,
}

/// One of them, as long as this is held.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _seat: Seat,
}

impl Places {
    pub(super) fn of(max: u32) -> Self {
        let all = Arc::new(Semaphore::new(max as usize));
        Self { max, all, elsewhere: Arc::default(), addresses: Addresses::default() }
    }

    /// One more. `None` when there are as many as may be: of another machine half of them.
    pub(super) fn take(&self, address: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.all).try_acquire_owned().ok()?;
        if address.to_canonical().is_loopback() {
            return Some(Place { _permit: permit, _seat: Seat::uncounted() });
        }
        let kept = KEPT_MAX.min(self.max / 4);
        let mut seat = Seat::take(&self.elsewhere, (self.max - kept) as usize)?;
        let has_room = seat.count_address(&self.addresses, address, self.max.div_ceil(2));
        has_room.then_some(Place { _permit: permit, _seat: seat })
    }

    /// Waits until all of them are free.
    pub(super) async fn all_free(&self) {
        // It is never closed.
        let _ = self.all.acquire_many(self.max).await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::Places;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_address_takes_half_of_the_places_and_all_others_leave_some_for_this_machine() {
        let places = Places::of(16);
        let take = |text: &str, wanted: usize| {
            (0..wanted).map_while(|_| places.take(address(text))).collect::<Vec<_>>()
        };
        let greedy = take("192.0.2.1", 99);
        assert_eq!(greedy.len(), 8);
        let network = [take("2001:db8::1", 3), take("2001:db8::2", 99)];
        assert_eq!(network.iter().map(Vec::len).sum::<usize>(), 4, "4 are kept for this machine");
        assert!(places.take(address("192.0.2.2")).is_none());
        let local = [take("127.0.0.1", 2), take("::ffff:127.0.0.1", 99)];
        assert_eq!(local.iter().map(Vec::len).sum::<usize>(), 4);
        assert!(places.take(address("::1")).is_none(), "there are 16");
        drop((greedy, network, local));
        assert_eq!(take("127.0.0.1", 99).len(), 16, "they are free again");
        assert_eq!(Places::of(1).take(address("192.0.2.1")).map(|_| ()), Some(()));
    }
}
