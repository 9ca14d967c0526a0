//! Topics and filters written anew by rules. Decides what they become; never where they come from.

use std::sync::Arc;

use ahash::AHashMap;
use thiserror::Error;

use crate::topic::{FilterError, TOPIC_BYTES_MAX, check_filter, is_shared};

/// About how many bytes of answers are kept at a time. Beyond it the memory starts anew.
const ANSWERS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// What an answer takes besides its texts.
const ENTRY_BYTES: usize = 64;

/// Why two texts are no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RewriteError {
    /// What is looked for is no filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// What is looked for, or written, belongs to a kind of subscription.
    #[error("a rule is about plain topics, not about $share, $queue or $exclusive")]
    Kind,
    /// Nothing would be left.
    #[error("a topic has at least one character")]
    Empty,
    /// The result could be no topic.
    #[error("a topic holds no '+', no '#' and no null character")]
    Wildcard,
    /// `$3` where only two levels are taken over.
    #[error("${0} stands for no wildcard: there are {1}, counted from $1")]
    Capture(usize, usize),
}

/// One rule: a filter, and what a text that fits it becomes. `$1` to `$9` are what stands at the
/// filter's wildcards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RewriteRule {
    from: Box<str>,
    to: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// Counted from 0.
    Capture(usize),
}

impl RewriteRule {
    /// A rule from its two texts.
    ///
    /// # Errors
    /// The first thing that is wrong with them.
    pub fn parse(from: &str, to: &str) -> Result<Self, RewriteError> {
        check_filter(from)?;
        let of_a_kind = |text: &str| {
            is_shared(text)
                || ["$share/", "$queue/", "$exclusive/"].iter().any(|k| text.starts_with(k))
        };
        if of_a_kind(from) || of_a_kind(to) {
            return Err(RewriteError::Kind);
        }
        if to.is_empty() {
            return Err(RewriteError::Empty);
        }
        if to.contains(['+', '#', '\0']) {
            return Err(RewriteError::Wildcard);
        }
        let captures = from.split('/').filter(|level| matches!(*level, "+" | "#")).count();
        Ok(Self { from: from.into(), to: parts(to, captures)?.into() })
    }

    /// What the text becomes; `None` when the rule is not about it. A filter fits where its own
    /// wildcards stand at wildcards of the rule.
    #[must_use]
    pub fn rewrite(&self, text: &str) -> Option<String> {
        let captures = captures(&self.from, text)?;
        let mut written = String::new();
        for part in &*self.to {
            match part {
                Part::Text(text) => written.push_str(text),
                Part::Capture(number) => match captures.get(*number).copied().flatten() {
                    Some(capture) => written.push_str(capture),
                    // `#` stood for no level: the separator before it goes too.
                    None if written.ends_with('/') => drop(written.pop()),
                    None => (),
                },
            }
        }
        let is_one = !written.is_empty() && written.len() <= TOPIC_BYTES_MAX;
        (is_one && !leads_apart(text, &written)).then_some(written)
    }
}

/// Whether a rule led into topics that begin with `$` from outside of them. Those have meanings and
/// speakers of their own, and what is taken over from a topic is what a client says.
fn leads_apart(text: &str, written: &str) -> bool {
    let tree = |text: &str| text.split('/').next().map(str::to_owned);
    written.starts_with('$') && tree(written) != tree(text)
}

fn parts(to: &str, captures: usize) -> Result<Vec<Part>, RewriteError> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = to.chars().peekable();
    while let Some(c) = rest.next() {
        let digit = rest.peek().and_then(|next| next.to_digit(10)).filter(|_| c == '$');
        let Some(digit) = digit else {
            text.push(c);
            continue;
        };
        rest.next();
        let number = digit as usize;
        if number == 0 || number > captures {
            return Err(RewriteError::Capture(number, captures));
        }
        if !text.is_empty() {
            parts.push(Part::Text(std::mem::take(&mut text).into()));
        }
        parts.push(Part::Capture(number - 1));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    Ok(parts)
}

/// What stands at each wildcard; `None` for a `#` that stands for no level.
fn captures<'t>(from: &str, text: &'t str) -> Option<Vec<Option<&'t str>>> {
    if text.starts_with('$') && from.starts_with(['+', '#']) {
        return None;
    }
    let mut found = Vec::new();
    let mut rest = Some(text);
    for level in from.split('/') {
        if level == "#" {
            found.push(rest);
            return Some(found);
        }
        let text = rest?;
        let (head, tail) = match text.split_once('/') {
            Some((head, tail)) => (head, Some(tail)),
            None => (text, None),
        };
        rest = tail;
        match level {
            // `#` in a filter stands for more than this one level.
            "+" if head == "#" => return None,
            "+" => found.push(Some(head)),
            level if level == head => (),
            _ => return None,
        }
    }
    rest.is_none().then_some(found)
}

/// What the first rule that is about the text makes of it. No second rule looks at the result, so
/// rules cannot go round in circles.
#[must_use]
pub fn rewrite(rules: &[RewriteRule], text: &str) -> Option<String> {
    rules.iter().find_map(|rule| rule.rewrite(text))
}

/// Rules, and what was asked before.
#[derive(Debug)]
pub struct Rewriter {
    rules: Arc<[RewriteRule]>,
    kept: AHashMap<Box<str>, Option<Box<str>>>,
    bytes: usize,
}

impl Rewriter {
    /// Nothing was asked yet.
    #[must_use]
    pub fn new(rules: Arc<[RewriteRule]>) -> Self {
        Self { rules, kept: AHashMap::new(), bytes: 0 }
    }

    /// The topic under which a message goes on.
    pub fn topic<'a>(&'a mut self, topic: &'a str) -> &'a str {
        if self.rules.is_empty() {
            return topic;
        }
        if !self.kept.contains_key(topic) {
            self.keep(topic);
        }
        self.kept.get(topic).and_then(Option::as_deref).unwrap_or(topic)
    }

    fn keep(&mut self, topic: &str) {
        if self.bytes >= ANSWERS_BYTES_MAX {
            self.kept.clear();
            self.bytes = 0;
        }
        let written = rewrite(&self.rules, topic).map(String::into_boxed_str);
        self.bytes += ENTRY_BYTES + topic.len() + written.as_ref().map_or(0, |text| text.len());
        self.kept.insert(topic.into(), written);
    }
}

#[cfg(test)]
mod tests {
    use super::{RewriteError, RewriteRule, Rewriter, rewrite};
    use crate::topic::FilterError;

    #[track_caller]
    fn check(from: &str, to: &str, text: &str, expected: Option<&str>) {
        let rule = RewriteRule::parse(from, to).expect("a rule");
        assert_eq!(rule.rewrite(text).as_deref(), expected, "{from} -> {to}: {text}");
    }

    #[test]
    fn what_stands_at_wildcards_is_taken_over() {
        check("a/b", "c", "a/b", Some("c"));
        check("a/b", "c", "a/b/c", None);
        check("old/+/x/#", "new/$1/y/$2", "old/7/x/1/2", Some("new/7/y/1/2"));
        check("+/+", "$2/$1", "a/b", Some("b/a"));
        check("+/+", "$1-$1", "a/b", Some("a-a"));
        check("+/+", "x/$1", "/b", Some("x/"));
        check("a/#", "$1", "a/b/c", Some("b/c"));
        check("a/#", "costs/$/$1", "a/b", Some("costs/$/b"));
    }

    #[test]
    fn a_hash_that_stands_for_no_level_leaves_no_separator() {
        check("a/#", "new/$1", "a", Some("new"));
        check("a/#", "new/$1", "a/", Some("new/"));
        check("a/#", "$1", "a", None);
    }

    #[test]
    fn filters_fit_where_their_wildcards_stand_at_ours() {
        check("old/+/x", "new/$1/x", "old/+/x", Some("new/+/x"));
        check("old/#", "new/$1", "old/+/#", Some("new/+/#"));
        check("old/#", "new/$1", "old/#", Some("new/#"));
        check("old/+/x", "new/$1", "old/#", None);
        check("old/+", "new/$1", "old/#", None);
        check("old/x", "new", "old/+", None);
    }

    #[test]
    fn a_leading_wildcard_is_not_about_dollar_topics() {
        check("#", "all/$1", "$SYS/a", None);
        check("+/a", "all/$1", "$SYS/a", None);
        check("$SYS/#", "sys/$1", "$SYS/a", Some("sys/a"));
    }

    #[test]
    fn no_rule_leads_into_dollar_topics_from_outside() {
        check("a/#", "$1", "a/$SYS/x", None);
        check("a/+/b", "$1/b", "a/$SYS/b", None);
        check("a/#", "$1", "a/$delayed/5/x", None);
        check("a/#", "$SYS/$1", "a/x", None);
        check("$a/#", "$SYS/$1", "$a/x", None);
        check("$a/x/#", "$a/$1", "$a/x/y", Some("$a/y"));
        check("a/#", "b/$1", "a/$SYS/x", Some("b/$SYS/x"));
        let rule = RewriteRule::parse("a/#", "$1").expect("a rule");
        assert_eq!(Rewriter::new([rule].into()).topic("a/$SYS/x"), "a/$SYS/x");
    }

    #[test]
    fn texts_that_are_no_rule_are_refused() {
        let refused = |from, to| RewriteRule::parse(from, to).expect_err("no rule");
        assert_eq!(refused("a#", "b"), RewriteError::Filter(FilterError::MisplacedHash));
        assert_eq!(refused("a", ""), RewriteError::Empty);
        assert_eq!(refused("a", "b/+"), RewriteError::Wildcard);
        assert_eq!(refused("a/+", "b/$2"), RewriteError::Capture(2, 1));
        assert_eq!(refused("a/+", "b/$0"), RewriteError::Capture(0, 1));
        assert_eq!(refused("$share/g/a", "b"), RewriteError::Kind);
        assert_eq!(refused("a", "$exclusive/b"), RewriteError::Kind);
    }

    #[test]
    fn the_first_rule_counts_and_no_other_sees_what_it_wrote() {
        let rules = [("a/#", "b/$1"), ("a/x", "never"), ("b/#", "a/$1")]
            .map(|(from, to)| RewriteRule::parse(from, to).expect("a rule"));
        assert_eq!(rewrite(&rules, "a/x").as_deref(), Some("b/x"));
        assert_eq!(rewrite(&rules, "b/x").as_deref(), Some("a/x"));
        let mut rewriter = Rewriter::new(rules.into());
        for _ in 0..2 {
            assert_eq!(rewriter.topic("a/x"), "b/x");
            assert_eq!(rewriter.topic("c"), "c");
        }
    }

    #[test]
    fn a_text_beyond_all_lengths_stays_as_it_is() {
        let long = format!("a/{}", "x".repeat(65_533));
        check("a/#", "longer/$1", &long, None);
    }
}
