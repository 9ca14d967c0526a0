//! WebSocket (RFC 6455) as MQTT uses it, the server's side and the client's: bytes of MQTT in
//! binary frames. Pure: bytes in, bytes out. Never looks at the MQTT packets inside, which frames
//! may cut anywhere.

mod asking;
mod frames;
mod handshake;

pub use asking::{NotGranted, read_answer, request};
pub use frames::{
    Decoder, FRAME_HEAD_BYTES_MAX, FrameError, put_close, put_frame_head, put_masked_frame,
};
pub use handshake::{HANDSHAKE_BYTES_MAX, Origins, Refusal, Upgrade, read_upgrade};
