//! A device that reports a temperature and stops when all reports are acknowledged.
//!
//! `telemetry_device [HOST:PORT] [COUNT]` publishes COUNT readings (default 10) at QoS 1. An
//! acknowledgement from Tidewire means that the reading is on disk.

use std::env;
use std::error::Error;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::Packet;
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tidewire_examples::broker_from_arguments;

const TOPIC: &str = "plant/line-1/temperature";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (host, port) = broker_from_arguments();
    let readings: u32 = env::args().nth(2).map_or(Ok(10), |count| count.parse())?;
    let mut options = MqttOptions::new("telemetry-device", host, port);
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 100);

    let mut sent = 0;
    let mut acknowledged = 0;
    while acknowledged < readings {
        // The connection moves only while it is polled, so one loop does both.
        match events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => sent = report(&client, sent, readings).await?,
            Event::Incoming(Packet::PubAck(_)) => {
                acknowledged += 1;
                sent = report(&client, sent, readings).await?;
            }
            _ => (),
        }
    }
    println!("{acknowledged} readings are on disk");
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

/// Sends the next reading, if one is left, and returns how many were sent.
async fn report(client: &AsyncClient, sent: u32, readings: u32) -> Result<u32, Box<dyn Error>> {
    if sent == readings {
        return Ok(sent);
    }
    let celsius = 20.0 + f64::from(sent % 50) / 10.0;
    let reading = format!("{{\"reading\":{sent},\"celsius\":{celsius:.1}}}");
    client.publish(TOPIC, QoS::AtLeastOnce, false, reading).await?;
    Ok(sent + 1)
}
