//! The physical limit: append to a file whose blocks are there, sync, again. Nothing around it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE_BYTES: u64 = 64 << 20;

pub(super) struct Bare {
    file: File,
    at: u64,
    data: Vec<u8>,
}

impl Bare {
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let zeros = vec![0; 1 << 20];
        for chunk in 0..FILE_BYTES >> 20 {
            file.write_all_at(&zeros, chunk << 20)?;
        }
        file.sync_all()?;
        Ok(Self { file, at: 0, data: Vec::new() })
    }

    /// How long each of so many syncs took, the write before it included.
    pub(super) fn run(&mut self, bytes: usize, syncs: u64) -> io::Result<Vec<Duration>> {
        self.data.resize(bytes, 7);
        (0..syncs).map(|_| self.once()).collect()
    }

    /// Bytes per second over at least this time.
    pub(super) fn rate(&mut self, bytes: usize, time: Duration) -> io::Result<f64> {
        self.data.resize(bytes, 7);
        let started = Instant::now();
        let mut written = 0;
        while started.elapsed() < time {
            self.once()?;
            written += bytes;
        }
        Ok(written as f64 / started.elapsed().as_secs_f64())
    }

    fn once(&mut self) -> io::Result<Duration> {
        if self.at + self.data.len() as u64 > FILE_BYTES {
            self.at = 0;
        }
        let started = Instant::now();
        self.file.write_all_at(&self.data, self.at)?;
        self.file.sync_data()?;
        self.at += self.data.len() as u64;
        Ok(started.elapsed())
    }
}
