//! Reads the log for handlers: from memory at once, from files on the pool of readers. Never holds
//! the port's thread up.

use tidewire_proto::id::PartitionId;
use tidewire_store::{ReadError, Slice, Store};

/// What is wanted of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub(crate) partition: PartitionId,
    pub(crate) from: u64,
    pub(crate) bytes_max: usize,
}

/// What it gave.
pub(crate) type Got = Result<Slice, ReadError>;

/// Reads in the order of the list, together no more than `bytes_max`. The first batch there is
/// comes however large it is, or nobody would ever get past it.
pub(crate) async fn gather(store: &Store, wants: &[Want], bytes_max: usize) -> Vec<Got> {
    let recent = gathered(wants, bytes_max, |want, room| {
        let recent = store.read_recent(want.partition, want.from, room).map(Ok);
        // What lies outside of the log is known without reading.
        recent.or_else(|| outside(store, want).map(Err))
    });
    if let Some(all) = recent {
        return all;
    }
    let (from_files, wants) = (store.clone(), wants.to_vec());
    let read = move || {
        let read = |want: &Want, room| Some(from_files.read(want.partition, want.from, room));
        gathered(&wants, bytes_max, read).unwrap_or_default()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}

/// `None` as soon as one read gives `None`.
fn gathered(
    wants: &[Want],
    bytes_max: usize,
    read: impl Fn(&Want, usize) -> Option<Got>,
) -> Option<Vec<Got>> {
    let (mut room, mut is_first) = (bytes_max, true);
    let mut all = Vec::with_capacity(wants.len());
    for want in wants {
        let here = room.min(want.bytes_max);
        let mut got = read(want, here)?;
        if let Ok(slice) = &mut got {
            fit(slice, want.from, here, is_first);
            let bytes = bytes_of(slice);
            is_first &= bytes == 0;
            room = room.saturating_sub(bytes);
        }
        all.push(got);
    }
    Some(all)
}

/// A read gives one batch at least, however large.
fn fit(slice: &mut Slice, from: u64, room: usize, is_first: bool) {
    if !is_first && slice.batches.first().is_some_and(|one| one.batch.bytes().len() > room) {
        slice.batches.clear();
        slice.next = from;
    }
}

/// How many bytes it has.
pub(crate) fn bytes_of(slice: &Slice) -> usize {
    slice.batches.iter().map(|stored| stored.batch.bytes().len()).sum()
}

fn outside(store: &Store, want: &Want) -> Option<ReadError> {
    let Some((start, end)) = store.bounds(want.partition) else {
        return Some(ReadError::UnknownPartition);
    };
    let offset = want.from;
    let is_outside = !(start..=end).contains(&offset);
    is_outside.then_some(ReadError::OutOfRange { offset, start, end })
}
