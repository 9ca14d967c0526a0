//! A message as the program around the broker holds it, and its way to and from a PUBLISH.

use std::time::Duration;

use bytes::Bytes;
use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    EncodeError, Properties, PropertiesBuilder, PropertyId, PropertyValue, Publish,
};
use tidewire_proto::qos::Qos;

/// A message: what is published, or was.
///
/// ```
/// use tidewire::{Message, Qos};
///
/// let message = Message::new("plant/1/temperature", "20.5")
///     .qos(Qos::AtLeastOnce)
///     .user_property("unit", "celsius");
/// assert_eq!(message.topic, "plant/1/temperature");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where; never a filter.
    pub topic: String,
    /// What: any bytes.
    pub payload: Bytes,
    /// The promise; QoS 0 in a new message.
    pub qos: Qos,
    /// To be kept for later subscribers; in one that was received: kept since before we came.
    pub retain: bool,
    /// Seconds after which nobody wants it any more; in one that was received: those left.
    pub expiry_s: Option<u32>,
    /// Whether the payload is text (UTF-8).
    pub is_text: bool,
    /// A MIME type, say.
    pub content_type: Option<String>,
    /// Where an answer is awaited.
    pub response_topic: Option<String>,
    /// What the answer is to carry.
    pub correlation_data: Option<Bytes>,
    /// Names and values; names may repeat, the order is kept.
    pub user_properties: Vec<(String, String)>,
}

impl Message {
    /// A message at QoS 0 that is not retained.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), payload: payload.into(), ..Self::default() }
    }

    /// With this promise.
    #[must_use]
    pub fn qos(self, qos: Qos) -> Self {
        Self { qos, ..self }
    }

    /// Kept for later subscribers; an empty payload clears what was kept.
    #[must_use]
    pub fn retained(self) -> Self {
        Self { retain: true, ..self }
    }

    /// Of no use after this time, in whole seconds.
    #[must_use]
    pub fn expires_after(self, time: Duration) -> Self {
        Self { expiry_s: Some(u32::try_from(time.as_secs()).unwrap_or(u32::MAX)), ..self }
    }

    /// With one user property more.
    #[must_use]
    pub fn user_property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.user_properties.push((name.into(), value.into()));
        self
    }

    /// The properties of its PUBLISH.
    pub(super) fn properties(&self) -> Result<PropertiesBuilder, EncodeError> {
        let mut built = PropertiesBuilder::new();
        if self.is_text {
            built.push(PropertyId::PayloadFormat, PropertyValue::Byte(1))?;
        }
        if let Some(expiry_s) = self.expiry_s {
            built.push(PropertyId::MessageExpiry, PropertyValue::FourByte(expiry_s))?;
        }
        if let Some(content_type) = &self.content_type {
            built.push(PropertyId::ContentType, PropertyValue::Text(content_type))?;
        }
        if let Some(topic) = &self.response_topic {
            built.push(PropertyId::ResponseTopic, PropertyValue::Text(topic))?;
        }
        if let Some(data) = &self.correlation_data {
            built.push(PropertyId::CorrelationData, PropertyValue::Binary(data))?;
        }
        for (name, value) in &self.user_properties {
            built.user(name, value)?;
        }
        Ok(built)
    }

    /// Its PUBLISH, with what [`Message::properties`] built.
    pub(super) fn publish<'a>(
        &'a self,
        properties: Properties<'a>,
        packet_id: Option<PacketId>,
    ) -> Publish<'a> {
        Publish {
            dup: false,
            qos: self.qos,
            retain: self.retain,
            topic: &self.topic,
            packet_id,
            properties,
            payload: &self.payload,
        }
    }
}

impl From<&Publish<'_>> for Message {
    fn from(publish: &Publish<'_>) -> Self {
        let properties = publish.properties;
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self {
            topic: publish.topic.into(),
            payload: Bytes::copy_from_slice(publish.payload),
            qos: publish.qos,
            retain: publish.retain,
            expiry_s: properties.message_expiry(),
            is_text: properties.payload_format() == Some(1),
            content_type: properties.content_type().map(str::to_owned),
            response_topic: properties.response_topic().map(str::to_owned),
            correlation_data: properties.correlation_data().map(Bytes::copy_from_slice),
            user_properties: properties.user_properties().map(pair).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Message;

    #[test]
    fn a_message_comes_back_from_its_publish() {
        let mut message = Message::new("a/b", "payload")
            .retained()
            .expires_after(Duration::from_secs(9))
            .user_property("k", "1")
            .user_property("k", "2");
        message.is_text = true;
        message.content_type = Some("text/plain".into());
        message.response_topic = Some("back".into());
        message.correlation_data = Some("c-7".into());
        let properties = message.properties().expect("valid");
        let publish = message.publish(properties.as_properties(), None);
        assert_eq!(Message::from(&publish), message);
    }

    #[test]
    fn what_no_packet_can_carry_is_refused() {
        assert!(Message::new("a", "").user_property("\0", "").properties().is_err());
        let long = "v".repeat(65_536);
        assert!(Message::new("a", "").user_property("k", long).properties().is_err());
    }
}
