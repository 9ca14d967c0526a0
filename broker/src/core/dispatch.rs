//! Live delivery: what became durable, or is QoS 0, to the sessions of this core.

use std::io;

use tidewire_proto::delivery::Shape;
use tidewire_proto::id::GroupId;
use tidewire_proto::message::{Message, Published};
use tidewire_proto::mqtt::{Properties, Publish};
use tidewire_proto::qos::Qos;
use tidewire_proto::record::Batch;
use tidewire_proto::routing::grant::Target;
use tidewire_proto::routing::routes::LastRoute;
use tidewire_proto::session::window::{Exchange, Place, Step};
use tidewire_store::Appended;

use crate::core::groups::{GroupKey, Offer};
use crate::core::open::{Conn, ConnId, Open, Phase};
use crate::core::overflow::{put_by, room_of};
use crate::core::publish::{Received, is_ours};
use crate::core::send::quality;
use crate::core::state::{Core, Scratch, Templates};
use crate::core::turn::HANDED_OUT;
use crate::metrics::{Direction, DropReason, Quality};

/// On which way a message comes to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By its own subscriptions.
    Own,
    /// As the retained message of a new subscription.
    Retained,
    /// From a share group.
    Group(GroupId),
}

/// What became of a message for one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way.
    Yes,
    /// There is no room now: at QoS 1 and 2 the session reads it from the log later.
    NoRoom,
    /// It is not for this session: stale, too large, or its own and No Local.
    Skipped,
}

impl Core {
    /// Hands out commits that became durable.
    pub(crate) fn on_durable(&mut self, appended: &[Appended]) {
        for Appended { partition, base_offset, batch, tag } in appended {
            let end = base_offset + u64::from(batch.last_offset_delta()) + 1;
            if *tag == HANDED_OUT || self.trie.is_empty() || batch.is_control() {
                self.positions.advance(*partition, end);
                continue;
            }
            let (mut handed_out, mut last) = (0, LastRoute::default());
            for record in batch.records() {
                let offset = base_offset + u64::from(record.offset_delta);
                self.positions.advance(*partition, offset);
                let Some(message) = Message::of(&record) else { continue };
                let place = Some(Place { partition: *partition, offset });
                let share = || batch.share(&record);
                let offer = Offer { message: &message, record: &share, place };
                let route = last.find(&mut self.routes, &self.trie, message.topic);
                handed_out += usize::from(self.hand_out(&offer, &route));
                // Who is behind this one reads it from the log.
                self.positions.advance(*partition, offset + 1);
                self.write_if_much();
            }
            self.positions.advance(*partition, end);
            self.time_delivery(batch, handed_out);
        }
        // Last: rows that were written meanwhile do not say all of it.
        self.moves += 1;
    }

    /// How old the first message of a batch is when those who keep up have so many of it, in
    /// milliseconds: that is how exactly a batch says when it came, so it is never less than one.
    fn time_delivery(&self, batch: &Batch, messages: usize) {
        if messages == 0 {
            return;
        }
        let took_ms = self.now_ms.saturating_sub(batch.base_timestamp()).max(1);
        self.shared.metrics.delivery_seconds.record_many(took_ms as f64 / 1000.0, messages);
    }

    /// Hands out a message at QoS 0 as it comes, before it is in a batch.
    pub(crate) fn on_received(&mut self, publish: &Publish<'_>, received: &Received<'_>) {
        if self.trie.is_empty() {
            return;
        }
        let now_ms = self.now_ms;
        let published = Published::new(publish, &received.topic, received.origin.as_deref());
        let mut message = published.received(now_ms);
        message.as_it_came = received.as_it_came;
        let record = || published.alone(now_ms);
        let route = self.routes.find(&self.trie, message.topic);
        self.hand_out(&Offer { message: &message, record: &record, place: None }, &route);
        self.write_if_much();
    }

    /// Hands out QoS 0 messages that came to another core.
    pub(crate) fn on_live(&mut self, batches: &[Batch]) {
        if self.trie.is_empty() {
            return;
        }
        for batch in batches {
            let mut last = LastRoute::default();
            for record in batch.records() {
                let Some(message) = Message::of(&record) else { continue };
                let share = || batch.share(&record);
                let offer = Offer { message: &message, record: &share, place: None };
                let route = last.find(&mut self.routes, &self.trie, message.topic);
                self.hand_out(&offer, &route);
                self.write_if_much();
            }
        }
    }

    /// Whether somebody has it now.
    fn hand_out(&mut self, offer: &Offer<'_>, route: &[Target]) -> bool {
        let Offer { message, place, .. } = *offer;
        let mut is_out = false;
        self.scratch.templates.used = 0;
        for target in route {
            if let Some(group) = GroupKey::from_trie(target.session) {
                is_out |= self.offer_to_group(group, offer);
                continue;
            }
            let Some(id) = self.id_at(target.session) else { continue };
            match self.offer(id, target, message, place) {
                Sent::Yes => is_out = true,
                Sent::Skipped => (),
                Sent::NoRoom => self.fall_behind(id, target.qos.min(message.qos)),
            }
        }
        is_out
    }

    fn fall_behind(&mut self, id: ConnId, qos: Qos) {
        if qos == Qos::AtMostOnce {
            self.counters.messages_dropped.add((DropReason::Slow, Quality::AtMostOnce), 1);
            return;
        }
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        if let Phase::Open(open) = &mut conn.phase {
            open.cursor.fall_behind(&self.positions);
        }
    }

    /// Sends a live message to one session if it has room for it.
    fn offer(
        &mut self,
        id: ConnId,
        target: &Target,
        message: &Message<'_>,
        place: Option<Place>,
    ) -> Sent {
        let qos = target.qos.min(message.qos);
        let waits = |open: &Open| {
            !open.cursor.is_live() || !open.resends.is_empty() || !open.feeds.is_empty()
        };
        let Some(open) = self.open(id) else { return Sent::Skipped };
        if qos != Qos::AtMostOnce {
            if !open.cursor.is_live() {
                // What it catches up with includes this message.
                return Sent::Skipped;
            }
            if waits(open) {
                return Sent::NoRoom;
            }
        } else if open.subscriptions.is_replaying(message.topic) {
            // Older ones are on their way: it comes after them, from the log.
            self.leave_to_log(id, message.topic, place);
            return Sent::Skipped;
        }
        self.deliver(id, target, message, place, Way::Own)
    }

    /// The replay of a session brings this message too, if it comes into the log.
    fn leave_to_log(&mut self, id: ConnId, topic: &str, place: Option<Place>) {
        let mut is_logged = || {
            if is_ours(topic) {
                return false;
            }
            let placed = self.placement.place(topic, "", Properties::EMPTY);
            placed.is_some_and(|placed| placed.log_qos0)
        };
        if place.is_none() && !is_logged() {
            self.counters.messages_dropped.add((DropReason::Slow, Quality::AtMostOnce), 1);
        } else if let Some(open) = self.open(id) {
            open.left.count += 1;
        }
    }

    /// Sends a message to one session if it has room for it: the one way out for all gears.
    pub(crate) fn deliver(
        &mut self,
        id: ConnId,
        target: &Target,
        message: &Message<'_>,
        place: Option<Place>,
        way: Way,
    ) -> Sent {
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return Sent::Skipped };
        if let Phase::Open(open) = &mut conn.phase
            && !matches!(way, Way::Group(_))
            // What is retained is there now, however old it is.
            && open.is_kept_from(message.topic, place.filter(|_| way != Way::Retained))
        {
            let quality = quality(target.qos.min(message.qos));
            self.counters.messages_dropped.add((DropReason::NotAuthorized, quality), 1);
            return Sent::Skipped;
        }
        let room = room_of(conn, &self.shared, self.unwritten);
        let before = put_by(conn);
        let means = &mut self.scratch;
        let delivery = Delivery { message, place, way, now_ms: self.now_ms, room };
        let sent = match target.no_local {
            true => match own_part(conn, target, message) {
                Some(target) => delivery.to(conn, &target, means),
                None => Ok(Sent::Skipped),
            },
            false => delivery.to(conn, target, means),
        };
        self.unwritten += put_by(conn) - before;
        match sent {
            Ok(Sent::Yes) => {
                let qos = target.qos.min(message.qos);
                self.counters.messages_delivered.add(quality(qos), 1);
                self.counters.payload_bytes.add(Direction::Out, message.payload.len() as u64);
                if place.is_some() && qos != Qos::AtMostOnce {
                    self.mark_changed(id, true);
                }
                self.mark_dirty(id);
                Sent::Yes
            }
            Ok(sent) => sent,
            Err(_) => {
                let qos = quality(target.qos.min(message.qos));
                self.counters.messages_dropped.add((DropReason::TooLarge, qos), 1);
                Sent::Skipped
            }
        }
    }
}

/// The target without No Local grants when the message is the session's own.
fn own_part(conn: &Conn, target: &Target, message: &Message<'_>) -> Option<Target> {
    match &conn.phase {
        Phase::Open(open) if message.origin == Some(&open.client_id) => target.without_local(),
        _ => Some(target.clone()),
    }
}

struct Delivery<'a> {
    message: &'a Message<'a>,
    place: Option<Place>,
    way: Way,
    now_ms: i64,
    room: usize,
}

impl Delivery<'_> {
    fn to(&self, conn: &mut Conn, target: &Target, means: &mut Scratch) -> io::Result<Sent> {
        let Phase::Open(open) = &mut conn.phase else { return Ok(Sent::Skipped) };
        if self.message.seconds_left(self.now_ms) == Some(0) {
            return Ok(Sent::Skipped);
        }
        let place = self.place.filter(|_| target.qos.min(self.message.qos) != Qos::AtMostOnce);
        if conn.out.len() + open.held.len() > self.room
            || (place.is_some() && !open.window.has_room())
        {
            return Ok(Sent::NoRoom);
        }
        let shape = Shape {
            version: open.version,
            qos: if place.is_some() { target.qos.min(self.message.qos) } else { Qos::AtMostOnce },
            retain: self.way == Way::Retained
                || (self.message.retain && target.retain_as_published),
            dup: false,
        };
        if let Some(packet) = self.as_it_came(open, shape, target) {
            if packet.len() > open.terms.packet_bytes_max as usize {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            means.outputs.lend(&mut conn.out);
            conn.out.extend_from_slice(packet);
            return Ok(Sent::Yes);
        }
        let template = means.templates.of(self.message, shape, target, self.now_ms)?;
        if template.len() > open.terms.packet_bytes_max as usize {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let id = place.map(|place| {
            let (qos, retain) = (shape.qos, shape.retain);
            let group = match self.way {
                Way::Group(group) => Some(group),
                Way::Own | Way::Retained => None,
            };
            open.window.begin(Exchange { place, qos, step: Step::Published, retain, group })
        });
        // To a session that lives on a message leaves when its packet id is durable: sent again
        // after a crash of ours, it must be known for the same.
        let is_held = id.is_some() && open.is_durable();
        let out = if is_held { &mut open.held } else { &mut conn.out };
        if !is_held {
            means.outputs.lend(out);
        }
        match &mut open.aliases {
            None => template.append_to(out, id),
            Some(aliases) => {
                let bytes_max = open.terms.packet_bytes_max as usize;
                let aliases = (aliases, is_held);
                template.append_aliased(out, id, self.message.topic, aliases, bytes_max);
            }
        }
        Ok(Sent::Yes)
    }

    /// The packet that the message came in, where encoding it anew would make the same.
    fn as_it_came(&self, open: &Open, shape: Shape, target: &Target) -> Option<&[u8]> {
        let came = self.message.as_it_came?;
        let Shape { version, qos, retain, dup } = shape;
        let is_plain = qos == Qos::AtMostOnce && !retain && !dup;
        let is_same = is_plain && open.aliases.is_none() && !target.has_ids();
        came.packet(version).filter(|_| is_same)
    }
}

impl Templates {
    /// The message encoded for receivers of this shape; encoded once for all without identifiers.
    fn of(
        &mut self,
        message: &Message<'_>,
        shape: Shape,
        target: &Target,
        now_ms: i64,
    ) -> io::Result<&tidewire_proto::delivery::Template> {
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        if target.has_ids() {
            self.own.write(message, shape, target.ids(), now_ms).map_err(too_large)?;
            return Ok(&self.own);
        }
        if let Some(at) = self.kept[..self.used].iter().position(|(kept, _)| *kept == shape) {
            return Ok(&self.kept[at].1);
        }
        if self.kept.len() == self.used {
            self.kept.push((shape, tidewire_proto::delivery::Template::default()));
        }
        let (kept, template) = &mut self.kept[self.used];
        *kept = shape;
        template.write(message, shape, std::iter::empty(), now_ms).map_err(too_large)?;
        self.used += 1;
        Ok(template)
    }
}
