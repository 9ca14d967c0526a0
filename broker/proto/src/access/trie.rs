//! Filters of rules as a tree of levels, with what they give and take. Walked once for a topic, it
//! answers for all actions. Knows no rule.

use ahash::AHashMap;

use super::action::Actions;
use super::filter::{Level, Named, Taken};
use super::rule::Effect;
use super::subject::Subject;

/// What rules give and take.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    allowed: Actions,
    denied: Actions,
}

impl Sums {
    fn counted(self, is_wide: bool) -> Self {
        if is_wide { Self { allowed: Actions::NONE, ..self } } else { self }
    }

    /// These too.
    pub(super) fn add(&mut self, other: Self) {
        self.allowed = self.allowed.and(other.allowed);
        self.denied = self.denied.and(other.denied);
    }

    /// What is given and not taken.
    pub(super) fn left(self) -> Actions {
        self.allowed.without(self.denied)
    }
}

#[derive(Debug, Default)]
struct Node {
    texts: AHashMap<Box<str>, u32>,
    named: Vec<(Named, u32)>,
    plus: Option<u32>,
    /// For a topic that ends here.
    here: Sums,
    /// For it and all below.
    below: Sums,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

impl Trie {
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Adds a filter.
    pub(super) fn add(&mut self, levels: &[Level], effect: Effect, actions: Actions) {
        let sums = match effect {
            Effect::Allow => Sums { allowed: actions, denied: Actions::NONE },
            Effect::Deny => Sums { allowed: Actions::NONE, denied: actions },
        };
        let mut at = 0;
        for level in levels {
            if *level == Level::Hash {
                return self.nodes[at as usize].below.add(sums);
            }
            at = self.child(at, level);
        }
        self.nodes[at as usize].here.add(sums);
    }

    fn child(&mut self, at: u32, level: &Level) -> u32 {
        let next = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let node = &mut self.nodes[at as usize];
        let child = match level {
            Level::Text(text) => *node.texts.entry(text.clone()).or_insert(next),
            Level::Plus | Level::Hash => *node.plus.get_or_insert(next),
            Level::Named(name) => match node.named.iter().find(|(known, _)| known == name) {
                Some((_, child)) => *child,
                None => {
                    node.named.push((name.clone(), next));
                    next
                }
            },
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    /// What is given and taken for this topic.
    pub(super) fn sums(&self, topic: &str, subject: &Subject) -> Sums {
        let mut sums = Sums::default();
        let walk = Walk { trie: self, subject, has_wildcards: !topic.starts_with('$') };
        walk.visit((0, false), Some(topic), &mut sums);
        sums
    }
}

struct Walk<'a> {
    trie: &'a Trie,
    subject: &'a Subject,
    /// Wildcards of the first level count.
    has_wildcards: bool,
}

impl Walk<'_> {
    /// `rest`: the levels that are left; `None` when the topic ended. `is_wide`: a name of many
    /// levels led here, and what is allowed does not count.
    fn visit(&self, (at, is_wide): (u32, bool), rest: Option<&str>, sums: &mut Sums) {
        let Some(node) = self.trie.nodes.get(at as usize) else { return };
        let takes_wildcards = at != 0 || self.has_wildcards;
        if takes_wildcards {
            sums.add(node.below.counted(is_wide));
        }
        let Some(topic) = rest else { return sums.add(node.here.counted(is_wide)) };
        let (level, rest) = match topic.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (topic, None),
        };
        if !node.texts.is_empty()
            && let Some(child) = node.texts.get(level)
        {
            self.visit((*child, is_wide), rest, sums);
        }
        if let Some(child) = node.plus.filter(|_| takes_wildcards) {
            self.visit((child, is_wide), rest, sums);
        }
        for (name, child) in &node.named {
            if (takes_wildcards || name.is_apart())
                && let Some(Taken { rest, is_wide: is_wider }) = name.take(topic, self.subject)
            {
                self.visit((*child, is_wide || is_wider), rest, sums);
            }
        }
    }
}
