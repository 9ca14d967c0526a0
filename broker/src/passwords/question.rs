//! What is asked about a password, and what the answer can be. Answers nothing.

use std::net::IpAddr;
use std::sync::{Arc, Weak};

use tidewire_proto::access::Vouched;

/// Is this the user's password?
pub(crate) struct Question {
    pub(crate) user: Box<str>,
    pub(crate) password: Box<[u8]>,
    /// Where it comes from.
    pub(crate) address: Option<IpAddr>,
    /// Whose answer it is: when nobody holds it any more, nobody waits.
    pub(crate) asker: Weak<()>,
    pub(crate) about: About,
}

/// What is known of who asks besides.
#[derive(Clone, Debug, Default)]
pub(crate) struct About {
    /// Of no characters: it did not say.
    pub(crate) client_id: Arc<str>,
    /// The section of the listener.
    pub(crate) listener: &'static str,
    /// What it speaks.
    pub(crate) protocol: &'static str,
    /// Who its certificate says it is: that is shown already.
    pub(crate) certificate: Option<Box<str>>,
    /// No password in the proper sense: nobody guesses it.
    pub(crate) is_token: bool,
}

impl Question {
    /// The address and the user that a wrong answer counts against; none, and no characters: it
    /// counts against nobody. Only what can be guessed is: not a token, and not what somebody says
    /// whose certificate has shown who it is.
    pub(super) fn guessed(&self) -> (Option<IpAddr>, &str) {
        match self.about.is_token || self.about.certificate.is_some() {
            true => (None, ""),
            false => (self.address, &self.user),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is, and this is who it is.
    Right(Shown),
    /// It is not, or there is no such user: for the log, why.
    Wrong(Box<str>),
    /// Nobody said anything, and what was shown before holds.
    Ignored,
    /// Too many wrong ones came, from there or for that user: it was not looked at.
    TooOften,
    /// Too many wait: it was not looked at.
    Busy,
    /// It could not be looked at: for the log, why.
    Unavailable(Box<str>),
}

/// Who somebody has shown to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Of no characters: it may come, and nobody said who it is.
    pub(crate) user: Box<str>,
    /// How: a word for the log.
    pub(crate) method: &'static str,
    /// What who vouches for it says besides.
    pub(crate) vouched: Option<Arc<Vouched>>,
    /// Until when its connection may last, in milliseconds of the Unix epoch.
    pub(crate) until_ms: Option<i64>,
}

impl Shown {
    /// With nothing said besides the name.
    pub(crate) fn plain(user: Box<str>, method: &'static str) -> Self {
        Self { user, method, vouched: None, until_ms: None }
    }
}

/// What is called with the answer, from another thread.
pub(crate) type Answer = Box<dyn FnOnce(Verdict) + Send>;

/// What came of a look.
pub(crate) enum Found {
    Verdict(Verdict),
    /// What it takes to know is on its way.
    Later,
}

/// Who knows answers.
pub(crate) trait Check: Send + Sync {
    /// What is known at once.
    fn recall(&self, question: &Question) -> Option<Verdict>;

    /// Looks: may take its time.
    fn check(&self, question: &Question) -> Found;

    /// Whether what others wait for is still on its way.
    fn is_coming(&self) -> bool {
        false
    }
}
