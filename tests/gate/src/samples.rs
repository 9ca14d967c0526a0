//! What the paths work on: topics, payloads, packets and batches, always the same.

use tidewire_proto::id::{PacketId, PartitionId};
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::{
    Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, Publish, Version, encode,
};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::{Batch, BatchBuilder, KeyRule};
use tidewire_proto::routing::grant::Grant;
use tidewire_proto::routing::placement::{Placement, Shelf};

/// As in the load generator.
pub(crate) const PAYLOAD: [u8; 100] = [b'x'; 100];
/// When all of it happens.
pub(crate) const NOW_MS: i64 = 1_750_000_000_000;
/// Topics that are in use at a time.
pub(crate) const TOPICS: u16 = 100;
pub(crate) const PACKET_BYTES_MAX: u32 = 1 << 20;

pub(crate) fn topic(number: u16) -> String {
    format!("plant/{}/line/{}/press/temperature", number / 10, number % 10)
}

/// What a device might say beside a message.
pub(crate) fn properties() -> PropertiesBuilder {
    let mut properties = PropertiesBuilder::new();
    let expiry = PropertyValue::FourByte(3600);
    properties.push(PropertyId::MessageExpiry, expiry).expect("fits");
    let json = PropertyValue::Text("application/json");
    properties.push(PropertyId::ContentType, json).expect("fits");
    properties.user("unit", "celsius").expect("fits");
    properties
}

/// One PUBLISH behind the other, each to the next topic, packet identifiers from 1 on.
pub(crate) fn publishes(
    count: u16,
    qos: Qos,
    version: Version,
    properties: Properties<'_>,
) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 0..count {
        let packet_id = PacketId::new(number + 1).filter(|_| qos != Qos::AtMostOnce);
        let publish = Publish {
            dup: false,
            qos,
            retain: false,
            topic: &topic(number % TOPICS),
            packet_id,
            properties,
            payload: &PAYLOAD,
        };
        encode(&Packet::Publish(publish), version, &mut out).expect("a packet like any other");
    }
    out
}

/// As many messages as they would lie in the log.
pub(crate) fn batch(records: u16, qos: Qos, properties: Properties<'_>) -> Batch {
    let mut builder = BatchBuilder::new();
    for number in 0..records {
        let topic = topic(number % TOPICS);
        let (topic, payload) = (topic.as_str(), &PAYLOAD[..]);
        let message = Published { topic, payload, qos, retain: false, properties, origin: None };
        message.push_to(&mut builder, NOW_MS);
    }
    builder.finish()
}

/// One stream that takes everything.
pub(crate) fn placement() -> Placement {
    let shelf = Shelf {
        filters: Vec::new(),
        partitions: (0..4).map(PartitionId).collect(),
        log_qos0: true,
        names_publisher: false,
        key: KeyRule::Topic,
    };
    Placement::new(vec![shelf], 16).expect("a stream with partitions")
}

pub(crate) fn grant(qos: Qos) -> Grant {
    Grant { qos, no_local: false, retain_as_published: false, id: 0 }
}
