//! TLS: turns an accepted socket into one whose bytes are secret, by the settings of its
//! listener. Never knows what the bytes mean, nor who is served with them.

mod error;
mod files;
mod handshake;
mod load;
mod names;
mod resolve;
mod session;
mod slot;
mod stream;
mod verify;
mod words;

pub use error::TlsError;

pub(crate) use files::{certificates, revocations};
pub(crate) use handshake::{Failure, Shaken, shake};
pub(crate) use load::{Expiry, check_pair, provider};
pub(crate) use names::{Facts, RevocationFacts};
pub(crate) use slot::{Settings, Slot};
pub(crate) use stream::{TlsStream, UnboundTls};
