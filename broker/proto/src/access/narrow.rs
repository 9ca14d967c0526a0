//! The most that a subject may have, whatever rules say. Never allows anything.

use std::sync::Arc;

use super::action::{Action, Actions};
use super::filter::RuleFilter;
use super::ready::{Compiled, Parts};
use super::rule::Effect;

/// Filters that one subject may be held to.
const FILTERS_MAX: usize = 256;

/// Why no bounds can be made of filters.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NarrowError {
    /// There are too many of them.
    #[error("there are more than {FILTERS_MAX} filters")]
    Many,
    /// One is wrong.
    #[error("{0}")]
    Filter(String),
}

/// The most that a subject may have, whatever the rules allow: filters for what it publishes, and
/// for what it receives. `%c` and `%u` stand for its names, as in rules.
#[derive(Debug)]
pub struct Narrow(Parts);

impl Narrow {
    /// Bounds of these filters.
    ///
    /// # Errors
    /// When one of them is wrong, or they are too many: bounds that are half understood are none.
    pub fn new<'a>(
        publish: impl IntoIterator<Item = &'a str>,
        subscribe: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NarrowError> {
        let publish = publish.into_iter().map(|filter| (filter, Actions::WRITE));
        let subscribe = subscribe.into_iter().map(|filter| (filter, Actions::READ));
        let mut filters = Vec::new();
        for (filter, actions) in publish.chain(subscribe) {
            if filters.len() == FILTERS_MAX {
                return Err(NarrowError::Many);
            }
            let filter = RuleFilter::read(filter, true).map_err(NarrowError::Filter)?;
            filters.push((Effect::Allow, actions, filter));
        }
        let common = Arc::new(Compiled::of(filters.into_iter()));
        Ok(Self(Parts { common, own: None }))
    }

    /// What is within them.
    pub(super) fn parts(&self) -> &Parts {
        &self.0
    }

    /// Whether they are about that at all: names of the Kafka port are the rules' affair, but what
    /// changes the broker for all is not for who is held to some topics.
    pub(super) const fn is_about(action: Action) -> bool {
        !matches!(action, Action::KafkaGroup | Action::KafkaTransaction)
    }
}

impl PartialEq for Narrow {
    fn eq(&self, other: &Self) -> bool {
        self.0.common.filters() == other.0.common.filters()
    }
}

impl Eq for Narrow {}
