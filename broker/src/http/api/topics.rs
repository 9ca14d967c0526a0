//! `/api/v1/topics`: which topics there are, and what came at each.

use std::sync::Arc;

use axum::http::StatusCode;
use tidewire_store::{Store, Table};

use crate::http::page::{CURSOR, LIMIT, Wanted, cursor, reading, unreadable};
use crate::http::problem::Problem;
use crate::http::role::Role;
use crate::http::route::{Answers, Call, Doing, Route, Verb, json, query};
use crate::http::shape::{Shaped, view};
use crate::moment::rfc3339;
use crate::topic_census::{Asked, Branch, Extent};
use crate::wall_clock::wall_clock_ms;

use super::retained::filter_of;

/// No topic has more levels.
const DEPTH_MAX: usize = 65_536;

view! {
    /// A topic, or all topics with the same beginning.
    TopicInfo {
        /// The topic. Of a branch, what its topics begin with: put a / behind it, and it is the
        /// `prefix` that shows what is in it.
        topic: String,
        /// Whether it stands for topics below it, too.
        branch: bool,
        /// How many topics it stands for.
        topics: u64,
        /// How many messages came.
        messages: u64,
        /// The bytes of their payloads.
        bytes: u64,
        /// When the last one came; null: before anything was counted.
        last: Option<String>,
        /// Whether a message is retained at this very topic.
        retained: bool,
    }
}

view! {
    /// Topics that had to go, to stay within `topics.count_max`.
    OtherTopics {
        /// How many; one that came back and had to go again counts again.
        topics: u64,
        /// How many messages came at them.
        messages: u64,
        /// The bytes of their payloads.
        bytes: u64,
    }
}

view! {
    /// How much was counted, and how much was not.
    TopicCount {
        /// When the oldest message came that was counted.
        since: String,
        /// Topics that are known.
        topics: u64,
        /// So many may be, `topics.count_max`.
        topics_max: u32,
        /// Those that are not shown.
        others: OtherTopics,
        /// Records that were passed over: too many had come since somebody asked.
        skipped: u64,
        /// Records that were not looked at yet: ask again.
        waiting: u64,
    }
}

view! {
    /// A page of topics.
    TopicPage {
        /// In the order of their levels. None is in another one: their numbers add up.
        items: Vec<TopicInfo>,
        /// Where to go on.
        next: Option<String>,
        /// What the numbers are of.
        counted: TopicCount,
    }
}

pub(in crate::http) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/api/v1/topics",
    role: Some(Role::Viewer),
    name: "listTopics",
    about: "Topics with what came at them, in the order of their levels. The first page reads on \
            in the log: at most 2,000,000 records, the newest.",
    params: &[
        query("prefix", "Only this topic and those below it, such as site/1 or site/1/."),
        query("depth", "Topics more levels below the prefix are summed, level by level."),
        query("filter", "Only topics that match this filter."),
        LIMIT,
        CURSOR,
    ],
    body: None,
    answers: Answers::Json(TopicPage::shape),
    run: |call| -> Doing { Box::pin(async move { json(&list(&call).await?) }) },
}];

async fn list(call: &Call) -> Result<TopicPage, Problem> {
    let wanted = Wanted::of(call)?;
    let asked = asked(call)?;
    let site = Arc::clone(&call.site);
    reading(&call.site, move |inside| {
        let (store, census) = (&inside.shared.store, &site.topics);
        let topics_max = inside.in_force.topics.count_max;
        if topics_max == 0 {
            census.forget();
            let detail = "topics are not counted: topics.count_max is 0";
            return Err(Problem::new(StatusCode::NOT_FOUND, "not_counted", detail));
        }
        // Pages of one list are of one count.
        if wanted.after.is_none() {
            let caught_up = census.catch_up(store, topics_max, wall_clock_ms());
            caught_up.map_err(|error| unreadable(&error))?;
        }
        let ((branches, next), extent) = census.page(&asked, wanted.after.as_deref(), wanted.limit);
        let items: Result<Vec<_>, _> = branches.iter().map(|one| info(one, store)).collect();
        let next = next.map(|next| cursor(&next));
        Ok(TopicPage { items: items?, next, counted: count(&extent, topics_max) })
    })
    .await
}

fn asked(call: &Call) -> Result<Asked, Problem> {
    let depth = call.number("depth")?;
    if depth.is_some_and(|depth| !(1..=DEPTH_MAX).contains(&depth)) {
        return Err(Problem::invalid(format!("depth is from 1 to {DEPTH_MAX}")));
    }
    let prefix = call.query("prefix").and_then(under).map(str::to_owned);
    Ok(Asked { prefix, depth, filter: filter_of(call)? })
}

/// Below which topic: a / at its end is that of its levels, so `a//` is below `a/`.
fn under(prefix: &str) -> Option<&str> {
    let topic = prefix.strip_suffix('/').unwrap_or(prefix);
    (!prefix.is_empty()).then_some(topic)
}

fn info(branch: &Branch, store: &Store) -> Result<TopicInfo, Problem> {
    let kept = store.get(Table::Retained, branch.topic.as_bytes());
    let heard = &branch.heard;
    Ok(TopicInfo {
        topic: branch.topic.clone(),
        branch: branch.is_branch,
        topics: branch.topics,
        messages: heard.messages,
        bytes: heard.bytes,
        last: heard.last_ms.map(rfc3339),
        retained: kept.map_err(|error| unreadable(&error))?.is_some(),
    })
}

fn count(extent: &Extent, topics_max: u32) -> TopicCount {
    let others = &extent.others;
    TopicCount {
        since: rfc3339(extent.since_ms),
        topics: extent.topics,
        topics_max,
        others: OtherTopics {
            topics: others.topics,
            messages: others.messages,
            bytes: others.bytes,
        },
        skipped: extent.skipped,
        waiting: extent.waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::under;

    #[test]
    fn what_a_topic_and_a_slash_name_is_below_it() {
        for (prefix, expected) in [
            ("", None),
            ("a", Some("a")),
            ("a/", Some("a")),
            ("a//", Some("a/")),
            ("/", Some("")),
            ("/a/", Some("/a")),
        ] {
            assert_eq!(under(prefix), expected, "{prefix:?}");
        }
    }
}
