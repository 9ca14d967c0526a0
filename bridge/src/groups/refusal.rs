//! Why a group says no, and the one table to Kafka's numbers.

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such partition.
    #[error("there is no such topic or partition")]
    UnknownPartition,
    /// The topic may not be read.
    #[error("the topic may not be read")]
    NotAllowed,
    /// What the client writes beside an offset is too long.
    #[error("the metadata of the offset is too long")]
    MetadataTooLarge,
    /// All groups together hold as much as they may.
    #[error("all groups together hold as much as they may")]
    NoRoom,
    /// What was to be stored is not: ask again.
    #[error("the group cannot store anything now")]
    NotStored,
    /// The member speaks of a generation that is not this one.
    #[error("the generation is not the group's")]
    IllegalGeneration,
    /// No way to share out partitions that all members know.
    #[error("the members have no protocol in common")]
    InconsistentProtocol,
    /// The group has a name that it cannot have.
    #[error("the name of the group is not legal")]
    InvalidGroupId,
    /// The group does not know that member.
    #[error("the group does not know that member")]
    UnknownMember,
    /// The session timeout is outside of what is allowed.
    #[error("the session timeout is outside of the allowed range")]
    InvalidSessionTimeout,
    /// The members are agreeing anew: join again.
    #[error("the group is rebalancing")]
    Rebalancing,
    /// What was asked makes no sense.
    #[error("the request is not valid")]
    InvalidRequest,
    /// The group has members.
    #[error("the group is not empty")]
    NotEmpty,
    /// There is no such group.
    #[error("there is no such group")]
    UnknownGroup,
    /// Limits of members or groups are reached.
    #[error("the group, or the number of groups, is as large as it may be")]
    Full,
    /// Another member has that instance id now.
    #[error("another member has this instance id")]
    Fenced,
    /// The epoch of a member is not the one that it was told.
    #[error("the member's epoch is not the one that it was told")]
    FencedEpoch,
    /// The epoch of a member that commits is not the one that it was told last.
    #[error("the member's epoch is not the newest that it was told")]
    StaleEpoch,
    /// The instance is in use by another member.
    #[error("the instance id is in use by another member")]
    Unreleased,
    /// A member reads the topic whose offsets were to go.
    #[error("the group is subscribed to the topic")]
    Subscribed,
}

impl Refusal {
    /// Its number in Kafka's protocol.
    #[must_use]
    pub fn code(self) -> i16 {
        match self {
            Self::UnknownPartition => 3,
            Self::MetadataTooLarge => 12,
            Self::NotStored => 15,
            Self::IllegalGeneration => 22,
            Self::InconsistentProtocol => 23,
            Self::InvalidGroupId => 24,
            Self::UnknownMember => 25,
            Self::InvalidSessionTimeout => 26,
            Self::Rebalancing => 27,
            Self::NoRoom => 28,
            Self::NotAllowed => 29,
            Self::InvalidRequest => 42,
            Self::NotEmpty => 68,
            Self::UnknownGroup => 69,
            Self::Full => 81,
            Self::Fenced => 82,
            Self::Subscribed => 86,
            Self::FencedEpoch => 110,
            Self::Unreleased => 111,
            Self::StaleEpoch => 113,
        }
    }
}
