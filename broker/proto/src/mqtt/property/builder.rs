//! Writes properties one by one into a buffer that is used again. Never knows the place.

use crate::mqtt::error::EncodeError;
use crate::mqtt::primitive::{put_binary, put_text, put_u16, put_u32, put_varint};
use crate::mqtt::property::id::{PropertyId, ValueType};
use crate::mqtt::property::view::{Properties, PropertyValue, check_value};

/// Collects properties for a packet that is to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuilder {
    buf: Vec<u8>,
}

impl PropertiesBuilder {
    /// An empty one; allocates with the first property.
    #[must_use]
    pub const fn new() -> Self {
        Self { buf: Vec::new() }
    }

    /// Adds one property behind the others.
    ///
    /// # Errors
    /// When the value has another type than the property, is out of range, or too long.
    /// Then nothing was added.
    pub fn push(&mut self, id: PropertyId, value: PropertyValue<'_>) -> Result<(), EncodeError> {
        check_value(id, value)?;
        let start = self.buf.len();
        self.buf.push(id.bits());
        let written = put_value(id, value, &mut self.buf);
        if written.is_err() {
            self.buf.truncate(start);
        }
        written
    }

    /// Adds a user property.
    ///
    /// # Errors
    /// When name or value is too long or holds U+0000.
    pub fn user(&mut self, name: &str, value: &str) -> Result<(), EncodeError> {
        self.push(PropertyId::UserProperty, PropertyValue::Pair(name, value))
    }

    /// Adds what `properties` holds and `keep` does not turn down, byte for byte.
    pub fn extend(
        &mut self,
        properties: Properties<'_>,
        mut keep: impl FnMut(PropertyId) -> bool,
    ) -> Result<(), EncodeError> {
        properties
            .iter()
            .filter(|(id, _)| keep(*id))
            .try_for_each(|(id, value)| self.push(id, value))
    }

    /// What was added so far.
    #[must_use]
    pub fn as_properties(&self) -> Properties<'_> {
        Properties::trusted(&self.buf)
    }

    /// Forgets all and keeps the memory.
    pub fn clear(&mut self) {
        self.buf.clear();
    }
}

fn put_value(
    id: PropertyId,
    value: PropertyValue<'_>,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    match (id.value_type(), value) {
        (ValueType::Byte, PropertyValue::Byte(value)) => out.push(value),
        (ValueType::TwoByte, PropertyValue::TwoByte(value)) => put_u16(value, out),
        (ValueType::FourByte, PropertyValue::FourByte(value)) => put_u32(value, out),
        (ValueType::Varint, PropertyValue::Varint(value)) => put_varint(value, out)?,
        (ValueType::Text, PropertyValue::Text(text)) => put_text(text, out)?,
        (ValueType::Binary, PropertyValue::Binary(bytes)) => put_binary(bytes, out)?,
        (ValueType::Pair, PropertyValue::Pair(name, value)) => {
            put_text(name, out)?;
            put_text(value, out)?;
        }
        _ => return Err(EncodeError::PropertyType(id)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::PropertiesBuilder;
    use crate::mqtt::error::{DecodeErrorKind, EncodeError};
    use crate::mqtt::kind::PacketKind;
    use crate::mqtt::property::id::{PropertyId, PropertyPlace};
    use crate::mqtt::property::view::{Properties, PropertyValue};

    #[test]
    fn what_is_built_can_be_parsed() {
        let mut builder = PropertiesBuilder::new();
        builder.push(PropertyId::TopicAlias, PropertyValue::TwoByte(7)).expect("valid");
        builder.push(PropertyId::SubscriptionId, PropertyValue::Varint(128)).expect("valid");
        builder.user("k", "v").expect("valid");
        let raw = [0x23, 0, 7, 0x0b, 0x80, 1, 0x26, 0, 1, b'k', 0, 1, b'v'];
        assert_eq!(builder.as_properties().raw(), raw);
        let place = PropertyPlace::Packet(PacketKind::Publish);
        assert_eq!(Properties::parse(&raw, place), Ok(builder.as_properties()));
        builder.clear();
        assert!(builder.as_properties().is_empty());
    }

    #[test]
    fn a_refused_property_leaves_nothing_behind() {
        let mut builder = PropertiesBuilder::new();
        let alias = PropertyId::TopicAlias;
        for (id, value, expected) in [
            (
                alias,
                PropertyValue::TwoByte(0),
                EncodeError::Refused(DecodeErrorKind::PropertyValue(alias)),
            ),
            (alias, PropertyValue::Byte(1), EncodeError::PropertyType(alias)),
            (
                PropertyId::UserProperty,
                PropertyValue::Pair("a", "\0"),
                EncodeError::Refused(DecodeErrorKind::NullCharacter),
            ),
            (
                PropertyId::CorrelationData,
                PropertyValue::Binary(&[0; 65_536]),
                EncodeError::FieldTooLong,
            ),
            (
                PropertyId::ResponseTopic,
                PropertyValue::Text("a/#"),
                EncodeError::Refused(DecodeErrorKind::TopicWildcard),
            ),
        ] {
            assert_eq!(builder.push(id, value), Err(expected));
            assert!(builder.as_properties().is_empty());
        }
    }

    #[test]
    fn properties_pass_through_without_what_is_turned_down() {
        let mut source = PropertiesBuilder::new();
        source.push(PropertyId::TopicAlias, PropertyValue::TwoByte(7)).expect("valid");
        source.user("k", "v").expect("valid");
        let mut target = PropertiesBuilder::new();
        target
            .extend(source.as_properties(), |id| id != PropertyId::TopicAlias)
            .expect("valid before");
        assert_eq!(target.as_properties().raw(), [0x26, 0, 1, b'k', 0, 1, b'v']);
    }
}
