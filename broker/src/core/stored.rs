//! Messages in parts of the log that were read. Reads nothing itself.

use std::ops::ControlFlow;

use tidewire_proto::message::Message;
use tidewire_proto::record::{Batch, Record, SharedRecord};
use tidewire_proto::session::cursor::Reading;
use tidewire_proto::session::window::Place;
use tidewire_store::{ReadError, Slice};

/// Bytes that one read of the log asks for.
pub(crate) const READ_LOG_BYTES: usize = 64 * 1024;

/// Whether the first batch of a slice has this offset.
pub(crate) fn begins_with(slice: &Slice, offset: u64) -> bool {
    slice.batches.first().is_some_and(|stored| {
        let end = stored.base_offset + u64::from(stored.batch.last_offset_delta());
        (stored.base_offset..=end).contains(&offset)
    })
}

/// Whether what could not be read cannot be read later either.
pub(crate) fn is_final(error: &ReadError) -> bool {
    match error {
        ReadError::UnknownPartition | ReadError::OutOfRange { .. } | ReadError::Damaged { .. } => {
            true
        }
        ReadError::Io(_) => false,
    }
}

/// How far a walk over a slice came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walked {
    /// The offset to go on with.
    pub(crate) next: u64,
    /// More may be read at once: nobody broke off, and the read brought something.
    pub(crate) goes_on: bool,
}

/// Shows the records that a reading asked for, in their order, until `visit` breaks off: with the
/// one that it broke off at the walk goes on another time.
pub(crate) fn walk(
    reading: Reading,
    slice: &Slice,
    mut visit: impl FnMut(&Batch, &Record<'_>, Place) -> ControlFlow<()>,
) -> Walked {
    let Reading { partition, from, to: limit } = reading;
    let mut next = from.max(slice.start);
    for stored in &slice.batches {
        for record in stored.batch.records() {
            let offset = stored.base_offset + u64::from(record.offset_delta);
            if offset < next || stored.batch.is_control() {
                continue;
            }
            if offset >= limit {
                return Walked { next: limit, goes_on: true };
            }
            if visit(&stored.batch, &record, Place { partition, offset }).is_break() {
                return Walked { next: offset, goes_on: false };
            }
        }
        next = next.max(stored.next_offset().min(limit));
    }
    // Behind the last batch there may be more that does not match. A read that brought nothing must
    // not be repeated for ever.
    next = next.max(slice.next.min(limit));
    Walked { next, goes_on: next > from }
}

/// The message with this offset in a slice that begins with its batch.
pub(crate) fn message_at(slice: &Slice, offset: u64) -> Option<Message<'_>> {
    Message::of(&record_at(slice, offset)?.1)
}

/// The same as a record of its own.
pub(crate) fn stored_at(slice: &Slice, offset: u64) -> Option<SharedRecord> {
    record_at(slice, offset).map(|(batch, record)| batch.share(&record))
}

fn record_at(slice: &Slice, offset: u64) -> Option<(&Batch, Record<'_>)> {
    let stored = slice.batches.first()?;
    let is_it = |delta: u32| stored.base_offset + u64::from(delta) == offset;
    let record = stored.batch.records().find(|record| is_it(record.offset_delta))?;
    Some((&stored.batch, record))
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use tidewire_proto::id::PartitionId;
    use tidewire_proto::message::Published;
    use tidewire_proto::mqtt::Properties;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::record::{Batch, BatchBuilder};
    use tidewire_store::{Slice, StoredBatch};

    use super::{Reading, Walked, walk};

    fn batch_of(count: usize) -> Batch {
        let mut batch = BatchBuilder::new();
        for _ in 0..count {
            let (topic, payload, properties) = ("a", &b"x"[..], Properties::EMPTY);
            let qos = Qos::AtLeastOnce;
            let message =
                Published { topic, payload, qos, retain: false, properties, origin: None };
            message.push_to(&mut batch, 0);
        }
        batch.finish()
    }

    /// Records 10 to 12 and 20 to 22; read up to 30, the rest of it matched nothing.
    fn slice() -> Slice {
        let batches = [10, 20].map(|base_offset| StoredBatch { base_offset, batch: batch_of(3) });
        Slice { batches: batches.into(), next: 30, start: 5, end: 40 }
    }

    #[track_caller]
    fn check(from: u64, to: u64, breaks_at: u64, seen: &[u64], next: u64, goes_on: bool) {
        let mut found = Vec::new();
        let reading = Reading { partition: PartitionId(0), from, to };
        let walked = walk(reading, &slice(), |_, _, place| {
            if place.offset == breaks_at {
                return ControlFlow::Break(());
            }
            found.push(place.offset);
            ControlFlow::Continue(())
        });
        assert_eq!((found.as_slice(), walked), (seen, Walked { next, goes_on }));
    }

    #[test]
    fn a_walk_shows_what_was_asked_for_and_says_where_to_go_on() {
        const NEVER: u64 = u64::MAX;
        check(0, 40, NEVER, &[10, 11, 12, 20, 21, 22], 30, true);
        check(11, 40, NEVER, &[11, 12, 20, 21, 22], 30, true);
        check(11, 21, NEVER, &[11, 12, 20], 21, true);
        check(11, 15, NEVER, &[11, 12], 15, true);
        check(0, 40, 20, &[10, 11, 12], 20, false);
        check(30, 40, NEVER, &[], 30, false);
    }
}
