//! What came at a topic, or at many. Pure.

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) messages: u64,
    /// Of payloads.
    pub(crate) bytes: u64,
    /// When the last one came, in milliseconds since 1970.
    pub(crate) last_ms: Option<i64>,
    /// Whether a message was retained last, or cleared; `None`: neither was heard of.
    pub(super) retained: Option<bool>,
}

/// Who goes first when there is no room.
pub(super) type Rank = (u64, Option<i64>, bool);

impl Heard {
    /// One message.
    pub(super) fn one(payload_bytes: usize, received_ms: i64, retain: bool) -> Self {
        Self {
            messages: 1,
            bytes: payload_bytes as u64,
            last_ms: Some(received_ms),
            // An empty one clears.
            retained: retain.then_some(payload_bytes > 0),
        }
    }

    /// No message, but one is retained.
    pub(super) const KEPT: Self =
        Self { messages: 0, bytes: 0, last_ms: None, retained: Some(true) };

    /// What came after it.
    pub(super) fn add(&mut self, later: &Self) {
        self.messages += later.messages;
        self.bytes += later.bytes;
        self.last_ms = self.last_ms.max(later.last_ms);
        self.retained = later.retained.or(self.retained);
    }

    /// Those with the fewest messages, of them those that have been silent longest. That something
    /// is retained counts for little: it would drive out all that lives.
    pub(super) fn rank(&self) -> Rank {
        (self.messages, self.last_ms, self.retained == Some(true))
    }
}

#[cfg(test)]
mod tests {
    use super::Heard;

    #[test]
    fn an_empty_retained_message_clears_and_another_message_changes_nothing_of_it() {
        let mut heard = Heard::one(3, 5, true);
        heard.add(&Heard::one(2, 9, false));
        assert_eq!((heard.messages, heard.bytes, heard.last_ms), (2, 5, Some(9)));
        assert_eq!(heard.retained, Some(true));
        heard.add(&Heard::one(0, 7, true));
        assert_eq!((heard.last_ms, heard.retained), (Some(9), Some(false)));
    }
}
