//! What becomes of a message that a share group gives up: counted, and put where somebody can
//! look at it.

use tidewire_proto::delivery::copy_properties;
use tidewire_proto::id::GroupId;
use tidewire_proto::message::{Message, Published};
use tidewire_proto::mqtt::{EncodeError, PropertiesBuilder};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::SharedRecord;
use tidewire_proto::session::window::Place;

use crate::core::send::quality;
use crate::core::state::Core;
use crate::core::stored::stored_at;
use crate::metrics::DropReason;

impl Core {
    /// The message is over for the group. With a dead-letter topic it goes there, in the commit
    /// that holds its end.
    pub(crate) fn bury(&mut self, id: GroupId, place: Place, attempts: u32, why: &str) {
        let slice = self.shared.store.read(place.partition, place.offset, 1);
        let found = slice.ok().and_then(|slice| stored_at(&slice, place.offset));
        let record = found.as_ref().and_then(SharedRecord::record);
        let Some(message) = record.as_ref().and_then(Message::of) else { return };
        let reason = if why == UNACKNOWLEDGED { DropReason::Attempts } else { DropReason::Refused };
        self.counters.messages_dropped.add((reason, quality(message.qos)), 1);
        let Some(group) = self.groups.of_id(id) else { return };
        let filter = group.filter.clone();
        tracing::info!(filter = &*filter, topic = message.topic, attempts, why, "message given up");
        let Some(topic) = self.shared.share.dead_letter_topic.clone() else { return };
        let letter = Letter { message: &message, place, attempts, why, filter: &filter };
        if let Err(error) = self.send_dead_letter(&topic, &letter) {
            tracing::warn!(%error, topic, "a dead letter cannot be written");
        }
    }

    fn send_dead_letter(&mut self, topic: &str, letter: &Letter<'_>) -> Result<(), EncodeError> {
        let mut properties = PropertiesBuilder::default();
        letter.write(&mut properties, self.now_ms)?;
        let published = Published {
            topic,
            payload: letter.message.payload,
            qos: letter.message.qos.max(Qos::AtLeastOnce),
            retain: false,
            properties: properties.as_properties(),
            origin: None,
        };
        let Some(placed) = self.placement.place(topic, "", published.properties) else {
            return Ok(());
        };
        if self.shared.store.is_full(placed.partition) {
            self.counters.messages_dropped.add((DropReason::Store, quality(published.qos)), 1);
            tracing::warn!(topic, "a dead letter is lost: its stream is full");
            return Ok(());
        }
        self.turn.append(&published, placed, self.now_ms);
        self.end_turn_soon();
        Ok(())
    }
}

/// Why a message ends that nobody refused.
pub(crate) const UNACKNOWLEDGED: &str = "not acknowledged";

struct Letter<'a> {
    message: &'a Message<'a>,
    place: Place,
    attempts: u32,
    why: &'a str,
    filter: &'a str,
}

impl Letter<'_> {
    /// The message's own properties, then where it comes from.
    fn write(&self, out: &mut PropertiesBuilder, now_ms: i64) -> Result<(), EncodeError> {
        copy_properties(out, self.message, now_ms)?;
        let Place { partition, offset } = self.place;
        for (name, value) in [
            ("dead-letter-reason", self.why),
            ("dead-letter-count", &self.attempts.to_string()),
            ("dead-letter-topic", self.message.topic),
            ("dead-letter-group", self.filter),
            ("dead-letter-source", &format!("{}:{offset}", partition.0)),
        ] {
            out.user(name, value)?;
        }
        Ok(())
    }
}
