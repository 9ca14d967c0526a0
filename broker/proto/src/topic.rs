//! Topics, filters and how they meet. Never stores a subscription; never walks a tree of them.

use std::fmt;

use thiserror::Error;

/// The longest topic or filter: what a two-byte length can say.
pub const TOPIC_BYTES_MAX: usize = 65_535;

/// What a filter of a shared subscription begins with.
const SHARE_PREFIX: &str = "$share/";

/// Why a text is no topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TopicError {
    /// A topic has at least one character.
    #[error("the topic is empty")]
    Empty,
    /// More bytes than [`TOPIC_BYTES_MAX`].
    #[error("the topic is longer than 65535 bytes")]
    TooLong,
    /// U+0000 is in no text of MQTT.
    #[error("the topic holds a null character")]
    NullCharacter,
    /// `+` and `#` belong to filters.
    #[error("the topic holds a wildcard")]
    Wildcard,
}

/// Why a text is no filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FilterError {
    /// A filter has at least one character.
    #[error("the filter is empty")]
    Empty,
    /// More bytes than [`TOPIC_BYTES_MAX`].
    #[error("the filter is longer than 65535 bytes")]
    TooLong,
    /// U+0000 is in no text of MQTT.
    #[error("the filter holds a null character")]
    NullCharacter,
    /// `#` stands alone in the last level.
    #[error("'#' must be the whole last level of the filter")]
    MisplacedHash,
    /// `+` stands alone in its level.
    #[error("'+' must be a whole level of the filter")]
    MisplacedPlus,
    /// The name of a share group has a character and no wildcard.
    #[error("the name after $share/ is empty or holds a wildcard")]
    ShareName,
    /// `$share/name` needs a filter behind it.
    #[error("no filter after $share/name/")]
    ShareWithoutFilter,
}

/// Checks what a message may be published to. How many [`levels`] it may have is a broker's matter.
///
/// # Errors
/// The first rule that the text breaks.
pub fn check_topic_name(topic: &str) -> Result<(), TopicError> {
    if topic.is_empty() {
        return Err(TopicError::Empty);
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(TopicError::TooLong);
    }
    match topic.bytes().find(|byte| matches!(byte, 0 | b'+' | b'#')) {
        Some(0) => Err(TopicError::NullCharacter),
        Some(_) => Err(TopicError::Wildcard),
        None => Ok(()),
    }
}

/// How many levels a topic or filter has: what a broker may limit, not the protocol.
#[must_use]
pub fn levels(text: &str) -> usize {
    1 + text.bytes().filter(|byte| *byte == b'/').count()
}

/// Checks a filter, shared or not.
///
/// # Errors
/// The first rule that the text breaks.
pub fn check_filter(text: &str) -> Result<(), FilterError> {
    if text.len() > TOPIC_BYTES_MAX {
        return Err(FilterError::TooLong);
    }
    let plain = match split_share(text)? {
        Some((_, filter)) => filter,
        None => text,
    };
    check_plain_filter(plain)
}

/// Takes `$share/name/filter` apart; `None` when the filter is not shared.
///
/// What it returns as filter is not empty but not yet checked: [`check_filter`] does that.
///
/// # Errors
/// When the text begins as a shared filter and does not go on as one.
pub fn split_share(text: &str) -> Result<Option<(&str, &str)>, FilterError> {
    let Some(rest) = text.strip_prefix(SHARE_PREFIX) else {
        return Ok(None);
    };
    let (name, filter) = rest.split_once('/').ok_or(FilterError::ShareWithoutFilter)?;
    if name.is_empty() || name.contains(['+', '#']) {
        return Err(FilterError::ShareName);
    }
    if filter.is_empty() {
        return Err(FilterError::ShareWithoutFilter);
    }
    Ok(Some((name, filter)))
}

/// Whether the filter is that of a share group.
#[must_use]
pub fn is_shared(filter: &str) -> bool {
    matches!(split_share(filter), Ok(Some(_)))
}

/// Whether a message on `topic` is for `filter`, both well-formed and the filter not shared.
///
/// A wildcard in the first level does not match a topic that begins with `$`.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut filter_levels = filter.split('/');
    let mut topic_levels = topic.split('/');
    loop {
        match (filter_levels.next(), topic_levels.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(wanted), Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
}

/// A filter that a client may subscribe to: `sensors/+/temp`, `plant/#`, `$share/team/plant/#`.
///
/// Invariant: checked by [`TopicFilter::parse`]; there is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Box<str>);

impl TopicFilter {
    /// Checks the text and keeps it.
    ///
    /// # Errors
    /// The first rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        check_filter(text)?;
        Ok(Self(text.into()))
    }

    /// The text as the client wrote it, `$share/name/` included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the share group, if the filter is shared.
    #[must_use]
    pub fn share_name(&self) -> Option<&str> {
        split_share(&self.0).ok().flatten().map(|(name, _)| name)
    }

    /// What is compared with topics: the text without `$share/name/`.
    #[must_use]
    pub fn without_share(&self) -> &str {
        match split_share(&self.0) {
            Ok(Some((_, filter))) => filter,
            _ => &self.0,
        }
    }

    /// Whether a message on this topic is for this filter.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        matches(self.without_share(), topic)
    }

    /// Whether the filter can match more than one topic.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.0.contains(['+', '#'])
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// One scan over the bytes: wildcards and separators are ASCII, so no character is cut.
fn check_plain_filter(filter: &str) -> Result<(), FilterError> {
    if filter.is_empty() {
        return Err(FilterError::Empty);
    }
    let bytes = filter.as_bytes();
    let mut previous = b'/';
    for (at, byte) in bytes.iter().copied().enumerate() {
        let next = bytes.get(at + 1).copied();
        match byte {
            0 => return Err(FilterError::NullCharacter),
            b'#' if previous != b'/' || next.is_some() => return Err(FilterError::MisplacedHash),
            b'+' if previous != b'/' || next.is_some_and(|next| next != b'/') => {
                return Err(FilterError::MisplacedPlus);
            }
            _ => previous = byte,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::FilterError::{
        Empty, MisplacedHash, MisplacedPlus, NullCharacter, ShareName, ShareWithoutFilter, TooLong,
    };
    use super::{
        FilterError, TopicError, TopicFilter, check_topic_name, levels, matches, split_share,
    };

    #[track_caller]
    fn check(text: &str, expected: Result<(), FilterError>) {
        assert_eq!(TopicFilter::parse(text).map(|_| ()), expected, "{text:?}");
    }

    #[test]
    fn hash_stands_alone_at_the_end() {
        check("#", Ok(()));
        check("plant/#", Ok(()));
        check("/#", Ok(()));
        check("plant#", Err(MisplacedHash));
        check("#plant", Err(MisplacedHash));
        check("##", Err(MisplacedHash));
        check("plant/#/temp", Err(MisplacedHash));
        check("plant/#/", Err(MisplacedHash));
    }

    #[test]
    fn plus_stands_alone_in_its_level() {
        for text in ["+", "+/+", "a/+", "+/a", "/+", "a/+/#", "é/+"] {
            check(text, Ok(()));
        }
        for text in ["a+", "+a", "a+/b", "a/+b", "++", "+#", "é+", "+é"] {
            assert!(TopicFilter::parse(text).is_err(), "{text:?}");
        }
        check("a+/b", Err(MisplacedPlus));
    }

    #[test]
    fn a_filter_has_a_character_and_no_null_and_a_length() {
        check("", Err(Empty));
        check("a\0", Err(NullCharacter));
        check("/", Ok(()));
        check("//", Ok(()));
        check(&"a".repeat(65535), Ok(()));
        check(&"a".repeat(65536), Err(TooLong));
    }

    #[test]
    fn a_shared_filter_names_a_group_and_a_filter() {
        check("$share/g/a/+", Ok(()));
        check("$share/g//", Ok(()));
        check("$share/g/", Err(ShareWithoutFilter));
        check("$share/g", Err(ShareWithoutFilter));
        check("$share/", Err(ShareWithoutFilter));
        check("$share//a", Err(ShareName));
        check("$share/+/a", Err(ShareName));
        check("$share/a#/a", Err(ShareName));
        check("$share/g/a#", Err(MisplacedHash));
        check("$share/g/#/a", Err(MisplacedHash));
        check("$share", Ok(()));
        check("$shared/g", Ok(()));
    }

    #[test]
    fn a_share_comes_apart_at_the_second_slash() {
        assert_eq!(split_share("$share/g/a/b"), Ok(Some(("g", "a/b"))));
        assert_eq!(split_share("$share/é/+"), Ok(Some(("é", "+"))));
        assert_eq!(split_share("a/b"), Ok(None));
        let filter = TopicFilter::parse("$share/g/a/+").expect("valid");
        assert_eq!(filter.share_name(), Some("g"));
        assert_eq!(filter.without_share(), "a/+");
        assert!(filter.matches("a/b"));
        assert!(!filter.matches("$share/g/a/b"));
    }

    #[track_caller]
    fn check_match(filter: &str, yes: &[&str], no: &[&str]) {
        for topic in yes {
            assert!(matches(filter, topic), "{filter} should match {topic}");
        }
        for topic in no {
            assert!(!matches(filter, topic), "{filter} should not match {topic}");
        }
    }

    #[test]
    fn wildcards_match_levels() {
        check_match("a/b", &["a/b"], &["a", "a/b/", "/a/b", "A/b", "a/b/c"]);
        check_match("a/+", &["a/", "a/b"], &["a", "a/b/c"]);
        check_match("+", &["a", "é"], &["a/b", "/a"]);
        check_match("+/+", &["/a", "a/", "/"], &["a"]);
        check_match("/+", &["/a", "/"], &["a"]);
        check_match("a/#", &["a", "a/", "a/b", "a/b/c"], &["ab", "b/a"]);
        check_match("a/+/#", &["a/b", "a/b/c"], &["a"]);
        check_match("#", &["a", "/", "a/b", "é/x"], &[]);
        check_match("é/#", &["é", "é/x"], &["e/x"]);
    }

    #[test]
    fn a_leading_wildcard_never_matches_a_dollar_topic() {
        check_match("#", &[], &["$SYS", "$SYS/a", "$"]);
        check_match("+/a", &[], &["$SYS/a"]);
        check_match("$SYS/#", &["$SYS", "$SYS/a"], &["SYS/a"]);
        check_match("$SYS/+", &["$SYS/a"], &["$SYS"]);
        check_match("a/+", &["a/$b"], &[]);
    }

    #[test]
    fn a_topic_has_no_wildcard_and_no_null() {
        assert_eq!(check_topic_name("é/$/a b"), Ok(()));
        assert_eq!(check_topic_name(""), Err(TopicError::Empty));
        assert_eq!(check_topic_name("a\0"), Err(TopicError::NullCharacter));
        assert_eq!(check_topic_name("a/+"), Err(TopicError::Wildcard));
        assert_eq!(check_topic_name("a#"), Err(TopicError::Wildcard));
        assert_eq!(check_topic_name(&"a".repeat(65536)), Err(TopicError::TooLong));
    }

    #[test]
    fn levels_are_counted_not_walked() {
        assert_eq!(levels("a"), 1);
        assert_eq!(levels(&"/".repeat(65_535)), 65_536);
        assert!(matches(&"+/".repeat(32_000), &"/".repeat(32_000)));
    }
}
