//! What a session may do, and which answers were given of late. Never says what follows from a no.

use ahash::AHashMap;
use tidewire_proto::access::{Action, Actions, Admits, Rights, Wide};
use tidewire_proto::topic;

use crate::core::denial::FilterDenial;
use crate::metrics::FilterFault;
use crate::topic_rules::without_exclusive;

/// Topics whose answers one session remembers, and how long they may be: to ask the rules costs
/// some two hundred nanoseconds, to remember a tenth of it.
const KNOWN_MAX: usize = 32;
const KNOWN_BYTES_MAX: usize = 128;
/// So many topics that were not known, and others are remembered.
const MISSES_MAX: u32 = 256;

const NOT_ALL: FilterDenial = FilterDenial::new(
    FilterFault::NotAuthorized,
    "the client may not receive all that this filter matches",
);

/// The rights of one session under the rules in force.
pub(crate) struct Granted {
    rights: Rights,
    wide: Wide,
    known: AHashMap<Box<str>, Actions>,
    misses: u32,
    /// Some subscription matches more than the client may receive: each message is asked for.
    pub(crate) is_sieved: bool,
}

impl Granted {
    pub(crate) fn new(rights: Rights, wide: Wide) -> Self {
        Self { rights, wide, known: AHashMap::new(), misses: 0, is_sieved: false }
    }

    /// Whether the client may do this with this topic.
    pub(crate) fn may(&mut self, action: Action, topic: &str) -> bool {
        if let Some(actions) = self.known.get(topic) {
            return actions.has(action);
        }
        let actions = self.rights.actions(topic);
        self.misses += 1;
        if self.misses >= MISSES_MAX {
            self.misses = 0;
            self.known.clear();
        }
        if self.known.len() < KNOWN_MAX && topic.len() <= KNOWN_BYTES_MAX {
            self.known.insert(topic.into(), actions);
        }
        actions.has(action)
    }

    /// Whether it may publish a message.
    pub(crate) fn may_publish(&mut self, topic: &str, is_retained: bool) -> bool {
        self.may(if is_retained { Action::Retained } else { Action::Publish }, topic)
    }

    /// Whether it may subscribe. What counts is the filter behind `$share/` and `$exclusive/`. Who
    /// replays gets first what lies in the past, then what comes.
    pub(crate) fn permit(&mut self, filter: &str, is_replay: bool) -> Result<(), FilterDenial> {
        let (filter, _) = without_exclusive(filter);
        // What is no filter is refused as such.
        let Ok(share) = topic::split_share(filter) else { return Ok(()) };
        let plain = share.map_or(filter, |(_, plain)| plain);
        match self.admits(share.is_some(), is_replay, plain) {
            Admits::All => Ok(()),
            // What one member of a group may not have, another may: nothing can be left out.
            Admits::Some if self.wide == Wide::Sieve && share.is_none() => {
                self.is_sieved = true;
                Ok(())
            }
            Admits::Some | Admits::None => Err(NOT_ALL),
        }
    }

    fn admits(&self, is_shared: bool, is_replay: bool, plain: &str) -> Admits {
        let live = if is_shared { Action::Shared } else { Action::Subscribe };
        let past = is_replay && !is_shared;
        match (self.rights.admits(live, plain), past) {
            (Admits::All, true) => self.rights.admits(Action::Replay, plain),
            (Admits::Some, true) if self.rights.admits(Action::Replay, plain) == Admits::None => {
                Admits::None
            }
            (admits, _) => admits,
        }
    }

    /// Under these rights the session has these filters, and is replaying some: what is to be left
    /// out is, and the answer is which shared ones it may not have any more.
    pub(crate) fn take_over<'a>(
        &mut self,
        filters: impl Iterator<Item = (&'a str, bool)>,
    ) -> Vec<Box<str>> {
        let mut lost = Vec::new();
        for (filter, is_replay) in filters {
            let (is_shared, plain) = match topic::split_share(filter) {
                Ok(Some((_, plain))) => (true, plain),
                _ => (false, filter),
            };
            match self.admits(is_shared, is_replay, plain) {
                Admits::All => (),
                _ if is_shared => lost.push(filter.into()),
                _ => self.is_sieved = true,
            }
        }
        lost
    }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::access::{Action, Rules, Subject, Wide, parse_rules};

    use super::{Granted, KNOWN_MAX, MISSES_MAX};

    fn granted(text: &str, wide: Wide) -> Granted {
        let rules = Rules::new(vec![parse_rules(text).expect("good rules")], wide);
        Granted::new(rules.rights(Subject::default()), wide)
    }

    #[test]
    fn an_answer_is_the_same_remembered_or_not_and_few_are_remembered() {
        let mut granted = granted("allow everyone publish even/+", Wide::Refuse);
        for round in 0..3 {
            for number in 0..MISSES_MAX {
                let topic = format!("{}/{number}", if number % 2 == 0 { "even" } else { "odd" });
                let expected = number % 2 == 0;
                assert_eq!(granted.may(Action::Publish, &topic), expected, "{round} {topic}");
                assert!(!granted.may(Action::Subscribe, &topic));
                assert!(granted.known.len() <= KNOWN_MAX);
            }
        }
    }

    #[test]
    fn what_counts_is_the_filter_behind_its_prefixes() {
        let rules = "allow everyone subscribe a/#\ndeny everyone replay a/past\n\
                     allow everyone replay only/past\nallow everyone subscribe part/+";
        for (filter, is_replay, wide, is_allowed, is_sieved) in [
            ("a/b", false, Wide::Refuse, true, false),
            ("$share/g/a/b", false, Wide::Refuse, true, false),
            ("$share/a/b/c", false, Wide::Refuse, false, false),
            ("$exclusive/a/b", false, Wide::Refuse, true, false),
            ("$exclusive/b", false, Wide::Refuse, false, false),
            ("a/past", false, Wide::Refuse, true, false),
            ("a/past", true, Wide::Sieve, false, false),
            ("a/b", true, Wide::Refuse, true, false),
            ("a/#", true, Wide::Refuse, false, false),
            ("a/#", true, Wide::Sieve, true, true),
            ("part/#", true, Wide::Sieve, true, true),
            ("only/past", true, Wide::Sieve, false, false),
            ("#", false, Wide::Refuse, false, false),
            ("#", false, Wide::Sieve, true, true),
            ("$share/g/#", false, Wide::Sieve, false, false),
            ("b", false, Wide::Sieve, false, false),
        ] {
            let mut granted = granted(rules, wide);
            assert_eq!(granted.permit(filter, is_replay).is_ok(), is_allowed, "{filter}");
            assert_eq!(granted.is_sieved, is_sieved, "{filter}");
        }
    }

    #[test]
    fn filters_of_before_stay_and_are_sieved_but_shared_ones_are_lost() {
        let mut granted = granted("allow everyone subscribe a/#", Wide::Refuse);
        let live = |filter: &'static str| (filter, false);
        assert!(granted.take_over(["a/b", "$share/g/a/b"].map(live).into_iter()).is_empty());
        assert!(!granted.is_sieved);
        let lost = granted.take_over(["b", "$share/g/b", "$share/g/#"].map(live).into_iter());
        assert_eq!(lost, ["$share/g/b".into(), "$share/g/#".into()] as [Box<str>; 2]);
        assert!(granted.is_sieved);
    }

    #[test]
    fn what_is_replayed_is_sieved_when_the_past_may_not_be_had_any_more() {
        for (is_replay, is_sieved) in [(false, false), (true, true)] {
            let rules = "allow everyone subscribe a/#\ndeny everyone replay a/#";
            let mut granted = granted(rules, Wide::Refuse);
            assert!(granted.take_over([("a/b", is_replay)].into_iter()).is_empty());
            assert_eq!(granted.is_sieved, is_sieved);
        }
    }
}
