//! One of several workers that share the jobs of one queue. Start as many as you like.
//!
//! `shared_worker [HOST:PORT] [NAME] [COUNT]` does COUNT jobs of `jobs/#` (default: without end).
//! Each job goes to one of the workers; what a worker had and did not acknowledge when its
//! connection was lost goes to another. Nothing of it needs to be set up in the broker:
//! `$share/workers/` before the filter makes the group. While no worker is there, jobs wait as
//! long as the session of one of them lives.

use std::env;
use std::error::Error;
use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{ConnectProperties, Packet};
use rumqttc::v5::{AsyncClient, Event, MqttOptions};
use tidewire_examples::broker_from_arguments;

const FILTER: &str = "$share/workers/jobs/#";
const SESSION_EXPIRY_S: u32 = 3600;
/// Jobs that a worker has at a time: the others are for the others.
const JOBS_AT_A_TIME: u16 = 1;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let (host, port) = broker_from_arguments();
    let name = env::args().nth(2).unwrap_or_else(|| "worker-1".to_owned());
    let wanted: Option<u64> = env::args().nth(3).map(|count| count.parse()).transpose()?;
    let mut options = MqttOptions::new(&name, host, port);
    options.set_keep_alive(Duration::from_secs(30));
    options.set_clean_start(false);
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(SESSION_EXPIRY_S);
    properties.receive_maximum = Some(JOBS_AT_A_TIME);
    options.set_connect_properties(properties);
    // A job is done when we say so, not when it has come.
    options.set_manual_acks(true);
    let (client, mut events) = AsyncClient::new(options, 100);

    let mut done = 0;
    while wanted.is_none_or(|wanted| done < wanted) {
        match events.poll().await? {
            Event::Incoming(Packet::ConnAck(_)) => {
                client.subscribe(FILTER, QoS::AtLeastOnce).await?;
            }
            Event::Incoming(Packet::SubAck(_)) => println!("{name} works"),
            Event::Incoming(Packet::Publish(job)) => {
                println!("{name} did {}", String::from_utf8_lossy(&job.payload));
                client.ack(&job).await?;
                done += 1;
            }
            _ => (),
        }
    }
    client.disconnect().await?;
    while events.poll().await.is_ok() {}
    Ok(())
}
