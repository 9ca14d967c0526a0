//! The filters of rules: what they match, cover and meet. Names of clients and users are compared
//! with whole levels and never become part of a filter.

use std::borrow::Cow;

use super::subject::Subject;
use crate::topic::check_filter;

/// What asks for a kind of subscription or message, and stands before the filter or topic that
/// rules are about.
const KINDS: [(&str, &str); 5] = [
    ("$share/", "a rule names the filter behind $share/NAME/, and `shared`"),
    ("$queue/", "a rule names the filter behind $queue/, and `shared`"),
    ("$exclusive/", "a rule names the filter behind $exclusive/"),
    ("$s/", "a rule names the filter behind $s/TIME/, and `replay`"),
    ("$delayed/", "a rule names the topic behind $delayed/SECONDS/"),
];

/// One level of a rule's filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// This text, also if it looks like a wildcard.
    Text(Box<str>),
    /// `+`.
    Plus,
    /// `#`, the last.
    Hash,
    /// A text in which the client's names stand.
    Named(Named),
}

/// A level with `%c` or `%u` in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Named(Box<[Part]>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Text(Box<str>),
    ClientId,
    User,
}

impl Named {
    fn parse(level: &str) -> Option<Self> {
        let (mut parts, mut rest) = (Vec::new(), level);
        while let Some((at, part)) = first_name(rest) {
            if at > 0 {
                parts.push(Part::Text(rest[..at].into()));
            }
            parts.push(part);
            rest = &rest[at + 2..];
        }
        if parts.is_empty() {
            return None;
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        Some(Self(parts.into()))
    }

    /// Whether it says itself that it begins with `$`: no name of a client may say it.
    pub(super) fn is_apart(&self) -> bool {
        matches!(self.0.first(), Some(Part::Text(text)) if text.starts_with('$'))
    }

    /// What is left of a topic that begins with it, for this subject: the levels behind it. It may
    /// have taken more than one, which is so when a name has them.
    pub(super) fn take<'t>(&self, topic: &'t str, subject: &Subject) -> Option<Taken<'t>> {
        let mut rest = topic;
        for part in &self.0 {
            rest = rest.strip_prefix(part.text(subject)?)?;
        }
        let is_wide = topic[..topic.len() - rest.len()].contains('/');
        match rest.strip_prefix('/') {
            Some(rest) => Some(Taken { rest: Some(rest), is_wide }),
            None => rest.is_empty().then_some(Taken { rest: None, is_wide }),
        }
    }

    fn is(&self, level: &str, subject: &Subject) -> bool {
        self.take(level, subject).is_some_and(|taken| taken.rest.is_none())
    }

    /// As it reads for this subject, when it reads as more than one level.
    fn wide(&self, subject: &Subject) -> Option<String> {
        let texts = self.0.iter().map(|part| part.text(subject));
        texts.collect::<Option<String>>().filter(|text| text.contains('/'))
    }
}

impl Part {
    /// `None`: the subject has no such name.
    fn text<'a>(&'a self, subject: &'a Subject) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::ClientId => Some(&subject.client_id),
            Self::User => subject.named_user(),
        }
    }
}

/// A topic that begins with a level with names in it.
pub(super) struct Taken<'t> {
    /// The levels behind; `None`: there is none.
    pub(super) rest: Option<&'t str>,
    /// More than one level went into it.
    pub(super) is_wide: bool,
}

/// Where the first name stands.
fn first_name(text: &str) -> Option<(usize, Part)> {
    let at = |name: &str| text.find(name);
    match (at("%c"), at("%u")) {
        (Some(c), Some(u)) if u < c => Some((u, Part::User)),
        (Some(c), _) => Some((c, Part::ClientId)),
        (None, Some(u)) => Some((u, Part::User)),
        (None, None) => None,
    }
}

/// A rule's filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleFilter(Box<[Level]>);

impl RuleFilter {
    /// Reads a filter; with names in it, or with `%c` for what it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(filter: &str, has_names: bool) -> Result<Self, String> {
        if let Some((_, words)) = KINDS.iter().find(|(kind, _)| filter.starts_with(kind)) {
            return Err((*words).into());
        }
        check_filter(filter).map_err(|error| format!("{filter:?}: {error}"))?;
        Ok(Self::parse(filter, has_names))
    }

    fn parse(filter: &str, has_names: bool) -> Self {
        let level = |level: &str| match level {
            "+" => Level::Plus,
            "#" => Level::Hash,
            text => match has_names.then(|| Named::parse(text)).flatten() {
                Some(named) => Level::Named(named),
                None => Level::Text(text.into()),
            },
        };
        Self(filter.split('/').map(level).collect())
    }

    pub(super) fn levels(&self) -> &[Level] {
        &self.0
    }

    /// Whether it needs a user to hold at all.
    pub(super) fn asks_for_user(&self) -> bool {
        let asks = |level: &Level| match level {
            Level::Named(named) => named.0.contains(&Part::User),
            _ => false,
        };
        self.0.iter().any(asks)
    }

    /// As a denial has it: a name of many levels stands for all of them, so that nobody escapes by
    /// such a name. In what is allowed it stands for none.
    pub(super) fn denied(&self, subject: &Subject) -> Cow<'_, Self> {
        let is_wide = |level: &Level| match level {
            Level::Named(named) => named.wide(subject).is_some(),
            _ => false,
        };
        if !self.0.iter().any(is_wide) {
            return Cow::Borrowed(self);
        }
        let mut levels = Vec::new();
        for level in &self.0 {
            match level {
                Level::Named(named) => match named.wide(subject) {
                    // Only a rule itself says that it begins with `$`.
                    Some(text)
                        if levels.is_empty() && text.starts_with('$') && !named.is_apart() =>
                    {
                        levels.push(level.clone());
                    }
                    Some(text) => {
                        levels.extend(text.split('/').map(|level| Level::Text(level.into())));
                    }
                    None => levels.push(level.clone()),
                },
                level => levels.push(level.clone()),
            }
        }
        Cow::Owned(Self(levels.into()))
    }

    /// Whether the topic is one of its own.
    pub(super) fn matches(&self, topic: &str, subject: &Subject) -> bool {
        let asked = Asked { levels: topic.split('/'), is_filter: false };
        compare(&self.0, asked, subject, Relation::Covers)
    }

    /// Whether every topic that the filter matches is one of its own.
    pub(super) fn covers(&self, filter: &str, subject: &Subject) -> bool {
        let asked = Asked { levels: filter.split('/'), is_filter: true };
        compare(&self.0, asked, subject, Relation::Covers)
    }

    /// Whether there are topics that both match.
    pub(super) fn meets(&self, filter: &str, subject: &Subject) -> bool {
        let asked = Asked { levels: filter.split('/'), is_filter: true };
        compare(&self.0, asked, subject, Relation::Meets)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Covers,
    Meets,
}

struct Asked<'a> {
    levels: std::str::Split<'a, char>,
    /// Its wildcards are some.
    is_filter: bool,
}

fn compare(rule: &[Level], asked: Asked<'_>, subject: &Subject, relation: Relation) -> bool {
    let Asked { levels, is_filter } = asked;
    let mut rule = rule.iter();
    for (at, level) in levels.enumerate() {
        let (is_plus, is_hash) = (is_filter && level == "+", is_filter && level == "#");
        let Some(own) = rule.next() else {
            // `a/#` matches `a`, too.
            return is_hash && relation == Relation::Meets;
        };
        if at == 0 && is_apart(own, level, is_plus || is_hash) {
            return false;
        }
        match own {
            Level::Hash => return true,
            _ if is_hash => return relation == Relation::Meets,
            Level::Plus => (),
            _ if is_plus && relation == Relation::Meets => (),
            _ if is_plus => return false,
            Level::Text(text) if **text == *level => (),
            Level::Named(named) if named.is(level, subject) => (),
            Level::Text(_) | Level::Named(_) => return false,
        }
    }
    match rule.next() {
        None => true,
        Some(Level::Hash) => true,
        Some(_) => false,
    }
}

/// Topics that begin with `$` are for those who say so.
fn is_apart(own: &Level, asked: &str, is_wild: bool) -> bool {
    match own {
        Level::Plus | Level::Hash => !is_wild && asked.starts_with('$'),
        Level::Text(text) => is_wild && text.starts_with('$'),
        Level::Named(named) if named.is_apart() => is_wild,
        Level::Named(_) => !is_wild && asked.starts_with('$'),
    }
}

#[cfg(test)]
mod tests {
    use super::{RuleFilter, Subject};

    fn subject(client_id: &str, user: Option<&str>) -> Subject {
        Subject { client_id: client_id.into(), user: user.map(Into::into), ..Subject::default() }
    }

    #[test]
    fn a_rule_matches_topics_as_a_subscription_would() {
        for (rule, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/b", "a/b/c", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("#", "a", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/+/c", "a//c", true),
        ] {
            let rule_filter = RuleFilter::parse(rule, true);
            assert_eq!(rule_filter.matches(topic, &subject("c", None)), expected, "{rule} {topic}");
        }
    }

    #[test]
    fn a_rule_covers_a_filter_if_it_has_all_of_its_topics() {
        for (rule, filter, covers, meets) in [
            ("a/b", "a/b", true, true),
            ("a/b", "a/+", false, true),
            ("a/b", "a/#", false, true),
            ("a/b", "#", false, true),
            ("a/b", "b/#", false, false),
            ("a/+", "a/+", true, true),
            ("a/+", "a/#", false, true),
            ("a/#", "a/#", true, true),
            ("a/#", "a", true, true),
            ("a", "a/#", false, true),
            ("a/#", "a/+/c", true, true),
            ("a/#", "+/b", false, true),
            ("#", "#", true, true),
            ("#", "$SYS/#", false, false),
            ("$SYS/#", "#", false, false),
            ("$SYS/#", "+/x", false, false),
            ("$SYS/#", "$SYS/a/+", true, true),
            ("a/b/c", "a/b", false, false),
        ] {
            let (rule_filter, subject) = (RuleFilter::parse(rule, true), subject("c", None));
            assert_eq!(rule_filter.covers(filter, &subject), covers, "{rule} covers {filter}");
            assert_eq!(rule_filter.meets(filter, &subject), meets, "{rule} meets {filter}");
        }
    }

    #[test]
    fn no_name_makes_a_pattern_wider() {
        let (by_client, by_user) =
            (RuleFilter::parse("dev/%c/#", true), RuleFilter::parse("of-%u/x", true));
        let plain = subject("d1", Some("ann"));
        assert!(by_client.matches("dev/d1/x", &plain) && by_user.matches("of-ann/x", &plain));
        assert!(!by_client.matches("dev/d2/x", &plain));
        for name in ["+", "#", "a/b", "", "%u", "%c"] {
            let odd = subject(name, Some(name));
            for topic in ["dev/d1/x", "dev/a/b/x", "dev/b/x"] {
                assert!(!by_client.matches(topic, &odd), "{name} {topic}");
            }
            for filter in ["dev/+/x", "dev/#", "#", "dev/d1/#", "dev/a/b/#"] {
                assert!(!by_client.covers(filter, &odd), "{name} {filter}");
                assert!(!by_user.covers(filter, &odd), "{name} {filter}");
            }
            assert!(!by_user.matches("of-ann/x", &odd), "{name}");
        }
        assert!(!by_user.matches("of-/x", &subject("c", Some(""))), "no user is no name");
        assert!(!by_user.matches("of-/x", &subject("c", None)));
        let (first, ours) = (RuleFilter::parse("%c/#", true), RuleFilter::parse("$%c/#", true));
        let system = subject("$SYS", None);
        assert!(!first.matches("$SYS/x", &system) && !first.covers("$SYS/#", &system));
        assert!(ours.matches("$SYS/x", &subject("SYS", None)), "the rule itself says it");
        let literal = RuleFilter::parse("dev/%c", false);
        assert!(literal.matches("dev/%c", &plain) && !literal.matches("dev/d1", &plain));
    }
}
