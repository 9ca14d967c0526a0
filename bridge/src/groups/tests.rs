//! What groups promise, with moved time: one by one, and by random histories.

mod bench;
mod claims;
mod durable;
mod histories;
mod readers;
mod table;
