//! How long writes and syncs of log files take. Lies on a disk, and changes nothing of them.

use std::fmt;
use std::io::{self, IoSlice};
use std::time::Instant;

use metrics::{Counter, Histogram};
use tidewire_store::disk::{File, Layer};

/// Where log files lie in the data folder.
const LOG: &str = "wal/";

/// Where it is recorded.
#[derive(Clone)]
pub(crate) struct DiskNumbers {
    pub(crate) append_seconds: Histogram,
    pub(crate) fsync_seconds: Histogram,
    pub(crate) written_bytes: Counter,
}

impl fmt::Debug for DiskNumbers {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("DiskNumbers").finish_non_exhaustive()
    }
}

impl Layer for DiskNumbers {
    fn covers(&self, name: &str) -> bool {
        name.starts_with(LOG)
    }

    fn write_all_at(
        &self,
        file: &dyn File,
        parts: &mut [IoSlice<'_>],
        offset: u64,
    ) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let began = Instant::now();
        file.write_all_at(parts, offset)?;
        self.append_seconds.record(began.elapsed());
        self.written_bytes.increment(bytes as u64);
        Ok(())
    }

    fn sync_data(&self, file: &dyn File) -> io::Result<()> {
        let began = Instant::now();
        file.sync_data()?;
        self.fsync_seconds.record(began.elapsed());
        Ok(())
    }
}
