//! What is known of messages that wait for their time, over all cores. Publishes nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use ahash::AHashMap;
use parking_lot::Mutex;
use tidewire_store::rows::delayed::DelayedKey;

use crate::config::MqttConfig;
use crate::payer::{Parts, Payer};

/// How much waits for its time, over all cores.
#[derive(Debug, Default)]
pub(crate) struct Delayed {
    messages: AtomicU64,
    bytes: AtomicU64,
    /// Whose those are that were taken since the start.
    payers: Mutex<AHashMap<DelayedKey, Payer>>,
    parts: Parts,
}

impl Delayed {
    /// Counts a message in, limits or not.
    pub(crate) fn add(&self, bytes: u64) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a message of somebody in if there is room for it: among all, and in his part.
    pub(crate) fn take(
        &self,
        key: DelayedKey,
        bytes: u64,
        payer: Payer,
        limits: &MqttConfig,
    ) -> bool {
        let part_max = u64::from(limits.delayed_messages_per_user_max);
        if part_max > 0 && self.parts.of(payer).count >= part_max {
            return false;
        }
        let messages = self.messages.fetch_add(1, Ordering::Relaxed);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = messages < u64::from(limits.delayed_messages_max)
            && held.saturating_add(bytes) <= limits.delayed_bytes_max;
        if !has_room {
            self.count_out(bytes);
        } else if payer != Payer::NOBODY {
            self.payers.lock().insert(key, payer);
            self.parts.add(payer, bytes);
        }
        has_room
    }

    /// Counts a message out.
    pub(crate) fn give_back(&self, key: DelayedKey, bytes: u64) {
        self.count_out(bytes);
        if let Some(payer) = self.payers.lock().remove(&key) {
            self.parts.remove(payer, bytes);
        }
    }

    /// Whose it is.
    pub(crate) fn payer_of(&self, key: DelayedKey) -> Payer {
        self.payers.lock().get(&key).copied().unwrap_or_default()
    }

    fn count_out(&self, bytes: u64) {
        self.messages.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// A message that was taken to be published later.
pub(crate) struct DelayedTaken {
    pub(crate) key: DelayedKey,
    /// What its row takes.
    pub(crate) bytes: u64,
    /// Which core publishes it.
    pub(crate) core: usize,
    /// Its publisher asked for no answer.
    pub(crate) is_unasked: bool,
}

/// Which core publishes the delayed messages of a client: always the same one, so that those
/// with one delay come in the order in which they were published.
pub(crate) fn keeper_of(client_id: &str, cores: usize) -> usize {
    let sum = client_id
        .bytes()
        .fold(0_usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(byte)));
    sum % cores.max(1)
}

#[cfg(test)]
mod tests {
    use tidewire_store::rows::delayed::DelayedKey;

    use super::Delayed;
    use crate::config::MqttConfig;
    use crate::payer::{Payer, Payers};

    #[test]
    fn one_user_has_a_part_of_the_room_for_delayed_messages_until_they_are_sent() {
        let (delayed, payers) = (Delayed::default(), Payers::default());
        let (ann, bob) = (payers.of_user("ann"), payers.of_user("bob"));
        let limits = MqttConfig {
            delayed_messages_max: 4,
            delayed_messages_per_user_max: 2,
            ..MqttConfig::default()
        };
        let key = |serial| DelayedKey { due_ms: 1, started_ms: 2, serial };
        let take = |serial, payer| delayed.take(key(serial), 1, payer, &limits);
        assert!(take(1, ann) && take(2, ann) && !take(3, ann));
        assert!(take(3, bob) && take(4, Payer::NOBODY));
        assert!(!take(5, bob), "no room for anybody");
        assert_eq!((delayed.payer_of(key(1)), delayed.payer_of(key(4))), (ann, Payer::NOBODY));
        delayed.give_back(key(1), 1);
        delayed.give_back(key(4), 1);
        assert!(take(5, ann) && !take(6, ann) && take(6, bob));
    }
}
