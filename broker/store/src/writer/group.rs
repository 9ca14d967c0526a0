//! The commits that go into one frame, and the offsets they are given. Never touches a file.

use std::mem;
use std::sync::Arc;

use tidewire_proto::id::PartitionId;

use crate::catalog::Catalog;
use crate::commit::{Appended, Commit, CommitError, Offsets, TableChange};
use crate::frame::FrameBuilder;
use crate::partition::{Partition, Placed};
use crate::queue::Queued;
use crate::replies::Answer;

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

/// What is left to do for a group when its frame is in the log.
#[derive(Default)]
pub(super) struct Done {
    pub(super) appends: Vec<Append>,
    pub(super) changes: Vec<TableChange>,
    /// In the order of submission.
    pub(super) answers: Vec<Answer>,
    /// What the queue accounts for it.
    pub(super) bytes: u64,
    /// Lists that are empty now; freeing them is not the writer's work.
    emptied: Vec<Commit>,
}

impl Done {
    /// Are more receivers to be woken than so many? Counts one twice that comes back later.
    pub(super) fn wakes_over(&self, count: usize) -> bool {
        let receivers = self.answers.iter().filter_map(|answer| answer.reply.as_ref());
        let mut places = receivers.map(|(_, receiver)| Arc::as_ptr(receiver).cast::<()>());
        let mut last = None;
        places.by_ref().filter(|place| last.replace(*place) != Some(*place)).nth(count).is_some()
    }

    /// Some need not wait for the sync that others wait for.
    pub(super) fn is_mixed(&self) -> bool {
        let waits = |answer: &Answer| answer.waits;
        self.answers.iter().any(waits) && !self.answers.iter().all(waits)
    }

    /// Take out the answers that need not wait, except behind one to the same receiver that must:
    /// each is answered in its own order.
    pub(super) fn take_ahead(&mut self, send: &mut dyn FnMut(Answer)) {
        let mut waiting = Vec::new();
        for answer in &mut self.answers {
            let Some((_, receiver)) = &answer.reply else { continue };
            let place = Arc::as_ptr(receiver).cast::<()>();
            if waiting.contains(&place) {
                continue;
            }
            if answer.waits {
                waiting.push(place);
            } else {
                let result = Ok(Offsets::new(&[]));
                let told = Answer { reply: None, result, stayed: Ok(()), waits: false };
                send(mem::replace(answer, told));
            }
        }
    }

    /// Nothing of it happened, or nobody knows, for this reason.
    pub(super) fn fail(&mut self, error: &CommitError) {
        self.appends.clear();
        self.changes.clear();
        for answer in &mut self.answers {
            if answer.result.is_ok() {
                answer.result = Err(error.clone());
            }
            if answer.stayed.is_ok() {
                answer.stayed = Err(error.clone());
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.appends.clear();
        self.changes.clear();
        self.answers.clear();
        self.emptied.clear();
        self.bytes = 0;
    }
}

/// One frame in the making.
#[derive(Default)]
pub(super) struct Group {
    pub(super) frame: FrameBuilder,
    /// Someone was promised that it is on disk.
    pub(super) must_sync: bool,
    commits: usize,
    done: Done,
    offsets: Vec<u64>,
}

impl Group {
    /// Start anew, in lists that are empty.
    pub(super) fn begin(&mut self, done: Done) {
        self.frame.clear();
        self.must_sync = false;
        self.commits = 0;
        self.done = done;
    }

    /// What will be left to do.
    pub(super) fn done(&mut self) -> &mut Done {
        &mut self.done
    }

    /// What is left to do.
    pub(super) fn take_done(&mut self) -> Done {
        mem::take(&mut self.done)
    }

    /// No commit is in it; refusals may be.
    pub(super) fn is_empty(&self) -> bool {
        self.commits == 0
    }

    /// Commits of nothing: they only wait for what was submitted before them.
    pub(super) fn writes_nothing(&self) -> bool {
        self.done.appends.is_empty() && self.done.changes.is_empty()
    }

    pub(super) fn frame_bytes(&self) -> u64 {
        self.frame.bytes()
    }

    /// Give each append its offset and put the whole commit into the frame.
    pub(super) fn add(&mut self, lanes: &mut Lanes, queued: Queued) {
        let Queued { mut commit, bytes, reply, refused, .. } = queued;
        // Before anything that could panic: whoever waits for it is answered in any case.
        let result = refused.map_or_else(|| Ok(Offsets::new(&[])), Err);
        self.done.answers.push(Answer { reply, result, stayed: Ok(()), waits: true });
        self.done.bytes += bytes;
        let is_empty = commit.is_empty();
        let mut must_sync = !commit.changes.is_empty();
        self.offsets.clear();
        for append in commit.appends.drain(..) {
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
            let (partition, tag) = (append.partition, append.tag);
            let appended = Appended { partition, base_offset: base, batch, tag };
            self.done.appends.push((appended, placed, Arc::clone(&lane.partition)));
        }
        for mut change in commit.changes.drain(..) {
            change.fill_in(&self.offsets);
            self.frame.change(&change);
            self.done.changes.push(change);
        }
        self.must_sync |= must_sync;
        self.commits += 1;
        if let Some(answer) = self.done.answers.last_mut() {
            // A commit of nothing waits for all before it.
            answer.waits = must_sync || (is_empty && self.must_sync);
            if let Ok(offsets) = &mut answer.result {
                *offsets = Offsets::new(&self.offsets);
            }
        }
        self.done.emptied.push(commit);
    }

    /// A commit that goes into no frame. Its answer keeps its place among the others.
    pub(super) fn refuse(&mut self, queued: Queued, error: CommitError) {
        let Queued { reply, bytes, refused, .. } = queued;
        let result = Err(refused.unwrap_or_else(|| error.clone()));
        self.done.answers.push(Answer { reply, result, stayed: Err(error), waits: false });
        self.done.bytes += bytes;
    }

    /// The frame was written there: positions in it become positions in the file.
    pub(super) fn place(&mut self, epoch: u64, position: u64) {
        for (_, placed, _) in &mut self.done.appends {
            placed.epoch = epoch;
            placed.position += position;
        }
    }

    /// The frame was not written: the next one gives the same offsets.
    pub(super) fn give_offsets_back(&mut self, lanes: &mut Lanes) {
        for (appended, placed, _) in self.done.appends.drain(..).rev() {
            lanes.lane(appended.partition).next_offset = placed.base;
        }
    }

    /// Nothing of it happened, for this reason.
    pub(super) fn fail(&mut self, error: &CommitError) {
        self.done.fail(error);
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use tidewire_proto::id::PartitionId;
    use tidewire_proto::record::BatchBuilder;

    use super::{Done, Group, Lanes};
    use crate::commit::{Append, Commit, CommitError};
    use crate::queue::Queued;

    #[test]
    fn a_commit_that_causes_a_panic_is_answered_all_the_same() {
        let mut group = Group::default();
        group.begin(Done::default());
        let mut builder = BatchBuilder::new();
        builder.push(1, Some(b"a/b"), None, &[]);
        // Nobody looked up whether there is such a partition.
        let appends = vec![Append::new(PartitionId(9), builder.finish())];
        let commit = Commit { appends, changes: Vec::new() };
        let queued = Queued { commit, bytes: 70, reply: None, internal: false, refused: None };
        let mut lanes = Lanes::default();
        catch_unwind(AssertUnwindSafe(|| group.add(&mut lanes, queued))).expect_err("a panic");
        group.fail(&CommitError::Closed);
        let done = group.take_done();
        let results: Vec<_> = done.answers.iter().map(|answer| &answer.result).collect();
        assert_eq!(results, [&Err(CommitError::Closed)]);
        assert_eq!(done.bytes, 70, "the queue is told that it is gone");
    }
}
