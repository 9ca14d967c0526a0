//! How to walk sorted topics for a filter without looking at each: from a topic that does not match
//! straight to the next that may.

use crate::topic::matches;

/// The smallest text behind `topic` that may match `filter`, when `topic` does not; `None` when
/// nothing behind it does. Texts are in the order of their bytes.
#[must_use]
pub fn next_candidate(filter: &str, topic: &str) -> Option<String> {
    debug_assert!(!matches(filter, topic), "{topic} matches {filter}");
    let hidden = topic.starts_with('$') && filter.starts_with(['+', '#']);
    if hidden {
        return Some(behind_all(topic_head(topic)));
    }
    let mut start = 0;
    let mut wanted = filter.split('/');
    loop {
        let end = topic[start..].find('/').map(|length| start + length);
        let level = &topic[start..end.unwrap_or(topic.len())];
        match wanted.next() {
            // The topic has more levels than the filter: so has all that goes on like it.
            None => return Some(behind_all(&topic[..start.saturating_sub(1)])),
            // Matches whatever follows: not reached by a topic that does not match.
            Some("#") => return Some(next_text(topic)),
            Some("+") => (),
            Some(literal) if literal == level => (),
            Some(literal) => return behind_literal(topic, start, literal),
        }
        match end {
            Some(end) => start = end + 1,
            // The topic ends too early; what goes on like it comes next.
            None => return Some(next_text(topic)),
        }
    }
}

/// The next that may match when the level at `start` is not the literal that the filter has there.
fn behind_literal(topic: &str, start: usize, literal: &str) -> Option<String> {
    let mut candidate = format!("{}{literal}", &topic[..start]);
    if candidate.as_str() > topic {
        return Some(candidate);
    }
    // `a/b-c` lies between `a/b` and what is below it.
    candidate.push('/');
    if candidate.as_str() > topic {
        return Some(candidate);
    }
    // Nothing more with this parent.
    (start > 0).then(|| behind_all(&topic[..start - 1]))
}

/// Behind everything below `parent`.
fn behind_all(parent: &str) -> String {
    // The character after the slash.
    format!("{parent}0")
}

fn topic_head(topic: &str) -> &str {
    topic.split('/').next().unwrap_or(topic)
}

/// The smallest text behind this one.
fn next_text(topic: &str) -> String {
    format!("{topic}\0")
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::{Strategy, proptest};
    use proptest::sample::select;

    use super::{matches, next_candidate};

    #[test]
    fn a_walk_goes_straight_to_what_may_match() {
        for (filter, topic, next) in [
            ("plant/7/#", "plant/6/x", Some("plant/7")),
            ("plant/7/#", "plant/7-a", Some("plant/7/")),
            ("plant/7/#", "plant/70", Some("plant0")),
            ("+/temp", "dev1/hum", Some("dev1/temp")),
            ("+/temp", "dev1/temp/x", Some("dev1/temp0")),
            ("+/temp", "dev1/tempo", Some("dev10")),
            ("#", "$SYS/a/b", Some("$SYS0")),
            ("a", "b", None),
            ("a/+/c", "a", Some("a\0")),
        ] {
            assert_eq!(next_candidate(filter, topic).as_deref(), next, "{filter} after {topic}");
        }
    }

    fn text(levels: Vec<&'static str>) -> impl Strategy<Value = String> {
        vec(select(levels), 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn no_match_is_jumped_over_and_each_jump_goes_on(
            topics in btree_set(text(vec!["a", "b", "a-", "a0", "", "ab", "$a", "é"]), 1..40),
            filter in text(vec!["a", "b", "+", "a-", "", "$a"]),
            rest in select(vec!["", "/#"]),
        ) {
            let filter = format!("{filter}{rest}");
            for topic in topics.iter().filter(|topic| !matches(&filter, topic)) {
                let next = next_candidate(&filter, topic);
                if let Some(next) = &next {
                    assert!(next > topic, "{next:?} lies before {topic:?}");
                }
                let skipped = topics.iter().filter(|other| {
                    *other > topic && next.as_ref().is_none_or(|next| *other < next)
                });
                for other in skipped {
                    assert!(!matches(&filter, other), "{filter}: {topic} jumps over {other}");
                }
            }
        }
    }
}
