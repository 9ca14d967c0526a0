//! `/api/v1/retained`: the messages that are kept for later subscribers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tidewire_proto::id::PartitionId;
use tidewire_proto::message::Message as Stored;
use tidewire_proto::qos::Qos;
use tidewire_proto::routing::rewrite::rewrite;
use tidewire_proto::topic::{TopicFilter, is_shared};
use tidewire_store::rows::retained;
use tidewire_store::{Commit, Stream, Table, TableChange};

use crate::broker::message::Message;
use crate::http::page::{CURSOR, LIMIT, Wanted, reading, rows, unreadable};
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json, part, query};
use crate::http::shape::{Shaped, view};
use crate::moment::rfc3339;

use super::bans::Removed;
use super::publish::refused;

/// So much of a payload is shown in a list.
const PREVIEW_BYTES: usize = 256;

view! {
    /// A retained message.
    RetainedMessage {
        /// Its topic.
        topic: String,
        /// Its payload as text, if it is text; in a list, as much as fits into 256 bytes.
        payload: Option<String>,
        /// Its payload in base64, if it is no text; cut as above.
        payload_base64: Option<String>,
        /// How large the whole payload is.
        payload_bytes: u64,
        /// 0, 1 or 2.
        qos: u16,
        /// When it came.
        received: String,
        /// Seconds after which nobody wants it any more, from when it came.
        expiry_s: Option<u32>,
        /// Who published it, if that is known.
        publisher: Option<String>,
        /// The stream that has it.
        stream: Option<String>,
        /// Its offset in its partition.
        offset: u64,
    }
}

view! {
    /// A page of retained messages.
    RetainedPage {
        /// By topic.
        items: Vec<RetainedMessage>,
        /// Where to go on.
        next: Option<String>,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/retained",
        role: Some(Role::Viewer),
        name: "listRetained",
        about: "Retained messages, by topic.",
        params: &[query("filter", "Only topics that match this filter."), LIMIT, CURSOR],
        body: None,
        answers: Answers::Json(RetainedPage::shape),
        run: |call| -> Doing { Box::pin(async move { json(&list(&call).await?) }) },
    },
    Route {
        verb: Verb::Get,
        path: "/api/v1/retained/{topic}",
        role: Some(Role::Viewer),
        name: "getRetained",
        about: "The retained message of a topic, whole.",
        params: &[part("topic", "The topic, with / as %2F.")],
        body: None,
        answers: Answers::Json(RetainedMessage::shape),
        run: |call| -> Doing { Box::pin(async move { json(&get(&call).await?) }) },
    },
    Route {
        verb: Verb::Delete,
        path: "/api/v1/retained/{topic}",
        role: Some(Role::Operator),
        name: "deleteRetained",
        about: "Clears the retained message of a topic, as an empty one that is published would; \
                one to whose topic nobody can publish, because of a rule that rewrites it, \
                without a word to subscribers.",
        params: &[part("topic", "The topic, with / as %2F.")],
        body: None,
        answers: Answers::Json(Removed::shape),
        run: |call| -> Doing { Box::pin(async move { json(&clear(&call).await?) }) },
    },
];

/// The filter that is said, if one is.
pub(super) fn filter_of(call: &Call) -> Result<Option<TopicFilter>, Problem> {
    let filter = call.query("filter").map(TopicFilter::parse).transpose();
    let filter = filter.map_err(|error| Problem::invalid(error.to_string()))?;
    if filter.as_ref().is_some_and(|filter| is_shared(filter.as_str())) {
        let detail = "no topic is a share group's: say the filter behind it alone";
        return Err(Problem::invalid(detail));
    }
    Ok(filter)
}

async fn list(call: &Call) -> Result<RetainedPage, Problem> {
    let wanted = Wanted::of(call)?;
    let filter = filter_of(call)?;
    reading(&call.site, move |inside| {
        let store = &inside.shared.store;
        let streams = store.streams();
        // What all of its topics begin with, they lie together by.
        let prefix = filter.as_ref().map_or("", |filter| fixed(filter.as_str()));
        let from = (!prefix.is_empty()).then_some(prefix.as_bytes());
        let to = from.and_then(behind);
        let bounds = (from, to.as_deref());
        let (items, next) = rows(store, Table::Retained, &wanted, bounds, &mut |key, row| {
            let topic = std::str::from_utf8(key).ok()?;
            let is_meant = filter.as_ref().is_none_or(|filter| filter.matches(topic));
            if is_meant { info(topic, row, &streams, PREVIEW_BYTES) } else { None }
        })?;
        Ok(RetainedPage { items, next })
    })
    .await
}

async fn get(call: &Call) -> Result<RetainedMessage, Problem> {
    let topic = call.part("topic").to_owned();
    reading(&call.site, move |inside| {
        let store = &inside.shared.store;
        let row = store.get(Table::Retained, topic.as_bytes());
        let row = row.map_err(|error| unreadable(&error))?;
        let found = row.and_then(|row| info(&topic, &row, &store.streams(), usize::MAX));
        found.ok_or_else(|| Problem::unknown("retained message of the topic", &topic))
    })
    .await
}

async fn clear(call: &Call) -> Result<Removed, Problem> {
    let topic = call.part("topic").to_owned();
    let asked = topic.clone();
    let removed = reading(&call.site, move |inside| {
        let row = inside.shared.store.get(Table::Retained, asked.as_bytes());
        row.map(|row| row.is_some()).map_err(|error| unreadable(&error))
    })
    .await?;
    let inside = call.site.inside()?;
    let written = rewrite(&inside.shared.rules.on_publish, &topic);
    if removed && written.is_some_and(|written| written != topic) {
        // An empty message would clear another topic.
        return unkeep(call, topic).await;
    }
    if removed {
        let empty = Message::new(topic, "").qos(Qos::AtLeastOnce).retained();
        let cleared = inside.publishing.publish(empty).await;
        cleared.map_err(|error| refused(&error))?;
    }
    Ok(Removed { removed })
}

/// Clears a topic without a message.
async fn unkeep(call: &Call, topic: String) -> Result<Removed, Problem> {
    reading(&call.site, move |inside| {
        let (store, kept) = (&inside.shared.store, &inside.shared.retained);
        // What takes nothing more is always granted.
        let claimed = kept.claim_ahead(&topic, None);
        let change = TableChange::new(Table::Retained, topic.as_bytes().into(), None).that_stays();
        let done = store.commit(Commit { appends: Vec::new(), changes: vec![change] });
        claimed.iter().for_each(|claimed| kept.settle(claimed, store, done.is_ok()));
        let failed = |error| Problem::unavailable(format!("it could not be cleared: {error}"));
        done.map(|_| Removed { removed: true }).map_err(failed)
    })
    .await
}

/// The part of a filter before its first wildcard.
fn fixed(filter: &str) -> &str {
    let end = filter.find(['+', '#']).unwrap_or(filter.len());
    let fixed = filter.get(..end).unwrap_or_default();
    // `a/#` means `a` too.
    if filter.ends_with("/#") { fixed.strip_suffix('/').unwrap_or(fixed) } else { fixed }
}

/// The first key behind all that begin so.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end)
}

fn info(topic: &str, row: &[u8], streams: &[Stream], bytes_max: usize) -> Option<RetainedMessage> {
    let (place, batch) = retained::decode(row).ok()?;
    let record = batch.records().next()?;
    let message = Stored::of(&record)?;
    let shown = message.payload.get(..bytes_max).unwrap_or(message.payload);
    let text = readable(shown, shown.len() < message.payload.len());
    let coded = text.is_none().then(|| STANDARD.encode(shown));
    Some(RetainedMessage {
        topic: topic.into(),
        payload: text,
        payload_base64: coded,
        payload_bytes: message.payload.len() as u64,
        qos: u16::from(message.qos.bits()),
        received: rfc3339(message.received_ms),
        expiry_s: message.expiry_s,
        publisher: message.origin.map(str::to_owned),
        stream: stream_of(streams, place.partition),
        offset: place.offset,
    })
}

/// Text, of which the last character may have been cut.
fn readable(bytes: &[u8], is_cut: bool) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.into()),
        Err(error) if is_cut && error.error_len().is_none() => {
            let whole = bytes.get(..error.valid_up_to())?;
            std::str::from_utf8(whole).ok().map(str::to_owned)
        }
        Err(_) => None,
    }
}

fn stream_of(streams: &[Stream], partition: PartitionId) -> Option<String> {
    let stream = streams.iter().find(|stream| stream.partitions.contains(&partition));
    stream.map(|stream| stream.name.clone())
}

#[cfg(test)]
mod tests {
    use super::{behind, fixed, readable};

    #[test]
    fn the_topics_of_a_filter_lie_behind_what_they_begin_with() {
        for (filter, expected) in
            [("a/b", "a/b"), ("a/+/c", "a/"), ("a/#", "a"), ("#", ""), ("+/a", "")]
        {
            assert_eq!(fixed(filter), expected, "{filter}");
        }
        assert_eq!(behind(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(behind(&[0xff]), None);
    }

    #[test]
    fn text_that_is_cut_within_a_character_is_text() {
        assert_eq!(readable("gr\u{fc}n".as_bytes(), false).as_deref(), Some("gr\u{fc}n"));
        assert_eq!(readable(&[b'g', 0xc3], true).as_deref(), Some("g"));
        assert_eq!(readable(&[b'g', 0xc3], false), None);
        assert_eq!(readable(&[0xff], true), None);
    }
}
