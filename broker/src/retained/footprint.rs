//! What one retained message counts for. Never looks at any other.

use tidewire_proto::message::{Message, Published};
use tidewire_proto::record::Batch;
use tidewire_store::rows::retained;

use crate::payer::Payer;

/// What is known of one retained message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footprint {
    /// Its topic and its row.
    pub(super) bytes: u32,
    /// Whose part it takes.
    pub(super) payer: Payer,
    /// When it is stale, in milliseconds of the Unix epoch; `i64::MAX`: never.
    pub(super) stale_ms: i64,
}

impl Footprint {
    /// Of a message in the form in which it is kept.
    pub(crate) fn of(topic: &str, kept: &Batch) -> Self {
        let bytes = topic.len() + kept.bytes().len();
        let record = kept.records().next();
        let message = record.as_ref().and_then(Message::of);
        let stale_ms = message.map(|message| stale_ms(message.received_ms, message.expiry_s));
        Self::new(bytes, stale_ms.unwrap_or(i64::MAX))
    }

    /// The same of a message that came now and is kept in this row.
    pub(crate) fn of_row(message: &Published<'_>, row: &[u8], now_ms: i64) -> Self {
        let bytes = message.topic.len() + row.len() - retained::MESSAGE_AT;
        Self::new(bytes, stale_ms(now_ms, message.properties.message_expiry()))
    }

    fn new(bytes: usize, stale_ms: i64) -> Self {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { bytes, payer: Payer::NOBODY, stale_ms }
    }

    /// The same, of somebody.
    pub(crate) fn paid_by(self, payer: Payer) -> Self {
        Self { payer, ..self }
    }

    /// Who makes nothing larger takes nothing of his part: it stays with who has it.
    pub(super) fn in_place_of(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if self.bytes <= before.bytes => self.paid_by(before.payer),
            _ => self,
        }
    }
}

fn stale_ms(received_ms: i64, expiry_s: Option<u32>) -> i64 {
    let lives_ms = expiry_s.map(|expiry_s| i64::from(expiry_s) * 1000);
    lives_ms.map_or(i64::MAX, |lives_ms| received_ms.saturating_add(lives_ms))
}

#[cfg(test)]
mod tests {
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::{PropertiesBuilder, PropertyId, PropertyValue};
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::rows::retained;

    use super::Footprint;

    /// What is counted at a start is read from rows: it must not differ.
    #[test]
    fn a_message_counts_the_same_when_it_comes_and_when_its_row_is_read() {
        for expiry_s in [None, Some(0), Some(60), Some(u32::MAX)] {
            let mut properties = PropertiesBuilder::new();
            if let Some(seconds) = expiry_s {
                let seconds = PropertyValue::FourByte(seconds);
                properties.push(PropertyId::MessageExpiry, seconds).expect("fits");
            }
            let message = Published {
                topic: "a/b",
                payload: b"payload",
                qos: Qos::AtLeastOnce,
                retain: true,
                properties: properties.as_properties(),
                origin: Some("somebody"),
            };
            let (mut builder, now_ms) = (BatchBuilder::new(), 1_000_000);
            message.push_to(&mut builder, now_ms);
            let row = retained::encode_next(&mut builder);
            let (_, kept) = retained::decode(&row).expect("whole");
            let come = Footprint::of_row(&message, &row, now_ms);
            assert_eq!(come, Footprint::of("a/b", &kept), "{expiry_s:?}");
        }
    }
}
