//! Messages on their way to a broker: packet ids, what each answer ends, and how it ended. Knows
//! no socket.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use tidewire_bridge::links::reason;
use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{Ack, Packet, PacketKind, ReasonCode};

use crate::cli::connection::{parted, refused};

/// More on their way at a time make nothing faster.
const ROOM_MAX: u16 = 1000;

/// Messages whose exchange is not over.
#[derive(Debug)]
pub(crate) struct Flight {
    room: u16,
    last: u16,
    /// Whether it was released, by packet id.
    open: BTreeMap<PacketId, bool>,
    /// How those ended that are over.
    pub(crate) ended: Ended,
}

/// How messages ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// The broker has them.
    pub(crate) taken: u64,
    /// Of these, nobody subscribed to.
    pub(crate) unheard: u64,
    /// The broker does not want them.
    pub(crate) refused: u64,
    /// What it said of the first.
    pub(crate) complaint: Option<String>,
}

impl Flight {
    /// Nothing is on its way; the broker takes so many at a time.
    pub(crate) fn new(receive_max: u16) -> Self {
        let room = receive_max.clamp(1, ROOM_MAX);
        Self { room, last: 0, open: BTreeMap::new(), ended: Ended::default() }
    }

    /// Whether the broker takes so many more now.
    pub(crate) fn has_room_for(&self, more: usize) -> bool {
        self.open.len() + more <= usize::from(self.room)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.open.len()
    }

    /// The packet id of the next message.
    pub(crate) fn begin(&mut self) -> PacketId {
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            let id = PacketId::new(self.last).unwrap_or(PacketId::MIN);
            if let Entry::Vacant(place) = self.open.entry(id) {
                place.insert(false);
                return id;
            }
        }
    }

    /// What a packet of the broker ends; the id to release, if there is one.
    pub(crate) fn hear(&mut self, packet: &Packet<'_>) -> Result<Option<PacketId>, String> {
        match packet {
            Packet::PubAck(ack) => self.over(ack, PacketKind::PubAck),
            Packet::PubRec(ack) if ack.reason.is_error() => self.over(ack, PacketKind::PubRec),
            Packet::PubRec(ack) => {
                let is_new = self.open.insert(ack.packet_id, true) == Some(false);
                self.ended.unheard += u64::from(is_new && is_unheard(ack));
                return Ok(Some(ack.packet_id));
            }
            Packet::PubComp(ack) => {
                self.ended.taken += u64::from(self.open.remove(&ack.packet_id).is_some());
            }
            Packet::PingResp => {}
            Packet::Disconnect(disconnect) => return Err(parted(disconnect)),
            other => return Err(format!("the broker sends {} to a publisher", other.kind())),
        }
        Ok(None)
    }

    fn over(&mut self, ack: &Ack<'_>, kind: PacketKind) {
        if self.open.remove(&ack.packet_id).is_none() {
            return;
        }
        if !ack.reason.is_error() {
            self.ended.taken += 1;
            self.ended.unheard += u64::from(is_unheard(ack));
            return;
        }
        self.ended.refused += 1;
        self.ended.complaint.get_or_insert_with(|| {
            let words = reason(ack.reason, ack.properties);
            refused("the broker refuses it", ack.reason, &words, kind)
        });
    }
}

fn is_unheard(ack: &Ack<'_>) -> bool {
    ack.reason == ReasonCode::NO_MATCHING_SUBSCRIBERS
}

#[cfg(test)]
mod tests {
    use super::{Ack, Flight, Packet, PacketId, ReasonCode};

    #[test]
    fn each_answer_ends_its_message_once() {
        let mut flight = Flight::new(2);
        let [first, second] = [flight.begin(), flight.begin()];
        assert!(!flight.has_room_for(1));
        let no = Packet::PubAck(Ack::with_reason(first, ReasonCode::NOT_AUTHORIZED));
        assert_eq!(flight.hear(&no), Ok(None));
        assert_eq!(flight.hear(&no), Ok(None), "a repeat changes nothing");
        let held = ReasonCode::NO_MATCHING_SUBSCRIBERS;
        let received = Packet::PubRec(Ack::with_reason(second, held));
        assert_eq!(flight.hear(&received), Ok(Some(second)));
        assert_eq!(flight.hear(&received), Ok(Some(second)), "released again");
        assert_eq!(flight.ended.taken, 0);
        assert_eq!(flight.hear(&Packet::PubComp(Ack::success(second))), Ok(None));
        assert!(flight.is_empty());
        assert_eq!((flight.ended.taken, flight.ended.unheard, flight.ended.refused), (1, 1, 1));
        assert!(flight.ended.complaint.unwrap().contains("not authorized"));
    }

    #[test]
    fn a_packet_id_in_use_is_not_given_again() {
        let mut flight = Flight::new(u16::MAX);
        let first = flight.begin();
        flight.last = u16::MAX;
        assert_eq!(flight.begin().get(), first.get() + 1);
        assert_eq!(PacketId::MIN, first);
    }
}
