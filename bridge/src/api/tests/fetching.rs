//! Claims about Fetch while other things go on: it waits, rules change, segments are sealed.

use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse, TopicName};
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{Batch, BatchBuilder, Compression};
use tidewire_store::{Append, Commit, Store};

use super::bench::Bench;
use crate::text::spoken;

/// However slow the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// One record, of this number.
fn append(store: &Store, partition: PartitionId, number: u32) {
    let mut builder = BatchBuilder::new();
    let length = number as usize * 7_919 % 600;
    let text = format!("{number} {}", "x".repeat(length));
    builder.push(1, Some(b"a/b"), Some(text.as_bytes()), &[]);
    let appends = vec![Append::new(partition, builder.finish())];
    store.commit(Commit { appends, changes: vec![] }).unwrap();
}

/// For at least so many bytes, of partition 1.
fn request(bytes_min: i32, wait_ms: i32) -> FetchRequest {
    let partition = FetchPartition::default().with_partition(1).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default()
        .with_topic(TopicName(spoken("mqtt")))
        .with_partitions(vec![partition]);
    FetchRequest::default()
        .with_max_wait_ms(wait_ms)
        .with_min_bytes(bytes_min)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic])
}

/// What it brings if this happens while it waits.
fn meanwhile(bench: &Bench, request: &FetchRequest, happen: impl Fn()) -> PartitionData {
    let happens = async {
        while bench.context.tail.is_idle() {
            tokio::task::yield_now().await;
        }
        happen();
    };
    let mut answer: FetchResponse = bench.call_beside((request, 12), happens);
    answer.responses.remove(0).partitions.remove(0)
}

#[test]
fn a_fetch_whose_time_is_over_brings_what_came_while_it_waited() {
    let bench = Bench::new();
    let (store, partition) = (bench.context.store.clone(), bench.partition());
    let told = meanwhile(&bench, &request(1 << 20, 200), || append(&store, partition, 0));
    assert_eq!((told.error_code, told.high_watermark), (0, 1));
    assert!(told.records.is_some_and(|records| !records.is_empty()), "it came while it waited");
}

#[test]
fn a_fetch_that_waits_ends_by_the_rules_of_its_end() {
    let bench = Bench::ruled("allow user=ann kafka-read #");
    bench.is_asked_by("ann");
    let (store, partition) = (bench.context.store.clone(), bench.partition());
    let told = meanwhile(&bench, &request(1, 60_000), || {
        bench.rule("allow user=bob kafka-read #");
        append(&store, partition, 0);
    });
    assert_eq!(told.error_code, ResponseError::TopicAuthorizationFailed.code());
    assert!(told.records.is_none_or(|records| records.is_empty()));
}

/// The numbers of the records in an answer, and whether a batch was compressed.
fn numbers(mut records: Bytes) -> (Vec<(u64, u32)>, bool) {
    let (mut all, mut is_packed) = (Vec::new(), false);
    while let Some(length) = Batch::bytes_needed(&records).ok().filter(|it| *it <= records.len()) {
        let bytes = records.split_to(length);
        let base = Batch::base_offset_in(&bytes).unwrap();
        let batch = Batch::parse(bytes).unwrap();
        is_packed |= batch.compression() != Compression::None;
        let batch = batch.open().unwrap();
        all.extend(batch.records().map(|record| {
            let text = str::from_utf8(record.value.unwrap()).unwrap();
            let number = text.split(' ').next().unwrap().parse().unwrap();
            (base + u64::from(record.offset_delta), number)
        }));
    }
    assert!(records.is_empty(), "an answer ends with whole batches");
    (all, is_packed)
}

#[test]
fn all_of_a_partition_is_fetched_whatever_becomes_of_its_segments() {
    const ALL: u32 = 1_500;
    for compression in [Compression::Lz4, Compression::Zstd] {
        let bench = Bench::sealing(compression);
        let (store, partition) = (bench.context.store.clone(), bench.partition());
        let writer = thread::spawn(move || (0..ALL).for_each(|it| append(&store, partition, it)));
        let (mut next, mut rounds, mut is_packed) = (0, 0_u32, false);
        let (mut is_refused, expects_refusal) = (false, compression == Compression::Zstd);
        let until = Instant::now() + PATIENCE;
        // Until all was read since it is sealed.
        while next < u64::from(ALL) || !is_packed || is_refused != expects_refusal {
            assert!(Instant::now() < until, "{next} {is_packed}");
            if next == u64::from(ALL) {
                next = 0;
            }
            rounds += 1;
            let bytes_max = i32::try_from(rounds * 7_919 % 30_000).unwrap();
            let from = i64::try_from(next).unwrap();
            // The oldest version knows nothing of zstd.
            let version = if rounds.is_multiple_of(3) { 4 } else { 12 };
            let told = bench.fetch(version, from, bytes_max, 100);
            if version == 4 && compression == Compression::Zstd && told.error_code != 0 {
                let unknown = ResponseError::UnsupportedCompressionType.code();
                assert_eq!(told.error_code, unknown);
                is_refused = true;
                continue;
            }
            assert_eq!(told.error_code, 0, "{next}");
            let (read, was_packed) = numbers(told.records.unwrap_or_default());
            is_packed |= was_packed;
            for (offset, number) in read {
                assert_eq!(offset, u64::from(number), "each says its own offset");
                assert!(offset <= next, "a gap at {next}");
                next = next.max(offset + 1);
            }
        }
        writer.join().unwrap();
    }
}
