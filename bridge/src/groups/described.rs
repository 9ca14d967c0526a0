//! What a group tells about itself to whoever looks at it. Plain data.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::groups::request::Spot;

/// How far the members of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// There are none.
    Empty,
    /// They are joining.
    PreparingRebalance,
    /// They wait for what the leader says.
    CompletingRebalance,
    /// Each knows what it reads.
    Stable,
}

impl Phase {
    /// As Kafka's tools call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

/// A group as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: Arc<str>,
    /// How far its members are.
    pub phase: Phase,
    /// Whether they share out among themselves ("classic") or are told ("consumer").
    pub kind: &'static str,
    /// How often they agreed.
    pub generation: i32,
    /// What they are to each other; empty for readers that never were members.
    pub protocol_type: Arc<str>,
    /// How they share out; empty unless they agreed.
    pub protocol: Arc<str>,
    /// All of them.
    pub members: Vec<DescribedMember>,
}

/// A member of the newer kind as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedReader {
    /// Its id.
    pub id: Arc<str>,
    /// The id that it gave itself.
    pub instance: Option<Arc<str>>,
    /// What its connection calls itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub host: Arc<str>,
    /// What it was told last.
    pub epoch: i32,
    /// What it wants to read.
    pub topics: BTreeSet<Arc<str>>,
    /// What it was told to read.
    pub told: BTreeSet<Spot>,
    /// What it is to read in the end.
    pub target: BTreeSet<Spot>,
}

/// A member as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// The id that the group gave it.
    pub id: Arc<str>,
    /// The id that it gave itself.
    pub instance: Option<Arc<str>>,
    /// What its connection calls itself.
    pub client_id: Arc<str>,
    /// Where it connected from.
    pub host: Arc<str>,
    /// What it says for the protocol.
    pub metadata: Bytes,
    /// What it reads.
    pub assignment: Bytes,
}
