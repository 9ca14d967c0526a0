//! The hash of a topic. Part of the format on disk: it may never change under one magic.

const SEED: u64 = 0x51ab_1e57_0b1c_5eed;
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// 64 well mixed bits of a topic.
pub(crate) fn topic_hash(topic: &[u8]) -> u64 {
    let mut hash = SEED ^ (topic.len() as u64).wrapping_mul(FACTOR);
    let (words, rest) = topic.as_chunks::<8>();
    for word in words {
        hash = stir(hash, u64::from_le_bytes(*word));
    }
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let hash = stir(hash, u64::from_le_bytes(last));
    (hash ^ (hash >> 31)).wrapping_mul(FACTOR)
}

fn stir(hash: u64, word: u64) -> u64 {
    let mixed = (hash ^ word).wrapping_mul(FACTOR);
    mixed ^ (mixed >> 29)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::topic_hash;

    #[test]
    fn a_topic_has_the_hash_that_lies_on_disk() {
        assert_eq!(topic_hash(b""), 0xc29d_8bd4_0678_0dc1);
        assert_eq!(topic_hash(b"plant/7/line/3/temp"), 0xc48d_9ea5_2b97_19ee);
    }

    #[test]
    fn topics_that_are_alike_have_hashes_that_are_not() {
        let topics = (0..200_000).map(|n| format!("plant/{}/line/{}/temp", n / 100, n % 100));
        let hashes: HashSet<u64> = topics.map(|topic| topic_hash(topic.as_bytes())).collect();
        assert_eq!(hashes.len(), 200_000);
        for bits in [0_u32, 16, 32, 48] {
            let parts: HashSet<u64> = hashes.iter().map(|hash| (hash >> bits) & 0xffff).collect();
            assert!(parts.len() > 60_000, "{} at bit {bits}", parts.len());
        }
    }
}
