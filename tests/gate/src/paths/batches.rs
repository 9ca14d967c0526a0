//! Batches of records: built for the log, and read from it.

use std::hint::black_box;

use tidewire_proto::message::Message;
use tidewire_proto::mqtt::Properties;
use tidewire_proto::qos::Qos;
use tidewire_proto::record::BatchBuilder;

use crate::round::Round;
use crate::samples::{NOW_MS, PAYLOAD, batch, topic};

const COUNT: u16 = 100;

pub(crate) fn build() -> Round {
    let topics: Vec<String> = (0..COUNT).map(topic).collect();
    let mut builder = BatchBuilder::new();
    Box::new(move || {
        for topic in &topics {
            builder.push(NOW_MS, Some(topic.as_bytes()), Some(&PAYLOAD), &[]);
        }
        black_box(builder.finish());
    })
}

/// Records to messages, as every core does with what became durable.
pub(crate) fn read() -> Round {
    let batch = batch(COUNT, Qos::AtLeastOnce, Properties::EMPTY);
    Box::new(move || {
        let messages = batch.records().filter_map(|record| {
            black_box(Message::of(&record)).map(|message| message.payload.len())
        });
        assert_eq!(messages.sum::<usize>(), usize::from(COUNT) * PAYLOAD.len());
    })
}
