//! Properties as a checked view over bytes. Never owns them; never copies.

use crate::mqtt::error::{DecodeError, DecodeErrorKind};
use crate::mqtt::primitive::{Reader, check_topic_bytes};
use crate::mqtt::property::id::{PropertyId, PropertyPlace, ValueRule, ValueType};
use crate::qos::Qos;

/// The value of one property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PropertyValue<'a> {
    /// One byte.
    Byte(u8),
    /// Two bytes.
    TwoByte(u16),
    /// Four bytes.
    FourByte(u32),
    /// A variable byte integer.
    Varint(u32),
    /// A string.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
    /// A name and a value.
    Pair(&'a str, &'a str),
}

/// The properties of a packet or will, without their length.
///
/// Invariant: the bytes are whole properties with values in range. Whether they may stand where
/// they stand is checked when a packet is decoded or encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

impl<'a> Properties<'a> {
    /// No properties.
    pub const EMPTY: Self = Self(&[]);

    /// Checks bytes that were stored from [`Properties::raw`] or came from elsewhere.
    ///
    /// # Errors
    /// The first rule that the bytes break, at that place.
    pub fn parse(raw: &'a [u8], place: PropertyPlace) -> Result<Self, DecodeError> {
        check_all(raw, place, |reader, id| check_value(id, read_value(reader, id)?))?;
        Ok(Self(raw))
    }

    /// For bytes that were written property by property.
    pub(crate) const fn trusted(raw: &'a [u8]) -> Self {
        Self(raw)
    }

    /// Reads the length and the properties behind it.
    #[inline]
    pub(crate) fn decode(
        reader: &mut Reader<'a>,
        place: PropertyPlace,
    ) -> Result<Self, DecodeError> {
        let length = reader.varint()?;
        if length == 0 {
            return Ok(Self::EMPTY);
        }
        let raw = usize::try_from(length).map_err(|_| DecodeErrorKind::Truncated)?;
        Self::parse(reader.bytes(raw)?, place)
    }

    /// Checks that all properties may stand there, each as often as it does.
    pub(crate) fn check(self, place: PropertyPlace) -> Result<(), DecodeError> {
        check_all(self.0, place, skip_value)
    }

    /// The bytes, without their length.
    #[must_use]
    pub const fn raw(self) -> &'a [u8] {
        self.0
    }

    /// Whether there is no property.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// All properties, in the order of the wire.
    pub fn iter(self) -> impl Iterator<Item = (PropertyId, PropertyValue<'a>)> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            let id = read_id(&mut reader).ok()?;
            Some((id, read_value(&mut reader, id).ok()?))
        })
    }

    /// Whether there is one that is not of the application's own.
    #[must_use]
    pub fn has_ours(self) -> bool {
        let mut reader = Reader::new(self.0);
        while let Ok(id) = read_id(&mut reader) {
            if id.value_type() != ValueType::Pair {
                return true;
            }
            if skip_value(&mut reader, id).is_err() {
                return false;
            }
        }
        false
    }

    fn find(self, wanted: PropertyId) -> Option<PropertyValue<'a>> {
        let mut reader = Reader::new(self.0);
        while !reader.is_empty() {
            let id = read_id(&mut reader).ok()?;
            if id == wanted {
                return read_value(&mut reader, id).ok();
            }
            skip_value(&mut reader, id).ok()?;
        }
        None
    }

    fn number(self, wanted: PropertyId) -> Option<u32> {
        match self.find(wanted)? {
            PropertyValue::Byte(value) => Some(u32::from(value)),
            PropertyValue::TwoByte(value) => Some(u32::from(value)),
            PropertyValue::FourByte(value) | PropertyValue::Varint(value) => Some(value),
            _ => None,
        }
    }

    fn short(self, wanted: PropertyId) -> Option<u16> {
        self.number(wanted).and_then(|value| u16::try_from(value).ok())
    }

    fn flag(self, wanted: PropertyId) -> Option<bool> {
        self.number(wanted).map(|value| value != 0)
    }

    fn text(self, wanted: PropertyId) -> Option<&'a str> {
        match self.find(wanted)? {
            PropertyValue::Text(text) => Some(text),
            _ => None,
        }
    }

    fn binary(self, wanted: PropertyId) -> Option<&'a [u8]> {
        match self.find(wanted)? {
            PropertyValue::Binary(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// One accessor per property; `None` when it does not stand here.
impl<'a> Properties<'a> {
    /// 1 when the payload is UTF-8, 0 when it is just bytes.
    #[must_use]
    pub fn payload_format(self) -> Option<u8> {
        self.number(PropertyId::PayloadFormat).and_then(|value| u8::try_from(value).ok())
    }

    /// Seconds that the message is worth delivering.
    #[must_use]
    pub fn message_expiry(self) -> Option<u32> {
        self.number(PropertyId::MessageExpiry)
    }

    /// What the payload is.
    #[must_use]
    pub fn content_type(self) -> Option<&'a str> {
        self.text(PropertyId::ContentType)
    }

    /// Where an answer should be published: a topic without wildcards.
    #[must_use]
    pub fn response_topic(self) -> Option<&'a str> {
        self.text(PropertyId::ResponseTopic)
    }

    /// What an answer should carry back.
    #[must_use]
    pub fn correlation_data(self) -> Option<&'a [u8]> {
        self.binary(PropertyId::CorrelationData)
    }

    /// The subscription identifiers, none of them 0. In SUBSCRIBE at most one.
    pub fn subscription_ids(self) -> impl Iterator<Item = u32> {
        self.iter().filter_map(|(id, value)| match (id, value) {
            (PropertyId::SubscriptionId, PropertyValue::Varint(value)) => Some(value),
            _ => None,
        })
    }

    /// Names and values of the application's own, in order, repeats kept.
    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|(_, value)| match value {
            PropertyValue::Pair(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// The same as bytes, which are not looked at once more: they were checked when they came.
    pub fn user_bytes(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || {
            loop {
                match read_id(&mut reader).ok()? {
                    id if id.value_type() == ValueType::Pair => {
                        return Some((reader.binary().ok()?, reader.binary().ok()?));
                    }
                    id => skip_value(&mut reader, id).ok()?,
                }
            }
        })
    }

    /// Seconds that the session outlives the connection.
    #[must_use]
    pub fn session_expiry(self) -> Option<u32> {
        self.number(PropertyId::SessionExpiry)
    }

    /// The client identifier that the server chose.
    #[must_use]
    pub fn assigned_client_id(self) -> Option<&'a str> {
        self.text(PropertyId::AssignedClientId)
    }

    /// The keep alive in seconds that the server wants instead.
    #[must_use]
    pub fn server_keep_alive(self) -> Option<u16> {
        self.short(PropertyId::ServerKeepAlive)
    }

    /// The name of an enhanced authentication.
    #[must_use]
    pub fn authentication_method(self) -> Option<&'a str> {
        self.text(PropertyId::AuthenticationMethod)
    }

    /// What the method exchanges.
    #[must_use]
    pub fn authentication_data(self) -> Option<&'a [u8]> {
        self.binary(PropertyId::AuthenticationData)
    }

    /// Whether the client wants reason strings everywhere.
    #[must_use]
    pub fn request_problem_information(self) -> Option<bool> {
        self.flag(PropertyId::RequestProblemInformation)
    }

    /// Seconds between the end of the connection and the will.
    #[must_use]
    pub fn will_delay(self) -> Option<u32> {
        self.number(PropertyId::WillDelay)
    }

    /// Whether the client wants response information.
    #[must_use]
    pub fn request_response_information(self) -> Option<bool> {
        self.flag(PropertyId::RequestResponseInformation)
    }

    /// A base for response topics.
    #[must_use]
    pub fn response_information(self) -> Option<&'a str> {
        self.text(PropertyId::ResponseInformation)
    }

    /// Another server.
    #[must_use]
    pub fn server_reference(self) -> Option<&'a str> {
        self.text(PropertyId::ServerReference)
    }

    /// The reason in words.
    #[must_use]
    pub fn reason_string(self) -> Option<&'a str> {
        self.text(PropertyId::ReasonString)
    }

    /// The most QoS 1 and 2 messages in flight, never 0.
    #[must_use]
    pub fn receive_maximum(self) -> Option<u16> {
        self.short(PropertyId::ReceiveMaximum)
    }

    /// The highest topic alias that the sender takes.
    #[must_use]
    pub fn topic_alias_maximum(self) -> Option<u16> {
        self.short(PropertyId::TopicAliasMaximum)
    }

    /// The number that stands for the topic, never 0.
    #[must_use]
    pub fn topic_alias(self) -> Option<u16> {
        self.short(PropertyId::TopicAlias)
    }

    /// The highest QoS that the server takes.
    #[must_use]
    pub fn maximum_qos(self) -> Option<Qos> {
        let bits = self.number(PropertyId::MaximumQos)?;
        u8::try_from(bits).ok().and_then(Qos::from_bits)
    }

    /// Whether the server keeps retained messages.
    #[must_use]
    pub fn retain_available(self) -> Option<bool> {
        self.flag(PropertyId::RetainAvailable)
    }

    /// The largest packet in bytes that the sender takes, never 0.
    #[must_use]
    pub fn maximum_packet_size(self) -> Option<u32> {
        self.number(PropertyId::MaximumPacketSize)
    }

    /// Whether the server knows wildcards.
    #[must_use]
    pub fn wildcard_subscription_available(self) -> Option<bool> {
        self.flag(PropertyId::WildcardSubscriptionAvailable)
    }

    /// Whether the server knows subscription identifiers.
    #[must_use]
    pub fn subscription_ids_available(self) -> Option<bool> {
        self.flag(PropertyId::SubscriptionIdsAvailable)
    }

    /// Whether the server knows `$share`.
    #[must_use]
    pub fn shared_subscription_available(self) -> Option<bool> {
        self.flag(PropertyId::SharedSubscriptionAvailable)
    }
}

fn read_id(reader: &mut Reader<'_>) -> Result<PropertyId, DecodeError> {
    let bits = reader.u8()?;
    PropertyId::from_bits(bits).ok_or_else(|| DecodeErrorKind::PropertyUnknown(bits).into())
}

/// Reads a value; it is of the right type, and not yet known to be in range.
fn read_value<'a>(
    reader: &mut Reader<'a>,
    id: PropertyId,
) -> Result<PropertyValue<'a>, DecodeError> {
    Ok(match id.value_type() {
        ValueType::Byte => PropertyValue::Byte(reader.u8()?),
        ValueType::TwoByte => PropertyValue::TwoByte(reader.u16()?),
        ValueType::FourByte => PropertyValue::FourByte(reader.u32()?),
        ValueType::Varint => PropertyValue::Varint(reader.varint()?),
        ValueType::Text => PropertyValue::Text(reader.text()?),
        ValueType::Binary => PropertyValue::Binary(reader.binary()?),
        ValueType::Pair => PropertyValue::Pair(reader.text()?, reader.text()?),
    })
}

/// Steps over a value that was checked before.
fn skip_value(reader: &mut Reader<'_>, id: PropertyId) -> Result<(), DecodeError> {
    match id.value_type() {
        ValueType::Byte => reader.u8().map(drop),
        ValueType::TwoByte => reader.u16().map(drop),
        ValueType::FourByte => reader.u32().map(drop),
        ValueType::Varint => reader.varint().map(drop),
        ValueType::Text | ValueType::Binary => reader.binary().map(drop),
        ValueType::Pair => reader.binary().and_then(|_| reader.binary()).map(drop),
    }
}

/// Checks the value of one property, whatever the place.
pub(crate) fn check_value(id: PropertyId, value: PropertyValue<'_>) -> Result<(), DecodeError> {
    let in_range = match (id.rule(), value) {
        (ValueRule::NotZero, PropertyValue::TwoByte(value)) => value != 0,
        (ValueRule::NotZero, PropertyValue::FourByte(value) | PropertyValue::Varint(value)) => {
            value != 0
        }
        (ValueRule::ZeroOrOne, PropertyValue::Byte(value)) => value <= 1,
        (ValueRule::Topic, PropertyValue::Text(topic)) => {
            check_topic_bytes(topic.as_bytes())?;
            !topic.is_empty()
        }
        _ => true,
    };
    if in_range { Ok(()) } else { Err(DecodeErrorKind::PropertyValue(id).into()) }
}

/// One walk over all properties: identifier, place, repeats, and the value as `check_one` says.
fn check_all<'a>(
    raw: &'a [u8],
    place: PropertyPlace,
    mut check_one: impl FnMut(&mut Reader<'a>, PropertyId) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let mut seen = Seen::default();
    while !reader.is_empty() {
        let id = read_id(&mut reader)?;
        if !id.allowed_in(place) {
            return Err(DecodeErrorKind::PropertyNotAllowed(id).into());
        }
        if seen.holds(id) && !id.repeats_in(place) {
            return Err(DecodeErrorKind::PropertyRepeated(id).into());
        }
        check_one(&mut reader, id)?;
        seen.add(id);
    }
    let has_data = seen.holds(PropertyId::AuthenticationData);
    if has_data && !seen.holds(PropertyId::AuthenticationMethod) {
        return Err(DecodeErrorKind::AuthMethodMissing.into());
    }
    Ok(())
}

/// A set of properties: one bit each, the highest number is 42.
#[derive(Clone, Copy, Default)]
struct Seen(u64);

impl Seen {
    fn add(&mut self, id: PropertyId) {
        self.0 |= 1 << id.bits();
    }

    fn holds(self, id: PropertyId) -> bool {
        self.0 & (1 << id.bits()) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Properties, PropertyValue};
    use crate::mqtt::error::DecodeErrorKind;
    use crate::mqtt::kind::PacketKind;
    use crate::mqtt::property::id::{PropertyId, PropertyPlace};

    const PUBLISH: PropertyPlace = PropertyPlace::Packet(PacketKind::Publish);
    const CONNECT: PropertyPlace = PropertyPlace::Packet(PacketKind::Connect);
    const CONNACK: PropertyPlace = PropertyPlace::Packet(PacketKind::ConnAck);

    #[track_caller]
    fn check(place: PropertyPlace, raw: &[u8], expected: Result<(), DecodeErrorKind>) {
        let parsed = Properties::parse(raw, place).map(|_| ()).map_err(|error| error.kind());
        assert_eq!(parsed, expected, "{raw:02x?}");
    }

    #[test]
    fn names_and_values_are_the_same_as_bytes() {
        let raw = &[0x26, 0, 1, b'a', 0, 0, 0x23, 0, 1, 0x26, 0, 1, b'b', 0, 2, b'c', b'd'];
        let properties = Properties::parse(raw, PUBLISH).expect("properties");
        let bytes: Vec<_> = properties.user_bytes().collect();
        assert_eq!(bytes, [(&b"a"[..], &b""[..]), (b"b", b"cd")]);
        let texts =
            properties.user_properties().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        assert!(texts.eq(bytes));
        assert!(properties.has_ours(), "a topic alias");
        for raw in [&[][..], &raw[..6]] {
            assert!(!Properties::parse(raw, PUBLISH).expect("properties").has_ours());
        }
    }

    #[test]
    fn a_property_stands_once_unless_it_may_repeat() {
        check(PUBLISH, &[0x23, 0, 1], Ok(()));
        check(
            PUBLISH,
            &[0x23, 0, 1, 0x23, 0, 1],
            Err(DecodeErrorKind::PropertyRepeated(PropertyId::TopicAlias)),
        );
        check(PUBLISH, &[0x0b, 1, 0x0b, 2, 0x0b, 1], Ok(()));
        let subscribe = PropertyPlace::Packet(PacketKind::Subscribe);
        check(
            subscribe,
            &[0x0b, 1, 0x0b, 2],
            Err(DecodeErrorKind::PropertyRepeated(PropertyId::SubscriptionId)),
        );
        let user = [0x26, 0, 1, b'k', 0, 0, 0x26, 0, 1, b'k', 0, 0];
        check(PUBLISH, &user, Ok(()));
        check(PropertyPlace::Will, &user, Ok(()));
    }

    #[test]
    fn zero_is_refused_where_it_means_nothing() {
        use DecodeErrorKind::PropertyValue as Value;
        check(PUBLISH, &[0x23, 0, 0], Err(Value(PropertyId::TopicAlias)));
        check(PUBLISH, &[0x0b, 0], Err(Value(PropertyId::SubscriptionId)));
        check(CONNECT, &[0x21, 0, 0], Err(Value(PropertyId::ReceiveMaximum)));
        check(CONNECT, &[0x27, 0, 0, 0, 0], Err(Value(PropertyId::MaximumPacketSize)));
        check(CONNECT, &[0x22, 0, 0], Ok(()));
        check(CONNECT, &[0x11, 0, 0, 0, 0], Ok(()));
    }

    #[test]
    fn a_flag_is_zero_or_one() {
        use DecodeErrorKind::PropertyValue as Value;
        check(PUBLISH, &[0x01, 2], Err(Value(PropertyId::PayloadFormat)));
        check(CONNECT, &[0x17, 2], Err(Value(PropertyId::RequestProblemInformation)));
        check(CONNECT, &[0x19, 2], Err(Value(PropertyId::RequestResponseInformation)));
        for id in [0x24, 0x25, 0x28, 0x29, 0x2a] {
            check(CONNACK, &[id, 1], Ok(()));
            let id = PropertyId::from_bits(id).expect("known");
            check(CONNACK, &[id.bits(), 2], Err(Value(id)));
        }
    }

    #[test]
    fn a_response_topic_is_a_topic() {
        check(PUBLISH, &[8, 0, 3, b'a', b'/', b'b'], Ok(()));
        check(PUBLISH, &[8, 0, 3, b'a', b'/', b'#'], Err(DecodeErrorKind::TopicWildcard));
        let empty = DecodeErrorKind::PropertyValue(PropertyId::ResponseTopic);
        check(PUBLISH, &[8, 0, 0], Err(empty));
    }

    #[test]
    fn authentication_data_needs_a_method() {
        check(CONNECT, &[0x16, 0, 1, 0], Err(DecodeErrorKind::AuthMethodMissing));
        check(CONNECT, &[0x16, 0, 1, 0, 0x15, 0, 1, b'm'], Ok(()));
        check(CONNECT, &[0x15, 0, 1, b'm'], Ok(()));
    }

    #[test]
    fn unknown_misplaced_and_cut_properties_are_refused() {
        check(PUBLISH, &[0x04, 0], Err(DecodeErrorKind::PropertyUnknown(4)));
        check(PUBLISH, &[0x81, 0], Err(DecodeErrorKind::PropertyUnknown(0x81)));
        check(
            PUBLISH,
            &[0x11, 0, 0, 0, 0],
            Err(DecodeErrorKind::PropertyNotAllowed(PropertyId::SessionExpiry)),
        );
        check(PUBLISH, &[0x02, 0, 0], Err(DecodeErrorKind::Truncated));
        check(PUBLISH, &[0x26, 0, 1, b'a', 0, 9], Err(DecodeErrorKind::Truncated));
        check(PUBLISH, &[0x26, 0, 1, b'a', 0, 1, 0xff], Err(DecodeErrorKind::NotUtf8));
        check(PUBLISH, &[0x0b, 0x81, 0], Err(DecodeErrorKind::VarintTooLong));
    }

    #[test]
    fn accessors_find_what_stands_there() {
        let raw = [1, 1, 2, 0, 0, 0, 5, 0x0b, 7, 0x26, 0, 1, b'k', 0, 1, b'v', 9, 0, 1, 0xff];
        let view = Properties::parse(&raw, PUBLISH).expect("valid");
        assert_eq!(view.payload_format(), Some(1));
        assert_eq!(view.message_expiry(), Some(5));
        assert_eq!(view.subscription_ids().collect::<Vec<_>>(), [7]);
        assert_eq!(view.user_properties().collect::<Vec<_>>(), [("k", "v")]);
        assert_eq!(view.correlation_data(), Some(&[0xff][..]));
        assert_eq!(view.topic_alias(), None);
        assert_eq!(view.iter().count(), 5);
        assert_eq!(view.iter().next(), Some((PropertyId::PayloadFormat, PropertyValue::Byte(1))));
        assert_eq!(view.raw(), raw);
        assert!(Properties::EMPTY.iter().next().is_none());
    }
}
