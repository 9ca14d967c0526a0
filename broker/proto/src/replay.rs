//! Subscriptions that begin in the past: how a client writes them. Knows no log.

/// What a filter begins with that names its beginning.
const PREFIX: &str = "$s/";
const EARLIEST: &str = "earliest";
/// Microseconds of a millisecond.
const MICROS: u64 = 1_000;

/// The name of the user property of a SUBSCRIBE that says the same as the prefix of a filter.
pub const PROPERTY: &str = "from";

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the oldest message that there is.
    Earliest,
    /// With the first message received at this time or later, in milliseconds of the Unix epoch.
    At(i64),
}

/// `earliest`, or a time in microseconds of the Unix epoch.
#[must_use]
pub fn parse_start(text: &str) -> Option<Start> {
    if text == EARLIEST {
        return Some(Start::Earliest);
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros: u64 = text.parse().ok()?;
    i64::try_from(micros / MICROS).ok().map(Start::At)
}

/// Takes `$s/start/filter` apart; `None` when the filter does not begin so.
///
/// # Errors
/// When it does and does not go on as it should.
pub fn split_start(filter: &str) -> Result<Option<(Start, &str)>, BadStart> {
    let Some(rest) = filter.strip_prefix(PREFIX) else { return Ok(None) };
    let (start, filter) = rest.split_once('/').ok_or(BadStart)?;
    if filter.is_empty() {
        return Err(BadStart);
    }
    Ok(Some((parse_start(start).ok_or(BadStart)?, filter)))
}

/// A filter that begins with `$s/` and names no beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("after $s/ comes \"earliest\" or a time in microseconds, then a filter")]
pub struct BadStart;

#[cfg(test)]
mod tests {
    use super::{BadStart, Start, parse_start, split_start};

    #[test]
    fn a_beginning_is_a_word_or_a_time() {
        let at = Start::At(1_700_000_000_123);
        assert_eq!(split_start("$s/earliest/a/#"), Ok(Some((Start::Earliest, "a/#"))));
        assert_eq!(split_start("$s/1700000000123456/a"), Ok(Some((at, "a"))));
        assert_eq!(split_start("$s/0/+"), Ok(Some((Start::At(0), "+"))));
        assert_eq!(split_start("a/$s/earliest/b"), Ok(None));
        for wrong in ["$s/", "$s/earliest", "$s/earliest/", "$s/late/a", "$s/-1/a", "$s/+1/a"] {
            assert_eq!(split_start(wrong), Err(BadStart), "{wrong}");
        }
        assert_eq!(parse_start("99999999999999999999999"), None, "no time is that late");
    }
}
