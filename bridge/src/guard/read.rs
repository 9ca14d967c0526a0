//! Reads the numbers of the Kafka protocol from bytes that a peer sent. Every answer is checked;
//! never allocates, never panics.

/// Fewer bytes than are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes end too early")]
pub(crate) struct ShortError;

/// What is left of the bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn take(&mut self, bytes: usize) -> Result<&'a [u8], ShortError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(ShortError)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, ShortError> {
        self.array().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, ShortError> {
        self.array().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, ShortError> {
        self.array().map(i32::from_be_bytes)
    }

    /// Seven bits a byte, lowest first; what does not fit into 32 bits is cut, as the decoders
    /// behind us do it.
    pub(crate) fn varint(&mut self) -> Result<u32, ShortError> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(number)
    }

    /// The length or count of compact fields: one more than it is, and 0 for null.
    pub(crate) fn compact_length(&mut self) -> Result<usize, ShortError> {
        self.varint().map(|number| number.saturating_sub(1) as usize)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ShortError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(ShortError)?;
        self.0 = rest;
        Ok(*head)
    }
}
