//! What may be asked for, one by one and as a set, of topics and of names. Decides nothing.

/// One thing that a subject asks to do with a topic, or with a name at the Kafka port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Publish a message.
    Publish,
    /// Publish a message that is retained.
    Retained,
    /// Receive messages.
    Subscribe,
    /// Receive them as a member of a share group.
    Shared,
    /// Receive those of the past, by a subscription that begins there.
    Replay,
    /// Read them through the Kafka port.
    KafkaRead,
    /// Write them through the Kafka port.
    KafkaWrite,
    /// Be a member of this consumer group, move it, or look at it.
    KafkaGroup,
    /// Write with this transactional id.
    KafkaTransaction,
    /// Change this stream, or look at how it is made, with Kafka's tools.
    KafkaAdmin,
}

impl Action {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Publish,
        Self::Retained,
        Self::Subscribe,
        Self::Shared,
        Self::Replay,
        Self::KafkaRead,
        Self::KafkaWrite,
        Self::KafkaGroup,
        Self::KafkaTransaction,
        Self::KafkaAdmin,
    ];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Retained => "retained",
            Self::Subscribe => "subscribe",
            Self::Shared => "shared",
            Self::Replay => "replay",
            Self::KafkaRead => "kafka-read",
            Self::KafkaWrite => "kafka-write",
            Self::KafkaGroup => "kafka-group",
            Self::KafkaTransaction => "kafka-transaction",
            Self::KafkaAdmin => "kafka-admin",
        }
    }

    /// The action that the word stands for.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.word() == word)
    }
}

/// A set of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Actions(u16);

impl Actions {
    /// No action.
    pub const NONE: Self = Self(0);
    /// To publish, in whichever way.
    pub const PUBLISH: Self = Self::of(&[Action::Publish, Action::Retained]);
    /// To receive, in whichever way.
    pub const SUBSCRIBE: Self = Self::of(&[Action::Subscribe, Action::Shared, Action::Replay]);
    /// To receive or read.
    pub const READ: Self = Self::SUBSCRIBE.and(Self::of(&[Action::KafkaRead]));
    /// To publish or write.
    pub const WRITE: Self = Self::PUBLISH.and(Self::of(&[Action::KafkaWrite]));
    /// Whatever can be done with a topic.
    pub const TOPICS: Self = Self::READ.and(Self::WRITE);
    /// Whatever can be done with a name that is no topic.
    pub const NAMES: Self =
        Self::of(&[Action::KafkaGroup, Action::KafkaTransaction, Action::KafkaAdmin]);
    /// Whatever there is.
    pub const ANY: Self = Self::TOPICS.and(Self::NAMES);

    /// These and no other.
    #[must_use]
    pub const fn of(actions: &[Action]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < actions.len() {
            bits |= 1 << actions[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Those of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is one of them.
    #[must_use]
    pub const fn has(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    /// What a word in a rule stands for: a way to act, or several. `publish` is to publish at all,
    /// retained or not; `retained` only that.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "publish" => Some(Self::PUBLISH),
            "subscribe" => Some(Self::SUBSCRIBE),
            "read" => Some(Self::READ),
            "write" => Some(Self::WRITE),
            "any" => Some(Self::ANY),
            word => Action::of_word(word).map(|action| Self::of(&[action])),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Action, Actions};

    #[test]
    fn a_wide_word_takes_the_narrow_ones_in() {
        for (word, expected) in [
            ("publish", &[Action::Publish, Action::Retained][..]),
            ("retained", &[Action::Retained]),
            ("subscribe", &[Action::Subscribe, Action::Shared, Action::Replay]),
            ("shared", &[Action::Shared]),
            ("any", &Action::ALL),
        ] {
            let actions = Actions::of_word(word).expect("a known word");
            let found = Action::ALL.into_iter().filter(|action| actions.has(*action));
            assert_eq!(found.collect::<Vec<_>>(), expected, "{word}");
        }
        assert_eq!(Actions::of_word("publishes"), None);
    }
}
