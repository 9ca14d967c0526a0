//! Which partition a key belongs to: the hash that Kafka's own producers use, so that a record
//! from either side lands in the same place. Decides; never looks at a stream.

const SEED: u32 = 0x9747_b28c;
const MULTIPLIER: u32 = 0x5bd1_e995;
const SHIFT: u32 = 24;

/// The index of the partition, out of `partitions`, for `key`. Zero partitions count as one.
pub fn partition_index(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

fn murmur2(key: &[u8]) -> u32 {
    // The format has 32 bits for the length; longer keys wrap as they do in Java.
    #[allow(clippy::cast_possible_truncation, reason = "wraps as in Java")]
    let mut hash = SEED ^ key.len() as u32;
    let (words, rest) = key.as_chunks::<4>();
    for word in words {
        let mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        let mixed = (mixed ^ (mixed >> SHIFT)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed;
    }
    if !rest.is_empty() {
        for (index, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * index);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::{murmur2, partition_index};

    #[track_caller]
    fn check(key: &[u8], expected: i32) {
        assert_eq!(murmur2(key).cast_signed(), expected, "{key:?}");
    }

    /// Values that Kafka's own test of its hash names.
    #[test]
    fn keys_hash_as_kafka_hashes_them() {
        check(b"21", -973_932_308);
        check(b"foobar", -790_332_482);
        check(b"a-little-bit-long-string", -985_981_536);
        check(b"a-little-bit-longer-string", -1_486_304_829);
        check(b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971);
        check(b"abc", 479_470_107);
    }

    #[test]
    fn an_index_is_always_inside() {
        assert_eq!(partition_index(b"21", 1), 0);
        assert_eq!(partition_index(b"21", 0), 0);
        assert!((0..1000_u32).all(|n| partition_index(&n.to_le_bytes(), 7) < 7));
    }
}
