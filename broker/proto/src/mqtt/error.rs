//! What can be wrong with bytes, and with a packet that is to become bytes. Closed lists.

use thiserror::Error;

use crate::mqtt::kind::PacketKind;
use crate::mqtt::property::id::PropertyId;
use crate::mqtt::reason::ReasonCode;
use crate::topic::FilterError;

/// Why bytes are no packet that we take. Small and `Copy`; says in words what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind}")]
pub struct DecodeError {
    kind: DecodeErrorKind,
}

impl DecodeError {
    /// Which rule is broken.
    #[must_use]
    pub const fn kind(self) -> DecodeErrorKind {
        self.kind
    }

    /// The code that tells the peer, in CONNACK or DISCONNECT.
    #[must_use]
    pub const fn reason(self) -> ReasonCode {
        self.kind.reason()
    }
}

impl From<DecodeErrorKind> for DecodeError {
    #[cold]
    fn from(kind: DecodeErrorKind) -> Self {
        Self { kind }
    }
}

/// The rules that bytes can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeErrorKind {
    /// Type 0.
    #[error("packet type 0 is reserved")]
    ReservedPacketType,
    /// The low half of the first byte is fixed for all types but PUBLISH.
    #[error("reserved flags in the fixed header of {0}")]
    ReservedFlags(PacketKind),
    /// QoS 3, wherever a QoS stands.
    #[error("QoS 3 does not exist")]
    QosReserved,
    /// QoS 3 in subscription options: well formed, says the specification, but not allowed.
    #[error("QoS 3 cannot be subscribed to")]
    SubscribeQos,
    /// A QoS 0 message is never sent again.
    #[error("DUP is set on a QoS 0 message")]
    DupWithoutQos,
    /// A variable byte integer of five bytes, or with bytes it does not need.
    #[error("a variable byte integer is too long")]
    VarintTooLong,
    /// Larger than the limit given.
    #[error("the packet is larger than the limit")]
    PacketTooLarge,
    /// A field runs past the end of what holds it.
    #[error("a field runs past the end of the packet or of its properties")]
    Truncated,
    /// Bytes are left behind the last field.
    #[error("bytes are left over behind the last field of {0}")]
    TrailingBytes(PacketKind),
    /// A string is not well-formed UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A string holds U+0000.
    #[error("a string holds a null character")]
    NullCharacter,
    /// Packet identifiers begin at 1.
    #[error("packet identifier 0")]
    PacketIdZero,
    /// An empty topic, and no alias that stands for one.
    #[error("the topic is empty")]
    TopicEmpty,
    /// A topic of a PUBLISH or will, or a response topic, with `+` or `#`.
    #[error("the topic holds a wildcard")]
    TopicWildcard,
    /// A filter of a SUBSCRIBE or UNSUBSCRIBE.
    #[error("{0}")]
    Filter(FilterError),
    /// SUBSCRIBE or UNSUBSCRIBE about nothing.
    #[error("{0} without a filter")]
    NoFilters(PacketKind),
    /// The two high bits of subscription options, or six before MQTT 5.
    #[error("reserved bits in subscription options")]
    SubscribeOptionsReserved,
    /// Retain Handling is 0, 1 or 2.
    #[error("retain handling 3 does not exist")]
    RetainHandlingReserved,
    /// No Local on `$share`.
    #[error("No Local on a shared subscription")]
    NoLocalOnShared,
    /// No property has this identifier.
    #[error("unknown property 0x{0:02x}")]
    PropertyUnknown(u8),
    /// The property belongs to other packets.
    #[error("{0} does not belong in this packet")]
    PropertyNotAllowed(PropertyId),
    /// The property may stand once.
    #[error("{0} stands twice")]
    PropertyRepeated(PropertyId),
    /// The value is of the right type and out of range.
    #[error("{0} has a value that it may not have")]
    PropertyValue(PropertyId),
    /// Authentication data means nothing without a method.
    #[error("authentication data without an authentication method")]
    AuthMethodMissing,
    /// A reason code that this packet may not carry.
    #[error("{1} may not carry reason code 0x{0:02x}")]
    ReasonNotAllowed(u8, PacketKind),
    /// SUBACK or UNSUBACK that answers nothing.
    #[error("{0} without a reason code")]
    NoReasonCodes(PacketKind),
    /// Bit 0 of the connect flags.
    #[error("reserved bit in the connect flags")]
    ConnectFlagsReserved,
    /// Will QoS or Will Retain, and no will.
    #[error("will flags without a will")]
    WillFlagsWithoutWill,
    /// Before MQTT 5 a password needs a user name.
    #[error("a password without a user name")]
    PasswordWithoutUserName,
    /// Bits 7 to 1 of the CONNACK flags; before 3.1.1 bit 0 too.
    #[error("reserved bits in the CONNACK flags")]
    ConnAckFlagsReserved,
    /// A refused connection has no session.
    #[error("Session Present with an error code")]
    SessionPresentWithError,
    /// CONNECT of some other protocol.
    #[error("the protocol name is neither MQTT nor MQIsdp")]
    ProtocolName,
    /// CONNECT with a level that does not go with its protocol name.
    #[error("protocol level {0} is not supported")]
    ProtocolLevel(u8),
    /// AUTH before MQTT 5.
    #[error("this protocol version has no {0}")]
    NotInVersion(PacketKind),
}

impl DecodeErrorKind {
    /// The code that tells the peer, in CONNACK or DISCONNECT.
    #[must_use]
    pub const fn reason(self) -> ReasonCode {
        match self {
            Self::PacketTooLarge => ReasonCode::PACKET_TOO_LARGE,
            Self::ProtocolName | Self::ProtocolLevel(_) => ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
            Self::TopicWildcard => ReasonCode::TOPIC_NAME_INVALID,
            Self::Filter(_) => ReasonCode::TOPIC_FILTER_INVALID,
            Self::PropertyValue(PropertyId::TopicAlias) => ReasonCode::TOPIC_ALIAS_INVALID,
            Self::PacketIdZero
            | Self::TopicEmpty
            | Self::NoFilters(_)
            | Self::SubscribeQos
            | Self::RetainHandlingReserved
            | Self::NoLocalOnShared
            | Self::PropertyRepeated(_)
            | Self::PropertyValue(_)
            | Self::AuthMethodMissing
            | Self::ReasonNotAllowed(..)
            | Self::NoReasonCodes(_)
            | Self::PasswordWithoutUserName
            | Self::SessionPresentWithError
            | Self::NotInVersion(_) => ReasonCode::PROTOCOL_ERROR,
            Self::ReservedPacketType
            | Self::ReservedFlags(_)
            | Self::QosReserved
            | Self::DupWithoutQos
            | Self::VarintTooLong
            | Self::Truncated
            | Self::TrailingBytes(_)
            | Self::NotUtf8
            | Self::NullCharacter
            | Self::SubscribeOptionsReserved
            | Self::PropertyUnknown(_)
            | Self::PropertyNotAllowed(_)
            | Self::ConnectFlagsReserved
            | Self::WillFlagsWithoutWill
            | Self::ConnAckFlagsReserved => ReasonCode::MALFORMED_PACKET,
        }
    }
}

/// Why a packet cannot be written. The buffer is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Our own decoder, and so any strict peer, would refuse it.
    #[error("the packet would be refused: {0}")]
    Refused(DecodeErrorKind),
    /// A string or binary field of more than 65,535 bytes.
    #[error("a string or binary field is longer than 65535 bytes")]
    FieldTooLong,
    /// The whole is larger than any packet can be.
    #[error("the packet is larger than 268435455 bytes")]
    PacketTooLarge,
    /// A value of another type than the property has.
    #[error("{0} does not take a value of this type")]
    PropertyType(PropertyId),
    /// QoS 1 or 2 needs a packet identifier.
    #[error("a QoS 1 or QoS 2 message without packet identifier")]
    PacketIdMissing,
}

impl From<DecodeError> for EncodeError {
    #[cold]
    fn from(error: DecodeError) -> Self {
        Self::Refused(error.kind)
    }
}

impl From<DecodeErrorKind> for EncodeError {
    #[cold]
    fn from(kind: DecodeErrorKind) -> Self {
        Self::Refused(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::DecodeError;

    #[test]
    fn an_error_fits_in_a_register() {
        assert!(size_of::<DecodeError>() <= 8);
    }
}
