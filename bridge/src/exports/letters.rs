//! Dead letters: what the target will never take, where somebody can look at it. Commits nothing.

use tidewire_proto::delivery::copy_properties;
use tidewire_proto::message::{Message, Published};
use tidewire_proto::mqtt::{EncodeError, Properties, PropertiesBuilder};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::Record;
use tidewire_proto::session::window::Place;

/// What a dead letter tells of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Letter<'a> {
    /// The bridge that gives it up.
    pub(crate) bridge: &'a str,
    /// Where it lies in our log, or in that of the other side.
    pub(crate) source: &'a str,
    /// Why, in words.
    pub(crate) why: &'a str,
}

/// Where a record of our log lies.
pub(crate) fn source_of(place: Place) -> String {
    format!("{}:{}", place.partition.0, place.offset)
}

/// Writes the letter's properties: those of the message, if they fit, and why it is one; answers
/// what is to be published.
pub(crate) fn write<'a>(
    letter: Letter<'_>,
    record: &Record<'a>,
    (topic, now_ms): (&'a str, i64),
    properties: &'a mut PropertiesBuilder,
) -> Published<'a> {
    let message = Message::of(record);
    let whole = message.as_ref().map(|it| copy_properties(properties, it, now_ms));
    if !matches!(whole, Some(Ok(()))) {
        properties.clear();
    }
    let from = String::from_utf8_lossy(record.key.unwrap_or_default());
    if explain(letter, &from, properties).is_err() {
        // The message's own were too long to leave room.
        properties.clear();
        let _ = explain(letter, "", properties);
    }
    Published {
        topic,
        payload: record.value.unwrap_or_default(),
        qos: message.map_or(Qos::AtLeastOnce, |it| it.qos.max(Qos::AtLeastOnce)),
        retain: false,
        properties: borrowed(properties),
        origin: None,
    }
}

fn borrowed(properties: &PropertiesBuilder) -> Properties<'_> {
    properties.as_properties()
}

fn explain(
    letter: Letter<'_>,
    from: &str,
    properties: &mut PropertiesBuilder,
) -> Result<(), EncodeError> {
    for (name, value) in [
        ("dead-letter-reason", letter.why),
        ("dead-letter-topic", from),
        ("dead-letter-bridge", letter.bridge),
        ("dead-letter-source", letter.source),
    ] {
        let plain: String = value.chars().filter(|letter| *letter != '\0').collect();
        properties.user(name, &plain)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidewire_proto::mqtt::PropertiesBuilder;
    use tidewire_proto::record::{BatchBuilder, Header};

    use super::{Letter, write};

    #[test]
    fn a_letter_is_the_message_with_its_reason() {
        let mut builder = BatchBuilder::new();
        let unit = Header { key: b"unit", value: Some(b"C") };
        builder.push(1, Some(b"plant/7"), Some(b"21.5"), &[unit]);
        builder.push(1, Some(b"no/+/topic"), None, &[]);
        let batch = builder.finish();
        let letter = Letter { bridge: "out", source: "3:9", why: "too large" };
        let reason = [
            ("dead-letter-reason", "too large"),
            ("dead-letter-topic", "plant/7"),
            ("dead-letter-bridge", "out"),
            ("dead-letter-source", "3:9"),
        ];
        for (record, topic) in batch.records().zip(["plant/7", "no/+/topic"]) {
            let mut properties = PropertiesBuilder::default();
            let published = write(letter, &record, ("$dead/out", 2), &mut properties);
            assert_eq!(published.topic, "$dead/out");
            assert_eq!(published.payload, record.value.unwrap_or_default());
            let found: Vec<_> = published.properties.user_properties().collect();
            let mut expected = reason.to_vec();
            expected[1].1 = topic;
            if topic == "plant/7" {
                expected.insert(0, ("unit", "C"));
            }
            assert_eq!(found, expected);
        }
    }
}
