//! Topic aliases that a client set on its connection. They end with the connection.

/// What may be wrong with an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasError {
    /// Zero, or above what we announced.
    OutOfRange,
    /// Used before it was given a topic.
    Unknown,
}

/// Topics by alias. Memory is taken only up to the highest alias that was used.
#[derive(Debug, Default)]
pub struct Aliases {
    topics: Vec<Option<Box<str>>>,
    maximum: u16,
}

impl Aliases {
    /// Accepts aliases from 1 to `maximum`.
    #[must_use]
    pub fn new(maximum: u16) -> Self {
        Self { topics: Vec::new(), maximum }
    }

    /// The topic of a PUBLISH that carries an alias; sets the alias when it carries both.
    ///
    /// # Errors
    /// When the alias may not be used, or stands for nothing yet.
    pub fn resolve<'a>(&'a mut self, alias: u16, topic: &'a str) -> Result<&'a str, AliasError> {
        if alias == 0 || alias > self.maximum {
            return Err(AliasError::OutOfRange);
        }
        let index = usize::from(alias) - 1;
        if topic.is_empty() {
            return self.topics.get(index).and_then(Option::as_deref).ok_or(AliasError::Unknown);
        }
        if self.topics.len() <= index {
            self.topics.resize(index + 1, None);
        }
        if self.topics[index].as_deref() != Some(topic) {
            self.topics[index] = Some(topic.into());
        }
        Ok(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::{AliasError, Aliases};

    #[test]
    fn an_alias_stands_for_the_topic_it_was_last_given() {
        let mut aliases = Aliases::new(2);
        assert_eq!(aliases.resolve(2, ""), Err(AliasError::Unknown));
        assert_eq!(aliases.resolve(2, "a/b"), Ok("a/b"));
        assert_eq!(aliases.resolve(2, ""), Ok("a/b"));
        assert_eq!(aliases.resolve(2, "c"), Ok("c"));
        assert_eq!(aliases.resolve(2, ""), Ok("c"));
    }

    #[test]
    fn zero_and_what_was_not_announced_are_out_of_range() {
        let mut aliases = Aliases::new(2);
        assert_eq!(aliases.resolve(0, "a"), Err(AliasError::OutOfRange));
        assert_eq!(aliases.resolve(3, "a"), Err(AliasError::OutOfRange));
        assert_eq!(Aliases::new(0).resolve(1, "a"), Err(AliasError::OutOfRange));
    }
}
