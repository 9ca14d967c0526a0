//! How fast commits are, beside the physical limit measured in the same run: a bare loop that
//! writes as many bytes to a file that is already there, and syncs. Store and bare loop take
//! turns, so that both meet the same disk; what is reported is the median of the rounds. On a busy
//! machine run it under `chrt -r 5`, or the scheduler is what is measured.

#[path = "commit/bare.rs"]
mod bare;
#[path = "commit/cost.rs"]
mod cost;
#[path = "commit/levels.rs"]
mod levels;
#[path = "commit/load.rs"]
mod load;
#[path = "commit/place.rs"]
mod place;

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bare::Bare;
use cost::Cost;
use load::{Form, Groups, Load};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder};
use tidewire_store::{Append, Commit, RealDisk, Store, StoreOptions};

const PAYLOAD: [u8; 100] = [b'x'; 100];
const MIB: u64 = 1 << 20;
/// What a frame has besides its batches, and a batch in it.
const FRAME_BYTES: usize = 40 + 5;

type Outcomes = Result<(), Box<dyn Error>>;

fn main() -> Outcomes {
    let folder = env::var_os("TIDEWIRE_BENCH_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let work = folder.join("bench-commit");
    let wanted = env::args().skip(1).find(|word| !word.starts_with("--")).unwrap_or_default();
    let is_wanted = |name: &str| name.contains(&wanted);
    if is_wanted("builder") {
        builder();
    }
    for records in [1, 100, 1_000] {
        if is_wanted("one") {
            one_appender(&work, records)?;
        }
    }
    for (kind, files, rounds) in [("burst", 0, 9), ("sustained", 6, 3)] {
        for form in [Form::Tickets, Form::Threads] {
            for records in [1, 16, 64] {
                if is_wanted(&format!("{kind} {form} {records}")) {
                    many_appenders(&work, &Case { kind, files, rounds, form, records })?;
                }
            }
        }
    }
    if is_wanted("levels") {
        levels::levels(&work)?;
    }
    let _ = fs::remove_dir_all(&work);
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

/// A new store. `quiet` gives it log files that a short run does not fill, and waits until the
/// second is there: nothing but commits is then under way.
fn open(folder: &Path, quiet: bool) -> Result<Store, Box<dyn Error>> {
    let _ = fs::remove_dir_all(folder);
    let mut options = StoreOptions::default();
    if quiet {
        options.wal_file_bytes = 512 * MIB;
        options.wal_bytes_max = 2048 * MIB;
    }
    let (store, report) = Store::open(Arc::new(RealDisk::new(folder)), options)?;
    if env::var_os("TIDEWIRE_BENCH_OPEN").is_some() {
        println!("  new folder: {report}");
    }
    let files = || fs::read_dir(folder.join("wal")).map(|names| names.count());
    while quiet && files()? < 2 {
        thread::sleep(Duration::from_millis(10));
    }
    if quiet {
        // The file that is open may be a short one: move on to one of full length.
        let filler = batch(1_000);
        for _ in 0..80 {
            store.commit(one(&filler, 0))?;
        }
        thread::sleep(Duration::from_millis(1_500));
    }
    Ok(store)
}

fn one(batch: &Batch, partition: u32) -> Commit {
    let append = Append::new(PartitionId(partition), batch.clone());
    Commit { appends: vec![append], changes: Vec::new() }
}

/// One commit at a time: latency.
fn one_appender(folder: &Path, records: u32) -> Outcomes {
    const BLOCKS: usize = 60;
    const BLOCK: usize = 50;
    let store = open(folder, true)?;
    let batch = batch(records);
    let bytes = batch.bytes().len() + FRAME_BYTES;
    let mut bare = Bare::new(&folder.join("bare"))?;
    place::put_beside_the_disk(&mut bare)?;
    let (mut ours, mut limit, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..BLOCKS {
        let mut times = Vec::with_capacity(BLOCK);
        for _ in 0..BLOCK {
            let started = Instant::now();
            store.commit(one(&batch, 0))?;
            times.push(started.elapsed());
        }
        let bare_times = bare.run(bytes, BLOCK as u64)?;
        shares.push(quantile(&times, 0.5).as_secs_f64() / quantile(&bare_times, 0.5).as_secs_f64());
        ours.extend(times);
        limit.extend(bare_times);
    }
    println!(
        "one appender, {records} records ({bytes} B): p50 {:?} p99 {:?}, bare p50 {:?} p99 {:?}: \
         x{:.2} (median of {BLOCKS} pairs)",
        quantile(&ours, 0.5),
        quantile(&ours, 0.99),
        quantile(&limit, 0.5),
        quantile(&limit, 0.99),
        median(shares)
    );
    store.shutdown()?;
    Ok(())
}

struct Case {
    kind: &'static str,
    /// How many log files a round fills; 0 for a short round without a checkpoint.
    files: u64,
    rounds: u32,
    form: Form,
    records: u32,
}

/// 64 commits under way at any time: throughput.
fn many_appenders(folder: &Path, case: &Case) -> Outcomes {
    const APPENDERS: u64 = 64;
    let store = open(folder, case.files == 0)?;
    let groups = Arc::new(Groups::default());
    store.follow(groups.clone());
    let mut bare = Bare::new(&folder.join("bare"))?;
    place::put_beside_the_disk(&mut bare)?;
    let batch = batch(case.records);
    let bytes_each = batch.bytes().len() as u64;
    let total = if case.files == 0 { 30 * MIB } else { case.files * 64 * MIB };
    let commits = (total / bytes_each).min(if case.files == 0 { 40_000 } else { u64::MAX });
    let load = Load { store: &store, batch: &batch, appenders: APPENDERS, commits };
    let mut rounds = Rounds::default();
    let mut before = bare.rate(usize::try_from(32 * bytes_each)?, Duration::from_millis(50))?;
    for _ in 0..case.rounds {
        groups.reset();
        let cost = Cost::now()?;
        let started = Instant::now();
        let times = load.run(case.form);
        let seconds = started.elapsed().as_secs_f64();
        let cost = Cost::now()? - cost;
        let per_group = commits * bytes_each / groups.count().max(1);
        let after = bare.rate(usize::try_from(per_group)?, Duration::from_millis(150))?;
        let rate = (commits * bytes_each) as f64 / seconds;
        // The first rate is at a guessed size: only later ones count from both sides.
        let limit = if rounds.shares.is_empty() { after } else { f64::midpoint(before, after) };
        before = after;
        rounds.shares.push(rate / limit);
        rounds.rates.push(rate);
        rounds.per_group.push(per_group as f64);
        rounds.cpu.push(cost.cpu.as_secs_f64() * 1e6 / commits as f64);
        let payload = commits * u64::from(case.records) * PAYLOAD.len() as u64;
        rounds.written.push(cost.written as f64 / payload as f64);
        rounds.times.extend(times);
    }
    rounds.report(case, bytes_each);
    store.shutdown()?;
    Ok(())
}

#[derive(Default)]
struct Rounds {
    shares: Vec<f64>,
    rates: Vec<f64>,
    per_group: Vec<f64>,
    cpu: Vec<f64>,
    written: Vec<f64>,
    times: Vec<Duration>,
}

impl Rounds {
    fn report(self, case: &Case, bytes_each: u64) {
        let Case { kind, form, records, .. } = case;
        let mut shares = self.shares.clone();
        shares.sort_by(f64::total_cmp);
        let (low, high) = (shares[0], shares[shares.len() - 1]);
        let rate = median(self.rates);
        println!(
            "{kind}, 64 {form}, {records} records: {:.0} % of bare ({:.0} to {:.0}), \
             {:.0} k rec/s, {:.1} MB/s, {:.0} B per sync, p50 {:?} p99 {:?} p99.9 {:?}, \
             cpu {:.2} us per commit, written {:.2} per payload byte",
            100.0 * median(self.shares),
            100.0 * low,
            100.0 * high,
            rate / bytes_each as f64 * f64::from(*records) / 1e3,
            rate / 1e6,
            median(self.per_group),
            quantile(&self.times, 0.5),
            quantile(&self.times, 0.99),
            quantile(&self.times, 0.999),
            median(self.cpu),
            median(self.written),
        );
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index below the number of times"
    )]
    let index = ((sorted.len() - 1) as f64 * share) as usize;
    sorted[index]
}
