//! A Produce request as bytes, written by hand: the library copies each batch into the request, and
//! the request into its frame. Never sends anything.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes};

use crate::client::fault::Fault;
use crate::client::packed::Stamped;

/// A batch that is shorter is copied: that is cheaper than to write it by itself.
const COPIED_BYTES_MAX: usize = 16 << 10;
/// Until it is written by all who have a copy.
const ACKS_ALL: i16 = -1;

/// What is to be written, of the versions that our client asks for: 7 and 8, which are alike.
#[derive(Debug)]
pub(crate) struct Produce<'a> {
    pub(crate) transactional_id: Option<&'a str>,
    pub(crate) timeout_ms: i32,
    pub(crate) topics: BTreeMap<&'a str, Vec<(i32, Stamped)>>,
}

/// Bytes in several pieces, which are written one after the other.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    whole: Vec<Bytes>,
    last: Vec<u8>,
}

impl Produce<'_> {
    /// How many batches it has.
    pub(crate) fn batches(&self) -> usize {
        self.topics.values().map(Vec::len).sum()
    }

    /// What they come to.
    pub(crate) fn bytes(&self) -> usize {
        self.topics.values().flatten().map(|(_, batch)| batch.len()).sum()
    }

    /// Behind its header, which is written already.
    ///
    /// # Errors
    /// When something is longer than it can be.
    pub(crate) fn put(&self, out: &mut Pieces) -> Result<(), Fault> {
        match self.transactional_id {
            Some(id) => put_text(&mut out.last, id)?,
            None => out.last.put_i16(-1),
        }
        out.last.put_i16(ACKS_ALL);
        out.last.put_i32(self.timeout_ms);
        out.last.put_i32(length(self.topics.len())?);
        for (topic, batches) in &self.topics {
            put_text(&mut out.last, topic)?;
            out.last.put_i32(length(batches.len())?);
            for (partition, batch) in batches {
                out.last.put_i32(*partition);
                out.last.put_i32(length(batch.len())?);
                out.last.put_slice(&batch.head);
                out.put_body(&batch.body);
            }
        }
        Ok(())
    }
}

impl Pieces {
    /// These bytes to begin with.
    pub(crate) fn new(front: Vec<u8>) -> Self {
        Self { whole: Vec::new(), last: front }
    }

    /// All of them, behind the number of their bytes.
    ///
    /// # Errors
    /// When there are too many.
    pub(crate) fn framed(mut self) -> Result<Vec<Bytes>, Fault> {
        if !self.last.is_empty() {
            self.whole.push(self.last.into());
        }
        let bytes = length(self.whole.iter().map(Bytes::len).sum())?;
        if let Some(first) = self.whole.first_mut() {
            // Short: what is long stands in a piece of its own.
            *first = [&bytes.to_be_bytes()[..], first].concat().into();
        }
        Ok(self.whole)
    }

    fn put_body(&mut self, body: &Bytes) {
        if body.len() < COPIED_BYTES_MAX {
            return self.last.put_slice(body);
        }
        self.whole.push(std::mem::take(&mut self.last).into());
        self.whole.push(body.clone());
    }
}

fn put_text(out: &mut Vec<u8>, text: &str) -> Result<(), Fault> {
    out.put_i16(i16::try_from(text.len()).map_err(|_| too_long())?);
    out.put_slice(text.as_bytes());
    Ok(())
}

fn length(count: usize) -> Result<i32, Fault> {
    i32::try_from(count).map_err(|_| too_long())
}

fn too_long() -> Fault {
    Fault::Other("a request cannot be written: it is too long".into())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use kafka_protocol::messages::ProduceRequest;
    use kafka_protocol::protocol::Decodable;
    use tidewire_proto::record::BatchBuilder;

    use super::{COPIED_BYTES_MAX, Pieces, Produce};
    use crate::client::packed::{Packing, Stamp, Stamped, pack};

    fn batch(bytes: usize) -> Stamped {
        let mut builder = BatchBuilder::new();
        builder.push(1, Some(b"k"), Some(&vec![7; bytes]), &[]);
        let stamp = Stamp { producer: 7, epoch: 1, sequence: 3, is_transactional: true };
        pack(&builder.finish(), Packing::None).unwrap().stamped(stamp)
    }

    #[test]
    fn the_library_reads_what_is_written_by_hand() {
        let of = |sizes: [usize; 2]| (0..).zip(sizes.map(batch)).collect::<Vec<_>>();
        let topics = BTreeMap::from([
            ("large", of([2 * COPIED_BYTES_MAX, 3 * COPIED_BYTES_MAX])),
            ("mixed", of([9, 2 * COPIED_BYTES_MAX])),
            ("small", of([1, 2])),
        ]);
        for transactional_id in [Some("mine"), None] {
            let produce = Produce { transactional_id, timeout_ms: 30_000, topics: topics.clone() };
            let mut pieces = Pieces::new(b"front".to_vec());
            produce.put(&mut pieces).unwrap();
            let framed = pieces.framed().unwrap();
            assert_eq!(framed.len(), 7, "what is large is not copied");
            let whole = framed.concat();
            let (length, rest) = whole.split_at(4);
            assert_eq!(length, i32::try_from(rest.len()).unwrap().to_be_bytes());
            let mut body = Bytes::copy_from_slice(rest.strip_prefix(b"front").unwrap());
            for version in 7..=8 {
                let read = ProduceRequest::decode(&mut body.clone(), version).unwrap();
                let id = read.transactional_id.as_ref().map(|id| id.as_str());
                assert_eq!((id, read.acks, read.timeout_ms), (transactional_id, -1, 30_000));
                for (topic, (name, batches)) in read.topic_data.iter().zip(&topics) {
                    assert_eq!(topic.name.as_str(), *name);
                    let read = topic.partition_data.iter().map(|it| (it.index, it.records.clone()));
                    let put = batches.iter().map(|(index, it)| (*index, Some(it.whole())));
                    assert!(read.eq(put), "{name}");
                }
            }
            ProduceRequest::decode(&mut body, 8).unwrap();
            assert!(body.is_empty() && produce.batches() == 6 && produce.bytes() < whole.len());
        }
    }
}
