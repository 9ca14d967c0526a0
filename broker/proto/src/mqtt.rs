//! The MQTT wire: bytes to packets and back, all versions. Never a session rule, never a socket.
//!
//! Reading goes in two steps. [`frame`] finds where a packet ends, and says "need more" or
//! "malformed" before anything is consumed; [`decode`] then reads the whole body, checks every rule
//! that the packet alone can break, and borrows from it: PUBLISH and the acknowledgements allocate
//! nothing. [`encode`] writes only what [`decode`] would take, or leaves the buffer as it was.

mod aliased;
mod decode;
mod encode;
mod error;
mod frame;
mod kind;
mod packet;
mod primitive;
mod property;
mod reason;
mod version;

pub use aliased::{ALIAS_BYTES_MAX, put_aliased};
pub use decode::decode;
pub use encode::{PublishHead, encode, encode_publish_head};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use frame::{Frame, Framing, frame};
pub use kind::PacketKind;
pub use packet::{
    Ack, Auth, ConnAck, Connect, Disconnect, Packet, Publish, RetainHandling, SubAck, Subscribe,
    SubscribeFilters, SubscribeFiltersBuilder, SubscribeOptions, UnsubAck, Unsubscribe,
    UnsubscribeFilters, UnsubscribeFiltersBuilder, Will,
};
pub use primitive::VARINT_MAX;
pub use property::{Properties, PropertiesBuilder, PropertyId, PropertyPlace, PropertyValue};
pub use reason::ReasonCode;
pub use version::Version;
