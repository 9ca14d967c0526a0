//! All rules, and what they come to for a subject. Never reads a file.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ahash::{AHashMap, AHashSet};

use super::action::Action;
use super::ready::{Admits, Compiled, Parts};
use super::rights::Rights;
use super::rule::{Effect, Parsed, Rule};
use super::shelf::Shelf;
use super::subject::Subject;

/// Sets of rules that are remembered before those that nobody has are looked for.
const SWEEP_AT: usize = 1_024;

/// What becomes of a SUBSCRIBE to more than a subject may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wide {
    /// It is refused.
    #[default]
    Refuse,
    /// It is taken, and messages that the subject may not have are left out.
    Sieve,
}

/// The rules in force. What none of them allows is denied.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    shelf: Shelf,
    groups: AHashMap<Box<str>, AHashSet<Box<str>>>,
    wide: Wide,
    /// What was made ready for those who are here, by the numbers of their rules.
    ready: Mutex<Ready>,
}

#[derive(Debug)]
struct Ready {
    known: AHashMap<Box<[u32]>, Weak<Compiled>>,
    sweep_at: usize,
}

impl Rules {
    /// The rules of these files together.
    #[must_use]
    pub fn new(files: Vec<Parsed>, wide: Wide) -> Self {
        let (mut rules, mut groups) = (Vec::new(), AHashMap::<_, AHashSet<_>>::new());
        for (number, file) in files.into_iter().enumerate() {
            rules.extend(file.rules.into_iter().map(|rule| Rule { file: number, ..rule }));
            for (group, user) in file.members {
                groups.entry(group).or_default().insert(user);
            }
        }
        let ready = Mutex::new(Ready { known: AHashMap::new(), sweep_at: SWEEP_AT });
        Self { shelf: Shelf::of(&rules), rules, groups, wide, ready }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none: then everything is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// What becomes of wide filters.
    #[must_use]
    pub fn wide(&self) -> Wide {
        self.wide
    }

    /// What this subject may do.
    #[must_use]
    pub fn rights(&self, subject: Subject) -> Rights {
        let common = self.compiled(self.kept_for(&subject, self.shelf.common().to_vec()));
        let own = self.kept_for(&subject, self.shelf.own(&subject));
        let own = (!own.is_empty()).then(|| self.compiled(own));
        Rights::new(Parts { common, own }, subject)
    }

    /// These rules, made ready: most often somebody who is here has them so. It is done while
    /// nobody waits for it.
    fn compiled(&self, numbers: Vec<u32>) -> Arc<Compiled> {
        let numbers: Box<[u32]> = numbers.into();
        let known = |ready: &Ready| ready.known.get(&numbers).and_then(Weak::upgrade);
        if let Some(compiled) = known(&self.ready.lock().unwrap_or_else(PoisonError::into_inner)) {
            return compiled;
        }
        let rules = numbers.iter().map(|number| &self.rules[*number as usize]);
        let parts = rules.map(|rule| (rule.effect, rule.actions, rule.filter.clone()));
        let compiled = Arc::new(Compiled::of(parts));
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = known(&ready) {
            // Somebody else was first.
            return compiled;
        }
        if ready.known.len() >= ready.sweep_at {
            ready.known.retain(|_, compiled| compiled.strong_count() > 0);
            ready.sweep_at = (2 * ready.known.len()).max(SWEEP_AT);
        }
        ready.known.insert(numbers, Arc::downgrade(&compiled));
        compiled
    }

    /// The rule that decides about a topic, and whether it is allowed; no rule: it is not.
    #[must_use]
    pub fn explain(&self, subject: &Subject, action: Action, topic: &str) -> (bool, Option<&Rule>) {
        let numbers = self.numbers(subject);
        let rules = numbers.iter().map(|number| &self.rules[*number as usize]);
        let about: Vec<&Rule> = rules
            .filter(|rule| {
                rule.actions.has(action) && rule.filter_for(subject).matches(topic, subject)
            })
            .collect();
        let first = |effect| about.iter().copied().find(|rule| rule.effect == effect);
        match first(Effect::Deny) {
            Some(rule) => (false, Some(rule)),
            None => match first(Effect::Allow) {
                Some(rule) => (true, Some(rule)),
                None => (false, None),
            },
        }
    }

    /// How much of what a filter matches a subject may have, and the rule that decides: no rule
    /// where none allows any of it.
    #[must_use]
    pub fn explain_filter(
        &self,
        subject: &Subject,
        action: Action,
        filter: &str,
    ) -> (Admits, Option<&Rule>) {
        let numbers = self.numbers(subject);
        let rules = numbers.iter().map(|number| &self.rules[*number as usize]);
        let about: Vec<&Rule> = rules.filter(|rule| rule.actions.has(action)).collect();
        let first = |effect, is_so: &dyn Fn(&Rule) -> bool| {
            about.iter().copied().find(|rule| rule.effect == effect && is_so(rule))
        };
        let covers = |rule: &Rule| rule.filter_for(subject).covers(filter, subject);
        let meets = |rule: &Rule| rule.filter_for(subject).meets(filter, subject);
        let (covered, met) = (first(Effect::Allow, &covers), first(Effect::Allow, &meets));
        if let Some(rule) = first(Effect::Deny, &covers) {
            return (Admits::None, Some(rule));
        }
        match (first(Effect::Deny, &meets), covered, met) {
            (_, _, None) => (Admits::None, None),
            (Some(denial), _, Some(_)) => (Admits::Some, Some(denial)),
            (None, Some(rule), _) => (Admits::All, Some(rule)),
            (None, None, Some(rule)) => (Admits::Some, Some(rule)),
        }
    }

    /// The rules that are for this subject.
    fn numbers(&self, subject: &Subject) -> Vec<u32> {
        let mut numbers = self.shelf.own(subject);
        numbers.extend(self.shelf.common());
        numbers.sort_unstable();
        self.kept_for(subject, numbers)
    }

    /// Those of these rules.
    fn kept_for(&self, subject: &Subject, mut numbers: Vec<u32>) -> Vec<u32> {
        let is_in = |group: &str| {
            let members = self.groups.get(group);
            subject.named_user().is_some_and(|user| members.is_some_and(|all| all.contains(user)))
        };
        numbers.retain(|number| self.rules[*number as usize].is_for(subject, &is_in));
        numbers
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Action, Rights, Rules, Subject, Wide};
    use crate::access::{Admits, Place, parse_mosquitto, parse_rules};

    fn rules(text: &str) -> Rules {
        Rules::new(vec![parse_rules(text).expect("good rules")], Wide::Refuse)
    }

    fn user(name: &str) -> Subject {
        let place = Place { address: "10.1.2.3".parse().ok(), listener: "mqtt" };
        let user = (!name.is_empty()).then(|| name.into());
        let (client_id, place) = ("c1".into(), Some(place));
        Subject { client_id, user, place, ..Subject::default() }
    }

    const RULES: &str = "
        group ops = ann
        allow everyone subscribe public/#
        allow group=ops any #
        deny  everyone publish public/rules
        allow user=bob publish,subscribe home/%u/#
        deny  user=bob retained home/bob/raw
        allow client=c1 publish dev/%c/+
        allow anonymous publish guests
        allow address=10.0.0.0/8 publish near
        allow listener=mqtts publish secret
        deny  address=10.1.0.0/16 publish far
        allow everyone publish far
        allow user=sys subscribe $SYS/#
    ";

    #[test]
    fn each_rule_holds_for_those_it_names_and_a_denial_wins() {
        let rules = rules(RULES);
        for (name, action, topic, expected) in [
            ("bob", Action::Subscribe, "public/x", true),
            ("bob", Action::Publish, "public/x", false),
            ("ann", Action::Publish, "public/x", true),
            ("ann", Action::Publish, "public/rules", false),
            ("ann", Action::Subscribe, "$SYS/x", false),
            ("sys", Action::Subscribe, "$SYS/x", true),
            ("bob", Action::Publish, "home/bob/raw", true),
            ("bob", Action::Retained, "home/bob/raw", false),
            ("bob", Action::Retained, "home/bob/x", true),
            ("bob", Action::Publish, "home/ann/x", false),
            ("", Action::Publish, "home//x", false),
            ("", Action::Publish, "guests", true),
            ("bob", Action::Publish, "guests", false),
            ("", Action::Publish, "dev/c1/x", true),
            ("", Action::Publish, "dev/c2/x", false),
            ("", Action::Publish, "near", true),
            ("", Action::Publish, "secret", false),
            ("", Action::Publish, "far", false),
            ("ann", Action::KafkaRead, "a", true),
            ("bob", Action::KafkaRead, "home/bob/x", false),
        ] {
            let subject = user(name);
            let rights = rules.rights(subject.clone());
            assert_eq!(rights.may(action, topic), expected, "{name} {action:?} {topic}");
            let (explained, _) = rules.explain(&subject, action, topic);
            assert_eq!(explained, expected, "explained: {name} {action:?} {topic}");
        }
    }

    #[test]
    fn who_is_away_keeps_what_his_place_allowed_and_is_not_held_to_what_it_denied() {
        let rules = rules(RULES);
        let away = rules.rights(Subject { place: None, ..user("") });
        assert!(away.may(Action::Publish, "near") && away.may(Action::Publish, "far"));
        assert!(!away.may(Action::Publish, "public/x"));
    }

    #[test]
    fn a_filter_is_allowed_whole_in_part_or_not_at_all() {
        let rules = rules("allow user=bob subscribe a/#\ndeny user=bob subscribe a/secret/#");
        let rights = rules.rights(user("bob"));
        for (filter, expected) in [
            ("a/b/+", Admits::All),
            ("a/#", Admits::Some),
            ("a/+", Admits::Some),
            ("#", Admits::Some),
            ("a/secret/x", Admits::None),
            ("a/secret/#", Admits::None),
            ("b/#", Admits::None),
        ] {
            assert_eq!(rights.admits(Action::Subscribe, filter), expected, "{filter}");
            let (told, _) = rules.explain_filter(&user("bob"), Action::Subscribe, filter);
            assert_eq!(told, expected, "explained: {filter}");
        }
        assert_eq!(rights.admits(Action::Publish, "a/b"), Admits::None);
    }

    #[test]
    fn no_rules_in_a_file_deny_everything() {
        let rules = rules("# nothing here\n");
        assert!(rules.is_empty());
        assert!(!rules.rights(user("ann")).may(Action::Publish, "a"));
        assert_eq!(rules.rights(user("ann")).admits(Action::Subscribe, "a"), Admits::None);
    }

    #[test]
    fn a_file_of_mosquitto_means_what_it_means_there() {
        let text = "
            # everybody without a name
            topic read news/#
            user roger
            topic foo/bar
            topic deny foo/bar/secret
            topic read foo/bar/#
            user ann lee
            topic write spaced topic/x
            pattern readwrite dev/%c/#
            pattern write of/%u/x
        ";
        let parsed = parse_mosquitto(text).expect("a good file");
        let rules = Rules::new(vec![parsed], Wide::Sieve);
        for (name, action, topic, expected) in [
            ("", Action::Subscribe, "news/x", true),
            ("", Action::Publish, "news/x", false),
            ("roger", Action::Subscribe, "news/x", false),
            ("roger", Action::Publish, "foo/bar", true),
            ("roger", Action::Subscribe, "foo/bar/x", true),
            ("roger", Action::Subscribe, "foo/bar/secret", false),
            ("roger", Action::Publish, "foo/bar/x", false),
            ("ann lee", Action::Publish, "spaced topic/x", true),
            ("ann lee", Action::Subscribe, "spaced topic/x", false),
            ("roger", Action::Retained, "dev/c1/x", true),
            ("roger", Action::Publish, "of/roger/x", true),
            ("", Action::Publish, "of//x", false),
        ] {
            let rights = rules.rights(user(name));
            assert_eq!(rights.may(action, topic), expected, "{name} {action:?} {topic}");
        }
        for (wrong, line) in [
            ("topic a/#/b", 1),
            ("user", 1),
            ("x", 1),
            ("\ntopic read #/a", 2),
            ("topic Deny secret/#", 1),
            ("topic spaced topic/x", 1),
            ("pattern  all\tdev/%c", 1),
            ("topic read $share/g/a", 1),
            ("topic deny $queue/a", 1),
        ] {
            assert_eq!(parse_mosquitto(wrong).expect_err(wrong).line, line, "{wrong}");
        }
    }

    #[test]
    fn nobody_escapes_a_denial_by_a_name_of_many_levels_and_nobody_is_allowed_more_by_one() {
        let text = "allow everyone any dev/#\ndeny everyone any dev/%c/secret/#\n\
                    deny everyone any of-%u/x\nallow everyone any of-a/#\n\
                    allow everyone any home/%c/#\nallow everyone subscribe $SYS/#\n\
                    deny everyone any %c/y";
        let rules = rules(text);
        for (client, topic, expected) in [
            ("a/b", "dev/a/b/secret/x", false),
            ("a/b", "dev/a/b/secret", false),
            ("a/b", "dev/a/secret", true),
            ("a/b", "dev/a/b/x", true),
            ("a", "dev/a/b/secret/x", true),
            ("a/", "dev/a//secret", false),
            ("/", "dev///secret", false),
            ("a/b", "of-a/b/x", false),
            ("a/b", "of-a/c/x", true),
            ("a/b", "home/a/b/x", false),
            ("a", "home/a/b/x", true),
            ("$SYS/x", "$SYS/x/y", true),
        ] {
            let subject = Subject { client_id: client.into(), ..user(client) };
            let rights = rules.rights(subject.clone());
            assert_eq!(rights.may(Action::Subscribe, topic), expected, "{client} {topic}");
            let (explained, _) = rules.explain(&subject, Action::Subscribe, topic);
            assert_eq!(explained, expected, "explained: {client} {topic}");
            let is_admitted = rights.admits(Action::Subscribe, topic) == Admits::All;
            assert_eq!(is_admitted, expected, "admitted: {client} {topic}");
            let (told, _) = rules.explain_filter(&subject, Action::Subscribe, topic);
            assert_eq!(told == Admits::All, expected, "told: {client} {topic}");
        }
        let rights = rules.rights(Subject { client_id: "a/b".into(), ..user("ann") });
        assert_eq!(rights.admits(Action::Subscribe, "dev/a/b/#"), Admits::Some);
        assert_eq!(rights.admits(Action::Subscribe, "dev/a/b/secret/+"), Admits::None);
        assert_eq!(rights.admits(Action::Subscribe, "dev/a/+"), Admits::All);
    }

    #[test]
    fn what_is_said_of_one_and_of_everybody_counts_together() {
        let rules = rules(
            "allow everyone any a/#\ndeny user=bob any a/secret/#\n\
             deny everyone any b/secret/#\nallow user=bob any b/#",
        );
        let (ann, bob) = (rules.rights(user("ann")), rules.rights(user("bob")));
        for (filter, of_ann, of_bob) in [
            ("a/x", Admits::All, Admits::All),
            ("a/#", Admits::All, Admits::Some),
            ("a/secret/x", Admits::All, Admits::None),
            ("b/x", Admits::None, Admits::All),
            ("b/#", Admits::None, Admits::Some),
            ("b/secret/x", Admits::None, Admits::None),
        ] {
            let admits = |rights: &Rights| rights.admits(Action::Subscribe, filter);
            assert_eq!((admits(&ann), admits(&bob)), (of_ann, of_bob), "{filter}");
            let may = |rights: &Rights| rights.may(Action::Publish, filter);
            if !filter.ends_with('#') {
                let all = (of_ann == Admits::All, of_bob == Admits::All);
                assert_eq!((may(&ann), may(&bob)), all, "{filter}");
            }
        }
        assert!(bob.has_denial(Action::Replay) && ann.has_denial(Action::Replay));
    }

    #[test]
    fn subjects_with_the_same_rules_share_what_was_made_of_them() {
        let rules = rules("allow everyone publish dev/%c\nallow user=bob publish x");
        let of =
            |client: &str, name| rules.rights(Subject { client_id: client.into(), ..user(name) });
        let (one, two, bob) = (of("c1", "ann"), of("c2", "eve"), of("c3", "bob"));
        assert!(Arc::ptr_eq(&one.parts.common, &two.parts.common));
        assert!(Arc::ptr_eq(&one.parts.common, &bob.parts.common), "his own are apart");
        assert!(one.parts.own.is_none() && bob.parts.own.is_some());
        assert!(bob.may(Action::Publish, "x") && bob.may(Action::Publish, "dev/c3"));
        assert!(!one.may(Action::Publish, "x"));
        let system = Rules::new(
            vec![parse_rules("allow everyone any %c/#").expect("good rules")],
            Wide::Refuse,
        );
        let named_so = Subject { client_id: "$SYS".into(), ..user("ann") };
        assert!(!system.rights(named_so).may(Action::Subscribe, "$SYS/x"));
        assert!(one.may(Action::Publish, "dev/c1") && !one.may(Action::Publish, "dev/c2"));
    }

    #[test]
    fn the_line_that_decides_is_named() {
        let rules = rules(RULES);
        let line = |name, topic| {
            rules.explain(&user(name), Action::Publish, topic).1.map(|rule| rule.line)
        };
        assert_eq!(line("ann", "public/rules"), Some(5));
        assert_eq!(line("ann", "x"), Some(4));
        assert_eq!(line("eve", "x"), None);
    }
}
