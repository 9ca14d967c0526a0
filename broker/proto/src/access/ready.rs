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

/// What rules say of a filter.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// One allows all of it.
    is_covered: bool,
    /// One allows some of it, perhaps.
    is_met: bool,
    /// One denies some of it, perhaps.
    is_denied: bool,
    /// One denies all of it.
    is_forbidden: bool,
}

/// The rules that are for a subject, made ready.
#[derive(Clone, Debug)]
pub(super) struct Parts {
    /// Those that name no user and no client, which many subjects have alike.
    pub(super) common: Arc<Compiled>,
    /// Its own, if there are any.
    pub(super) own: Option<Arc<Compiled>>,
}

impl Parts {
    /// Where no rule is asked.
    pub(super) fn everything() -> Self {
        Self { common: Arc::clone(&EVERYTHING), own: None }
    }

    fn all(&self) -> impl Iterator<Item = &Compiled> {
        std::iter::once(&self.common).chain(&self.own).map(|part| &**part)
    }

    /// All that may be done with this topic.
    pub(super) fn actions(&self, topic: &str, subject: &Subject) -> Actions {
        if self.common.is_everything {
            return Actions::ANY;
        }
        let mut sums = self.common.trie.sums(topic, subject);
        if let Some(own) = &self.own {
            sums.add(own.trie.sums(topic, subject));
        }
        sums.left()
    }

    /// How much of what a filter matches may be had.
    pub(super) fn admits(&self, action: Action, filter: &str, subject: &Subject) -> Admits {
        if self.common.is_everything {
            return Admits::All;
        }
        let mut found = Found::default();
        for part in self.all() {
            part.judge(action, filter, subject, &mut found);
            if found.is_forbidden {
                return Admits::None;
            }
        }
        match (found.is_covered, found.is_met) {
            (true, _) if !found.is_denied => Admits::All,
            (_, true) => Admits::Some,
            (_, false) => Admits::None,
        }
    }

    /// Whether any rule takes this, of whatever topics.
    pub(super) fn has_denial(&self, action: Action) -> bool {
        self.all().any(|part| part.has_denial(action))
    }
}

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

    pub(super) fn filters(&self) -> &[(Effect, Actions, RuleFilter)] {
        &self.filters
    }

    /// Looks at what a filter matches.
    fn judge(&self, action: Action, filter: &str, subject: &Subject, found: &mut Found) {
        let Found { is_covered, is_met, is_denied, is_forbidden } = found;
        let about = self.filters.iter().filter(|(_, actions, _)| actions.has(action));
        for (effect, _, rule) in about {
            match effect {
                Effect::Allow => {
                    *is_covered = *is_covered || rule.covers(filter, subject);
                    *is_met = *is_met || *is_covered || rule.meets(filter, subject);
                }
                Effect::Deny => {
                    let rule = rule.denied(subject);
                    *is_forbidden = rule.covers(filter, subject);
                    if *is_forbidden {
                        return;
                    }
                    *is_denied = *is_denied || rule.meets(filter, subject);
                }
            }
        }
    }

    /// Whether any rule takes this, of whatever topics.
    fn has_denial(&self, action: Action) -> bool {
        let mut about = self.filters.iter();
        about.any(|(effect, actions, _)| *effect == Effect::Deny && actions.has(action))
    }
}
