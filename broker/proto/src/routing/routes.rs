//! Answers of the trie, kept: a topic is matched once until the subscriptions change.

use std::rc::Rc;

use ahash::AHashMap;

use crate::routing::grant::{Grant, SessionKey, Target};
use crate::routing::trie::Trie;

/// About how many bytes of routes are kept at a time. Beyond it the memory starts anew.
pub const ROUTES_KEPT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What an entry takes besides its topic and targets.
const ENTRY_BYTES: usize = 64;

/// Who gets a topic: one target per session, in the order of the keys.
pub type Route = Rc<[Target]>;

/// The route of the topic before: messages of one topic often lie together.
#[derive(Debug, Default)]
pub struct LastRoute<'a> {
    known: Option<(&'a str, Route)>,
    generation: u64,
}

impl<'a> LastRoute<'a> {
    /// As [`Routes::find`], for one topic after the other.
    pub fn find(&mut self, routes: &mut Routes, trie: &Trie, topic: &'a str) -> Route {
        if let Some((known, route)) = &self.known
            && *known == topic
            && self.generation == trie.generation()
        {
            return Rc::clone(route);
        }
        let route = routes.find(trie, topic);
        self.generation = trie.generation();
        self.known = Some((topic, Rc::clone(&route)));
        route
    }
}

/// Routes by topic.
#[derive(Debug, Default)]
pub struct Routes {
    by_topic: AHashMap<Box<str>, Route>,
    bytes: usize,
    generation: u64,
    slots: AHashMap<SessionKey, usize>,
}

impl Routes {
    /// Who gets a message on this topic, as the trie stands now.
    pub fn find(&mut self, trie: &Trie, topic: &str) -> Route {
        if self.generation != trie.generation() || self.bytes >= ROUTES_KEPT_BYTES_MAX {
            self.by_topic.clear();
            self.bytes = 0;
            self.generation = trie.generation();
        }
        if let Some(route) = self.by_topic.get(topic) {
            return Rc::clone(route);
        }
        let route = self.matched(trie, topic);
        let target_bytes = size_of::<Target>() + size_of::<Grant>();
        self.bytes += ENTRY_BYTES + topic.len() + route.len() * target_bytes;
        self.by_topic.insert(topic.into(), Rc::clone(&route));
        route
    }

    /// The part of a route that is one session's.
    #[must_use]
    pub fn part_of(route: &[Target], session: SessionKey) -> Option<&Target> {
        let index = route.binary_search_by_key(&session, |target| target.session).ok()?;
        route.get(index)
    }

    fn matched(&mut self, trie: &Trie, topic: &str) -> Route {
        let mut targets: Vec<Target> = Vec::new();
        self.slots.clear();
        trie.visit(topic, |session, grant| match self.slots.get(&session) {
            Some(slot) => targets[*slot].join(*grant),
            None => {
                self.slots.insert(session, targets.len());
                targets.push(Target::new(session, *grant));
            }
        });
        targets.sort_unstable_by_key(|target| target.session);
        targets.into()
    }
}

#[cfg(test)]
mod tests {
    use super::{LastRoute, Routes};
    use crate::qos::Qos;
    use crate::routing::grant::{Grant, SessionKey};
    use crate::routing::trie::Trie;

    fn grant(qos: Qos) -> Grant {
        Grant { qos, no_local: false, retain_as_published: false, id: 0 }
    }

    #[test]
    fn a_session_with_overlapping_subscriptions_is_one_target() {
        let mut trie = Trie::default();
        trie.insert("a/+", SessionKey(1), grant(Qos::AtMostOnce));
        trie.insert("a/b", SessionKey(1), grant(Qos::ExactlyOnce));
        let route = Routes::default().find(&trie, "a/b");
        assert_eq!(route.len(), 1);
        assert_eq!(route[0].qos, Qos::ExactlyOnce);
    }

    #[test]
    fn the_route_of_the_topic_before_ends_with_the_next_change_of_subscriptions() {
        let (mut trie, mut routes) = (Trie::default(), Routes::default());
        let mut last = LastRoute::default();
        trie.insert("a", SessionKey(1), grant(Qos::AtMostOnce));
        let mut found = |trie: &Trie, topic| last.find(&mut routes, trie, topic).len();
        assert_eq!([found(&trie, "a"), found(&trie, "a"), found(&trie, "b")], [1, 1, 0]);
        trie.insert("b", SessionKey(2), grant(Qos::AtMostOnce));
        assert_eq!([found(&trie, "b"), found(&trie, "a")], [1, 1]);
        trie.remove("a", SessionKey(1));
        assert_eq!([found(&trie, "a"), found(&trie, "b")], [0, 1]);
    }

    #[test]
    fn a_kept_route_ends_with_the_next_change_of_subscriptions() {
        let mut trie = Trie::default();
        let mut routes = Routes::default();
        assert!(routes.find(&trie, "a/b").is_empty());
        trie.insert("a/b", SessionKey(1), grant(Qos::AtMostOnce));
        assert_eq!(routes.find(&trie, "a/b").len(), 1);
        trie.remove("a/b", SessionKey(1));
        assert!(routes.find(&trie, "a/b").is_empty());
    }

    #[test]
    fn kept_routes_are_bounded_by_what_they_hold() {
        let mut trie = Trie::default();
        for session in 0..10_000 {
            trie.insert("#", SessionKey(session), grant(Qos::AtMostOnce));
        }
        let mut routes = Routes::default();
        for topic in 0..200 {
            routes.find(&trie, &topic.to_string());
        }
        assert!(routes.by_topic.len() < 150, "{} routes are kept", routes.by_topic.len());
    }
}
