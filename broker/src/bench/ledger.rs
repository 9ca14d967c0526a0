//! What arrived: counts what is missing, what came twice and what came out of order. No sockets.

/// A reader and a publisher; a share group is one reader of several subscribers.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// One bit for each message.
    seen: Vec<u64>,
    received: u64,
}

/// Everything that arrived in one run.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    publishers: usize,
    lanes: Vec<Lane>,
    /// For each subscriber and publisher, one more than the last number.
    next: Vec<u64>,
    /// Of each publisher, by all readers.
    delivered: Vec<u64>,
    pub(crate) total: u64,
    pub(crate) repeated: u64,
    pub(crate) reordered: u64,
    /// Messages that this run has not sent.
    pub(crate) foreign: u64,
}

impl Ledger {
    pub(crate) fn new(publishers: usize, subscribers: usize, is_shared: bool) -> Self {
        let readers = if is_shared { 1 } else { subscribers };
        Self {
            publishers,
            lanes: vec![Lane::default(); readers * publishers],
            next: vec![0; subscribers * publishers],
            delivered: vec![0; publishers],
            total: 0,
            repeated: 0,
            reordered: 0,
            foreign: 0,
        }
    }

    /// A message arrived.
    pub(crate) fn note(&mut self, subscriber: usize, publisher: usize, number: u64) {
        let Some(delivered) = self.delivered.get_mut(publisher) else {
            self.foreign += 1;
            return;
        };
        let readers = self.lanes.len() / self.publishers;
        let lane = subscriber.min(readers - 1) * self.publishers + publisher;
        self.total += 1;
        if !self.lanes[lane].mark(number) {
            self.repeated += 1;
            return;
        }
        *delivered += 1;
        let next = &mut self.next[subscriber * self.publishers + publisher];
        self.reordered += u64::from(number < *next);
        *next = (number + 1).max(*next);
    }

    /// Messages of this publisher that arrived, counted once for each reader.
    pub(crate) fn delivered(&self, publisher: usize) -> u64 {
        self.delivered[publisher]
    }

    /// Messages that arrived, each once.
    pub(crate) fn distinct(&self) -> u64 {
        self.delivered.iter().sum()
    }
}

impl Lane {
    /// Whether it is new.
    fn mark(&mut self, number: u64) -> bool {
        let word = usize::try_from(number / 64).unwrap_or(usize::MAX);
        // A number that nobody sent cannot be far from those that were.
        if word > self.seen.len() + (1 << 20) {
            return false;
        }
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let bit = 1 << (number % 64);
        let is_new = self.seen[word] & bit == 0;
        self.seen[word] |= bit;
        self.received += u64::from(is_new);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::Ledger;

    #[test]
    fn what_comes_twice_or_late_is_counted_and_what_comes_once_is_delivered() {
        let mut ledger = Ledger::new(2, 1, false);
        for number in [0, 1, 3, 2, 3, 4] {
            ledger.note(0, 1, number);
        }
        ledger.note(0, 9, 0);
        assert_eq!((ledger.delivered(0), ledger.delivered(1)), (0, 5));
        assert_eq!((ledger.repeated, ledger.reordered, ledger.foreign), (1, 1, 1));
    }

    #[test]
    fn members_of_a_share_group_read_for_each_other() {
        let mut ledger = Ledger::new(1, 2, true);
        for (member, number) in [(0, 0), (1, 1), (0, 3), (1, 2), (1, 3)] {
            ledger.note(member, 0, number);
        }
        assert_eq!((ledger.distinct(), ledger.repeated, ledger.reordered), (4, 1, 0));
    }

    #[test]
    fn each_reader_of_its_own_gets_its_own_copy() {
        let mut ledger = Ledger::new(1, 3, false);
        for reader in 0..3 {
            ledger.note(reader, 0, 0);
        }
        assert_eq!((ledger.distinct(), ledger.repeated), (3, 0));
    }
}
