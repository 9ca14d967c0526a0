//! Who asks. Knows nothing of rules.

use std::net::IpAddr;
use std::sync::Arc;

/// Who asks to do something, as far as it was shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The client id, as it counts: one that we gave, if the client had none.
    pub client_id: Arc<str>,
    /// The user that it has shown to be; a name that it merely said is none.
    pub user: Option<Box<str>>,
    /// What its certificate says it is.
    pub certificate: Option<Box<str>>,
    /// Where it came in. `None` where that is over: what is left of a client that went away. Then
    /// conditions on the place hold for what is allowed, and not for what is denied: they held, or
    /// did not, when it was there.
    pub place: Option<Place>,
    /// Groups that it is in, besides those of the rules: who vouches for it says so.
    pub groups: Arc<[Box<str>]>,
    /// It may have been in groups that are not kept, because the client is away: then conditions on
    /// groups hold for what is allowed.
    pub may_be_vouched: bool,
}

/// Where a subject came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The other end's address, if it has one.
    pub address: Option<IpAddr>,
    /// The section of the listener: `mqtt`, `mqtts`, …
    pub listener: &'static str,
}

impl Subject {
    /// Whether who vouches for it says that it is in this group.
    pub(super) fn is_said_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| **known == *group)
    }

    /// Its user, where a name of no characters is none.
    pub(super) fn named_user(&self) -> Option<&str> {
        self.user.as_deref().filter(|user| !user.is_empty())
    }
}
