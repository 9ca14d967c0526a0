//! How fast everything is read from page cache, and what that costs the server, beside a bare loop
//! over the same bytes.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::bare;
use super::figures::{Reading, line};
use super::reading::{Reader, walk};
use crate::output::{announce, note};
use crate::servers::Server;

/// And how much one turn reads at least, so that the kernel's ticks do not count.
const READERS: [(Reader, u64); 3] = [
    (Reader::Lean { connections: 1 }, 2 << 30),
    (Reader::Lean { connections: 4 }, 2 << 30),
    (Reader::Kcat, 500 << 20),
];

/// Prints a table for every reader.
pub(super) fn measure(server: &Server, folder: &Path, rounds: usize) -> Result<(), String> {
    let file = folder.join("answers");
    let mut copy = BufWriter::new(File::create(&file).map_err(|error| error.to_string())?);
    let topic = walk(server.kafka, &mut |answer| {
        let length = u32::try_from(answer.len()).map_err(|error| error.to_string())?;
        let written = copy.write_all(&length.to_be_bytes());
        written.and_then(|()| copy.write_all(answer)).map_err(|error| error.to_string())
    })?;
    copy.flush().map_err(|error| error.to_string())?;
    announce("throughput from page cache, beside a bare loop from file to socket");
    note(&format!(
        "{} messages in {} batches, {} MB of answers, the longest {} kB",
        topic.messages,
        topic.batches,
        topic.bytes / 1_000_000,
        topic.answer_bytes / 1000,
    ));
    for (reader, bytes_min) in READERS {
        let times = bytes_min.div_ceil(topic.bytes);
        let mut all = Vec::new();
        for round in 0..=rounds {
            let theirs = bare::read(&file, &topic, times)?;
            let ours = reader.read(server, Path::new(""), &topic, times)?;
            if round > 0 {
                all.push((ours, theirs));
            }
        }
        note(&format!("{:<34} {:>26} {:>26}  ratio", reader.name(), "tidewire", "bare loop"));
        note(&line("MB/s", &all, Reading::megabytes_per_second));
        note(&line("million messages/s", &all, |one| one.messages_per_second() / 1e6));
        note(&line("server's CPU, ns each message", &all, Reading::each_ns));
    }
    Ok(())
}
