//! Which names and passwords were found to be right, under a hash whose key nobody else has: who
//! was here comes back without hashing slowly again. Bounded; forgets the oldest.

use std::net::IpAddr;

use ahash::AHashSet;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::network::network_of;

const BYTES: usize = 32;

/// What was checked.
pub(super) struct Checked {
    key: [u8; BYTES],
    /// Those of late, and those before: what is asked for moves on.
    late: AHashSet<[u8; BYTES]>,
    early: AHashSet<[u8; BYTES]>,
    max: usize,
}

/// A name, its password and where both came from, as they are remembered: what is known of somebody
/// here tells nobody elsewhere that a guess was right.
pub(super) type Trace = [u8; BYTES];

impl Checked {
    /// Remembers so many, two at least; `None` when the system has no randomness to give.
    pub(super) fn new(max: usize) -> Option<Self> {
        let mut key = [0; BYTES];
        getrandom::fill(&mut key).ok()?;
        Some(Self { key, late: AHashSet::new(), early: AHashSet::new(), max })
    }

    pub(super) fn trace(&self, user: &str, password: &[u8], from: Option<IpAddr>) -> Trace {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .expect("a key of any length is a key of this function");
        // Of one length, whatever it is, and never that of an address where there is none.
        let place = from.map_or([0; 17], |from| {
            let mut place = [1; 17];
            let bits = match network_of(from) {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
                IpAddr::V6(v6) => v6.to_bits(),
            };
            place[1..].copy_from_slice(&bits.to_be_bytes());
            place
        });
        mac.update(&place);
        // The length keeps ("ab", "c") and ("a", "bc") apart.
        mac.update(&(user.len() as u64).to_le_bytes());
        mac.update(user.as_bytes());
        mac.update(password);
        mac.finalize().into_bytes().into()
    }

    pub(super) fn has(&mut self, trace: &Trace) -> bool {
        if self.late.contains(trace) {
            return true;
        }
        let is_known = self.early.remove(trace);
        if is_known {
            self.add(*trace);
        }
        is_known
    }

    pub(super) fn add(&mut self, trace: Trace) {
        if self.late.len() >= self.max.div_ceil(2) {
            self.early = std::mem::take(&mut self.late);
        }
        if self.max > 0 {
            self.late.insert(trace);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Checked;

    #[test]
    fn what_was_added_is_known_until_there_is_too_much_of_it() {
        let mut checked = Checked::new(4).expect("randomness");
        let traces = [1_u8, 2, 3, 4, 5, 6].map(|one| checked.trace("user", &[one], None));
        let [first, ..] = traces;
        assert!(!checked.has(&first));
        for trace in traces {
            checked.add(trace);
            assert!(checked.has(&trace) && checked.has(&first), "what is asked for stays");
        }
        assert!(!checked.has(&traces[1]));
        assert_ne!(checked.trace("ab", b"c", None), checked.trace("a", b"bc", None));
        let from = |text: &str| checked.trace("a", b"b", text.parse().ok());
        assert_ne!(from("192.0.2.1"), from("192.0.2.2"));
        assert_ne!(from("192.0.2.1"), from("nowhere"));
        assert_eq!(from("2001:db8:1:2::1"), from("2001:db8:1:2::2"), "of one network");
        let mut nothing = Checked::new(0).expect("randomness");
        nothing.add(first);
        assert!(!nothing.has(&first));
    }
}
