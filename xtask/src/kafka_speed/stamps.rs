//! When a message was due, written into its payload so that it is found in any stream of bytes
//! that carries the payload. Never a clock.

use std::time::Duration;

/// No other bytes that travel with it look like this.
const MARK: &[u8] = b"@due=";
const DIGITS: usize = 20;
const STAMP_BYTES: usize = MARK.len() + DIGITS;
const PAYLOAD_BYTES: usize = 100;

/// A payload that says it was due so long after 1970.
pub(super) fn stamp(due: Duration) -> Vec<u8> {
    let mut payload = MARK.to_vec();
    payload.extend(format!("{:0DIGITS$}", due.as_nanos()).into_bytes());
    payload.resize(PAYLOAD_BYTES, b'.');
    payload
}

/// Finds stamps in a stream that comes in pieces.
#[derive(Default)]
pub(super) struct Stamps {
    rest: Vec<u8>,
}

impl Stamps {
    /// Shows every stamp that is whole by now.
    pub(super) fn read(&mut self, piece: &[u8], see: &mut dyn FnMut(Duration)) {
        self.rest.extend_from_slice(piece);
        let mut at = 0;
        while let Some(found) = self.rest[at..].iter().position(|byte| *byte == MARK[0]) {
            let Some(here) = self.rest.get(at + found..at + found + STAMP_BYTES) else {
                at += found;
                break;
            };
            at += found + 1;
            let digits = here.strip_prefix(MARK).and_then(|text| std::str::from_utf8(text).ok());
            if let Some(due) = digits.and_then(|digits| digits.parse().ok()) {
                see(Duration::from_nanos(due));
            }
        }
        let passed = match self.rest.get(at) {
            Some(byte) if *byte == MARK[0] => at,
            _ => self.rest.len(),
        };
        self.rest.drain(..passed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Stamps, stamp};
    use std::time::Duration;

    #[test]
    fn stamps_are_found_wherever_the_stream_is_cut() {
        let dues = [1, 20_000_000_000, 1_800_000_000_123_456_789].map(Duration::from_nanos);
        let stream: Vec<u8> =
            dues.iter().flat_map(|due| [&b"x@"[..], &stamp(*due)].concat()).collect();
        for step in 1..stream.len() {
            let (mut stamps, mut seen) = (Stamps::default(), Vec::new());
            stream.chunks(step).for_each(|piece| stamps.read(piece, &mut |due| seen.push(due)));
            assert_eq!(seen, dues, "{step}");
        }
    }
}
