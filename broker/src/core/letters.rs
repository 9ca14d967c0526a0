//! What cores tell each other about share groups: a group lives on one core, its members on any.
//!
//! Letters of a turn leave after its commit was handed to the store. Commits are durable in that
//! order, so whoever acts on a letter finds the sender's rows durable before his own.

use std::sync::Arc;

use tidewire_proto::id::{GroupId, PacketId};
use tidewire_proto::mqtt::ReasonCode;
use tidewire_proto::record::SharedRecord;
use tidewire_proto::routing::grant::Grant;
use tidewire_proto::session::window::Place;

use crate::core::open::ConnId;

/// Where a member is connected, and what its subscription grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) core: usize,
    pub(crate) conn: ConnId,
    pub(crate) grant: Grant,
}

/// A member that is connected.
pub(crate) struct Join {
    /// The whole filter of the group.
    pub(crate) filter: Arc<str>,
    pub(crate) is_durable: bool,
    pub(crate) address: Address,
    /// Unacknowledged messages that it may have.
    pub(crate) limit: u32,
    /// The SUBSCRIBE of its connection that waits to hear of it.
    pub(crate) token: Option<u32>,
}

/// How a message that was handed out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The member has it.
    Done,
    /// The member does not want it: nobody else may get it either.
    Refused(ReasonCode),
}

/// From a member's core to its group's.
pub(crate) struct ToGroup {
    pub(crate) group: GroupId,
    pub(crate) member: Arc<str>,
    pub(crate) what: Notice,
}

/// What a member's core reports.
pub(crate) enum Notice {
    Join(Join),
    /// It unsubscribed, on the connection of that number.
    Leave(u64),
    /// Its connection is lost; what its session has at QoS 2 and did not finish, and whether the
    /// session ends.
    Lost(u64, Vec<Place>, bool),
    /// Its session is over.
    SessionEnded,
    Ended(Place, Fate, Option<Confirm>),
    /// It could not take what it was handed; whether it had no room.
    Returned(Place, bool),
    /// The connection of that number was gone when it was to have this.
    Unreached(Place, u64),
    /// It has room again.
    Room(u64),
}

/// The end of a QoS 2 exchange is written down by the group before the session may forget it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Confirm {
    pub(crate) core: usize,
    pub(crate) conn: ConnId,
    pub(crate) packet_id: PacketId,
    pub(crate) is_refused: bool,
}

/// From a group's core to a member's.
pub(crate) enum ToMember {
    /// It is in the group, or could not be written down there; which SUBSCRIBE waits for that.
    Joined(ConnId, u32, bool),
    Deal(Deal),
    Confirmed(Confirm),
}

impl ToMember {
    /// About how many bytes of messages it holds.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Deal(deal) => deal.record.bytes(),
            Self::Joined(..) | Self::Confirmed(_) => 0,
        }
    }
}

/// A message for a member.
pub(crate) struct Deal {
    pub(crate) hand: Hand,
    pub(crate) record: SharedRecord,
}

/// To whom a message of a group goes, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hand {
    pub(crate) conn: ConnId,
    pub(crate) group: GroupId,
    pub(crate) grant: Grant,
    /// `None` at QoS 0: nobody asks what becomes of it.
    pub(crate) place: Option<Place>,
}

/// Letters of this turn, per core.
pub(crate) struct Post {
    to_groups: Vec<Vec<ToGroup>>,
    to_members: Vec<Vec<ToMember>>,
}

impl Post {
    pub(crate) fn new(cores: usize) -> Self {
        let mut post = Self { to_groups: Vec::new(), to_members: Vec::new() };
        post.to_groups.resize_with(cores, Vec::new);
        post.to_members.resize_with(cores, Vec::new);
        post
    }

    pub(crate) fn for_group(&mut self, group: GroupId, member: &Arc<str>, what: Notice) {
        let core = core_of(group, self.to_groups.len());
        self.to_groups[core].push(ToGroup { group, member: Arc::clone(member), what });
    }

    pub(crate) fn for_member(&mut self, core: usize, letter: ToMember) {
        if let Some(letters) = self.to_members.get_mut(core) {
            letters.push(letter);
        }
    }

    /// What is for members, of each core.
    #[cfg(test)]
    pub(crate) fn to_members(&self) -> impl Iterator<Item = &Vec<ToMember>> {
        self.to_members.iter()
    }

    /// What is for each core, taken out.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (usize, Vec<ToGroup>, Vec<ToMember>)> {
        let both = self.to_groups.iter_mut().zip(&mut self.to_members).enumerate();
        both.map(|(core, (groups, members))| {
            (core, std::mem::take(groups), std::mem::take(members))
        })
    }
}

/// The core that a group lives on.
pub(crate) fn core_of(group: GroupId, cores: usize) -> usize {
    group.0 as usize % cores.max(1)
}
