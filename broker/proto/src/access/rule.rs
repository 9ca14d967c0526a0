//! One rule, whom it is for, and where it stands. Reads no text.

use std::borrow::Cow;
use std::net::IpAddr;

use thiserror::Error;

use super::action::Actions;
use super::filter::RuleFilter;
use super::network::Network;
use super::subject::Subject;

/// Which line of a file is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {words}")]
pub struct AccessError {
    /// Counted from 1.
    pub line: usize,
    /// For whoever wrote it.
    pub words: String,
}

/// Whether a rule gives or takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is allowed, unless another rule denies it.
    Allow,
    /// It is denied, whatever other rules say.
    Deny,
}

/// One line of the rules.
#[derive(Clone, Debug)]
pub struct Rule {
    /// In which of the files it stands, from 0 in the order in which they were given.
    pub file: usize,
    /// Where it stands, from 1.
    pub line: usize,
    /// As it stands there.
    pub text: Box<str>,
    /// What it does.
    pub effect: Effect,
    pub(super) who: Vec<Condition>,
    pub(super) actions: Actions,
    pub(super) filter: RuleFilter,
}

/// The rules of one file, and the groups that it names.
#[derive(Debug, Default)]
pub struct Parsed {
    pub(super) rules: Vec<Rule>,
    /// A group and one of its users.
    pub(super) members: Vec<(Box<str>, Box<str>)>,
    /// Groups whose users others name.
    pub(super) outside: Vec<Box<str>>,
}

/// Whom a rule is for. All conditions of a rule must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    /// Who has shown to be nobody.
    Anonymous,
    User(Box<str>),
    /// A user that is in this group.
    Group(Box<str>),
    Client(Name),
    Certificate(Name),
    Address(Network),
    Listener(Box<str>),
}

/// A name, or how names begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Is(Box<str>),
    BeginsWith(Box<str>),
}

impl Name {
    /// A `*` at the end stands for anything.
    pub(super) fn parse(text: &str) -> Self {
        match text.strip_suffix('*') {
            Some(start) => Self::BeginsWith(start.into()),
            None => Self::Is(text.into()),
        }
    }

    fn means(&self, name: &str) -> bool {
        match self {
            Self::Is(text) => **text == *name,
            Self::BeginsWith(start) => name.starts_with(&**start),
        }
    }
}

impl Rule {
    /// Whether it is for this subject, who is in the groups that `is_in` says.
    pub(super) fn is_for(&self, subject: &Subject, is_in: &dyn Fn(&str) -> bool) -> bool {
        let holds = |condition: &Condition| match condition {
            Condition::Anonymous => subject.named_user().is_none(),
            Condition::User(user) => subject.named_user() == Some(user),
            Condition::Group(group) => {
                is_in(group)
                    || subject.is_said_in(group)
                    || (subject.may_be_vouched && self.effect == Effect::Allow)
            }
            Condition::Client(name) => name.means(&subject.client_id),
            Condition::Certificate(name) => {
                subject.certificate.as_ref().is_some_and(|certificate| name.means(certificate))
            }
            Condition::Address(network) => self.is_there(subject, |place| {
                place.0.is_some_and(|address| network.contains(address))
            }),
            Condition::Listener(listener) => self.is_there(subject, |place| place.1 == &**listener),
        };
        (subject.named_user().is_some() || !self.filter.asks_for_user())
            && self.who.iter().all(holds)
    }

    /// The topics that it is about, for this subject.
    pub(super) fn filter_for(&self, subject: &Subject) -> Cow<'_, RuleFilter> {
        match self.effect {
            Effect::Allow => Cow::Borrowed(&self.filter),
            Effect::Deny => self.filter.denied(subject),
        }
    }

    /// A condition on the place of who may be away.
    fn is_there(&self, subject: &Subject, holds: impl Fn((Option<IpAddr>, &str)) -> bool) -> bool {
        match subject.place {
            Some(place) => holds((place.address, place.listener)),
            None => self.effect == Effect::Allow,
        }
    }
}
