//! Reads what MQTT clients published, as a Kafka consumer group: how warm was it, topic by topic?
//!
//! `analytics-consumer [HOST:PORT] [COUNT] [GROUP]` reads at least COUNT readings (default: until
//! ctrl-C) of the stream `mqtt`, and prints a line for each topic. What the group has read it does
//! not get again. Start it twice, and each gets its own partitions.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::time::Duration;

use krafka::Kafka;
use krafka::consumer::{AutoOffsetReset, ConsumerRecord};
use serde_json::Value;
use tokio::signal::ctrl_c;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let argument = |at, otherwise: &str| env::args().nth(at).unwrap_or(otherwise.to_owned());
    let wanted: usize = argument(2, "18446744073709551615").parse()?;
    let kafka = Kafka::builder(argument(1, "127.0.0.1:9092")).connect().await?;
    let consumer = kafka
        .consumer(argument(3, "analytics"))
        .auto_offset_reset(AutoOffsetReset::Earliest)
        // What counts as read is what we have counted, not what has come.
        .enable_auto_commit(false)
        .build()
        .await?;
    consumer.subscribe(["mqtt"]).await?;

    let mut readings: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    while readings.values().map(Vec::len).sum::<usize>() < wanted {
        let records = tokio::select! {
            records = consumer.poll(Duration::from_secs(1)) => records?,
            _ = ctrl_c() => break,
        };
        for (topic, celsius) in records.iter().filter_map(reading) {
            readings.entry(topic).or_default().push(celsius);
        }
        if !records.is_empty() {
            consumer.commit().await?;
        }
    }
    consumer.close().await?;
    for (topic, values) in &readings {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let most = values.iter().copied().fold(f64::MIN, f64::max);
        println!("{topic}: {} readings, {mean:.2} on average, {most:.1} at most", values.len());
    }
    Ok(())
}

/// The topic and the temperature; `None` if it is about something else.
fn reading(record: &ConsumerRecord) -> Option<(String, f64)> {
    let value: Value = serde_json::from_slice(record.value.as_ref()?).ok()?;
    Some((record.key_str()?.to_owned(), value.get("celsius")?.as_f64()?))
}
