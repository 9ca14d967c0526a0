//! Which subscriptions match a topic: a tree of topic levels. Knows nothing of sessions but keys.
//!
//! Levels between which nothing branches or ends share one node, so that a filter costs a node or
//! two however many levels it has.

use ahash::AHashMap;
use slab::Slab;
use smallvec::SmallVec;

use crate::routing::grant::{Grant, SessionKey};

const ROOT: u32 = 0;

/// All subscriptions of the sessions connected to one core.
#[derive(Debug)]
pub struct Trie {
    nodes: Slab<Node>,
    subscriptions: usize,
    generation: u64,
}

/// Every node but the root has a subscription of its own, or branches.
///
/// Fleets have one for each device, so its size counts: what most of them lack takes a word.
#[derive(Debug, Default)]
struct Node {
    parent: u32,
    /// The levels from the parent to here: at least one.
    edge: Box<str>,
    /// `None`: it never had any.
    children: Option<Box<Children>>,
    /// Subscriptions that end here.
    here: Entries,
    /// Subscriptions that end in `#` below here; they match this level too.
    rest: Entries,
}

/// By the first levels of their edges.
type Children = AHashMap<Box<str>, u32>;

/// Mostly one: then it stands in the node itself.
type Entries = SmallVec<[(SessionKey, Grant); 1]>;

impl Node {
    fn has_children(&self) -> bool {
        self.children.as_ref().is_some_and(|children| !children.is_empty())
    }

    fn child(&self, level: &str) -> Option<u32> {
        self.children.as_ref()?.get(level).copied()
    }

    /// Another child, or one in the place of another.
    fn put_child(&mut self, level: &str, child: u32) {
        let children = self.children.get_or_insert_default();
        match children.get_mut(level) {
            Some(place) => *place = child,
            None => {
                children.insert(level.into(), child);
            }
        }
    }

    fn ends_nothing(&self) -> bool {
        self.here.is_empty() && self.rest.is_empty()
    }
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

    /// Whether some filter begins with this level, which is no wildcard.
    #[must_use]
    pub fn begins_with(&self, level: &str) -> bool {
        self.node(ROOT).child(level).is_some()
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
        let node = self.node_mut(at);
        let entries = if to_rest { &mut node.rest } else { &mut node.here };
        let Some(index) = entries.iter().position(|(key, _)| *key == session) else {
            return false;
        };
        entries.swap_remove(index);
        self.subscriptions -= 1;
        self.generation += 1;
        self.prune(at);
        true
    }

    /// Calls `found` for each subscription that matches the topic.
    ///
    /// Works with a stack of its own: a topic of many levels costs no call depth.
    pub fn visit(&self, topic: &str, mut found: impl FnMut(SessionKey, &Grant)) {
        let hidden = topic.starts_with('$');
        let mut waiting = vec![(ROOT, Some(topic))];
        while let Some((at, left)) = waiting.pop() {
            let node = self.node(at);
            let is_hidden = hidden && at == ROOT;
            if !is_hidden {
                node.rest.iter().for_each(|(key, grant)| found(*key, grant));
            }
            let Some(left) = left else {
                node.here.iter().for_each(|(key, grant)| found(*key, grant));
                continue;
            };
            let Some(children) = &node.children else { continue };
            let (level, after) = first_level(left);
            let any = children.get("+").filter(|_| !is_hidden);
            for child in [children.get(level), any].into_iter().flatten() {
                if let Some(left) = pass(&self.node(*child).edge, after) {
                    waiting.push((*child, left));
                }
            }
        }
    }

    fn node(&self, at: u32) -> &Node {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node {
        &mut self.nodes[at as usize]
    }

    fn add(&mut self, node: Node) -> u32 {
        u32::try_from(self.nodes.insert(node)).expect("four thousand million would fill any memory")
    }

    fn take(&mut self, at: u32) -> Node {
        self.nodes.remove(at as usize)
    }

    fn entries_made(&mut self, filter: &str) -> &mut Entries {
        let (levels, to_rest) = split_filter(filter);
        let (mut at, mut left) = (ROOT, levels);
        while let Some(levels) = left {
            let (first, _) = first_level(levels);
            let Some(child) = self.node(at).child(first) else {
                let leaf = self.add(Node { parent: at, edge: levels.into(), ..Node::default() });
                self.node_mut(at).put_child(first, leaf);
                at = leaf;
                break;
            };
            let shared = shared_levels(&self.node(child).edge, levels);
            at = self.branch(child, shared);
            left = behind(levels, shared);
        }
        let node = self.node_mut(at);
        if to_rest { &mut node.rest } else { &mut node.here }
    }

    /// The node so many bytes down the edge to this one; made, if that is in the middle.
    fn branch(&mut self, at: u32, bytes: usize) -> u32 {
        let edge = std::mem::take(&mut self.node_mut(at).edge);
        let Some(lower) = behind(&edge, bytes) else {
            self.node_mut(at).edge = edge;
            return at;
        };
        let parent = self.node(at).parent;
        let upper = edge.get(..bytes).unwrap_or_default();
        let mut middle = Node { parent, edge: upper.into(), ..Node::default() };
        middle.put_child(first_level(lower).0, at);
        let middle = self.add(middle);
        self.node_mut(parent).put_child(first_level(&edge).0, middle);
        self.node_mut(at).parent = middle;
        self.node_mut(at).edge = lower.into();
        middle
    }

    fn find(&self, levels: Option<&str>) -> Option<u32> {
        let (mut at, mut left) = (ROOT, levels);
        while let Some(levels) = left {
            at = self.node(at).child(first_level(levels).0)?;
            let behind = levels.strip_prefix(&*self.node(at).edge)?;
            left = behind.strip_prefix('/');
            if left.is_none() && !behind.is_empty() {
                return None;
            }
        }
        Some(at)
    }

    /// A subscription at this node is gone: so is the node if it has no other and does not branch.
    fn prune(&mut self, at: u32) {
        let node = self.node(at);
        if node.has_children() {
            return self.join(at);
        }
        if at == ROOT || !node.ends_nothing() {
            return;
        }
        let node = self.take(at);
        if let Some(children) = &mut self.node_mut(node.parent).children {
            children.remove(first_level(&node.edge).0);
        }
        self.join(node.parent);
    }

    /// A node that neither ends anything nor branches is a part of the edge to its child.
    fn join(&mut self, at: u32) {
        let node = self.node(at);
        let children = node.children.as_ref().map_or(0, |children| children.len());
        if at == ROOT || !node.ends_nothing() || children != 1 {
            return;
        }
        let node = self.take(at);
        for child in node.children.into_iter().flat_map(|children| children.into_values()) {
            let edge = format!("{}/{}", node.edge, self.node(child).edge);
            self.node_mut(child).edge = edge.into();
            self.node_mut(child).parent = node.parent;
            self.node_mut(node.parent).put_child(first_level(&node.edge).0, child);
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

/// The first of some levels, and the others if there are any.
fn first_level(levels: &str) -> (&str, Option<&str>) {
    match levels.split_once('/') {
        Some((first, others)) => (first, Some(others)),
        None => (levels, None),
    }
}

/// The levels behind so many bytes, which end with a level.
fn behind(levels: &str, bytes: usize) -> Option<&str> {
    levels.get(bytes..)?.strip_prefix('/')
}

/// How many bytes the levels have that both begin with; the first is the same.
fn shared_levels(one: &str, other: &str) -> usize {
    let both = one.split('/').zip(other.split('/'));
    let same = both.take_while(|(level, also)| level == also);
    same.map(|(level, _)| level.len() + 1).sum::<usize>().saturating_sub(1)
}

/// What is left of a topic at the end of an edge whose first level it has passed, with this much
/// left there; `None` when the others do not match.
fn pass<'a>(edge: &str, left: Option<&'a str>) -> Option<Option<&'a str>> {
    let (_, Some(levels)) = first_level(edge) else { return Some(left) };
    if !levels.contains('+') {
        let behind = left?.strip_prefix(levels)?;
        return if behind.is_empty() { Some(None) } else { behind.strip_prefix('/').map(Some) };
    }
    let (mut levels, mut left) = (Some(levels), left);
    while let Some(some) = levels {
        let ((wanted, others), (level, after)) = (first_level(some), first_level(left?));
        if wanted != "+" && wanted != level {
            return None;
        }
        (levels, left) = (others, after);
    }
    Some(left)
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

    #[test]
    fn a_node_is_small() {
        assert!(size_of::<super::Node>() <= 80, "{}", size_of::<super::Node>());
    }

    /// Every way to write a dozen levels with and without a wildcard, and a hundred more behind.
    #[test]
    fn many_levels_without_a_branch_cost_one_node() {
        let mut trie = Trie::default();
        let tail = "/a".repeat(100);
        let filter = |ways: u32| {
            let level = |at: u32| if ways >> at & 1 == 0 { "a" } else { "+" };
            (0..12).map(level).collect::<Vec<_>>().join("/") + &tail
        };
        let filters: Vec<String> = (0..1 << 12).map(filter).collect();
        for filter in &filters {
            trie.insert(filter, SessionKey(1), GRANT);
        }
        assert!(trie.nodes.len() <= 2 * filters.len(), "{}", trie.nodes.len());
        assert_eq!(matching(&trie, &filters[0]).len(), filters.len());
        for filter in &filters {
            assert!(trie.remove(filter, SessionKey(1)));
        }
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
            let mut idle = trie.nodes.iter().filter(|(at, it)| *at != 0 && it.ends_nothing());
            let children = |node: &super::Node| node.children.as_ref().map_or(0, |it| it.len());
            assert!(idle.all(|(_, node)| children(node) > 1));
            let expected: Vec<u32> = model
                .iter()
                .filter(|(_, filter)| topic::matches(filter, &topic))
                .map(|(key, _)| *key)
                .collect();
            assert_eq!(matching(&trie, &topic), expected);
            for (key, filter) in &model {
                assert!(trie.remove(filter, SessionKey(*key)));
            }
            assert_eq!((trie.len(), trie.nodes.len()), (0, 1));
        }
    }
}
