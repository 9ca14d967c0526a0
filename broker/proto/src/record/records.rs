//! Reads records out of a batch. Bounded by the bytes that are there, never by a count that a
//! peer claims; never panics, never allocates.

use super::header::Header;
use super::varint::Cursor;

/// The records of one batch, in order. Stops at the first that does not parse.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    cursor: Cursor<'a>,
    base_timestamp: i64,
    left: u32,
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Offset less the batch's base offset.
    pub offset_delta: u32,
    /// Milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The key, by convention the MQTT topic.
    pub key: Option<&'a [u8]>,
    /// The payload.
    pub value: Option<&'a [u8]>,
    header_count: usize,
    headers: &'a [u8],
    /// Key, value and headers as they lie there: the same in any batch.
    pub(super) content: &'a [u8],
}

/// The keys of the records of one batch, each with what [`Record::offset_delta`] is: for who looks
/// at nothing else. Stops at the first record whose key does not parse.
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    cursor: Cursor<'a>,
    left: u32,
}

/// The headers of one record, in order. Stops at the first that does not parse.
#[derive(Clone, Debug, Default)]
pub struct Headers<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl<'a> Records<'a> {
    pub(super) fn new(body: &'a [u8], base_timestamp: i64, count: u32) -> Self {
        Self { cursor: Cursor::new(body), base_timestamp, left: count }
    }

    /// All bytes were read as records.
    pub(super) fn is_exhausted(&self) -> bool {
        self.cursor.rest().is_empty()
    }

    fn parse(&mut self) -> Option<Record<'a>> {
        let length = self.cursor.length()?;
        let mut body = Cursor::new(self.cursor.take(length)?);
        body.byte()?;
        let timestamp_delta = body.varint()?;
        let offset_delta = u32::try_from(body.varint()?).ok()?;
        let timestamp_ms = self.base_timestamp.wrapping_add(timestamp_delta);
        Record::of(body.rest(), offset_delta, timestamp_ms)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        self.left = self.left.checked_sub(1)?;
        let record = self.parse();
        if record.is_none() {
            self.left = 0;
        }
        record
    }
}

impl<'a> Keys<'a> {
    pub(super) fn new(body: &'a [u8], count: u32) -> Self {
        Self { cursor: Cursor::new(body), left: count }
    }

    fn parse(&mut self) -> Option<(u32, Option<&'a [u8]>)> {
        let length = self.cursor.length()?;
        let mut body = Cursor::new(self.cursor.take(length)?);
        body.byte()?;
        body.varint()?;
        let offset_delta = u32::try_from(body.varint()?).ok()?;
        Some((offset_delta, body.nullable()?))
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = (u32, Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let key = self.parse();
        if key.is_none() {
            self.left = 0;
        }
        key
    }
}

impl<'a> Record<'a> {
    /// Reads key, value and headers.
    pub(super) fn of(content: &'a [u8], offset_delta: u32, timestamp_ms: i64) -> Option<Self> {
        let mut body = Cursor::new(content);
        let key = body.nullable()?;
        let value = body.nullable()?;
        let header_count = body.length()?;
        let headers = body.rest();
        Some(Self { offset_delta, timestamp_ms, key, value, header_count, headers, content })
    }

    /// The headers, in order, repeats kept.
    pub fn headers(&self) -> Headers<'a> {
        Headers { cursor: Cursor::new(self.headers), left: self.header_count }
    }

    /// As many headers as it says, and nothing behind them.
    pub(super) fn headers_are_sound(&self) -> bool {
        let mut headers = self.headers();
        headers.by_ref().count() == self.header_count && headers.cursor.rest().is_empty()
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let length = self.cursor.length()?;
        let key = self.cursor.take(length)?;
        let value = self.cursor.nullable()?;
        Some(Header { key, value })
    }
}
