//! Rising offsets as differences in variable-length integers. Owns their bytes; checks what it
//! reads.

use smallvec::SmallVec;

/// Offsets of one topic, being gathered.
#[derive(Clone, Debug, Default)]
pub(super) struct Postings {
    /// Behind the last offset; relative to the segment's base.
    next: u64,
    /// Those of a topic that is rare need no memory of their own.
    bytes: SmallVec<[u8; 16]>,
}

impl Postings {
    /// Add an offset, relative to the segment's base and behind all before it; says how many bytes
    /// that took.
    pub(super) fn push(&mut self, offset: u64) -> usize {
        let mut rest = offset.saturating_sub(self.next);
        self.next = offset + 1;
        let mut taken = 1;
        while rest >= 0x80 {
            self.bytes.push(low_byte(rest) | 0x80);
            rest >>= 7;
            taken += 1;
        }
        self.bytes.push(low_byte(rest));
        taken
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads what [`Postings`] wrote.
#[derive(Clone, Debug)]
pub(super) struct Offsets<'a> {
    rest: &'a [u8],
    next: u64,
}

impl<'a> Offsets<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, next: 0 }
    }
}

impl Iterator for Offsets<'_> {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0_u64, 0_u32);
        loop {
            let (byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if *byte < 0x80 {
                break;
            }
        }
        let offset = self.next.checked_add(value)?;
        self.next = offset.checked_add(1)?;
        Some(offset)
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low byte is what is meant")]
fn low_byte(value: u64) -> u8 {
    value as u8
}

#[cfg(test)]
mod tests {
    use super::{Offsets, Postings};

    #[test]
    fn offsets_come_back_in_few_bytes() {
        let offsets = [0, 1, 2, 130, 131, 20_000, u64::from(u32::MAX), u64::MAX / 2];
        let mut postings = Postings::default();
        let taken: usize = offsets.iter().map(|offset| postings.push(*offset)).sum();
        assert_eq!(taken, postings.bytes().len());
        assert_eq!(Offsets::new(postings.bytes()).collect::<Vec<_>>(), offsets);
        assert!(postings.bytes().len() < 25);
    }

    #[test]
    fn made_up_bytes_end_somewhere() {
        assert_eq!(Offsets::new(&[0xff; 40]).count(), 0);
        assert_eq!(Offsets::new(&[5, 0x80]).collect::<Vec<_>>(), [5]);
    }
}
