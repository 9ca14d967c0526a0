//! How long the disk takes for a sync that nothing stands before: what an acknowledgement cannot be
//! faster than. Knows no broker.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::places::Places;
use crate::processor::{CLIENT, SERVER, stay_on};

/// So many, one after the other.
const SYNCS: u32 = 1_000;
/// A few messages.
const PIECE: [u8; 512] = [7; 512];
/// Its blocks are real before anything is measured, as those of a broker's log are.
const FILE_BYTES: usize = 8 << 20;

/// Of a piece that is written behind the last one and synced, in microseconds, as a broker's are:
/// on its processor, while the load generator's is awake, for the disk's interrupts may come there.
/// One begins as soon as the last one ended, or `every` so often: what rests takes longer to serve.
pub(super) fn median(places: &Places, every: Duration) -> Result<f64, String> {
    let path = places.tools().join("bare-sync");
    let is_over = AtomicBool::new(false);
    let taken = thread::scope(|scope| {
        let broker = scope.spawn(|| {
            stay_on(SERVER)?;
            syncs(&path, every).map_err(|error| format!("{}: {error}", path.display()))
        });
        // The second, for it would never end if the other could not be started.
        let generator = scope.spawn(|| stay_awake(&is_over));
        let taken = broker.join();
        is_over.store(true, Ordering::Relaxed);
        let joined = |_| "a thread that measures panicked".to_owned();
        generator.join().map_err(joined)?.and(taken.map_err(joined)?)
    });
    let _ = fs::remove_file(&path);
    let mut taken = taken?;
    taken.sort();
    Ok(taken[taken.len() / 2].as_secs_f64() * 1e6)
}

/// What a load generator with a rate does between two messages.
fn stay_awake(is_over: &AtomicBool) -> Result<(), String> {
    stay_on(CLIENT)?;
    while !is_over.load(Ordering::Relaxed) {
        thread::yield_now();
    }
    Ok(())
}

fn syncs(path: &Path, every: Duration) -> io::Result<Vec<Duration>> {
    let file = File::create(path)?;
    file.write_all_at(&vec![0; FILE_BYTES], 0)?;
    file.sync_all()?;
    let first = Instant::now();
    let one = |number: u32| {
        thread::sleep((every * number).saturating_sub(first.elapsed()));
        let began = Instant::now();
        file.write_all_at(&PIECE, u64::from(number) * PIECE.len() as u64)?;
        file.sync_data()?;
        Ok(began.elapsed())
    };
    (0..SYNCS).map(one).collect()
}
