//! The messages that are to be sent again, read from the log part by part. Sends nothing.

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::SharedRecord;
use tidewire_proto::session::window::{Exchange, Place, Step};
use tidewire_store::{ReadError, Slice, Store};

/// Bytes of messages that are read before they are handed out.
const PART_BYTES: usize = 512 * 1024;
/// Bytes of the log that one read asks for.
const READ_BYTES: usize = 256 * 1024;

/// What was on its way, by number; what is left of it.
pub(crate) struct Again {
    store: Store,
    left: Vec<(u64, Exchange)>,
}

/// Messages by the number of their exchange. Those that are missing are not in the log any more.
pub(crate) type Found = Vec<(u64, SharedRecord)>;

impl Again {
    /// In rising order of their numbers.
    pub(crate) fn new(store: Store, mut exchanges: Vec<(u64, Exchange)>) -> Self {
        exchanges.reverse();
        Self { store, left: exchanges }
    }

    /// Only what is sent whole: where the other side has forgotten our session also what was
    /// released.
    pub(crate) fn of(mut self, session_present: bool) -> Self {
        self.left.retain(|(_, it)| !session_present || it.step == Step::Published);
        self
    }

    /// All was handed out.
    pub(crate) fn is_over(&self) -> bool {
        self.left.is_empty()
    }

    /// The number of the first that was not handed out.
    pub(crate) fn first(&self) -> Option<u64> {
        self.left.last().map(|(number, _)| *number)
    }

    /// Some more, and itself.
    pub(crate) async fn next(self) -> (Result<Found, ReadError>, Self) {
        let Self { store, mut left } = self;
        if left.is_empty() {
            return (Ok(Vec::new()), Self { store, left });
        }
        let reader = store.clone();
        let read = move || {
            let read = |id, offset| reader.read(id, offset, READ_BYTES);
            (next_of(&mut left, read), left)
        };
        match tokio::task::spawn_blocking(read).await {
            Ok((found, left)) => (found, Self { store, left }),
            Err(error) => (Err(ReadError::Io(error.to_string())), Self { store, left: Vec::new() }),
        }
    }
}

fn next_of(
    left: &mut Vec<(u64, Exchange)>,
    read: impl Fn(PartitionId, u64) -> Result<Slice, ReadError>,
) -> Result<Found, ReadError> {
    let (mut found, mut bytes) = (Vec::new(), 0);
    let mut last: Option<(PartitionId, Slice)> = None;
    while let Some((number, exchange)) = left.last().filter(|_| bytes < PART_BYTES) {
        let Place { partition, offset } = exchange.place;
        let known = last.as_ref().filter(|(known, _)| *known == partition);
        let mut record = known.and_then(|(_, slice)| find(slice, offset));
        if record.is_none() {
            record = match read(partition, offset) {
                Ok(slice) => find(&last.insert((partition, slice)).1, offset),
                // Retention was there first.
                Err(ReadError::OutOfRange { start, .. }) if start > offset => None,
                // What cannot be read now may be read later: it is not given up for that.
                Err(error) => return Err(error),
            };
        }
        if let Some(record) = record {
            bytes += record.bytes();
            found.push((*number, record));
        }
        left.pop();
    }
    Ok(found)
}

fn find(slice: &Slice, offset: u64) -> Option<SharedRecord> {
    let stored = slice
        .batches
        .iter()
        .find(|stored| (stored.base_offset..stored.next_offset()).contains(&offset))?;
    let at = |delta: u32| stored.base_offset + u64::from(delta);
    let record = stored.batch.records().find(|record| at(record.offset_delta) == offset)?;
    // The message alone: the batch may be a thousand times as large.
    Some(stored.batch.share(&record).alone())
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;
    use tidewire_proto::qos::Qos;
    use tidewire_proto::session::window::{Exchange, Place, Step};
    use tidewire_store::{ReadError, Slice};

    use super::next_of;

    #[test]
    fn what_cannot_be_read_now_is_not_taken_for_deleted() {
        let place = Place { partition: PartitionId(0), offset: 7 };
        let (qos, step) = (Qos::ExactlyOnce, Step::Published);
        let exchange = Exchange { place, qos, step, retain: false, group: None };
        let check = |error: ReadError, is_gone: bool| {
            let mut left = vec![(3, exchange)];
            let read = |_, _| Err::<Slice, _>(error.clone());
            let found = next_of(&mut left, read);
            assert_eq!((found.is_ok(), left.is_empty()), (is_gone, is_gone), "{error}");
        };
        check(ReadError::Io("no more files".into()), false);
        check(ReadError::OutOfRange { offset: 7, start: 9, end: 20 }, true);
        check(ReadError::OutOfRange { offset: 7, start: 0, end: 5 }, false);
    }
}
