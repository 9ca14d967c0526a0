//! What the other side answers, in words, and whether it may answer otherwise another time.
//! Decides nothing else.

use tidewire_proto::mqtt::{Properties, ReasonCode};

/// What a refusal of a message means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is refused each time.
    Final,
    /// It may be taken later.
    Passing,
    /// Nobody knows: tried some times.
    Unclear,
}

/// What a refusal of a message means.
pub(crate) fn refusal(reason: ReasonCode) -> Refusal {
    match reason.0 {
        // Quota exceeded, server busy, message rate too high: it has no room now.
        0x97 | 0x89 | 0x96 => Refusal::Passing,
        // Unspecified error, implementation specific error.
        0x80 | 0x83 => Refusal::Unclear,
        _ => Refusal::Final,
    }
}

/// So much of what the other side says, or of a topic, is enough to know it by.
const CUT_BYTES: usize = 300;

/// The beginning of a text.
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(CUT_BYTES)]
}

/// A reason, with what the other side says about it.
#[must_use]
pub fn reason(reason: ReasonCode, properties: Properties<'_>) -> String {
    match properties.reason_string() {
        Some(said) => format!("{reason} ({})", cut(said)),
        None => reason.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::mqtt::{Properties, ReasonCode};

    use super::{Refusal, reason, refusal};

    #[test]
    fn a_full_disk_there_is_no_reason_to_drop_a_message() {
        for (code, expected) in [
            (0x97, Refusal::Passing),
            (0x80, Refusal::Unclear),
            (0x87, Refusal::Final),
            (0x90, Refusal::Final),
            (0x95, Refusal::Final),
            (0x99, Refusal::Final),
        ] {
            assert_eq!(refusal(ReasonCode(code)), expected, "{code:x}");
        }
        assert!(reason(ReasonCode(0x87), Properties::EMPTY).contains("uthorized"));
    }
}
