//! How fast commits are, beside the physical limit measured in the same run: a bare loop that
//! writes as many bytes to a file that is already there, and syncs.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder};
use tidewire_store::{
    Append, Appended, Commit, Follower, Outcome, RealDisk, Reply, Store, StoreOptions,
};

const PAYLOAD: [u8; 100] = [b'x'; 100];
const COMMITS: u64 = 4_000;

type Outcomes = Result<(), Box<dyn Error>>;

fn main() -> Outcomes {
    builder();
    let folder = std::env::var_os("TIDEWIRE_BENCH_DIR").map_or_else(|| "target".into(), Into::into);
    let folder: std::path::PathBuf = folder;
    let work = folder.join("bench-commit");
    for records in [1, 100, 1_000] {
        one_appender(&work, records)?;
    }
    for records in [1, 16, 64] {
        many_appenders(&work, 64, records)?;
    }
    fs::remove_dir_all(&work)?;
    Ok(())
}

fn batch(records: u32) -> Batch {
    let mut builder = BatchBuilder::new();
    for n in 0..records {
        builder.push(i64::from(n), Some(b"plant/7/line/3/temp"), Some(&PAYLOAD), &[]);
    }
    builder.finish()
}

fn builder() {
    let (rounds, records) = (20_000, 100_u32);
    let mut builder = BatchBuilder::new();
    let started = Instant::now();
    let mut bytes = 0;
    for round in 0..rounds {
        for n in 0..records {
            builder.push(round + i64::from(n), Some(b"plant/7/line/3/temp"), Some(&PAYLOAD), &[]);
        }
        bytes += builder.finish().bytes().len();
    }
    let each =
        started.elapsed().as_nanos() / (u128::from(records) * u128::from(rounds.unsigned_abs()));
    println!("builder: {each} ns per 100-byte record, checksum included ({bytes} bytes)");
}

fn open(folder: &Path) -> Result<Store, Box<dyn Error>> {
    let _ = fs::remove_dir_all(folder);
    let (store, report) = Store::open(Arc::new(RealDisk::new(folder)), StoreOptions::default())?;
    println!("  new folder: {report}");
    Ok(store)
}

fn one_appender(folder: &Path, records: u32) -> Outcomes {
    let batch = batch(records);
    let bytes = batch.bytes().len();
    let store = open(folder)?;
    let mut times = Vec::new();
    for _ in 0..COMMITS {
        let append = Append { partition: PartitionId(0), batch: batch.clone() };
        let started = Instant::now();
        store.commit(Commit { appends: vec![append], changes: Vec::new() })?;
        times.push(started.elapsed());
    }
    store.shutdown()?;
    let bare = bare_loop(folder, bytes + 48)?;
    let (ours, limit) = (median(times), median(bare));
    let share = ours.as_secs_f64() / limit.as_secs_f64();
    println!(
        "1 appender, {records} records ({bytes} B): median {ours:?}, bare {limit:?}, x{share:.2}"
    );
    Ok(())
}

/// Append and sync as the store does, with nothing around it.
fn bare_loop(folder: &Path, bytes: usize) -> Result<Vec<Duration>, Box<dyn Error>> {
    let path = folder.join("bare");
    let file = File::create(&path)?;
    let zeros = vec![0; 1 << 20];
    for chunk in 0..64 {
        file.write_all_at(&zeros, chunk << 20)?;
    }
    file.sync_all()?;
    let data = vec![7; bytes];
    let (mut times, mut at) = (Vec::new(), 0);
    for _ in 0..COMMITS {
        if at + bytes as u64 > 64 << 20 {
            at = 0;
        }
        let started = Instant::now();
        file.write_all_at(&data, at)?;
        file.sync_data()?;
        times.push(started.elapsed());
        at += bytes as u64;
    }
    fs::remove_file(path)?;
    Ok(times)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Counts group commits.
#[derive(Default)]
struct Groups(AtomicU64);

impl Follower for Groups {
    fn durable(&self, _: &Arc<[Appended]>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// One core's view: how many of its commits are under way.
#[derive(Default)]
struct Window {
    under_way: Mutex<u64>,
    answered: Condvar,
}

impl Reply for Window {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()));
        *self.under_way.lock() -= outcomes.len() as u64;
        outcomes.clear();
        self.answered.notify_all();
    }
}

/// As many commits under way as there are appenders, fed from two threads.
fn many_appenders(folder: &Path, appenders: u64, records: u32) -> Outcomes {
    let store = open(folder)?;
    let groups = Arc::new(Groups::default());
    store.follow(groups.clone());
    let batch = batch(records);
    let started = Instant::now();
    let each = COMMITS * 16;
    thread::scope(|scope| {
        for core in 0..2 {
            let (store, batch) = (store.clone(), batch.clone());
            scope.spawn(move || feed(&store, &batch, core, (appenders / 2, each)));
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    store.shutdown()?;
    let (commits, groups) = (2 * each, groups.0.load(Ordering::Relaxed).max(1));
    let bytes = commits * batch.bytes().len() as u64;
    let per_group = usize::try_from(bytes / groups)?;
    let limit = bare_loop(folder, per_group)?;
    let limit_seconds: f64 = limit.iter().map(Duration::as_secs_f64).sum::<f64>();
    let limit_rate = (per_group as u64 * COMMITS) as f64 / limit_seconds;
    let rate = bytes as f64 / seconds;
    println!(
        "{appenders} appenders, {records} records: {:.0} records/s, {:.1} MB/s, {per_group} bytes \
         per sync, bare {:.1} MB/s, {:.0} %",
        (commits * u64::from(records)) as f64 / seconds,
        rate / 1e6,
        limit_rate / 1e6,
        100.0 * rate / limit_rate,
    );
    Ok(())
}

fn feed(store: &Store, batch: &Batch, core: u32, (window_max, commits): (u64, u64)) {
    let window = Arc::new(Window::default());
    for ticket in 0..commits {
        let mut under_way = window.under_way.lock();
        while *under_way >= window_max {
            window.answered.wait(&mut under_way);
        }
        *under_way += 1;
        drop(under_way);
        let append = Append { partition: PartitionId(core), batch: batch.clone() };
        let commit = Commit { appends: vec![append], changes: Vec::new() };
        store.submit(commit, Some((ticket, window.clone())));
    }
    let mut under_way = window.under_way.lock();
    while *under_way > 0 {
        window.answered.wait(&mut under_way);
    }
}
