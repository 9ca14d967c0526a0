//! Rules that are for the same subjects, made ready to be asked. Knows no subject by itself.

use std::sync::{Arc, LazyLock};

use super::action::{Action, Actions};
use super::filter::RuleFilter;
use super::rule::Effect;
use super::subject::Subject;
use super::trie::Trie;

/// How much of what a filter matches a subject may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Admits {
    /// Nothing.
    None,
    /// Some of it, perhaps.
    Some,
    /// One rule allows all of it, and none denies any.
    All,
}

/// Where no rule is asked.
static EVERYTHING: LazyLock<Arc<Compiled>> = LazyLock::new(|| {
    let none = Compiled::of(std::iter::empty());
    Arc::new(Compiled { is_everything: true, ..none })
});

/// Rules that are for the same subjects, made ready.
#[derive(Debug)]
pub(super) struct Compiled {
    trie: Trie,
    filters: Vec<(Effect, Actions, RuleFilter)>,
    /// Everything is allowed.
    is_everything: bool,
}

impl Compiled {
    pub(super) fn of(rules: impl Iterator<Item = (Effect, Actions, RuleFilter)>) -> Self {
        let (mut trie, filters) = (Trie::new(), rules.collect::<Vec<_>>());
        for (effect, actions, filter) in &filters {
            trie.add(filter.levels(), *effect, *actions);
        }
        Self { trie, filters, is_everything: false }
    }

    /// For whom no rule is asked.
    pub(super) fn everything() -> Arc<Self> {
        Arc::clone(&EVERYTHING)
    }

    pub(super) fn filters(&self) -> &[(Effect, Actions, RuleFilter)] {
        &self.filters
    }

    /// All that may be done with this topic.
    pub(super) fn actions(&self, topic: &str, subject: &Subject) -> Actions {
        if self.is_everything { Actions::ANY } else { self.trie.allowed(topic, subject) }
    }

    /// How much of what a filter matches may be had.
    pub(super) fn admits(&self, action: Action, filter: &str, subject: &Subject) -> Admits {
        if self.is_everything {
            return Admits::All;
        }
        let (mut is_covered, mut is_met, mut is_denied) = (false, false, false);
        let about = self.filters.iter().filter(|(_, actions, _)| actions.has(action));
        for (effect, _, rule) in about {
            match effect {
                Effect::Allow => {
                    is_covered = is_covered || rule.covers(filter, subject);
                    is_met = is_met || is_covered || rule.meets(filter, subject);
                }
                Effect::Deny => {
                    let rule = rule.denied(subject);
                    if rule.covers(filter, subject) {
                        return Admits::None;
                    }
                    is_denied = is_denied || rule.meets(filter, subject);
                }
            }
        }
        match (is_covered, is_met) {
            (true, _) if !is_denied => Admits::All,
            (_, true) => Admits::Some,
            (_, false) => Admits::None,
        }
    }

    /// Whether any rule takes this, of whatever topics.
    pub(super) fn has_denial(&self, action: Action) -> bool {
        let mut about = self.filters.iter();
        about.any(|(effect, actions, _)| *effect == Effect::Deny && actions.has(action))
    }
}
