//! What somebody who vouches for a subject says about it besides its name: groups, and the topics
//! that it may have at most. Reads no token and no answer.

use std::sync::Arc;

use super::narrow::Narrow;
use super::rights::Rights;
use super::rules::Rules;
use super::subject::Subject;

/// What is said about a subject besides its name.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Vouched {
    /// Groups that it is in, besides those of the rules.
    pub groups: Arc<[Box<str>]>,
    /// The most that it may have; `None`: whatever the rules give.
    pub narrow: Option<Arc<Narrow>>,
    /// No rule holds for it. What it may have at most still does.
    pub is_superuser: bool,
}

impl Vouched {
    /// The same where something is said.
    #[must_use]
    pub fn shared(self) -> Option<Arc<Self>> {
        (self != Self::default()).then(|| Arc::new(self))
    }
}

/// What a subject may do under these rules, if there are any, for whom this was said, if anything
/// was. `None`: everything.
#[must_use]
pub fn rights_of(
    rules: Option<&Rules>,
    subject: Subject,
    vouched: Option<&Vouched>,
) -> Option<Rights> {
    let Some(vouched) = vouched else { return rules.map(|rules| rules.rights(subject)) };
    let subject = Subject { groups: Arc::clone(&vouched.groups), ..subject };
    match (rules.filter(|_| !vouched.is_superuser), &vouched.narrow) {
        (Some(rules), narrow) => Some(rules.rights(subject).within(narrow.clone())),
        (None, Some(narrow)) => {
            Some(Rights::without_rules(subject).within(Some(Arc::clone(narrow))))
        }
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Vouched, rights_of};
    use crate::access::{Action, Admits, Narrow, NarrowError, Rules, Subject, Wide, parse_rules};

    const RULES: &str = "group plant\ngroup ops = bob\nallow group=plant any plant/#\n\
                         deny group=plant publish plant/secret\nallow group=ops subscribe #\n\
                         allow everyone kafka-group #";

    fn rules() -> Rules {
        Rules::new(vec![parse_rules(RULES).expect("good rules")], Wide::Refuse)
    }

    fn ann() -> Subject {
        Subject { client_id: "c1".into(), user: Some("ann".into()), ..Subject::default() }
    }

    fn narrow(publish: &[&str], subscribe: &[&str]) -> Option<Arc<Narrow>> {
        let narrow = Narrow::new(publish.iter().copied(), subscribe.iter().copied());
        Some(Arc::new(narrow.expect("good filters")))
    }

    #[test]
    fn a_group_that_is_said_counts_as_one_of_the_rules() {
        let rules = rules();
        for (groups, topic, expected) in [
            (&[][..], "plant/1", false),
            (&["plant"], "plant/1", true),
            (&["plant"], "plant/secret", false),
            (&["other", "plant"], "plant/1", true),
            (&["Plant"], "plant/1", false),
        ] {
            let groups = groups.iter().map(|group| (*group).into()).collect();
            let vouched = Vouched { groups, ..Vouched::default() };
            let rights = rights_of(Some(&rules), ann(), Some(&vouched)).expect("rules");
            assert_eq!(rights.may(Action::Publish, topic), expected, "{vouched:?} {topic}");
        }
        let away = Subject { may_be_vouched: true, ..ann() };
        let rights = rights_of(Some(&rules), away, None).expect("rules");
        assert!(rights.may(Action::Publish, "plant/1"), "it may have been in the group");
        assert!(rights.may(Action::Publish, "plant/secret"), "and no denial is made of that");
    }

    #[test]
    fn what_is_had_at_most_takes_from_the_rules_and_adds_nothing() {
        let rules = rules();
        let vouched = Vouched {
            groups: [Box::from("plant")].into(),
            narrow: narrow(&["plant/%c/#", "plant/secret", "other/#"], &["plant/+", "#"]),
            is_superuser: false,
        };
        let rights = rights_of(Some(&rules), ann(), Some(&vouched)).expect("rules");
        for (action, topic, expected) in [
            (Action::Publish, "plant/c1/x", true),
            (Action::Retained, "plant/c1/x", true),
            (Action::KafkaWrite, "plant/c1/x", true),
            (Action::Publish, "plant/c2/x", false),
            (Action::Publish, "plant/secret", false),
            (Action::Publish, "other/x", false),
            (Action::Subscribe, "plant/x/y", true),
            (Action::Subscribe, "other/x", false),
            (Action::KafkaGroup, "whatever", true),
            (Action::KafkaAdmin, "plant/c1/x", false),
        ] {
            assert_eq!(rights.may(action, topic), expected, "{action:?} {topic}");
        }
        assert_eq!(rights.admits(Action::Subscribe, "plant/#"), Admits::All);
        assert_eq!(rights.admits(Action::Publish, "plant/#"), Admits::Some);
        assert_eq!(rights.admits(Action::Publish, "else/#"), Admits::None);
    }

    #[test]
    fn without_rules_only_what_is_had_at_most_counts() {
        assert!(rights_of(None, ann(), None).is_none());
        let free = Vouched { is_superuser: true, ..Vouched::default() };
        assert!(rights_of(Some(&rules()), ann(), Some(&free)).is_none(), "everything");
        for is_superuser in [false, true] {
            let narrow = narrow(&[], &["a/#"]);
            let vouched = Vouched { narrow, is_superuser, ..Vouched::default() };
            let rules = rules();
            let rules = is_superuser.then_some(&rules);
            let rights = rights_of(rules, ann(), Some(&vouched)).expect("bounds");
            assert!(rights.may(Action::Subscribe, "a/b") && rights.may(Action::Replay, "a"));
            assert!(!rights.may(Action::Publish, "a/b") && !rights.may(Action::Subscribe, "b"));
            assert!(!rights.may(Action::Subscribe, "$SYS/x"));
            assert_eq!(rights.admits(Action::Subscribe, "a/+"), Admits::All);
            assert_eq!(rights.admits(Action::Subscribe, "#"), Admits::Some);
            assert!(rights.has_denial(Action::KafkaRead));
        }
    }

    #[test]
    fn bounds_that_are_wrong_are_none() {
        for filters in [&["a/#/b"][..], &[""], &["$share/g/a"]] {
            assert!(Narrow::new(filters.iter().copied(), []).is_err(), "{filters:?}");
        }
        let many = vec!["a"; 257];
        assert_eq!(Narrow::new(many, []).err(), Some(NarrowError::Many));
    }
}
