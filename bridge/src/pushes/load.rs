//! The messages that are to be sent next: what is kept of them, how they are parted into requests,
//! and whose time is over. Sends nothing.

use std::ops::Range;

use tidewire_proto::message::Message;
use tidewire_proto::record::{Record, SharedRecord};
use tidewire_proto::session::window::Place;

use crate::bridges::source::Home;
use crate::pushes::body;
use crate::pushes::options::Form;

/// Messages that are to be sent, in order.
#[derive(Default)]
pub(super) struct Load {
    items: Vec<Item>,
    /// Their bytes, as they are sent.
    bytes: usize,
    /// The last of them.
    scratch: Vec<u8>,
}

/// One of them.
struct Item {
    place: Place,
    home: Home,
    /// The message alone; its part of the log may be a thousand times as large. `None`: its time
    /// is over.
    record: Option<SharedRecord>,
    /// Its bytes, as it is sent; less, when less is left of its time.
    bytes: usize,
}

/// Messages of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) items: Range<usize>,
    /// So often the receiver broke over it.
    pub(super) broke: u32,
    pub(super) was_sent: bool,
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is to be sent.
    Yes,
    /// It is no MQTT message.
    Invalid,
    /// Its time is over.
    Expired,
}

impl Load {
    /// One more record, behind the others.
    pub(super) fn take(
        &mut self,
        (home, place): (&Home, Place),
        shared: &SharedRecord,
        now_ms: i64,
    ) -> Taken {
        let text = &mut self.scratch;
        text.clear();
        match shared.record().and_then(|record| write(text, (home, place), &record, now_ms)) {
            None => Taken::Invalid,
            Some(Left::Nothing) => Taken::Expired,
            Some(Left::Some) => {
                let (bytes, record) = (text.len(), Some(shared.alone()));
                self.items.push(Item { place, home: home.clone(), record, bytes });
                self.bytes += bytes;
                Taken::Yes
            }
        }
    }

    /// Bytes of all of them, as they are sent.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// All of them, so many and so many bytes to a request; a larger message goes alone.
    pub(super) fn parts(&self, most: usize, bytes_max: usize) -> Vec<Part> {
        let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
        let part = |items| Part { items, broke: 0, was_sent: false };
        for (index, item) in self.items.iter().enumerate() {
            let is_more = bytes + item.bytes > bytes_max;
            if index > from && (is_more || index - from >= most) {
                parts.push(part(from..index));
                (from, bytes) = (index, 0);
            }
            bytes += item.bytes + 1;
        }
        if from < self.items.len() {
            parts.push(part(from..self.items.len()));
        }
        parts
    }

    /// Leaves out of a part whose time is over; how many those are.
    pub(super) fn expire(&mut self, part: &Part, now_ms: i64) -> u64 {
        let mut expired = 0;
        for item in self.items.get_mut(part.items.clone()).unwrap_or_default() {
            let record = item.record.as_ref().and_then(SharedRecord::record);
            let message = record.as_ref().and_then(Message::of);
            if message.is_some_and(|message| message.seconds_left(now_ms) == Some(0)) {
                item.record = None;
                expired += 1;
            }
        }
        expired
    }

    /// How many of a part are to be sent.
    pub(super) fn count(&self, part: &Part) -> usize {
        self.of(part).filter(|item| item.record.is_some()).count()
    }

    /// Where all of a part lie.
    pub(super) fn places(&self, part: &Part) -> impl Iterator<Item = Place> {
        self.of(part).map(|item| item.place)
    }

    /// The first of a part that is to be sent.
    pub(super) fn first(&self, part: &Part) -> Option<(Place, Record<'_>)> {
        self.of(part).find_map(|item| Some((item.place, item.record.as_ref()?.record()?)))
    }

    /// A part as it is sent now.
    pub(super) fn body(&self, part: &Part, form: Form, now_ms: i64) -> Vec<u8> {
        let mut body = Vec::new();
        let is_array = form == Form::Array;
        if is_array {
            body.push(b'[');
        }
        let mut is_first = true;
        for item in self.of(part) {
            let Some(record) = item.record.as_ref().and_then(SharedRecord::record) else {
                continue;
            };
            if !std::mem::take(&mut is_first) {
                body.push(b',');
            }
            // Who was not over a moment ago is sent all the same, with no time left.
            let _ = write(&mut body, (&item.home, item.place), &record, now_ms);
        }
        if is_array {
            body.push(b']');
        }
        body
    }

    fn of(&self, part: &Part) -> impl Iterator<Item = &Item> {
        self.items.get(part.items.clone()).unwrap_or_default().iter()
    }
}

impl Part {
    /// Both halves, each of which is tried but once before it is parted again; a message alone as
    /// often as all others.
    pub(super) fn halves(&self, most: u32) -> [Self; 2] {
        let middle = self.items.start + self.items.len() / 2;
        let half = |items: Range<usize>| {
            let broke = if items.len() > 1 { most } else { 0 };
            Self { items, broke, was_sent: true }
        };
        [half(self.items.start..middle), half(middle..self.items.end)]
    }
}

/// What is left of a message's time.
enum Left {
    Nothing,
    Some,
}

/// Writes it behind what is there; `None` if it is no message.
fn write(
    out: &mut Vec<u8>,
    (home, place): (&Home, Place),
    record: &Record<'_>,
    now_ms: i64,
) -> Option<Left> {
    let message = Message::of(record)?;
    let left_s = message.seconds_left(now_ms);
    body::write(out, (home, place.offset), &message, left_s);
    Some(if left_s == Some(0) { Left::Nothing } else { Left::Some })
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::{PropertiesBuilder, PropertyId, PropertyValue};
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_proto::session::window::Place;

    use super::{Load, Part, Taken};
    use crate::bridges::source::Home;
    use crate::pushes::options::Form;

    /// Messages that came at the Unix epoch, with payloads and seconds to live.
    fn load(messages: &[(&str, Option<u32>)]) -> Load {
        let (mut load, home) = (Load::default(), Home { stream: "mqtt".into(), index: 0 });
        for (offset, (payload, expiry_s)) in (0..).zip(messages) {
            let mut properties = PropertiesBuilder::default();
            if let Some(expiry_s) = expiry_s {
                let value = PropertyValue::FourByte(*expiry_s);
                properties.push(PropertyId::MessageExpiry, value).expect("it fits");
            }
            let message = Published {
                topic: "a",
                payload: payload.as_bytes(),
                qos: Qos::AtLeastOnce,
                retain: false,
                properties: properties.as_properties(),
                origin: None,
            };
            let mut batch = BatchBuilder::new();
            message.push_to(&mut batch, 0);
            let batch = batch.finish();
            let record = batch.records().next().expect("one");
            let place = Place { partition: PartitionId(0), offset };
            let taken = load.take((&home, place), &batch.share(&record), 1_000);
            assert_eq!(taken, Taken::Yes);
        }
        load
    }

    fn all(load: &Load) -> Part {
        Part { items: 0..load.len(), broke: 0, was_sent: false }
    }

    /// What is sent then: payloads, and what is left of their time.
    fn told(load: &Load, now_ms: i64) -> Vec<(String, String)> {
        let body = load.body(&all(load), Form::Array, now_ms);
        let body = String::from_utf8(body).expect("text");
        let member = |item: &str, name: &str| {
            let value = item.split_once(&format!("\"{name}\":")).map_or("-", |(_, rest)| rest);
            let end = value.find([',', '}']).unwrap_or(value.len());
            value[..end].trim_matches('"').to_owned()
        };
        let items = body.trim_matches(['[', ']']).split("},").filter(|item| !item.is_empty());
        items.map(|item| (member(item, "payload"), member(item, "expiry_s"))).collect()
    }

    #[test]
    fn what_is_over_by_the_time_of_a_try_is_left_out_and_the_others_say_what_is_left() {
        let mut load = load(&[("short", Some(10)), ("for ever", None), ("long", Some(100))]);
        let part = all(&load);
        let these = |these: &[(&str, &str)]| -> Vec<(String, String)> {
            these.iter().map(|(one, left_s)| ((*one).into(), (*left_s).into())).collect()
        };
        assert_eq!((load.expire(&part, 9_000), load.count(&part)), (0, 3));
        let first = these(&[("short", "1"), ("for ever", "-"), ("long", "91")]);
        assert_eq!(told(&load, 9_000), first);
        assert_eq!((load.expire(&part, 60_000), load.count(&part)), (1, 2));
        assert_eq!(told(&load, 60_000), these(&[("for ever", "-"), ("long", "40")]));
        assert_eq!(load.expire(&part, 60_000), 0, "it is counted once");
        assert_eq!(load.first(&part).map(|(place, _)| place.offset), Some(1));
        assert_eq!((load.expire(&part, 600_000), load.places(&part).count()), (1, 3));
    }

    #[test]
    fn a_request_has_no_more_messages_and_bytes_than_may_be() {
        let load = load(&[("a", None), ("b", None), ("c", None), (&"d".repeat(500), None)]);
        let each = load.body(&all(&load), Form::Object, 0).len() / 4;
        let check = |most, bytes_max, expected: &[usize]| {
            let parts = load.parts(most, bytes_max);
            let counts = parts.iter().map(|part| part.items.len());
            assert!(counts.eq(expected.iter().copied()), "{parts:?}");
        };
        check(9, 1 << 20, &[4]);
        check(3, 1 << 20, &[3, 1]);
        check(1, 1 << 20, &[1, 1, 1, 1]);
        check(9, 2 * each, &[3, 1]);
        check(9, 1, &[1, 1, 1, 1]);
    }
}
