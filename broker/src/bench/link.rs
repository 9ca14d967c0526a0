//! One connection of the load generator: bytes in, packets to its role, bytes out. Never decides
//! what is sent.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{
    Connect, Framing, Packet, Properties, PropertiesBuilder, PropertyId, PropertyValue, Subscribe,
    SubscribeFiltersBuilder, SubscribeOptions, Version, decode, encode, frame,
};
use tidewire_proto::qos::Qos;
use tokio::sync::Notify;

use super::options::Place;
use super::socket::{OUTPUT_BYTES_MAX, Socket};

const PACKET_BYTES_MAX: u32 = 256 << 20;
/// Longer than a run, for no connection pings; rumqttd takes none that says 0.
const KEEP_ALIVE_S: u16 = 3600;

/// What a connection is for.
pub(crate) trait Role {
    /// A packet came, read at `now_ns` of the run.
    fn packet(&mut self, packet: &Packet<'_>, now_ns: u64, out: &mut Vec<u8>)
    -> Result<(), String>;

    /// All that was there is read: what is there to send?
    fn turn(&mut self, now_ns: u64, out: &mut Vec<u8>);
}

/// Whom a connection is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hello<'a> {
    pub(crate) to: &'a Place,
    pub(crate) version: Version,
    pub(crate) client_id: &'a str,
    /// The session is kept, and taken up again.
    pub(crate) stays: bool,
}

/// One connection.
pub(crate) struct Link {
    socket: Socket,
    version: Version,
    input: RefCell<Vec<u8>>,
    out: RefCell<Vec<u8>>,
    wake: Notify,
}

impl Link {
    /// Connects, and awaits that the broker agrees.
    pub(crate) async fn open(hello: Hello<'_>) -> Result<Rc<Self>, String> {
        let link = Self {
            socket: Socket::open(hello.to).await?,
            version: hello.version,
            input: RefCell::default(),
            out: RefCell::default(),
            wake: Notify::new(),
        };
        let mut properties = PropertiesBuilder::new();
        if hello.stays && hello.version == Version::V5 {
            properties
                .push(PropertyId::SessionExpiry, PropertyValue::FourByte(3600))
                .map_err(told)?;
        }
        let connect = Connect {
            version: hello.version,
            clean_start: !hello.stays,
            keep_alive_s: KEEP_ALIVE_S,
            client_id: hello.client_id,
            will: None,
            user_name: None,
            password: None,
            properties: properties.as_properties(),
        };
        link.say(&Packet::Connect(connect))?;
        link.answered(|packet| match packet {
            Packet::ConnAck(connack) if !connack.reason.is_error() => Some(Ok(())),
            Packet::ConnAck(connack) => Some(Err(format!("CONNECT refused: {:?}", connack.reason))),
            _ => None,
        })
        .await?;
        Ok(Rc::new(link))
    }

    /// Subscribes, and awaits that the broker agrees.
    pub(crate) async fn subscribe(&self, filter: &str, qos: Qos) -> Result<(), String> {
        let mut filters = SubscribeFiltersBuilder::default();
        let options = SubscribeOptions { qos, ..SubscribeOptions::default() };
        filters.push(filter, options).map_err(told)?;
        let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
        let subscribe = Subscribe { packet_id, properties, filters: filters.as_filters() };
        self.say(&Packet::Subscribe(subscribe))?;
        self.answered(|packet| match packet {
            Packet::SubAck(suback) if suback.codes.iter().all(|code| *code < 0x80) => Some(Ok(())),
            Packet::SubAck(suback) => Some(Err(format!("{filter} refused: {:?}", suback.codes))),
            _ => None,
        })
        .await
    }

    /// Serves a role until the broker closes or speaks nonsense, which is an error.
    pub(crate) async fn serve(
        &self,
        role: &RefCell<impl Role>,
        epoch: Instant,
    ) -> Result<(), String> {
        loop {
            let now = nanoseconds_since(epoch);
            self.take_packets(|packet, out| role.borrow_mut().packet(packet, now, out))?;
            if self.out.borrow().len() < OUTPUT_BYTES_MAX {
                role.borrow_mut().turn(now, &mut self.out.borrow_mut());
            }
            self.flush()?;
            tokio::select! {
                moved = self.socket.wait(&self.input, &self.out) => moved?,
                () = self.wake.notified() => {}
            }
            self.socket.read(&mut self.input.borrow_mut())?;
        }
    }

    /// Have the role's turn soon.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// Sends from outside of [`serve`](Self::serve).
    pub(crate) fn send(&self, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), String> {
        write(&mut self.out.borrow_mut());
        self.flush()?;
        if !self.out.borrow().is_empty() {
            self.wake();
        }
        Ok(())
    }

    fn say(&self, packet: &Packet<'_>) -> Result<(), String> {
        encode(packet, self.version, &mut self.out.borrow_mut()).map_err(told)?;
        self.flush()
    }

    /// Reads until a packet is the answer. What comes before it is dropped; what comes behind it
    /// is kept.
    async fn answered(
        &self,
        mut judge: impl FnMut(&Packet<'_>) -> Option<Result<(), String>>,
    ) -> Result<(), String> {
        let mut answer = None;
        loop {
            self.take_while(|packet, _| {
                answer = judge(packet);
                Ok(answer.is_none())
            })?;
            if let Some(answer) = answer {
                return answer;
            }
            self.socket.wait(&self.input, &self.out).await?;
            self.socket.read(&mut self.input.borrow_mut())?;
        }
    }

    fn take_packets(
        &self,
        mut take: impl FnMut(&Packet<'_>, &mut Vec<u8>) -> Result<(), String>,
    ) -> Result<(), String> {
        self.take_while(|packet, out| take(packet, out).map(|()| true))
    }

    fn take_while(
        &self,
        mut take: impl FnMut(&Packet<'_>, &mut Vec<u8>) -> Result<bool, String>,
    ) -> Result<(), String> {
        let mut input = self.input.borrow_mut();
        let mut out = self.out.borrow_mut();
        let mut at = 0;
        while let Framing::Packet(found) = frame(&input[at..], PACKET_BYTES_MAX).map_err(told)? {
            at += found.len;
            let packet = decode(&found, self.version).map_err(told)?;
            if !take(&packet, &mut out)? {
                break;
            }
        }
        input.drain(..at);
        Ok(())
    }

    fn flush(&self) -> Result<(), String> {
        self.socket.write(&mut self.out.borrow_mut())
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Link").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Time of the run.
pub(crate) fn nanoseconds_since(epoch: Instant) -> u64 {
    u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn told(error: impl std::fmt::Display) -> String {
    error.to_string()
}
