//! Reads the log for handlers: from memory at once, from files on the pool of readers. Never holds
//! the port's thread up.

use tidewire_proto::id::PartitionId;
use tidewire_store::{ReadError, Slice, Store};
use tokio::task::AbortHandle;

use crate::budget::Share;

/// What is wanted of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) partition: PartitionId,
    pub(crate) from: u64,
    pub(crate) bytes_max: usize,
}

/// A read that waits for its turn is not done when nobody waits for it any more.
struct Unread(AbortHandle);

impl Drop for Unread {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What it gave.
pub(crate) type Got = Result<Slice, ReadError>;

/// Reads in the order of the list, together no more than `bytes_max`. The first batch there is
/// comes however large it is, or nobody would ever get past it. What is behind the first batch that
/// does not fit is not read: there the answer is where the log begins and ends.
/// `share` is taken as long as something is read for it, whoever waits.
pub(crate) async fn gather(
    store: &Store,
    wants: &[Want],
    bytes_max: usize,
    share: Share,
) -> (Vec<Got>, Share) {
    let unread = |want: &Want| unread(store, want);
    let from_memory = |want: &Want, room| {
        let recent = store.read_recent(want.partition, want.from, room).map(Ok);
        // What lies outside of the log is known without reading.
        recent.or_else(|| unread(want).err().map(Err))
    };
    let recent = gathered(wants, bytes_max, from_memory, unread);
    if let Some(all) = recent {
        return (all, share);
    }
    let (from_files, wants) = (store.clone(), wants.to_vec());
    let read = move || {
        let read =
            |want: &Want, room| Some(from_files.read_packed(want.partition, want.from, room));
        let all = gathered(&wants, bytes_max, read, |want| self::unread(&from_files, want));
        (all.unwrap_or_default(), share)
    };
    let task = tokio::task::spawn_blocking(read);
    let _unread = Unread(task.abort_handle());
    task.await.unwrap_or_default()
}

/// Reads nothing: where the log begins and ends.
pub(crate) fn nothing(store: &Store, wants: &[Want]) -> Vec<Got> {
    wants.iter().map(|want| unread(store, want)).collect()
}

/// `None` as soon as one read gives `None`.
fn gathered(
    wants: &[Want],
    bytes_max: usize,
    read: impl Fn(&Want, usize) -> Option<Got>,
    unread: impl Fn(&Want) -> Got,
) -> Option<Vec<Got>> {
    let (mut room, mut is_first) = (bytes_max, true);
    let mut all = Vec::with_capacity(wants.len());
    for want in wants {
        if room == 0 && !is_first {
            all.push(unread(want));
            continue;
        }
        let here = room.min(want.bytes_max);
        let mut got = read(want, here)?;
        if let Ok(slice) = &mut got {
            let fits = is_first || fit(slice, want.from, here);
            if !fits && here == room {
                room = 0;
            }
            let bytes = bytes_of(slice);
            is_first &= bytes == 0;
            room = room.saturating_sub(bytes);
        }
        all.push(got);
    }
    Some(all)
}

/// A read gives one batch at least, however large: whether it fits.
fn fit(slice: &mut Slice, from: u64, room: usize) -> bool {
    let fits = slice.batches.first().is_none_or(|one| one.batch.bytes().len() <= room);
    if !fits {
        slice.batches.clear();
        slice.next = from;
    }
    fits
}

/// How many bytes it has.
pub(crate) fn bytes_of(slice: &Slice) -> usize {
    slice.batches.iter().map(|stored| stored.batch.bytes().len()).sum()
}

/// What is known without reading.
fn unread(store: &Store, want: &Want) -> Got {
    let (start, end) = store.bounds(want.partition).ok_or(ReadError::UnknownPartition)?;
    let offset = want.from;
    match (start..=end).contains(&offset) {
        true => Ok(Slice { batches: Vec::new(), next: offset, start, end }),
        false => Err(ReadError::OutOfRange { offset, start, end }),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::BatchBuilder;
    use tidewire_store::{Slice, StoredBatch};

    use super::{Want, bytes_of, gathered};

    #[test]
    fn nothing_is_read_once_there_is_no_room_for_it() {
        let mut builder = BatchBuilder::new();
        builder.push(1, None, Some(&[0; 100]), &[]);
        let batch = builder.finish();
        let bytes = batch.bytes().len();
        let reads = Cell::new(0);
        let empty = Slice { batches: Vec::new(), next: 0, start: 0, end: 1 };
        let read = |_: &Want, _| {
            reads.set(reads.get() + 1);
            let batches = vec![StoredBatch { base_offset: 0, batch: batch.clone() }];
            Some(Ok(Slice { batches, next: 1, ..empty.clone() }))
        };
        let want = |partition| Want { partition: PartitionId(partition), from: 0, bytes_max: 1000 };
        let wants: Vec<Want> = (0..100).map(want).collect();
        for (room, expected) in [(0, (1, 1)), (bytes, (1, 1)), (2 * bytes + 9, (2, 3))] {
            reads.set(0);
            let all = gathered(&wants, room, read, |_| Ok(empty.clone())).unwrap();
            let given = all.iter().flatten().map(bytes_of).sum::<usize>() / bytes;
            assert_eq!((given, reads.get()), expected, "{room}");
            assert_eq!(all.len(), 100);
        }
    }
}
