//! Which topics stand under `$SYS`, and what each says: those that Mosquitto has and its tools look
//! for, those of EMQX under the name of the node, and ours. Pure.
//!
//! No name that a client chose is part of a topic: programs make names of series of whatever comes.

use std::collections::BTreeMap;

use super::loads::Loads;
use crate::metrics::{CoreCounters, Direction, DropReason, PacketType, Quality};
use crate::moment::rfc3339;

/// What there is to say.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) node: String,
    pub(super) now_ms: i64,
    pub(super) uptime_ms: u64,
    pub(super) counted: CoreCounters,
    /// Sockets of clients that are open.
    pub(super) sockets: u64,
    /// Clients that are connected.
    pub(super) clients: u64,
    /// Sessions of clients that are away.
    pub(super) away: u64,
    /// Sessions that outlive their connections, with one or without.
    pub(super) sessions: u64,
    pub(super) subscriptions: u64,
    pub(super) shared_subscriptions: u64,
    pub(super) retained: u64,
    pub(super) streams: u64,
    pub(super) records: u64,
    pub(super) record_bytes: u64,
    /// Consumer groups: how many, the furthest behind, all together.
    pub(super) groups: (u64, u64, u64),
    /// Memory of the program: now, and at most.
    pub(super) memory: Option<(u64, u64)>,
}

/// What was most of something, each time that it was looked at.
#[derive(Debug, Default)]
pub(super) struct Peaks(BTreeMap<&'static str, u64>);

impl Peaks {
    /// The most so far, with this.
    pub(super) fn with(&mut self, name: &'static str, now: u64) -> u64 {
        let peak = self.0.entry(name).or_default();
        *peak = now.max(*peak);
        *peak
    }
}

/// Numbers of messages and packets, as both families of topics have them.
pub(super) struct Flow {
    /// MQTT packets of any type: in, out.
    pub(super) packets: (u64, u64),
    pub(super) published: (u64, u64),
    pub(super) dropped: u64,
    pub(super) bytes: (u64, u64),
    pub(super) sockets: u64,
    pub(super) connections: u64,
}

impl Flow {
    pub(super) fn of(counted: &CoreCounters) -> Self {
        let published = (counted.messages_received.sum(), counted.messages_delivered.sum());
        let packets = |direction| {
            PacketType::ALL.iter().map(|kind| counted.packets.of((*kind, direction))).sum::<u64>()
        };
        let both = |of: &dyn Fn(Direction) -> u64| (of(Direction::In), of(Direction::Out));
        let (came, left) = both(&packets);
        Self {
            // Messages to clients are counted as such, not as packets.
            packets: (came, left + published.1),
            published,
            dropped: counted.messages_dropped.sum(),
            bytes: both(&|direction| counted.bytes.of(direction)),
            sockets: counted.connections_accepted + counted.connections_refused.sum(),
            connections: counted.connections_accepted,
        }
    }

    /// What is averaged.
    pub(super) fn sums(&self) -> super::loads::Sums {
        let Self { packets, published, dropped, bytes, sockets, connections } = self;
        [
            packets.0,
            packets.1,
            published.0,
            published.1,
            *dropped,
            bytes.0,
            bytes.1,
            *sockets,
            *connections,
        ]
    }
}

/// All topics and what they say.
pub(super) fn tree(facts: &Facts, loads: &Loads, peaks: &mut Peaks) -> Vec<(String, String)> {
    let mut said = Vec::new();
    like_mosquitto(&mut said, facts, peaks);
    for (name, over, value) in loads.each() {
        said.push((format!("$SYS/broker/load/{name}/{over}"), format!("{value:.2}")));
    }
    like_emqx(&mut said, facts, peaks);
    said
}

fn like_mosquitto(said: &mut Vec<(String, String)>, facts: &Facts, peaks: &mut Peaks) {
    let mut say = |name: &str, what: String| said.push((format!("$SYS/broker/{name}"), what));
    say("version", format!("tidewire version {}", env!("CARGO_PKG_VERSION")));
    say("uptime", format!("{} seconds", facts.uptime_ms / 1000));
    let flow = Flow::of(&facts.counted);
    let payloads = |direction| facts.counted.payload_bytes.of(direction);
    let (clients, away) = (facts.clients, facts.away);
    let (groups, furthest, behind) = facts.groups;
    for (name, number) in [
        ("clients/connected", clients),
        ("clients/active", clients),
        ("clients/disconnected", away),
        ("clients/inactive", away),
        ("clients/total", clients + away),
        ("clients/maximum", peaks.with("clients", clients)),
        ("clients/expired", facts.counted.sessions_expired),
        ("connections/socket/count", facts.sockets),
        ("messages/received", flow.packets.0),
        ("messages/sent", flow.packets.1),
        ("messages/stored", facts.records),
        ("store/messages/count", facts.records),
        ("store/messages/bytes", facts.record_bytes),
        ("bytes/received", flow.bytes.0),
        ("bytes/sent", flow.bytes.1),
        ("publish/messages/received", flow.published.0),
        ("publish/messages/sent", flow.published.1),
        ("publish/messages/dropped", flow.dropped),
        ("publish/bytes/received", payloads(Direction::In)),
        ("publish/bytes/sent", payloads(Direction::Out)),
        ("subscriptions/count", facts.subscriptions + facts.shared_subscriptions),
        ("shared_subscriptions/count", facts.shared_subscriptions),
        ("retained messages/count", facts.retained),
        ("streams/count", facts.streams),
        ("streams/bytes", facts.record_bytes),
        ("groups/count", groups),
        ("groups/lag_max", furthest),
        ("groups/lag_sum", behind),
    ] {
        say(name, number.to_string());
    }
    if let Some((now, most)) = facts.memory {
        say("heap/current", now.to_string());
        say("heap/maximum", most.to_string());
    }
}

fn like_emqx(said: &mut Vec<(String, String)>, facts: &Facts, peaks: &mut Peaks) {
    let node = &*facts.node;
    said.push(("$SYS/brokers".into(), node.into()));
    let mut say = |name: &str, what: String| {
        said.push((format!("$SYS/brokers/{node}/{name}"), what));
    };
    say("version", env!("CARGO_PKG_VERSION").into());
    say("uptime", facts.uptime_ms.to_string());
    say("datetime", rfc3339(facts.now_ms));
    say("sysdescr", "Tidewire".into());
    for (name, now) in [
        ("connections", facts.sockets),
        ("live_connections", facts.clients),
        ("sessions", facts.sessions),
        ("subscriptions", facts.subscriptions + facts.shared_subscriptions),
        ("subscriptions/shared", facts.shared_subscriptions),
        ("retained", facts.retained),
    ] {
        say(&format!("stats/{name}/count"), now.to_string());
        say(&format!("stats/{name}/max"), peaks.with(name, now).to_string());
    }
    let counted = &facts.counted;
    let flow = Flow::of(counted);
    for (name, (received, sent)) in
        [("bytes", flow.bytes), ("packets", flow.packets), ("messages", flow.published)]
    {
        say(&format!("metrics/{name}/received"), received.to_string());
        say(&format!("metrics/{name}/sent"), sent.to_string());
    }
    for kind in PacketType::ALL {
        let (word, came) = (kind.word(), counted.packets.of((*kind, Direction::In)));
        let left = match kind {
            PacketType::Publish => flow.published.1,
            _ => counted.packets.of((*kind, Direction::Out)),
        };
        say(&format!("metrics/packets/{word}/received"), came.to_string());
        say(&format!("metrics/packets/{word}/sent"), left.to_string());
    }
    for (place, quality) in
        [Quality::AtMostOnce, Quality::AtLeastOnce, Quality::ExactlyOnce].into_iter().enumerate()
    {
        let received = counted.messages_received.of(quality);
        let sent = counted.messages_delivered.of(quality);
        say(&format!("metrics/messages/qos{place}/received"), received.to_string());
        say(&format!("metrics/messages/qos{place}/sent"), sent.to_string());
    }
    say("metrics/messages/dropped", flow.dropped.to_string());
    let expired = [Quality::AtMostOnce, Quality::AtLeastOnce, Quality::ExactlyOnce]
        .map(|quality| counted.messages_dropped.of((DropReason::Expired, quality)));
    say("metrics/messages/dropped/expired", expired.iter().sum::<u64>().to_string());
    say("metrics/messages/retained", facts.retained.to_string());
}

#[cfg(test)]
mod tests {
    use super::{CoreCounters, Direction, Facts, Flow, Loads, PacketType, Peaks, Quality, tree};

    /// Whose payloads are for people.
    const TEXTS: [&str; 6] =
        ["/version", "/uptime", "/datetime", "/sysdescr", "$SYS/brokers", "$SYS/broker/version"];

    fn facts() -> Facts {
        let mut counted = CoreCounters::default();
        counted.packets.add((PacketType::Connect, Direction::In), 2);
        counted.packets.add((PacketType::Connack, Direction::Out), 2);
        counted.messages_delivered.add(Quality::AtLeastOnce, 5);
        Facts { node: "n1".into(), memory: Some((1, 2)), counted, clients: 3, ..Facts::default() }
    }

    #[test]
    fn every_topic_stands_once_and_says_a_number_but_for_those_that_are_for_people() {
        let said = tree(&facts(), &Loads::default(), &mut Peaks::default());
        let mut topics: Vec<&str> = said.iter().map(|(topic, _)| &**topic).collect();
        topics.sort_unstable();
        let count = topics.len();
        topics.dedup();
        assert_eq!(topics.len(), count);
        for (topic, what) in &said {
            assert!(topic.starts_with("$SYS/broker"), "{topic}");
            let is_text = TEXTS.iter().any(|text| topic.ends_with(text));
            assert!(is_text || what.parse::<f64>().is_ok(), "{topic} {what}");
        }
    }

    #[test]
    fn a_peak_stays_when_there_is_less() {
        let mut peaks = Peaks::default();
        assert_eq!([3, 9, 4].map(|now| peaks.with("a", now)), [3, 9, 9]);
        assert_eq!(peaks.with("b", 1), 1);
    }

    #[test]
    fn messages_to_clients_are_packets_too() {
        let flow = Flow::of(&facts().counted);
        assert_eq!((flow.packets, flow.published), ((2, 7), (0, 5)));
        assert_eq!(flow.sums()[..4], [2, 7, 0, 5]);
    }
}
