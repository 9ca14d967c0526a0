//! What the specification, and where it leaves a choice our house, says to a fault. The table that
//! every generated expectation comes from; it knows nothing of the broker's code.

use super::case::{Answer, Case, Dialect, Setup};

/// What can be wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes do not have the form of a packet.
    Malformed,
    /// They do, and may not be sent, or not now, or not with these values.
    Protocol,
    /// A topic holds a wildcard.
    TopicName,
    /// A filter breaks the grammar of filters.
    TopicFilter,
    /// An alias of 0, or beyond what was announced.
    TopicAlias,
    /// More bytes than a packet may have.
    TooLarge,
    /// CONNECT names a level that we do not speak.
    Level(u8),
    /// The first packet is fit for nothing that we could answer.
    Stranger,
}

/// What is right to happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is taken; these bytes are answered.
    Good(Vec<u8>),
    /// It is taken, and it ends the connection: DISCONNECT.
    Ends,
    /// It ends the connection.
    Bad(Fault),
}

/// Shorthand for the most frequent verdicts.
pub(super) const MALFORMED: Verdict = Verdict::Bad(Fault::Malformed);
pub(super) const PROTOCOL: Verdict = Verdict::Bad(Fault::Protocol);

impl Verdict {
    pub(super) fn case(
        &self,
        name: String,
        dialect: Dialect,
        setup: Setup,
        bytes: Vec<u8>,
    ) -> Case {
        let expected = match self {
            Self::Good(replies) => Answer::Answered(replies.clone()),
            Self::Ends => Answer::Closed,
            Self::Bad(fault) => fault.answer(dialect, setup),
        };
        Case { name, dialect, setup, bytes, expected: vec![expected] }
    }
}

impl Fault {
    /// Before MQTT 5 a server has no word for a fault. With MQTT 5 it says DISCONNECT, but not
    /// before CONNACK (3.14.0-1); there a CONNACK with a reason is allowed, and we give one where
    /// the peer may be a decent client of another version.
    fn answer(self, dialect: Dialect, setup: Setup) -> Answer {
        match (self, dialect, setup) {
            // Newer protocols read MQTT 5's form, older ones that of 3.1.1.
            (Self::Level(level), _, Setup::Fresh) if level > 5 => Answer::Connack(0x84),
            (Self::Level(_), _, Setup::Fresh) => Answer::Connack(0x01),
            (_, Dialect::V31 | Dialect::V311, _) | (_, _, Setup::Fresh) => Answer::Closed,
            (fault, Dialect::V5, Setup::Connected) => Answer::Disconnect(fault.reason()),
        }
    }

    const fn reason(self) -> u8 {
        match self {
            Self::Malformed | Self::Stranger => 0x81,
            Self::Protocol | Self::Level(_) => 0x82,
            Self::TopicFilter => 0x8f,
            Self::TopicName => 0x90,
            Self::TopicAlias => 0x94,
            Self::TooLarge => 0x95,
        }
    }
}
