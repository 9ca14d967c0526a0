//! What is asked about a password, and what the answer can be. Answers nothing.

use std::net::IpAddr;
use std::sync::Weak;

/// Is this the user's password?
pub(crate) struct Question {
    pub(crate) user: Box<str>,
    pub(crate) password: Box<[u8]>,
    /// Where it comes from.
    pub(crate) address: Option<IpAddr>,
    /// Whose answer it is: when nobody holds it any more, nobody waits.
    pub(crate) asker: Weak<()>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is.
    Right,
    /// It is not, or there is no such user.
    Wrong,
    /// Too many wrong ones came, from there or for that user: it was not looked at.
    TooOften,
    /// Too many wait: it was not looked at.
    Busy,
    /// It could not be looked at.
    Unavailable,
}

/// What is called with the answer, from another thread.
pub(crate) type Answer = Box<dyn FnOnce(Verdict) + Send>;
