//! The bytes of one write: what is small is copied together, large batches are referred to. Pure:
//! never a file.

use std::io::IoSlice;

use bytes::Bytes;
use tidewire_proto::record::{BATCH_PREFIX_BYTES, Batch};

/// Batches up to this are copied: cheaper than a part of their own.
const COPIED_BYTES_MAX: usize = 4096;

/// What is gathered for one write.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// What was copied, in order; whoever gathers puts his own here.
    pub(crate) own: Vec<u8>,
    /// After this many bytes of `own` comes that.
    shared: Vec<(usize, Bytes)>,
    shared_bytes: usize,
}

impl Parts {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.own.len() + self.shared_bytes
    }

    pub(crate) fn clear(&mut self) {
        self.own.clear();
        self.shared.clear();
        self.shared_bytes = 0;
    }

    /// A batch as it lies on disk.
    pub(crate) fn put_batch(&mut self, base: u64, batch: &Batch) {
        self.own.extend_from_slice(&batch.prefix(base));
        if batch.bytes().len() <= COPIED_BYTES_MAX {
            self.own.extend_from_slice(&batch.bytes()[BATCH_PREFIX_BYTES..]);
        } else {
            let tail = batch.tail();
            self.shared_bytes += tail.len();
            self.shared.push((self.own.len(), tail));
        }
    }

    /// All of it, in pieces.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let from = |at: usize| at.checked_sub(1).map_or(0, |before| self.shared[before].0);
        let both = self.shared.iter().enumerate();
        let both = both.flat_map(move |(at, (end, shared))| [&self.own[from(at)..*end], shared]);
        both.chain([&self.own[from(self.shared.len())..]])
    }

    /// The same for a write.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        self.pieces().map(IoSlice::new).collect()
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::record::BatchBuilder;

    use super::{COPIED_BYTES_MAX, Parts};

    #[test]
    fn batches_come_out_as_they_lie_on_disk_whether_they_are_copied_or_not() {
        let mut parts = Parts::default();
        let mut expected = Vec::new();
        let large = COPIED_BYTES_MAX;
        for (base, bytes) in [10, large, 10, 10, large, large, 10].into_iter().enumerate() {
            let mut builder = BatchBuilder::new();
            builder.push(1, None, Some(&vec![b'x'; bytes]), &[]);
            let (base, batch) = (base as u64, builder.finish());
            parts.put_batch(base, &batch);
            expected.extend_from_slice(&batch.prefix(base));
            expected.extend_from_slice(&batch.tail());
            assert_eq!(parts.len(), expected.len());
        }
        assert_eq!(parts.pieces().collect::<Vec<_>>().concat(), expected);
        assert_eq!(parts.slices().len(), 7, "three that are referred to, and what is around them");
        parts.clear();
        assert_eq!((parts.len(), parts.pieces().flatten().count()), (0, 0));
    }
}
