//! Stands before the decoders: bounds every count and length in a request by the bytes that are
//! there. Never builds a message; the decoders behind it allocate what a request claims, and may
//! only be shown requests that passed here.

mod read;
#[cfg(test)]
pub(crate) mod sample;
mod shape;
mod shapes;

pub(crate) use read::{Reader, ShortError};
pub(crate) use shape::Shape;
pub(crate) use shapes::{admin, answers, data, groups};

use shape::{Field, Kind};

/// Elements of all arrays, and tagged fields, of one request: in memory each is worth many times
/// the few bytes that it may take on the wire.
const ELEMENTS_MAX: usize = 100_000;

/// Why a request must not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuardError {
    /// It ends within a field, or a count or length claims more than is there.
    #[error("the request ends within {0:?}")]
    Short(&'static str),
    /// All arrays together have too many elements.
    #[error("the request has more than {ELEMENTS_MAX} elements")]
    Elements,
}

/// Walks a request's body of that version. What is behind it is ignored, as the decoders do.
pub(crate) fn check(shape: &Shape, version: i16, body: &[u8]) -> Result<(), GuardError> {
    let is_flexible = version >= shape.flexible_since;
    let mut walk = Walk { reader: Reader::new(body), version, is_flexible, left: ELEMENTS_MAX };
    walk.fields(shape.fields)
}

struct Walk<'a> {
    reader: Reader<'a>,
    version: i16,
    is_flexible: bool,
    /// Elements that may still come.
    left: usize,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), GuardError> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.is_in(version)) {
            self.value(field.name, &field.kind)?;
        }
        if self.is_flexible { self.tags(fields) } else { Ok(()) }
    }

    fn value(&mut self, name: &'static str, kind: &Kind) -> Result<(), GuardError> {
        let short = |_: ShortError| GuardError::Short(name);
        match kind {
            Kind::Fixed(bytes) => self.reader.take(*bytes).map(drop).map_err(short),
            Kind::Text if self.is_flexible => self.compact_bytes().map_err(short),
            Kind::Bytes if self.is_flexible => self.compact_bytes().map_err(short),
            Kind::Text => self.text().map_err(short),
            Kind::Bytes => self.bytes().map_err(short),
            Kind::Group(fields) => self.fields(fields),
            Kind::Maybe(fields) => match self.reader.i8().map_err(short)? {
                1 => self.fields(fields),
                _ => Ok(()),
            },
            Kind::Array(element) => {
                let count = self.count().map_err(short)?;
                self.spend(count)?;
                (0..count).try_for_each(|_| self.value(name, element))
            }
        }
    }

    fn compact_bytes(&mut self) -> Result<(), ShortError> {
        let length = self.reader.compact_length()?;
        self.reader.take(length).map(drop)
    }

    fn text(&mut self) -> Result<(), ShortError> {
        let length = usize::try_from(self.reader.i16()?).unwrap_or(0);
        self.reader.take(length).map(drop)
    }

    fn bytes(&mut self) -> Result<(), ShortError> {
        let length = usize::try_from(self.reader.i32()?).unwrap_or(0);
        self.reader.take(length).map(drop)
    }

    /// How many elements follow: each takes a byte at least.
    fn count(&mut self) -> Result<usize, ShortError> {
        let count = match self.is_flexible {
            true => self.reader.compact_length()?,
            false => usize::try_from(self.reader.i32()?).unwrap_or(0),
        };
        if count <= self.reader.rest().len() { Ok(count) } else { Err(ShortError) }
    }

    fn spend(&mut self, elements: usize) -> Result<(), GuardError> {
        self.left = self.left.checked_sub(elements).ok_or(GuardError::Elements)?;
        Ok(())
    }

    fn tags(&mut self, fields: &[Field]) -> Result<(), GuardError> {
        let short = |_: ShortError| GuardError::Short("tagged fields");
        let count = self.reader.varint().map_err(short)?;
        if count as usize > self.reader.rest().len() {
            return Err(GuardError::Short("tagged fields"));
        }
        self.spend(count as usize)?;
        for _ in 0..count {
            let tag = self.reader.varint().map_err(short)?;
            let length = self.reader.varint().map_err(short)?;
            let known = |field: &&Field| field.tag == Some(tag) && field.is_in(self.version);
            match fields.iter().find(known) {
                // The decoder reads the field as it is, whatever length stands before it.
                Some(field) => self.value(field.name, &field.kind)?,
                None => self.reader.take(length as usize).map(drop).map_err(short)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
