//! What members ask of a group and what they hear. Plain data.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::groups::refusal::Refusal;

/// One request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// A way to share out partitions, and what a member says for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name, which all members have to know.
    pub name: Arc<str>,
    /// For the leader's eyes.
    pub metadata: Bytes,
}

/// A member wants to be in the group, again or for the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The id that the group gave it; empty if none yet.
    pub member: Arc<str>,
    /// The id that it gave itself, for good.
    pub instance: Option<Arc<str>>,
    /// What its connection calls itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub host: Arc<str>,
    /// How long it may be silent, in milliseconds.
    pub session_ms: i32,
    /// How long the others wait for it; without one, as long as it may be silent.
    pub rebalance_ms: Option<i32>,
    /// What the members are to each other.
    pub protocol_type: Arc<str>,
    /// What it can agree to, best first.
    pub protocols: Vec<Protocol>,
    /// It comes back with an id when it is told one.
    pub comes_back: bool,
    /// It understands that a leader need not share out again.
    pub may_skip: bool,
    /// The id that it gets if it needs one: never given before.
    pub fresh: Arc<str>,
}

/// A member wants to know what it reads; the leader says what all read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// Who asks.
    pub caller: Caller,
    /// What the members are to each other, if the client says so.
    pub protocol_type: Option<Arc<str>>,
    /// How they share out, if the client says so.
    pub protocol: Option<Arc<str>>,
    /// By member; empty unless the leader asks.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// Who says to be in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The id that the group gave it.
    pub member: Arc<str>,
    /// The id that it gave itself.
    pub instance: Option<Arc<str>>,
    /// Which agreement of the members it knows.
    pub generation: i32,
}

/// A place whose offset a group can commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    /// The topic.
    pub topic: Arc<str>,
    /// Which of its partitions.
    pub partition: u32,
}

/// An offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Where.
    pub spot: Spot,
    /// The next offset that the group wants.
    pub offset: u64,
    /// The leader epoch that came with it; -1 for none.
    pub leader_epoch: i32,
    /// What the client writes beside it.
    pub metadata: Arc<str>,
}

/// How a member of the newer kind is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// Its id.
    pub member: Arc<str>,
    /// The id that it gave itself.
    pub instance: Option<Arc<str>>,
    /// What it was told last; 0 to join, -1 to leave, -2 to leave and come back.
    pub epoch: i32,
    /// What its connection calls itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub host: Arc<str>,
    /// How long the others wait for it to let go, in milliseconds.
    pub rebalance_ms: i32,
    /// What it wants to read, if it says so.
    pub topics: Option<BTreeSet<Arc<str>>>,
    /// What it reads, if it says so.
    pub owned: Option<BTreeSet<Spot>>,
    /// How many partitions its topics have.
    pub counts: Vec<(Arc<str>, u32)>,
}

/// What a member of the newer kind hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// Where it is now.
    pub epoch: i32,
    /// What it is to read, if that is news.
    pub assignment: Option<Vec<Spot>>,
}

/// What the members agreed on, for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Which agreement it is.
    pub generation: i32,
    /// What the members are to each other.
    pub protocol_type: Arc<str>,
    /// How they share out.
    pub protocol: Arc<str>,
    /// Who shares out.
    pub leader: Arc<str>,
    /// Who hears this.
    pub member: Arc<str>,
    /// All members, for the leader; empty for others.
    pub members: Vec<Listed>,
    /// The leader need not share out: it was done.
    pub skips: bool,
}

/// A member as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub member: Arc<str>,
    /// The id that it gave itself.
    pub instance: Option<Arc<str>>,
    /// What it says for the protocol that was chosen.
    pub metadata: Bytes,
}

/// What a request that waited hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The members agreed.
    Joined(Joined),
    /// Join again with this id.
    ComeBack(Arc<str>),
    /// What the member reads.
    Synced {
        /// What the members are to each other.
        protocol_type: Arc<str>,
        /// How they shared out.
        protocol: Arc<str>,
        /// The member's own.
        assignment: Bytes,
    },
    /// It is done, and durable.
    Done,
    /// No.
    Refused(Refusal),
}
