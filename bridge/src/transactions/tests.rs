//! What transactions promise, with moved time: one by one, and by random histories.

mod bench;
mod claims;
mod histories;
