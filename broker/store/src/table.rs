//! The closed list of tables. Their rows belong to whoever stands above the store.

/// A table. The number is its name on disk: never reused, never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Facts about the data folder.
    Meta = 0,
    /// Streams and their partitions; only the store writes it.
    Streams = 1,
    /// MQTT sessions.
    Sessions = 2,
    /// Subscriptions of sessions.
    Subscriptions = 3,
    /// How far each reader is.
    Cursors = 4,
    /// What is in flight to a subscriber.
    Outbound = 5,
    /// Packet ids held for QoS 2 from a publisher.
    Inbound = 6,
    /// Retained messages.
    Retained = 7,
    /// Wills, and messages that wait for their time.
    Wills = 8,
    /// Consumer groups.
    Groups = 9,
    /// Offsets that consumer groups committed.
    GroupOffsets = 10,
    /// Share groups.
    Shares = 11,
    /// Users and what they may do.
    Users = 12,
    /// Who may not connect.
    Bans = 13,
    /// What idempotent Kafka producers appended last.
    Producers = 14,
    /// How far the transactions of Kafka producers are, by transactional id.
    Transactions = 15,
    /// How far bridges are.
    Bridges = 16,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Meta,
        Self::Streams,
        Self::Sessions,
        Self::Subscriptions,
        Self::Cursors,
        Self::Outbound,
        Self::Inbound,
        Self::Retained,
        Self::Wills,
        Self::Groups,
        Self::GroupOffsets,
        Self::Shares,
        Self::Users,
        Self::Bans,
        Self::Producers,
        Self::Transactions,
        Self::Bridges,
    ];

    /// Its number on disk.
    pub fn id(self) -> u8 {
        self as u8
    }

    /// The table with that number, if this build knows it.
    pub fn from_id(id: u8) -> Option<Self> {
        Self::ALL.get(usize::from(id)).copied()
    }

    /// Its name in the checkpoint database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Streams => "streams",
            Self::Sessions => "sessions",
            Self::Subscriptions => "subscriptions",
            Self::Cursors => "cursors",
            Self::Outbound => "outbound",
            Self::Inbound => "inbound",
            Self::Retained => "retained",
            Self::Wills => "wills",
            Self::Groups => "groups",
            Self::GroupOffsets => "group-offsets",
            Self::Shares => "shares",
            Self::Users => "users",
            Self::Bans => "bans",
            Self::Producers => "producers",
            Self::Transactions => "transactions",
            Self::Bridges => "bridges",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn a_table_is_found_by_its_number() {
        for (number, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(table.id()), number);
            assert_eq!(Table::from_id(table.id()), Some(table));
        }
        assert_eq!(Table::from_id(17), None);
    }
}
