//! The server's side of WebSocket (RFC 6455) as MQTT uses it: bytes of MQTT in binary frames. Pure:
//! bytes in, bytes out. Never looks at the MQTT packets inside, which frames may cut anywhere.

mod frames;
mod handshake;

pub use frames::{Decoder, FRAME_HEAD_BYTES_MAX, FrameError, put_close, put_frame_head};
pub use handshake::{HANDSHAKE_BYTES_MAX, Origins, Refusal, Upgrade, read_upgrade};
