//! A no, and why: the code that the protocol has for it, and words for people. Never decides.

use tidewire_proto::mqtt::{Properties, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode};
use tidewire_store::CommitError;

use crate::metrics::{DropReason, FilterFault};

const STREAM_FULL: &str = "the stream is full of what its readers have not read";

/// Why something that a client asked for did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Denial {
    pub(crate) reason: ReasonCode,
    pub(crate) words: &'static str,
}

impl Denial {
    pub(crate) const fn new(reason: ReasonCode, words: &'static str) -> Self {
        Self { reason, words }
    }

    /// A message that is not taken.
    pub(crate) fn of_drop(reason: ReasonCode, why: DropReason) -> Self {
        let words = match why {
            DropReason::NotAuthorized => "the client may not publish there",
            DropReason::RetainedLimit => "there is no room for more retained messages",
            DropReason::DelayedLimit => "there is no room for more delayed messages",
            DropReason::UserProperties => "it has more user properties than it may",
            DropReason::RateLimit => "messages come faster than they may",
            DropReason::Loop => "it was here before, and came back over links",
            DropReason::Store => STREAM_FULL,
            _ => "the topic is too long, or is no valid $delayed topic",
        };
        Self { reason, words }
    }

    /// A message that the store did not take.
    pub(crate) fn of_commit(error: &CommitError) -> Self {
        match error {
            CommitError::DiskFull => Self::new(ReasonCode::QUOTA_EXCEEDED, "the disk is full"),
            CommitError::StreamFull(_) => Self::new(ReasonCode::QUOTA_EXCEEDED, STREAM_FULL),
            CommitError::TooLarge { .. } => Self::new(
                ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
                "together with others the message is too large for a file of the log",
            ),
            CommitError::UnknownPartition(_) | CommitError::Reserved => Self::new(
                ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR,
                "the stream of the message is not there",
            ),
            CommitError::Failed(_) | CommitError::Closed => Self::new(
                ReasonCode::UNSPECIFIED_ERROR,
                "the broker cannot write its data: see its log",
            ),
        }
    }
}

/// A filter that is not subscribed to: how that is counted, and what its client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilterDenial {
    pub(crate) counted: FilterFault,
    pub(crate) told: Denial,
}

impl FilterDenial {
    pub(crate) const fn new(counted: FilterFault, words: &'static str) -> Self {
        let reason = match counted {
            FilterFault::NotAuthorized => ReasonCode::NOT_AUTHORIZED,
            FilterFault::Malformed
            | FilterFault::TooLong
            | FilterFault::Levels
            | FilterFault::Combination => ReasonCode::TOPIC_FILTER_INVALID,
            FilterFault::Packet
            | FilterFault::Session
            | FilterFault::SessionGroups
            | FilterFault::Groups
            | FilterFault::Replays
            | FilterFault::Taken => ReasonCode::QUOTA_EXCEEDED,
            FilterFault::Gone => ReasonCode::UNSPECIFIED_ERROR,
        };
        Self { counted, told: Denial::new(reason, words) }
    }
}

/// What may be said to a client beside a reason code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hearing {
    /// The largest packet that it takes.
    pub(crate) bytes_max: u32,
    /// It speaks MQTT 5, and wants to hear it.
    pub(crate) wants_words: bool,
}

/// Puts a packet behind what `out` holds: with words if the client wants them and has room.
pub(crate) fn put_with_words(
    out: &mut Vec<u8>,
    words: Option<&str>,
    hearing: Hearing,
    put: impl Fn(Properties<'_>, &mut Vec<u8>),
) {
    let start = out.len();
    if let Some(words) = words.filter(|_| hearing.wants_words) {
        let mut properties = PropertiesBuilder::new();
        let pushed = properties.push(PropertyId::ReasonString, PropertyValue::Text(words));
        put(properties.as_properties(), out);
        if pushed.is_ok() && out.len() - start <= hearing.bytes_max as usize {
            return;
        }
        out.truncate(start);
    }
    put(Properties::EMPTY, out);
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PacketId;
    use tidewire_proto::mqtt::{Packet, PacketKind, ReasonCode, SubAck, Version, encode};

    use super::{Denial, Hearing, put_with_words};
    use crate::metrics::DropReason;
    use tidewire_store::CommitError;

    #[track_caller]
    fn check(words: Option<&str>, bytes_max: u32, wants_words: bool, expected: &[u8]) {
        let mut out = b"before".to_vec();
        put_with_words(&mut out, words, Hearing { bytes_max, wants_words }, |properties, out| {
            let codes = &[0x97];
            let ack = SubAck { packet_id: PacketId::MIN, properties, codes };
            encode(&Packet::SubAck(ack), Version::V5, out).expect("a valid packet");
        });
        assert_eq!(out.strip_prefix(b"before"), Some(expected));
    }

    #[test]
    fn words_are_for_who_wants_them_and_has_room() {
        let (plain, worded) =
            (b"\x90\x04\x00\x01\x00\x97", b"\x90\x08\x00\x01\x04\x1f\x00\x01x\x97");
        check(Some("x"), 10, true, worded);
        check(Some("x"), 9, true, plain);
        check(Some("x"), 10, false, plain);
        check(None, 10, true, plain);
    }

    #[test]
    fn a_message_that_is_not_taken_is_refused_with_a_code_that_its_answer_may_have() {
        let errors = [
            CommitError::DiskFull,
            CommitError::TooLarge { bytes: 2, limit: 1 },
            CommitError::Reserved,
            CommitError::Closed,
        ];
        for denial in errors.iter().map(Denial::of_commit) {
            assert!(denial.reason.is_error(), "{denial:?}");
            assert!(denial.reason.allowed_in(PacketKind::PubAck), "{denial:?}");
        }
        let full = Denial::of_drop(ReasonCode::QUOTA_EXCEEDED, DropReason::DelayedLimit);
        assert_eq!(full.words, "there is no room for more delayed messages");
    }
}
