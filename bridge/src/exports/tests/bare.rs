//! A bare loop: the producer writes records that lie in memory, and does nothing else. What an
//! export costs is held against it: `cargo xtask bridge-speed` names a Kafka for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, Header};

use super::fake::Fake;
use super::{mark, options, run, write};
use crate::client::Packing;
use crate::exports::load::{Known, Load, Origin, Sizes};
use crate::exports::options::ExportOptions;
use crate::exports::producer::{Producer, Written};
use crate::exports::rule::topic;

/// As many topics as those have who fill the log that is exported.
const TOPICS: usize = 1_000;
const PAYLOAD: [u8; 100] = [b'.'; 100];
/// What one transaction holds of them: 4 MiB, as exports come.
const RECORDS: usize = 4 * 1024 * 1024 / 150;
/// Ticks of the kernel's clock in a second.
const TICKS: u64 = 100;

fn asked(name: &str) -> Option<String> {
    std::env::var(format!("TIDEWIRE_BARE_{name}")).ok()
}

/// As exports come, to the Kafka that is named.
fn towards(mut options: ExportOptions) -> ExportOptions {
    if let Some((host, port)) = asked("TARGET").as_deref().and_then(|it| it.rsplit_once(':')) {
        options.target.addresses = vec![(host.into(), port.parse().unwrap())];
        options.rule.topic = topic(&asked("TOPIC").unwrap()).unwrap();
        options.target.answer_bytes_max = 128 << 20;
        options.packing = Packing::None;
        options.batch_bytes_max = 900 * 1024;
    }
    options
}

fn full(options: &ExportOptions, (topic, partitions): (&str, u32), records: usize) -> Load {
    let (mut load, mut builder) = (Load::default(), BatchBuilder::new());
    for n in 0..records {
        let topic = format!("plant/{}/sensor/{}", n % 10, n % TOPICS);
        let headers = [Header { key: b"q", value: Some(b"1") }];
        builder.push(1, Some(topic.as_bytes()), Some(&PAYLOAD), &headers);
    }
    let sizes = Sizes {
        batch_bytes_max: options.batch_bytes_max,
        record_bytes_max: options.message_bytes_max,
        batch_records_max: usize::MAX,
        packing: options.packing,
    };
    let batch = builder.finish();
    let origin = Origin { stream: "mqtt", index: 0, partition: PartitionId(3) };
    for (offset, record) in (0..).zip(batch.records()) {
        let known = |asked: &str| {
            assert_eq!(asked, topic);
            Known::Partitions(partitions)
        };
        load.add((&options.rule, sizes), origin, (offset, &record), known);
    }
    load.finish();
    load
}

/// User and system time of this program, in ticks.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_bare_producer_writes_what_lies_in_memory() {
    run(async {
        let fake = Fake::start().await;
        let options = Arc::new(towards((*options(&fake, true)).clone()));
        let (mut producer, _) = Producer::open(Arc::clone(&options), &"bare".into()).await.unwrap();
        let topic = asked("TOPIC").unwrap_or_else(|| "copy".into());
        producer.cluster.look_up(&topic, true, Duration::from_secs(60)).await.unwrap();
        let partitions = producer.cluster.partitions(&topic).unwrap();
        let messages: usize = asked("MESSAGES").map_or(200, |count| count.parse().unwrap());
        let load = full(&options, (&topic, partitions), RECORDS.min(messages));
        // What comes once only: numbers, coordinators, code that is not in memory yet.
        assert_eq!(write(&mut producer, &load, &mark(1)).await.unwrap(), Written::All);
        let (since, before, mut written, mut count) = (Instant::now(), ticks(), 0, 1);
        while written < messages {
            count += 1;
            assert_eq!(write(&mut producer, &load, &mark(count)).await.unwrap(), Written::All);
            written += load.records;
        }
        let (took, busy) = (since.elapsed().as_micros(), (ticks() - before) * 1_000_000 / TICKS);
        // Read by who asked for it.
        println!("\nbare {written} {took} {busy}");
        if asked("TARGET").is_none() {
            assert_eq!(fake.records(), written + load.records);
        }
    });
}
