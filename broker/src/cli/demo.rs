//! `tidewire demo`: devices that are not there publish to a broker, so that there is something to
//! look at; and a broker for them, if asked.

mod device;

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use clap::Args;
use tidewire_proto::mqtt::{Ack, Packet, Properties, Publish};
use tidewire_proto::qos::Qos;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::connection::{Connection, Whom, interrupted, lost, unwritten};
use super::flight::{Ended, Flight};
use super::span;
use super::wording::count;
use crate::config::Config;
use crate::serve;
use device::Device;

/// So long a device waits for answers when it is to end.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Args)]
pub(super) struct Demo {
    /// So many devices.
    #[arg(long, value_name = "N", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1000))]
    devices: u16,
    /// Each publishes once in so long.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = span::parse)]
    interval: Duration,
    /// Each publishes so often; without it, until ctrl-C.
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// Start a broker too, which ends with the demo.
    #[arg(long, conflicts_with = "url")]
    pub(super) serve: bool,
    #[command(flatten)]
    whom: Whom,
}

/// What there is to say, and whether the broker has all of it.
pub(super) fn run(demo: &Demo) -> Result<(String, bool), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
    runtime.block_on(demo.publish()).map(|words| (words, true))
}

/// The same with a broker of its own.
pub(super) fn run_with_broker(demo: &Demo, config: &Config) -> Result<(String, bool), String> {
    let done = serve::run_for(config, async |address| match address {
        Some(address) => {
            let whom = demo.whom.at(address);
            Demo { whom, ..demo.clone() }.publish().await
        }
        None => Err("--serve: listener.mqtt.bind is off, and the devices speak MQTT".into()),
    });
    done.map_err(|error| error.to_string())?.map(|words| (words, true))
}

impl Demo {
    /// Publishes until ctrl-C, or until all is published.
    async fn publish(&self) -> Result<String, String> {
        if self.interval.is_zero() {
            return Err("--interval 0: the devices would publish for ever at once".into());
        }
        let begun = Instant::now();
        let ended = LocalSet::new().run_until(self.all()).await?;
        let (taken, refused) = (ended.taken, ended.refused);
        let devices = count(self.devices.into(), "device");
        let seconds = begun.elapsed().as_secs_f64();
        let messages = count(taken, "message");
        let words = format!("{devices}, {messages} acknowledged in {seconds:.1} s");
        match ended.complaint {
            Some(complaint) => Err(format!("{complaint}\n  {words}, {refused} refused")),
            None => Ok(words),
        }
    }

    async fn all(&self) -> Result<Ended, String> {
        let (tell, stops) = watch::channel(false);
        let mut interrupt = interrupted()?;
        let mut devices = JoinSet::new();
        for number in 0..self.devices {
            let device = Device::new(number);
            let whom = self.whom.called(device.id());
            let connection = tokio::select! {
                connection = whom.connect(None) => connection?,
                _ = interrupt.recv() => {
                    // Those that are there end in good order, and no more come.
                    let _ = tell.send(true);
                    break;
                }
            };
            let (each, stop) = (self.clone(), stops.clone());
            devices.spawn_local(async move { each.device(device, connection, stop).await });
        }
        if !*stops.borrow() {
            self.invite();
        }
        let mut total = Ended::default();
        loop {
            tokio::select! {
                // Who is done is done, whatever comes then.
                biased;
                ended = devices.join_next() => {
                    let Some(ended) = ended else { return Ok(total) };
                    let Ended { taken, refused, complaint, .. } =
                        ended.map_err(|error| error.to_string())??;
                    total.taken += taken;
                    total.refused += refused;
                    total.complaint = total.complaint.or(complaint);
                }
                by = interrupt.recv() => {
                    if tell.send_replace(true) {
                        return Err(format!("ended by {by} before all was answered"));
                    }
                }
            }
        }
    }

    /// One device, from its first message to the last answer.
    async fn device(
        &self,
        device: Device,
        mut connection: Connection,
        mut stop: watch::Receiver<bool>,
    ) -> Result<Ended, String> {
        let mut flight = Flight::new(connection.receive_max);
        let Connection { reader, writer, pings, .. } = &mut connection;
        let (begun, mut seq, mut until) = (Instant::now(), 0, None);
        let mut ticks = interval(self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(packet) = reader.packet()? {
                pings.heard();
                if let Some(id) = flight.hear(&packet)? {
                    writer.put(&Packet::PubRel(Ack::success(id))).map_err(unwritten)?;
                }
            }
            if self.count == Some(seq) {
                until.get_or_insert_with(|| Instant::now() + PATIENCE);
            }
            let is_over = until.is_some();
            if is_over && flight.is_empty() && writer.is_idle() {
                break;
            }
            tokio::select! {
                read = reader.read() => read.map_err(lost)?,
                written = writer.write(), if !writer.is_idle() => written.map_err(lost)?,
                _ = ticks.tick(), if !is_over && flight.has_room_for(2) => {
                    seq += 1;
                    for (name, payload) in said(device, seq, begun.elapsed().as_secs_f64())? {
                        let topic = format!("{}/{name}", device.place());
                        let message = Publish {
                            dup: false,
                            qos: Qos::AtLeastOnce,
                            retain: name == "state",
                            topic: &topic,
                            packet_id: Some(flight.begin()),
                            properties: Properties::EMPTY,
                            payload: payload.as_bytes(),
                        };
                        writer.put(&Packet::Publish(message)).map_err(unwritten)?;
                    }
                }
                due = pings.due() => {
                    due?;
                    writer.put(&Packet::PingReq).map_err(unwritten)?;
                }
                _ = stop.changed(), if !is_over => until = Some(Instant::now() + PATIENCE),
                () = tokio::time::sleep_until(until.unwrap_or(begun)), if is_over => {
                    return Err(format!("{}: the broker does not answer", device.id()));
                }
            }
        }
        let ended = flight.ended;
        connection.farewell().await;
        Ok(ended)
    }

    /// What to do next.
    fn invite(&self) {
        let devices = count(self.devices.into(), "device");
        let at = self.whom.shown();
        let url = if self.whom.is_usual() { String::new() } else { format!(" --url {at}") };
        let mut text = format!(
            "{devices} publish below demo/ at {at}. Look at them:\n\
             \n  tidewire sub 'demo/#' -v{url}\
             \n  tidewire sub 'demo/line-1/+/temperature' --graph{url}\
             \n  tidewire sub 'demo/+/+/state' --graph=rpm --from 10min{url}\n"
        );
        if io::stdout().is_terminal() && self.count.is_none() {
            text.push_str("\nCtrl-C ends it.\n");
        }
        // Nobody may be reading; the devices publish all the same.
        let _ = writeln!(io::stdout(), "{text}");
    }
}

/// What a device says at a moment.
fn said(device: Device, seq: u64, seconds: f64) -> Result<[(&'static str, String); 2], String> {
    let mut bytes = [0; 2];
    getrandom::fill(&mut bytes).map_err(|_| "the system gives no random bytes")?;
    let noise = f64::from(u16::from_be_bytes(bytes)) / f64::from(u16::MAX);
    let temperature = device.temperature(seconds, noise);
    Ok([
        ("temperature", format!("{temperature:.2}")),
        ("state", device.state(seq, temperature, noise)),
    ])
}
