//! What an answer means for what was sent. Pure.

use std::time::Duration;

/// What becomes of a request's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The receiver has them.
    Taken,
    /// It has no time for them, or is behind a door that is shut: as often as it takes.
    Later,
    /// It broke over them: so often, and no more.
    Broken,
    /// They are not what it takes.
    Unwanted,
}

/// By the status.
pub(super) fn judge(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Taken,
        // About us, the way there, or its load; not about what was sent.
        0..=199 | 300..=399 | 401..=408 | 410 | 421 | 425 | 426 | 429 => Verdict::Later,
        502..=504 => Verdict::Later,
        400..=499 => Verdict::Unwanted,
        _ => Verdict::Broken,
    }
}

/// How long it is waited where the receiver says how long, in seconds; a date is not understood.
/// At least some time: who says 0 is not to be asked all the time.
pub(super) fn retry_after(value: &str, least: Duration, most: Duration) -> Option<Duration> {
    value.trim().parse().ok().map(|seconds| Duration::from_secs(seconds).min(most).max(least))
}

/// What a status says, for people.
pub(super) fn words(status: u16) -> &'static str {
    match status {
        301 | 302 | 303 | 307 | 308 => "it names another address; none but the url is used",
        400 | 422 => "it cannot use what was sent",
        401 => "it wants to know who we are: see authorization_file",
        403 => "we may not",
        404 | 410 => "there is nothing at that address: see url",
        405 => "it takes no POST there",
        407 => "a proxy wants to know who we are",
        408 => "it did not hear all in time",
        413 => "too large for it: see request_bytes_max",
        415 => "it takes no JSON",
        429 => "too many requests",
        500 => "it failed",
        502 | 504 => "nobody is there behind its proxy",
        503 => "it has no time now",
        _ => "it says so",
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Verdict, judge, retry_after};

    #[test]
    fn only_what_is_about_the_message_gives_it_up() {
        for (verdict, statuses) in [
            (Verdict::Taken, &[200, 202, 204, 299][..]),
            (Verdict::Later, &[301, 308, 401, 403, 404, 405, 407, 408, 410, 429, 502, 503, 504]),
            (Verdict::Unwanted, &[400, 409, 413, 415, 418, 422, 431]),
            (Verdict::Broken, &[500, 501, 505, 599, 999]),
        ] {
            for status in statuses {
                assert_eq!(judge(*status), verdict, "{status}");
            }
        }
    }

    #[test]
    fn the_receiver_may_have_us_wait_but_not_for_ever_and_not_hurry() {
        let (least, most) = (Duration::from_secs(1), Duration::from_secs(60));
        for (value, expected) in [
            ("7", Some(7)),
            (" 7 ", Some(7)),
            ("0", Some(1)),
            ("900000", Some(60)),
            ("-1", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            assert_eq!(retry_after(value, least, most).map(|it| it.as_secs()), expected, "{value}");
        }
    }
}
