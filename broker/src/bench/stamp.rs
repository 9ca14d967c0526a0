//! The first bytes of every payload: which message it is, and when it was due. Never a clock.

/// As long as a stamp.
pub(crate) const STAMP_BYTES: usize = 24;

/// Says which message this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Tells runs apart.
    pub(crate) run: u32,
    pub(crate) publisher: u32,
    /// Counts from 0 for each publisher.
    pub(crate) number: u64,
    /// When it was sent, or should have been; in nanoseconds of the run.
    pub(crate) due_ns: u64,
}

impl Stamp {
    pub(crate) fn bytes(&self) -> [u8; STAMP_BYTES] {
        let mut bytes = [0; STAMP_BYTES];
        bytes[..4].copy_from_slice(&self.run.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.publisher.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..].copy_from_slice(&self.due_ns.to_le_bytes());
        bytes
    }

    /// `None` if the payload is too short to be ours.
    pub(crate) fn read(payload: &[u8]) -> Option<Self> {
        let (run, rest) = payload.split_first_chunk()?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (due_ns, _) = rest.split_first_chunk()?;
        Some(Self {
            run: u32::from_le_bytes(*run),
            publisher: u32::from_le_bytes(*publisher),
            number: u64::from_le_bytes(*number),
            due_ns: u64::from_le_bytes(*due_ns),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{STAMP_BYTES, Stamp};

    #[test]
    fn a_stamp_is_read_as_it_was_written_and_never_from_less() {
        let stamp = Stamp { run: 7, publisher: 3, number: 1 << 40, due_ns: u64::MAX };
        let mut payload = stamp.bytes().to_vec();
        payload.extend_from_slice(b"and more");
        assert_eq!(Stamp::read(&payload), Some(stamp));
        assert_eq!(Stamp::read(&payload[..STAMP_BYTES - 1]), None);
    }
}
