//! The packets, borrowed from the bytes they came in. Each file reads and writes its own body.

mod ack;
mod auth;
mod connack;
mod connect;
mod disconnect;
mod publish;
mod suback;
mod subscribe;
mod tail;
mod unsubscribe;

pub use ack::Ack;
pub use auth::Auth;
pub use connack::ConnAck;
pub use connect::{Connect, Will};
pub use disconnect::Disconnect;
pub use publish::Publish;
pub use suback::{SubAck, UnsubAck};
pub use subscribe::{
    RetainHandling, Subscribe, SubscribeFilters, SubscribeFiltersBuilder, SubscribeOptions,
};
pub use unsubscribe::{Unsubscribe, UnsubscribeFilters, UnsubscribeFiltersBuilder};

use crate::mqtt::kind::PacketKind;

/// Any packet of any version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// Client opens a connection.
    Connect(Connect<'a>),
    /// Server answers CONNECT.
    ConnAck(ConnAck<'a>),
    /// A message.
    Publish(Publish<'a>),
    /// Answers a QoS 1 PUBLISH.
    PubAck(Ack<'a>),
    /// Answers a QoS 2 PUBLISH.
    PubRec(Ack<'a>),
    /// Answers PUBREC.
    PubRel(Ack<'a>),
    /// Answers PUBREL.
    PubComp(Ack<'a>),
    /// Client subscribes.
    Subscribe(Subscribe<'a>),
    /// Server answers SUBSCRIBE.
    SubAck(SubAck<'a>),
    /// Client unsubscribes.
    Unsubscribe(Unsubscribe<'a>),
    /// Server answers UNSUBSCRIBE.
    UnsubAck(UnsubAck<'a>),
    /// Client shows that it lives.
    PingReq,
    /// Server answers PINGREQ.
    PingResp,
    /// The last packet of a connection.
    Disconnect(Disconnect<'a>),
    /// One step of an enhanced authentication.
    Auth(Auth<'a>),
}

impl Packet<'_> {
    /// The type of the packet.
    #[must_use]
    pub const fn kind(&self) -> PacketKind {
        match self {
            Self::Connect(_) => PacketKind::Connect,
            Self::ConnAck(_) => PacketKind::ConnAck,
            Self::Publish(_) => PacketKind::Publish,
            Self::PubAck(_) => PacketKind::PubAck,
            Self::PubRec(_) => PacketKind::PubRec,
            Self::PubRel(_) => PacketKind::PubRel,
            Self::PubComp(_) => PacketKind::PubComp,
            Self::Subscribe(_) => PacketKind::Subscribe,
            Self::SubAck(_) => PacketKind::SubAck,
            Self::Unsubscribe(_) => PacketKind::Unsubscribe,
            Self::UnsubAck(_) => PacketKind::UnsubAck,
            Self::PingReq => PacketKind::PingReq,
            Self::PingResp => PacketKind::PingResp,
            Self::Disconnect(_) => PacketKind::Disconnect,
            Self::Auth(_) => PacketKind::Auth,
        }
    }
}
