//! What clients can make a group hold, and how long things take. Every bound has a name.

/// The settings of consumer groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Groups at one time.
    pub groups_max: usize,
    /// Members of one group.
    pub members_max: usize,
    /// Ways to share out that one member says it knows.
    pub protocols_max: usize,
    /// Bytes that the members of one group say about themselves, and of what they are assigned.
    pub group_bytes_max: usize,
    /// The same of all groups together, with what is written beside offsets.
    pub bytes_max: usize,
    /// Bytes of what a client writes beside a committed offset.
    pub offset_metadata_bytes_max: usize,
    /// Bytes of the name of a group, of an instance and of a client.
    pub id_bytes_max: usize,
    /// The shortest time for which a member may be silent before it is lost.
    pub session_ms_min: u32,
    /// The longest.
    pub session_ms_max: u32,
    /// How long a group that had no members waits for more of them before they agree.
    pub initial_delay_ms: u32,
    /// How long the others wait for a newcomer that was told its id to come back with it.
    pub invitation_ms: u32,
    /// How often members of the newer kind are to say how they are.
    pub reader_beat_ms: u32,
    /// How long they may be silent.
    pub reader_session_ms: u32,
    /// How long the offsets of a group without members are kept.
    pub retention_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            groups_max: 10_000,
            members_max: 1_000,
            protocols_max: 100,
            group_bytes_max: 4 << 20,
            bytes_max: 256 << 20,
            offset_metadata_bytes_max: 4096,
            id_bytes_max: 1024,
            session_ms_min: 1_000,
            session_ms_max: 1_800_000,
            initial_delay_ms: 100,
            invitation_ms: 1_000,
            reader_beat_ms: 1_000,
            reader_session_ms: 15_000,
            retention_ms: 7 * 24 * 3_600_000,
        }
    }
}
