//! A disk that reads through to another and keeps every change in memory: whoever looks at a
//! folder with it leaves no trace there. Never writes, never locks.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, File, OpenMode};

/// What changed is kept in pages of this size.
const PAGE_BYTES: usize = 4096;

/// The disk below, and what was changed above it.
#[derive(Debug)]
pub(super) struct Overlay {
    below: Arc<dyn Disk>,
    /// Files that were opened to write, by name; `None` is one that was removed.
    changed: Mutex<HashMap<String, Option<Arc<Layered>>>>,
}

impl Overlay {
    pub(super) fn new(below: Arc<dyn Disk>) -> Self {
        Self { below, changed: Mutex::default() }
    }
}

fn not_found(name: &str) -> io::Error {
    io::Error::new(ErrorKind::NotFound, format!("{name}: removed"))
}

impl Disk for Overlay {
    fn open(&self, name: &str, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut changed = self.changed.lock();
        if mode == OpenMode::Create {
            let file = Arc::new(Layered::over(None, 0));
            changed.insert(name.into(), Some(Arc::clone(&file)));
            return Ok(file);
        }
        match changed.get(name) {
            Some(Some(file)) => return Ok(Arc::clone(file) as Arc<dyn File>),
            Some(None) => return Err(not_found(name)),
            None => (),
        }
        let below = self.below.open(name, OpenMode::Read)?;
        if mode == OpenMode::Read {
            return Ok(below);
        }
        let bytes = below.len()?;
        let file = Arc::new(Layered::over(Some(below), bytes));
        changed.insert(name.into(), Some(Arc::clone(&file)));
        Ok(file)
    }

    fn create_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, name: &str) -> io::Result<Vec<String>> {
        let mut names = self.below.list(name)?;
        for (path, file) in self.changed.lock().iter() {
            let (folder, file_name) = path.rsplit_once('/').unwrap_or(("", path));
            if folder != name {
                continue;
            }
            names.retain(|known| known != file_name);
            if file.is_some() {
                names.push(file_name.into());
            }
        }
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.open(from, OpenMode::Write)?;
        let mut changed = self.changed.lock();
        let file = changed.insert(from.into(), None);
        changed.insert(to.into(), file.flatten());
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.open(name, OpenMode::Read)?;
        self.changed.lock().insert(name.into(), None);
        Ok(())
    }

    fn sync_dir(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn random(&self) -> u64 {
        self.below.random()
    }
}

/// One file: what lies below, with changed pages on top.
#[derive(Debug)]
struct Layered {
    below: Option<Arc<dyn File>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    bytes: u64,
    /// Bytes of the file below that still show.
    below_bytes: u64,
    pages: BTreeMap<u64, Box<[u8]>>,
}

impl Layered {
    fn over(below: Option<Arc<dyn File>>, bytes: u64) -> Self {
        let state = State { bytes, below_bytes: bytes, pages: BTreeMap::new() };
        Self { below, state: Mutex::new(state) }
    }

    fn read(&self, state: &State, out: &mut [u8], offset: u64) -> io::Result<()> {
        let shows = state.below_bytes.saturating_sub(offset);
        let shows = usize::try_from(shows).unwrap_or(usize::MAX).min(out.len());
        let (shown, blank) = out.split_at_mut(shows);
        if let (Some(below), false) = (&self.below, shown.is_empty()) {
            Self::read_below(state, &**below, shown, offset)?;
        }
        blank.fill(0);
        let end = offset + out.len() as u64;
        let first = offset - offset % PAGE_BYTES as u64;
        for (start, page) in state.pages.range(first..end) {
            let from = offset.max(*start);
            let to = end.min(start + PAGE_BYTES as u64);
            let (source, target) = (within(*start, from, to), within(offset, from, to));
            out[target].copy_from_slice(&page[source]);
        }
        Ok(())
    }

    /// What cannot be read below does not matter where it is changed.
    fn read_below(state: &State, below: &dyn File, out: &mut [u8], offset: u64) -> io::Result<()> {
        if below.read_exact_at(out, offset).is_ok() {
            return Ok(());
        }
        let (mut rest, mut at) = (out, offset);
        while !rest.is_empty() {
            let inside = within(at - at % PAGE_BYTES as u64, at, at).start;
            let length = (PAGE_BYTES - inside).min(rest.len());
            let (piece, behind) = rest.split_at_mut(length);
            if !state.pages.contains_key(&(at - inside as u64)) {
                below.read_exact_at(piece, at)?;
            }
            (rest, at) = (behind, at + length as u64);
        }
        Ok(())
    }

    fn write(&self, state: &mut State, part: &[u8], offset: u64) -> io::Result<()> {
        // A write of nothing makes no file longer.
        if part.is_empty() {
            return Ok(());
        }
        let end = offset + part.len() as u64;
        state.bytes = state.bytes.max(end);
        let mut start = offset - offset % PAGE_BYTES as u64;
        while start < end {
            if !state.pages.contains_key(&start) {
                let mut page = vec![0; PAGE_BYTES];
                let is_replaced = offset <= start && start + PAGE_BYTES as u64 <= end;
                if !is_replaced {
                    self.read(state, &mut page, start)?;
                }
                state.pages.insert(start, page.into());
            }
            let from = offset.max(start);
            let to = end.min(start + PAGE_BYTES as u64);
            if let Some(page) = state.pages.get_mut(&start) {
                page[within(start, from, to)].copy_from_slice(&part[within(offset, from, to)]);
            }
            start += PAGE_BYTES as u64;
        }
        Ok(())
    }
}

/// The range `from..to` of a file, in a piece of it that begins at `start`.
fn within(start: u64, from: u64, to: u64) -> std::ops::Range<usize> {
    let place = |at: u64| usize::try_from(at - start).expect("no longer than a piece in memory");
    place(from)..place(to)
}

impl File for Layered {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state.lock().bytes)
    }

    fn read_exact_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state.lock();
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > state.bytes) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.read(&state, out, offset)
    }

    fn write_all_at(&self, parts: &mut [IoSlice<'_>], mut offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        for part in parts.iter() {
            self.write(&mut state, part, offset)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        if bytes < state.bytes {
            let cut_page = bytes - bytes % PAGE_BYTES as u64;
            if let Some(page) = state.pages.get_mut(&cut_page) {
                page[within(cut_page, bytes, cut_page + PAGE_BYTES as u64)].fill(0);
            }
            state.pages.split_off(&bytes.next_multiple_of(PAGE_BYTES as u64));
            state.below_bytes = state.below_bytes.min(bytes);
        }
        state.bytes = bytes;
        Ok(())
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let longer = self.state.lock().bytes.max(bytes);
        self.set_len(longer)
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::sync::Arc;

    use proptest::prelude::{Strategy, any, prop_oneof, proptest};

    use super::Overlay;
    use crate::disk::sim::SimDisk;
    use crate::disk::{Disk, File, OpenMode};

    fn content(file: &dyn File) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn write(file: &dyn File, bytes: &[u8], at: u64) {
        file.write_all_at(&mut [IoSlice::new(bytes)], at).unwrap();
    }

    #[derive(Clone, Debug)]
    enum Step {
        Write(u16, u16, u8),
        Cut(u16),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..20_000_u16, 0..9_000_u16, any::<u8>()).prop_map(|(at, n, b)| Step::Write(at, n, b)),
            (0..20_000_u16).prop_map(Step::Cut),
        ]
    }

    proptest! {
        #[test]
        fn a_file_reads_as_if_it_had_been_written(
            steps in proptest::collection::vec(step(), 1..12)
        ) {
            let below = SimDisk::new(1);
            let original = vec![7; 10_000];
            write(&*below.open("a", OpenMode::Create).unwrap(), &original, 0);
            let overlay = Overlay::new(below.clone());
            let file = overlay.open("a", OpenMode::Write).unwrap();
            let mut expected = original.clone();
            for step in steps {
                match step {
                    Step::Write(at, length, byte) => {
                        let (at, end) = (usize::from(at), usize::from(at) + usize::from(length));
                        if length > 0 {
                            expected.resize(expected.len().max(end), 0);
                            expected[at..end].fill(byte);
                        }
                        write(&*file, &vec![byte; usize::from(length)], at as u64);
                    }
                    Step::Cut(bytes) => {
                        expected.resize(usize::from(bytes), 0);
                        file.set_len(u64::from(bytes)).unwrap();
                    }
                }
                assert!(content(&*file) == expected);
            }
            assert_eq!(content(&*below.open("a", OpenMode::Read).unwrap()), original);
        }
    }

    #[test]
    fn a_write_of_nothing_behind_the_end_changes_nothing() {
        let below = SimDisk::new(1);
        write(&*below.open("a", OpenMode::Create).unwrap(), b"1", 0);
        let file = Overlay::new(below).open("a", OpenMode::Write).unwrap();
        write(&*file, b"", 100);
        assert_eq!(content(&*file), b"1");
    }

    #[test]
    fn names_change_above_and_stay_below() {
        let below = SimDisk::new(1);
        write(&*below.open("a", OpenMode::Create).unwrap(), b"1", 0);
        write(&*below.open("b", OpenMode::Create).unwrap(), b"2", 0);
        let overlay = Overlay::new(below.clone() as Arc<dyn Disk>);
        overlay.rename("a", "c").unwrap();
        overlay.remove("b").unwrap();
        overlay.open("d", OpenMode::Create).unwrap();
        let mut names = overlay.list("").unwrap();
        names.sort();
        assert_eq!(names, ["c", "d"]);
        assert_eq!(content(&*overlay.open("c", OpenMode::Read).unwrap()), b"1");
        assert!(overlay.open("b", OpenMode::Read).is_err());
        assert_eq!(content(&*below.open("b", OpenMode::Read).unwrap()), b"2");
    }
}
