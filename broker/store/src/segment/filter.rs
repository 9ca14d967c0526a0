//! An MQTT filter as an automaton over the bytes of topics. Matches what
//! [`tidewire_proto::topic::matches`] does, one byte at a time.

use fst::Automaton;

/// A filter that was checked and is not shared.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilterAutomaton<'a> {
    filter: &'a [u8],
}

/// How far a topic has matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It does not, whatever comes.
    Dead,
    /// The filter's bytes before this are matched; on a `+`, the level goes on.
    At(usize),
    /// Whatever comes, it does.
    Rest,
}

impl<'a> FilterAutomaton<'a> {
    pub(super) fn new(filter: &'a str) -> Self {
        Self { filter: filter.as_bytes() }
    }

    /// What every topic that matches begins with.
    pub(super) fn prefix(&self) -> &'a [u8] {
        let wildcard = self.filter.iter().position(|byte| matches!(byte, b'+' | b'#'));
        match wildcard {
            None => self.filter,
            // `a/#` matches `a` as well.
            Some(at) if self.filter[at] == b'#' => &self.filter[..at.saturating_sub(1)],
            Some(at) => &self.filter[..at],
        }
    }

    /// Only one topic can match.
    pub(super) fn is_exact(&self) -> bool {
        self.prefix().len() == self.filter.len()
    }

    fn rest(&self, at: usize) -> &'a [u8] {
        self.filter.get(at..).unwrap_or_default()
    }
}

impl Automaton for FilterAutomaton<'_> {
    type State = State;

    fn start(&self) -> State {
        State::At(0)
    }

    fn is_match(&self, state: &State) -> bool {
        match state {
            State::Dead => false,
            State::Rest => true,
            State::At(at) => matches!(self.rest(*at), b"" | b"+" | b"#" | b"/#" | b"+/#"),
        }
    }

    fn can_match(&self, state: &State) -> bool {
        *state != State::Dead
    }

    fn will_always_match(&self, state: &State) -> bool {
        *state == State::Rest
    }

    fn accept(&self, state: &State, byte: u8) -> State {
        let State::At(at) = *state else { return *state };
        match self.rest(at) {
            [b'+' | b'#', ..] if at == 0 && byte == b'$' => State::Dead,
            [b'#', ..] => State::Rest,
            [b'+', b'/', ..] if byte == b'/' => State::At(at + 2),
            [b'+', ..] if byte != b'/' => State::At(at),
            [b'+', ..] => State::Dead,
            [wanted, ..] if *wanted == byte => State::At(at + 1),
            _ => State::Dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use fst::Automaton;
    use proptest::prelude::ProptestConfig;
    use proptest::{prop_assert_eq, proptest};
    use tidewire_proto::topic::{check_filter, matches};

    use super::FilterAutomaton;

    fn accepts(filter: &str, topic: &str) -> bool {
        let automaton = FilterAutomaton::new(filter);
        let step = |state, byte| automaton.accept(&state, byte);
        automaton.is_match(&topic.bytes().fold(automaton.start(), step))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5_000))]

        #[test]
        fn an_automaton_matches_what_the_filter_matches(
            filter in "([ab$+]{0,2}/){0,3}[ab+#$]{0,2}",
            topic in "[$]?([ab]{0,2}/){0,4}[ab]{0,2}",
        ) {
            if check_filter(&filter).is_ok() && !topic.is_empty() {
                prop_assert_eq!(accepts(&filter, &topic), matches(&filter, &topic));
                let prefix = FilterAutomaton::new(&filter).prefix();
                if matches(&filter, &topic) {
                    prop_assert_eq!(topic.as_bytes().starts_with(prefix), true);
                }
            }
        }
    }

    #[test]
    fn levels_and_dollars_are_as_mqtt_has_them() {
        for (filter, topic, expected) in [
            ("a/#", "a", true),
            ("a/#", "ab", false),
            ("+/#", "a", true),
            ("+", "", true),
            ("a/+", "a/", true),
            ("a/+/c", "a//c", true),
            ("+/+", "/", true),
            ("#", "$SYS/a", false),
            ("+/a", "$SYS/a", false),
            ("$SYS/#", "$SYS/a", true),
            ("a/+", "a/$b", true),
        ] {
            assert_eq!(accepts(filter, topic), expected, "{filter} {topic}");
        }
    }
}
