//! The table of properties: number, type, where each may stand. Never reads bytes.

use std::fmt;

use crate::mqtt::kind::PacketKind;

/// Where properties stand: in a packet, or in the will inside CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyPlace {
    /// The properties of a packet.
    Packet(PacketKind),
    /// The will properties in CONNECT.
    Will,
}

impl PropertyPlace {
    const fn bit(self) -> u16 {
        match self {
            Self::Packet(kind) => kind.bit(),
            Self::Will => WILL,
        }
    }
}

/// The type of a value on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueType {
    Byte,
    TwoByte,
    FourByte,
    Varint,
    Text,
    Binary,
    Pair,
}

/// Which values of the type are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueRule {
    Any,
    NotZero,
    ZeroOrOne,
    Topic,
}

/// No packet has type 0, so its bit is free for the will.
const WILL: u16 = 1;
const CONNECT: u16 = PacketKind::Connect.bit();
const CONNACK: u16 = PacketKind::ConnAck.bit();
const PUBLISH: u16 = PacketKind::Publish.bit();
const SUBSCRIBE: u16 = PacketKind::Subscribe.bit();
const DISCONNECT: u16 = PacketKind::Disconnect.bit();
const AUTH: u16 = PacketKind::Auth.bit();
const ACKS: u16 = PacketKind::PubAck.bit()
    | PacketKind::PubRec.bit()
    | PacketKind::PubRel.bit()
    | PacketKind::PubComp.bit()
    | PacketKind::SubAck.bit()
    | PacketKind::UnsubAck.bit();
const ALL: u16 = WILL
    | CONNECT
    | CONNACK
    | PUBLISH
    | SUBSCRIBE
    | PacketKind::Unsubscribe.bit()
    | ACKS
    | DISCONNECT
    | AUTH;

/// One row per property: name, number, type, rule, places, words.
macro_rules! properties {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $type:ident $rule:ident, $places:expr,
       $words:literal;)*) => {
        /// Names a property on the wire.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum PropertyId {
            $($(#[$doc])* $name = $id,)*
        }

        impl PropertyId {
            /// All of them, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The property with this number.
            #[must_use]
            pub const fn from_bits(bits: u8) -> Option<Self> {
                Some(match bits {
                    $($id => Self::$name,)*
                    _ => return None,
                })
            }

            pub(crate) const fn value_type(self) -> ValueType {
                match self {
                    $(Self::$name => ValueType::$type,)*
                }
            }

            pub(crate) const fn rule(self) -> ValueRule {
                match self {
                    $(Self::$name => ValueRule::$rule,)*
                }
            }

            const fn places(self) -> u16 {
                match self {
                    $(Self::$name => $places,)*
                }
            }

            /// The name as the specification writes it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $words,)*
                }
            }
        }
    };
}

properties! {
    /// Whether the payload is UTF-8 (1) or just bytes (0).
    PayloadFormat = 1, Byte ZeroOrOne, PUBLISH | WILL, "Payload Format Indicator";
    /// Seconds that the message is worth delivering.
    MessageExpiry = 2, FourByte Any, PUBLISH | WILL, "Message Expiry Interval";
    /// What the payload is, in words of the application.
    ContentType = 3, Text Any, PUBLISH | WILL, "Content Type";
    /// Where an answer should be published.
    ResponseTopic = 8, Text Topic, PUBLISH | WILL, "Response Topic";
    /// What an answer should carry back.
    CorrelationData = 9, Binary Any, PUBLISH | WILL, "Correlation Data";
    /// A number for a subscription, given back with each message for it.
    SubscriptionId = 11, Varint NotZero, PUBLISH | SUBSCRIBE, "Subscription Identifier";
    /// Seconds that the session outlives the connection.
    SessionExpiry = 17, FourByte Any, CONNECT | CONNACK | DISCONNECT, "Session Expiry Interval";
    /// The client identifier that the server chose.
    AssignedClientId = 18, Text Any, CONNACK, "Assigned Client Identifier";
    /// The keep alive that the server wants instead.
    ServerKeepAlive = 19, TwoByte Any, CONNACK, "Server Keep Alive";
    /// The name of an enhanced authentication.
    AuthenticationMethod = 21, Text Any, CONNECT | CONNACK | AUTH, "Authentication Method";
    /// What the method exchanges.
    AuthenticationData = 22, Binary Any, CONNECT | CONNACK | AUTH, "Authentication Data";
    /// Whether the client wants reason strings everywhere.
    RequestProblemInformation = 23, Byte ZeroOrOne, CONNECT, "Request Problem Information";
    /// Seconds between the end of the connection and the will.
    WillDelay = 24, FourByte Any, WILL, "Will Delay Interval";
    /// Whether the client wants response information.
    RequestResponseInformation = 25, Byte ZeroOrOne, CONNECT, "Request Response Information";
    /// A base for response topics.
    ResponseInformation = 26, Text Any, CONNACK, "Response Information";
    /// Another server.
    ServerReference = 28, Text Any, CONNACK | DISCONNECT, "Server Reference";
    /// The reason in words, for a person.
    ReasonString = 31, Text Any, CONNACK | ACKS | DISCONNECT | AUTH, "Reason String";
    /// The most QoS 1 and 2 messages in flight to the sender of this.
    ReceiveMaximum = 33, TwoByte NotZero, CONNECT | CONNACK, "Receive Maximum";
    /// The highest topic alias that the sender of this takes.
    TopicAliasMaximum = 34, TwoByte Any, CONNECT | CONNACK, "Topic Alias Maximum";
    /// A number that stands for the topic.
    TopicAlias = 35, TwoByte NotZero, PUBLISH, "Topic Alias";
    /// The highest QoS that the server takes, if not 2.
    MaximumQos = 36, Byte ZeroOrOne, CONNACK, "Maximum QoS";
    /// Whether the server keeps retained messages.
    RetainAvailable = 37, Byte ZeroOrOne, CONNACK, "Retain Available";
    /// A name and a value of the application's own.
    UserProperty = 38, Pair Any, ALL, "User Property";
    /// The largest packet that the sender of this takes.
    MaximumPacketSize = 39, FourByte NotZero, CONNECT | CONNACK, "Maximum Packet Size";
    /// Whether the server knows wildcards.
    WildcardSubscriptionAvailable = 40, Byte ZeroOrOne, CONNACK,
        "Wildcard Subscription Available";
    /// Whether the server knows subscription identifiers.
    SubscriptionIdsAvailable = 41, Byte ZeroOrOne, CONNACK, "Subscription Identifiers Available";
    /// Whether the server knows `$share`.
    SharedSubscriptionAvailable = 42, Byte ZeroOrOne, CONNACK, "Shared Subscription Available";
}

impl PropertyId {
    /// The number on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self as u8
    }

    /// Whether the property may stand there, from either side.
    #[must_use]
    pub const fn allowed_in(self, place: PropertyPlace) -> bool {
        self.places() & place.bit() != 0
    }

    /// Whether it may stand there more than once.
    pub(crate) const fn repeats_in(self, place: PropertyPlace) -> bool {
        match self {
            Self::UserProperty => true,
            Self::SubscriptionId => place.bit() == PUBLISH,
            _ => false,
        }
    }
}

impl fmt::Display for PropertyId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{PropertyId, PropertyPlace};
    use crate::mqtt::kind::PacketKind;

    #[track_caller]
    fn check(place: PropertyPlace, listed: &[u8]) {
        let allowed: Vec<u8> =
            PropertyId::ALL.iter().filter(|id| id.allowed_in(place)).map(|id| id.bits()).collect();
        assert_eq!(allowed, listed, "{place:?}");
    }

    #[test]
    fn each_place_takes_the_properties_of_its_section() {
        check(PropertyPlace::Will, &[1, 2, 3, 8, 9, 24, 38]);
        for (kind, listed) in [
            (PacketKind::Connect, &[17, 21, 22, 23, 25, 33, 34, 38, 39][..]),
            (
                PacketKind::ConnAck,
                &[17, 18, 19, 21, 22, 26, 28, 31, 33, 34, 36, 37, 38, 39, 40, 41, 42],
            ),
            (PacketKind::Publish, &[1, 2, 3, 8, 9, 11, 35, 38]),
            (PacketKind::PubAck, &[31, 38]),
            (PacketKind::PubRec, &[31, 38]),
            (PacketKind::PubRel, &[31, 38]),
            (PacketKind::PubComp, &[31, 38]),
            (PacketKind::Subscribe, &[11, 38]),
            (PacketKind::SubAck, &[31, 38]),
            (PacketKind::Unsubscribe, &[38]),
            (PacketKind::UnsubAck, &[31, 38]),
            (PacketKind::PingReq, &[]),
            (PacketKind::PingResp, &[]),
            (PacketKind::Disconnect, &[17, 28, 31, 38]),
            (PacketKind::Auth, &[21, 22, 31, 38]),
        ] {
            check(PropertyPlace::Packet(kind), listed);
        }
    }

    #[test]
    fn a_number_goes_there_and_back() {
        assert_eq!(PropertyId::ALL.len(), 27);
        for id in PropertyId::ALL {
            assert_eq!(PropertyId::from_bits(id.bits()), Some(*id));
        }
        assert_eq!(PropertyId::from_bits(0), None);
        assert_eq!(PropertyId::from_bits(43), None);
    }
}
