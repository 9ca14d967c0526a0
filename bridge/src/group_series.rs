//! Names of the gauges that say how far groups are behind, consumer groups and share groups alike,
//! and what may stand in their labels: clients choose names of groups, and their own.

use std::borrow::Cow;
use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Records behind what a group has done with, by stream.
pub const LAG: &str = "tidewire_group_lag_messages";
/// How long ago the first of those records came.
pub const SECONDS: &str = "tidewire_group_lag_seconds";
/// Seconds until a group loses what it has not read; -1: never.
pub const LOSES_IN: &str = "tidewire_group_seconds_to_data_loss";
/// Records behind what a consumer group committed, by partition.
pub const GROUP_LAG: &str = "tidewire_consumer_group_lag";
/// How long ago the first of those records came.
pub const GROUP_SECONDS: &str = "tidewire_consumer_group_lag_seconds";
/// Records behind, of all partitions that a member reads.
pub const MEMBER_LAG: &str = "tidewire_consumer_group_member_lag";
/// How long ago the first of those records came.
pub const MEMBER_SECONDS: &str = "tidewire_consumer_group_member_lag_seconds";
/// All of these. A series of them is there as long as somebody holds its gauge.
pub const FLEETING: [&str; 7] =
    [LAG, SECONDS, LOSES_IN, GROUP_LAG, GROUP_SECONDS, MEMBER_LAG, MEMBER_SECONDS];
/// How many of them are not there because there are too many.
pub const LEFT_OUT: &str = "tidewire_group_series_left_out";
/// What that says.
pub const LEFT_OUT_HELP: &str = "Series of groups that are not shown: there are too many.";
/// Beyond so many at a time there are no more, of share groups and of consumer groups each.
pub const SERIES_MAX: usize = 10_000;
/// The longest name that is a label as it is.
const LABEL_BYTES_MAX: usize = 256;
/// Bytes of the hash that stands for the rest of a longer one.
const HASH_BYTES: usize = 8;

/// A name as a label: one that is long is cut, and a hash of all of it stands behind a `~`.
#[must_use]
pub fn label(name: &str) -> Cow<'_, str> {
    if name.len() <= LABEL_BYTES_MAX {
        return name.into();
    }
    let room = LABEL_BYTES_MAX - 2 * HASH_BYTES - '~'.len_utf8();
    let end = (0..=room).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    let mut short = format!("{}~", name.get(..end).unwrap_or_default());
    for byte in Sha256::digest(name.as_bytes()).iter().take(HASH_BYTES) {
        // Writing to a String cannot fail.
        let _ = write!(short, "{byte:02x}");
    }
    short.into()
}

#[cfg(test)]
mod tests {
    use super::{LABEL_BYTES_MAX, label};

    #[test]
    fn a_name_of_any_length_is_a_label_of_its_own_that_is_short() {
        let long = |last: &str| format!("$share/g/{}{last}", "\u{fc}/".repeat(20_000));
        let (one, two) = (long("a"), long("b"));
        let (one, two) = (label(&one), label(&two));
        assert_ne!(one, two);
        for short in [&one, &two] {
            assert!(short.len() <= LABEL_BYTES_MAX && short.starts_with("$share/g/"), "{short}");
        }
        let whole = "x".repeat(LABEL_BYTES_MAX);
        assert_eq!(label(&whole), whole);
        assert_eq!(label(&format!("{whole}x")).len(), LABEL_BYTES_MAX);
    }
}
