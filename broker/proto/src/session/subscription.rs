//! What a session subscribes. The trie of its core holds the same while it is connected.

use std::collections::BTreeMap;

use crate::id::PartitionId;
use crate::routing::grant::{Grant, SessionKey, Target};
use crate::session::cursor::Positions;
use crate::topic;

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What it grants.
    pub grant: Grant,
    /// Where it begins, when it was made while the session lagged behind: what lies before was
    /// published before this subscription.
    pub since: Option<Positions>,
}

/// All subscriptions of one session, by filter.
#[derive(Debug, Default)]
pub struct Subscriptions {
    by_filter: BTreeMap<Box<str>, Subscription>,
    with_beginning: usize,
    no_local: usize,
}

impl Subscriptions {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_filter.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_filter.is_empty()
    }

    /// Whether there is one at this very filter.
    #[must_use]
    pub fn contains(&self, filter: &str) -> bool {
        self.by_filter.contains_key(filter)
    }

    /// The subscription at this very filter.
    #[must_use]
    pub fn get(&self, filter: &str) -> Option<&Subscription> {
        self.by_filter.get(filter)
    }

    /// Adds or replaces. A replaced subscription keeps its beginning: nothing is lost by renewing.
    /// The answer is what is now in force, and whether the filter is new to the session.
    pub fn insert(&mut self, filter: &str, new: Subscription) -> (Subscription, bool) {
        let old = self.by_filter.get(filter);
        let is_new = old.is_none();
        let since = old.map_or(new.since, |old| old.since.clone());
        let in_force = Subscription { grant: new.grant, since };
        self.count_out(filter);
        self.with_beginning += usize::from(in_force.since.is_some());
        self.no_local += usize::from(in_force.grant.no_local);
        self.by_filter.insert(filter.into(), in_force.clone());
        (in_force, is_new)
    }

    /// Takes one away. False when there was none.
    pub fn remove(&mut self, filter: &str) -> bool {
        self.count_out(filter);
        self.by_filter.remove(filter).is_some()
    }

    fn count_out(&mut self, filter: &str) {
        if let Some(old) = self.by_filter.get(filter) {
            self.with_beginning -= usize::from(old.since.is_some());
            self.no_local -= usize::from(old.grant.no_local);
        }
    }

    /// Filters and what they grant.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Subscription)> {
        self.by_filter.iter().map(|(filter, subscription)| (&**filter, subscription))
    }

    /// Whether any subscription begins later than the session's cursor may stand.
    #[must_use]
    pub fn has_beginnings(&self) -> bool {
        self.with_beginning > 0
    }

    /// Whether any subscription leaves out the session's own messages.
    #[must_use]
    pub fn has_no_local(&self) -> bool {
        self.no_local > 0
    }

    /// The session's part of a message's route, beginnings respected. Walks all filters: only for
    /// sessions that [have beginnings](Self::has_beginnings) and are catching up.
    #[must_use]
    pub fn target(
        &self,
        session: SessionKey,
        topic: &str,
        at: (PartitionId, u64),
    ) -> Option<Target> {
        let begun = |s: &Subscription| s.since.as_ref().is_none_or(|from| from.get(at.0) <= at.1);
        let mut matching = self
            .by_filter
            .iter()
            .filter(|(filter, s)| begun(s) && topic::matches(filter, topic))
            .map(|(_, subscription)| subscription.grant);
        let mut target = Target::new(session, matching.next()?);
        matching.for_each(|grant| target.join(grant));
        Some(target)
    }
}

#[cfg(test)]
mod tests {
    use super::{Subscription, Subscriptions};
    use crate::id::PartitionId;
    use crate::qos::Qos;
    use crate::routing::grant::{Grant, SessionKey};
    use crate::session::cursor::Positions;

    const P: PartitionId = PartitionId(0);

    fn since(offset: u64) -> Option<Positions> {
        let mut positions = Positions::default();
        positions.advance(P, offset);
        Some(positions)
    }

    fn subscription(qos: Qos, since: Option<Positions>) -> Subscription {
        let grant = Grant { qos, no_local: false, retain_as_published: false, id: 0 };
        Subscription { grant, since }
    }

    #[test]
    fn a_late_subscription_does_not_reach_back_to_what_the_session_missed() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("a", subscription(Qos::AtLeastOnce, None));
        subscriptions.insert("b", subscription(Qos::AtLeastOnce, since(10)));
        let target = |topic, offset| subscriptions.target(SessionKey(0), topic, (P, offset));
        assert!(target("a", 9).is_some());
        assert!(target("b", 9).is_none());
        assert!(target("b", 10).is_some());
    }

    #[test]
    fn renewing_a_subscription_keeps_its_beginning_and_takes_the_new_grant() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("a", subscription(Qos::AtLeastOnce, None));
        let (now, is_new) = subscriptions.insert("a", subscription(Qos::ExactlyOnce, since(10)));
        assert_eq!((now, is_new), (subscription(Qos::ExactlyOnce, None), false));
        assert!(!subscriptions.has_beginnings());
        subscriptions.insert("b", subscription(Qos::AtLeastOnce, since(1)));
        assert!(subscriptions.has_beginnings());
        assert!(subscriptions.remove("b"));
        assert!(!subscriptions.has_beginnings());
    }
}
