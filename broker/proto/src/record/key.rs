//! What chooses a record's partition. Decides; never looks at a stream.

/// What of a message is hashed to choose its partition.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum KeyRule {
    /// The whole topic.
    #[default]
    Topic,
    /// One level of the topic, counted from 0.
    Level(u16),
    /// The client id of the publisher.
    ClientId,
    /// The first user property of this name.
    UserProperty(String),
}

impl KeyRule {
    /// The key of a message; the topic where the message lacks what the rule asks for.
    pub fn key_of<'a>(
        &self,
        topic: &'a str,
        client_id: &'a str,
        user_property: impl FnOnce(&str) -> Option<&'a str>,
    ) -> &'a str {
        match self {
            Self::Topic => topic,
            Self::Level(level) => topic.split('/').nth(usize::from(*level)).unwrap_or(topic),
            Self::ClientId => client_id,
            Self::UserProperty(name) => user_property(name).unwrap_or(topic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KeyRule;

    #[test]
    fn each_rule_names_a_part_of_the_message() {
        let key = |rule: KeyRule| {
            rule.key_of("plant/7/temp", "pump", |name| (name == "site").then_some("north"))
                .to_owned()
        };
        assert_eq!(key(KeyRule::Topic), "plant/7/temp");
        assert_eq!(key(KeyRule::Level(1)), "7");
        assert_eq!(key(KeyRule::Level(3)), "plant/7/temp");
        assert_eq!(key(KeyRule::ClientId), "pump");
        assert_eq!(key(KeyRule::UserProperty("site".into())), "north");
        assert_eq!(key(KeyRule::UserProperty("none".into())), "plant/7/temp");
    }
}
