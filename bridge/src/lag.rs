//! How far a reader is behind the log. Plain data.

/// How far a reader is behind the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Records that it has not done with; those that are not for it count until it has passed them.
    pub messages: u64,
    /// How long ago the first of them came, in seconds.
    pub seconds: u64,
    /// In how many seconds retention begins to take what it has not read, if all goes on as it
    /// does.
    pub loses_in_s: Option<u64>,
}

impl Lag {
    /// Of whoever reads both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            messages: self.messages.saturating_add(other.messages),
            seconds: self.seconds.max(other.seconds),
            loses_in_s: self.loses_in_s.into_iter().chain(other.loses_in_s).min(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lag;

    #[test]
    fn together_they_are_as_late_as_the_later_and_lose_as_soon_as_the_sooner() {
        let lag = |messages, seconds, loses_in_s| Lag { messages, seconds, loses_in_s };
        let both = lag(1, 9, None).and(lag(2, 5, Some(7)));
        assert_eq!(both, lag(3, 9, Some(7)));
        assert_eq!(both.and(lag(0, 0, Some(3))).and(Lag::default()), lag(3, 9, Some(3)));
    }
}
