//! Walks the batches of a segment one behind the other, checking each. A damaged place is passed
//! over by the batch that begins behind it, and quarantined.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use rustix::io::Errno;
use tidewire_proto::record::{BATCH_HEADER_BYTES, Batch, Outline};

use super::archive::{Archive, Located};
use super::chain::Chain;
use super::name::{BATCHES, file_name};
use super::places::known_places;
use crate::disk::{File, OpenMode, is_too_small_to_tell, salvage};
use crate::read::{Form, Quarantined, StoredBatch};

/// Read ahead when it is not known what is wanted.
pub(super) const AHEAD_BYTES: u64 = 64 << 10;
/// Read at once where headers alone are looked at.
const PEEK_BYTES: u64 = 4 << 10;

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
    form: Form,
    is_damaged: bool,
    /// The disk could not read all of `bytes`.
    is_unread: bool,
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
            form: Form::Open,
            is_damaged: false,
            is_unread: false,
        })
    }

    /// Batches come in this form, instead of open.
    pub(super) fn giving(self, form: Form) -> Self {
        Self { form, ..self }
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
            let (read, is_unread) = self.read_around(length, self.position)?;
            self.bytes = Bytes::from(read);
            self.is_unread = is_unread;
        }
        Ok(())
    }

    /// Zeros for what the disk cannot read. True if there are some.
    fn read_around(&self, length: usize, at: u64) -> io::Result<(Vec<u8>, bool)> {
        read_around(self.located, &*self.file, length, at)
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
    /// None is passed if one of these headers cannot be right: nobody knows then which.
    pub(super) fn skip_to(&mut self, offset: u64) -> io::Result<()> {
        let begin = (self.next, self.position, self.bytes.clone());
        loop {
            match self.outline()? {
                Some(outline) if outline.next_offset <= offset => self.pass(&outline),
                Some(_) => return Ok(()),
                None => {
                    (self.next, self.position, self.bytes) = begin;
                    return Ok(());
                }
            }
        }
    }

    /// The next whole batch that reaches beyond `offset`.
    pub(super) fn batch_beyond(&mut self, offset: u64) -> io::Result<Option<StoredBatch>> {
        while let Some(stored) = self.batch()? {
            if stored.next_offset() > offset {
                return Ok(Some(stored));
            }
        }
        Ok(None)
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
        let parsed =
            Batch::parse(self.bytes.slice(..outline.bytes)).and_then(|batch| self.form.of(batch));
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
        self.is_damaged = true;
        self.next = self.resume(from)?;
        let what = match self.is_unread {
            true => format!("{what}: the disk cannot read all of it"),
            false => what,
        };
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

    /// Go to the next place from which the rest can be read; answers its offset.
    fn resume(&mut self, from: u64) -> io::Result<u64> {
        let known = known_places(self.located);
        let mut chain = Chain::new(*self.located.segment, self.end, known);
        if let Some(next) = self.step_over(from, &mut chain)? {
            return Ok(next);
        }
        let aim = chain.known_from(self.position + 1).filter(|aim| aim.base > from);
        let (stop, behind) = match aim {
            Some(aim) => (aim.position, aim.base),
            None => (self.end, self.located.segment.next),
        };
        // A batch here would have the wrong offset, which its checksum does not cover.
        self.step(1);
        while self.position < stop && !chain.is_spent() {
            self.search(BATCH_HEADER_BYTES)?;
            if let Some(next) = self.leads_on(from, &mut chain)? {
                return Ok(next);
            }
            self.step(1);
        }
        (self.position, self.bytes) = (stop, Bytes::new());
        Ok(behind)
    }

    /// Where the header of a damaged batch still says how long it is, nothing inside it is looked
    /// at.
    fn step_over(&mut self, from: u64, chain: &mut Chain) -> io::Result<Option<u64>> {
        self.search(BATCH_HEADER_BYTES)?;
        let aim = chain.known_from(self.position + 1).filter(|aim| aim.base > from);
        let end = aim.map_or(self.end, |aim| aim.position);
        let within = |batch: &Outline| self.position + batch.bytes as u64 <= end;
        let Some(damaged) = Batch::outline(&self.bytes).filter(within) else { return Ok(None) };
        let (position, bytes) = (self.position, self.bytes.clone());
        self.step(damaged.bytes);
        if let Some(aim) = aim.filter(|aim| aim.position == self.position) {
            return Ok(Some(aim.base));
        }
        self.search(BATCH_HEADER_BYTES)?;
        let said = Some(damaged.next_offset).filter(|_| damaged.base_offset == from);
        let is_last = self.position == self.end && said == Some(self.located.segment.next);
        if is_last || (said.is_some() && Batch::base_offset_in(&self.bytes) == said) {
            return Ok(said);
        }
        let found = self.leads_on(from, chain)?;
        if found.is_none() {
            (self.position, self.bytes) = (position, bytes);
        }
        Ok(found)
    }

    /// The offset of the batch here, if it is whole and the rest of the segment follows: a payload
    /// may hold batches of its own.
    fn leads_on(&mut self, from: u64, chain: &mut Chain) -> io::Result<Option<u64>> {
        let end = self.located.segment.next;
        let later = |batch: &Outline| {
            batch.base_offset > from && batch.base_offset < end && self.fits(batch)
        };
        let Some(batch) = Batch::outline(&self.bytes).filter(later) else { return Ok(None) };
        let mut ahead = (self.position, self.bytes.clone());
        let mut outline_at = |position| self.outline_at(position, &mut ahead);
        if !chain.reaches(self.position, &batch, &mut outline_at)? {
            return Ok(None);
        }
        let is_whole = self.parsed(&batch)?.is_ok();
        if !is_whole {
            chain.count(batch.bytes as u64);
        }
        Ok(is_whole.then_some(batch.base_offset))
    }

    /// The header at a position, from bytes of the file that are in memory or are then.
    fn outline_at(
        &self,
        position: u64,
        (start, bytes): &mut (u64, Bytes),
    ) -> io::Result<Option<Outline>> {
        if position + BATCH_HEADER_BYTES as u64 > self.end {
            return Ok(None);
        }
        let header = |start: u64, bytes: &Bytes| {
            let place = usize::try_from(position.checked_sub(start)?).ok()?;
            bytes.get(place..place.checked_add(BATCH_HEADER_BYTES)?).map(Batch::outline)
        };
        if let Some(outline) = header(*start, bytes) {
            return Ok(outline);
        }
        let length = usize::try_from(PEEK_BYTES.min(self.end - position)).unwrap_or(usize::MAX);
        let (read, _) = self.read_around(length, position)?;
        (*start, *bytes) = (position, Bytes::from(read));
        Ok(Batch::outline(bytes))
    }

    /// As [`have`](Self::have), for a search that goes on from here step by step.
    fn search(&mut self, bytes: usize) -> io::Result<()> {
        if self.bytes.len() < bytes {
            self.load(bytes as u64 + AHEAD_BYTES)?;
        }
        Ok(())
    }
}

/// Read, with zeros for what the disk cannot read: true if there are some. Of a small segment that
/// is believed only when it lasts.
fn read_around(
    located: Located<'_>,
    file: &dyn File,
    length: usize,
    at: u64,
) -> io::Result<(Vec<u8>, bool)> {
    let Archive { meter, silence, .. } = located.archive;
    let (mut bytes, mut is_unread) = meter.read_around(file, length, at)?;
    if is_unread && is_too_small_to_tell(file)? {
        let mut whole = vec![0; usize::try_from(file.len()?).unwrap_or_default()];
        if salvage(file, &mut whole, 0)? < whole.len() as u64 {
            // Perhaps it answers again.
            (bytes, is_unread) = meter.read_around(file, length, at)?;
        } else if silence.is_believed(located.key()) {
            return Ok((bytes, true));
        } else {
            return Err(Errno::IO.into());
        }
    }
    silence.end(located.key());
    Ok((bytes, is_unread))
}

/// Open the file of a segment.
pub(super) fn open(located: Located<'_>) -> io::Result<Arc<dyn File>> {
    let name = file_name(&located.partition.folder, located.segment, BATCHES);
    located.disk.open(&name, OpenMode::Read)
}
