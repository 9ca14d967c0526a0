//! The time of day. Asked once per turn, not per message.

use std::time::{SystemTime, UNIX_EPOCH};

/// Wall-clock time in milliseconds of the Unix epoch.
pub(crate) fn wall_clock_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
