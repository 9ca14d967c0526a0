//! The users of a credentials file: `user:credentials`, one per line and at most one for each
//! method; `#` begins a comment.

use ahash::AHashMap;
use thiserror::Error;

use crate::scram::credentials::{Credentials, CredentialsError, ITERATIONS_MIN, Like};
use crate::scram::hash::{Hash, hash};
use crate::scram::method::Method;

const SALT_BYTES: usize = 16;

/// Credentials by user name.
#[derive(Debug)]
pub struct Users {
    /// Of each method.
    known: [AHashMap<Box<str>, Credentials>; 2],
    /// What unknown users' credentials are made of: only who has the file can tell them.
    secret: Hash,
    like: Like,
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
        let mut known = [AHashMap::new(), AHashMap::new()];
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
            let method = credentials.method;
            like.get_or_insert(Like {
                method,
                iterations: credentials.iterations,
                salt_bytes: credentials.salt.len(),
            });
            if known[method as usize].insert(user.into(), credentials).is_some() {
                return Err(UsersError::Repeated(number));
            }
        }
        let like = like.unwrap_or(Like {
            method: Method::Sha256,
            iterations: ITERATIONS_MIN,
            salt_bytes: SALT_BYTES,
        });
        Ok(Self { known, secret: hash(Method::Sha256, text.as_bytes()), like })
    }

    /// The credentials of a user; of one that does not exist, some that no password fits.
    #[must_use]
    pub fn find(&self, method: Method, user: &str) -> Credentials {
        let mock = || Credentials::mock(&self.secret, user, &Like { method, ..self.like });
        self.known[method as usize].get(user).cloned().unwrap_or_else(mock)
    }

    /// From now on the credentials of who does not exist are made of this: it outlasts changes of
    /// the file, after which they would be others, and those of who exists the same.
    pub fn keep_secret(&mut self, secret: [u8; 32]) {
        self.secret = secret.into();
    }

    /// Whether anybody can use this method.
    #[must_use]
    pub fn has(&self, method: Method) -> bool {
        !self.known[method as usize].is_empty()
    }

    /// How many credentials there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.iter().map(|users| users.len()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Method, Users, UsersError};
    use crate::scram::credentials::{Credentials, CredentialsError};

    #[test]
    fn a_file_is_understood_whole_or_not_at_all() {
        let line = |user: &str| {
            let (method, salt) = (Method::Sha256, b"saltsalt");
            let made = Credentials::from_salted_password(method, &[1; 32], salt, 5_000);
            format!("{user}:{made}")
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
    fn a_user_may_be_there_once_for_each_method() {
        let of = |method| Credentials::from_salted_password(method, &[1; 64], b"saltsalt", 5_000);
        let [short, long] = Method::ALL.map(of);
        let users = Users::parse(&format!("a:{short}\na:{long}\nb:{short}")).expect("a good file");
        assert_eq!(users.find(Method::Sha256, "a"), short);
        assert_eq!(users.find(Method::Sha512, "a"), long);
        let mock = users.find(Method::Sha512, "b");
        assert_eq!((mock.stored_key.len(), mock.method), (64, Method::Sha512));
        assert!(Users::parse(&format!("b:{short}")).is_ok_and(|users| !users.has(Method::Sha512)));
    }

    #[test]
    fn who_does_not_exist_looks_like_who_does() {
        const SHA: Method = Method::Sha256;
        let known = Credentials::from_salted_password(SHA, &[1; 32], b"twelve bytes", 5_000);
        let users = Users::parse(&format!("known:{known}")).expect("a good file");
        let find = |user| users.find(SHA, user);
        let (found, first, again) = (find("known"), find("x"), find("x"));
        assert_eq!((&found, &first), (&known, &again), "the same at every try");
        assert_eq!((first.iterations, first.salt.len()), (5_000, 12));
        assert_ne!(first.salt, find("y").salt);
    }
}
