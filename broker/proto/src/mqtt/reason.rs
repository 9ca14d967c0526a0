//! Reason codes: their names, and which packet may carry which. Never decides on one.

use std::fmt;

use crate::mqtt::kind::PacketKind;
use crate::qos::Qos;

/// Why, in one byte. MQTT 5's codes; what 3.1.1 says with others is translated at the edge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReasonCode(pub u8);

impl ReasonCode {
    /// From here on a code is an error.
    const FIRST_ERROR: u8 = 0x80;

    /// Whether what was asked for did not happen.
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 >= Self::FIRST_ERROR
    }

    /// What SUBACK says when this QoS is granted.
    #[must_use]
    pub const fn granted(qos: Qos) -> Self {
        Self(qos.bits())
    }

    /// Whether MQTT 5 lists the code for this packet, in either direction.
    #[must_use]
    pub const fn allowed_in(self, kind: PacketKind) -> bool {
        places(self.0) & kind.bit() != 0
    }
}

const CONNACK: u16 = PacketKind::ConnAck.bit();
const PUBACK: u16 = PacketKind::PubAck.bit() | PacketKind::PubRec.bit();
const PUBREL: u16 = PacketKind::PubRel.bit() | PacketKind::PubComp.bit();
const SUBACK: u16 = PacketKind::SubAck.bit();
const UNSUBACK: u16 = PacketKind::UnsubAck.bit();
const DISCONNECT: u16 = PacketKind::Disconnect.bit();
const AUTH: u16 = PacketKind::Auth.bit();

/// One row per code: constant, number, words, packets.
macro_rules! reason_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $words:literal, $places:expr;)*) => {
        impl ReasonCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// All codes of MQTT 5, by number.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The specification's words; `None` for a code that it does not know.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                Some(match self.0 {
                    $($code => $words,)*
                    _ => return None,
                })
            }
        }

        /// The packets that may carry a code, one bit each.
        const fn places(code: u8) -> u16 {
            match code {
                $($code => $places,)*
                _ => 0,
            }
        }
    };
}

reason_codes! {
    /// It happened. In SUBACK: QoS 0 is granted. In DISCONNECT: a normal end.
    SUCCESS = 0x00, "success", CONNACK | PUBACK | PUBREL | SUBACK | UNSUBACK | DISCONNECT | AUTH;
    /// SUBACK: QoS 1 is granted.
    GRANTED_QOS_1 = 0x01, "granted QoS 1", SUBACK;
    /// SUBACK: QoS 2 is granted.
    GRANTED_QOS_2 = 0x02, "granted QoS 2", SUBACK;
    /// DISCONNECT: publish the will all the same.
    DISCONNECT_WITH_WILL = 0x04, "disconnect with will message", DISCONNECT;
    /// Stored, but nobody subscribes.
    NO_MATCHING_SUBSCRIBERS = 0x10, "no matching subscribers", PUBACK;
    /// UNSUBACK: there was nothing to end.
    NO_SUBSCRIPTION_EXISTED = 0x11, "no subscription existed", UNSUBACK;
    /// AUTH: another step follows.
    CONTINUE_AUTHENTICATION = 0x18, "continue authentication", AUTH;
    /// AUTH: begin again on an open connection.
    REAUTHENTICATE = 0x19, "re-authenticate", AUTH;
    /// The sender does not want to say more.
    UNSPECIFIED_ERROR = 0x80, "unspecified error",
        CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    /// The bytes are no packet.
    MALFORMED_PACKET = 0x81, "malformed packet", CONNACK | DISCONNECT;
    /// A packet that breaks a rule.
    PROTOCOL_ERROR = 0x82, "protocol error", CONNACK | DISCONNECT;
    /// A valid request that this implementation refuses.
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "implementation specific error",
        CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    /// Not a version that the server speaks.
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "unsupported protocol version", CONNACK;
    /// A client identifier that the server refuses.
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "client identifier not valid", CONNACK;
    /// Not who it says.
    BAD_USER_NAME_OR_PASSWORD = 0x86, "bad user name or password", CONNACK;
    /// May not do this.
    NOT_AUTHORIZED = 0x87, "not authorized", CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT;
    /// Not now.
    SERVER_UNAVAILABLE = 0x88, "server unavailable", CONNACK;
    /// Too much to do; try later.
    SERVER_BUSY = 0x89, "server busy", CONNACK | DISCONNECT;
    /// Shut out by an operator.
    BANNED = 0x8A, "banned", CONNACK;
    /// The server goes down.
    SERVER_SHUTTING_DOWN = 0x8B, "server shutting down", DISCONNECT;
    /// Not the authentication method in use.
    BAD_AUTHENTICATION_METHOD = 0x8C, "bad authentication method", CONNACK | DISCONNECT;
    /// Silent for longer than it promised.
    KEEP_ALIVE_TIMEOUT = 0x8D, "keep alive timeout", DISCONNECT;
    /// Another connection uses the client identifier now.
    SESSION_TAKEN_OVER = 0x8E, "session taken over", DISCONNECT;
    /// A filter that the server does not take.
    TOPIC_FILTER_INVALID = 0x8F, "topic filter invalid", SUBACK | UNSUBACK | DISCONNECT;
    /// A topic that the server does not take.
    TOPIC_NAME_INVALID = 0x90, "topic name invalid", CONNACK | PUBACK | DISCONNECT;
    /// The identifier belongs to another exchange.
    PACKET_IDENTIFIER_IN_USE = 0x91, "packet identifier in use", PUBACK | SUBACK | UNSUBACK;
    /// No exchange has the identifier.
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "packet identifier not found", PUBREL;
    /// More in flight than agreed.
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "receive maximum exceeded", DISCONNECT;
    /// An alias of 0 or above the maximum.
    TOPIC_ALIAS_INVALID = 0x94, "topic alias invalid", DISCONNECT;
    /// Larger than the receiver takes.
    PACKET_TOO_LARGE = 0x95, "packet too large", CONNACK | DISCONNECT;
    /// Too many messages in too short a time.
    MESSAGE_RATE_TOO_HIGH = 0x96, "message rate too high", DISCONNECT;
    /// A limit of the server is reached.
    QUOTA_EXCEEDED = 0x97, "quota exceeded", CONNACK | PUBACK | SUBACK | DISCONNECT;
    /// An operator closed the connection.
    ADMINISTRATIVE_ACTION = 0x98, "administrative action", DISCONNECT;
    /// The payload is not what its format says.
    PAYLOAD_FORMAT_INVALID = 0x99, "payload format invalid", CONNACK | PUBACK | DISCONNECT;
    /// The server keeps no retained messages.
    RETAIN_NOT_SUPPORTED = 0x9A, "retain not supported", CONNACK | DISCONNECT;
    /// A higher QoS than the server offers.
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported", CONNACK | DISCONNECT;
    /// For now, another server.
    USE_ANOTHER_SERVER = 0x9C, "use another server", CONNACK | DISCONNECT;
    /// For good, another server.
    SERVER_MOVED = 0x9D, "server moved", CONNACK | DISCONNECT;
    /// The server knows no `$share`.
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "shared subscriptions not supported",
        SUBACK | DISCONNECT;
    /// Too many connections in too short a time.
    CONNECTION_RATE_EXCEEDED = 0x9F, "connection rate exceeded", CONNACK | DISCONNECT;
    /// Connected for as long as is allowed.
    MAXIMUM_CONNECT_TIME = 0xA0, "maximum connect time", DISCONNECT;
    /// The server knows no subscription identifiers.
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "subscription identifiers not supported",
        SUBACK | DISCONNECT;
    /// The server knows no wildcards.
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "wildcard subscriptions not supported",
        SUBACK | DISCONNECT;
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => out.write_str(name),
            None => write!(out, "unknown reason 0x{:02x}", self.0),
        }
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "0x{:02x} {self}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::ReasonCode;
    use crate::mqtt::kind::PacketKind;
    use crate::qos::Qos;

    /// The codes of one packet as its section of the specification lists them.
    #[track_caller]
    fn check(kind: PacketKind, listed: &[u8]) {
        let allowed: Vec<u8> =
            (0..=255).filter(|code| ReasonCode(*code).allowed_in(kind)).collect();
        assert_eq!(allowed, listed, "{kind}");
    }

    #[test]
    fn each_packet_takes_the_codes_of_its_section() {
        let puback = [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
        check(PacketKind::PubAck, &puback);
        check(PacketKind::PubRec, &puback);
        check(PacketKind::PubRel, &[0, 0x92]);
        check(PacketKind::PubComp, &[0, 0x92]);
        check(PacketKind::SubAck, &[0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]);
        check(PacketKind::UnsubAck, &[0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]);
        check(PacketKind::Auth, &[0, 0x18, 0x19]);
        check(
            PacketKind::ConnAck,
            &[
                0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90,
                0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
            ],
        );
        check(
            PacketKind::Disconnect,
            &[
                0, 4, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x93,
                0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1,
                0xa2,
            ],
        );
        check(PacketKind::Publish, &[]);
    }

    #[test]
    fn an_unknown_code_prints_its_number() {
        assert_eq!(format!("{:?}", ReasonCode::QUOTA_EXCEEDED), "0x97 quota exceeded");
        assert_eq!(ReasonCode(0x7f).to_string(), "unknown reason 0x7f");
        assert!(!ReasonCode(0x7f).is_error());
        assert_eq!(ReasonCode::granted(Qos::ExactlyOnce), ReasonCode::GRANTED_QOS_2);
        assert_eq!(ReasonCode::ALL.len(), 43);
    }
}
