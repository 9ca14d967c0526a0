//! How many rows of one kind clients have the store keep, and how many bytes they take. Known for
//! each client, so that what is said twice counts once. Never holds a row: those are in the store.

use std::sync::atomic::{AtomicBool, Ordering};

use ahash::{AHashMap, RandomState};
use parking_lot::Mutex;
use tidewire_proto::record::Batch;

use crate::payer::{Parts, Payer};

/// What all clients may have the store keep together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerLimits {
    pub(crate) rows_max: u64,
    pub(crate) bytes_max: u64,
    /// Rows of one user; 0: as many as of all.
    pub(crate) rows_per_payer_max: u64,
}

/// What is known of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    bytes: u32,
    payer: Payer,
}

/// One row per client, by the hash of the client id. Two of one hash count as one: with a million
/// clients that happens once in millions of brokers.
pub(crate) struct Ledger {
    hasher: RandomState,
    rows: Mutex<Rows>,
    limits: Mutex<LedgerLimits>,
    /// Said when the limit is reached.
    advice: &'static str,
    /// It was said, and the limit is still in the way.
    is_full: AtomicBool,
}

#[derive(Debug, Default)]
struct Rows {
    known: AHashMap<u64, Row>,
    bytes: u64,
    parts: Parts,
    /// How many there were at most.
    most: usize,
}

/// Room that was found for a row, and what was there before.
#[derive(Debug)]
pub(crate) struct Room {
    before: Option<Row>,
}

impl Ledger {
    pub(crate) fn new(limits: LedgerLimits, advice: &'static str) -> Self {
        Self {
            hasher: RandomState::new(),
            rows: Mutex::default(),
            limits: Mutex::new(limits),
            advice,
            is_full: AtomicBool::new(false),
        }
    }

    /// Other limits hold from now on; what is there stays.
    pub(crate) fn set_limits(&self, limits: LedgerLimits) {
        *self.limits.lock() = limits;
        self.is_full.store(false, Ordering::Relaxed);
    }

    /// How many rows there were at most.
    pub(crate) fn most(&self) -> u64 {
        self.rows.lock().most as u64
    }

    /// Counts a row of the client in, unless that is too much, for all or for who brings it. What
    /// takes no more than the row that is there always has room.
    pub(crate) fn claim(&self, client_id: &[u8], bytes: usize, payer: Payer) -> Option<Room> {
        let LedgerLimits { rows_max, bytes_max, rows_per_payer_max } = *self.limits.lock();
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut rows = self.rows.lock();
        let hash = self.hasher.hash_one(client_id);
        let before = rows.known.get(&hash).copied();
        let grows = before.is_none_or(|before| bytes > before.bytes);
        let count = rows.known.len() as u64 + u64::from(before.is_none());
        let total = rows.bytes + u64::from(bytes) - before.map_or(0, |it| u64::from(it.bytes));
        if grows && (count > rows_max || total > bytes_max) {
            drop(rows);
            if !self.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(rows_max, bytes_max, "{}", self.advice);
            }
            return None;
        }
        let has_all = rows_per_payer_max > 0 && rows.parts.of(payer).count >= rows_per_payer_max;
        if has_all && before.is_none() {
            return None;
        }
        let payer = before.map_or(payer, |before| before.payer);
        rows.put(hash, Some(Row { bytes, payer }));
        Some(Room { before })
    }

    /// Whether the client may have a row: if not, none need be looked for on the disk.
    pub(crate) fn may_have(&self, client_id: &[u8]) -> bool {
        self.rows.lock().known.contains_key(&self.hasher.hash_one(client_id))
    }

    /// The row was not written after all.
    pub(crate) fn give_back(&self, client_id: &[u8], room: &Room) {
        self.rows.lock().put(self.hasher.hash_one(client_id), room.before);
    }

    /// Says what is known of the client's row: how many bytes it has, or that there is none.
    pub(crate) fn put(&self, client_id: &[u8], bytes: Option<usize>) {
        self.put_of(client_id, bytes, Payer::NOBODY);
    }

    /// The same, and whose it is if that was not known.
    pub(crate) fn put_of(&self, client_id: &[u8], bytes: Option<usize>, payer: Payer) {
        let bytes = bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        let mut rows = self.rows.lock();
        let hash = self.hasher.hash_one(client_id);
        let payer = rows.known.get(&hash).map_or(payer, |before| before.payer);
        rows.put(hash, bytes.map(|bytes| Row { bytes, payer }));
        if bytes.is_none() {
            self.is_full.store(false, Ordering::Relaxed);
        }
    }
}

/// What a will counts for. Not what is known of its client: the same will would be larger by
/// another listener, or by a group more.
pub(crate) fn will_bytes(client_id: &str, message: &Batch) -> usize {
    client_id.len() + message.bytes().len()
}

impl Rows {
    fn put(&mut self, hash: u64, row: Option<Row>) {
        let before = match row {
            Some(row) => self.known.insert(hash, row),
            None => self.known.remove(&hash),
        };
        self.most = self.most.max(self.known.len());
        if let Some(row) = row {
            self.bytes += u64::from(row.bytes);
            self.parts.add(row.payer, row.bytes.into());
        }
        if let Some(before) = before {
            self.bytes -= u64::from(before.bytes);
            self.parts.remove(before.payer, before.bytes.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, LedgerLimits};
    use crate::payer::{Payer, Payers};

    const ANY: Payer = Payer::NOBODY;

    fn ledger(rows_max: u64, bytes_max: u64) -> Ledger {
        Ledger::new(LedgerLimits { rows_max, bytes_max, rows_per_payer_max: 0 }, "full")
    }

    #[test]
    fn who_has_as_many_as_one_may_keeps_them_and_leaves_room_for_others() {
        let payers = Payers::default();
        let (ann, bob) = (payers.of_user("ann"), payers.of_user("bob"));
        let limits = LedgerLimits { rows_max: 9, bytes_max: 9, rows_per_payer_max: 2 };
        let ledger = Ledger::new(limits, "full");
        // As it is found at the start.
        ledger.put_of(b"1", Some(0), ann);
        assert!(ledger.claim(b"2", 0, ann).is_some());
        assert!(ledger.claim(b"3", 0, ann).is_none());
        assert!(ledger.claim(b"2", 0, ann).is_some(), "it is there");
        assert!(ledger.claim(b"3", 0, bob).is_some());
        let room = ledger.claim(b"2", 1, bob).expect("it is there");
        assert!(ledger.claim(b"4", 0, ann).is_none(), "hers is hers, whoever takes it up");
        ledger.give_back(b"2", &room);
        ledger.put(b"1", Some(0));
        assert!(ledger.claim(b"4", 0, ann).is_none());
        ledger.put(b"1", None);
        assert!(ledger.claim(b"4", 0, ann).is_some());
    }

    fn totals(ledger: &Ledger) -> (usize, u64) {
        let rows = ledger.rows.lock();
        (rows.known.len(), rows.bytes)
    }

    #[test]
    fn what_is_said_twice_counts_once() {
        let ledger = ledger(9, 100);
        for (client_id, bytes, expected) in [
            ("a", Some(10), (1, 10)),
            ("a", Some(10), (1, 10)),
            ("b", Some(5), (2, 15)),
            ("a", Some(1), (2, 6)),
            ("a", None, (1, 5)),
            ("a", None, (1, 5)),
        ] {
            ledger.put(client_id.as_bytes(), bytes);
            assert_eq!(totals(&ledger), expected, "{client_id} {bytes:?}");
        }
    }

    #[test]
    fn at_a_limit_only_what_takes_no_more_has_room() {
        let ledger = ledger(2, 100);
        assert!(ledger.claim(b"a", 60, ANY).is_some());
        assert!(ledger.claim(b"b", 41, ANY).is_none(), "bytes");
        assert!(ledger.claim(b"b", 40, ANY).is_some());
        assert!(ledger.claim(b"c", 0, ANY).is_none(), "rows");
        assert!(ledger.claim(b"a", 61, ANY).is_none());
        assert!(ledger.claim(b"a", 60, ANY).is_some());
        assert_eq!(totals(&ledger), (2, 100));
        ledger.put(b"a", None);
        assert!(ledger.claim(b"c", 60, ANY).is_some());
    }

    #[test]
    fn room_that_is_given_back_leaves_what_was_there() {
        let ledger = ledger(2, 100);
        let first = ledger.claim(b"a", 10, ANY).expect("room");
        let second = ledger.claim(b"a", 30, ANY).expect("room");
        ledger.give_back(b"a", &second);
        assert_eq!(totals(&ledger), (1, 10));
        ledger.give_back(b"a", &first);
        assert_eq!(totals(&ledger), (0, 0));
    }

    #[test]
    fn what_the_store_holds_already_counts_beyond_a_lowered_limit() {
        let ledger = ledger(1, 10);
        ledger.put(b"a", Some(20));
        ledger.put(b"b", Some(20));
        assert!(ledger.claim(b"a", 20, ANY).is_some());
        assert!(ledger.claim(b"c", 0, ANY).is_none());
    }
}
