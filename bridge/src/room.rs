//! What is left of what one request may make us hold. Counts, and never holds anything itself.

/// So many bytes and no more. Whoever is refused once gets nothing after that either.
#[derive(Debug)]
pub(crate) struct Room {
    all: usize,
    left: usize,
}

/// There is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

impl Room {
    /// All of it.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { all: bytes, left: bytes }
    }

    /// Whether nothing of it was taken yet.
    pub(crate) fn is_whole(&self) -> bool {
        self.left == self.all
    }

    /// What is left.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Takes so many bytes; all that is left if there are fewer.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), NoRoom> {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(0);
        left.map(|_| ()).ok_or(NoRoom)
    }

    /// Nothing is left.
    pub(crate) fn use_up(&mut self) {
        self.left = 0;
    }
}
