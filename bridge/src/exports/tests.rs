//! A producer against a broker that answers as it is told to: what it asks for, in which order, and
//! what it makes of the answers.

mod bare;
mod fake;

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::ApiKey;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, KeyRule};

use crate::client::fault::Fault;
use crate::client::{Packing, Target};
use crate::exports::load::{Known, Load, Origin, Sizes};
use crate::exports::options::{AtRefusedTopic, ExportOptions};
use crate::exports::position::Mark;
use crate::exports::producer::{Producer, Written};
use crate::exports::rule::{Headers, Partition, Rule, topic};
use fake::Fake;

fn options(fake: &Fake, exactly_once: bool) -> Arc<ExportOptions> {
    let options = options_towards(fake.port);
    Arc::new(ExportOptions { exactly_once, ..(*options).clone() })
}

/// To a Kafka at this port.
pub(super) fn options_towards(port: u16) -> Arc<ExportOptions> {
    let rule = Rule {
        topic: topic("copy").unwrap(),
        key: Some(KeyRule::Topic),
        headers: Headers::All,
        partition: Partition::Key,
    };
    let target = Target {
        addresses: vec![("127.0.0.1".into(), port)],
        client_id: "test".into(),
        tls: None,
        sign_in: None,
        connect: Duration::from_secs(60),
        answer: Duration::from_secs(60),
        answer_bytes_max: 1 << 20,
    };
    Arc::new(ExportOptions {
        target,
        streams: Vec::new(),
        filters: Vec::new(),
        from_earliest: true,
        rule,
        packing: Packing::Lz4,
        exactly_once: true,
        transactional_id: None,
        transaction_timeout: Duration::from_secs(60),
        transaction_bytes_max: 1 << 20,
        batch_bytes_max: 200,
        message_bytes_max: 1 << 20,
        inflight_max: 5,
        linger: Duration::ZERO,
        may_make_topics: false,
        topic_wait: Duration::from_secs(60),
        at_refused_topic: AtRefusedTopic::DeadLetter,
        dead_letter_topic: None,
    })
}

fn sizes(batch_records_max: usize) -> Sizes {
    let (batch_bytes_max, record_bytes_max, packing) = (200, 9_999, Packing::Lz4);
    Sizes { batch_bytes_max, record_bytes_max, batch_records_max, packing }
}

/// So many records of two topics.
fn load(options: &ExportOptions, records: u64) -> Load {
    let mut builder = BatchBuilder::new();
    for n in 0..records {
        let key = if n % 2 == 0 { "even" } else { "odd" };
        builder.push(1, Some(key.as_bytes()), Some(n.to_string().as_bytes()), &[]);
    }
    let batch = builder.finish();
    let sizes = sizes(9_999);
    let mut load = Load::default();
    let origin = Origin { stream: "mqtt", index: 0, partition: PartitionId(3) };
    for (offset, record) in (0..).zip(batch.records()) {
        load.add((&options.rule, sizes), origin, (offset, &record), |_| Known::Partitions(2));
    }
    load.finish();
    load
}

fn mark(count: u64) -> Mark {
    Mark { generation: 0, count, positions: vec![(PartitionId(3), count)] }
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

async fn opened(fake: &Fake, exactly_once: bool) -> (Producer, Vec<Mark>, Arc<ExportOptions>) {
    let options = options(fake, exactly_once);
    let opened = Producer::open(Arc::clone(&options), &"mine".into()).await;
    let (mut producer, marks) = opened.unwrap();
    producer.cluster.look_up("copy", false, Duration::from_secs(60)).await.unwrap();
    (producer, marks, options)
}

/// Writes all of it, and ends it.
async fn write(producer: &mut Producer, load: &Load, mark: &Mark) -> Result<Written, Fault> {
    let written = producer.write(load, mark).await?;
    if written == Written::All {
        producer.commit().await?;
    }
    Ok(written)
}

#[test]
fn a_transaction_holds_records_and_position_and_the_next_begins_from_there() {
    run(async {
        let fake = Fake::start().await;
        let (mut producer, marks, options) = opened(&fake, true).await;
        assert_eq!(marks, []);
        for count in 1..3 {
            let load = load(&options, 100);
            assert!(load.rounds() > options.inflight_max, "more than go at once");
            assert_eq!(write(&mut producer, &load, &mark(count)).await.unwrap(), Written::All);
        }
        assert_eq!(fake.records(), 200);
        assert!(fake.is_in_order(), "sequence numbers follow each other");
        let (_, marks, _) = opened(&fake, true).await;
        assert_eq!(marks, [mark(2)]);
    });
}

#[test]
fn what_only_asks_for_time_is_asked_again() {
    run(async {
        let fake = Fake::start().await;
        let busy = ResponseError::ConcurrentTransactions;
        fake.answers(ApiKey::InitProducerId, busy);
        fake.answers(ApiKey::InitProducerId, ResponseError::CoordinatorLoadInProgress);
        fake.answers(ApiKey::OffsetFetch, ResponseError::UnstableOffsetCommit);
        fake.answers(ApiKey::FindCoordinator, ResponseError::CoordinatorNotAvailable);
        fake.answers(ApiKey::Metadata, ResponseError::LeaderNotAvailable);
        let (mut producer, _, options) = opened(&fake, true).await;
        for key in [
            ApiKey::AddPartitionsToTxn,
            ApiKey::AddOffsetsToTxn,
            ApiKey::TxnOffsetCommit,
            ApiKey::EndTxn,
        ] {
            fake.answers(key, ResponseError::CoordinatorLoadInProgress);
        }
        fake.answers(ApiKey::AddPartitionsToTxn, busy);
        let written = write(&mut producer, &load(&options, 9), &mark(1)).await.unwrap();
        assert_eq!((written, fake.records()), (Written::All, 9));
    });
}

#[test]
fn a_transaction_that_is_written_is_not_committed_before_it_is_told_to() {
    run(async {
        let fake = Fake::start().await;
        let (mut producer, _, options) = opened(&fake, true).await;
        assert_eq!(producer.write(&load(&options, 9), &mark(1)).await.unwrap(), Written::All);
        assert_eq!(fake.records(), 0);
        let (_, marks, _) = opened(&fake, true).await;
        assert_eq!(marks, [], "whoever comes then aborts it");
    });
}

#[test]
fn a_transaction_begins_and_carries_its_position_without_waiting_for_each_answer() {
    run(async {
        let fake = Fake::start().await;
        let (mut producer, _, options) = opened(&fake, true).await;
        let load = load(&options, 9);
        let before = fake.asked().len();
        // None is answered before all of a group are there.
        fake.answers_together(&[2, load.rounds() + 1, 1]);
        assert_eq!(write(&mut producer, &load, &mark(1)).await.unwrap(), Written::All);
        let asked = fake.asked()[before..].to_vec();
        let produced = vec![ApiKey::Produce; load.rounds()];
        let begun = [ApiKey::AddPartitionsToTxn, ApiKey::AddOffsetsToTxn];
        let ended = [ApiKey::TxnOffsetCommit, ApiKey::EndTxn];
        assert_eq!(asked, [&begun[..], &produced, &ended].concat());
    });
}

#[test]
fn what_is_refused_for_good_is_told_by_record_and_nothing_of_it_is_committed() {
    run(async {
        let fake = Fake::start().await;
        let (mut producer, _, options) = opened(&fake, true).await;
        fake.answers(ApiKey::Produce, ResponseError::MessageTooLarge);
        let written = write(&mut producer, &load(&options, 100), &mark(1)).await.unwrap();
        assert!(matches!(written, Written::Halve(records) if records > 1), "{written:?}");
        producer.begin().await.unwrap();

        fake.refuses_record(1);
        let written = write(&mut producer, &load(&options, 9), &mark(1)).await.unwrap();
        let Written::Refused(refused) = written else { panic!("{written:?}") };
        // Both keys have one partition there.
        let (place, why) = &refused[0];
        assert_eq!((refused.len(), place.offset), (1, 1));
        assert!(why.words.contains("no good"), "{why:?}");
        producer.begin().await.unwrap();

        fake.answers(ApiKey::Produce, ResponseError::TopicAuthorizationFailed);
        let written = write(&mut producer, &load(&options, 9), &mark(1)).await.unwrap();
        assert!(matches!(written, Written::TopicRefused(..)), "{written:?}");
        producer.begin().await.unwrap();

        assert_eq!(fake.records(), 0, "all of it was aborted");
        assert_eq!(write(&mut producer, &load(&options, 9), &mark(1)).await.unwrap(), Written::All);
        assert_eq!(fake.records(), 9);
        assert!(fake.is_in_order(), "numbers begin anew with each epoch");
    });
}

/// One record in each of these many bytes, in a batch of its own, to one partition or the other.
fn apart(options: &ExportOptions, bytes: &[usize]) -> Load {
    let mut builder = BatchBuilder::new();
    for (n, bytes) in bytes.iter().enumerate() {
        // Nothing that could be compressed.
        let random = |at: usize| (((at * 7 + n) * 2_654_435_761) >> 11).to_le_bytes()[0];
        let value: Vec<u8> = (0..*bytes).map(random).collect();
        builder.push(1, Some(format!("k{n}").as_bytes()), Some(&value), &[]);
    }
    let batch = builder.finish();
    let sizes = sizes(1);
    let mut load = Load::default();
    load.is_apart = true;
    let origin = Origin { stream: "mqtt", index: 0, partition: PartitionId(3) };
    for (offset, record) in (0..).zip(batch.records()) {
        load.add((&options.rule, sizes), origin, (offset, &record), |_| Known::Partitions(2));
    }
    load.finish();
    load
}

#[test]
fn what_is_refused_behind_a_refused_batch_may_be_good() {
    run(async {
        let fake = Fake::start().await;
        let (mut producer, _, options) = opened(&fake, true).await;
        for (bytes, expected) in [
            ([900, 500, 100, 20], vec![0]),
            ([500, 100, 700, 20], vec![0, 2]),
            ([100, 150, 200, 250], vec![0, 1, 2, 3]),
        ] {
            let load = apart(&options, &bytes);
            assert_eq!(load.lanes.len(), 2);
            for _ in bytes {
                fake.answers(ApiKey::Produce, ResponseError::RecordListTooLarge);
            }
            let written = write(&mut producer, &load, &mark(1)).await.unwrap();
            let Written::Refused(refused) = written else { panic!("{written:?}") };
            let mut offsets: Vec<u64> = refused.iter().map(|(place, _)| place.offset).collect();
            offsets.sort_unstable();
            assert_eq!(offsets, expected, "{bytes:?}");
            producer.begin().await.unwrap();
        }
    });
}

#[test]
fn a_topic_that_a_transaction_may_not_write_to_is_named_and_is_not_the_end() {
    run(async {
        let fake = Fake::start().await;
        let (mut producer, _, options) = opened(&fake, true).await;
        fake.answers(ApiKey::AddPartitionsToTxn, ResponseError::TopicAuthorizationFailed);
        let written = write(&mut producer, &load(&options, 9), &mark(1)).await.unwrap();
        let Written::TopicRefused(topic, why) = written else { panic!("{written:?}") };
        assert_eq!(topic, "copy");
        assert!(why.words.contains("not authorised for the topic"), "{why:?}");
        producer.begin().await.unwrap();
        assert_eq!(write(&mut producer, &load(&options, 9), &mark(1)).await.unwrap(), Written::All);
    });
}

#[test]
fn a_position_that_is_left_open_there_holds_nothing_up_for_ever() {
    run(async {
        let fake = Fake::start().await;
        let (mut first, _, options) = opened(&fake, true).await;
        assert_eq!(write(&mut first, &load(&options, 4), &mark(1)).await.unwrap(), Written::All);
        fake.forgets_an_open_position();
        let (mut second, marks, _) = opened(&fake, true).await;
        assert_eq!(marks, [mark(1)], "what was committed before is what counts");
        assert_eq!(write(&mut second, &load(&options, 4), &mark(2)).await.unwrap(), Written::All);
        assert_eq!(fake.records(), 8);
    });
}

#[test]
fn topics_that_are_missing_are_waited_for_together() {
    run(async {
        let fake = Fake::start().await;
        let (mut producer, ..) = opened(&fake, true).await;
        let asked = || fake.asked().iter().filter(|key| **key == ApiKey::Metadata).count();
        let topics = || ["a", "b", "copy", "c"].map(str::to_owned).to_vec();
        let before = asked();
        let looked_up = producer.cluster.look_up_all(topics(), true, Duration::ZERO).await;
        let missing: Vec<_> = looked_up.unwrap().into_iter().map(|(topic, _)| topic).collect();
        assert_eq!((missing.join(" "), asked() - before), ("a b c".into(), 4));
        // What comes while it is waited is found.
        for _ in 0..6 {
            fake.answers(ApiKey::Metadata, ResponseError::LeaderNotAvailable);
        }
        let two = ["copy"; 2].map(str::to_owned).to_vec();
        let patience = Duration::from_secs(60);
        let missing = producer.cluster.look_up_all(two, true, patience).await.unwrap();
        assert!(missing.is_empty() && asked() - before == 4 + 8, "{missing:?}");
    });
}

#[test]
fn whoever_comes_later_fences_and_goes_on_from_what_was_committed() {
    run(async {
        let fake = Fake::start().await;
        let (mut first, _, options) = opened(&fake, true).await;
        assert_eq!(write(&mut first, &load(&options, 4), &mark(1)).await.unwrap(), Written::All);
        let (mut second, marks, _) = opened(&fake, true).await;
        assert_eq!(marks, [mark(1)]);
        let fault = write(&mut first, &load(&options, 4), &mark(2)).await.unwrap_err();
        assert!(fault.is_fenced(), "{fault}");
        assert_eq!(write(&mut second, &load(&options, 4), &mark(2)).await.unwrap(), Written::All);
        assert_eq!(fake.records(), 8);
    });
}

#[test]
fn an_answer_that_is_lost_leaves_no_doubt() {
    run(async {
        let fake = Fake::start().await;
        for (key, committed) in [
            (ApiKey::AddPartitionsToTxn, 0),
            (ApiKey::Produce, 0),
            (ApiKey::TxnOffsetCommit, 0),
            (ApiKey::EndTxn, 4),
        ] {
            let before = fake.records();
            let (mut producer, marks, options) = opened(&fake, true).await;
            let count = marks.iter().map(|mark| mark.count).max().unwrap_or(0);
            fake.hangs_up_behind(key);
            assert!(write(&mut producer, &load(&options, 4), &mark(count + 1)).await.is_err());
            let (_, marks, _) = opened(&fake, true).await;
            let now = marks.iter().map(|mark| mark.count).max().unwrap_or(0);
            assert_eq!(fake.records() - before, committed, "{key:?}");
            assert_eq!(now - count, u64::from(committed > 0), "{key:?}");
        }
    });
}

#[test]
fn without_transactions_there_are_numbers_all_the_same() {
    run(async {
        let fake = Fake::start().await;
        let (mut producer, marks, options) = opened(&fake, false).await;
        assert_eq!(marks, []);
        for _ in 0..3 {
            let written = write(&mut producer, &load(&options, 30), &mark(1)).await.unwrap();
            assert_eq!(written, Written::All);
        }
        assert_eq!(fake.records(), 90);
        assert!(fake.is_in_order());
        let asked = fake.asked();
        assert!(!asked.contains(&ApiKey::EndTxn) && !asked.contains(&ApiKey::AddOffsetsToTxn));
    });
}
