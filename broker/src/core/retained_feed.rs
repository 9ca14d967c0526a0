//! The greeting of a new subscription: its retained messages, page by page, as room appears.

use std::ops::{Bound, ControlFlow};

use tidewire_proto::message::Message;
use tidewire_proto::routing::grant::{SessionKey, Target};
use tidewire_proto::topic;
use tidewire_proto::topic_walk::next_candidate;
use tidewire_store::rows::retained;
use tidewire_store::{ReadError, Table};

use crate::core::dispatch::{Sent, Way};
use crate::core::looks::LOOKS_OF_A_SEARCH;
use crate::core::open::{ConnId, RetainedFeed};
use crate::core::state::Core;

/// Bytes of retained messages that are taken from the table in one go, and one message more.
const RETAINED_BYTES_MAX: usize = 64 * 1024;
/// Rows in a row that may miss before the walk jumps: a jump costs more than a few steps.
const MISSES_MAX: usize = 4;

/// A topic and the row of its retained message.
type RetainedBytes = (Box<[u8]>, Vec<u8>);

/// Stretches of the table that one session may look at before others get their turn.
const STRETCHES_MAX: usize = 256;

/// Rows that match.
#[derive(Default)]
struct Page {
    rows: Vec<RetainedBytes>,
    bytes: usize,
}

/// Why a page ends.
enum PageEnd {
    Full,
    /// Nothing is left.
    Last,
    /// Enough was looked at for now; where to go on.
    Paused(String),
}

impl Core {
    /// Sends retained messages of new subscriptions. False when room ran out.
    pub(crate) fn feed_retained(&mut self, id: ConnId) -> bool {
        let mut budget = STRETCHES_MAX;
        loop {
            let Some(open) = self.open(id) else { return false };
            if budget == 0 && !open.feeds.is_empty() {
                self.feed_soon(id);
                return false;
            }
            let Some(mut feed) = open.feeds.pop_front() else {
                // Most never have another: the room of some hundred bytes would be kept for it.
                open.feeds.shrink_to_fit();
                return true;
            };
            let is_done = (feed.edition.is_some()
                || self.feed_retained_page(id, &mut feed, &mut budget))
                && self.feed_edition(id, &mut feed);
            if !is_done {
                let Some(open) = self.open(id) else { return false };
                open.feeds.push_front(feed);
                return false;
            }
        }
    }

    fn feed_retained_page(
        &mut self,
        id: ConnId,
        feed: &mut RetainedFeed,
        budget: &mut usize,
    ) -> bool {
        loop {
            let before = *budget;
            let (page, end) = self.retained_rows(feed, budget);
            self.scratch.looks.spend((before - *budget) * LOOKS_OF_A_SEARCH);
            for (topic, row) in page.rows {
                if self.feed_retained_row(id, feed, &row) == Sent::NoRoom {
                    return false;
                }
                (feed.after, feed.from) = (Some(topic), None);
            }
            match end {
                PageEnd::Full => (),
                PageEnd::Last => return true,
                PageEnd::Paused(next) => {
                    feed.from = Some(next.into_bytes().into());
                    self.feed_soon(id);
                    return false;
                }
            }
        }
    }

    fn feed_retained_row(&mut self, id: ConnId, feed: &RetainedFeed, row: &[u8]) -> Sent {
        let Ok((place, batch)) = retained::decode(row) else {
            tracing::error!("a row of the retained table is damaged");
            return Sent::Skipped;
        };
        // From here on the message reaches the session as a live one.
        if place.offset >= feed.since.get(place.partition) {
            return Sent::Skipped;
        }
        let target = Target::new(SessionKey(id.key), feed.grant);
        let record = batch.records().next();
        let Some(message) = record.as_ref().and_then(Message::of) else { return Sent::Skipped };
        self.scratch.templates.used = 0;
        self.deliver(id, &target, &message, Some(place), Way::Retained)
    }

    /// Some of the rows that a feed still has to look at, those that match, and why no more.
    fn retained_rows(&self, feed: &RetainedFeed, budget: &mut usize) -> (Page, PageEnd) {
        let mut page = Page::default();
        let mut from = match (&feed.from, &feed.after) {
            (Some(from), _) => Bound::Included(from.to_vec()),
            (None, Some(after)) => Bound::Excluded(after.to_vec()),
            (None, None) => Bound::Included(literal_start(&feed.filter).into()),
        };
        loop {
            *budget = budget.saturating_sub(1);
            match self.retained_stretch(&feed.filter, from, &mut page) {
                Ok(Some(next)) if *budget == 0 => return (page, PageEnd::Paused(next)),
                Ok(Some(next)) => from = Bound::Included(next.into()),
                Ok(None) if page.bytes >= RETAINED_BYTES_MAX => return (page, PageEnd::Full),
                Ok(None) => return (page, PageEnd::Last),
                Err(error) => {
                    let filter = &*feed.filter;
                    tracing::error!(%error, filter, "retained messages cannot be read");
                    return (page, PageEnd::Last);
                }
            }
        }
    }

    /// Walks rows until too many miss: then the answer is where to go on. `None` when the page is
    /// full or nothing is left.
    fn retained_stretch(
        &self,
        filter: &str,
        from: Bound<Vec<u8>>,
        page: &mut Page,
    ) -> Result<Option<String>, ReadError> {
        let (mut misses, mut next) = (0, None);
        let from = from.as_ref().map(Vec::as_slice);
        let visit = &mut |key: &[u8], row: &[u8]| {
            let Ok(topic) = std::str::from_utf8(key) else { return ControlFlow::Continue(()) };
            if topic::matches(filter, topic) {
                misses = 0;
                page.bytes += key.len() + row.len();
                page.rows.push((key.into(), row.to_vec()));
                let is_full = page.bytes >= RETAINED_BYTES_MAX;
                return if is_full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
            }
            misses += 1;
            if misses < MISSES_MAX {
                return ControlFlow::Continue(());
            }
            next = next_candidate(filter, topic);
            ControlFlow::Break(())
        };
        self.shared.store.scan(Table::Retained, from, Bound::Unbounded, visit)?;
        Ok(next)
    }
}

/// No topic that matches lies before this.
fn literal_start(filter: &str) -> &str {
    let end = filter.find(['+', '#']).unwrap_or(filter.len());
    let start = &filter[..end];
    // `a/#` matches `a` too.
    if filter[end..].starts_with('#') { start.strip_suffix('/').unwrap_or(start) } else { start }
}

#[cfg(test)]
mod tests {
    use super::literal_start;
    use crate::core::alone::Alone;

    #[test]
    fn who_got_the_retained_messages_of_its_subscription_keeps_no_room_for_more() {
        let mut alone = Alone::new(|_| ());
        let client = alone.connect("client");
        alone.settle();
        alone.say(client, 0x82, b"\x00\x01\x00\x00\x01a\x01");
        assert!(alone.core.open(client).expect("it is here").subscriptions.contains("a"));
        alone.rest();
        assert_eq!(alone.core.open(client).expect("it is here").feeds.capacity(), 0);
    }

    #[test]
    fn every_matching_topic_begins_with_the_literal_start() {
        for (filter, prefix) in
            [("a/b", "a/b"), ("a/+/c", "a/"), ("a/#", "a"), ("#", ""), ("+/a", ""), ("/#", "")]
        {
            assert_eq!(literal_start(filter), prefix, "{filter}");
        }
    }
}
