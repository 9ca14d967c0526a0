//! The commits that go into one frame, and the offsets they are given. Never touches a file.

use std::sync::Arc;

use tidewire_proto::id::PartitionId;

use crate::catalog::Catalog;
use crate::commit::{Appended, CommitError, Offsets, ReplyTo, TableChange};
use crate::frame::FrameBuilder;
use crate::partition::{Partition, Placed};
use crate::queue::Queued;
use crate::replies::Replies;

/// The writer's own view of the partitions: the offset that each gives next, which is ahead of
/// what readers see.
#[derive(Default)]
pub(super) struct Lanes {
    /// By number; filled when first used.
    lanes: Vec<Option<Lane>>,
}

struct Lane {
    partition: Arc<Partition>,
    next_offset: u64,
}

impl Lanes {
    /// Is there such a partition?
    pub(super) fn knows(&mut self, catalog: &Catalog, id: PartitionId) -> bool {
        let place = id.0 as usize;
        if self.lanes.get(place).is_some_and(Option::is_some) {
            return true;
        }
        let Some(partition) = catalog.partition(id) else { return false };
        if self.lanes.len() <= place {
            self.lanes.resize_with(place + 1, || None);
        }
        let (_, next_offset) = partition.bounds();
        self.lanes[place] = Some(Lane { partition, next_offset });
        true
    }

    fn lane(&mut self, id: PartitionId) -> &mut Lane {
        let lane = self.lanes.get_mut(id.0 as usize).and_then(Option::as_mut);
        lane.expect("every partition of a commit was looked up before")
    }
}

/// A batch, its place and its partition.
pub(super) type Append = (Appended, Placed, Arc<Partition>);

/// One frame in the making.
#[derive(Default)]
pub(super) struct Group {
    pub(super) frame: FrameBuilder,
    pub(super) changes: Vec<TableChange>,
    /// Someone was promised that it is on disk.
    pub(super) must_sync: bool,
    appends: Vec<Append>,
    answers: Vec<(ReplyTo, Offsets)>,
    offsets: Vec<u64>,
}

impl Group {
    pub(super) fn clear(&mut self) {
        self.frame.clear();
        self.changes.clear();
        self.appends.clear();
        self.answers.clear();
        self.must_sync = false;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Commits of nothing: they only wait for what was submitted before them.
    pub(super) fn writes_nothing(&self) -> bool {
        self.appends.is_empty() && self.changes.is_empty()
    }

    pub(super) fn frame_bytes(&self) -> u64 {
        self.frame.bytes()
    }

    /// Give each append its offset and put the whole commit into the frame.
    pub(super) fn add(&mut self, lanes: &mut Lanes, queued: Queued) {
        let appends = queued.commit.appends;
        let mut must_sync = appends.is_empty() && !queued.commit.changes.is_empty();
        self.offsets.clear();
        for append in appends {
            let lane = lanes.lane(append.partition);
            let batch = append.batch;
            let base = lane.next_offset;
            lane.next_offset += u64::from(batch.last_offset_delta()) + 1;
            must_sync |= lane.partition.must_sync();
            self.offsets.push(base);
            let placed = Placed {
                base,
                next: lane.next_offset,
                epoch: 0,
                position: self.frame.append(append.partition, base, &batch),
                bytes: u32::try_from(batch.bytes().len()).expect("a batch is below 4 GiB"),
                max_timestamp: batch.max_timestamp(),
            };
            let appended = Appended { partition: append.partition, base_offset: base, batch };
            self.appends.push((appended, placed, Arc::clone(&lane.partition)));
        }
        for mut change in queued.commit.changes {
            change.fill_in(&self.offsets);
            self.frame.change(&change);
            self.changes.push(change);
        }
        self.must_sync |= must_sync;
        self.answers.push((queued.reply, Offsets::new(&self.offsets)));
    }

    /// The frame was written there: positions in it become positions in the file.
    pub(super) fn place(&mut self, epoch: u64, position: u64) {
        for (_, placed, _) in &mut self.appends {
            placed.epoch = epoch;
            placed.position += position;
        }
    }

    pub(super) fn take_appends(&mut self) -> Vec<Append> {
        std::mem::take(&mut self.appends)
    }

    /// The frame was not written: the next one gives the same offsets.
    pub(super) fn give_offsets_back(&mut self, lanes: &mut Lanes) {
        for (appended, placed, _) in self.appends.drain(..).rev() {
            lanes.lane(appended.partition).next_offset = placed.base;
        }
    }

    pub(super) fn answer_committed(&mut self, replies: &mut Replies) {
        for (reply, offsets) in self.answers.drain(..) {
            replies.add(reply, Ok(offsets));
        }
    }

    pub(super) fn answer_all(&mut self, replies: &mut Replies, error: &CommitError) {
        for (reply, _) in self.answers.drain(..) {
            replies.add(reply, Err(error.clone()));
        }
    }
}
