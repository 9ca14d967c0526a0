//! What one subject may do. Shared by all subjects for whom the same rules are: only names differ.

use std::sync::Arc;

use super::action::{Action, Actions};
use super::filter::RuleFilter;
use super::rule::Effect;
use super::subject::Subject;
use super::trie::Trie;

/// Rules that are for the same subjects, made ready.
#[derive(Debug)]
pub(super) struct Compiled {
    trie: Trie,
    filters: Vec<(Effect, Actions, RuleFilter)>,
}

impl Compiled {
    pub(super) fn of(rules: impl Iterator<Item = (Effect, Actions, RuleFilter)>) -> Self {
        let (mut trie, filters) = (Trie::new(), rules.collect::<Vec<_>>());
        for (effect, actions, filter) in &filters {
            trie.add(filter.levels(), *effect, *actions);
        }
        Self { trie, filters }
    }
}

/// How much of what a filter matches a subject may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admits {
    /// One rule allows all of it, and none denies any.
    All,
    /// Some of it, perhaps.
    Some,
    /// Nothing.
    None,
}

/// What one subject may do.
#[derive(Clone, Debug)]
pub struct Rights {
    pub(super) compiled: Arc<Compiled>,
    pub(super) subject: Subject,
}

impl Rights {
    /// All that it may do with this topic.
    #[must_use]
    pub fn actions(&self, topic: &str) -> Actions {
        self.compiled.trie.allowed(topic, &self.subject)
    }

    /// Whether it may do this with this topic.
    #[must_use]
    pub fn may(&self, action: Action, topic: &str) -> bool {
        self.actions(topic).has(action)
    }

    /// How much of what a filter matches it may have. `filter` is a plain one: no `$share/`.
    #[must_use]
    pub fn admits(&self, action: Action, filter: &str) -> Admits {
        let (mut is_covered, mut is_met, mut is_denied) = (false, false, false);
        let about = self.compiled.filters.iter().filter(|(_, actions, _)| actions.has(action));
        for (effect, _, rule) in about {
            match effect {
                Effect::Allow => {
                    is_covered = is_covered || rule.covers(filter, &self.subject);
                    is_met = is_met || is_covered || rule.meets(filter, &self.subject);
                }
                Effect::Deny => {
                    let rule = rule.denied(&self.subject);
                    if rule.covers(filter, &self.subject) {
                        return Admits::None;
                    }
                    is_denied = is_denied || rule.meets(filter, &self.subject);
                }
            }
        }
        match (is_covered, is_met) {
            (true, _) if !is_denied => Admits::All,
            (_, true) => Admits::Some,
            (_, false) => Admits::None,
        }
    }

    /// Whether any rule takes this, of whatever topics: `$` topics are among them, which no filter
    /// that begins with a wildcard speaks of.
    #[must_use]
    pub fn has_denial(&self, action: Action) -> bool {
        let mut about = self.compiled.filters.iter();
        about.any(|(effect, actions, _)| *effect == Effect::Deny && actions.has(action))
    }

    /// Whose they are.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }
}
