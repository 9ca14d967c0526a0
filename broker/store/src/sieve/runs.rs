//! The sieves of one segment, from its first batch on without a gap. Never changes a run.

use std::sync::Arc;

use super::run::Run;

/// All runs of a segment so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sieves {
    runs: Vec<Arc<Run>>,
    /// How long the file of them is; `None` once it could not be written.
    file_bytes: Option<u64>,
    /// Nothing more comes: what follows cannot be read.
    is_closed: bool,
}

/// Consecutive batches of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    /// The first offset.
    pub(crate) base: u64,
    /// The offset behind the last.
    pub(crate) next: u64,
    /// Where in the segment the first batch begins.
    pub(crate) position: u64,
    /// Where in the segment the last batch ends.
    pub(crate) end: u64,
}

/// What the sieves say about a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sifted {
    /// The first block that may hold it.
    Block(Block),
    /// None holds it before this offset.
    Nothing { next: u64 },
}

impl Sieves {
    /// None yet, and an empty file for them.
    pub(crate) fn new() -> Self {
        Self { file_bytes: Some(0), ..Self::default() }
    }

    /// Is this where a segment that is so long goes on?
    pub(crate) fn reach(&self, bytes: u64) -> bool {
        self.end() == bytes
    }

    /// The position behind the last batch that they speak of.
    pub(crate) fn end(&self) -> u64 {
        self.runs.last().map_or(0, |last| last.end())
    }

    /// The offset behind the last record, if there are any.
    pub(crate) fn next(&self) -> Option<u64> {
        self.runs.last().map(|last| last.next())
    }

    /// How long the file of them is, if it can be written to.
    pub(crate) fn file_bytes(&self) -> Option<u64> {
        self.file_bytes
    }

    /// Nothing more comes.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.is_closed
    }

    /// What they take in memory.
    pub(crate) fn memory(&self) -> usize {
        self.runs.iter().map(|run| run.memory()).sum()
    }

    /// Add a run that begins where they end; their file is so long now. Any other is left out.
    pub(crate) fn push(&mut self, run: Run, file_bytes: Option<u64>) {
        let next = self.next().unwrap_or(run.base);
        if (run.base, run.position) == (next, self.end()) {
            self.runs.push(Arc::new(run));
            self.file_bytes = file_bytes;
        }
    }

    /// Where blocks begin and end: position and offset.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().flat_map(|run| {
            let ends = run.blocks.iter().map(|block| (block.end, block.next));
            std::iter::once((run.position, run.base)).chain(ends)
        })
    }

    /// The block with this offset.
    pub(crate) fn block_at(&self, offset: u64) -> Option<Block> {
        let run = self.runs.get(self.run_at(offset)?)?;
        run.block(block_at(run, offset))
    }

    /// Where a topic may be, from this offset on. `None` where they say nothing.
    pub(crate) fn sift(&self, from: u64, hash: u64) -> Option<Sifted> {
        let first = self.run_at(from)?;
        let mut block = block_at(&self.runs[first], from);
        for run in &self.runs[first..] {
            if let Some(found) = (block..run.blocks.len()).find(|at| run.may_hold(*at, hash)) {
                return run.block(found).map(Sifted::Block);
            }
            block = 0;
        }
        self.next().map(|next| Sifted::Nothing { next })
    }

    fn run_at(&self, offset: u64) -> Option<usize> {
        let starts_before = self.runs.first().is_some_and(|first| first.base <= offset);
        let index = self.runs.partition_point(|run| run.next() <= offset);
        (starts_before && index < self.runs.len()).then_some(index)
    }
}

fn block_at(run: &Run, offset: u64) -> usize {
    run.blocks.partition_point(|block| block.next <= offset)
}

impl Run {
    fn block(&self, index: usize) -> Option<Block> {
        let ends = self.blocks.get(index)?;
        let before = index.checked_sub(1).map(|before| self.blocks[before]);
        Some(Block {
            base: before.map_or(self.base, |before| before.next),
            next: ends.next,
            position: before.map_or(self.position, |before| before.end),
            end: ends.end,
        })
    }
}
