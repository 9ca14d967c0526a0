//! What a message that is read costs this broker's processor, beside a real Kafka that holds the
//! same batches and is read by the same clients, by turns.

use std::path::Path;

use super::fields::{batches, fetched};
use super::figures::{Reading, line};
use super::reading::{Reader, TOPIC, walk};
use super::wire::Client;
use crate::output::{announce, note};
use crate::servers::Server;

/// And how often each reads everything in one turn.
const READERS: [(Reader, u64); 3] =
    [(Reader::Kcat, 3), (Reader::Java, 2), (Reader::Lean { connections: 1 }, 10)];
/// Kafka's code is compiled while it runs: so many turns are not counted.
const WARM_UP: usize = 5;

/// Prints a table for every reader.
pub(super) fn measure(
    ours: &Server,
    theirs: &Server,
    jars: &Path,
    rounds: usize,
) -> Result<(), String> {
    announce("server's CPU beside Apache Kafka with the same batches");
    let copied = copy(ours, theirs)?;
    let topic = walk(theirs.kafka, &mut |_| Ok(()))?;
    let held = walk(ours.kafka, &mut |_| Ok(()))?;
    note(&format!(
        "tidewire: {} messages in {} batches; kafka: {} in {}, {copied} copied",
        held.messages, held.batches, topic.messages, topic.batches,
    ));
    if (held.messages, held.batches) != (topic.messages, topic.batches) {
        return Err("the two do not hold the same".to_owned());
    }
    for (reader, times) in READERS {
        let mut all = Vec::new();
        for round in 0..WARM_UP + rounds {
            let mine = reader.read(ours, jars, &held, times)?;
            let other = reader.read(theirs, jars, &topic, times)?;
            if round >= WARM_UP {
                all.push((mine, other));
            }
        }
        note(&format!("{:<34} {:>26} {:>26}  ratio", reader.name(), "tidewire", "kafka"));
        note(&line("server's CPU, ns each message", &all, Reading::each_ns));
        note(&line("million messages/s", &all, |one| one.messages_per_second() / 1e6));
    }
    Ok(())
}

/// What Fetch gives here is produced there, batch by batch, into the same partitions.
fn copy(from: &Server, to: &Server) -> Result<u64, String> {
    let mut client = Client::connect(to.kafka)?;
    client.partitions(TOPIC)?;
    let (mut copied, mut problem) = (0, None);
    walk(from.kafka, &mut |answer| {
        fetched(answer, &mut |partition, records| {
            for batch in batches(records) {
                let mut batch = batch.bytes.to_vec();
                // A producer's batch begins at 0; the checksum does not cover that.
                batch[..8].fill(0);
                if let Err(error) = client.produce(TOPIC, partition, &batch) {
                    problem.get_or_insert(error);
                }
                copied += 1;
            }
        })?;
        problem.take().map_or(Ok(()), Err)
    })?;
    Ok(copied)
}
