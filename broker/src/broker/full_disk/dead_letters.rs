//! Dead letters on a full disk: a message of a share group ends when its letter is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Ack, Connect, Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, ReasonCode,
    Subscribe, SubscribeFiltersBuilder, SubscribeOptions,
};
use tidewire_store::copy_at_rest;

use super::small_disk::{HOUR, builder, fill, large_is_refused, start};
use crate::broker::pipe::{Pipe, VERSION};
use crate::broker::{Broker, Message};
use crate::{Qos, Subscription};

const PATIENCE: Duration = Duration::from_secs(120);
const MESSAGES: usize = 3;

/// A member that says what it does not want.
struct Picky(Pipe);

impl Picky {
    async fn join(broker: &Broker, filter: &str, qos: Qos) -> Self {
        let door = &broker.door;
        let mut pipe = Pipe::open(&door.shared, &door.runtime).expect("a connection");
        let mut properties = PropertiesBuilder::new();
        properties.push(PropertyId::SessionExpiry, PropertyValue::FourByte(600)).expect("short");
        let connect = Connect {
            version: VERSION,
            clean_start: false,
            keep_alive_s: 0,
            client_id: "picky",
            will: None,
            user_name: None,
            password: None,
            properties: properties.as_properties(),
        };
        pipe.put(&Packet::Connect(connect)).expect("it can be said");
        let mut filters = SubscribeFiltersBuilder::new();
        filters.push(filter, SubscribeOptions::with_qos(qos)).expect("a filter");
        let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
        let subscribe = Subscribe { packet_id, properties, filters: filters.as_filters() };
        pipe.put(&Packet::Subscribe(subscribe)).expect("it can be said");
        let mut member = Self(pipe);
        while !member.hear(|packet| matches!(packet, Packet::SubAck(_))).await {}
        member
    }

    /// Waits for the next packet; what it is.
    async fn hear<T>(&mut self, what: impl Fn(&Packet<'_>) -> T) -> T {
        loop {
            if let Some(packet) = self.0.packet().expect("the connection holds") {
                return what(&packet);
            }
            let turn = tokio::time::timeout(PATIENCE, self.0.turn()).await;
            turn.expect("something comes").expect("the connection holds");
        }
    }

    async fn refuse(&mut self, packet_id: PacketId, qos: Qos) {
        let reason = ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR;
        let ack = Ack { packet_id, reason, properties: Properties::EMPTY };
        let answer =
            if qos == Qos::AtLeastOnce { Packet::PubAck(ack) } else { Packet::PubRec(ack) };
        self.0.put(&answer).expect("it can be said");
        self.0.flush().expect("the connection holds");
    }
}

async fn letters(graves: &mut Subscription) -> Vec<String> {
    let mut letters = Vec::new();
    while letters.len() < MESSAGES {
        let next = tokio::time::timeout(PATIENCE, graves.next()).await.expect("nothing is lost");
        let letter = next.expect("a letter").message;
        let (_, reason) = &letter.user_properties[0];
        assert_eq!(reason, "refused with 0x83");
        letters.push(String::from_utf8(letter.payload.into()).expect("text"));
    }
    letters.sort_unstable();
    letters
}

#[tokio::test]
async fn a_dead_letter_that_finds_no_room_is_written_when_there_is_some_also_after_a_crash() {
    for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
        let folder = tempfile::tempdir().expect("a folder");
        let is_full = Arc::new(AtomicBool::new(false));
        let set = |folder| {
            builder(folder).settings(|config| config.share.dead_letter_topic = Some("dead".into()))
        };
        let broker = start(set(&folder), &is_full).await;
        let mut graves = broker.subscribe("dead").durable("graves", HOUR).await.expect("one");
        let mut picky = Picky::join(&broker, "$share/group/jobs", qos).await;
        let names: Vec<String> = (0..MESSAGES).map(|number| number.to_string()).collect();
        let mut ids = Vec::new();
        for name in &names {
            broker.publish(Message::new("jobs", name.clone()).qos(qos)).await.expect("room");
            ids.push(
                picky
                    .hear(|packet| match packet {
                        Packet::Publish(publish) => publish.packet_id.expect("above QoS 0"),
                        other => panic!("{other:?}"),
                    })
                    .await,
            );
        }
        is_full.store(true, Ordering::Relaxed);
        fill(&broker).await;
        for packet_id in ids {
            picky.refuse(packet_id, qos).await;
        }
        // What it says now is heard after that.
        let other = broker.subscribe("other").durable("other", HOUR).await.expect("its rows");
        other.close().await;
        let after = tempfile::tempdir().expect("a folder");
        copy_at_rest(folder.path(), after.path()).expect("copied");

        is_full.store(false, Ordering::Relaxed);
        while large_is_refused(&broker).await {}
        assert_eq!(letters(&mut graves).await, names, "{qos:?}");
        // Refused is refused: nobody else gets it either.
        broker.publish(Message::new("jobs", "next").qos(qos)).await.expect("there is room");
        let next = picky.hear(|packet| format!("{packet:?}")).await;
        assert!(next.contains("Publish") && next.contains("110, 101, 120, 116"), "{next}");
        drop(picky);

        let crashed = set(&after).start().await.expect("it starts");
        let mut graves = crashed.subscribe("dead").durable("graves", HOUR).await.expect("one");
        assert_eq!(letters(&mut graves).await, names, "{qos:?}");
    }
}
