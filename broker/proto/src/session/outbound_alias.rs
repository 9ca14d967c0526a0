//! Topic aliases that we set for a client, up to what it takes. They end with the connection.

use ahash::AHashMap;

/// Shorter topics are not worth an alias: it takes three bytes itself, four with its length.
const TOPIC_BYTES_MIN: usize = 5;

/// How a message is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AliasUse {
    /// The alias, from 1.
    pub alias: u16,
    /// The topic is written too: from here on the alias stands for it.
    pub with_topic: bool,
}

/// Aliases by topic: first come, first served. Apart from the session, as many have none.
#[derive(Debug)]
pub struct OutboundAliases(Box<Given>);

#[derive(Debug)]
struct Given {
    topics: AHashMap<Box<str>, (u16, bool)>,
    maximum: u16,
}

impl OutboundAliases {
    /// Sets aliases from 1 to `maximum`; `None` when that is 0.
    #[must_use]
    pub fn new(maximum: u16) -> Option<Self> {
        (maximum > 0).then(|| Self(Box::new(Given { topics: AHashMap::new(), maximum })))
    }

    /// How the next message of this topic is written; `None`: without an alias. A message that
    /// is held back comes to the client behind all that is sent meanwhile, so that what it says
    /// of an alias is not known to those.
    pub fn next(&mut self, topic: &str, is_held: bool) -> Option<AliasUse> {
        if topic.len() < TOPIC_BYTES_MIN {
            return None;
        }
        let Given { topics, maximum } = &mut *self.0;
        if let Some((alias, is_out)) = topics.get_mut(topic) {
            let with_topic = !is_held && !*is_out;
            *is_out |= !is_held;
            return Some(AliasUse { alias: *alias, with_topic });
        }
        let count = u16::try_from(topics.len()).unwrap_or(u16::MAX);
        if count >= *maximum {
            return None;
        }
        let alias = count + 1;
        topics.insert(topic.into(), (alias, !is_held));
        Some(AliasUse { alias, with_topic: true })
    }
}

#[cfg(test)]
mod tests {
    use super::{AliasUse, OutboundAliases};

    #[test]
    fn a_topic_has_one_alias_and_is_written_with_it_once() {
        let mut aliases = OutboundAliases::new(2).expect("some");
        let first = AliasUse { alias: 1, with_topic: true };
        let second = AliasUse { alias: 2, with_topic: true };
        assert_eq!(aliases.next("plant/a", false), Some(first));
        assert_eq!(aliases.next("plant/b", false), Some(second));
        for _ in 0..2 {
            let again = aliases.next("plant/a", false);
            assert_eq!(again, Some(AliasUse { with_topic: false, ..first }));
        }
        assert_eq!(aliases.next("plant/c", false), None, "no more than the client takes");
        assert_eq!(aliases.next("a/b", false), None, "it would be longer");
        assert!(OutboundAliases::new(0).is_none());
    }

    #[test]
    fn what_overtakes_a_held_message_does_not_rely_on_it() {
        let mut aliases = OutboundAliases::new(1).expect("some");
        let mut with_topic = |is_held| aliases.next("plant/a", is_held).map(|it| it.with_topic);
        assert_eq!(with_topic(true), Some(true), "held back");
        assert_eq!(with_topic(true), Some(false), "held back behind it");
        assert_eq!(with_topic(false), Some(true), "sent before both");
        assert_eq!(with_topic(false), Some(false));
        assert_eq!(with_topic(true), Some(false));
    }
}
