//! A service that reads what devices report, also what they reported while it was away.
//!
//! `subscriber [HOST:PORT] [COUNT]` prints COUNT messages (default: without end). Its session
//! stays in the broker for an hour after it leaves; start it again to go on where it was.

use std::env;
use std::error::Error;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tidewire_examples::broker_from_arguments;

const FILTER: &str = "plant/+/temperature";
const SESSION_EXPIRY_S: u32 = 3600;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (host, port) = broker_from_arguments();
    let wanted: Option<u64> = env::args().nth(2).map(|count| count.parse()).transpose()?;
    let mut options = MqttOptions::new("subscriber", host, port);
    options.set_keep_alive(Duration::from_secs(30));
    options.set_clean_start(false);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(SESSION_EXPIRY_S);
    options.set_connect_properties(properties);
    // We acknowledge by hand: a message counts as read when we are done with it.
    options.set_manual_acks(true);
    let (client, mut events) = AsyncClient::new(options, 100);

    let mut received = 0;
    while wanted.is_none_or(|wanted| received < wanted) {
        match events.poll().await? {
            Event::Incoming(Packet::ConnAck(connack)) => {
                println!("connected, session present: {}", connack.session_present);
                client.subscribe(FILTER, QoS::AtLeastOnce).await?;
            }
            Event::Incoming(Packet::SubAck(_)) => println!("subscribed to {FILTER}"),
            Event::Incoming(Packet::Publish(message)) => {
                let topic = String::from_utf8_lossy(&message.topic);
                println!("{topic} {}", String::from_utf8_lossy(&message.payload));
                client.ack(&message).await?;
                received += 1;
            }
            _ => (),
        }
    }
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}
