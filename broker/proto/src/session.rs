//! The state of one client id: what it subscribes, what is in flight both ways, how far it is.
//!
//! Pure: packets and outcomes in, verdicts and bytes out. Never a socket, a clock or a table.

pub mod alias;
pub mod by_number;
pub mod cursor;
pub mod few;
pub mod inbound;
pub mod outbound_alias;
pub mod outbox;
pub mod receipts;
pub mod subscription;
pub mod window;
