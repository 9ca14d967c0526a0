//! Walks the batches of a segment one behind the other, checking each. A damaged place is passed
//! over by the batch that begins behind it, and quarantined.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch, Outline};

use super::archive::Located;
use super::name::{BATCHES, file_name};
use crate::disk::{File, OpenMode};
use crate::read::{Quarantined, StoredBatch};

/// Read ahead when it is not known what is wanted.
pub(super) const AHEAD_BYTES: u64 = 64 << 10;

/// The part of the file that is in memory, and where the walk is.
pub(super) struct Window<'a> {
    located: Located<'a>,
    file: Arc<dyn File>,
    /// Bytes of the file that count and are there.
    end: u64,
    /// Where in the file `bytes` begins.
    position: u64,
    bytes: Bytes,
    /// The offset of the next batch.
    next: u64,
    /// Read at once at least, so that small batches do not cost a call each.
    ahead: u64,
    is_damaged: bool,
}

impl<'a> Window<'a> {
    /// Begin at `position`, where a batch with the offset `base` is said to be.
    pub(super) fn open(
        located: Located<'a>,
        file: Arc<dyn File>,
        (base, position): (u64, u64),
        ahead: u64,
    ) -> io::Result<Self> {
        let end = located.segment.bytes.min(file.len()?);
        let position = position.min(end);
        Ok(Self {
            located,
            file,
            end,
            position,
            bytes: Bytes::new(),
            next: base,
            ahead,
            is_damaged: false,
        })
    }

    /// The offset of the next batch, or the one behind the segment's last record.
    pub(super) fn next_offset(&self) -> u64 {
        self.next
    }

    /// Have at least `bytes` in memory, or all that there is.
    pub(super) fn load(&mut self, bytes: u64) -> io::Result<()> {
        let length = usize::try_from(bytes.min(self.end - self.position))
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        if length > self.bytes.len() {
            let read = self.located.archive.meter.read_at(&*self.file, length, self.position)?;
            self.bytes = Bytes::from(read);
        }
        Ok(())
    }

    /// As [`load`](Self::load), and some more with it if anything is read at all.
    fn have(&mut self, bytes: usize) -> io::Result<()> {
        if self.bytes.len() < bytes {
            self.load((bytes as u64).max(self.ahead))?;
        }
        Ok(())
    }

    /// Go forward to `position`, where a batch with the offset `base` is said to be.
    pub(super) fn seek(&mut self, (base, position): (u64, u64)) {
        if base > self.next {
            self.bytes = Bytes::new();
            self.position = position.min(self.end);
            self.next = base;
        }
    }

    /// Pass the batches before the one that holds `offset`, reading no more than their headers.
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        while let Some(outline) = self.outline()?
            && outline.next_offset <= offset
        {
            self.pass(&outline);
        }
        Ok(())
    }

    /// A damaged place was passed.
    pub(super) fn is_damaged(&self) -> bool {
        self.is_damaged
    }

    /// How long the next batch says it is.
    pub(super) fn peek(&mut self) -> io::Result<Option<usize>> {
        Ok(self.outline()?.map(|outline| outline.bytes))
    }

    /// The next batch that is whole; `None` at the end of the segment.
    pub(super) fn batch(&mut self) -> io::Result<Option<StoredBatch>> {
        while self.next < self.located.segment.next {
            let what = match self.outline()? {
                None if self.position >= self.end => "the file is cut short".into(),
                None => "no batch begins here".into(),
                Some(outline) => match self.parsed(&outline)? {
                    Ok(batch) => {
                        self.pass(&outline);
                        let base_offset = outline.base_offset;
                        return Ok(Some(StoredBatch { base_offset, batch }));
                    }
                    Err(what) => what,
                },
            };
            self.pass_damage(what)?;
        }
        Ok(None)
    }

    /// The header here, if it is the one that should follow.
    fn outline(&mut self) -> io::Result<Option<Outline>> {
        self.have(BATCH_HEADER_BYTES)?;
        let follows = |batch: &Outline| batch.base_offset == self.next && self.fits(batch);
        Ok(Batch::outline(&self.bytes).filter(follows))
    }

    fn fits(&self, batch: &Outline) -> bool {
        self.position + batch.bytes as u64 <= self.end
            && batch.next_offset <= self.located.segment.next
    }

    fn parsed(&mut self, outline: &Outline) -> io::Result<Result<Batch, String>> {
        self.have(outline.bytes)?;
        let parsed = Batch::parse(self.bytes.slice(..outline.bytes)).and_then(Batch::open);
        Ok(parsed.map_err(|error| error.to_string()))
    }

    fn pass(&mut self, outline: &Outline) {
        self.step(outline.bytes);
        self.next = outline.next_offset;
    }

    fn step(&mut self, length: usize) {
        let _passed = self.bytes.split_to(length.min(self.bytes.len()));
        self.position += length as u64;
    }

    /// Go on at the next whole batch, wherever it begins, and note what lies before it.
    fn pass_damage(&mut self, what: String) -> io::Result<()> {
        let (from, position) = (self.next, self.position);
        let end = self.located.segment.next;
        self.is_damaged = true;
        self.next = end;
        // A batch here would have the wrong offset, which its checksum does not cover.
        while self.position < self.end {
            self.have(1)?;
            self.step(1);
            self.have(BATCH_HEADER_BYTES)?;
            let later = |batch: &Outline| {
                batch.base_offset > from && batch.base_offset < end && self.fits(batch)
            };
            if let Some(outline) = Batch::outline(&self.bytes).filter(later)
                && self.parsed(&outline)?.is_ok()
            {
                self.next = outline.base_offset;
                break;
            }
        }
        let (partition, segment) = (self.located.partition, self.located.segment);
        self.located.archive.quarantine(Quarantined {
            partition: partition.id,
            file: file_name(&partition.folder, segment, BATCHES),
            position,
            from,
            to: self.next,
            what,
        });
        Ok(())
    }
}

/// Open the file of a segment.
pub(super) fn open(located: Located<'_>) -> io::Result<Arc<dyn File>> {
    let name = file_name(&located.partition.folder, located.segment, BATCHES);
    located.disk.open(&name, OpenMode::Read)
}
