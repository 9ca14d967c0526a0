//! Makes the sieves that a segment lacks, by reading it. Never writes them.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use super::archive::Located;
use super::window::{AHEAD_BYTES, Window, open};
use crate::sieve::{Run, RunBuilder, Sieves};

/// A run of sieves stands for at most about so much of a segment.
const RUN_STANDS_FOR: u64 = 64 << 20;

/// Read the segment from where its sieves end, and make what is missing. Done when nothing is, or
/// when it is damaged there, or stopped.
pub(crate) fn make_runs(
    located: Located<'_>,
    known: &Sieves,
    stop: &AtomicBool,
) -> io::Result<(Vec<Run>, bool)> {
    let begin = (known.next().unwrap_or(located.segment.base), known.end());
    let mut window = Window::open(located, open(located)?, begin, AHEAD_BYTES * 4)?;
    let mut builder = RunBuilder::new(begin.0, begin.1);
    let mut runs = Vec::new();
    while let Some(stored) = window.batch()? {
        if window.is_damaged() || stop.load(Ordering::Relaxed) {
            break;
        }
        builder.add(&stored.batch, window.next_offset());
        if builder.stands_for() >= RUN_STANDS_FOR {
            let next = RunBuilder::new(window.next_offset(), builder.end());
            runs.extend(std::mem::replace(&mut builder, next).finish());
        }
    }
    runs.extend(builder.finish());
    Ok((runs, window.is_damaged()))
}
