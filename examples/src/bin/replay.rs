//! A program that comes late, and reads what was published before it came.
//!
//! `replay [HOST:PORT] [COUNT] [SINCE]` prints COUNT messages of all temperatures (default: goes
//! on live without end). SINCE is where it begins: `earliest` (default), or a time in microseconds
//! of the Unix epoch, such as `$(date -d '2 hours ago' +%s)000000`. Nothing had to be declared
//! before the messages came: `$s/SINCE/` before any filter reads the log.

use std::env;
use std::error::Error;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tidewire_examples::broker_from_arguments;

const FILTER: &str = "plant/+/temperature";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (host, port) = broker_from_arguments();
    let wanted: Option<u64> = env::args().nth(2).map(|count| count.parse()).transpose()?;
    let since = env::args().nth(3).unwrap_or_else(|| "earliest".to_owned());
    let mut options = MqttOptions::new("replay", host, port);
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 100);

    let mut received = 0;
    while wanted.is_none_or(|wanted| received < wanted) {
        match events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => {
                client.subscribe(format!("$s/{since}/{FILTER}"), QoS::AtLeastOnce).await?;
            }
            Event::Incoming(Packet::Publish(message)) => {
                // It has the topic that it was published under, without the prefix.
                let topic = String::from_utf8_lossy(&message.topic);
                println!("{topic} {}", String::from_utf8_lossy(&message.payload));
                received += 1;
            }
            _ => (),
        }
    }
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}
