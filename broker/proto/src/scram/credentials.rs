//! What the server keeps of a password: enough to check a proof, not enough to make one.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::scram::hash::{Hash, hash, hmac};
use crate::scram::method::Method;

/// Fewer iterations make guessing too cheap.
pub const ITERATIONS_MIN: u32 = 4_096;
/// More would keep every client busy for seconds.
pub const ITERATIONS_MAX: u32 = 10_000_000;

const SALT_BYTES_MIN: usize = 8;
const SALT_BYTES_MAX: usize = 1_024;

/// Method, salt, iterations, StoredKey and ServerKey of one user.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub(super) method: Method,
    pub(super) salt: Box<[u8]>,
    pub(super) iterations: u32,
    pub(super) stored_key: Hash,
    pub(super) server_key: Hash,
}

/// Why a text is no credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CredentialsError {
    /// Another form.
    #[error(
        "not of the form SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>, \
         or the same with SCRAM-SHA-512"
    )]
    Form,
    /// Too few or too many.
    #[error("iterations must be from {ITERATIONS_MIN} to {ITERATIONS_MAX}")]
    Iterations,
    /// Too short or too long.
    #[error("the salt must have from {SALT_BYTES_MIN} to {SALT_BYTES_MAX} bytes")]
    Salt,
}

impl Credentials {
    /// From the password as PBKDF2 left it (with the method's HMAC, this salt and iterations).
    #[must_use]
    pub fn from_salted_password(
        method: Method,
        password: &[u8],
        salt: &[u8],
        iterations: u32,
    ) -> Self {
        Self {
            method,
            salt: salt.into(),
            iterations,
            stored_key: hash(method, &hmac(method, password, &[b"Client Key"])),
            server_key: hmac(method, password, &[b"Server Key"]),
        }
    }

    /// Of which method they are.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// From `SCRAM-SHA-256$<iterations>:<salt>$<stored key>:<server key>`; salt and keys in
    /// base64.
    ///
    /// # Errors
    /// When the text is of another form or out of bounds.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let form = CredentialsError::Form;
        let mut parts = text.split('$');
        let (Some(method), Some(how), Some(keys), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(form);
        };
        let method = Method::of_word(method).ok_or(form)?;
        let (iterations, salt) = how.split_once(':').ok_or(form)?;
        let (stored_key, server_key) = keys.split_once(':').ok_or(form)?;
        let iterations: u32 = iterations.parse().map_err(|_| form)?;
        if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
            return Err(CredentialsError::Iterations);
        }
        let salt = STANDARD.decode(salt).map_err(|_| form)?;
        if !(SALT_BYTES_MIN..=SALT_BYTES_MAX).contains(&salt.len()) {
            return Err(CredentialsError::Salt);
        }
        let key = |text: &str| {
            let bytes = STANDARD.decode(text).map_err(|_| form)?;
            if bytes.len() == method.bytes() { Ok(Hash::from(bytes)) } else { Err(form) }
        };
        let (stored_key, server_key) = (key(stored_key)?, key(server_key)?);
        Ok(Self { method, salt: salt.into(), iterations, stored_key, server_key })
    }

    /// Of a user that does not exist: the same each time, and like those of one that does. No
    /// password fits.
    pub(super) fn mock(secret: &[u8], user: &str, like: &Like) -> Self {
        let Like { method, iterations, salt_bytes } = *like;
        let of = |name: &[u8]| hmac(method, secret, &[name, user.as_bytes()]);
        let salt = of(b"salt").iter().copied().cycle().take(salt_bytes).collect();
        Self { method, salt, iterations, stored_key: of(b"stored"), server_key: of(b"server") }
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&*self.salt, &self.stored_key, &self.server_key].map(|part| STANDARD.encode(part));
        let method = self.method.word();
        write!(f, "{method}${}:{salt}${stored}:{server}", self.iterations)
    }
}

/// What credentials of a user that does not exist are to look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Like {
    pub(super) method: Method,
    pub(super) iterations: u32,
    pub(super) salt_bytes: usize,
}

/// Keys do not belong in logs.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Credentials, CredentialsError, Method};

    fn text(iterations: &str, salt: &str) -> String {
        let key = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        format!("SCRAM-SHA-256${iterations}:{salt}${key}:{key}")
    }

    #[test]
    fn credentials_read_back_as_they_were_written() {
        for method in Method::ALL {
            let made = Credentials::from_salted_password(method, &[7; 32], b"12345678", 4_096);
            assert!(made.to_string().starts_with(method.word()));
            assert_eq!(Credentials::parse(&made.to_string()), Ok(made));
        }
    }

    #[test]
    fn what_is_out_of_bounds_or_of_another_form_is_refused() {
        let salt = "MTIzNDU2Nzg=";
        assert!(Credentials::parse(&text("4096", salt)).is_ok());
        for (wrong, error) in [
            (text("4095", salt), CredentialsError::Iterations),
            (text("10000001", salt), CredentialsError::Iterations),
            (text("4096", "MTIz"), CredentialsError::Salt),
            (text("4096", "*"), CredentialsError::Form),
            (text("many", salt), CredentialsError::Form),
            (text("4096", salt).replace("256", "512"), CredentialsError::Form),
            (text("4096", salt) + "$", CredentialsError::Form),
            (text("4096", salt).replace("AAA=", ""), CredentialsError::Form),
            (String::new(), CredentialsError::Form),
        ] {
            assert_eq!(Credentials::parse(&wrong), Err(error), "{wrong}");
        }
    }
}
