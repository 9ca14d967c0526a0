//! Does the broker do what the statements of MQTT say? One test per claim, from raw bytes; which
//! statement each shows is in `tests/conformance`.

mod auth;
mod close;
mod connect;
mod publish;
mod qos;
mod shares;
mod subscribe;
mod topics;
mod wills;
