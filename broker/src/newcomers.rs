//! Clients that are not in yet: how many there are, and how many bytes are kept of them. Never
//! decides who comes in.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::config::MqttConfig;
use crate::network::network_of;
use crate::seat::{Addresses, Seat};

/// What is kept of each without being counted: an ordinary CONNECT, or the hello of an ordinary
/// handshake, always has room.
const UNCOUNTED_BYTES: usize = 4 * 1024;
/// So many may be on their way even where there is no room for twice as many connections.
const LEAST: u32 = 16;

/// All of them together.
#[derive(Debug)]
pub(crate) struct Newcomers {
    max: AtomicUsize,
    bytes_max: AtomicUsize,
    count: Arc<AtomicUsize>,
    addresses: Addresses,
    bytes: AtomicUsize,
    /// The same by address, of version 6 by network.
    bytes_of: Mutex<AHashMap<IpAddr, usize>>,
}

impl Newcomers {
    /// They never take more than half of the places that there are for all connections.
    pub(crate) fn of(limits: &MqttConfig) -> Arc<Self> {
        Arc::new(Self::new(places(limits), limits.unauthenticated_bytes_max))
    }

    fn new(max: u32, bytes_max: u32) -> Self {
        let (max, bytes_max) = ((max as usize).into(), (bytes_max as usize).into());
        let (count, addresses) = (Arc::default(), Addresses::default());
        let (bytes, bytes_of) = (AtomicUsize::new(0), Mutex::default());
        Self { max, bytes_max, count, addresses, bytes, bytes_of }
    }

    /// Other limits hold from now on; who is on his way stays.
    pub(crate) fn set_limits(&self, limits: &MqttConfig) {
        self.max.store(places(limits) as usize, Ordering::Relaxed);
        self.bytes_max.store(limits.unauthenticated_bytes_max as usize, Ordering::Relaxed);
    }

    /// One more. `None` when there are as many as may be: of one address half of them.
    pub(crate) fn enter(all: &Arc<Self>, address: Option<IpAddr>) -> Option<Box<Newcomer>> {
        let max = all.max.load(Ordering::Relaxed);
        let mut seat = Seat::take(&all.count, max)?;
        let half = u32::try_from(max.div_ceil(2)).unwrap_or(u32::MAX);
        let has_room = address.is_none_or(|one| seat.count_address(&all.addresses, one, half));
        has_room
            .then(|| Box::new(Newcomer { _seat: seat, kept: Kept::of(all, address), unread: 0 }))
    }

    /// So much more is kept. False, and nothing is counted, when it is more than may be: of one
    /// address half.
    fn keep(&self, network: Option<IpAddr>, more: usize) -> bool {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        if self.bytes.fetch_add(more, Ordering::Relaxed) + more > bytes_max {
            self.bytes.fetch_sub(more, Ordering::Relaxed);
            return false;
        }
        let Some(network) = network else { return true };
        let mut bytes_of = self.bytes_of.lock();
        let kept = bytes_of.get(&network).copied().unwrap_or(0) + more;
        let has_room = kept <= bytes_max.div_ceil(2);
        if has_room {
            bytes_of.insert(network, kept);
        } else {
            self.bytes.fetch_sub(more, Ordering::Relaxed);
        }
        has_room
    }

    fn let_go(&self, network: Option<IpAddr>, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        let Some(network) = network else { return };
        let mut bytes_of = self.bytes_of.lock();
        if let Some(kept) = bytes_of.get_mut(&network) {
            *kept = kept.saturating_sub(bytes);
            if *kept == 0 {
                bytes_of.remove(&network);
            }
        }
    }
}

/// How many there may be.
fn places(limits: &MqttConfig) -> u32 {
    limits.unauthenticated_max.min((limits.connections_max / 2).max(LEAST))
}

/// One of them: as long as this is held.
pub(crate) struct Newcomer {
    _seat: Seat,
    kept: Kept,
    /// Bytes of a record or a request that is not whole yet, at most so far.
    unread: usize,
}

impl Newcomer {
    /// See [`Kept::add`]. What waited for its rest is counted.
    pub(crate) fn sends(&mut self, bytes: usize) -> bool {
        let known = bytes.min(self.unread);
        self.unread -= known;
        self.kept.add(bytes - known)
    }

    /// So much of what it sent waits for its rest before anybody can read it. False as in `sends`.
    pub(crate) fn has_unread(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.unread);
        self.unread += more;
        more == 0 || self.kept.add(more)
    }
}

/// What one of them has sent.
pub(crate) struct Kept {
    all: Arc<Newcomers>,
    network: Option<IpAddr>,
    sent: usize,
    counted: usize,
}

impl Kept {
    /// Of somebody who has sent nothing yet.
    pub(crate) fn of(all: &Arc<Newcomers>, address: Option<IpAddr>) -> Self {
        Self { all: Arc::clone(all), network: address.map(network_of), sent: 0, counted: 0 }
    }

    /// It sends some more. False when nothing more may be kept of it: of one address half of what
    /// may be kept of all.
    pub(crate) fn add(&mut self, bytes: usize) -> bool {
        self.sent = self.sent.saturating_add(bytes);
        let more = self.sent.saturating_sub(UNCOUNTED_BYTES).saturating_sub(self.counted);
        let has_room = more == 0 || self.all.keep(self.network, more);
        if has_room {
            self.counted += more;
        }
        has_room
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.all.let_go(self.network, self.counted);
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::{LEAST, Newcomers, UNCOUNTED_BYTES};
    use crate::config::MqttConfig;

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
    fn what_waits_for_the_rest_of_its_record_is_counted_once() {
        let all = Arc::new(Newcomers::new(9, 1000));
        let mut one = Newcomers::enter(&all, None).expect("room");
        assert!(one.has_unread(UNCOUNTED_BYTES + 600) && one.has_unread(UNCOUNTED_BYTES + 600));
        assert!(one.sends(UNCOUNTED_BYTES + 500) && one.has_unread(100), "most of it was read");
        assert!(one.sends(100) && one.sends(400), "all of it, and more");
        assert!(!one.has_unread(1) && !one.sends(1));
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

    #[test]
    fn one_address_may_send_half_of_what_there_is_and_others_the_rest() {
        let all = Arc::new(Newcomers::new(9, 1000));
        let enter = |last| Newcomers::enter(&all, address(last)).expect("room");
        let (mut first, mut second) = (enter(1), enter(1));
        assert!(first.sends(UNCOUNTED_BYTES + 400) && second.sends(UNCOUNTED_BYTES + 100));
        assert!(!first.sends(1) && !second.sends(100), "half of a thousand");
        let mut other = enter(2);
        assert!(other.sends(UNCOUNTED_BYTES + 500), "what was refused is not kept");
        drop(first);
        assert!(enter(1).sends(UNCOUNTED_BYTES + 400), "what was kept is free again");
        drop((second, other));
        assert_eq!(all.bytes.load(Ordering::Relaxed), 0);
        assert!(all.bytes_of.lock().is_empty());
    }

    #[test]
    fn who_is_not_in_yet_never_takes_more_than_half_of_all_places() {
        for (connections_max, expected) in
            [(100_000, 20_000), (40_000, 20_000), (3_000, 1_500), (200, 100), (3, LEAST as usize)]
        {
            let limits = MqttConfig { connections_max, ..MqttConfig::default() };
            let changed = Newcomers::new(1, 1);
            changed.set_limits(&limits);
            for all in [Newcomers::of(&limits), Arc::new(changed)] {
                let max = all.max.load(Ordering::Relaxed);
                assert_eq!(max, expected, "of {connections_max}");
            }
        }
    }
}
