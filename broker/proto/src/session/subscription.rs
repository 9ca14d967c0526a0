//! What a session subscribes. The trie of its core holds the same while it is connected.

use std::ops::Bound;

use crate::id::PartitionId;
use crate::routing::grant::{Grant, SessionKey, Target};
use crate::session::cursor::Positions;
use crate::session::few::Few;
use crate::topic;

/// One subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// What it grants.
    pub grant: Grant,
    /// Where it begins, when it was made while the session lagged behind: what lies before was
    /// published before this subscription.
    pub since: Option<Positions>,
    /// It began in the past and has not caught up: messages at QoS 0 come from the log too.
    pub is_replay: bool,
    /// A rule made its filter of another one, which the client had asked for.
    pub is_rewritten: bool,
    /// No other session may have one at this very filter by the same name.
    pub is_exclusive: bool,
}

/// All subscriptions of one session, by filter.
#[derive(Debug, Default)]
pub struct Subscriptions {
    by_filter: Few<Subscription>,
    with_beginning: u32,
    replays: u32,
    no_local: u32,
    filter_bytes: usize,
}

impl Subscriptions {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_filter.len()
    }

    /// How long all filters are together.
    #[must_use]
    pub fn filter_bytes(&self) -> usize {
        self.filter_bytes
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.by_filter.is_empty()
    }

    /// Whether there is one at this very filter.
    #[must_use]
    pub fn contains(&self, filter: &str) -> bool {
        self.by_filter.contains(filter)
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
        let is_replay = old.is_some_and(|old| old.is_replay);
        let in_force = Subscription { since, is_replay, ..new };
        self.put(filter, in_force.clone());
        (in_force, is_new)
    }

    /// Takes up what was stored.
    pub fn restore(&mut self, filter: &str, stored: Subscription) {
        self.put(filter, stored);
    }

    fn put(&mut self, filter: &str, subscription: Subscription) {
        self.count_out(filter);
        self.with_beginning += u32::from(subscription.since.is_some());
        self.replays += u32::from(subscription.is_replay);
        self.no_local += u32::from(subscription.grant.no_local);
        self.filter_bytes += filter.len();
        self.by_filter.insert(filter, subscription);
    }

    /// A subscription begins anew at `start`, in the past, and the session goes back for it from
    /// where it `stood`: the others must not see again what they have seen.
    pub fn replay(&mut self, filter: &str, start: Positions, stood: &Positions) {
        let others = self.by_filter.iter().filter(|(other, _)| *other != filter);
        let filters: Vec<Box<str>> = others.map(|(other, _)| other.into()).collect();
        for other in filters {
            let Some(mut subscription) = self.by_filter.get(&other).cloned() else { continue };
            let mut since = subscription.since.take().unwrap_or_default();
            since.advance_to(stood);
            subscription.since = Some(since);
            self.put(&other, subscription);
        }
        if let Some(mut subscription) = self.by_filter.get(filter).cloned() {
            subscription.since = Some(start);
            subscription.is_replay = true;
            self.put(filter, subscription);
        }
    }

    /// What is live waits for what a replay brings first.
    pub fn hold_live(&mut self, filter: &str) {
        if let Some(mut subscription) = self.by_filter.get(filter).cloned() {
            subscription.is_replay = true;
            self.put(filter, subscription);
        }
    }

    /// The session has caught up: beginnings lie behind it. Answers which subscriptions were
    /// replayed until now.
    pub fn caught_up(&mut self) -> Vec<Box<str>> {
        let mut replayed = Vec::new();
        for (filter, subscription) in self.by_filter.iter_mut() {
            subscription.since = None;
            if std::mem::take(&mut subscription.is_replay) {
                replayed.push(filter.into());
            }
        }
        (self.with_beginning, self.replays) = (0, 0);
        replayed
    }

    /// Whether any subscription is being replayed.
    #[must_use]
    pub fn has_replays(&self) -> bool {
        self.replays > 0
    }

    /// Whether [`target`](Self::target) or [`replay_target`](Self::replay_target), which walk all
    /// filters, are to be asked for messages from the log.
    #[must_use]
    pub fn walks_filters(&self) -> bool {
        self.has_beginnings() || self.has_replays()
    }

    /// Whether messages on this topic reach the session from the log, also at QoS 0.
    #[must_use]
    pub fn is_replaying(&self, topic: &str) -> bool {
        let mut replays = self.by_filter.iter().filter(|(_, s)| s.is_replay);
        self.has_replays() && replays.any(|(filter, _)| topic::matches(filter, topic))
    }

    /// The only filter that has begun at this place, and the offset at which others begin too.
    #[must_use]
    pub fn only_one_at(&self, partition: PartitionId, offset: u64) -> Option<(&str, u64)> {
        let (mut only, mut until) = (None, u64::MAX);
        for (filter, subscription) in self.by_filter.iter() {
            let begins = subscription.since.as_ref().map_or(0, |since| since.get(partition));
            if topic::is_shared(filter) {
                continue;
            }
            if begins > offset {
                until = until.min(begins);
            } else if only.replace(filter).is_some() {
                return None;
            }
        }
        only.map(|filter| (filter, until))
    }

    /// Takes one away. False when there was none.
    pub fn remove(&mut self, filter: &str) -> bool {
        self.count_out(filter);
        self.by_filter.remove(filter).is_some()
    }

    fn count_out(&mut self, filter: &str) {
        if let Some(old) = self.by_filter.get(filter) {
            self.with_beginning -= u32::from(old.since.is_some());
            self.replays -= u32::from(old.is_replay);
            self.no_local -= u32::from(old.grant.no_local);
            self.filter_bytes -= filter.len();
        }
    }

    /// Those from a filter on, in the order of their filters.
    pub fn range(&self, from: Bound<&str>) -> impl Iterator<Item = (&str, &Subscription)> {
        self.by_filter.range(from)
    }

    /// Filters and what they grant.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Subscription)> {
        self.by_filter.iter()
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
        self.target_of(session, topic, at, |_| true)
    }

    /// The same, of subscriptions that are being replayed.
    #[must_use]
    pub fn replay_target(
        &self,
        session: SessionKey,
        topic: &str,
        at: (PartitionId, u64),
    ) -> Option<Target> {
        self.target_of(session, topic, at, |subscription| subscription.is_replay)
    }

    /// Whether a message is for a subscription that is not being replayed.
    #[must_use]
    pub fn has_come_to(&self, topic: &str, at: (PartitionId, u64)) -> bool {
        self.target_of(SessionKey(0), topic, at, |subscription| !subscription.is_replay).is_some()
    }

    fn target_of(
        &self,
        session: SessionKey,
        topic: &str,
        at: (PartitionId, u64),
        counts: impl Fn(&Subscription) -> bool,
    ) -> Option<Target> {
        let begun = |s: &Subscription| s.since.as_ref().is_none_or(|from| from.get(at.0) <= at.1);
        let mut matching = self
            .by_filter
            .iter()
            .filter(|(filter, s)| counts(s) && begun(s) && topic::matches(filter, topic))
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
        Subscription { grant, since, is_replay: false, is_rewritten: false, is_exclusive: false }
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

    #[test]
    fn a_replay_begins_in_the_past_and_the_others_where_the_session_stood() {
        let mut subscriptions = Subscriptions::default();
        subscriptions.insert("a", subscription(Qos::AtLeastOnce, None));
        subscriptions.insert("b", subscription(Qos::AtMostOnce, None));
        let (start, stood) = (since(3).expect("some"), since(10).expect("some"));
        subscriptions.replay("b", start, &stood);
        let target = |topic, offset| subscriptions.target(SessionKey(0), topic, (P, offset));
        assert!(target("b", 2).is_none() && target("b", 3).is_some());
        assert!(target("a", 9).is_none() && target("a", 10).is_some());
        assert!(!subscriptions.has_come_to("b", (P, 10)), "it is replayed");
        assert!(!subscriptions.has_come_to("a", (P, 9)) && subscriptions.has_come_to("a", (P, 10)));
        assert!(subscriptions.is_replaying("b") && !subscriptions.is_replaying("a"));
        assert_eq!(subscriptions.only_one_at(P, 3), Some(("b", 10)));
        assert_eq!(subscriptions.only_one_at(P, 10), None);
        assert_eq!(subscriptions.caught_up(), ["b".into()]);
        assert!(!subscriptions.has_beginnings() && !subscriptions.is_replaying("b"));
    }
}
