//! Clients that are not in yet: how many there are, and how many bytes are kept of them. Never
//! decides who comes in.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::config::MqttConfig;
use crate::seat::{Addresses, Seat};

/// What is kept of each without being counted: an ordinary CONNECT, or the hello of an ordinary
/// handshake, always has room.
const UNCOUNTED_BYTES: usize = 4 * 1024;

/// All of them together.
#[derive(Debug)]
pub(crate) struct Newcomers {
    max: usize,
    bytes_max: usize,
    count: Arc<AtomicUsize>,
    addresses: Addresses,
    bytes: AtomicUsize,
}

impl Newcomers {
    pub(crate) fn of(limits: &MqttConfig) -> Arc<Self> {
        let bytes_max = limits.unauthenticated_bytes_max;
        Arc::new(Self::new(limits.unauthenticated_max, bytes_max))
    }

    fn new(max: u32, bytes_max: u32) -> Self {
        let (max, bytes_max) = (max as usize, bytes_max as usize);
        let (count, addresses) = (Arc::default(), Addresses::default());
        Self { max, bytes_max, count, addresses, bytes: AtomicUsize::new(0) }
    }

    /// One more. `None` when there are as many as may be: of one address half of them.
    pub(crate) fn enter(all: &Arc<Self>, address: Option<IpAddr>) -> Option<Box<Newcomer>> {
        let mut seat = Seat::take(&all.count, all.max)?;
        let half = u32::try_from(all.max.div_ceil(2)).unwrap_or(u32::MAX);
        let has_room = address.is_none_or(|one| seat.count_address(&all.addresses, one, half));
        has_room.then(|| Box::new(Newcomer { _seat: seat, kept: Kept::of(all) }))
    }
}

/// One of them: as long as this is held.
pub(crate) struct Newcomer {
    _seat: Seat,
    kept: Kept,
}

impl Newcomer {
    /// See [`Kept::add`].
    pub(crate) fn sends(&mut self, bytes: usize) -> bool {
        self.kept.add(bytes)
    }
}

/// What one of them has sent.
pub(crate) struct Kept {
    all: Arc<Newcomers>,
    sent: usize,
    counted: usize,
}

impl Kept {
    /// Of somebody who has sent nothing yet.
    pub(crate) fn of(all: &Arc<Newcomers>) -> Self {
        Self { all: Arc::clone(all), sent: 0, counted: 0 }
    }

    /// It sends some more. False when nothing more may be kept of it.
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        self.sent = self.sent.saturating_add(bytes);
        let more = self.sent.saturating_sub(UNCOUNTED_BYTES).saturating_sub(self.counted);
        if more == 0 {
            return true;
        }
        self.counted += more;
        self.all.bytes.fetch_add(more, Ordering::Relaxed) + more <= self.all.bytes_max
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.all.bytes.fetch_sub(self.counted, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::{Newcomers, UNCOUNTED_BYTES};

    fn address(last: u8) -> Option<IpAddr> {
        Some([192, 0, 2, last].into())
    }

    #[test]
    fn so_many_may_be_on_their_way_and_of_one_address_half() {
        let all = Arc::new(Newcomers::new(4, 0));
        let enter = |last| Newcomers::enter(&all, address(last));
        let (one, two) = (enter(1).expect("the first"), enter(1).expect("half"));
        assert!(enter(1).is_none());
        let others = (enter(2).expect("another"), Newcomers::enter(&all, None).expect("a file"));
        assert!(enter(3).is_none(), "four");
        drop(one);
        let again = enter(1).expect("one of its address is in");
        drop((two, others, again));
        assert_eq!(all.count.load(Ordering::Relaxed), 0);
        assert!(all.addresses.lock().is_empty());
    }

    #[test]
    fn who_sends_little_always_has_room_and_the_others_share_what_there_is() {
        let all = Arc::new(Newcomers::new(9, 1000));
        let enter = || Newcomers::enter(&all, None).expect("room");
        let (mut greedy, mut late, mut honest) = (enter(), enter(), enter());
        assert!(greedy.sends(UNCOUNTED_BYTES + 900));
        assert!(greedy.sends(100) && !greedy.sends(1));
        assert!(honest.sends(UNCOUNTED_BYTES), "it is not counted");
        assert!(!late.sends(UNCOUNTED_BYTES + 1));
        drop((greedy, late));
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
        assert!(honest.sends(1000));
    }
}
