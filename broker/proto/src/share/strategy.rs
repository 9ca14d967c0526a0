//! Which member gets a message. Knows how busy members are, nothing else about them.

/// How a share group spreads messages over its members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// One after the other, who has room.
    #[default]
    RoundRobin,
    /// Whoever has the fewest messages unacknowledged.
    LeastInFlight,
    /// All messages of a topic to one member, so that their order holds.
    StickyTopic,
    /// All messages of a publisher to one member.
    StickyPublisher,
}

/// A member as a strategy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// A number that stays with the client through its connections.
    pub mark: u64,
    /// Messages that it has not acknowledged.
    pub in_flight: u32,
    /// Whether it can take one more now.
    pub has_room: bool,
}

impl Strategy {
    /// Whether the order of a topic or publisher holds, all of it being with one member.
    #[must_use]
    pub fn keeps_order(self) -> bool {
        matches!(self, Self::StickyTopic | Self::StickyPublisher)
    }

    /// The index of the member that gets a message with this mark, or `None` to wait. `look` tells
    /// of a member what it is to the strategy, or nothing where it is away; in turn no more are
    /// looked at than until one has room. `turn` is where the next choice begins.
    #[must_use]
    pub fn choose<M>(
        self,
        members: &[M],
        look: impl Fn(&M) -> Option<Candidate>,
        mark: u64,
        turn: usize,
    ) -> Option<usize> {
        let turn = turn.min(members.len());
        let in_turn = (turn..members.len()).chain(0..turn);
        let mut present = in_turn.filter_map(|at| Some((at, look(&members[at])?)));
        let chosen = match self {
            Self::RoundRobin => present.find(|(_, one)| one.has_room),
            Self::LeastInFlight => {
                present.filter(|(_, one)| one.has_room).min_by_key(|(_, one)| one.in_flight)
            }
            // The highest of all hashes: who comes or goes moves only what is its own. Of equal
            // ones the same whosever turn it is.
            Self::StickyTopic | Self::StickyPublisher => present
                .max_by_key(|(at, one)| (mixed(one.mark ^ mark), *at))
                .filter(|(_, one)| one.has_room),
        };
        chosen.map(|(at, _)| at)
    }
}

/// A mark for a text: FNV-1a, the same in every run.
#[must_use]
pub fn mark_of(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Every bit of the input in every bit of the output.
fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::{Candidate, Strategy, mark_of};

    fn members(states: &[(u32, bool)]) -> Vec<Candidate> {
        let mark = |at: usize| mark_of(&format!("client-{at}"));
        let candidate = |(at, (in_flight, has_room)): (usize, &(u32, bool))| Candidate {
            mark: mark(at),
            in_flight: *in_flight,
            has_room: *has_room,
        };
        states.iter().enumerate().map(candidate).collect()
    }

    fn here(one: &Candidate) -> Option<Candidate> {
        Some(*one)
    }

    #[test]
    fn in_turn_nobody_is_looked_at_behind_the_one_that_is_chosen() {
        let members = members(&[(0, true), (0, false), (0, true), (0, true)]);
        let looked = Cell::new(0);
        let look = |one: &Candidate| {
            looked.set(looked.get() + 1);
            Some(*one)
        };
        assert_eq!(Strategy::RoundRobin.choose(&members, look, 0, 1), Some(2));
        assert_eq!(looked.get(), 2, "the one without room, and the one behind it");
    }

    #[test]
    fn who_is_away_is_passed_over_whatever_the_strategy() {
        let all = members(&[(0, true); 3]);
        let away = |one: &Candidate| Some(*one).filter(|one| one.mark == all[1].mark);
        for strategy in [
            Strategy::RoundRobin,
            Strategy::LeastInFlight,
            Strategy::StickyTopic,
            Strategy::StickyPublisher,
        ] {
            let chosen = |turn| strategy.choose(&all, away, 7, turn);
            assert_eq!([chosen(0), chosen(2), chosen(9)], [Some(1); 3], "{strategy:?}");
            assert_eq!(strategy.choose(&all, |_| None, 7, 0), None, "{strategy:?}");
        }
    }

    #[test]
    fn round_robin_takes_turns_and_passes_over_who_has_no_room() {
        let members = members(&[(0, true), (0, false), (0, true)]);
        let choose = |turn| Strategy::RoundRobin.choose(&members, here, 0, turn);
        assert_eq!(
            [choose(0), choose(1), choose(2), choose(3)],
            [Some(0), Some(2), Some(2), Some(0)]
        );
        assert_eq!(Strategy::RoundRobin.choose(&[], here, 0, 5), None);
    }

    #[test]
    fn least_in_flight_takes_the_idlest_that_has_room() {
        let members = members(&[(5, true), (1, false), (2, true), (2, true)]);
        assert_eq!(Strategy::LeastInFlight.choose(&members, here, 0, 0), Some(2));
        assert_eq!(
            Strategy::LeastInFlight.choose(&members, here, 0, 3),
            Some(3),
            "ties take turns"
        );
    }

    #[test]
    fn a_sticky_topic_stays_with_its_member_when_others_come_and_go() {
        let all = members(&[(0, true); 5]);
        let fewer: Vec<_> = all[..4].to_vec();
        let (mut moved, mut used) = (0, [0; 5]);
        for topic in 0..1_000 {
            let mark = mark_of(&format!("plant/{topic}"));
            let before = Strategy::StickyTopic.choose(&all, here, mark, 0).expect("all have room");
            let after = Strategy::StickyTopic.choose(&fewer, here, mark, 3).expect("all have room");
            used[before] += 1;
            assert!(before == 4 || before == after, "topic {topic} moved from {before} to {after}");
            moved += usize::from(before != after);
        }
        assert!(used.iter().all(|count| (100..300).contains(count)), "{used:?}");
        assert_eq!(moved, used[4]);
    }

    #[test]
    fn a_sticky_topic_goes_to_one_also_where_two_members_have_the_same_mark() {
        let mut members = members(&[(0, true); 4]);
        members[2].mark = members[0].mark;
        let chosen = |mark, turn| Strategy::StickyTopic.choose(&members, here, mark, turn);
        for mark in (0..50).map(|topic| mark_of(&format!("plant/{topic}"))) {
            assert!((1..5).all(|turn| chosen(mark, turn) == chosen(mark, 0)));
        }
    }

    #[test]
    fn a_sticky_topic_waits_for_its_member() {
        let mut members = members(&[(0, true); 3]);
        let mark = mark_of("a");
        let at = Strategy::StickyTopic.choose(&members, here, mark, 0).expect("all have room");
        members[at].has_room = false;
        assert_eq!(Strategy::StickyTopic.choose(&members, here, mark, 0), None);
    }
}
