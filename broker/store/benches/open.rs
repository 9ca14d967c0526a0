//! How long a store takes to open, and what memory it takes then, as the log grows: after a clean
//! stop, and after its process was killed in the middle of commits. And how much a reader of one
//! topic out of many has to read.
//!
//! `-- 1000000 10000000` names the sizes. The program runs itself again as the process that fills,
//! is killed, opens, or finds.

use std::env;
use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder};
use tidewire_proto::topic::TopicFilter;
use tidewire_store::{
    Append, Commit, Outcome, RealDisk, Reply, Store, StoreOptions, Table, TableChange,
};

const PAYLOAD: [u8; 100] = [b'x'; 100];
const TOPICS: u64 = 100_000;
const PARTITIONS: u32 = 4;
/// What a core's turn brings.
const RECORDS_PER_BATCH: u64 = 64;
/// Topics that are read, one after the other.
const READERS: u64 = 50;
const UNDER_WAY_MAX: u64 = 64;
/// One commit in so many moves the cursors of sessions.
const CURSORS_EVERY: u64 = 16;
/// Records, if the command line names no others.
const SIZES: [u64; 2] = [1_000_000, 10_000_000];

type Outcomes<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcomes {
    let words: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["fill", folder, from, to] => fill(folder.as_ref(), from.parse()?, to.parse()?),
        ["crash", folder, from] => fill(folder.as_ref(), from.parse()?, u64::MAX),
        ["open", folder] => open_and_report(folder.as_ref()),
        ["find", folder] => find_and_report(folder.as_ref()),
        [] => all(&SIZES),
        _ => all(&words.iter().map(|word| word.parse()).collect::<Result<Vec<_>, _>>()?),
    }
}

fn all(sizes: &[u64]) -> Outcomes {
    let folder = env::var_os("TIDEWIRE_BENCH_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let work = folder.join("bench-open");
    let _ = fs::remove_dir_all(&work);
    run("open", &work, &[])?.wait()?;
    let mut filled = 0;
    for &records in sizes {
        let started = Instant::now();
        run("fill", &work, &[filled, records])?.wait()?;
        filled = records;
        let seconds = started.elapsed().as_secs_f64();
        let bytes = bytes_of(&work, "")?;
        println!("{records} records over {TOPICS} topics in {seconds:.1} s, {bytes} bytes on disk");
        for _ in 0..3 {
            run("open", &work, &[])?.wait()?;
        }
        run("find", &work, &[])?.wait()?;
        for _ in 0..3 {
            kill_in_the_middle(&work, filled)?;
            run("open", &work, &[])?.wait()?;
        }
    }
    fs::remove_dir_all(&work)?;
    Ok(())
}

fn run(what: &str, folder: &Path, numbers: &[u64]) -> Outcomes<Child> {
    let mut command = Command::new(env::current_exe()?);
    command.arg(what).arg(folder).args(numbers.iter().map(u64::to_string));
    if what == "crash" {
        command.stdout(Stdio::piped());
    }
    Ok(command.spawn()?)
}

/// Let it commit for a while and kill it.
fn kill_in_the_middle(folder: &Path, from: u64) -> Outcomes {
    let mut child = run("crash", folder, &[from])?;
    let output = child.stdout.take().ok_or("it has an output")?;
    BufReader::new(output).read_line(&mut String::new())?;
    thread::sleep(Duration::from_millis(1_500));
    child.kill()?;
    child.wait()?;
    println!("killed");
    Ok(())
}

fn open_and_report(folder: &Path) -> Outcomes {
    let before = resident_kib()?;
    let started = Instant::now();
    let (store, report) = open(folder)?;
    let took = started.elapsed();
    let after = resident_kib()?;
    let first = Instant::now();
    store.commit(Commit {
        appends: vec![Append::new(PartitionId(0), batch(0))],
        ..Commit::default()
    })?;
    println!(
        "open {:.1} ms, first commit {:.1} ms after, resident {before} to {after} KiB: {report}",
        took.as_secs_f64() * 1e3,
        first.elapsed().as_secs_f64() * 1e3,
    );
    store.shutdown()?;
    Ok(())
}

/// Readers of one topic each, from the beginning of every partition to its end.
fn find_and_report(folder: &Path) -> Outcomes {
    let (store, _) = open(folder)?;
    let stored = bytes_of(&folder.join("streams"), "seg")?;
    let (mut most, mut all, mut messages) = (0, 0, 0);
    let started = Instant::now();
    for number in 0..READERS {
        let before = store.segment_bytes_read();
        messages += read_topic(&store, &topic(number * 7_919 % TOPICS))?;
        let read = store.segment_bytes_read() - before;
        all += read;
        most = most.max(read);
    }
    let share = |read: u64| 100.0 * read as f64 / stored as f64;
    println!(
        "find one topic: {} messages each, {:.2} % of {stored} bytes read (at most {:.2} %), \
         {:.1} ms, resident {} KiB",
        messages / READERS,
        share(all / READERS),
        share(most),
        started.elapsed().as_secs_f64() * 1e3 / READERS as f64,
        resident_kib()?,
    );
    store.shutdown()?;
    Ok(())
}

fn read_topic(store: &Store, topic: &str) -> Outcomes<u64> {
    let filter = TopicFilter::parse(topic)?;
    let mut messages = 0;
    for id in (0..PARTITIONS).map(PartitionId) {
        let (mut from, end) = store.bounds(id).ok_or("the partition is there")?;
        while from < end {
            let slice = store.read_matching(id, &filter, from, 256 << 10)?;
            for stored in &slice.batches {
                let keys = stored.batch.records().filter_map(|record| record.key);
                messages += keys.filter(|key| *key == topic.as_bytes()).count() as u64;
            }
            from = slice.next;
        }
    }
    Ok(messages)
}

fn open(folder: &Path) -> Outcomes<(Store, tidewire_store::RecoveryReport)> {
    Ok(Store::open(Arc::new(RealDisk::new(folder)), StoreOptions::default())?)
}

fn resident_kib() -> Outcomes<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// Of all files in a folder and below, or of one kind.
fn bytes_of(folder: &Path, kind: &str) -> Outcomes<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (path, metadata) = (entry.path(), entry.metadata()?);
        if metadata.is_dir() {
            bytes += bytes_of(&path, kind)?;
        } else if kind.is_empty() || path.extension().is_some_and(|found| found == kind) {
            bytes += metadata.len();
        }
    }
    Ok(bytes)
}

/// Neighbours in number are not neighbours by name.
fn topic(number: u64) -> String {
    let number = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % TOPICS;
    format!("plant/{}/line/{}/temp", number / 100, number % 100)
}

fn batch(from: u64) -> Batch {
    let mut builder = BatchBuilder::new();
    for n in from..from + RECORDS_PER_BATCH {
        builder.push(n.cast_signed(), Some(topic(n).as_bytes()), Some(&PAYLOAD), &[]);
    }
    builder.finish()
}

fn cursor(number: u64) -> TableChange {
    let key = format!("session {}", number.wrapping_mul(7_919) % 50_000);
    TableChange::new(Table::Cursors, key.as_bytes().into(), Some(vec![7; 40].into()))
}

/// Commit records `from..to`; says that it began.
fn fill(folder: &Path, from: u64, to: u64) -> Outcomes {
    let (store, _) = open(folder)?;
    if to == u64::MAX {
        println!("began");
    }
    let window = Arc::new(Window::default());
    let mut next = from;
    while next < to {
        let number = next / RECORDS_PER_BATCH;
        let partition = u32::try_from(number % u64::from(PARTITIONS))?;
        let appends = vec![Append::new(PartitionId(partition), batch(next))];
        let changes = match number % CURSORS_EVERY {
            0 => (number..number + 100).map(cursor).collect(),
            _ => Vec::new(),
        };
        window.enter();
        store.submit(Commit { appends, changes }, Some((next, window.clone())));
        next += RECORDS_PER_BATCH;
    }
    window.drain();
    store.shutdown()?;
    Ok(())
}

/// How many commits are under way.
#[derive(Default)]
struct Window {
    under_way: Mutex<u64>,
    answered: Condvar,
}

impl Window {
    fn enter(&self) {
        let mut under_way = self.under_way.lock();
        while *under_way >= UNDER_WAY_MAX {
            self.answered.wait(&mut under_way);
        }
        *under_way += 1;
    }

    fn drain(&self) {
        let mut under_way = self.under_way.lock();
        while *under_way > 0 {
            self.answered.wait(&mut under_way);
        }
    }
}

impl Reply for Window {
    fn committed(&self, outcomes: &mut Vec<Outcome>) {
        assert!(outcomes.iter().all(|outcome| outcome.result.is_ok()));
        *self.under_way.lock() -= outcomes.len() as u64;
        outcomes.clear();
        self.answered.notify_all();
    }
}
