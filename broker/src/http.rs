//! The HTTP port: health, metrics and the API, for who looks after the broker. On a thread of its
//! own; what it knows it asks the store and the cores, and nobody waits for it.
//! docs/decisions/0018-http.md says why.

mod api;
mod ask;
mod behind;
mod gate;
mod handle;
mod health;
mod measure;
pub(crate) mod numbers;
mod openapi;
mod page;
mod places;
mod port;
mod probes;
mod problem;
mod role;
mod route;
mod scrape;
mod shape;
mod site;
mod table;
pub(crate) mod tokens;
mod wire;

pub use tokens::TokenFileError;

pub(crate) use health::free_bytes;
pub(crate) use port::HttpPort;
pub(crate) use role::Role;
pub(crate) use site::Inside;
pub(crate) use tokens::{check_token_name, load, make_token, token_line, without_token};
