//! The file of SCRAM credentials: read at the start and when it changes, and lines for it made.
//! Checks no proof.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use sha2::{Sha256, Sha512};
use tidewire_proto::scram::{Credentials, Method, Users, UsersError};

use crate::file_watch::{FileWatch, Reading};
use crate::mock_secret::SECRET_BYTES;

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

/// The users of a file, as it was when it last was right.
#[derive(Debug)]
pub(crate) struct UsersFile {
    watch: FileWatch,
    users: RwLock<Arc<Users>>,
    secret: OnceLock<[u8; SECRET_BYTES]>,
}

impl UsersFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is wrong.
    pub(crate) fn open(path: &Path) -> Result<Self, UsersFileError> {
        let watch = FileWatch::new(vec![path.into()]);
        let users = RwLock::new(Arc::new(load(path)?));
        Ok(Self { watch, users, secret: OnceLock::new() })
    }

    /// What users who do not exist are made up of; to be told before anybody asks.
    pub(crate) fn keep_secret(&self, secret: [u8; SECRET_BYTES]) {
        let secret = *self.secret.get_or_init(|| secret);
        if let Some(users) = Arc::get_mut(&mut *self.users.write()) {
            users.keep_secret(secret);
        }
    }

    /// Those who may sign in now.
    pub(crate) fn users(&self) -> Arc<Users> {
        Arc::clone(&self.users.read())
    }

    /// Reads the file anew when it has changed, and not since the last look: it is written by then.
    /// Of a file that is wrong nothing is taken.
    pub(crate) fn look(&self) {
        self.watch.look(|is_told| self.read(is_told));
    }

    /// Reads the file anew now.
    pub(crate) fn reload(&self) {
        self.watch.reload(|is_told| self.read(is_told));
    }

    fn read(&self, is_told: bool) -> Reading {
        let Some(path) = self.watch.paths().first() else { return Reading::Taken };
        match load(path) {
            Ok(mut users) => {
                if let Some(secret) = self.secret.get() {
                    users.keep_secret(*secret);
                }
                let count = users.len();
                *self.users.write() = Arc::new(users);
                tracing::info!(users = count, "the file of users is read anew");
                Reading::Taken
            }
            Err(error) => {
                let reading = match &error {
                    UsersFileError::Read(_, error) => Reading::of_error(error),
                    UsersFileError::Form(..) => Reading::Wrong,
                };
                if is_told {
                    let (cause, next) = (std::error::Error::source(&error), reading.what_next());
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    tracing::error!("users stay as they were: {error}{cause}{next}");
                }
                reading
            }
        }
    }
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

/// The lines of the file for a user, one for each method, with new salts.
///
/// # Errors
/// When name or password cannot be used.
pub(crate) fn lines(user: &str, password: &str, iterations: u32) -> Result<String, LineError> {
    let prepared = |text, what| stringprep::saslprep(text).map_err(|_| LineError::Characters(what));
    let user = prepared(user, "user name")?;
    let password = prepared(password, "password")?;
    if user.is_empty() || user.trim() != user || user.contains(':') || user.starts_with('#') {
        return Err(LineError::User);
    }
    if password.is_empty() {
        return Err(LineError::Empty);
    }
    let of = |method| {
        let credentials = credentials(method, password.as_bytes(), iterations)?;
        Ok(format!("{user}:{credentials}"))
    };
    Ok(Method::ALL.into_iter().map(of).collect::<Result<Vec<_>, _>>()?.join("\n"))
}

fn credentials(method: Method, password: &[u8], rounds: u32) -> Result<Credentials, LineError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|_| LineError::Random)?;
    let salted = match method {
        Method::Sha256 => pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password, &salt, rounds).to_vec(),
        Method::Sha512 => pbkdf2::pbkdf2_hmac_array::<Sha512, 64>(password, &salt, rounds).to_vec(),
    };
    Ok(Credentials::from_salted_password(method, &salted, &salt, rounds))
}

#[cfg(test)]
mod tests {
    use super::{LineError, Reading, UsersFile, lines};
    use tidewire_proto::scram::Users;

    #[test]
    fn a_changed_file_is_read_anew_once_it_is_written_and_a_wrong_one_is_not_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let (a, b) = (lines("a", "secret", 4_096).unwrap(), lines("b", "secret", 4_096).unwrap());
        write(&a);
        let file = UsersFile::open(&path).unwrap();
        let looks = |file: &UsersFile| {
            [(); 3].map(|()| {
                file.look();
                file.users().len()
            })
        };
        assert_eq!(looks(&file), [2, 2, 2]);
        write(&format!("{a}\n{b}\n"));
        assert_eq!(looks(&file), [2, 4, 4], "not before it is as it was at the last look");
        write("b:nonsense");
        assert_eq!(looks(&file), [4, 4, 4]);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(looks(&file), [4, 4, 4]);
        assert_eq!(file.watch.look(|is_told| file.read(is_told)), Some(Reading::Unread));
        write(&b);
        assert_eq!(looks(&file), [4, 2, 2]);
        assert!(UsersFile::open(&folder.path().join("none")).is_err());
    }

    #[test]
    fn lines_can_be_read_and_no_two_are_alike() {
        let (a, b) = (lines("me", "secret", 4_096).unwrap(), lines("me", "secret", 4_096).unwrap());
        assert_ne!(a, b, "the salt is new each time");
        assert_eq!(Users::parse(&a).unwrap().len(), 2);
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
            assert_eq!(lines(user, password, 4_096), Err(error), "{user:?}");
        }
    }
}
