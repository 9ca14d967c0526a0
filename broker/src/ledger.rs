//! How many rows of one kind clients have the store keep, and how many bytes they take. Known for
//! each client, so that what is said twice counts once. Never holds a row: those are in the store.

use std::sync::atomic::{AtomicBool, Ordering};

use ahash::{AHashMap, RandomState};
use parking_lot::Mutex;
use tidewire_proto::record::Batch;

/// What all clients may have the store keep together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerLimits {
    pub(crate) rows_max: u64,
    pub(crate) bytes_max: u64,
}

/// One row per client, by the hash of the client id. Two of one hash count as one: with a million
/// clients that happens once in millions of brokers.
pub(crate) struct Ledger {
    hasher: RandomState,
    rows: Mutex<Rows>,
    limits: LedgerLimits,
    /// Said when the limit is reached.
    advice: &'static str,
    /// It was said, and the limit is still in the way.
    is_full: AtomicBool,
}

#[derive(Debug, Default)]
struct Rows {
    bytes_of: AHashMap<u64, u32>,
    bytes: u64,
}

/// Room that was found for a row, and what was there before.
#[derive(Debug)]
pub(crate) struct Room {
    before: Option<u32>,
}

impl Ledger {
    pub(crate) fn new(limits: LedgerLimits, advice: &'static str) -> Self {
        Self {
            hasher: RandomState::new(),
            rows: Mutex::default(),
            limits,
            advice,
            is_full: AtomicBool::new(false),
        }
    }

    /// Counts a row of the client in, unless that is too much. What takes no more than the row
    /// that is there always has room.
    pub(crate) fn claim(&self, client_id: &[u8], bytes: usize) -> Option<Room> {
        let LedgerLimits { rows_max, bytes_max } = self.limits;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut rows = self.rows.lock();
        let hash = self.hasher.hash_one(client_id);
        let before = rows.bytes_of.get(&hash).copied();
        let grows = before.is_none_or(|before| bytes > before);
        let count = rows.bytes_of.len() as u64 + u64::from(before.is_none());
        let total = rows.bytes + u64::from(bytes) - u64::from(before.unwrap_or(0));
        if grows && (count > rows_max || total > bytes_max) {
            drop(rows);
            if !self.is_full.swap(true, Ordering::Relaxed) {
                tracing::warn!(rows_max, bytes_max, "{}", self.advice);
            }
            return None;
        }
        rows.put(hash, Some(bytes));
        Some(Room { before })
    }

    /// The row was not written after all.
    pub(crate) fn give_back(&self, client_id: &[u8], room: &Room) {
        self.rows.lock().put(self.hasher.hash_one(client_id), room.before);
    }

    /// Says what is known of the client's row: how many bytes it has, or that there is none.
    pub(crate) fn put(&self, client_id: &[u8], bytes: Option<usize>) {
        let bytes = bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        self.rows.lock().put(self.hasher.hash_one(client_id), bytes);
        if bytes.is_none() {
            self.is_full.store(false, Ordering::Relaxed);
        }
    }
}

/// What a will counts for.
pub(crate) fn will_bytes(client_id: &str, message: &Batch) -> usize {
    client_id.len() + message.bytes().len()
}

impl Rows {
    fn put(&mut self, hash: u64, bytes: Option<u32>) {
        let before = match bytes {
            Some(bytes) => self.bytes_of.insert(hash, bytes),
            None => self.bytes_of.remove(&hash),
        };
        self.bytes += u64::from(bytes.unwrap_or(0));
        self.bytes -= u64::from(before.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, LedgerLimits};

    fn ledger(rows_max: u64, bytes_max: u64) -> Ledger {
        Ledger::new(LedgerLimits { rows_max, bytes_max }, "full")
    }

    fn totals(ledger: &Ledger) -> (usize, u64) {
        let rows = ledger.rows.lock();
        (rows.bytes_of.len(), rows.bytes)
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
        assert!(ledger.claim(b"a", 60).is_some());
        assert!(ledger.claim(b"b", 41).is_none(), "bytes");
        assert!(ledger.claim(b"b", 40).is_some());
        assert!(ledger.claim(b"c", 0).is_none(), "rows");
        assert!(ledger.claim(b"a", 61).is_none());
        assert!(ledger.claim(b"a", 60).is_some());
        assert_eq!(totals(&ledger), (2, 100));
        ledger.put(b"a", None);
        assert!(ledger.claim(b"c", 60).is_some());
    }

    #[test]
    fn room_that_is_given_back_leaves_what_was_there() {
        let ledger = ledger(2, 100);
        let first = ledger.claim(b"a", 10).expect("room");
        let second = ledger.claim(b"a", 30).expect("room");
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
        assert!(ledger.claim(b"a", 20).is_some());
        assert!(ledger.claim(b"c", 0).is_none());
    }
}
