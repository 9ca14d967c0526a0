//! The HTTP hook: a program elsewhere that is asked who clients are. Asks on threads of its own,
//! and never decides what a client hears.

mod answer;
mod asker;
mod memory;
mod question;
mod secret;

pub(crate) use asker::Hook;
pub use secret::HookError;
