//! Requests for tests, written from their shapes. Knows no decoder.

use bytes::{BufMut, BytesMut};

use super::shape::{Field, Kind, Shape};

/// Writes a request as its shape describes it, with so many elements in every array.
pub(crate) fn write(shape: &Shape, version: i16, elements: usize) -> Vec<u8> {
    let is_flexible = version >= shape.flexible_since;
    let mut writer = Writer { out: BytesMut::new(), version, is_flexible, elements };
    writer.fields(shape.fields);
    writer.out.to_vec()
}

struct Writer {
    out: BytesMut,
    version: i16,
    is_flexible: bool,
    elements: usize,
}

impl Writer {
    fn fields(&mut self, fields: &[Field]) {
        let is_here = |field: &&Field| field.is_in(self.version);
        let (plain, tagged): (Vec<_>, Vec<_>) =
            fields.iter().filter(is_here).partition(|field| field.tag.is_none());
        for field in plain {
            self.value(&field.kind);
        }
        if self.is_flexible {
            self.varint(tagged.len() + 1);
            for field in tagged {
                self.varint(field.tag.unwrap_or_default() as usize);
                let mut inner = Self { out: BytesMut::new(), ..*self };
                inner.value(&field.kind);
                self.varint(inner.out.len());
                self.out.put_slice(&inner.out);
            }
            // One that nobody knows.
            self.varint(99);
            self.varint(2);
            self.out.put_slice(b"??");
        }
    }

    fn value(&mut self, kind: &Kind) {
        match kind {
            Kind::Fixed(bytes) => {
                self.out.put_bytes(0, bytes - 1);
                self.out.put_u8(1);
            }
            Kind::Text if !self.is_flexible => {
                self.out.put_i16(2);
                self.out.put_slice(b"ab");
            }
            Kind::Text | Kind::Bytes => {
                self.length(2);
                self.out.put_slice(b"ab");
            }
            Kind::Group(fields) => self.fields(fields),
            Kind::Maybe(fields) => {
                self.out.put_u8(1);
                self.fields(fields);
            }
            Kind::Array(element) => {
                self.length(self.elements);
                (0..self.elements).for_each(|_| self.value(element));
            }
        }
    }

    fn length(&mut self, length: usize) {
        match self.is_flexible {
            true => self.varint(length + 1),
            false => self.out.put_i32(i32::try_from(length).unwrap()),
        }
    }

    fn varint(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.out.put_u8(u8::try_from(number & 0x7f).unwrap() | 0x80);
            number >>= 7;
        }
        self.out.put_u8(u8::try_from(number).unwrap());
    }
}
