//! Is the broker a good part of another program? Everything here happens in this process.

mod bans;
mod bounds;
mod counts;
mod device;
mod inside;
mod rates;
mod retained;
mod secrets;
mod topics;
