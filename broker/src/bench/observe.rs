//! Processor time and memory of another process, from /proc. Changes nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// A process that is watched.
#[derive(Clone, Debug)]
pub(crate) struct Observed(PathBuf);

impl Observed {
    /// # Errors
    /// When there is no such process.
    pub(crate) fn new(pid: u32) -> Result<Self, String> {
        let folder = Path::new("/proc").join(pid.to_string());
        match folder.is_dir() {
            true => Ok(Self(folder)),
            false => Err(format!("--pid {pid}: there is no such process")),
        }
    }

    /// Processor time of all its threads that still run, in nanoseconds.
    pub(crate) fn processor_ns(&self) -> u64 {
        let Ok(threads) = fs::read_dir(self.0.join("task")) else { return 0 };
        threads.flatten().filter_map(|thread| first_number(&thread.path().join("schedstat"))).sum()
    }

    /// Memory that it has now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(self.0.join("status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    }
}

fn first_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().next()?.parse().ok()
}
