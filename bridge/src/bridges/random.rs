//! Random numbers that spread waits. Of no use for secrets.

/// Only spreads waits: without random bytes they are not spread.
pub(crate) fn random() -> u32 {
    let mut bytes = [0; 4];
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
