//! A device that does what it is told, and answers: the first half of command and response.
//!
//! `commanded_device [HOST:PORT] [DEVICE]` takes commands on `command/DEVICE` until it is told
//! `stop`. Where an answer goes, and which one it is, each command says itself (response topic
//! and correlation data of MQTT 5): a device knows no one who asks.

use std::env;
use std::error::Error;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tidewire_examples::broker_from_arguments;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (host, port) = broker_from_arguments();
    let device = env::args().nth(2).unwrap_or_else(|| "pump-1".to_owned());
    let mut options = MqttOptions::new(&device, host, port);
    options.set_keep_alive(Duration::from_secs(30));
    // A command counts as taken when its answer is on its way.
    options.set_manual_acks(true);
    let (client, mut events) = AsyncClient::new(options, 100);

    let mut is_told_to_stop = false;
    while !is_told_to_stop {
        match events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => {
                client.subscribe(format!("command/{device}"), QoS::AtLeastOnce).await?;
            }
            Event::Incoming(Packet::SubAck(_)) => println!("{device} takes commands"),
            Event::Incoming(Packet::Publish(command)) => {
                let words = String::from_utf8_lossy(&command.payload).into_owned();
                println!("{device} is told: {words}");
                answer(&client, &command, &format!("done: {words}")).await?;
                client.ack(&command).await?;
                is_told_to_stop = words == "stop";
            }
            _ => (),
        }
    }
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

/// Answers where the command says; one that names no place wants no answer.
async fn answer(
    client: &AsyncClient,
    command: &Publish,
    words: &str,
) -> Result<(), Box<dyn Error>> {
    let Some(asked) = &command.properties else { return Ok(()) };
    let Some(place) = asked.response_topic.clone() else { return Ok(()) };
    let properties = PublishProperties {
        correlation_data: asked.correlation_data.clone(),
        ..PublishProperties::default()
    };
    let words = words.to_owned();
    client.publish_with_properties(place, QoS::AtLeastOnce, false, words, properties).await?;
    Ok(())
}
