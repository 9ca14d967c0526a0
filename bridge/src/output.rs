//! Writes an answer by hand, for what is too large to be copied into a message first: fields one
//! after the other, large pieces by reference. Knows the wire's forms, no API.

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::{Answer, Refusal, begin};

/// Smaller pieces are copied: a copy costs less than a piece more to write.
const COPY_BYTES_MAX: usize = 2048;

/// An answer in the making.
pub(crate) struct Output {
    /// Kept apart because its length is written last.
    first: Option<BytesMut>,
    chunks: Vec<Bytes>,
    tail: BytesMut,
    is_flexible: bool,
}

impl Output {
    /// Begins with the header.
    pub(crate) fn new(correlation: i32, is_flexible: bool) -> Self {
        let tail = begin(correlation, is_flexible);
        Self { first: None, chunks: Vec::new(), tail, is_flexible }
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.tail.put_i16(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.tail.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.tail.put_i64(value);
    }

    /// As it is, without a length.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.tail.put_slice(bytes);
    }

    pub(crate) fn text(&mut self, text: &str) {
        match self.is_flexible {
            true => self.varint(text.len() + 1),
            false => self.tail.put_i16(i16::try_from(text.len()).unwrap_or(i16::MAX)),
        }
        self.tail.put_slice(text.as_bytes());
    }

    /// How many elements follow; or how many bytes.
    pub(crate) fn count(&mut self, count: usize) {
        match self.is_flexible {
            true => self.varint(count + 1),
            false => self.tail.put_i32(i32::try_from(count).unwrap_or(i32::MAX)),
        }
    }

    /// No tagged fields, where there could be.
    pub(crate) fn no_tags(&mut self) {
        if self.is_flexible {
            self.tail.put_u8(0);
        }
    }

    /// As it is, by reference if that is worth it.
    pub(crate) fn shared(&mut self, bytes: Bytes) {
        if bytes.len() <= COPY_BYTES_MAX {
            return self.tail.put_slice(&bytes);
        }
        let before = self.tail.split();
        match self.first {
            None => self.first = Some(before),
            Some(_) if before.is_empty() => (),
            Some(_) => self.chunks.push(before.freeze()),
        }
        self.chunks.push(bytes);
    }

    pub(crate) fn finish(mut self) -> Result<Answer, Refusal> {
        let tail = self.tail.split();
        let Some(first) = self.first else { return Answer::finish(tail, self.chunks) };
        if !tail.is_empty() {
            self.chunks.push(tail.freeze());
        }
        Answer::finish(first, self.chunks)
    }

    fn varint(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.tail.put_u8(low_bits(number) | 0x80);
            number >>= 7;
        }
        self.tail.put_u8(low_bits(number));
    }
}

fn low_bits(number: usize) -> u8 {
    (number & 0x7f).to_le_bytes()[0]
}
