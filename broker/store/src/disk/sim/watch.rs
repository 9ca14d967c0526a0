//! Shows each change to the disk just before it happens, so that a test can cut the power at any
//! place of it. Changes nothing.

use super::state::{Change, Moment, State, Write};

impl Moment<'_> {
    /// How many bytes are about to be written; none if it is another change.
    pub fn bytes(&self) -> usize {
        self.write.map_or(0, |write| write.bytes.len())
    }

    /// Does the file differ, for whoever reads it now or after a power cut, by the last of so many
    /// bytes of the write? A byte that lies there already makes no other disk.
    pub fn is_changed_by(&self, written: usize) -> bool {
        let Some((write, last)) = self.write.zip(written.checked_sub(1)) else { return true };
        let (Some(file), Some(byte)) = (self.state.inodes.get(&write.inode), write.bytes.get(last))
        else {
            return true;
        };
        let images = [&file.bytes, &file.durable];
        images.iter().any(|image| image.get(write.position + last) != Some(byte))
    }

    /// The file that is written and the first bytes of it, if a part of the write happened.
    pub(super) fn part(&self, written: usize) -> Option<(u64, Change)> {
        let write = self.write.filter(|_| written > 0)?;
        let new = write.bytes[..written].to_vec();
        Some((write.inode, Change::Write { position: write.position, new }))
    }
}

/// Let whoever watches have a look.
pub(super) fn announce(state: &mut State, name: &str, write: Option<Write<'_>>) {
    if let Some(mut watch) = state.watch.take() {
        (watch.0)(&Moment { name, state, write });
        state.watch = Some(watch);
    }
}
