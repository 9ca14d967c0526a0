//! What the broker says of itself under `$SYS`, as it said it last, and where cores ask for more.
//! Makes none of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tidewire_proto::message::Published;
use tidewire_proto::mqtt::Properties;
use tidewire_proto::qos::Qos;
use tidewire_proto::record::{Batch, BatchBuilder};
use tokio::sync::Notify;

/// Before which everything of the broker itself stands.
pub(crate) const ROOT: &str = "$SYS";

/// What all topics say at one time.
#[derive(Debug)]
pub(crate) struct Edition {
    /// Topic and payload of each.
    said: Vec<(String, String)>,
    /// The same as messages.
    pub(crate) batch: Batch,
}

impl Edition {
    pub(crate) fn new(said: Vec<(String, String)>, now_ms: i64) -> Self {
        let batch = said.iter().map(|(topic, payload)| (&**topic, &**payload));
        let batch = messages(batch, true, now_ms);
        Self { said, batch }
    }

    /// What is different from another one.
    pub(crate) fn news_since(&self, other: &Self, now_ms: i64) -> Option<Batch> {
        let is_known = |one: &(String, String)| other.said.contains(one);
        let mut news = self.said.iter().filter(|one| !is_known(one)).peekable();
        news.peek()?;
        let news = news.map(|(topic, payload)| (&**topic, &**payload));
        Some(messages(news, true, now_ms))
    }
}

/// Messages at QoS 0.
pub(crate) fn messages<'a>(
    said: impl Iterator<Item = (&'a str, &'a str)>,
    retain: bool,
    now_ms: i64,
) -> Batch {
    let mut batch = BatchBuilder::new();
    for (topic, payload) in said {
        let payload = payload.as_bytes();
        let (qos, properties) = (Qos::AtMostOnce, Properties::EMPTY);
        let message = Published { topic, payload, qos, retain, properties, origin: None };
        message.push_to(&mut batch, now_ms);
    }
    batch.finish()
}

/// Where the cores look.
#[derive(Debug)]
pub(crate) struct SystemDesk {
    /// How often it is said; none: nothing is.
    pub(crate) interval: Option<Duration>,
    newest: Mutex<Option<(Arc<Edition>, Instant)>>,
    /// Somebody waits for an edition.
    pub(crate) asked: Notify,
}

impl SystemDesk {
    /// 0: nothing is said.
    pub(crate) fn new(interval_s: u16) -> Self {
        let interval = (interval_s > 0).then(|| Duration::from_secs(interval_s.into()));
        Self { interval, newest: Mutex::default(), asked: Notify::new() }
    }

    /// The newest edition, unless it is stale.
    pub(crate) fn newest(&self) -> Option<Arc<Edition>> {
        let newest = self.newest.lock();
        let fresh = newest.as_ref().filter(|(_, stale_at)| Instant::now() < *stale_at);
        fresh.map(|(edition, _)| Arc::clone(edition))
    }

    /// The newest edition, if somebody may have found it within so long a time.
    pub(crate) fn shown_lately(&self, within: Duration) -> Option<Arc<Edition>> {
        let newest = self.newest.lock();
        let lately = newest.as_ref().filter(|(_, stale_at)| Instant::now() < *stale_at + within);
        lately.map(|(edition, _)| Arc::clone(edition))
    }

    /// This is the newest one, for so long.
    pub(crate) fn put(&self, edition: Arc<Edition>, for_: Duration) {
        *self.newest.lock() = Some((edition, Instant::now() + for_));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tidewire_proto::message::Message;

    use super::{Edition, SystemDesk};

    fn edition(said: &[(&str, &str)]) -> Edition {
        let said = said.iter().map(|(topic, text)| ((*topic).into(), (*text).into()));
        Edition::new(said.collect(), 7)
    }

    #[test]
    fn only_what_is_different_is_news() {
        let old = edition(&[("$SYS/a", "1"), ("$SYS/b", "1")]);
        let new = edition(&[("$SYS/a", "1"), ("$SYS/b", "2"), ("$SYS/c", "1")]);
        assert!(old.news_since(&old, 7).is_none());
        let news = new.news_since(&old, 7).expect("there is some");
        let topics: Vec<String> = news
            .records()
            .filter_map(|record| Message::of(&record).map(|message| message.topic.to_owned()))
            .collect();
        assert_eq!(topics, ["$SYS/b", "$SYS/c"]);
    }

    #[test]
    fn a_stale_edition_is_not_shown() {
        let desk = SystemDesk::new(10);
        assert!(desk.newest().is_none());
        desk.put(Arc::new(edition(&[])), Duration::from_secs(600));
        assert!(desk.newest().is_some());
        desk.put(Arc::new(edition(&[])), Duration::ZERO);
        assert!(desk.newest().is_none());
        assert!(desk.shown_lately(Duration::from_secs(600)).is_some());
        assert!(desk.shown_lately(Duration::ZERO).is_none());
        assert_eq!(SystemDesk::new(0).interval, None);
    }
}
