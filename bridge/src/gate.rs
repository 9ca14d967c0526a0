//! Who clients are: what the port asks about them. Knows no message of Kafka's.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tidewire_proto::access::Vouched;
use tidewire_proto::scram::{Method, Users};

/// How a client shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// By its password, as it is.
    Plain,
    /// By a proof that it knows the password.
    Scram(Method),
    /// By a token.
    Bearer,
}

impl Mechanism {
    /// What clients call it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(method) => method.word(),
            Self::Bearer => "OAUTHBEARER",
        }
    }
}

/// Is this the user's password?
pub struct Login {
    /// How it shows it: by a password, or by a token.
    pub mechanism: Mechanism,
    /// Who the client says it is; with a token of its own it need not say.
    pub user: Box<str>,
    /// What it says it knows.
    pub password: Box<[u8]>,
    /// Where it comes from.
    pub address: IpAddr,
    /// What it calls itself.
    pub client_id: Box<str>,
    /// Where it came in.
    pub listener: &'static str,
    /// Whose answer it is: when nobody holds it any more, nobody waits.
    pub asker: Weak<()>,
}

/// What came of a look at a password, or at a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right, and this is who the client is.
    Right(Shown),
    /// It is not, or there is no such user.
    Wrong,
    /// Too many wrong ones came, from there or for that user: it was not looked at.
    TooOften,
    /// Too many wait: it was not looked at.
    Busy,
    /// It could not be looked at.
    Unavailable,
}

/// Who a client has shown to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The user.
    pub user: Box<str>,
    /// What who vouches for it says besides its name.
    pub vouched: Option<Arc<Vouched>>,
    /// How long its connection may last.
    pub lasts: Option<Duration>,
}

impl Shown {
    /// Of whom no more is said than the name.
    #[must_use]
    pub fn plain(user: Box<str>) -> Self {
        Self { user, vouched: None, lasts: None }
    }
}

/// What is called with the verdict, from another thread.
pub type OnVerdict = Box<dyn FnOnce(Verdict) + Send>;

/// Who knows the users.
pub trait Gate: Send + Sync {
    /// The mechanisms that there are users for.
    fn mechanisms(&self) -> Vec<Mechanism>;

    /// Looks at a password: answers at once, or has `answer` called later.
    fn check(&self, login: Login, answer: OnVerdict) -> Option<Verdict>;

    /// Those who can use SCRAM, if anybody can.
    fn users(&self) -> Option<Arc<Users>>;

    /// Whether a proof may be looked at: not when too many wrong ones came, from there or for
    /// that user.
    fn may_try(&self, address: IpAddr, user: &str) -> bool;

    /// It was wrong.
    fn was_wrong(&self, address: IpAddr, user: &str);

    /// Whether clients may come from there at all.
    fn may_come(&self, _address: IpAddr) -> bool {
        true
    }
}
