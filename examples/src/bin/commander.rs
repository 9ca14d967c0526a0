//! Who tells a device what to do, and waits for its answer: the second half of command and
//! response.
//!
//! `commander [HOST:PORT] [DEVICE] [COMMAND…]` sends each COMMAND to `command/DEVICE` at QoS 1
//! and prints its answer. All are sent at once; answers may come in any order, and the
//! correlation data say which command each of them answers.

use std::env;
use std::error::Error;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, Publish, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tidewire_examples::broker_from_arguments;

const ANSWERS: &str = "answer/commander";
/// A device that is away for longer does not get the command any more.
const EXPIRY_S: u32 = 3600;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (host, port) = broker_from_arguments();
    let device = env::args().nth(2).unwrap_or_else(|| "pump-1".to_owned());
    let commands: Vec<String> = env::args().skip(3).collect();
    let mut options = MqttOptions::new("commander", host, port);
    options.set_keep_alive(Duration::from_secs(30));
    let (client, mut events) = AsyncClient::new(options, 100);

    let mut answered = 0;
    while answered < commands.len() {
        match events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => {
                client.subscribe(ANSWERS, QoS::AtLeastOnce).await?;
            }
            // Whoever asks before he listens may miss the answer.
            Event::Incoming(Packet::SubAck(_)) => {
                for (number, command) in commands.iter().enumerate() {
                    send(&client, &device, number, command).await?;
                }
            }
            Event::Incoming(Packet::Publish(answer)) => {
                if let Some(command) = asked(&answer).and_then(|number| commands.get(number)) {
                    println!("{command}: {}", String::from_utf8_lossy(&answer.payload));
                    answered += 1;
                }
            }
            _ => (),
        }
    }
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}

async fn send(
    client: &AsyncClient,
    device: &str,
    number: usize,
    command: &str,
) -> Result<(), Box<dyn Error>> {
    let properties = PublishProperties {
        response_topic: Some(ANSWERS.to_owned()),
        correlation_data: Some(number.to_string().into()),
        message_expiry_interval: Some(EXPIRY_S),
        ..PublishProperties::default()
    };
    let (place, command) = (format!("command/{device}"), command.to_owned());
    client.publish_with_properties(place, QoS::AtLeastOnce, false, command, properties).await?;
    Ok(())
}

/// The number of the command that this answers; others may use the topic too.
fn asked(answer: &Publish) -> Option<usize> {
    let mark = answer.properties.as_ref()?.correlation_data.as_ref()?;
    std::str::from_utf8(mark).ok()?.parse().ok()
}
