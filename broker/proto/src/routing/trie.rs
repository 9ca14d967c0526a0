//! Which subscriptions match a topic: a tree of topic levels. Knows nothing of sessions but keys.

use ahash::AHashMap;
use slab::Slab;

use crate::routing::grant::{Grant, SessionKey};

const ROOT: usize = 0;

/// All subscriptions of the sessions connected to one core.
#[derive(Debug)]
pub struct Trie {
    nodes: Slab<Node>,
    subscriptions: usize,
    generation: u64,
}

#[derive(Debug, Default)]
struct Node {
    parent: usize,
    children: AHashMap<Box<str>, usize>,
    /// Subscriptions that end here.
    here: Vec<(SessionKey, Grant)>,
    /// Subscriptions that end in `#` below here; they match this level too.
    rest: Vec<(SessionKey, Grant)>,
}

impl Default for Trie {
    fn default() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::default());
        Self { nodes, subscriptions: 0, generation: 0 }
    }
}

impl Trie {
    /// How many subscriptions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subscriptions
    }

    /// Whether nobody subscribes to anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscriptions == 0
    }

    /// Changes whenever an earlier answer of [`Trie::visit`] may no longer hold.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Adds a subscription, or replaces what the session had at this very filter.
    pub fn insert(&mut self, filter: &str, session: SessionKey, grant: Grant) {
        self.generation += 1;
        let entries = self.entries_made(filter);
        match entries.iter_mut().find(|(key, _)| *key == session) {
            Some((_, old)) => *old = grant,
            None => {
                entries.push((session, grant));
                self.subscriptions += 1;
            }
        }
    }

    /// Takes a subscription away. False when there was none.
    pub fn remove(&mut self, filter: &str, session: SessionKey) -> bool {
        let (levels, to_rest) = split_filter(filter);
        let Some(at) = self.find(levels) else { return false };
        let node = &mut self.nodes[at];
        let entries = if to_rest { &mut node.rest } else { &mut node.here };
        let Some(index) = entries.iter().position(|(key, _)| *key == session) else {
            return false;
        };
        entries.swap_remove(index);
        self.subscriptions -= 1;
        self.generation += 1;
        self.prune(at, levels);
        true
    }

    /// Calls `found` for each subscription that matches the topic.
    ///
    /// Works with a stack of its own: a topic of many levels costs no call depth.
    pub fn visit(&self, topic: &str, mut found: impl FnMut(SessionKey, &Grant)) {
        let hidden = topic.starts_with('$');
        let mut waiting = vec![(ROOT, Some(topic))];
        while let Some((at, rest)) = waiting.pop() {
            let node = &self.nodes[at];
            if !(hidden && at == ROOT) {
                node.rest.iter().for_each(|(key, grant)| found(*key, grant));
            }
            let Some(rest) = rest else {
                node.here.iter().for_each(|(key, grant)| found(*key, grant));
                continue;
            };
            let (level, after) = match rest.split_once('/') {
                Some((level, after)) => (level, Some(after)),
                None => (rest, None),
            };
            if let Some(child) = node.children.get(level) {
                waiting.push((*child, after));
            }
            if let Some(child) = node.children.get("+").filter(|_| !(hidden && at == ROOT)) {
                waiting.push((*child, after));
            }
        }
    }

    fn entries_made(&mut self, filter: &str) -> &mut Vec<(SessionKey, Grant)> {
        let (levels, to_rest) = split_filter(filter);
        let mut at = ROOT;
        for level in levels.into_iter().flat_map(|levels| levels.split('/')) {
            at = match self.nodes[at].children.get(level) {
                Some(child) => *child,
                None => {
                    let child = self.nodes.insert(Node { parent: at, ..Node::default() });
                    self.nodes[at].children.insert(level.into(), child);
                    child
                }
            };
        }
        let node = &mut self.nodes[at];
        if to_rest { &mut node.rest } else { &mut node.here }
    }

    fn find(&self, levels: Option<&str>) -> Option<usize> {
        let mut at = ROOT;
        for level in levels.into_iter().flat_map(|levels| levels.split('/')) {
            at = *self.nodes[at].children.get(level)?;
        }
        Some(at)
    }

    /// Frees nodes that hold nothing any more, from the leaf upwards.
    fn prune(&mut self, mut at: usize, levels: Option<&str>) {
        for level in levels.into_iter().flat_map(|levels| levels.rsplit('/')) {
            let node = &self.nodes[at];
            if !(node.here.is_empty() && node.rest.is_empty() && node.children.is_empty()) {
                return;
            }
            let parent = node.parent;
            self.nodes.remove(at);
            self.nodes[parent].children.remove(level);
            at = parent;
        }
    }
}

/// The levels to walk (`None`: stay at the root), and whether the filter ends in `#`.
fn split_filter(filter: &str) -> (Option<&str>, bool) {
    match filter.strip_suffix("/#") {
        Some(levels) => (Some(levels), true),
        None if filter == "#" => (None, true),
        None => (Some(filter), false),
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, proptest};
    use proptest::sample::select;

    use super::Trie;
    use crate::qos::Qos;
    use crate::routing::grant::{Grant, SessionKey};
    use crate::topic;

    const GRANT: Grant =
        Grant { qos: Qos::AtLeastOnce, no_local: false, retain_as_published: false, id: 0 };

    fn matching(trie: &Trie, topic: &str) -> Vec<u32> {
        let mut keys = Vec::new();
        trie.visit(topic, |key, _| keys.push(key.0));
        keys.sort_unstable();
        keys
    }

    #[test]
    fn leading_wildcards_do_not_match_topics_that_begin_with_a_dollar() {
        let mut trie = Trie::default();
        for (key, filter) in ["#", "+/x", "$SYS/#", "$SYS/+", "+/#"].iter().enumerate() {
            trie.insert(filter, SessionKey(u32::try_from(key).expect("small")), GRANT);
        }
        assert_eq!(matching(&trie, "$SYS/x"), [2, 3]);
        assert_eq!(matching(&trie, "a/x"), [0, 1, 4]);
        assert_eq!(matching(&trie, "$SYS"), [2]);
    }

    #[test]
    fn the_same_filter_again_replaces_the_grant() {
        let mut trie = Trie::default();
        trie.insert("a/b", SessionKey(1), GRANT);
        trie.insert("a/b", SessionKey(1), Grant { id: 7, ..GRANT });
        assert_eq!(trie.len(), 1);
        let mut ids = Vec::new();
        trie.visit("a/b", |_, grant| ids.push(grant.id));
        assert_eq!(ids, [7]);
    }

    #[test]
    fn nodes_are_freed_when_their_last_subscription_goes() {
        let mut trie = Trie::default();
        trie.insert("a/b/c", SessionKey(1), GRANT);
        trie.insert("a/b/#", SessionKey(1), GRANT);
        trie.insert("#", SessionKey(1), GRANT);
        assert!(trie.remove("a/b/c", SessionKey(1)));
        assert!(!trie.remove("a/b/c", SessionKey(1)));
        assert!(trie.remove("a/b/#", SessionKey(1)));
        assert!(trie.remove("#", SessionKey(1)));
        assert_eq!((trie.len(), trie.nodes.len()), (0, 1));
    }

    fn filter_text() -> impl Strategy<Value = String> {
        vec(select(vec!["a", "b", "", "+", "$x"]), 1..5).prop_flat_map(|levels| {
            select(vec!["", "/#"]).prop_map(move |end| format!("{}{end}", levels.join("/")))
        })
    }

    proptest! {
        #[test]
        fn agrees_with_matching_one_filter_at_a_time(
            filters in vec(filter_text(), 0..40),
            topic in vec(select(vec!["a", "b", "", "$x", "c"]), 1..6),
            removed in vec(0usize..40, 0..20),
        ) {
            let topic = topic.join("/");
            let mut trie = Trie::default();
            let mut model: Vec<(u32, String)> = Vec::new();
            for (key, filter) in filters.iter().enumerate() {
                let key = u32::try_from(key).expect("small");
                trie.insert(filter, SessionKey(key), GRANT);
                model.push((key, filter.clone()));
            }
            for index in removed {
                if index < model.len() {
                    let (key, filter) = model.remove(index);
                    assert!(trie.remove(&filter, SessionKey(key)));
                }
            }
            let expected: Vec<u32> = model
                .iter()
                .filter(|(_, filter)| topic::matches(filter, &topic))
                .map(|(key, _)| *key)
                .collect();
            assert_eq!(matching(&trie, &topic), expected);
        }
    }
}
