//! What a client of another broker sends there: exchanges in order, what must be durable before
//! what leaves, and all of it again after the connection was lost. Knows no log and no socket.

use std::collections::{BTreeMap, VecDeque};

use crate::id::{PacketId, PartitionId};
use crate::qos::Qos;
use crate::session::by_number::ByNumber;
use crate::session::window::{Exchange, OnPubrec, Place, Step, Window, packet_id};

/// Something that may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// A PUBLISH.
    Publish {
        /// The number of its exchange.
        number: u64,
        /// Its packet id.
        id: PacketId,
        /// What is sent.
        exchange: Exchange,
        /// It may have been sent before, in this session.
        dup: bool,
    },
    /// A PUBREL.
    Release(PacketId),
}

/// What an acknowledgement meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// The exchange is over: the other side has the message, or has refused it.
    Over(Place),
    /// The step is to be stored; PUBREL follows by itself.
    Noted,
    /// There is no such exchange.
    Unknown,
}

/// The exchange of one message, as far as the window does not say it.
#[derive(Clone, Copy, Debug)]
struct Sending {
    /// What is sent next has to wait until this change is durable.
    needs: u64,
    /// It has been sent in this session, or may have been.
    was_sent: bool,
}

/// Exchanges on their way out.
///
/// What the caller keeps for them, [`window`](Self::window), is numbered by
/// [`change`](Self::change): it stores that now and then, and says so by
/// [`stored`](Self::stored).
#[derive(Debug)]
pub struct Outbox {
    window: Window,
    sendings: ByNumber<Sending>,
    publishes: VecDeque<u64>,
    releases: VecDeque<u64>,
    /// What the other side takes at a time, and what is left of it.
    quota_max: u16,
    quota: u16,
    change: u64,
    durable: u64,
    /// Messages from this number on are not at hand.
    absent_from: u64,
}

impl Outbox {
    /// Nothing is on its way. At most `limit` will be.
    #[must_use]
    pub fn new(limit: u16) -> Self {
        Self {
            window: Window::new(limit),
            sendings: ByNumber::default(),
            publishes: VecDeque::new(),
            releases: VecDeque::new(),
            quota_max: 0,
            quota: 0,
            change: 0,
            durable: 0,
            absent_from: u64::MAX,
        }
    }

    /// Messages from this number on cannot be sent yet.
    pub fn absent_from(&mut self, number: u64) {
        self.absent_from = number;
    }

    /// Takes up an exchange as it was stored; in rising order of their numbers.
    pub fn restore(&mut self, number: u64, exchange: Exchange) {
        self.window.restore(number, exchange);
        self.sendings.insert(number, Sending { needs: 0, was_sent: true });
    }

    /// Numbers from here on are free; called after [`Outbox::restore`] with the stored mark.
    pub fn skip_to(&mut self, number: u64) {
        self.window.skip_to(number);
    }

    /// What is to be stored.
    #[must_use]
    pub fn window(&self) -> &Window {
        &self.window
    }

    /// The number of the last change.
    #[must_use]
    pub fn change(&self) -> u64 {
        self.change
    }

    /// The window is durable as it was after this change.
    pub fn stored(&mut self, change: u64) {
        self.durable = self.durable.max(change);
    }

    /// Something that waits to be sent waits for [`stored`](Self::stored).
    #[must_use]
    pub fn waits_for_store(&self) -> bool {
        let waits =
            |queue: &VecDeque<u64>| queue.front().is_some_and(|number| !self.is_free(*number));
        waits(&self.publishes) || waits(&self.releases)
    }

    /// A connection stands; the other side takes so many at a time. Everything that is not over is
    /// sent again. Answers how many messages the other side may get twice, because it has
    /// forgotten the session.
    pub fn connected(&mut self, session_present: bool, receive_max: u16) -> usize {
        (self.quota_max, self.quota) = (receive_max, receive_max);
        (self.publishes, self.releases) = (VecDeque::new(), VecDeque::new());
        let mut repeated = 0;
        let open: Vec<(u64, Exchange)> = self.window.exchanges().collect();
        for (number, exchange) in open {
            if self.sendings.get(number).is_none() {
                self.sendings.insert(number, Sending { needs: 0, was_sent: true });
            }
            let Some(sending) = self.sendings.get_mut(number) else { continue };
            if !session_present {
                repeated += usize::from(sending.was_sent);
                sending.was_sent = false;
                if exchange.step == Step::Released {
                    // Durable before it leaves: or after the next cut it would be released where
                    // nobody has it.
                    self.change += 1;
                    sending.needs = self.change;
                }
                self.window.begin_again(packet_id(number));
            }
            match exchange.step {
                Step::Released if session_present => self.releases.push_back(number),
                _ => self.publishes.push_back(number),
            }
        }
        repeated
    }

    /// Whether one more message may be taken on.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.window.has_room()
    }

    /// Takes a message on, behind all others. At QoS 2 it leaves when this change is durable: after
    /// a crash it must go out with the same packet id.
    pub fn begin(&mut self, exchange: Exchange) -> u64 {
        let number = self.window.next_number();
        self.window.begin(exchange);
        self.change += 1;
        let needs = if exchange.qos == Qos::ExactlyOnce { self.change } else { 0 };
        self.sendings.insert(number, Sending { needs, was_sent: false });
        self.publishes.push_back(number);
        number
    }

    /// The next that may be sent now, if anything may.
    pub fn next_send(&mut self) -> Option<Send> {
        while let Some(number) = self.releases.front().copied().filter(|it| self.is_free(*it)) {
            self.releases.pop_front();
            if self.is_open(number) {
                return Some(Send::Release(packet_id(number)));
            }
        }
        loop {
            let number = self.publishes.front().copied()?;
            let id = packet_id(number);
            // What was acknowledged before it went again is not sent behind its PUBREL.
            let is_due = |it: &Exchange| it.step == Step::Published && self.is_open(number);
            let Some(exchange) = self.window.get(id).filter(is_due) else {
                self.publishes.pop_front();
                continue;
            };
            if self.quota == 0 || number >= self.absent_from || !self.is_free(number) {
                return None;
            }
            self.publishes.pop_front();
            self.quota -= 1;
            let sending = self.sendings.get_mut(number)?;
            let dup = std::mem::replace(&mut sending.was_sent, true);
            return Some(Send::Publish { number, id, exchange, dup });
        }
    }

    /// The same, if it is the PUBLISH of this exchange: what was begun last and waits for nothing.
    /// Answers its packet id.
    pub fn send_at_once(&mut self, number: u64) -> Option<PacketId> {
        if !self.releases.is_empty() || self.publishes.front() != Some(&number) {
            return None;
        }
        match self.next_send()? {
            Send::Publish { id, .. } => Some(id),
            Send::Release(_) => None,
        }
    }

    /// PUBACK.
    pub fn on_puback(&mut self, id: PacketId) -> Told {
        self.end(id, |window| window.on_puback(id).is_some())
    }

    /// PUBREC, or its refusal.
    pub fn on_pubrec(&mut self, id: PacketId, is_refused: bool) -> Told {
        let Some(number) = self.window.number_of(id) else { return Told::Unknown };
        if is_refused {
            return self.end(id, |window| window.on_pubrec(id, true) == OnPubrec::Refused);
        }
        match self.window.on_pubrec(id, false) {
            OnPubrec::Release => {
                self.change += 1;
                self.sendings.insert(number, Sending { needs: self.change, was_sent: true });
                self.releases.push_back(number);
                Told::Noted
            }
            OnPubrec::ReleaseAgain => {
                if !self.releases.contains(&number) {
                    self.releases.push_back(number);
                }
                Told::Noted
            }
            OnPubrec::Refused | OnPubrec::Unknown => Told::Unknown,
        }
    }

    /// PUBCOMP, also when the other side says that it does not know the exchange: it has ended it
    /// before.
    pub fn on_pubcomp(&mut self, id: PacketId) -> Told {
        self.end(id, |window| window.on_pubcomp(id))
    }

    /// Gives up a message that cannot be sent.
    pub fn give_up(&mut self, id: PacketId) {
        self.end(id, |window| {
            window.give_up(id);
            true
        });
    }

    /// The lowest offset of each partition that is on its way.
    #[must_use]
    pub fn lowest(&self) -> BTreeMap<PartitionId, u64> {
        let mut lowest = BTreeMap::new();
        for (_, Exchange { place, .. }) in self.window.exchanges() {
            let known = lowest.entry(place.partition).or_insert(place.offset);
            *known = place.offset.min(*known);
        }
        lowest
    }

    fn end(&mut self, id: PacketId, ended: impl FnOnce(&mut Window) -> bool) -> Told {
        let (number, exchange) = (self.window.number_of(id), self.window.get(id));
        let (Some(number), Some(exchange)) = (number, exchange) else { return Told::Unknown };
        if !ended(&mut self.window) {
            return Told::Unknown;
        }
        self.sendings.remove(number);
        self.quota = self.quota.saturating_add(1).min(self.quota_max);
        self.change += 1;
        Told::Over(exchange.place)
    }

    fn is_free(&self, number: u64) -> bool {
        self.sendings.get(number).is_none_or(|sending| sending.needs <= self.durable)
    }

    fn is_open(&self, number: u64) -> bool {
        self.sendings.get(number).is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{Outbox, Send, Told};
    use crate::id::{PacketId, PartitionId};
    use crate::qos::Qos;
    use crate::session::window::{Exchange, Place, Step, Window};

    const LIMIT: u16 = 5;

    fn exchange(offset: u64) -> Exchange {
        let qos = if offset.is_multiple_of(3) { Qos::AtLeastOnce } else { Qos::ExactlyOnce };
        let place = Place { partition: PartitionId(0), offset };
        Exchange { place, qos, step: Step::Published, retain: false, group: None }
    }

    fn publishes(outbox: &mut Outbox) -> Vec<(u64, bool)> {
        let sends = std::iter::from_fn(|| outbox.next_send());
        let publish = |send| match send {
            Send::Publish { exchange, dup, .. } => Some((exchange.place.offset, dup)),
            Send::Release(_) => None,
        };
        sends.filter_map(publish).collect()
    }

    #[test]
    fn a_message_at_qos2_and_its_release_wait_for_the_store() {
        let mut outbox = Outbox::new(LIMIT);
        outbox.connected(true, 10);
        outbox.begin(exchange(1));
        assert_eq!(outbox.next_send(), None);
        assert!(outbox.waits_for_store());
        outbox.stored(outbox.change());
        let Some(Send::Publish { id, dup: false, .. }) = outbox.next_send() else { panic!() };
        assert_eq!(outbox.on_pubrec(id, false), Told::Noted);
        assert_eq!(outbox.next_send(), None, "the step is not durable");
        outbox.stored(outbox.change());
        assert_eq!(outbox.next_send(), Some(Send::Release(id)));
        assert_eq!(outbox.on_pubrec(id, false), Told::Noted, "it came again");
        assert_eq!(outbox.next_send(), Some(Send::Release(id)));
        assert!(matches!(outbox.on_pubcomp(id), Told::Over(_)));
        assert_eq!(outbox.on_pubcomp(id), Told::Unknown);
    }

    #[test]
    fn what_is_acknowledged_before_it_goes_again_does_not_go_again() {
        let mut outbox = Outbox::new(LIMIT);
        outbox.connected(true, 10);
        for offset in 1..=3 {
            outbox.begin(exchange(offset));
        }
        outbox.stored(outbox.change());
        assert_eq!(publishes(&mut outbox), [(1, false), (2, false), (3, false)]);
        outbox.connected(true, 10);
        // The connection before brought PUBLISH there, and no answer back.
        let ids = [1, 2, 3].map(|id| PacketId::new(id).expect("not zero"));
        assert_eq!(outbox.on_pubrec(ids[0], false), Told::Noted);
        assert!(matches!(outbox.on_puback(ids[2]), Told::Over(_)));
        outbox.stored(outbox.change());
        let sends: Vec<Send> = std::iter::from_fn(|| outbox.next_send()).collect();
        assert_eq!(sends[0], Send::Release(ids[0]));
        let [Send::Publish { id, dup: true, .. }] = sends[1..] else { panic!("{sends:?}") };
        assert_eq!(id, ids[1]);
    }

    #[test]
    fn no_more_is_sent_than_the_other_side_takes_and_a_refusal_makes_room() {
        let mut outbox = Outbox::new(LIMIT);
        outbox.connected(true, 2);
        for offset in [0, 3, 6, 9] {
            outbox.begin(exchange(offset));
        }
        assert_eq!(publishes(&mut outbox), [(0, false), (3, false)]);
        let id = PacketId::new(1).expect("not zero");
        assert!(matches!(outbox.on_puback(id), Told::Over(_)));
        assert_eq!(publishes(&mut outbox), [(6, false)]);
        assert_eq!(outbox.connected(true, 9), 0);
        assert_eq!(publishes(&mut outbox), [(3, true), (6, true), (9, false)]);
        assert_eq!(outbox.connected(false, 9), 3, "a session that is lost");
        assert_eq!(publishes(&mut outbox), [(3, false), (6, false), (9, false)]);
    }

    #[test]
    fn what_was_released_in_a_lost_session_leaves_again_when_that_is_stored() {
        let mut outbox = Outbox::new(LIMIT);
        outbox.connected(true, 10);
        outbox.begin(exchange(1));
        outbox.begin(exchange(2));
        outbox.stored(outbox.change());
        assert_eq!(publishes(&mut outbox), [(1, false), (2, false)]);
        let id = PacketId::new(1).expect("not zero");
        assert_eq!(outbox.on_pubrec(id, false), Told::Noted);
        outbox.stored(outbox.change());
        let before = outbox.change();
        assert_eq!(outbox.connected(false, 10), 2);
        assert!(outbox.change() > before && outbox.waits_for_store());
        assert_eq!(publishes(&mut outbox), []);
        outbox.stored(outbox.change());
        assert_eq!(publishes(&mut outbox), [(1, false), (2, false)]);
    }

    #[test]
    fn what_is_not_at_hand_is_not_sent_and_nothing_overtakes_it() {
        let mut outbox = Outbox::new(LIMIT);
        for offset in [0, 3, 6] {
            outbox.begin(exchange(offset));
        }
        outbox.connected(true, 10);
        outbox.absent_from(1);
        assert_eq!(publishes(&mut outbox), [(0, false)]);
        outbox.absent_from(u64::MAX);
        assert_eq!(publishes(&mut outbox), [(3, false), (6, false)]);
    }

    /// A broker with a session of ours that survives everything, unless it forgets it.
    #[derive(Default)]
    struct Remote {
        open: BTreeSet<PacketId>,
        took: Vec<u64>,
        /// What it handed on: at QoS 2 what was released, as Mosquitto does.
        handed_on: BTreeSet<u64>,
        waiting: BTreeMap<PacketId, u64>,
    }

    #[derive(Debug)]
    enum Answer {
        Puback(PacketId),
        Pubrec(PacketId),
        Pubcomp(PacketId),
    }

    impl Remote {
        fn take(&mut self, send: Send) -> Answer {
            match send {
                Send::Release(id) => {
                    self.open.remove(&id);
                    self.handed_on.extend(self.waiting.remove(&id));
                    Answer::Pubcomp(id)
                }
                Send::Publish { id, exchange, .. } if exchange.qos == Qos::ExactlyOnce => {
                    if self.open.insert(id) {
                        self.took.push(exchange.place.offset);
                        self.waiting.insert(id, exchange.place.offset);
                    }
                    Answer::Pubrec(id)
                }
                Send::Publish { id, exchange, .. } => {
                    self.took.push(exchange.place.offset);
                    self.handed_on.insert(exchange.place.offset);
                    Answer::Puback(id)
                }
            }
        }

        fn forget(&mut self) {
            self.open.clear();
            self.waiting.clear();
        }
    }

    /// As it was stored: how far the log was read, the next number, what was open.
    type Stored = (u64, u64, Vec<(u64, Exchange)>);

    fn row(read: u64, window: &Window) -> Stored {
        (read, window.next_number(), window.exchanges().collect())
    }

    struct Random(u64);

    impl Random {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (self.0 >> 33) % bound
        }
    }

    /// A history: cuts of the link lose what is on the wire, crashes what is not stored; a remote
    /// that forgets has lost its session at one cut of four.
    fn history(seed: u64, messages: u64, forgets: bool) -> Remote {
        let (mut random, mut remote) = (Random(seed), Remote::default());
        let (mut outbox, mut read) = (Outbox::new(LIMIT), 0);
        let mut stored: Stored = (0, 0, Vec::new());
        let (mut sent, mut answers) = (Vec::new(), Vec::new());
        // A crash before we could note that it has forgotten: nobody can know that any more.
        let mut is_noted = true;
        outbox.connected(true, 3);
        while read < messages || outbox.window().in_flight() > 0 {
            match random.below(20) {
                0..4 if read < messages && outbox.has_room() => {
                    outbox.begin(exchange(read));
                    read += 1;
                }
                4..8 => sent.extend(outbox.next_send()),
                8..11 if !sent.is_empty() => answers.push(remote.take(sent.remove(0))),
                11..14 if !answers.is_empty() => drop(match answers.remove(0) {
                    Answer::Puback(id) => outbox.on_puback(id),
                    Answer::Pubrec(id) => outbox.on_pubrec(id, false),
                    Answer::Pubcomp(id) => outbox.on_pubcomp(id),
                }),
                14..18 => {
                    stored = row(read, outbox.window());
                    outbox.stored(outbox.change());
                    is_noted = true;
                }
                18 => {
                    (sent, answers) = (Vec::new(), Vec::new());
                    let is_present = !forgets || random.below(4) > 0;
                    if !is_present {
                        remote.forget();
                        is_noted = false;
                    }
                    outbox.connected(is_present, 3);
                }
                19 if random.below(3) == 0 => {
                    (sent, answers) = (Vec::new(), Vec::new());
                    let (position, next, open) = stored.clone();
                    outbox = Outbox::new(LIMIT);
                    open.into_iter().for_each(|(number, it)| outbox.restore(number, it));
                    outbox.skip_to(next);
                    read = position;
                    outbox.connected(is_noted, 3);
                }
                _ => (),
            }
        }
        remote
    }

    #[test]
    fn cuts_and_crashes_anywhere_lose_nothing_and_repeat_nothing_at_qos2() {
        for seed in 0..2_000 {
            let remote = history(seed, 40, false);
            let mut seen = BTreeSet::new();
            for offset in &remote.took {
                let is_new = seen.insert(*offset);
                let is_qos2 = exchange(*offset).qos == Qos::ExactlyOnce;
                assert!(is_new || !is_qos2, "seed {seed}: {offset} came twice");
            }
            assert_eq!(seen.len(), 40, "seed {seed}");
            let mut first = BTreeSet::new();
            let firsts = remote.took.iter().filter(|offset| first.insert(**offset));
            assert!(firsts.is_sorted(), "seed {seed}: in order of the log");
        }
    }

    #[test]
    fn a_remote_that_forgets_our_session_at_cuts_has_handed_on_everything() {
        for seed in 0..2_000 {
            let remote = history(seed, 40, true);
            let missing: Vec<u64> = (0..40).filter(|it| !remote.handed_on.contains(it)).collect();
            assert!(missing.is_empty(), "seed {seed}: {missing:?}");
        }
    }
}
