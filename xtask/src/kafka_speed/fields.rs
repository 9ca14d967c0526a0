//! The fields of Kafka's messages as they were before they were flexible, and the batches in an
//! answer to Fetch. Knows no socket.

/// A request in the making.
#[derive(Default)]
pub(super) struct Request {
    pub(super) bytes: Vec<u8>,
}

impl Request {
    pub(super) fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    pub(super) fn text(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).unwrap_or(i16::MAX));
        self.raw(text.as_bytes());
    }

    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }
}

/// An answer that is read field by field; `None` where it ends too early.
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn skip(&mut self, bytes: usize) -> Option<()> {
        self.take(bytes).map(|_| ())
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    pub(super) fn i64(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// What is absent is as good as empty.
    pub(super) fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.i16()?;
        self.take(usize::try_from(length).unwrap_or(0))
    }
}

/// Shows the records of every partition in an answer to Fetch, version 11.
pub(super) fn fetched(answer: &[u8], see: &mut dyn FnMut(i32, &[u8])) -> Result<(), String> {
    let mut fields = Fields::new(answer);
    let error = read_fetched(&mut fields, see).ok_or("an answer to Fetch ends too early")?;
    if error == 0 { Ok(()) } else { Err(format!("Fetch: error {error}")) }
}

fn read_fetched(fields: &mut Fields<'_>, see: &mut dyn FnMut(i32, &[u8])) -> Option<i16> {
    fields.skip(8)?;
    let mut worst = fields.i16()?;
    fields.skip(4)?;
    for _ in 0..fields.i32()? {
        fields.text()?;
        for _ in 0..fields.i32()? {
            let partition = fields.i32()?;
            let error = fields.i16()?;
            worst = if error == 0 { worst } else { error };
            fields.skip(24)?;
            let aborted = usize::try_from(fields.i32()?).unwrap_or(0);
            fields.skip(aborted * 16 + 4)?;
            let length = usize::try_from(fields.i32()?).unwrap_or(0);
            see(partition, fields.take(length)?);
        }
    }
    Some(worst)
}

/// A batch, and what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Batch<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) next: i64,
    pub(super) records: u32,
}

/// The whole batches in the records of a partition; the last may have been cut.
pub(super) fn batches(mut records: &[u8]) -> impl Iterator<Item = Batch<'_>> {
    std::iter::from_fn(move || {
        let mut fields = Fields::new(records);
        let base = fields.i64()?;
        let length = usize::try_from(fields.i32()?).ok()?;
        fields.skip(11)?;
        let delta = fields.i32()?;
        fields.skip(30)?;
        let count = fields.i32()?;
        let (bytes, rest) = records.split_at_checked(12 + length)?;
        records = rest;
        let next = base + i64::from(delta) + 1;
        Some(Batch { bytes, next, records: u32::try_from(count).unwrap_or(0) })
    })
}

#[cfg(test)]
mod tests {
    use super::{Request, batches, fetched};

    fn batch(base: i64, records: i32) -> Vec<u8> {
        let mut batch = Request::default();
        batch.i64(base);
        batch.i32(49 + 5);
        batch.raw(&[0; 11]);
        batch.i32(records - 1);
        batch.raw(&[0; 30]);
        batch.i32(records);
        batch.raw(b"12345");
        batch.bytes
    }

    #[test]
    fn batches_are_found_one_behind_the_other_and_a_cut_one_is_not() {
        let mut records = batch(10, 3);
        records.extend(batch(13, 1));
        records.extend(&batch(14, 1)[..60]);
        let found: Vec<_> = batches(&records).map(|one| (one.next, one.records)).collect();
        assert_eq!(found, [(13, 3), (14, 1)]);
    }

    #[test]
    fn an_answer_shows_its_partitions_or_says_what_is_wrong() {
        let answer = |error: i16| {
            let mut answer = Request::default();
            answer.raw(&[0; 8]);
            answer.i16(0);
            answer.i32(0);
            answer.i32(1);
            answer.text("mqtt");
            answer.i32(1);
            answer.i32(3);
            answer.i16(error);
            answer.raw(&[0; 24]);
            answer.i32(-1);
            answer.i32(-1);
            answer.i32(5);
            answer.raw(b"bytes");
            answer.bytes
        };
        let mut seen = Vec::new();
        let read = fetched(&answer(0), &mut |partition, records| {
            seen.push((partition, records.to_vec()));
        });
        assert_eq!(read, Ok(()));
        assert_eq!(seen, [(3, b"bytes".to_vec())]);
        assert!(fetched(&answer(1), &mut |_, _| ()).is_err());
        assert!(fetched(&answer(0)[..40], &mut |_, _| ()).is_err());
    }
}
