//! The other side of a link, as a script has it: hears packet by packet, says what it is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Ack, ConnAck, Framing, Packet, Properties, Publish, ReasonCode, SubAck, SubscribeOptions,
    Version, decode, encode, frame,
};
use tidewire_proto::qos::Qos;

/// Only a test that fails waits for so long.
const PATIENCE: Duration = Duration::from_secs(120);
/// Nobody may subscribe to it.
pub(super) const REFUSED: &str = "refused/#";

/// Where a link connects to.
pub(super) struct Remote(TcpListener);

/// One connection of a link.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    input: Vec<u8>,
    version: Version,
}

/// A message that a link sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) topic: String,
    pub(super) qos: Qos,
    pub(super) id: Option<PacketId>,
    pub(super) dup: bool,
}

/// What a link said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Connect { client_id: String, clean: bool },
    Publish(Sent),
    Subscribe(Vec<String>),
    Unsubscribe(Vec<String>),
    Ack(PacketId),
    Rec(PacketId),
    Rel(PacketId),
    Comp(PacketId),
    Disconnect,
}

pub(super) fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

impl Remote {
    pub(super) fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    pub(super) fn address(&self) -> String {
        self.0.local_addr().expect("bound").to_string()
    }

    /// The next connection.
    pub(super) fn accept(&self) -> Peer {
        let (stream, _) = self.0.accept().expect("a link comes");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        Peer { stream, input: Vec::new(), version: Version::V5 }
    }
}

impl Peer {
    /// Hears CONNECT and answers it: who came, and whether he wants to begin anew.
    pub(super) fn welcome(&mut self, session_present: bool) -> (String, bool) {
        self.welcome_with(session_present, Properties::EMPTY)
    }

    pub(super) fn welcome_with(
        &mut self,
        session_present: bool,
        properties: Properties<'_>,
    ) -> (String, bool) {
        let Some(Said::Connect { client_id, clean }) = self.hear() else { panic!("no CONNECT") };
        let reason = ReasonCode::SUCCESS;
        let properties = if self.version == Version::V5 { properties } else { Properties::EMPTY };
        self.put(&Packet::ConnAck(ConnAck { session_present, reason, properties }));
        (client_id, clean)
    }

    /// The same, and in one breath the acknowledgements that the connection before had not brought.
    pub(super) fn welcome_with_acks(&mut self, acks: &[Packet<'_>]) {
        let Some(Said::Connect { .. }) = self.hear() else { panic!("no CONNECT") };
        let (session_present, reason) = (true, ReasonCode::SUCCESS);
        let properties = Properties::EMPTY;
        let welcome = Packet::ConnAck(ConnAck { session_present, reason, properties });
        let mut bytes = Vec::new();
        for packet in [&welcome].into_iter().chain(acks) {
            encode(packet, self.version, &mut bytes).expect("it can be written");
        }
        self.stream.write_all(&bytes).expect("the link listens");
    }

    /// The next packet but PING; SUBSCRIBE and UNSUBSCRIBE are answered. `None`: it is over.
    pub(super) fn hear(&mut self) -> Option<Said> {
        loop {
            let (said, answer) = match frame(&self.input, u32::MAX).expect("MQTT") {
                Framing::NeedMore { .. } => {
                    let mut bytes = [0; 4096];
                    let count = self.stream.read(&mut bytes).ok().filter(|count| *count > 0)?;
                    self.input.extend_from_slice(&bytes[..count]);
                    continue;
                }
                Framing::Packet(found) => {
                    let packet = decode(&found, self.version).expect("MQTT");
                    let taken = take(&packet, &mut self.version);
                    self.input.drain(..found.len);
                    taken
                }
            };
            if !answer.is_empty() {
                // A script may have it hang up before.
                let _ = self.stream.write_all(&answer);
            }
            if said.is_some() {
                return said;
            }
        }
    }

    /// The next message, which is the next packet.
    pub(super) fn published(&mut self) -> Sent {
        match self.hear() {
            Some(Said::Publish(sent)) => sent,
            other => panic!("no message but {other:?}"),
        }
    }

    pub(super) fn put(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        encode(packet, self.version, &mut bytes).expect("it can be written");
        self.stream.write_all(&bytes).expect("the link listens");
    }

    pub(super) fn publish(&mut self, topic: &str, qos: u8, (id, dup): (PacketId, bool)) {
        self.publish_bytes(topic, qos, (id, dup), b"x");
    }

    pub(super) fn publish_bytes(
        &mut self,
        topic: &str,
        qos: u8,
        (id, dup): (PacketId, bool),
        payload: &[u8],
    ) {
        let qos = Qos::from_bits(qos).expect("a QoS");
        let (retain, packet_id, properties) = (false, Some(id), Properties::EMPTY);
        let publish = Publish { dup, qos, retain, topic, packet_id, properties, payload };
        self.put(&Packet::Publish(publish));
    }

    pub(super) fn ack(&mut self, sent: &Sent) {
        self.put(&Packet::PubAck(Ack::success(sent.id.expect("QoS 1"))));
    }

    pub(super) fn rel(&mut self, id: PacketId) {
        self.put(&Packet::PubRel(Ack::success(id)));
    }

    pub(super) fn comp(&mut self, id: PacketId) {
        self.put(&Packet::PubComp(Ack::success(id)));
    }
}

/// What it is for a script, and what is answered by itself.
fn take(packet: &Packet<'_>, version: &mut Version) -> (Option<Said>, Vec<u8>) {
    let mut answer = Vec::new();
    let said = match packet {
        Packet::Connect(connect) => {
            *version = connect.version;
            let (client_id, clean) = (connect.client_id.to_owned(), connect.clean_start);
            Said::Connect { client_id, clean }
        }
        Packet::Publish(publish) => {
            let Publish { topic, qos, packet_id: id, dup, .. } = *publish;
            Said::Publish(Sent { topic: topic.to_owned(), qos, id, dup })
        }
        Packet::Subscribe(subscribe) => {
            let code = |(filter, it): (&str, SubscribeOptions)| match filter == REFUSED {
                true => ReasonCode::NOT_AUTHORIZED.0,
                false => it.qos.bits(),
            };
            let codes: Vec<u8> = subscribe.filters().map(code).collect();
            let (packet_id, properties) = (subscribe.packet_id, Properties::EMPTY);
            let suback = SubAck { packet_id, properties, codes: &codes };
            encode(&Packet::SubAck(suback), *version, &mut answer).expect("written");
            Said::Subscribe(subscribe.filters().map(|(filter, _)| filter.to_owned()).collect())
        }
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<String> = unsubscribe.filters().map(str::to_owned).collect();
            let codes = vec![0; if *version == Version::V5 { filters.len() } else { 0 }];
            let (packet_id, properties) = (unsubscribe.packet_id, Properties::EMPTY);
            let unsuback = SubAck { packet_id, properties, codes: &codes };
            encode(&Packet::UnsubAck(unsuback), *version, &mut answer).expect("written");
            Said::Unsubscribe(filters)
        }
        Packet::PubAck(ack) => Said::Ack(ack.packet_id),
        Packet::PubRec(ack) => Said::Rec(ack.packet_id),
        Packet::PubRel(ack) => Said::Rel(ack.packet_id),
        Packet::PubComp(ack) => Said::Comp(ack.packet_id),
        Packet::Disconnect(_) => Said::Disconnect,
        Packet::PingReq => {
            encode(&Packet::PingResp, *version, &mut answer).expect("written");
            return (None, answer);
        }
        other => panic!("a client does not send {}", other.kind()),
    };
    (Some(said), answer)
}
