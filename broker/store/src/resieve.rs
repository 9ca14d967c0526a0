//! Sieves of segments that have no topic index yet: taken up from the checkpoint, read back when
//! the store opens, and made again where they are missing. Never decides what is in one.

use std::io;

use crate::engine::Engine;
use crate::partition::{Partition, Segment};
use crate::segment::{self, Grown};
use crate::sieve::Sieves;

/// The checkpoint made these segments new or longer.
pub(crate) fn take_up(partition: &Partition, grown: Vec<Grown>) {
    for Grown { segment, sieves } in grown {
        let Some((run, file_bytes)) = sieves else { continue };
        let known = partition.sieves(segment.base);
        let mut known = known.map_or_else(Sieves::new, |known| Sieves::clone(&known));
        known.push(run, file_bytes);
        partition.set_sieves(segment.base, known);
    }
}

/// What lies beside the segments. Reads no segment.
pub(crate) fn load(engine: &Engine) {
    for partition in engine.catalog.partitions() {
        for segment in partition.unrefined_segments() {
            if engine.has_room_for_sieves() {
                let sieves = segment::load_sieves(engine.located(&partition, &segment));
                partition.set_sieves(segment.base, sieves);
            }
        }
    }
}

/// Make what is missing, on the caller's thread.
pub(crate) fn run_pending(engine: &Engine) {
    for partition in engine.catalog.partitions() {
        for segment in lacking(engine, &partition) {
            if engine.sealer.is_closed() || !engine.has_room_for_sieves() {
                return;
            }
            if let Err(error) = make(engine, &partition, &segment) {
                let (folder, base) = (&partition.folder, segment.base);
                tracing::warn!(folder, base, %error, "a segment is read without sieves");
                close(engine, &partition, &segment);
            }
        }
    }
}

/// The segments whose sieves end before they do, as of between two checkpoints.
fn lacking(engine: &Engine, partition: &Partition) -> Vec<Segment> {
    let _arranging = engine.sealer.arranging();
    let mut segments = partition.unrefined_segments();
    segments.retain(|segment| {
        let known = partition.sieves(segment.base);
        known.is_none_or(|known| !known.is_closed() && !known.reach(segment.bytes))
    });
    segments
}

fn make(engine: &Engine, partition: &Partition, segment: &Segment) -> io::Result<()> {
    let known = partition.sieves(segment.base);
    let mut known = known.map_or_else(Sieves::new, |known| Sieves::clone(&known));
    let located = engine.located(partition, segment);
    let made = segment::make_runs(located, &known, engine.sealer.stop());
    if !partition.has(segment) {
        return Ok(());
    }
    let (runs, is_damaged) = made?;
    let _arranging = engine.sealer.arranging();
    if !partition.has(segment) || ends_of(partition, segment) != known.end() {
        return Ok(());
    }
    for run in runs {
        let kept = (&run, known.file_bytes());
        let file_bytes = segment::save_run(&*engine.disk, &partition.folder, segment, kept);
        known.push(run, file_bytes);
    }
    if is_damaged {
        known.close();
    }
    partition.set_sieves(segment.base, known);
    Ok(())
}

fn close(engine: &Engine, partition: &Partition, segment: &Segment) {
    let _arranging = engine.sealer.arranging();
    let known = partition.sieves(segment.base);
    let mut known = known.map_or_else(Sieves::new, |known| Sieves::clone(&known));
    known.close();
    partition.set_sieves(segment.base, known);
}

fn ends_of(partition: &Partition, segment: &Segment) -> u64 {
    partition.sieves(segment.base).map_or(0, |known| known.end())
}
