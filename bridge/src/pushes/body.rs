//! A message of the log as the receiver gets it: docs/bridge-http.md says what each member means.
//! Sends nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidewire_proto::message::Message;

use crate::bridges::source::Home;
use crate::pushes::json::Object;

/// Writes it behind what is there. `left_s`: what is left of its time.
pub(super) fn write(
    out: &mut Vec<u8>,
    (home, offset): (&Home, u64),
    message: &Message<'_>,
    left_s: Option<u32>,
) {
    let mut object = Object::begin(out);
    object.text("id", &id(home, offset));
    object.text("stream", &home.stream);
    object.plain("partition", home.index);
    object.plain("offset", offset);
    object.plain("time_ms", message.received_ms);
    object.text("topic", message.topic);
    object.plain("qos", message.qos.bits());
    object.plain("retain", message.retain);
    match std::str::from_utf8(message.payload) {
        Ok(text) => object.text("payload", text),
        Err(_) => object.text("payload_base64", &STANDARD.encode(message.payload)),
    }
    if let Some(client_id) = message.origin {
        object.text("client_id", client_id);
    }
    if let Some(content_type) = message.content_type {
        object.text("content_type", content_type);
    }
    if let Some(response_topic) = message.response_topic {
        object.text("response_topic", response_topic);
    }
    if let Some(correlation) = message.correlation {
        object.text("correlation_base64", &STANDARD.encode(correlation));
    }
    if let Some(left_s) = left_s {
        object.plain("expiry_s", left_s);
    }
    let mut properties = message.user_properties().peekable();
    if properties.peek().is_some() {
        object.pairs("properties", properties);
    }
    object.end();
}

/// The same for each time that the message is sent, and of no other one.
pub(super) fn id(home: &Home, offset: u64) -> String {
    format!("{}/{}/{offset}", home.stream, home.index)
}

#[cfg(test)]
mod tests {
    use tidewire_proto::message::{Message, Published};
    use tidewire_proto::mqtt::{PropertiesBuilder, PropertyId, PropertyValue};
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::BatchBuilder;

    use super::write;
    use crate::bridges::source::Home;

    fn written(payload: &[u8], properties: &PropertiesBuilder, origin: Option<&str>) -> String {
        let mut batch = BatchBuilder::new();
        let message = Published {
            topic: "a/b",
            payload,
            qos: Qos::AtLeastOnce,
            retain: origin.is_some(),
            properties: properties.as_properties(),
            origin,
        };
        message.push_to(&mut batch, 1_700_000_000_123);
        let batch = batch.finish();
        let record = batch.records().next().unwrap();
        let home = Home { stream: "mqtt".into(), index: 3 };
        let mut out = Vec::new();
        write(&mut out, (&home, 17), &Message::of(&record).unwrap(), origin.map(|_| 9));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_message_is_an_object_with_an_id_and_all_that_it_has() {
        let head = "{\"id\":\"mqtt/3/17\",\"stream\":\"mqtt\",\"partition\":3,\"offset\":17,\
                    \"time_ms\":1700000000123,\"topic\":\"a/b\",\"qos\":1,";
        let plain = written(b"21.5", &PropertiesBuilder::default(), None);
        assert_eq!(plain, format!("{head}\"retain\":false,\"payload\":\"21.5\"}}"));
        let mut properties = PropertiesBuilder::default();
        for (id, value) in [
            (PropertyId::ContentType, PropertyValue::Text("text/csv")),
            (PropertyId::ResponseTopic, PropertyValue::Text("r")),
            (PropertyId::CorrelationData, PropertyValue::Binary(&[0, 255])),
        ] {
            properties.push(id, value).unwrap();
        }
        properties.user("unit", "C").unwrap();
        let full = written(&[0xff, 0], &properties, Some("press-7"));
        let expected = "\"retain\":true,\"payload_base64\":\"/wA=\",\"client_id\":\"press-7\",\
                        \"content_type\":\"text/csv\",\"response_topic\":\"r\",\
                        \"correlation_base64\":\"AP8=\",\"expiry_s\":9,\
                        \"properties\":[[\"unit\",\"C\"]]}";
        assert_eq!(full, format!("{head}{expected}"));
    }
}
