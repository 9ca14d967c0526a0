//! Shows each change to the disk just before it happens, so that a test can cut the power at any
//! place of it. Changes nothing.

use super::state::{Change, Moment, State, Write};

impl Moment<'_> {
    /// How many bytes are about to be written; none if it is another change.
    pub fn bytes(&self) -> usize {
        self.write.map_or(0, |write| write.bytes.len())
    }

    /// Nothing but zeros is about to be written.
    pub fn is_blank(&self) -> bool {
        self.write.is_some_and(|write| write.bytes.iter().all(|byte| *byte == 0))
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
