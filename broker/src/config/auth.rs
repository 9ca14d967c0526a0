//! `[auth]`: who may connect. Never reads a file of users.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::auth_http::AuthHttpConfig;
use super::jwt::JwtConfig;
use super::quantity::count;
use super::text::{file_or_off, file_or_off_out};

/// `[auth]`: who may connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// File with the users of SCRAM, or `off` (`None`): then no client can use it.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub scram_file: Option<PathBuf>,
    /// File with users and the hashes of their passwords, or `off` (`None`): then no password is
    /// asked.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub password_file: Option<PathBuf>,
    /// Passwords that wait for being hashed; who comes beyond is told that the server is busy.
    #[serde(deserialize_with = "count::<_, _, 1, 100_000>")]
    pub password_queue_max: u32,
    /// Clients whose password was right that are remembered, so that they come back without
    /// hashing; 0: none.
    #[serde(deserialize_with = "count::<_, _, 0, 10_000_000>")]
    pub passwords_remembered_max: u32,
    /// Wrong passwords from one address in a minute; beyond them those that are not remembered from
    /// there are refused without a look; 0: any number.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000>")]
    pub wrong_passwords_per_address_max: u32,
    /// The same for one user name, from wherever they come.
    #[serde(deserialize_with = "count::<_, _, 0, 1_000_000>")]
    pub wrong_passwords_per_user_max: u32,
    /// Tokens.
    pub jwt: JwtConfig,
    /// A program elsewhere that is asked.
    pub http: AuthHttpConfig,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            scram_file: None,
            password_file: None,
            password_queue_max: 256,
            passwords_remembered_max: 100_000,
            wrong_passwords_per_address_max: 60,
            wrong_passwords_per_user_max: 60,
            jwt: JwtConfig::default(),
            http: AuthHttpConfig::default(),
        }
    }
}

impl AuthConfig {
    /// Whether anybody is asked about what a client brings as its password.
    #[must_use]
    pub fn takes_passwords(&self) -> bool {
        self.password_file.is_some() || self.jwt.is_on() || self.http.url.is_some()
    }

    /// Whether who vouches for a client may say more of it than its name.
    #[must_use]
    pub fn may_vouch(&self) -> bool {
        self.jwt.groups_claim.is_some() || self.http.url.is_some()
    }

    /// Whether there are users that could sign in with a password.
    #[must_use]
    pub fn has_users(&self) -> bool {
        self.scram_file.is_some() || self.takes_passwords()
    }
}

/// Whether clients may come that do not show who they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Anonymous {
    /// On an address of this machine only, and as long as there is no file of users.
    #[default]
    Auto,
    /// They may.
    Allow,
    /// They may not.
    Refuse,
}

impl Anonymous {
    /// The same where clients may have to show a certificate. One that names nobody has shown by it
    /// that it may come, where no other way to sign in is set up.
    #[must_use]
    pub fn lets_in_certified(
        self,
        bind: Option<SocketAddr>,
        auth: &AuthConfig,
        asks_certificate: bool,
    ) -> bool {
        let is_shown = asks_certificate && self == Self::Auto && !auth.has_users();
        is_shown || self.lets_in(bind, auth)
    }

    /// Whether they may, at this address.
    #[must_use]
    pub fn lets_in(self, bind: Option<SocketAddr>, auth: &AuthConfig) -> bool {
        match self {
            Self::Allow => true,
            Self::Refuse => false,
            Self::Auto => {
                bind.is_none_or(|address| address.ip().is_loopback()) && !auth.has_users()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Anonymous, AuthConfig};

    #[test]
    fn where_a_certificate_is_asked_for_who_shows_one_may_come_without_a_name() {
        let file = Some("users".into());
        let (nobody, users) =
            (AuthConfig::default(), AuthConfig { password_file: file, ..AuthConfig::default() });
        let open = Some(([0, 0, 0, 0], 8883).into());
        for (anonymous, auth, asks, expected) in [
            (Anonymous::Auto, &nobody, true, true),
            (Anonymous::Auto, &nobody, false, false),
            (Anonymous::Auto, &users, true, false),
            (Anonymous::Refuse, &nobody, true, false),
            (Anonymous::Allow, &users, false, true),
        ] {
            let found = anonymous.lets_in_certified(open, auth, asks);
            assert_eq!(found, expected, "{anonymous:?} {auth:?} {asks}");
        }
    }
}
