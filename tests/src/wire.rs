//! An MQTT client made of raw bytes over one socket: sends what it is told, valid or not, and
//! insists on each answer. Keeps no state that could hide a fault of the broker.

mod frames;
mod hello;
mod packet;
mod properties;

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

pub use frames::{
    Publish, Version, Will, connect, frame, publish, spelled, subscribe, unsubscribe,
};
pub use hello::{Hello, LastWill, property};
pub use packet::{Packet, kind};

use crate::hex;
use crate::program::PATIENCE;

/// One connection to the broker.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    version: Version,
    /// Messages that came while a step of an exchange was awaited.
    aside: VecDeque<Packet>,
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP.
fn is_step(kind: u8) -> bool {
    (kind::PUBACK..=kind::PUBCOMP).contains(&kind)
}

impl Wire {
    /// A socket on which nothing was said yet.
    ///
    /// # Panics
    /// When nobody listens; so does every step here when it does not go as it must.
    #[must_use]
    pub fn open(address: SocketAddr, version: Version) -> Self {
        let stream = TcpStream::connect(address).expect("the broker listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
        stream.set_nodelay(true).expect("a live socket");
        Self { stream, version, aside: VecDeque::new() }
    }

    /// On a socket that is open already.
    #[must_use]
    pub const fn on(stream: TcpStream, version: Version) -> Self {
        Self { stream, version, aside: VecDeque::new() }
    }

    /// Connects a client that leaves nothing behind.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn clean(address: SocketAddr, version: Version, client_id: &str) -> Self {
        let mut wire = Self::open(address, version);
        wire.send(&connect(version, client_id, true, 600, None));
        assert!(!wire.connected(), "a clean session is never present");
        wire
    }

    /// Connects a client whose session stays, and says whether it was there already.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn resume(address: SocketAddr, version: Version, client_id: &str) -> (Self, bool) {
        let mut wire = Self::open(address, version);
        wire.send(&connect(version, client_id, false, 600, None));
        let present = wire.connected();
        (wire, present)
    }

    /// Connects with MQTT 5: connect flags, keep alive of a minute, and the rest as `hex::parse`
    /// reads it, from the properties on. Gives the answer as well, whatever it is.
    #[must_use]
    pub fn connect5(address: SocketAddr, flags: u8, rest: &str) -> (Self, Packet) {
        let mut wire = Self::open(address, Version::V5);
        wire.say(0x10, &format!("$'MQTT' 05 {flags:02x} 00 3c {rest}"));
        let answer = wire.packet_of(kind::CONNACK);
        (wire, answer)
    }

    /// Awaits a packet with this body, and a Reason String besides if the broker has more to say.
    ///
    /// # Panics
    /// When another comes.
    pub fn hear_refusal(&mut self, first: u8, body: &str) {
        let got = self.packet();
        let awaited = spelled(first, body);
        assert!(
            got.without_words().bytes() == awaited,
            "awaited {}, got {got}",
            hex::show(&awaited)
        );
    }

    /// Sends a packet whose body is written as `hex::parse` reads it.
    pub fn say(&mut self, first: u8, body: &str) {
        self.send(&spelled(first, body));
    }

    /// Awaits a packet with exactly this body, written as `hex::parse` reads it.
    pub fn hear(&mut self, first: u8, body: &str) {
        self.expect(&spelled(first, body));
    }

    /// Asks for a filter with an option byte of MQTT 5 and takes whatever is granted.
    pub fn subscribe5(&mut self, filter: &str, options: u8) {
        self.say(0x82, &format!("00 01 [] $'{filter}' {options:02x}"));
        self.packet_of(kind::SUBACK);
    }

    /// Awaits that nothing comes for this long.
    ///
    /// # Panics
    /// When something does.
    pub fn silent_for(&mut self, time: Duration) {
        self.be_patient_for(time);
        let heard = self.try_packet();
        self.be_patient_for(PATIENCE);
        assert!(heard.is_err(), "nothing was awaited, got {heard:?}");
    }

    /// Where the broker listens.
    ///
    /// # Panics
    /// When the connection is gone.
    #[must_use]
    pub fn broker(&self) -> SocketAddr {
        self.stream.peer_addr().expect("a live socket")
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// When the broker has closed.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// Sends what it may be too late to send: the broker can close at any byte of it.
    pub fn send_if_open(&mut self, bytes: &[u8]) {
        // A refusal is one of the answers that the caller looks for next.
        let _ = self.stream.write_all(bytes);
    }

    /// Says that nothing more will be sent; what the broker says can still be heard.
    pub fn shut_down(&mut self) {
        // An error means that the broker has closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Says that nothing more will be sent, and throws away what comes up to the end.
    ///
    /// # Errors
    /// When the end does not come in time.
    pub fn drain(&mut self) -> Result<(), String> {
        self.shut_down();
        match io::copy(&mut self.stream, &mut io::sink()) {
            Err(error) if !is_end(&error) => Err(format!("the end did not come: {error}")),
            _ => Ok(()),
        }
    }

    /// Reads exactly these bytes.
    ///
    /// # Panics
    /// When others come.
    pub fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.stream.read_exact(&mut got).unwrap_or_else(|error| {
            panic!("awaited {}, got {error}", hex::show(bytes));
        });
        assert!(got == bytes, "awaited {}\n    got {}", hex::show(bytes), hex::show(&got));
    }

    /// The next whole packet.
    ///
    /// # Panics
    /// When none comes in time or the broker closes.
    pub fn packet(&mut self) -> Packet {
        self.packet_or_end().unwrap_or_else(|| panic!("the broker closed; a packet was awaited"))
    }

    /// The next whole packet, or `None` when the broker has closed.
    ///
    /// # Panics
    /// When neither comes in time.
    pub fn packet_or_end(&mut self) -> Option<Packet> {
        self.try_packet().unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// Like `packet_or_end`, for those who go on when nothing comes.
    ///
    /// # Errors
    /// Says that neither came in time, or that a packet was cut off.
    pub fn try_packet(&mut self) -> Result<Option<Packet>, String> {
        let Some(first) = self.byte()? else { return Ok(None) };
        let mut length = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?.ok_or("the end came inside a packet")?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        let whole = self.stream.read_exact(&mut body);
        whole.map_err(|error| format!("a packet of {length} bytes was cut off: {error}"))?;
        Ok(Some(Packet::new(self.version, first, body)))
    }

    /// Waits less than usual, where many cases wait in a row.
    ///
    /// # Panics
    /// When the time is zero.
    pub fn be_patient_for(&self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a timeout above zero");
    }

    /// A packet of this kind.
    ///
    /// # Panics
    /// When another one comes.
    pub fn packet_of(&mut self, kind: u8) -> Packet {
        if kind == kind::PUBLISH
            && let Some(packet) = self.aside.pop_front()
        {
            return packet;
        }
        let mut packet = self.packet();
        // Messages may come between the steps of another message's exchange.
        while is_step(kind) && packet.kind() == kind::PUBLISH {
            self.aside.push_back(packet);
            packet = self.packet();
        }
        assert_eq!(packet.kind(), kind, "awaited a packet of kind {kind}, got {packet}");
        packet
    }

    /// The answer to CONNECT; says whether the session was present.
    ///
    /// # Panics
    /// When it is a refusal.
    pub fn connected(&mut self) -> bool {
        let connack = self.packet_of(kind::CONNACK);
        assert_eq!(connack.body().get(1), Some(&0), "refused: {connack}");
        connack.body().first() == Some(&1)
    }

    /// Connects an MQTT 5 client that says what `hello` says; tells whether its session was there.
    ///
    /// # Panics
    /// When it is refused.
    #[must_use]
    pub fn greet(address: SocketAddr, hello: &Hello<'_>) -> (Self, bool) {
        let mut wire = Self::open(address, Version::V5);
        wire.send(&hello.bytes());
        let present = wire.connected();
        (wire, present)
    }

    /// Subscribes and awaits that each filter got the level that it asked for.
    ///
    /// # Panics
    /// When one did not.
    pub fn subscribe(&mut self, id: u16, filters: &[(&str, u8)]) {
        let packet = subscribe(self.version, id, filters);
        self.send(&packet);
        let suback = self.packet_of(kind::SUBACK);
        let granted: Vec<u8> = filters.iter().map(|&(_, qos)| qos).collect();
        assert_eq!(suback.id(), id, "{suback}");
        assert!(suback.body().ends_with(&granted), "awaited {granted:?}, got {suback}");
    }

    /// Sends a PUBLISH and awaits nothing.
    pub fn publish(&mut self, message: &Publish<'_>) {
        let packet = publish(self.version, message);
        self.send(&packet);
    }

    /// Publishes and awaits the whole exchange of its level.
    pub fn publish_acknowledged(&mut self, message: &Publish<'_>) {
        self.publish(message);
        match message.qos {
            0 => (),
            1 => self.answered(kind::PUBACK, message.id),
            _ => {
                self.answered(kind::PUBREC, message.id);
                self.acknowledge(kind::PUBREL, message.id);
                self.answered(kind::PUBCOMP, message.id);
            }
        }
    }

    /// Awaits PUBACK, PUBREC, PUBREL or PUBCOMP for this packet id, with success.
    ///
    /// # Panics
    /// When something else comes.
    pub fn answered(&mut self, kind: u8, id: u16) {
        let answer = self.packet_of(kind);
        assert_eq!(answer.id(), id, "{answer}");
        let reason = answer.body().get(2).copied().unwrap_or(0);
        // 0x10, nobody subscribed, is a success too.
        assert!(matches!(reason, 0 | 0x10), "{answer}");
    }

    /// Sends PUBACK, PUBREC, PUBREL or PUBCOMP.
    pub fn acknowledge(&mut self, kind: u8, id: u16) {
        let flags = if kind == kind::PUBREL { 2 } else { 0 };
        let [high, low] = id.to_be_bytes();
        self.send(&[(kind << 4) | flags, 2, high, low]);
    }

    /// Awaits a PUBLISH with this payload and answers it to the end of its exchange.
    ///
    /// # Panics
    /// When another packet or payload comes.
    pub fn receive(&mut self, payload: &str) -> Packet {
        let message = self.packet_of(kind::PUBLISH);
        assert_eq!(message.payload_text(), payload, "{message}");
        match message.qos() {
            0 => (),
            1 => self.acknowledge(kind::PUBACK, message.id()),
            _ => {
                self.acknowledge(kind::PUBREC, message.id());
                self.answered(kind::PUBREL, message.id());
                self.acknowledge(kind::PUBCOMP, message.id());
            }
        }
        message
    }

    /// Proves that no message is on its way to us on this topic: messages of one topic come in
    /// order, so one that another client publishes now must be the next. Needs a subscription
    /// to the topic.
    ///
    /// # Panics
    /// When something else comes first.
    pub fn nothing_else_on(&mut self, topic: &str) {
        let broker = self.stream.peer_addr().expect("a live socket");
        let mut writer = Self::clean(broker, self.version, "");
        writer.publish_acknowledged(&Publish::new(topic, "the next", 1, 1));
        writer.disconnect();
        self.receive("the next");
    }

    /// Proves that no answer is on its way: answers come in order, so with PINGRESP those
    /// before it are out. Says little of messages, which come when they are durable.
    pub fn nothing_more(&mut self) {
        self.send(&[0xc0, 0]);
        let packet = self.packet();
        assert_eq!(packet.kind(), kind::PINGRESP, "nothing was awaited, got {packet}");
    }

    /// Awaits the end with the reason that MQTT 5 clients are told.
    ///
    /// # Panics
    /// When another packet or reason comes, or anything after it.
    pub fn ended_for(&mut self, reason: u8) {
        if self.version == Version::V5 {
            let last = self.packet_of(kind::DISCONNECT);
            assert_eq!(last.reason(), reason, "{last}");
        }
        self.expect_closed();
    }

    /// Leaves in good order, and waits until the broker has heard so.
    pub fn disconnect(mut self) {
        self.send(&[0xe0, 0]);
        self.expect_closed();
    }

    /// Drops the socket as a device that loses power: no DISCONNECT.
    pub fn vanish(self) {
        drop(self);
    }

    /// Awaits the end of the connection with no further byte; says how long it took.
    ///
    /// # Panics
    /// When a byte comes, or no end in time.
    pub fn expect_closed(&mut self) -> Duration {
        let since = Instant::now();
        let rest = self.packet_or_end();
        assert!(rest.is_none(), "the end was awaited, got {}", rest.expect("checked"));
        since.elapsed()
    }

    /// One byte, or `None` at the end of the connection.
    fn byte(&mut self) -> Result<Option<u8>, String> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(byte[0])),
            // Closing with our bytes unread makes a reset of it: an end as well.
            Err(error) if is_end(&error) => Ok(None),
            Err(error) => Err(format!("neither a byte nor the end came in time: {error}")),
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
