//! What a commit costs that asks for no sync, beside others that do.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use tidewire_store::{Durability, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions};

use super::load::{Form, Load};
use super::{batch, one, quantile};

const COMMITS: usize = 2_000;
/// The first partition of the second stream.
const FAST: u32 = 4;

/// One appender for each level, while 64 others keep the disk busy.
pub(super) fn levels(folder: &Path) -> Result<(), Box<dyn Error>> {
    for (name, durability) in [("disk", Durability::Disk), ("os", Durability::Os)] {
        let _ = std::fs::remove_dir_all(folder);
        let config = StreamConfig { durability, ..StreamConfig::default() };
        let fast = StreamOptions { name: "fast".into(), partitions: 1, config };
        let streams = vec![StreamOptions::default(), fast];
        let options = StoreOptions { streams, ..StoreOptions::default() };
        let (store, _) = Store::open(Arc::new(RealDisk::new(folder)), options)?;
        let (busy, own) = (batch(16), batch(1));
        let stop = AtomicBool::new(false);
        let mut times = Vec::with_capacity(COMMITS);
        thread::scope(|scope| {
            scope.spawn(|| {
                let load = Load { store: &store, batch: &busy, appenders: 64, commits: 6_400 };
                while !stop.load(Ordering::Relaxed) {
                    load.run(Form::Tickets);
                }
            });
            for _ in 0..COMMITS {
                let started = Instant::now();
                let committed = store.commit(one(&own, FAST));
                times.push(started.elapsed());
                committed.expect("committed");
            }
            stop.store(true, Ordering::Relaxed);
        });
        println!(
            "beside 64 synced appenders, one for {name}: p50 {:?} p99 {:?}",
            quantile(&times, 0.5),
            quantile(&times, 0.99)
        );
        store.shutdown()?;
    }
    Ok(())
}
