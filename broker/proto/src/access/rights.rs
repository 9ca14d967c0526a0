//! What one subject may do. Shared by all subjects for whom the same rules are: only names differ.

use std::sync::Arc;

use super::action::{Action, Actions};
use super::narrow::Narrow;
use super::ready::{Admits, Parts};
use super::subject::Subject;

/// What one subject may do.
#[derive(Clone, Debug)]
pub struct Rights {
    pub(super) parts: Parts,
    subject: Subject,
    /// What it may have at most.
    narrow: Option<Arc<Narrow>>,
}

impl Rights {
    /// Those of a subject where there are no rules: all that it is not held from otherwise.
    pub(super) fn without_rules(subject: Subject) -> Self {
        Self::new(Parts::everything(), subject)
    }

    pub(super) const fn new(parts: Parts, subject: Subject) -> Self {
        Self { parts, subject, narrow: None }
    }

    /// Within these bounds, if there are any.
    pub(super) fn within(self, narrow: Option<Arc<Narrow>>) -> Self {
        Self { narrow, ..self }
    }

    /// All that it may do with this topic.
    #[must_use]
    pub fn actions(&self, topic: &str) -> Actions {
        let allowed = self.parts.actions(topic, &self.subject);
        let Some(narrow) = &self.narrow else { return allowed };
        let within = narrow.parts().actions(topic, &self.subject);
        let left = |action: &Action| !Narrow::is_about(*action) || within.has(*action);
        Action::ALL
            .iter()
            .filter(|action| !left(action))
            .fold(allowed, |allowed, action| allowed.without(Actions::of(&[*action])))
    }

    /// Whether it may do this with this topic.
    #[must_use]
    pub fn may(&self, action: Action, topic: &str) -> bool {
        self.actions(topic).has(action)
    }

    /// How much of what a filter matches it may have. `filter` is a plain one: no `$share/`.
    #[must_use]
    pub fn admits(&self, action: Action, filter: &str) -> Admits {
        let allowed = self.parts.admits(action, filter, &self.subject);
        match self.narrow.as_ref().filter(|_| Narrow::is_about(action)) {
            Some(narrow) => allowed.min(narrow.parts().admits(action, filter, &self.subject)),
            None => allowed,
        }
    }

    /// Whether anything takes this, of whatever topics: `$` topics are among them, which no filter
    /// that begins with a wildcard speaks of.
    #[must_use]
    pub fn has_denial(&self, action: Action) -> bool {
        self.narrow.is_some() || self.parts.has_denial(action)
    }

    /// Whose they are.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }
}
