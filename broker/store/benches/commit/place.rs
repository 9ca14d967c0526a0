//! Puts the store's writer and the bare loop on the same processor: where one processor takes all
//! interrupts of the disk, a sync from there is answered much sooner than from another, and a
//! comparison across processors would compare nothing else.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::thread::{CpuSet, Pid, sched_setaffinity};

use super::bare::Bare;

const CPUS_MAX: usize = 64;

/// The calling thread and the writer move to the processor where syncs are fastest.
pub(super) fn put_beside_the_disk(bare: &mut Bare) -> io::Result<()> {
    let cpus = std::thread::available_parallelism()?.get().min(CPUS_MAX);
    let mut best = (0, 0.0);
    for cpu in 0..cpus {
        pin(None, &[cpu])?;
        let rate = bare.rate(4096, Duration::from_millis(60))?;
        if rate > best.1 {
            best = (cpu, rate);
        }
    }
    pin(None, &[best.0])?;
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?;
        let name = fs::read_to_string(task.path().join("comm"))?;
        let id = task.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        if name.trim_end() == "writer" {
            pin(id, &[best.0])?;
        }
    }
    Ok(())
}

/// A thread may run anywhere.
pub(super) fn free() -> io::Result<()> {
    let all: Vec<usize> = (0..CPUS_MAX).collect();
    pin(None, &all)
}

fn pin(thread: Option<Pid>, cpus: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|cpu| set.set(*cpu));
    Ok(sched_setaffinity(thread, &set)?)
}
