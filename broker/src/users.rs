//! The file of SCRAM credentials: read at the start, and a line for it made. Checks no proof.

use std::path::{Path, PathBuf};

use sha2::Sha256;
use tidewire_proto::scram::{Credentials, Users, UsersError};

/// Iterations of new credentials: what a small device can do in a moment.
pub(crate) const ITERATIONS: u32 = 16_384;

const SALT_BYTES: usize = 16;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersFileError {
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// It is not of its form.
    #[error("{} is wrong", .0.display())]
    Form(PathBuf, #[source] UsersError),
}

/// Why no line can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LineError {
    /// A name that a line could not hold.
    #[error("a user name has at least one character and no colon, line break or leading `#`")]
    User,
    /// A name or password that SCRAM does not allow.
    #[error("the {0} holds characters that SCRAM does not allow")]
    Characters(&'static str),
    /// No password at all.
    #[error("the password is empty")]
    Empty,
    /// The system has no randomness to give.
    #[error("the system gives no random bytes")]
    Random,
}

/// Reads the file.
///
/// # Errors
/// When it cannot be read, or a line of it is wrong.
pub(crate) fn load(path: &Path) -> Result<Users, UsersFileError> {
    let text =
        std::fs::read_to_string(path).map_err(|error| UsersFileError::Read(path.into(), error))?;
    Users::parse(&text).map_err(|error| UsersFileError::Form(path.into(), error))
}

/// A line of the file, with a new salt.
///
/// # Errors
/// When name or password cannot be used.
pub(crate) fn line(user: &str, password: &str, iterations: u32) -> Result<String, LineError> {
    let prepared = |text, what| stringprep::saslprep(text).map_err(|_| LineError::Characters(what));
    let user = prepared(user, "user name")?;
    let password = prepared(password, "password")?;
    if user.is_empty() || user.trim() != user || user.contains(':') || user.starts_with('#') {
        return Err(LineError::User);
    }
    if password.is_empty() {
        return Err(LineError::Empty);
    }
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|_| LineError::Random)?;
    let salted = pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, iterations);
    let credentials = Credentials::from_salted_password(&salted, &salt, iterations);
    Ok(format!("{user}:{credentials}"))
}

#[cfg(test)]
mod tests {
    use super::{LineError, line};
    use tidewire_proto::scram::Users;

    #[test]
    fn a_line_can_be_read_and_no_two_are_alike() {
        let (a, b) = (line("me", "secret", 4_096).unwrap(), line("me", "secret", 4_096).unwrap());
        assert_ne!(a, b, "the salt is new each time");
        assert_eq!(Users::parse(&a).unwrap().len(), 1);
    }

    #[test]
    fn what_no_line_could_hold_is_refused() {
        for (user, password, error) in [
            ("", "x", LineError::User),
            ("a:b", "x", LineError::User),
            ("#a", "x", LineError::User),
            ("a", "", LineError::Empty),
            ("a\u{7}", "x", LineError::Characters("user name")),
            ("a", "x\u{7}", LineError::Characters("password")),
        ] {
            assert_eq!(line(user, password, 4_096), Err(error), "{user:?}");
        }
    }
}
