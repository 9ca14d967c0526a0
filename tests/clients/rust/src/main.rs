//! A member of a consumer group: arguments are host, port, library (krafka or krafka-848), group.
//!
//! Prints "GOT partition offset value" for each record that it read, and the same with "AT" when
//! its offset is committed, or with "TRIED" when it does not know whether it is. Leaves the group
//! when it is told to stop (SIGTERM).
//! `MEMBER_SESSION_MS` and `MEMBER_PACE_MS`: how long it may be silent, and how long it rests
//! after up to 100 records.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write as _;
use std::time::Duration;

use krafka::Kafka;
use krafka::consumer::{AutoOffsetReset, Consumer, ConsumerRecord, GroupProtocol};
use tokio::signal::unix::{SignalKind, signal};

const STREAM: &str = "mqtt";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, library, group] = arguments.as_slice() else {
        return Err("host, port, library, group".into());
    };
    let kafka = Kafka::builder(format!("{host}:{port}")).connect().await?;
    let mut builder = kafka
        .consumer(group.as_str())
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(false)
        .max_poll_records(100);
    if library == "krafka-848" {
        builder = builder.group_protocol(GroupProtocol::Consumer);
    } else {
        builder = builder
            .session_timeout(milliseconds("MEMBER_SESSION_MS", 6_000))
            .heartbeat_interval(Duration::from_millis(500));
    }
    let consumer = builder.build().await?;
    consumer.subscribe([STREAM]).await?;
    let mut stop = signal(SignalKind::terminate())?;
    loop {
        let records = tokio::select! {
            records = consumer.poll(Duration::from_millis(200)) => records,
            _ = stop.recv() => break,
        };
        match records {
            Ok(records) if records.is_empty() => (),
            Ok(records) => {
                take(&consumer, &records).await;
                tokio::time::sleep(milliseconds("MEMBER_PACE_MS", 0)).await;
            }
            Err(error) => println!("LOST all: {error}"),
        }
    }
    consumer.close().await?;
    Ok(())
}

async fn take(consumer: &Consumer, records: &[ConsumerRecord]) {
    show("GOT", records);
    match consumer.commit().await {
        Ok(()) => show("AT", records),
        Err(error) => {
            println!("LOST {error}");
            show("TRIED", records);
            rewind(consumer, records).await;
        }
    }
}

/// What it keeps through a rebalance it reads again, as it could not commit it.
async fn rewind(consumer: &Consumer, records: &[ConsumerRecord]) {
    let kept = consumer.assignment().await;
    let kept = kept.get(STREAM).cloned().unwrap_or_default();
    let mut firsts = BTreeMap::new();
    for record in records.iter().filter(|record| kept.contains(&record.partition)) {
        firsts.entry(record.partition).or_insert(record.offset);
    }
    for (partition, first) in firsts {
        if let Err(error) = consumer.seek(STREAM, partition, first).await {
            println!("LOST {partition}: {error}");
        }
    }
}

fn show(word: &str, records: &[ConsumerRecord]) {
    let mut lines = String::new();
    for it in records {
        let value = it.value_str().unwrap_or_default();
        lines.push_str(&format!("{word} {} {} {value}\n", it.partition, it.offset));
    }
    // Who listens may be gone: then nobody needs to hear of that.
    let _ = std::io::stdout().write_all(lines.as_bytes());
}

fn milliseconds(variable: &str, otherwise: u64) -> Duration {
    let chosen = std::env::var(variable).ok().and_then(|value| value.parse().ok());
    Duration::from_millis(chosen.unwrap_or(otherwise))
}
