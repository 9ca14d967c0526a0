//! A program with a broker inside: it counts what devices report, and answers each report.
//!
//! `embedded [DATA_FOLDER] [COUNT]` serves MQTT on a free port of this machine until it has seen
//! COUNT reports on `report/DEVICE` (default: without end). Its own session is durable: reports
//! that came while it was not counting are counted when it is back.

use std::env;
use std::error::Error;
use std::time::Duration;

use tidewire::{Broker, Message, Qos};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).unwrap_or_else(|| "./embedded-data".to_owned());
    let wanted: Option<u64> = env::args().nth(2).map(|count| count.parse()).transpose()?;
    // Without `listen_mqtt` no port is opened; tests take `temporary_data()` for `data_folder`.
    let broker =
        Broker::builder().data_folder(folder).listen_mqtt("127.0.0.1:0".parse()?).start().await?;
    // The store is open, and the port bound, which the system chose.
    let address = broker.mqtt_address().ok_or("the builder was told to listen")?;
    let mut reports =
        broker.subscribe("report/+").durable("counter", DAY).manual_acknowledgement().await?;
    println!("mqtt {address}");

    let mut count = 0;
    while wanted.is_none_or(|wanted| count < wanted) {
        let Some(report) = reports.next().await else { break };
        count += 1;
        let device = report.message.topic.trim_start_matches("report/").to_owned();
        println!("{device} {}", String::from_utf8_lossy(&report.message.payload));
        let answer = Message::new(format!("answer/{device}"), count.to_string());
        broker.publish(answer.qos(Qos::AtLeastOnce)).await?;
        // Now the answer is on disk, and the report need not come again.
        reports.acknowledge(&report);
    }
    reports.close().await;
    broker.shutdown().await?;
    Ok(())
}
