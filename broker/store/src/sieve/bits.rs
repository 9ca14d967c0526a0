//! One Bloom filter: a row of bits, and how many of them a topic sets. Owns no bits.

/// Bits that a topic is given.
const TOPIC_BITS: usize = 16;
/// Bits that a topic sets at most.
const PROBES_MAX: u8 = 8;
/// A filter takes at most this share of what it stands for.
const SHARE: u64 = 64;
/// And never less than this, so that one topic can be told from another.
const BYTES_MIN: usize = 8;

/// How many bits a topic sets in a filter that says nothing: whatever it stands for is read.
pub(super) const OPAQUE: u8 = u8::MAX;

/// Add the filter of these topics, each there once, to `out`; returns how many bits each set.
/// `bytes` is the length of what it stands for.
pub(super) fn put(out: &mut Vec<u8>, hashes: &[u64], bytes: u64) -> u8 {
    let wanted = (hashes.len() * TOPIC_BITS / 8).next_multiple_of(BYTES_MIN);
    let limit = usize::try_from(bytes / SHARE).unwrap_or(usize::MAX).max(BYTES_MIN);
    let from = out.len();
    out.resize(from + wanted.min(limit), 0);
    let filter = &mut out[from..];
    let probes = probes(filter.len() * 8, hashes.len());
    for hash in hashes {
        for (byte, mask) in places(filter.len(), probes, *hash) {
            filter[byte] |= mask;
        }
    }
    probes
}

/// May this topic be among them?
pub(super) fn may_hold(filter: &[u8], probes: u8, hash: u64) -> bool {
    if probes == OPAQUE {
        return true;
    }
    !filter.is_empty() && places(filter.len(), probes, hash).all(|(at, mask)| filter[at] & mask > 0)
}

/// Can there be such a filter?
pub(super) fn is_sound(bytes: usize, probes: u8) -> bool {
    probes == OPAQUE || (probes <= PROBES_MAX && (probes > 0) == (bytes > 0))
}

/// The number of bits to set for which least is mistaken: seven tenths of what a topic is given.
fn probes(bits: usize, topics: usize) -> u8 {
    if topics == 0 {
        return 0;
    }
    let best = (bits * 7 / 10 / topics).clamp(1, PROBES_MAX.into());
    u8::try_from(best).unwrap_or(PROBES_MAX)
}

fn places(bytes: usize, probes: u8, hash: u64) -> impl Iterator<Item = (usize, u8)> {
    let bits = bytes as u64 * 8;
    let (low, step) = (hash & u64::from(u32::MAX), (hash >> 32) | 1);
    (0..u64::from(probes)).map(move |probe| {
        let drawn = (low + probe * step) & u64::from(u32::MAX);
        let bit = (drawn * bits) >> 32;
        let byte = usize::try_from(bit / 8).expect("below the number of bytes");
        (byte, 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::{OPAQUE, is_sound, may_hold, put};
    use crate::sieve::topic_hash;

    fn hashes(range: std::ops::Range<u32>) -> Vec<u64> {
        range.map(|n| topic_hash(format!("a/{n}").as_bytes())).collect()
    }

    #[track_caller]
    fn check(topics: u32, stands_for: u64, mistaken_max: usize) {
        let (mut filter, inside) = (Vec::new(), hashes(0..topics));
        let probes = put(&mut filter, &inside, stands_for);
        assert!(is_sound(filter.len(), probes));
        assert!(filter.len() as u64 <= (stands_for / 64).max(8));
        assert!(inside.iter().all(|hash| may_hold(&filter, probes, *hash)), "all are found");
        let outside = hashes(1_000_000..1_100_000);
        let mistaken = outside.iter().filter(|hash| may_hold(&filter, probes, **hash)).count();
        assert!(mistaken <= mistaken_max, "{mistaken} of 100000 are mistaken");
    }

    #[test]
    fn what_was_put_in_is_found_and_little_else() {
        check(0, 16 << 10, 0);
        check(1, 16 << 10, 60);
        check(120, 16 << 10, 150);
        // Too many topics for their share: more is mistaken, nothing is missed.
        check(1_000, 16 << 10, 60_000);
        check(10, 100, 60_000);
    }

    #[test]
    fn a_filter_that_says_nothing_lets_all_pass() {
        assert!(may_hold(&[], OPAQUE, 7) && is_sound(0, OPAQUE));
        assert!(!is_sound(0, 3) && !is_sound(8, 0) && !is_sound(8, 9));
    }
}
