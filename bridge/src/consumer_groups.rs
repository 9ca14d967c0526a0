//! Consumer groups as operators see them: how far each is, and its offsets moved. Asks the
//! coordinator, and decides nothing of a group.

mod reset;
mod standing;

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crate::coordinator::Coordinator;
use crate::forecasts::Forecasts;
use crate::groups::{Answer, Caller, Refusal, Spot, Wanted};
use crate::time::now_ms;

pub use reset::{Move, Reset, ResetError, ResetTo};
pub use standing::{GroupLag, MemberLag, PartitionLag};

use standing::Seen;

/// The consumer groups of a Kafka port, for as long as it is open.
#[derive(Clone)]
pub struct ConsumerGroups {
    coordinator: Weak<Coordinator>,
    forecasts: Arc<Forecasts>,
}

impl ConsumerGroups {
    pub(crate) fn new(coordinator: &Arc<Coordinator>, forecasts: Arc<Forecasts>) -> Self {
        Self { coordinator: Arc::downgrade(coordinator), forecasts }
    }

    /// The first `max` names behind this one, in their order.
    #[must_use]
    pub fn names(&self, after: Option<&str>, max: usize) -> Vec<Arc<str>> {
        let Some(coordinator) = self.coordinator.upgrade() else { return Vec::new() };
        let is_behind = |name: &&Arc<str>| after.is_none_or(|after| ***name > *after);
        let mut names: Vec<_> =
            coordinator.look(|groups| groups.names().filter(is_behind).cloned().collect());
        names.sort_unstable();
        names.truncate(max);
        names
    }

    /// How far a group is; `None` if there is none of that name. Reads the log, and may wait for
    /// the disk.
    #[must_use]
    pub fn lag(&self, group: &str) -> Option<GroupLag> {
        let coordinator = self.coordinator.upgrade()?;
        let seen = Seen::of(&coordinator, group)?;
        Some(seen.measure(coordinator.store(), &self.forecasts, now_ms()))
    }

    /// What a reset would move, and nothing else: a dry run. Reads the log, and may wait for the
    /// disk. A group that there is not yet can be put somewhere in a stream that is named.
    ///
    /// # Errors
    /// When it would be refused.
    pub fn plan_reset(&self, group: &str, reset: &Reset) -> Result<Vec<Move>, ResetError> {
        let coordinator = self.coordinator.upgrade().ok_or(ResetError::Closed)?;
        let committed = match Seen::of(&coordinator, group) {
            Some(seen) if !seen.is_empty() => return Err(ResetError::HasMembers),
            Some(seen) => seen.committed(),
            None if reset.stream.is_some() => BTreeMap::new(),
            None => return Err(ResetError::UnknownGroup),
        };
        reset.moves(&committed, coordinator.store())
    }

    /// Moves the offsets of a group to where these say, all or none; they are on disk when this
    /// returns.
    ///
    /// # Errors
    /// When the group has members by now, or the offsets cannot be stored.
    pub async fn reset(&self, group: &str, moves: &[Move]) -> Result<(), ResetError> {
        let coordinator = self.coordinator.upgrade().ok_or(ResetError::Closed)?;
        let (name, nobody) = (Arc::<str>::from(group), "");
        // Who is nobody's member is heard as long as there are no members.
        let caller = Caller { member: nobody.into(), instance: None, generation: -1 };
        match coordinator.commit(&name, &caller, wanted(moves)).await {
            Answer::Done => Ok(()),
            Answer::Refused(Refusal::UnknownMember | Refusal::Rebalancing) => {
                Err(ResetError::HasMembers)
            }
            Answer::Refused(why) => Err(ResetError::Refused(why)),
            _ => Err(ResetError::Closed),
        }
    }

    /// Forgets a group that has no members, and its offsets; that is on disk when this returns.
    ///
    /// # Errors
    /// When there is none, it has members, or that cannot be stored.
    pub async fn forget(&self, group: &str) -> Result<(), ResetError> {
        let coordinator = self.coordinator.upgrade().ok_or(ResetError::Closed)?;
        match coordinator.end(&Arc::from(group)).await {
            Answer::Done => Ok(()),
            Answer::Refused(Refusal::UnknownGroup) => Err(ResetError::UnknownGroup),
            Answer::Refused(Refusal::NotEmpty) => Err(ResetError::HasMembers),
            Answer::Refused(why) => Err(ResetError::Refused(why)),
            _ => Err(ResetError::Closed),
        }
    }
}

fn wanted(moves: &[Move]) -> Vec<Wanted> {
    let wanted = |to: &Move| Wanted {
        spot: Spot { topic: Arc::clone(&to.stream), partition: to.partition },
        offset: to.to,
        leader_epoch: -1,
        metadata: "".into(),
    };
    moves.iter().map(wanted).collect()
}

#[cfg(test)]
mod tests;
