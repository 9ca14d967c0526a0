//! A subscription that begins in the past: the session goes back in the log for it, and its other
//! subscriptions wait until it has come to where it was.

use tidewire_proto::mqtt::ReasonCode;
use tidewire_proto::replay::Start;
use tidewire_proto::session::cursor::Positions;
use tidewire_store::{ReadError, Store};

use crate::core::open::{ConnId, Phase, Seek};
use crate::core::state::{Core, Deferred};
use crate::core::turn::Waiting;
use crate::metrics::{CloseReason, DropReason, Quality};

/// Beginnings that one session may have looked up at a time.
const SEEKS_MAX: usize = 16;
/// How long the end of a replay waits for what is on its way to the log.
const LEFT_MS_MAX: i64 = 1_000;
/// Live messages at QoS 0 that were to come from the log, and are not in it.
const SLOW: (DropReason, Quality) = (DropReason::Slow, Quality::AtMostOnce);

impl Core {
    /// Whether earlier SUBSCRIBEs with replays are not answered, as many as may be.
    pub(crate) fn is_replaying(&mut self, id: ConnId) -> bool {
        self.open(id).is_some_and(|open| open.seeking >= SEEKS_MAX)
    }

    /// Looks up where a subscription begins. Nothing more is sent from the log until it is known.
    pub(crate) fn seek(&mut self, id: ConnId, filter: &str, start: Start, token: u32) {
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        open.cursor.fall_behind(&self.positions);
        open.seeking += 1;
        if !open.subscriptions.has_replays() {
            // Of one that was given up. Other subscriptions may have matched it.
            let missed = std::mem::take(&mut open.left.count);
            if open.subscriptions.has_beginnings() {
                self.counters.messages_dropped.add(SLOW, missed);
            }
        }
        open.left.since = self.positions.clone();
        open.left.since_ms = self.now_ms;
        open.left.until_ms = None;
        open.subscriptions.hold_live(filter);
        let seek = Seek { conn: id, filter: filter.into(), start, token };
        self.deferred.push(Deferred::Seek(seek));
        self.end_turn_soon();
    }

    pub(crate) fn on_sought(&mut self, seek: Seek, found: Result<Positions, ReadError>) {
        let Seek { conn: id, filter, token, .. } = seek;
        // Rows of all its filters may be more than one commit holds. Nobody else's goes with them,
        // and its cursor goes back in the last, when all its filters say from where they count.
        self.submit();
        let from = self.next_ticket;
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        if conn.serial != id.serial {
            return;
        }
        let start = match found {
            Ok(start) => start,
            Err(error) => {
                let filter = &*filter;
                tracing::error!(%error, filter, "where a subscription begins cannot be looked up");
                let reason = Some(ReasonCode::UNSPECIFIED_ERROR);
                return self.close(id, CloseReason::Limit, reason);
            }
        };
        // It may have been given up meanwhile.
        if open.subscriptions.contains(&filter) {
            let stood = open.cursor.rewind(&self.positions, &start);
            // A read that is under way was for another place, or for fewer subscriptions.
            open.last_read += 1;
            open.subscriptions.replay(&filter, start, &stood);
            let filters = open.subscriptions.iter().map(|(filter, _)| filter.into());
            let filters: Vec<Box<str>> = filters.collect();
            for filter in filters {
                self.write_subscription(id, &filter);
                if self.is_turn_large() {
                    self.commit();
                }
            }
            self.mark_changed(id, true);
        }
        self.turn.waiting.push(Waiting::Joining(id, token, from));
        self.end_turn_soon();
    }

    /// The session has come to where its core is: replays are over, when what was left to the log
    /// meanwhile is read too.
    pub(crate) fn on_caught_up(&mut self, id: ConnId) {
        let Some(open) = self.open(id) else { return };
        if !open.subscriptions.has_beginnings() {
            if !open.subscriptions.has_replays() {
                // They were given up, and with them what was left to the log.
                open.left.count = 0;
            }
            return;
        }
        if self.is_owed_more(id) {
            return;
        }
        let Some(open) = self.open(id) else { return };
        let replayed = open.subscriptions.caught_up();
        open.left.until_ms = None;
        let missed = std::mem::take(&mut open.left.count);
        if missed > 0 {
            self.counters.messages_dropped.add(SLOW, missed);
        }
        for filter in replayed {
            self.write_subscription(id, &filter);
        }
        self.end_turn_soon();
    }

    /// Whether messages at QoS 0 that were left to the log are on their way to it. The session
    /// goes on from there when they have come, or have had their time.
    fn is_owed_more(&mut self, id: ConnId) -> bool {
        let elapsed_ms = self.shared.clock.elapsed_ms();
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return false };
        let Phase::Open(open) = &mut conn.phase else { return false };
        let left = &mut open.left;
        if left.count == 0 || !open.subscriptions.has_replays() {
            return false;
        }
        if elapsed_ms >= *left.until_ms.get_or_insert(elapsed_ms + LEFT_MS_MAX) {
            return false;
        }
        open.cursor.fall_behind(&self.positions);
        if !std::mem::replace(&mut left.is_awaited, true) {
            self.deferred.push(Deferred::LeftToLog(id));
            self.end_turn_soon();
        }
        true
    }

    /// What was left to the log may be there.
    pub(crate) fn on_left_to_log(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id.key as usize) else { return };
        let Phase::Open(open) = &mut conn.phase else { return };
        if conn.serial == id.serial {
            open.left.is_awaited = false;
            self.feed(id);
        }
    }
}

/// Where the messages from `start` on begin, in every partition.
pub(crate) fn find_start(store: &Store, start: Start) -> Result<Positions, ReadError> {
    let mut positions = Positions::default();
    for stream in store.streams().iter() {
        for partition in stream.partitions.iter().copied() {
            let offset = match start {
                Start::Earliest => store.bounds(partition).map_or(0, |(first, _)| first),
                Start::At(time_ms) => store.offset_at(partition, time_ms)?,
            };
            positions.advance(partition, offset);
        }
    }
    Ok(positions)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tidewire_proto::access::{Rules, Subject, Wide, parse_rules};
    use tidewire_proto::session::cursor::Positions;
    use tidewire_store::Follower;

    use super::{Start, find_start};
    use crate::core::alone::Alone;
    use crate::core::granted::Granted;
    use crate::core::open::ConnId;
    use crate::core::state::Deferred;

    const SUBSCRIBE: &[u8] = b"\x00\x01\x00\x00\x0d$s/earliest/a\x01";
    const UNSUBSCRIBE: &[u8] = b"\x00\x02\x00\x00\x0d$s/earliest/a";
    const PUBLISH: [u8; 7] = *b"\x30\x05\x00\x01a\x00x";

    /// A replay that came to the end of the log, when a message was handed out and is not in it.
    fn at_the_end(alone: &mut Alone) -> ConnId {
        alone.store.follow(Arc::clone(&alone.core.inbox) as Arc<dyn Follower>);
        let [reader, writer] = ["reader", "writer"].map(|name| alone.connect(name));
        alone.settle();
        alone.say(reader, 0x82, SUBSCRIBE);
        alone.settle();
        let Some(Deferred::Seek(seek)) = alone.core.deferred.pop() else {
            panic!("it is looked up where the subscription begins");
        };
        alone.core.on_sought(seek, Ok(Positions::default()));
        alone.core.submit();
        alone.say(writer, PUBLISH[0], &PUBLISH[2..]);
        alone.heard(reader);
        alone.settle();
        assert_eq!(alone.heard(reader).first(), Some(&0x90), "SUBACK");
        reader
    }

    fn is_replaying(alone: &mut Alone, id: ConnId) -> bool {
        alone.core.open(id).expect("it is connected").subscriptions.has_replays()
    }

    #[test]
    fn what_is_published_at_qos_0_when_a_replay_ends_comes_from_the_log() {
        let mut alone = Alone::new(|_| ());
        let reader = at_the_end(&mut alone);
        alone.core.on_left_to_log(reader);
        assert!(is_replaying(&mut alone, reader), "something is owed");
        alone.core.on_late();
        alone.settle();
        alone.core.on_left_to_log(reader);
        assert_eq!(alone.heard(reader), PUBLISH);
        assert!(!is_replaying(&mut alone, reader));
    }

    #[test]
    fn what_was_left_to_the_log_by_a_replay_that_was_given_up_is_not_awaited_by_the_next() {
        for is_at_once in [false, true] {
            let mut alone = Alone::new(|_| ());
            let reader = at_the_end(&mut alone);
            alone.say(reader, 0xa2, UNSUBSCRIBE);
            alone.settle();
            if !is_at_once {
                alone.core.on_left_to_log(reader);
                let open = alone.core.open(reader).expect("it is connected");
                assert_eq!(open.left.count, 0, "nobody wants it");
            }
            alone.say(reader, 0x82, SUBSCRIBE);
            alone.settle();
            let seek = alone.core.deferred.drain(..).find_map(|deferred| match deferred {
                Deferred::Seek(seek) => Some(seek),
                _ => None,
            });
            alone.core.on_sought(seek.expect("it begins anew"), Ok(Positions::default()));
            alone.settle();
            assert!(!is_replaying(&mut alone, reader), "it waits for nothing: {is_at_once}");
        }
    }

    #[test]
    fn a_replay_ends_also_when_what_was_left_to_the_log_never_comes() {
        let mut alone = Alone::new(|_| ());
        let reader = at_the_end(&mut alone);
        assert!(is_replaying(&mut alone, reader));
        alone.core.open(reader).expect("it is connected").left.until_ms = Some(0);
        alone.core.on_left_to_log(reader);
        assert!(!is_replaying(&mut alone, reader));
    }

    /// How many PUBLISH at QoS 1 there are among these short packets.
    fn published(bytes: &[u8]) -> usize {
        let (mut rest, mut count) = (bytes, 0);
        while let [first, length, behind @ ..] = rest {
            count += usize::from(*first == 0x32);
            rest = &behind[usize::from(*length)..];
        }
        count
    }

    /// How much of the past a replay brings when these rules hold before it begins, and how much
    /// of what comes after it.
    fn replayed_under(rules: &str) -> (usize, usize) {
        const PAST: &[u8] = b"\x00\x01a\x00\x01\x00x";
        let mut alone = Alone::new(|_| ());
        alone.store.follow(Arc::clone(&alone.core.inbox) as Arc<dyn Follower>);
        let [reader, writer] = ["reader", "writer"].map(|name| alone.connect(name));
        alone.settle();
        alone.say(writer, 0x32, PAST);
        alone.settle();
        alone.heard(reader);
        alone.say(reader, 0x82, SUBSCRIBE);
        alone.settle();
        let Some(Deferred::Seek(seek)) = alone.core.deferred.pop() else {
            panic!("it is looked up where the subscription begins");
        };
        let rules = Rules::new(vec![parse_rules(rules).expect("good rules")], Wide::Refuse);
        let mut granted = Granted::new(rules.rights(Subject::default()), Wide::Refuse);
        let open = alone.core.open(reader).expect("it is here");
        let all = open.subscriptions.iter().map(|(filter, one)| (filter, one.is_replay));
        assert!(granted.take_over(all).is_empty());
        open.granted = Some(Box::new(granted));
        let found = find_start(&alone.store, Start::Earliest);
        alone.core.on_sought(seek, found);
        alone.settle();
        alone.settle();
        let past = published(&alone.heard(reader));
        alone.say(writer, 0x32, PAST);
        alone.settle();
        alone.settle();
        (past, published(&alone.heard(reader)))
    }

    #[test]
    fn who_lost_the_right_to_replay_gets_no_more_of_the_past_and_all_that_comes() {
        assert_eq!(replayed_under("allow everyone subscribe a"), (1, 1));
        let no_past = "allow everyone subscribe a\ndeny everyone replay a";
        assert_eq!(replayed_under(no_past), (0, 1));
        assert_eq!(replayed_under("allow everyone replay a"), (0, 0));
    }
}
