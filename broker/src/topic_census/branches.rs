//! Topics as they are shown: all of them, or summed below some level, by pages. Pure.

use std::ops::Bound;

use tidewire_proto::topic::TopicFilter;

use super::heard::Heard;
use super::known::{Known, key_of, topic_of};

/// Which topics, and how.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// This one and those below it.
    pub(crate) prefix: Option<String>,
    /// What is more levels below the prefix is summed; `None`: nothing is.
    pub(crate) depth: Option<usize>,
    /// Only those that match.
    pub(crate) filter: Option<TopicFilter>,
}

/// A topic, or several with the same beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) topic: String,
    /// Topics below it are in it.
    pub(crate) is_branch: bool,
    pub(crate) topics: u64,
    pub(crate) heard: Heard,
}

/// Some of them, and the key from which on the others are.
pub(crate) type Page = (Vec<Branch>, Option<Vec<u8>>);

/// As many as are wanted, from a key on.
pub(super) fn branches(known: &Known, asked: &Asked, from: Option<&[u8]>, limit: usize) -> Page {
    let prefix = asked.prefix.as_deref().map(key_of);
    // Behind the prefix comes nothing, or the next level.
    let end = prefix.as_ref().map(|prefix| [prefix, &[1][..]].concat());
    let start = from.max(prefix.as_deref()).unwrap_or_default();
    if end.as_deref().is_some_and(|end| start >= end) {
        return (Vec::new(), None);
    }
    let to = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let (mut found, mut newest): (Vec<Branch>, &[u8]) = (Vec::new(), &[]);
    for (key, heard) in known.range(Bound::Included(start), to) {
        if asked.filter.as_ref().is_some_and(|filter| !filter.matches(&topic_of(key))) {
            continue;
        }
        let node = key.get(..cut(key, prefix.as_deref(), asked.depth)).unwrap_or(key);
        let is_branch = node.len() < key.len();
        if let Some(branch) = found.last_mut()
            && node == newest
        {
            branch.is_branch |= is_branch;
            branch.topics += 1;
            branch.heard.add(heard);
            continue;
        }
        if found.len() >= limit {
            // Not the key: what comes below this one meanwhile may stand before it.
            return (found, Some(node.to_vec()));
        }
        newest = node;
        found.push(Branch { topic: topic_of(node), is_branch, topics: 1, heard: *heard });
    }
    (found, None)
}

/// Where a key ends when it has so many levels below the prefix.
fn cut(key: &[u8], prefix: Option<&[u8]>, depth: Option<usize>) -> usize {
    let Some(depth) = depth else { return key.len() };
    let begin = prefix.map_or(0, <[u8]>::len);
    // Behind a prefix stands a separator before its first level.
    let separators = if prefix.is_some() { depth } else { depth.saturating_sub(1) };
    let rest = key.get(begin..).unwrap_or_default();
    let mut places = rest.iter().enumerate().filter(|(_, byte)| **byte == 0);
    places.nth(separators).map_or(key.len(), |(at, _)| begin + at)
}

#[cfg(test)]
mod tests {
    use tidewire_proto::topic::TopicFilter;

    use super::{Asked, branches};
    use crate::topic_census::heard::Heard;
    use crate::topic_census::known::Known;

    const TOPICS: [&str; 9] = [
        "/lead",
        "site",
        "site/1/a/temp",
        "site/1/b",
        "site/1/b/temp",
        "site/10/x",
        "site/2/x",
        "site-2/x",
        "top",
    ];

    fn known() -> Known {
        let mut known = Known::default();
        known.set_max(100);
        for (place, topic) in (1..).zip(TOPICS) {
            known.add(topic, &Heard::one(1, place, false));
        }
        known
    }

    /// As words: `*` for a branch, and how many topics are in it, where there are several.
    fn shown(prefix: Option<&str>, depth: Option<usize>, filter: Option<&str>) -> String {
        let filter = filter.map(|filter| TopicFilter::parse(filter).expect("a filter"));
        let asked = Asked { prefix: prefix.map(Into::into), depth, filter };
        let (known, mut words) = (known(), Vec::new());
        // A page at a time: the same as at once.
        let mut from = None;
        loop {
            let (page, next) = branches(&known, &asked, from.as_deref(), 1);
            words.extend(page.iter().map(|branch| {
                assert_eq!(branch.heard.messages, branch.topics);
                let star = if branch.is_branch { "*" } else { "" };
                format!("{}{star}{}", branch.topic, branch.topics)
            }));
            match next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        let (whole, next) = branches(&known, &asked, None, 100);
        assert_eq!((whole.len(), next), (words.len(), None));
        words.join(" ")
    }

    #[test]
    fn levels_are_summed_and_nothing_is_counted_twice() {
        for (prefix, depth, expected) in [
            (None, Some(1), "*1 site*6 site-2*1 top1"),
            (None, Some(2), "/lead1 site1 site/1*3 site/10*1 site/2*1 site-2/x1 top1"),
            (Some("site/1"), Some(1), "site/1/a*1 site/1/b*2"),
            (Some("site/1"), Some(2), "site/1/a/temp1 site/1/b1 site/1/b/temp1"),
            (Some("site/1"), None, "site/1/a/temp1 site/1/b1 site/1/b/temp1"),
            (Some("site"), Some(1), "site1 site/1*3 site/10*1 site/2*1"),
            (Some("top"), Some(1), "top1"),
            (Some(""), Some(1), "/lead1"),
            (Some("si"), Some(1), ""),
        ] {
            assert_eq!(shown(prefix, depth, None), expected, "{prefix:?} {depth:?}");
        }
        assert_eq!(shown(None, None, None).split(' ').count(), TOPICS.len());
    }

    #[test]
    fn a_filter_takes_topics_out_before_they_are_summed() {
        assert_eq!(shown(None, Some(1), Some("+/+/x")), "site*2");
        assert_eq!(shown(Some("site"), Some(1), Some("#")), "site1 site/1*3 site/10*1 site/2*1");
        assert_eq!(shown(None, None, Some("nothing")), "");
    }

    #[test]
    fn a_key_that_lies_elsewhere_begins_where_the_prefix_does_or_finds_nothing() {
        let asked = Asked { prefix: Some("site/1".into()), ..Asked::default() };
        assert_eq!(branches(&known(), &asked, Some(b"a"), 100).0.len(), 3);
        assert_eq!(branches(&known(), &asked, Some(b"z"), 100), (Vec::new(), None));
    }
}
