//! How often connections come from one address: buckets that fill with time. Time is handed in.
//! Bounded; what fills up is forgotten.

use std::net::IpAddr;

use ahash::AHashMap;
use parking_lot::Mutex;

use crate::network::network_of;

/// Addresses that are remembered.
const REMEMBERED_MAX: usize = 65_536;
/// When there are more, so many are forgotten at least.
const FORGOTTEN_MIN: usize = REMEMBERED_MAX / 8;
const MINUTE_MS: i64 = 60_000;

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// In parts of which one connection takes `MINUTE_MS`.
    level: i64,
    at_ms: i64,
}

/// Those that came to one listener.
#[derive(Debug)]
pub(crate) struct Arrivals {
    per_minute: i64,
    buckets: Mutex<AHashMap<IpAddr, Bucket>>,
}

impl Arrivals {
    /// So many in a minute, at once or spread. `None`: any number (0).
    pub(crate) fn of(per_minute: u32) -> Option<Self> {
        let per_minute = i64::from(per_minute);
        (per_minute > 0).then(|| Self { per_minute, buckets: Mutex::default() })
    }

    /// Whether one more may come from there (of IPv6: from its /64).
    pub(crate) fn admit(&self, address: IpAddr, now_ms: i64) -> bool {
        let address = network_of(address);
        let mut buckets = self.buckets.lock();
        let level = self.level(buckets.get(&address), now_ms);
        if level < MINUTE_MS {
            return false;
        }
        if buckets.len() >= REMEMBERED_MAX && !buckets.contains_key(&address) {
            self.forget(&mut buckets, now_ms);
        }
        buckets.insert(address, Bucket { level: level - MINUTE_MS, at_ms: now_ms });
        true
    }

    /// Those that would be full; and all, when that is too few: who comes from so many places is
    /// held back by what holds for all of them together.
    fn forget(&self, buckets: &mut AHashMap<IpAddr, Bucket>, now_ms: i64) {
        let full = self.per_minute * MINUTE_MS;
        buckets.retain(|_, bucket| self.level(Some(bucket), now_ms) < full);
        if buckets.len() + FORGOTTEN_MIN > REMEMBERED_MAX {
            buckets.clear();
        }
    }

    fn level(&self, bucket: Option<&Bucket>, now_ms: i64) -> i64 {
        let full = self.per_minute * MINUTE_MS;
        bucket.map_or(full, |bucket| {
            let filled = (now_ms - bucket.at_ms).max(0).saturating_mul(self.per_minute);
            bucket.level.saturating_add(filled).min(full)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::{Arrivals, MINUTE_MS, REMEMBERED_MAX};

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(number).into()
    }

    #[test]
    fn so_many_come_from_one_address_in_a_minute_and_others_are_not_held_up() {
        let arrivals = Arrivals::of(3).expect("a limit");
        let come = |from, now_ms| (0..9).filter(|_| arrivals.admit(address(from), now_ms)).count();
        assert_eq!((come(1, 0), come(1, 0), come(2, 0)), (3, 0, 3));
        assert_eq!((come(1, MINUTE_MS / 3 - 1), come(1, MINUTE_MS / 3)), (0, 1));
        assert_eq!(come(1, 10 * MINUTE_MS), 3, "no more after a long time");
        assert_eq!(come(1, 9 * MINUTE_MS), 0, "a clock that goes back fills nothing");
        assert!(Arrivals::of(0).is_none());
    }

    #[test]
    fn however_many_addresses_there_are_few_are_remembered() {
        let arrivals = Arrivals::of(2).expect("a limit");
        let busy = u32::try_from(REMEMBERED_MAX).expect("few");
        for number in 0..busy {
            assert!(arrivals.admit(address(number), 0));
        }
        assert!(arrivals.admit(address(busy), 1));
        assert!(arrivals.buckets.lock().len() <= REMEMBERED_MAX);
        for number in 0..2 * busy {
            assert!(arrivals.admit(address(number), i64::from(number) * MINUTE_MS));
        }
        assert!(arrivals.buckets.lock().len() <= REMEMBERED_MAX);
    }
}
