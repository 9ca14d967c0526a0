//! The greeting of a new subscription to `$SYS`: what the broker says of itself, as retained
//! messages. Makes none of it.

use std::sync::Arc;

use tidewire_proto::message::Message;
use tidewire_proto::routing::grant::{SessionKey, Target};
use tidewire_proto::topic;

use crate::core::dispatch::{Sent, Way};
use crate::core::greeting::Greeting;
use crate::core::open::{ConnId, RetainedFeed};
use crate::core::publish::is_ours;
use crate::core::state::Core;
use crate::system_topics::desk::{Edition, ROOT};

impl Core {
    /// Whether anybody here subscribes to anything of it.
    pub(crate) fn has_system_readers(&self) -> bool {
        self.trie.begins_with(ROOT)
    }

    /// What comes behind the retained messages of the table. False when room ran out.
    pub(crate) fn feed_edition(&mut self, id: ConnId, feed: &mut RetainedFeed) -> bool {
        if !is_ours(&feed.filter) || self.shared.system.interval.is_none() {
            return true;
        }
        let known = feed.edition.take().or_else(|| Some((self.shared.system.newest()?, 0)));
        let Some((edition, from)) = known else {
            let (filter, grant) = (feed.filter.clone(), feed.grant);
            self.greetings.push(Greeting { conn: id, filter, grant });
            self.shared.system.asked.notify_one();
            return true;
        };
        let target = Target::new(SessionKey(id.key), feed.grant);
        for (place, record) in edition.batch.records().enumerate().skip(from) {
            let message = Message::of(&record);
            let Some(message) = message.filter(|it| topic::matches(&feed.filter, it.topic)) else {
                continue;
            };
            self.scratch.templates.used = 0;
            if self.deliver(id, &target, &message, None, Way::Retained) == Sent::NoRoom {
                feed.edition = Some((Arc::clone(&edition), place));
                return false;
            }
        }
        true
    }

    /// An edition for those who wait for one.
    pub(crate) fn on_edition(&mut self, edition: &Arc<Edition>) {
        for Greeting { conn, filter, grant } in std::mem::take(&mut self.greetings) {
            let since = self.positions.clone();
            let Some(open) = self.open(conn) else { continue };
            if !open.subscriptions.contains(&filter) {
                continue;
            }
            let edition = Some((Arc::clone(edition), 0));
            let (after, from) = (None, None);
            open.feeds.push_back(RetainedFeed { filter, grant, since, after, from, edition });
            self.feed(conn);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use crate::core::alone::Alone;
    use crate::core::inbox::Event;
    use crate::system_topics::desk::Edition;

    const SUBSCRIBE: u8 = 0x82;
    /// To `$SYS/#`, and to `#`.
    const TO_SYSTEM: &[u8] = b"\x00\x01\x00\x00\x06$SYS/#\x01";
    const TO_ALL: &[u8] = b"\x00\x01\x00\x00\x01#\x01";

    fn edition(payload: &str) -> Arc<Edition> {
        Arc::new(Edition::new(vec![("$SYS/broker/x".into(), payload.into())], 7))
    }

    fn says(heard: &[u8], payload: &str) -> bool {
        heard.windows(payload.len()).any(|window| window == payload.as_bytes())
    }

    #[test]
    fn who_subscribes_is_told_at_once_if_there_is_something_and_else_when_there_is() {
        let mut alone = Alone::new(|_| ());
        let id = alone.connect("client");
        alone.settle();
        assert!(!alone.core.has_system_readers());
        alone.say(id, SUBSCRIBE, TO_SYSTEM);
        alone.settle();
        assert!(alone.core.has_system_readers());
        assert!(!says(&alone.heard(id), "first"));
        alone.core.on_event(Event::System(edition("first"), None));
        alone.settle();
        let heard = alone.heard(id);
        assert!(says(&heard, "first") && heard.first() == Some(&0x31), "{heard:02x?}");
        alone.core.on_event(Event::System(edition("first"), None));
        alone.settle();
        assert!(alone.heard(id).is_empty(), "it was told");
        alone.core.shared.system.put(edition("second"), Duration::from_secs(600));
        alone.say(id, SUBSCRIBE, TO_SYSTEM);
        alone.settle();
        assert!(says(&alone.heard(id), "second"));
    }

    #[test]
    fn who_waits_when_there_is_news_hears_all_as_retained_and_the_news_once() {
        let mut alone = Alone::new(|_| ());
        let id = alone.connect("client");
        alone.settle();
        alone.say(id, SUBSCRIBE, TO_SYSTEM);
        alone.settle();
        alone.heard(id);
        let news: Arc<[_]> = Arc::new([edition("second").batch.clone()]);
        alone.core.on_event(Event::System(edition("first"), Some(news)));
        alone.core.on_event(Event::System(edition("second"), None));
        alone.settle();
        let heard = alone.heard(id);
        let at = |text: &str| -> Vec<usize> {
            let places = heard.windows(text.len()).enumerate();
            places.filter(|(_, it)| *it == text.as_bytes()).map(|(at, _)| at).collect()
        };
        assert_eq!(heard.first(), Some(&0x31), "{heard:02x?}");
        let (first, second) = (at("first"), at("second"));
        assert!(first.len() == 1 && second.len() == 1 && first < second, "{first:?} {second:?}");
    }

    #[test]
    fn a_wildcard_does_not_lead_there() {
        let mut alone = Alone::new(|_| ());
        let id = alone.connect("client");
        alone.core.shared.system.put(edition("secret"), Duration::from_secs(600));
        alone.say(id, SUBSCRIBE, TO_ALL);
        alone.settle();
        assert!(!alone.core.has_system_readers());
        assert!(!says(&alone.heard(id), "secret"));
    }

    #[test]
    fn where_nothing_is_said_nobody_waits() {
        let mut alone = Alone::new(|config| config.system.sys_interval_s = 0);
        let id = alone.connect("client");
        alone.say(id, SUBSCRIBE, TO_SYSTEM);
        alone.settle();
        assert!(alone.core.greetings.is_empty());
    }
}
