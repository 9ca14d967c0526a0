//! Fields of rows: little-endian numbers, read with bounds. Knows no row.

use thiserror::Error;

/// A row that does not hold what its form says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a row of the tables is damaged or of a newer version")]
pub struct RowError;

/// Reads fields from the front.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    /// Checks the version that every row begins with.
    pub(super) fn of(row: &'a [u8], version: u8) -> Result<Self, RowError> {
        Self::of_any(row, &[version])
    }

    /// The same for rows of more than one version.
    pub(super) fn of_any(row: &'a [u8], versions: &[u8]) -> Result<Self, RowError> {
        match row.split_first() {
            Some((found, rest)) if versions.contains(found) => Ok(Self(rest)),
            _ => Err(RowError),
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], RowError> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or(RowError)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, RowError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self) -> Result<u32, RowError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Seven bits a byte, lowest first.
    pub(super) fn varint(&mut self) -> Result<u64, RowError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(RowError)
    }

    pub(super) fn u64(&mut self) -> Result<u64, RowError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, RowError> {
        self.array().map(i64::from_le_bytes)
    }

    /// Bytes behind their number.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], RowError> {
        let length = usize::try_from(self.varint()?).map_err(|_| RowError)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(RowError)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// Text behind its length.
    pub(super) fn text(&mut self) -> Result<&'a str, RowError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| RowError)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn end(self) -> Result<(), RowError> {
        if self.0.is_empty() { Ok(()) } else { Err(RowError) }
    }
}

/// Writes what [`Fields::text`] reads.
pub(super) fn put_text(text: &str, row: &mut Vec<u8>) {
    put_varint(text.len() as u64, row);
    row.extend_from_slice(text.as_bytes());
}

/// Writes what [`Fields::varint`] reads.
#[expect(clippy::cast_possible_truncation, reason = "seven bits are left")]
pub(super) fn put_varint(mut number: u64, row: &mut Vec<u8>) {
    while number >= 0x80 {
        row.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    row.push(number as u8);
}
