//! What who brings a token may do. A role may do what those before it may.

use std::fmt;

/// A role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Role {
    /// Look at everything, also at messages.
    Viewer,
    /// And act on clients, sessions, messages, groups and bridges.
    Operator,
    /// And on who may come, on whole groups' positions and on the configuration.
    Admin,
}

impl Role {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// One word.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}
