//! `tidewire pub`: publishes, and says what the broker answered.

mod source;
mod template;

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};
use serde_json::json;
use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Ack, Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, Publish as Message,
};
use tidewire_proto::qos::Qos;
use tidewire_proto::topic::check_topic_name;
use tidewire_store::inspect::Progress;
use tokio::time::Instant;

use super::connection::{Connection, Whom, interrupted, lost, unwritten};
use super::flight::{Ended, Flight};
use super::progress::Line;
use super::span;
use super::wording::count;
use source::{Payload, Ready, Source, lines};

/// More than this that the socket has not taken waits with its source.
const WAITING_BYTES_MAX: usize = 1 << 20;

const AFTER_HELP: &str = "\
In TOPIC and PAYLOAD these are filled in for each message: {{seq}} (1, 2, ...), {{now}} (the time, \
UTC), {{now_ms}} (milliseconds since 1970), {{rand}} (a number from 0 to 100).

  tidewire pub plant/line-1/temperature 21.5
  tidewire pub plant/line-{{seq}}/state '{\"t\": {{rand}}, \"at\": {{now_ms}}}' --count 100
  tidewire pub plant/line-1/temperature '{{rand}}' --interval 1s";

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(group = ArgGroup::new("what").required(true)
    .args(["payload", "file", "stdin", "lines", "null"]))]
pub(super) struct Publish {
    /// Where to.
    topic: String,
    /// What.
    #[arg(allow_hyphen_values = true)]
    payload: Option<String>,
    /// The payload is what is in this file.
    #[arg(short = 'f', long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The payload is all that comes in at standard input.
    #[arg(short = 's', long)]
    stdin: bool,
    /// Each line of standard input is a message.
    #[arg(short = 'l', long, conflicts_with = "count")]
    lines: bool,
    /// An empty payload; with --retain it takes the retained message away.
    #[arg(short = 'n', long)]
    null: bool,
    /// Keep it for those who subscribe later.
    #[arg(short = 'r', long)]
    retain: bool,
    /// 0: at most once, 1: at least once, 2: exactly once.
    #[arg(short = 'q', long, default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    /// A user property; may be said several times.
    #[arg(short = 'P', long = "property", value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, String)>,
    /// Nobody gets it after so long.
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    expiry: Option<Duration>,
    /// What the payload is, such as application/json.
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Where an answer is wanted.
    #[arg(long, value_name = "TOPIC")]
    response_topic: Option<String>,
    /// What an answer is to repeat, so that it is known for one.
    #[arg(long, value_name = "TEXT")]
    correlation: Option<String>,
    /// So many messages; without it one, or with --interval no end of them.
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// One message in so long.
    #[arg(long, value_name = "TIME", value_parser = span::parse)]
    interval: Option<Duration>,
    /// Say nothing when all is well.
    #[arg(long)]
    quiet: bool,
    /// What became of it as one JSON document instead of words.
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
    #[command(flatten)]
    whom: Whom,
}

fn property(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE")?;
    Ok((name.into(), value.into()))
}

/// What there is to say, and whether the broker has all of it.
pub(super) fn run(publish: &Publish) -> Result<(String, bool), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
    let done = runtime.block_on(publish.run());
    // A thread that waits for standard input is not waited for.
    runtime.shutdown_background();
    done.map(|words| (words, true))
}

impl Publish {
    async fn run(&self) -> Result<String, String> {
        let properties = self.properties()?;
        let mut source = self.source()?;
        let mut connection = self.whom.connect(None).await?;
        let (begun, mut flight) = (Instant::now(), Flight::new(connection.receive_max));
        let sent = self.send(&mut connection, &mut source, &mut flight, &properties).await;
        let ended = flight.ended.clone();
        let time = begun.elapsed();
        let words = self.words(source.given, &ended, time);
        if let Err(problem) = sent {
            return Err(match flight.len() {
                0 => problem,
                _ => format!("{problem}\n  {words}; {} not answered", flight.len()),
            });
        }
        connection.farewell().await;
        match &ended.complaint {
            Some(complaint) if source.given == 1 => Err(format!("{}: {complaint}", self.topic)),
            Some(complaint) => Err(format!("{complaint}\n  {words}")),
            None if self.quiet => Ok(String::new()),
            None if self.json => Ok(self.document(source.given, &ended, time)),
            None => Ok(words),
        }
    }

    /// Sends all there is, and hears all answers. Ctrl-C ends the first, then the second.
    async fn send(
        &self,
        connection: &mut Connection,
        source: &mut Source,
        flight: &mut Flight,
        properties: &PropertiesBuilder,
    ) -> Result<(), String> {
        let Connection { reader, writer, pings, .. } = connection;
        let mut progress = Line::new("pub", |number| count(number, "message"));
        let (mut interrupt, mut is_over) = (interrupted()?, false);
        loop {
            while let Some(packet) = reader.packet()? {
                pings.heard();
                if let Some(id) = flight.hear(&packet)? {
                    writer.put(&Packet::PubRel(Ack::success(id))).map_err(unwritten)?;
                }
            }
            if let Some(total) = self.count.filter(|_| self.count != Some(1)) {
                let done = source.given.saturating_sub(flight.len() as u64);
                progress.show(Progress { done, total });
            }
            if is_over && flight.is_empty() && writer.is_idle() {
                return Ok(());
            }
            let has_room =
                !is_over && flight.has_room_for(1) && writer.waiting() < WAITING_BYTES_MAX;
            tokio::select! {
                read = reader.read() => read.map_err(lost)?,
                written = writer.write(), if !writer.is_idle() => written.map_err(lost)?,
                next = source.next(), if has_room => match next? {
                    Some(ready) => {
                        let id = (self.qos > 0).then(|| flight.begin());
                        let message = self.message(&ready, id, properties.as_properties());
                        writer.put(&Packet::Publish(message)).map_err(unwritten)?;
                    }
                    None => is_over = true,
                },
                due = pings.due() => {
                    due?;
                    writer.put(&Packet::PingReq).map_err(unwritten)?;
                }
                by = interrupt.recv() => match is_over {
                    true => return Err(format!("ended by {by}")),
                    false => is_over = true,
                },
            }
        }
    }

    fn message<'a>(
        &self,
        ready: &'a Ready,
        packet_id: Option<PacketId>,
        properties: Properties<'a>,
    ) -> Message<'a> {
        Message {
            dup: false,
            qos: Qos::from_bits(self.qos).unwrap_or(Qos::AtLeastOnce),
            retain: self.retain,
            topic: &ready.topic,
            packet_id,
            properties,
            payload: &ready.payload,
        }
    }

    fn source(&self) -> Result<Source, String> {
        check_topic_name(&self.topic).map_err(|error| {
            let advice = "a topic without + and #, such as plant/line-1/temperature";
            format!("{:?} is no topic to publish to: {error}\n  try: {advice}", self.topic)
        })?;
        let payload = match (&self.payload, &self.file) {
            (Some(text), _) => Payload::Template(text.clone()),
            (None, Some(file)) => Payload::Bytes(fs::read(file).map_err(|error| {
                format!("{} cannot be read: {error}\n  try: --stdin", file.display())
            })?),
            (None, None) if self.lines => Payload::Lines(lines()),
            (None, None) if self.stdin => Payload::Bytes(all_input()?),
            (None, None) => Payload::Bytes(Vec::new()),
        };
        let is_endless = self.lines || self.interval.is_some();
        Ok(Source {
            topic: self.topic.clone(),
            payload,
            count: self.count.or((!is_endless).then_some(1)),
            interval: self.interval.unwrap_or_default(),
            given: 0,
            due: Instant::now(),
        })
    }

    fn properties(&self) -> Result<PropertiesBuilder, String> {
        let mut built = PropertiesBuilder::new();
        let expiry_s = self.expiry.map(|expiry| expiry.as_secs().max(1));
        let expiry_s = expiry_s.map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        let text = |text: &Option<String>| text.clone();
        let said = [
            ("--content-type", PropertyId::ContentType, text(&self.content_type)),
            ("--response-topic", PropertyId::ResponseTopic, text(&self.response_topic)),
        ];
        for (flag, id, value) in said {
            if let Some(value) = value {
                self.whom.demands_5(flag)?;
                built.push(id, PropertyValue::Text(&value)).map_err(unwritten)?;
            }
        }
        if let Some(seconds) = expiry_s {
            self.whom.demands_5("--expiry")?;
            let value = PropertyValue::FourByte(seconds);
            built.push(PropertyId::MessageExpiry, value).map_err(unwritten)?;
        }
        if let Some(data) = &self.correlation {
            self.whom.demands_5("--correlation")?;
            let value = PropertyValue::Binary(data.as_bytes());
            built.push(PropertyId::CorrelationData, value).map_err(unwritten)?;
        }
        for (name, value) in &self.properties {
            self.whom.demands_5("--property")?;
            built.user(name, value).map_err(unwritten)?;
        }
        Ok(built)
    }

    /// What became of it, for programs.
    fn document(&self, given: u64, ended: &Ended, time: Duration) -> String {
        let document = json!({
            "topic": self.topic,
            "qos": self.qos,
            "messages": given,
            "acknowledged": ended.taken,
            "refused": ended.refused,
            "nobody_subscribes": ended.unheard,
            "seconds": time.as_secs_f64(),
        });
        document.to_string()
    }

    /// What became of it.
    fn words(&self, given: u64, ended: &Ended, time: Duration) -> String {
        let Ended { taken, unheard, refused, .. } = ended;
        if given == 1 && *refused == 0 && self.qos > 0 && *taken == 1 {
            let unheard = if *unheard > 0 { "; nobody subscribes to it now" } else { "" };
            return format!("{}: acknowledged{unheard}", self.topic);
        }
        let seconds = time.as_secs_f64().max(0.001);
        let all = format!("{} in {seconds:.1} s", count(given, "message"));
        let ended = match (self.qos, refused) {
            (0, _) => return format!("{all}: sent (at QoS 0 nobody says whether they arrive)"),
            (_, 0) => format!("{all}: {taken} acknowledged"),
            (_, _) => format!("{all}: {taken} acknowledged, {refused} refused"),
        };
        match unheard {
            0 => ended,
            n if n == taken => format!("{ended}; nobody subscribes to them now"),
            n => format!("{ended}; to {n} of them nobody subscribes now"),
        }
    }
}

fn all_input() -> Result<Vec<u8>, String> {
    let mut payload = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut payload);
    read.map_err(|error| format!("standard input: {error}"))?;
    Ok(payload)
}
