//! What is known of messages that wait for their time, over all cores. Publishes nothing.

use std::sync::atomic::{AtomicU64, Ordering};

use tidewire_store::rows::delayed::DelayedKey;

use crate::config::MqttConfig;

/// How much waits for its time, over all cores.
#[derive(Debug, Default)]
pub(crate) struct Delayed {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Delayed {
    /// Counts a message in, limits or not.
    pub(crate) fn add(&self, bytes: u64) {
        self.messages.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts a message in if there is room for it.
    pub(crate) fn take(&self, bytes: u64, limits: &MqttConfig) -> bool {
        let messages = self.messages.fetch_add(1, Ordering::Relaxed);
        let held = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let has_room = messages < u64::from(limits.delayed_messages_max)
            && held.saturating_add(bytes) <= limits.delayed_bytes_max;
        if !has_room {
            self.give_back(bytes);
        }
        has_room
    }

    /// Counts a message out.
    pub(crate) fn give_back(&self, bytes: u64) {
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
