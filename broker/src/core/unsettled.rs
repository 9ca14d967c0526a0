//! Topics of messages at QoS 0 that wait for the disk because they are retained, or because they
//! come behind one that is. Others on their topics must not overtake them. Knows commits by number.

use std::collections::VecDeque;
use std::sync::Arc;

use ahash::AHashMap;

/// Nearly always empty.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    /// The last commit that holds one.
    last: AHashMap<Arc<str>, u64>,
    /// In the order of commits.
    queue: VecDeque<(u64, Arc<str>)>,
}

impl Unsettled {
    /// Whether a message on this topic has to wait for those before it.
    pub(crate) fn has(&self, topic: &str) -> bool {
        !self.last.is_empty() && self.last.contains_key(topic)
    }

    /// One goes into this commit.
    pub(crate) fn add(&mut self, topic: &str, commit: u64) {
        if self.last.get(topic) == Some(&commit) {
            return;
        }
        let topic: Arc<str> = topic.into();
        self.last.insert(Arc::clone(&topic), commit);
        self.queue.push_back((commit, topic));
    }

    /// Commits up to this one are handed out, or failed.
    pub(crate) fn settle(&mut self, commit: u64) {
        while let Some((_, topic)) = self.queue.pop_front_if(|(first, _)| *first <= commit) {
            if self.last.get(&topic).is_some_and(|last| *last <= commit) {
                self.last.remove(&topic);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unsettled;

    #[test]
    fn a_topic_is_unsettled_until_its_last_commit_is_over() {
        let mut unsettled = Unsettled::default();
        assert!(!unsettled.has("a"));
        for (topic, commit) in [("a", 1), ("a", 1), ("b", 1), ("a", 3), ("c", 4)] {
            unsettled.add(topic, commit);
        }
        for (commit, expected) in [
            (0, [true, true, true]),
            (1, [true, false, true]),
            (2, [true, false, true]),
            (3, [false, false, true]),
            (4, [false, false, false]),
        ] {
            unsettled.settle(commit);
            assert_eq!(["a", "b", "c"].map(|topic| unsettled.has(topic)), expected, "{commit}");
        }
        assert!(unsettled.queue.is_empty());
    }
}
