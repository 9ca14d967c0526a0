//! How long the disk takes for a sync that nothing stands before: what an acknowledgement cannot be
//! faster than. Knows no broker.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::places::Places;
use crate::processor::{SERVER, stay_on};

/// So many, one after the other.
const SYNCS: usize = 1_000;
/// A few messages.
const PIECE: [u8; 512] = [7; 512];
/// Its blocks are real before anything is measured, as those of a broker's log are.
const FILE_BYTES: usize = 8 << 20;

/// Of a piece that is written behind the last one and synced, in microseconds: on the processor
/// that brokers have, for the disk's interrupts may come to another. One begins as soon as the last
/// one ended, or so long after it began: what rests takes longer to serve.
pub(super) fn median(places: &Places, every: Duration) -> Result<f64, String> {
    let path = places.tools().join("bare-sync");
    let taken = thread::scope(|scope| {
        let pinned = scope.spawn(|| {
            stay_on(SERVER)?;
            syncs(&path, every).map_err(|error| format!("{}: {error}", path.display()))
        });
        pinned.join().map_err(|_| "the thread that syncs panicked".to_owned())
    });
    let _ = fs::remove_file(&path);
    let mut taken = taken??;
    taken.sort();
    Ok(taken[taken.len() / 2].as_secs_f64() * 1e6)
}

fn syncs(path: &Path, every: Duration) -> io::Result<Vec<Duration>> {
    let file = File::create(path)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    let one = |number: usize| {
        let began = Instant::now();
        file.write_all_at(&PIECE, (number * PIECE.len()) as u64)?;
        file.sync_data()?;
        let taken = began.elapsed();
        thread::sleep(every.saturating_sub(taken));
        Ok(taken)
    };
    (0..SYNCS).map(one).collect()
}
