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

    /// Partitions and their next offsets.
    pub fn iter(&self) -> impl Iterator<Item = (PartitionId, u64)> + '_ {
        (0u32..).map(PartitionId).zip(self.0.iter().copied())
    }

    /// The first partition, from `start` on and round, where this lags behind `goal`.
    #[must_use]
    pub fn lagging(&self, goal: &Self, start: PartitionId) -> Option<PartitionId> {
        let count = u32::try_from(goal.0.len()).ok()?;
        (0..count)
            .map(|step| PartitionId((start.0 % count.max(1) + step) % count))
            .find(|partition| self.get(*partition) < goal.get(*partition))
    }
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

    /// Where the session stands, given where its core does.
    #[must_use]
    pub fn positions<'a>(&'a self, core: &'a Positions) -> &'a Positions {
        match &self.gear {
            Gear::Live => core,
            Gear::CatchingUp { positions, .. } => positions,
        }
    }

    /// What to read next: partition and offset. Becomes live when there is nothing left.
    ///
    /// Called between two batches of the core, so that "nothing left" stays true until the next.
    pub fn next_read(&mut self, core: &Positions) -> Option<(PartitionId, u64)> {
        let Gear::CatchingUp { positions, turn, is_reading: false } = &mut self.gear else {
            return None;
        };
        let Some(partition) = positions.lagging(core, *turn) else {
            self.gear = Gear::Live;
            return None;
        };
        *turn = PartitionId(partition.0 + 1);
        Some((partition, positions.get(partition)))
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
    use super::{Cursor, Positions};
    use crate::id::PartitionId;

    const P0: PartitionId = PartitionId(0);
    const P1: PartitionId = PartitionId(1);

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
        assert_eq!(cursor.next_read(&core), Some((P0, 3)));
        cursor.advance(P0, 5);
        assert_eq!(cursor.next_read(&core), Some((P1, 0)));
        cursor.advance(P1, 1);
        assert!(!cursor.is_live());
        assert_eq!(cursor.next_read(&core), Some((P1, 1)));
        cursor.advance(P1, 2);
        assert_eq!(cursor.next_read(&core), None);
        assert!(cursor.is_live());
    }

    #[test]
    fn partitions_take_turns() {
        let mut cursor = Cursor::from_positions(at(0, 0));
        let core = at(10, 10);
        assert_eq!(cursor.next_read(&core), Some((P0, 0)));
        cursor.advance(P0, 1);
        assert_eq!(cursor.next_read(&core), Some((P1, 0)));
        cursor.advance(P1, 1);
        assert_eq!(cursor.next_read(&core), Some((P0, 1)));
    }

    #[test]
    fn nothing_more_is_read_while_a_read_is_under_way() {
        let mut cursor = Cursor::from_positions(at(0, 0));
        cursor.set_reading(true);
        assert_eq!(cursor.next_read(&at(1, 0)), None);
        assert!(!cursor.is_live());
        cursor.set_reading(false);
        assert_eq!(cursor.next_read(&at(1, 0)), Some((P0, 0)));
    }

    #[test]
    fn a_session_that_falls_behind_goes_on_from_where_its_core_stood() {
        let mut cursor = Cursor::live();
        cursor.fall_behind(&at(4, 7));
        assert_eq!(cursor.positions(&at(9, 9)), &at(4, 7));
    }
}
