//! How a received message is written: payload, topic and payload, JSON, or a format. Reads no
//! clock and writes nowhere.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use tidewire_proto::mqtt::{Properties, Publish};

use crate::cli::wording::hex;
use crate::moment::rfc3339;

/// How messages are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The payload, and a line end.
    Payload,
    /// The topic before it.
    Verbose,
    /// A JSON document each.
    Json,
    /// As the format says.
    Format(String),
}

/// A message as bytes, with a line end.
pub(crate) fn show(shape: &Shape, message: &Publish<'_>, now_ms: i64) -> Vec<u8> {
    let mut bytes = match shape {
        Shape::Payload => message.payload.to_vec(),
        Shape::Verbose => [message.topic.as_bytes(), b" ", message.payload].concat(),
        Shape::Json => document(message, now_ms).to_string().into_bytes(),
        Shape::Format(format) => formatted(format, message, now_ms),
    };
    bytes.push(b'\n');
    bytes
}

/// Letters behind a `%`, as mosquitto_sub has them.
fn formatted(format: &str, message: &Publish<'_>, now_ms: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        match (letter, letters.clone().next()) {
            ('%', Some(kind)) => {
                letters.next();
                match value(kind, message, now_ms) {
                    Some(value) => bytes.extend(value),
                    None => bytes.extend(format!("%{kind}").bytes()),
                }
            }
            ('\\', Some(kind @ ('n' | 't' | '\\'))) => {
                letters.next();
                bytes.push(match kind {
                    'n' => b'\n',
                    't' => b'\t',
                    _ => b'\\',
                });
            }
            _ => bytes.extend(letter.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
    bytes
}

fn value(kind: char, message: &Publish<'_>, now_ms: i64) -> Option<Vec<u8>> {
    Some(match kind {
        't' => message.topic.into(),
        'p' => message.payload.to_vec(),
        'x' => hex(message.payload).into_bytes(),
        'l' => message.payload.len().to_string().into_bytes(),
        'q' => message.qos.bits().to_string().into_bytes(),
        'r' => u8::from(message.retain).to_string().into_bytes(),
        'I' => rfc3339(now_ms).into_bytes(),
        'U' => format!("{}.{:03}", now_ms.div_euclid(1000), now_ms.rem_euclid(1000)).into_bytes(),
        'j' => document(message, now_ms).to_string().into_bytes(),
        '%' => b"%".to_vec(),
        _ => return None,
    })
}

fn document(message: &Publish<'_>, now_ms: i64) -> Value {
    let mut document = Map::new();
    document.insert("time".into(), rfc3339(now_ms).into());
    document.insert("topic".into(), message.topic.into());
    document.insert("qos".into(), message.qos.bits().into());
    document.insert("retain".into(), message.retain.into());
    match str::from_utf8(message.payload) {
        Ok(text) => document.insert("payload".into(), text.into()),
        Err(_) => document.insert("payload_base64".into(), STANDARD.encode(message.payload).into()),
    };
    document.extend(described(message.properties));
    Value::Object(document)
}

/// The properties that it has.
fn described(properties: Properties<'_>) -> impl Iterator<Item = (String, Value)> {
    let user: Vec<Value> =
        properties.user_properties().map(|(name, value)| json!([name, value])).collect();
    let correlation = properties.correlation_data().map(|data| STANDARD.encode(data));
    [
        ("expiry_s", properties.message_expiry().map(Value::from)),
        ("content_type", properties.content_type().map(Value::from)),
        ("response_topic", properties.response_topic().map(Value::from)),
        ("correlation_base64", correlation.map(Value::from)),
        ("user_properties", (!user.is_empty()).then(|| Value::from(user))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

#[cfg(test)]
mod tests {
    use tidewire_proto::mqtt::{Properties, PropertiesBuilder, Publish};
    use tidewire_proto::qos::Qos;

    use super::{Shape, show};

    fn message<'a>(payload: &'a [u8], properties: Properties<'a>) -> Publish<'a> {
        let (dup, retain, qos, packet_id) = (false, true, Qos::AtLeastOnce, None);
        Publish { dup, qos, retain, topic: "a/b", packet_id, properties, payload }
    }

    #[track_caller]
    fn expect(shape: &Shape, payload: &[u8], line: &str) {
        let bytes = show(shape, &message(payload, Properties::EMPTY), 1_795_174_200_123);
        assert_eq!(String::from_utf8_lossy(&bytes), line);
    }

    #[test]
    fn a_message_is_written_as_asked() {
        expect(&Shape::Payload, b"21.5", "21.5\n");
        expect(&Shape::Verbose, b"21.5", "a/b 21.5\n");
        let format = |format: &str| Shape::Format(format.into());
        expect(&format("%t\\t%q %r %l:%x%%%z"), b"\xff\x00", "a/b\t1 1 2:ff00%%z\n");
        expect(&format("%I %U %"), b"", "2026-11-20T11:30:00.123Z 1795174200.123 %\n");
    }

    #[test]
    fn json_has_the_properties_and_any_payload() {
        let mut built = PropertiesBuilder::new();
        built.user("site", "north").unwrap();
        let bytes = show(&Shape::Json, &message(b"\xff", built.as_properties()), 0);
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\"payload_base64\":\"/w==\""), "{text}");
        assert!(text.contains("\"user_properties\":[[\"site\",\"north\"]]"), "{text}");
        expect(
            &Shape::Json,
            b"on",
            "{\"payload\":\"on\",\"qos\":1,\"retain\":true,\
             \"time\":\"2026-11-20T11:30:00.123Z\",\"topic\":\"a/b\"}\n",
        );
    }
}
