//! `tidewire sub`: subscribes, and shows what comes: live, from the past, or as a picture.

mod exchange;
mod mark;
mod screen;
mod series;
mod shown;

use std::io::{self, IsTerminal, Write as _};
use std::time::Duration;

use clap::{ArgGroup, Args};
use tidewire_bridge::links::{Reader, Writer, reason};
use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Packet, PacketKind, Properties, Publish, ReasonCode, RetainHandling, SubAck,
    Subscribe as Subscription, SubscribeFiltersBuilder, SubscribeOptions,
};
use tidewire_proto::qos::Qos;
use tidewire_proto::topic::TopicFilter;
use tokio::time::{Instant, interval_at, sleep_until};

use super::beginning::{self, Beginning};
use super::connection::{
    Connection, Whom, interrupted, lost, parted, random_hex, refused, unwritten,
};
use super::span;
use super::wording::count;
use crate::wall_clock::wall_clock_ms;
use exchange::Exchanges;
use mark::Mark;
use screen::Screen;
use shown::Shape;

/// How often a picture is looked after.
const REFRESH: Duration = Duration::from_millis(100);
const AFTER_HELP: &str = "\
Formats: %t topic, %p payload, %x payload in hex, %l its bytes, %q QoS, %r retained (0 or 1), \
%I time (UTC), %U seconds since 1970, %j JSON, %% a percent sign, \\n, \\t.

  tidewire sub 'plant/#' -v
  tidewire sub 'plant/#' --from 2h --until-end --json
  tidewire sub 'plant/+/temperature' --graph
  tidewire sub 'plant/+/state' --graph=motor.rpm
  tidewire sub 'jobs/#' --group workers";

#[derive(Clone, Debug, Args)]
#[command(after_help = AFTER_HELP)]
#[command(group = ArgGroup::new("shape").args(["verbose", "json", "format", "graph"]))]
pub(super) struct Subscribe {
    /// What to: a topic, where + stands for one level and # at the end for all below.
    #[arg(required = true, value_name = "FILTER")]
    filters: Vec<String>,
    /// The topic before each payload.
    #[arg(short = 'v', long)]
    verbose: bool,
    /// A JSON document for each message.
    #[arg(long)]
    json: bool,
    /// Each message as this says; see below.
    #[arg(short = 'F', long, value_name = "FORMAT")]
    format: Option<String>,
    /// A picture of the numbers that come: the payloads, or with =FIELD a field of JSON payloads.
    /// Where the output is no terminal: one every 5 s in which something came, and at the end.
    #[arg(long, value_name = "FIELD", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "")]
    graph: Option<String>,
    /// End after so many messages.
    #[arg(short = 'C', long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so long; fails if nothing came, or less than --count.
    #[arg(short = 'W', long, value_name = "TIME", value_parser = span::parse)]
    wait: Option<Duration>,
    /// Begin in the past, with what a broker of ours keeps: earliest, latest, 2h (ago) or a time.
    #[arg(long, value_name = "WHEN", value_parser = from)]
    from: Option<Beginning>,
    /// End when all is shown that was there: the past, and what is retained.
    #[arg(long)]
    until_end: bool,
    /// Share the messages with all who name the same group.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "until_end"])]
    group: Option<String>,
    /// Only what is retained.
    #[arg(long, conflicts_with_all = ["no_retained", "from", "group"])]
    retained_only: bool,
    /// Nothing that is retained.
    #[arg(short = 'R', long)]
    no_retained: bool,
    /// The session outlives the connection by so long: with the same --id it goes on where it was.
    #[arg(long, value_name = "TIME", value_parser = span::parse, requires = "id")]
    keep: Option<Duration>,
    /// The highest QoS that is wanted.
    #[arg(short = 'q', long, default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u8).range(0..=2))]
    qos: u8,
    #[command(flatten)]
    whom: Whom,
}

fn from(text: &str) -> Result<Beginning, String> {
    beginning::parse(text, wall_clock_ms())
}

/// What there is to say after all messages, and whether all came that were asked for.
pub(super) fn run(subscribe: &Subscribe) -> Result<(String, bool), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("a runtime: {error}"))?;
    runtime.block_on(subscribe.run()).map(|()| (String::new(), true))
}

/// Whether it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    More,
    Over,
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All came that was asked for, or nobody looks any more.
    Asked,
    /// The time of --wait.
    Time,
    /// It was told to, in this way.
    Interrupt(&'static str),
}

/// What was seen so far.
struct Seen {
    screen: Screen,
    exchanges: Exchanges,
    count: u64,
    /// What says that all is read, for who wants to know.
    mark: Option<Mark>,
}

impl Subscribe {
    async fn run(&self) -> Result<(), String> {
        let filters = self.wanted()?;
        let mark = match self.until_end {
            true => Some(Mark::new(&random_hex()?)),
            false => None,
        };
        let mut connection = self.whom.connect(self.keep).await?;
        let topic = mark.as_ref().map(|mark| mark.topic.clone());
        self.ask(&mut connection.writer, &filters, topic.as_deref())?;
        let screen = Screen::new(self.shape(), self.graph.as_deref(), self.until_end);
        let mut seen = Seen { screen, exchanges: Exchanges::default(), count: 0, mark };
        let listened = self.listen(&mut connection, &filters, &mut seen).await;
        seen.screen.end();
        let end = listened?;
        if let (Some(topic), Some(_)) = (topic, self.keep) {
            mark::forget(&mut connection, &topic).await?;
        }
        connection.farewell().await;
        self.verdict(end, seen.count)
    }

    /// Whether all came that was asked for.
    fn verdict(&self, end: End, came: u64) -> Result<(), String> {
        let shown = count(came, "message");
        match (end, self.count) {
            (End::Asked, _) => Ok(()),
            (End::Time, _) if self.until_end => {
                Err(format!("the time is over before the end: {shown}\n  try: a longer --wait"))
            }
            (End::Interrupt(by), _) if self.until_end => {
                Err(format!("ended by {by} before the end: {shown}"))
            }
            (_, Some(wanted)) if self.wait.is_some() && came < wanted => {
                Err(format!("{shown} of {wanted} came in time\n  try: a longer --wait"))
            }
            (_, None) if self.wait.is_some() && came == 0 => {
                Err("nothing came in time\n  try: --from earliest, for what was there before"
                    .into())
            }
            _ => Ok(()),
        }
    }

    /// Shows all that comes, until it is over.
    async fn listen(
        &self,
        connection: &mut Connection,
        filters: &[String],
        seen: &mut Seen,
    ) -> Result<End, String> {
        let Connection { reader, writer, pings, .. } = connection;
        let now = Instant::now();
        let until = self.wait.map(|wait| now + wait);
        let mut frames = interval_at(now + REFRESH, REFRESH);
        let mut interrupt = interrupted()?;
        loop {
            if self.hear(reader, writer, filters, seen)? == Next::Over || !seen.screen.refresh() {
                return Ok(End::Asked);
            }
            let patience = seen.mark.as_ref().and_then(Mark::until);
            tokio::select! {
                read = reader.read() => {
                    pings.heard();
                    read.map_err(lost)?;
                }
                written = writer.write(), if !writer.is_idle() => written.map_err(lost)?,
                _ = frames.tick(), if seen.screen.moves() => {}
                () = sleep_until(until.unwrap_or(now)), if until.is_some() => return Ok(End::Time),
                () = sleep_until(patience.unwrap_or(now)), if patience.is_some() => {
                    return Err(mark::refused("the broker acknowledged it and does not send it"));
                }
                due = pings.due() => {
                    due?;
                    writer.put(&Packet::PingReq).map_err(unwritten)?;
                }
                by = interrupt.recv() => return Ok(End::Interrupt(by)),
            }
        }
    }

    /// Takes all packets that are there.
    fn hear(
        &self,
        reader: &mut Reader,
        writer: &mut Writer,
        filters: &[String],
        seen: &mut Seen,
    ) -> Result<Next, String> {
        while let Some(packet) = reader.packet()? {
            match &packet {
                Packet::Publish(message) => {
                    if self.take(message, writer, seen)? == Next::Over {
                        return Ok(Next::Over);
                    }
                }
                Packet::PubRel(ack) => {
                    let answer = seen.exchanges.released(ack.packet_id);
                    writer.put(&answer).map_err(unwritten)?;
                }
                Packet::SubAck(suback) => {
                    granted(filters, suback)?;
                    if let Some(mark) = &seen.mark {
                        mark.put(self.whom.is_5(), writer)?;
                    }
                    self.tell(filters);
                }
                Packet::PubAck(ack) if ack.reason.is_error() => {
                    return Err(mark::refused(&reason(ack.reason, ack.properties)));
                }
                Packet::PubAck(_) => seen.mark.iter_mut().for_each(Mark::stored),
                Packet::PingResp => {}
                Packet::Disconnect(disconnect) => return Err(parted(disconnect)),
                other => return Err(format!("the broker sends {} to a client", other.kind())),
            }
        }
        Ok(Next::More)
    }

    fn take(
        &self,
        message: &Publish<'_>,
        writer: &mut Writer,
        seen: &mut Seen,
    ) -> Result<Next, String> {
        let (is_new, answer) = seen.exchanges.came(message);
        let is_mark = seen.mark.as_ref().is_some_and(|mark| mark.topic == message.topic);
        let is_wanted = match (self.retained_only, self.no_retained) {
            (true, _) => message.retain,
            (_, true) => !message.retain,
            _ => true,
        };
        // A run before in the same session may have been cut off.
        let is_left = self.keep.is_some() && Mark::is_one(message.topic);
        let is_shown = is_new && !is_mark && !is_left && is_wanted;
        // Answered when it is shown: what nobody has seen comes again.
        if is_shown && !seen.screen.take(message) {
            return Ok(Next::Over);
        }
        if let Some(answer) = answer {
            writer.put(&answer).map_err(unwritten)?;
        }
        seen.mark.iter_mut().for_each(Mark::passed);
        seen.count += u64::from(is_shown);
        let is_over = is_mark || self.count == Some(seen.count);
        Ok(if is_over { Next::Over } else { Next::More })
    }

    /// The filters as they are asked for.
    fn wanted(&self) -> Result<Vec<String>, String> {
        let wanted = |filter: &String| {
            TopicFilter::parse(filter).map_err(|error| {
                let advice = "a topic where + stands for one level, and # at the end for all below";
                format!("{filter:?} is no filter: {error}\n  try: {advice}")
            })?;
            Ok(match (&self.group, self.from) {
                (Some(group), _) => format!("$share/{group}/{filter}"),
                (None, Some(beginning)) => beginning.of(filter),
                (None, None) => filter.clone(),
            })
        };
        let is_wrong = |group: &String| group.is_empty() || group.contains(['/', '+', '#']);
        if self.group.as_ref().is_some_and(is_wrong) {
            return Err("--group: a name without / + and #".into());
        }
        self.filters.iter().map(wanted).collect()
    }

    fn shape(&self) -> Shape {
        match &self.format {
            Some(format) => Shape::Format(format.clone()),
            None if self.json => Shape::Json,
            None if self.verbose => Shape::Verbose,
            None => Shape::Payload,
        }
    }

    fn ask(
        &self,
        writer: &mut Writer,
        filters: &[String],
        mark: Option<&str>,
    ) -> Result<(), String> {
        let mut built = SubscribeFiltersBuilder::new();
        let is_5 = self.whom.is_5();
        let qos = Qos::from_bits(self.qos).unwrap_or(Qos::AtLeastOnce);
        let retain_handling = match self.no_retained && is_5 {
            true => RetainHandling::DoNotSend,
            false => RetainHandling::Send,
        };
        let options = SubscribeOptions { retain_handling, ..SubscribeOptions::with_qos(qos) };
        for filter in filters {
            built.push(filter, options).map_err(unwritten)?;
        }
        // A subscription of now waits for those of the past: what comes by it comes last.
        if let Some(mark) = mark {
            let options = SubscribeOptions::with_qos(Qos::AtLeastOnce);
            built.push(mark, options).map_err(unwritten)?;
        }
        let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
        let subscribe = Subscription { packet_id, properties, filters: built.as_filters() };
        writer.put(&Packet::Subscribe(subscribe)).map_err(unwritten)
    }

    /// For people: that it stands, and how it ends.
    fn tell(&self, filters: &[String]) {
        if io::stderr().is_terminal() && self.count.is_none() && !self.until_end {
            let line = format!("subscribed to {}; ctrl-C ends it", filters.join(", "));
            // Nobody may be reading: no reason to fail.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

/// What the broker does not grant is an error: nobody waits for what cannot come.
fn granted(filters: &[String], suback: &SubAck<'_>) -> Result<(), String> {
    let mut codes = suback.codes.iter().map(|code| ReasonCode(*code)).enumerate();
    let Some((place, code)) = codes.find(|(_, code)| code.is_error()) else { return Ok(()) };
    let words = reason(code, suback.properties);
    match filters.get(place) {
        Some(filter) => {
            let what = format!("the broker refuses the subscription to {filter}");
            Err(refused(&what, code, &words, PacketKind::Subscribe))
        }
        None => Err(mark::refused(&words)),
    }
}
