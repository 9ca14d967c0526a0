//! The topics of a segment, gathered while its batches are filed: nobody has to read them again
//! when it is full. Never touches a file.

use std::collections::HashMap;
use std::ops::Range;

use parking_lot::Mutex;
use tidewire_proto::id::PartitionId;

use super::topics::TopicsBuilder;

/// Memory for the drafts of all partitions; segments beyond are read when they are full.
const DRAFTS_BYTES_MAX: usize = 32 << 20;
/// What one may take. A segment with more is read when it is full.
const DRAFT_BYTES_MAX: usize = 8 << 20;
/// So much of a segment is seen before its batches are found to be of no good length.
const TRIAL_BYTES: u64 = 1 << 20;
/// They are where more than this share is in batches of other lengths: such a segment is written
/// anew when it is full, and its topics are gathered then.
const OTHERS_SHARE: u64 = 8;

/// Those of all segments that are not full, or were not looked at since.
#[derive(Debug, Default)]
pub(crate) struct Drafts {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    by_segment: HashMap<(PartitionId, u64), Draft>,
    bytes: usize,
}

impl Drafts {
    /// The draft of a segment, if it speaks of so many bytes. Whoever takes it has it alone.
    pub(crate) fn take(&self, of: (PartitionId, u64), bytes: u64) -> Option<Draft> {
        let mut kept = self.kept.lock();
        let draft = kept.by_segment.remove(&of)?;
        kept.bytes -= draft.memory();
        (draft.end == bytes).then_some(draft)
    }

    /// Keep it while there is memory for it.
    pub(crate) fn put(&self, of: (PartitionId, u64), draft: Draft) {
        let mut kept = self.kept.lock();
        let bytes = kept.bytes + draft.memory();
        if !draft.is_void && bytes <= DRAFTS_BYTES_MAX {
            kept.bytes = bytes;
            let before = kept.by_segment.insert(of, draft);
            kept.bytes -= before.map_or(0, |before| before.memory());
        }
    }

    /// Let those go that nobody needs.
    pub(crate) fn retain(&self, is_needed: impl Fn(PartitionId, u64) -> bool) {
        let mut kept = self.kept.lock();
        kept.by_segment.retain(|(id, base), _| is_needed(*id, *base));
        kept.bytes = kept.by_segment.values().map(Draft::memory).sum();
    }
}

/// The topics of a segment up to some place.
#[derive(Debug)]
pub(crate) struct Draft {
    base: u64,
    topics: TopicsBuilder,
    /// Bytes of the segment that it speaks of.
    end: u64,
    /// Of them, those in batches that are too small or too large.
    others: u64,
    is_void: bool,
}

impl Draft {
    /// Of a segment in which nothing is yet.
    pub(super) fn new(base: u64) -> Self {
        Self { base, topics: TopicsBuilder::new(base), end: 0, others: 0, is_void: false }
    }

    /// A record of the next batch; offsets rise.
    pub(super) fn add(&mut self, topic: &[u8], offset: u64) {
        if offset < self.base {
            self.make_void();
        }
        if !self.is_void {
            self.topics.add(topic, offset);
        }
        if self.topics.bytes() > DRAFT_BYTES_MAX {
            self.make_void();
        }
    }

    /// All records of the next batch were added.
    pub(super) fn end_batch(&mut self, bytes: u32, good: &Range<usize>) {
        self.end += u64::from(bytes);
        if !good.contains(&(bytes as usize)) {
            self.others += u64::from(bytes);
        }
        if self.end >= TRIAL_BYTES && self.others > self.end / OTHERS_SHARE {
            self.make_void();
        }
    }

    /// It says nothing any more, and takes no memory.
    pub(super) fn make_void(&mut self) {
        self.topics = TopicsBuilder::default();
        self.is_void = true;
    }

    /// Whether it says nothing.
    pub(super) fn is_void(&self) -> bool {
        self.is_void
    }

    /// About what it takes.
    fn memory(&self) -> usize {
        size_of::<Self>() + self.topics.bytes()
    }

    pub(super) fn into_topics(self) -> TopicsBuilder {
        self.topics
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::id::PartitionId;

    use super::{DRAFT_BYTES_MAX, DRAFTS_BYTES_MAX, Draft, Drafts, TRIAL_BYTES};

    const GOOD: std::ops::Range<usize> = 8_000..128_000;

    #[test]
    fn a_draft_of_batches_of_other_lengths_is_given_up_and_a_few_of_them_do_no_harm() {
        let mut draft = Draft::new(0);
        for _ in 0..TRIAL_BYTES / 64_000 {
            draft.end_batch(100, &GOOD);
            draft.end_batch(64_000, &GOOD);
        }
        assert!(!draft.is_void());
        for bytes in [100, 200_000] {
            let mut draft = Draft::new(0);
            for _ in 0..TRIAL_BYTES / u64::from(bytes) {
                draft.end_batch(bytes, &GOOD);
            }
            assert!(!draft.is_void(), "{bytes}: too early to tell");
            draft.end_batch(bytes, &GOOD);
            assert!(draft.is_void(), "{bytes}");
        }
    }

    #[test]
    fn a_draft_takes_no_more_than_it_may() {
        let mut draft = Draft::new(0);
        let mut offset = 0;
        while !draft.is_void() {
            draft.add(format!("topic/{offset}").as_bytes(), offset);
            draft.end_batch(64_000, &GOOD);
            assert!(draft.memory() < DRAFT_BYTES_MAX + 1_000);
            offset += 1;
        }
        assert!(offset > 10_000 && draft.memory() < 1_000);
        draft.add(b"one more", offset);
        assert!(draft.memory() < 1_000, "it stays void");
    }
    fn of_one_topic(bytes: usize) -> Draft {
        let mut draft = Draft::new(0);
        draft.add(&vec![b'x'; bytes], 0);
        draft.end_batch(64_000, &GOOD);
        draft
    }

    #[test]
    fn drafts_are_kept_while_there_is_room_and_somebody_needs_them() {
        let (drafts, id) = (Drafts::default(), PartitionId(0));
        let large = DRAFT_BYTES_MAX - 1_000;
        let fit = DRAFTS_BYTES_MAX as u64 / DRAFT_BYTES_MAX as u64;
        for base in 0..fit + 2 {
            drafts.put((id, base), of_one_topic(large));
        }
        assert!(drafts.take((id, fit), 64_000).is_none(), "there was no room");
        assert!(drafts.take((id, 0), 64_001).is_none(), "it says less than is asked");
        assert!(drafts.take((id, 0), 64_000).is_none(), "it is gone");
        drafts.retain(|_, base| base == 2);
        assert!(drafts.take((id, 1), 64_000).is_none());
        assert!(drafts.take((id, 2), 64_000).is_some());
        drafts.put((id, 3), of_one_topic(large));
        drafts.put((id, 3), of_one_topic(10));
        assert_eq!(drafts.kept.lock().bytes, of_one_topic(10).memory());
    }
}
