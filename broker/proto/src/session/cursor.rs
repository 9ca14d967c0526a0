//! How far a session is: live with its core, or catching up from the log on its own.

use crate::id::PartitionId;

/// The next offset not yet looked at, per partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions(Vec<u64>);

impl Positions {
    /// The next offset of this partition; 0 for one never heard of.
    #[must_use]
    pub fn get(&self, partition: PartitionId) -> u64 {
        self.0.get(partition.0 as usize).copied().unwrap_or(0)
    }

    /// Moves on. Never goes back.
    pub fn advance(&mut self, partition: PartitionId, next: u64) {
        let index = partition.0 as usize;
        if self.0.len() <= index {
            self.0.resize(index + 1, 0);
        }
        self.0[index] = self.0[index].max(next);
    }

    /// Goes back to `other` wherever that lies before.
    pub fn fall_back(&mut self, other: &Self) {
        for (mine, other) in self.0.iter_mut().zip(&other.0) {
            *mine = (*mine).min(*other);
        }
    }

    /// Goes on to `other` wherever that lies behind.
    pub fn advance_to(&mut self, other: &Self) {
        for (partition, next) in other.iter() {
            self.advance(partition, next);
        }
    }

    /// Partitions and their next offsets.
    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, u64)> + '_ {
        (0u32..).map(PartitionId).zip(self.0.iter().copied())
    }

    /// The first partition, from `start` on and round, where this lags behind its goal.
    fn lagging(
        &self,
        count: u32,
        start: PartitionId,
        goal: impl Fn(PartitionId) -> u64,
    ) -> Option<PartitionId> {
        (0..count)
            .map(|step| PartitionId((start.0 % count.max(1) + step) % count))
            .find(|partition| self.get(*partition) < goal(*partition))
    }
}

/// A stream grew: a topic may have moved to another of its partitions. Whoever reads on his own
/// reads what lies before the change, in all of them, before what lies behind it in any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    ends: Vec<(PartitionId, u64)>,
}

impl Barrier {
    /// Partitions of the stream and where each ended when it grew; those that came with the change
    /// ended at 0.
    #[must_use]
    pub fn new(ends: Vec<(PartitionId, u64)>) -> Self {
        Self { ends }
    }

    fn is_passed_by(&self, positions: &Positions) -> bool {
        self.ends.iter().all(|(partition, end)| positions.get(*partition) >= *end)
    }

    fn end_of(&self, partition: PartitionId) -> Option<u64> {
        self.ends.iter().find(|(id, _)| *id == partition).map(|(_, end)| *end)
    }
}

/// How far a partition may be read, given what was read of the others.
fn goal(
    core: &Positions,
    positions: &Positions,
    barriers: &[Barrier],
    partition: PartitionId,
) -> u64 {
    let mut ahead = barriers.iter().filter(|barrier| !barrier.is_passed_by(positions));
    let end = ahead.find_map(|barrier| barrier.end_of(partition));
    core.get(partition).min(end.unwrap_or(u64::MAX))
}

/// Which gear a connected session is in.
#[derive(Debug, PartialEq, Eq)]
pub enum Gear {
    /// Fed by its core as commits become durable. Its positions are the core's.
    Live,
    /// Reading the log by itself.
    CatchingUp {
        /// How far it is.
        positions: Positions,
        /// Which partition is read next, so that none starves.
        turn: PartitionId,
        /// A read from disk is under way.
        is_reading: bool,
    },
}

/// A part of the log that a session reads next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Which partition.
    pub partition: PartitionId,
    /// The first offset.
    pub from: u64,
    /// The offset behind the last that it may look at now.
    pub to: u64,
}

/// The cursor of a connected session.
#[derive(Debug)]
pub struct Cursor {
    gear: Gear,
}

impl Cursor {
    /// A session with nothing behind it.
    #[must_use]
    pub fn live() -> Self {
        Self { gear: Gear::Live }
    }

    /// A session that was away since these positions.
    #[must_use]
    pub fn from_positions(positions: Positions) -> Self {
        Self { gear: Gear::CatchingUp { positions, turn: PartitionId(0), is_reading: false } }
    }

    /// Whether commits are handed to it as they become durable.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.gear == Gear::Live
    }

    /// Leaves live delivery: `core` is what the core has handed out, this message excluded.
    pub fn fall_behind(&mut self, core: &Positions) {
        if self.is_live() {
            *self = Self::from_positions(core.clone());
        }
    }

    /// Goes back to read again from there. Answers where it stood.
    pub fn rewind(&mut self, core: &Positions, start: &Positions) -> Positions {
        let stood = self.positions(core).clone();
        let mut positions = stood.clone();
        positions.fall_back(start);
        *self = Self::from_positions(positions);
        stood
    }

    /// Where the session stands, given where its core does.
    #[must_use]
    pub fn positions<'a>(&'a self, core: &'a Positions) -> &'a Positions {
        match &self.gear {
            Gear::Live => core,
            Gear::CatchingUp { positions, .. } => positions,
        }
    }

    /// What to read next. Becomes live when there is nothing left.
    ///
    /// Called between two batches of the core, so that "nothing left" stays true until the next.
    pub fn next_read(&mut self, core: &Positions, barriers: &[Barrier]) -> Option<Reading> {
        let Gear::CatchingUp { positions, turn, is_reading: false } = &mut self.gear else {
            return None;
        };
        let count = u32::try_from(core.0.len()).unwrap_or(u32::MAX);
        let goal = |partition| goal(core, positions, barriers, partition);
        let Some(partition) = positions.lagging(count, *turn, goal) else {
            self.gear = Gear::Live;
            return None;
        };
        let reading = Reading { partition, from: positions.get(partition), to: goal(partition) };
        *turn = PartitionId(partition.0 + 1);
        Some(reading)
    }

    /// A read from disk begins or has ended.
    pub fn set_reading(&mut self, reading: bool) {
        if let Gear::CatchingUp { is_reading, .. } = &mut self.gear {
            *is_reading = reading;
        }
    }

    /// All before `next` was looked at.
    pub fn advance(&mut self, partition: PartitionId, next: u64) {
        if let Gear::CatchingUp { positions, .. } = &mut self.gear {
            positions.advance(partition, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Barrier, Cursor, Positions, Reading};
    use crate::id::PartitionId;

    const P0: PartitionId = PartitionId(0);
    const P1: PartitionId = PartitionId(1);

    fn reading(partition: PartitionId, from: u64, to: u64) -> Option<Reading> {
        Some(Reading { partition, from, to })
    }

    fn at(first: u64, second: u64) -> Positions {
        let mut positions = Positions::default();
        positions.advance(P0, first);
        positions.advance(P1, second);
        positions
    }

    #[test]
    fn a_session_is_live_again_exactly_when_it_has_seen_what_its_core_has() {
        let mut cursor = Cursor::from_positions(at(3, 0));
        let core = at(5, 2);
        assert_eq!(cursor.next_read(&core, &[]), reading(P0, 3, 5));
        cursor.advance(P0, 5);
        assert_eq!(cursor.next_read(&core, &[]), reading(P1, 0, 2));
        cursor.advance(P1, 1);
        assert!(!cursor.is_live());
        assert_eq!(cursor.next_read(&core, &[]), reading(P1, 1, 2));
        cursor.advance(P1, 2);
        assert_eq!(cursor.next_read(&core, &[]), None);
        assert!(cursor.is_live());
    }

    #[test]
    fn partitions_take_turns() {
        let mut cursor = Cursor::from_positions(at(0, 0));
        let core = at(10, 10);
        assert_eq!(cursor.next_read(&core, &[]), reading(P0, 0, 10));
        cursor.advance(P0, 1);
        assert_eq!(cursor.next_read(&core, &[]), reading(P1, 0, 10));
        cursor.advance(P1, 1);
        assert_eq!(cursor.next_read(&core, &[]), reading(P0, 1, 10));
    }

    #[test]
    fn nothing_more_is_read_while_a_read_is_under_way() {
        let mut cursor = Cursor::from_positions(at(0, 0));
        cursor.set_reading(true);
        assert_eq!(cursor.next_read(&at(1, 0), &[]), None);
        assert!(!cursor.is_live());
        cursor.set_reading(false);
        assert_eq!(cursor.next_read(&at(1, 0), &[]), reading(P0, 0, 1));
    }

    #[test]
    fn a_session_that_falls_behind_goes_on_from_where_its_core_stood() {
        let mut cursor = Cursor::live();
        cursor.fall_behind(&at(4, 7));
        assert_eq!(cursor.positions(&at(9, 9)), &at(4, 7));
    }

    #[test]
    fn what_lies_behind_a_change_of_layout_is_read_after_all_that_lies_before_it() {
        // One partition became two when it held five records; topics moved to the second.
        let barriers = [Barrier::new(vec![(P0, 5), (P1, 0)])];
        let mut cursor = Cursor::from_positions(at(2, 0));
        let core = at(9, 4);
        assert_eq!(cursor.next_read(&core, &barriers), reading(P0, 2, 5));
        cursor.advance(P0, 3);
        assert_eq!(cursor.next_read(&core, &barriers), reading(P0, 3, 5), "not yet the second");
        cursor.advance(P0, 5);
        let next = cursor.next_read(&core, &barriers).expect("both lag");
        assert!(
            next == reading(P1, 0, 4).expect("some") || next == reading(P0, 5, 9).expect("some")
        );
        cursor.advance(P0, 9);
        cursor.advance(P1, 4);
        assert_eq!(cursor.next_read(&core, &barriers), None);
        assert!(cursor.is_live());
    }
}
