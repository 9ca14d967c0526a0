//! What a stretch of the benchmark cost: processor time, and bytes given to the disk.

use std::fs;
use std::io::{self, ErrorKind};
use std::ops::Sub;
use std::time::Duration;

#[derive(Clone, Copy)]
pub(super) struct Cost {
    /// Of all threads, in user and kernel.
    pub(super) cpu: Duration,
    /// As the kernel counts pages that it has to write.
    pub(super) written: u64,
}

impl Cost {
    pub(super) fn now() -> io::Result<Self> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let rest = stat.rsplit_once(") ").ok_or(ErrorKind::InvalidData)?.1;
        // Hundredths of a second, the twelfth and thirteenth fields behind the name.
        let ticks = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
        let cpu = Duration::from_millis(10 * ticks.sum::<u64>());
        let io = fs::read_to_string("/proc/self/io")?;
        let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
        let written = written.and_then(|number| number.parse().ok());
        Ok(Self { cpu, written: written.ok_or(ErrorKind::InvalidData)? })
    }
}

impl Sub for Cost {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self { cpu: self.cpu - earlier.cpu, written: self.written - earlier.written }
    }
}
