//! The users of a credentials file: one `user:credentials` per line, `#` begins a comment.

use ahash::AHashMap;
use thiserror::Error;

use crate::scram::credentials::{Credentials, CredentialsError, ITERATIONS_MIN};
use crate::scram::hash::{Hash, sha256};

const SALT_BYTES: usize = 16;

/// Credentials by user name.
#[derive(Debug)]
pub struct Users {
    known: AHashMap<Box<str>, Credentials>,
    /// What unknown users' credentials are made of: only who has the file can tell them.
    secret: Hash,
    iterations: u32,
    salt_bytes: usize,
}

/// Which line of a file is wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UsersError {
    /// No user name before a colon.
    #[error("line {0}: not of the form user:credentials")]
    Form(usize),
    /// Not our form of credentials.
    #[error("line {0}: {1}")]
    Credentials(usize, CredentialsError),
    /// A user that stands there twice.
    #[error("line {0}: the user is there twice")]
    Repeated(usize),
}

impl Users {
    /// Reads a file's text.
    ///
    /// # Errors
    /// The first line that is wrong: a file that is half understood would lock out the others.
    pub fn parse(text: &str) -> Result<Self, UsersError> {
        let mut known = AHashMap::new();
        let mut like = None;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, credentials) = line
                .split_once(':')
                .filter(|(user, _)| !user.is_empty())
                .ok_or(UsersError::Form(number))?;
            let credentials = Credentials::parse(credentials)
                .map_err(|error| UsersError::Credentials(number, error))?;
            like.get_or_insert((credentials.iterations, credentials.salt.len()));
            if known.insert(user.into(), credentials).is_some() {
                return Err(UsersError::Repeated(number));
            }
        }
        let (iterations, salt_bytes) = like.unwrap_or((ITERATIONS_MIN, SALT_BYTES));
        Ok(Self { known, secret: sha256(text.as_bytes()), iterations, salt_bytes })
    }

    /// The credentials of a user; of one that does not exist, some that no password fits.
    #[must_use]
    pub fn find(&self, user: &str) -> Credentials {
        let mock = || Credentials::mock(&self.secret, user, self.iterations, self.salt_bytes);
        self.known.get(user).cloned().unwrap_or_else(mock)
    }

    /// From now on the credentials of who does not exist are made of this: it outlasts changes of
    /// the file, after which they would be others, and those of who exists the same.
    pub fn keep_secret(&mut self, secret: [u8; 32]) {
        self.secret = secret;
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Users, UsersError};
    use crate::scram::credentials::{Credentials, CredentialsError};

    #[test]
    fn a_file_is_understood_whole_or_not_at_all() {
        let line = |user: &str| {
            format!("{user}:{}", Credentials::from_salted_password(&[1; 32], b"saltsalt", 5_000))
        };
        let good = format!("# devices\n\n{}\n  {}\n", line("a"), line("b:c").replace("b:c", "b"));
        let users = Users::parse(&good).expect("a good file");
        assert_eq!(users.len(), 2);
        for (text, error) in [
            (format!("{}\n{}", line("a"), line("a")), UsersError::Repeated(2)),
            ("\nnobody".into(), UsersError::Form(2)),
            (line(""), UsersError::Form(1)),
            ("a:plain".into(), UsersError::Credentials(1, CredentialsError::Form)),
        ] {
            assert_eq!(Users::parse(&text).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn who_does_not_exist_looks_like_who_does() {
        let known = Credentials::from_salted_password(&[1; 32], b"twelve bytes", 5_000);
        let users = Users::parse(&format!("known:{known}")).expect("a good file");
        let (found, first, again) = (users.find("known"), users.find("x"), users.find("x"));
        assert_eq!((&found, &first), (&known, &again), "the same at every try");
        assert_eq!((first.iterations, first.salt.len()), (5_000, 12));
        assert_ne!(first.salt, users.find("y").salt);
    }
}
