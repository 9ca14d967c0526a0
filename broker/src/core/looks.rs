//! What those who catch up may cost a core before its other clients get their turn: one budget,
//! for all of them together. Looks at nothing itself.

/// Records, each times the filters that it is compared with, before others get their turn.
pub(crate) const LOOKS_AT_A_TIME: usize = 1 << 16;
/// So many of what was read from disk are looked at in any case: it is not read for nothing.
const LOOKS_AT_A_READ: usize = 1 << 12;
/// What it costs to find a single message in the log, or a stretch of the retained table.
pub(crate) const LOOKS_OF_A_SEARCH: usize = 16;

/// What was spent since others had their turn.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    spent: usize,
}

impl Looks {
    /// Others had their turn.
    pub(crate) fn begin_again(&mut self) {
        self.spent = 0;
    }

    /// Something was looked at.
    pub(crate) fn spend(&mut self, looks: usize) {
        self.spent = self.spent.saturating_add(looks);
    }

    /// Others are to have their turn.
    pub(crate) fn are_spent(&self) -> bool {
        self.are_beyond(LOOKS_AT_A_TIME)
    }

    /// Where looking at what came from disk must end, if not where the budget does.
    pub(crate) fn end_of_read(&self) -> usize {
        LOOKS_AT_A_TIME.max(self.spent.saturating_add(LOOKS_AT_A_READ))
    }

    /// Whether that many are spent.
    pub(crate) fn are_beyond(&self, end: usize) -> bool {
        self.spent >= end
    }

    #[cfg(test)]
    pub(crate) fn spent(&self) -> usize {
        self.spent
    }
}
