//! The file of users and their hashes: one `user:hash` to a line, as Mosquitto's. Understood whole
//! or not at all.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ahash::AHashMap;
use parking_lot::Mutex;

use super::checked::{Checked, Trace};
use super::hash::PasswordHash;

/// Which line of the file is wrong, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BookError {
    /// No user name before a colon.
    #[error("line {0}: not of the form user:hash")]
    Form(usize),
    /// A name that no client says: blanks that were meant for the eye are part of it.
    #[error("line {0}: there are blanks before or behind the user name")]
    Blanks(usize),
    /// Not a hash that we know.
    #[error(
        "line {0}: no hash that is known ($argon2id$, $7$ or $6$); \
         `tidewire passwd add FILE --batch` makes hashes of passwords"
    )]
    Hash(usize),
    /// A user that stands there twice.
    #[error("line {0}: the user is there twice")]
    Repeated(usize),
    /// No key can be drawn.
    #[error("the system gives no random bytes")]
    Random,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordFileError {
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// It is not of its form.
    #[error("{} is wrong", .0.display())]
    Form(PathBuf, #[source] BookError),
}

/// Users and their hashes, and who of them was found to be right since the file was read.
pub(crate) struct Book {
    known: AHashMap<Box<str>, PasswordHash>,
    /// What a password of somebody unknown is compared with: the same work.
    mock: Option<PasswordHash>,
    checked: Mutex<Checked>,
}

impl Book {
    /// Reads a file's text; remembers so many that were right.
    pub(super) fn parse(text: &str, checked_max: usize) -> Result<Self, BookError> {
        let mut known = AHashMap::new();
        let mut like = None;
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line.trim_end().split_once(':').ok_or(BookError::Form(number))?;
            if user.is_empty() {
                return Err(BookError::Form(number));
            }
            if user.trim() != user {
                return Err(BookError::Blanks(number));
            }
            let hash = PasswordHash::parse(hash).ok_or(BookError::Hash(number))?;
            like.get_or_insert_with(|| hash.clone());
            if known.insert(user.into(), hash).is_some() {
                return Err(BookError::Repeated(number));
            }
        }
        let mock = match like {
            Some(like) => Some(like.mock().ok_or(BookError::Random)?),
            None => None,
        };
        let checked = Mutex::new(Checked::new(checked_max).ok_or(BookError::Random)?);
        Ok(Self { known, mock, checked })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether the user is in it.
    pub(super) fn knows(&self, user: &str) -> bool {
        self.known.contains_key(user)
    }

    /// The same question as [`Self::check`], answered at once if it was answered before to somebody
    /// in the same network; if not, what [`Self::remember`] is to be told.
    pub(super) fn recall(
        &self,
        user: &str,
        password: &[u8],
        from: Option<IpAddr>,
    ) -> Result<(), Trace> {
        let mut checked = self.checked.lock();
        let trace = checked.trace(user, password, from);
        if checked.has(&trace) { Ok(()) } else { Err(trace) }
    }

    pub(super) fn remember(&self, trace: Trace) {
        self.checked.lock().add(trace);
    }

    /// Whether this is the user's password: slow. `None`: that could not be found out.
    pub(crate) fn check(&self, user: &str, password: &[u8]) -> Option<bool> {
        match (self.known.get(user), &self.mock) {
            (Some(hash), _) => hash.is_of(password),
            (None, Some(mock)) => mock.is_of(password).map(|_| false),
            (None, None) => Some(false),
        }
    }

    /// Users whose hashes are not of the form that we make.
    pub(crate) fn outdated(&self) -> usize {
        self.known.values().filter(|hash| !hash.is_current()).count()
    }
}

/// Reads the file.
///
/// # Errors
/// When it cannot be read, or a line of it is wrong.
pub(crate) fn load(path: &Path, checked_max: usize) -> Result<Book, PasswordFileError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| PasswordFileError::Read(path.into(), error))?;
    Book::parse(&text, checked_max).map_err(|error| PasswordFileError::Form(path.into(), error))
}

#[cfg(test)]
mod tests {
    use super::{Book, BookError};

    /// Of no password that anybody knows.
    const CHEAP: &str = "$7$1$c2FsdHNhbHQ=$aGFzaGhhc2g=";

    #[test]
    fn a_file_is_understood_whole_or_not_at_all() {
        let good = format!("# devices\n\na:{CHEAP}\nb b:{CHEAP}\n");
        assert_eq!(Book::parse(&good, 10).map(|book| book.len()), Ok(2));
        for (text, error) in [
            (format!("a:{CHEAP}\na:{CHEAP}"), BookError::Repeated(2)),
            ("\nnobody".into(), BookError::Form(2)),
            (format!(":{CHEAP}"), BookError::Form(1)),
            (format!("ann :{CHEAP}"), BookError::Blanks(1)),
            (format!("# ours\n  ann:{CHEAP}"), BookError::Blanks(2)),
            (format!("\tann:{CHEAP}"), BookError::Blanks(1)),
            ("a:pencil".into(), BookError::Hash(1)),
        ] {
            assert_eq!(Book::parse(&text, 10).err(), Some(error), "{text}");
        }
    }

    #[test]
    fn nobody_is_in_an_empty_file() {
        let book = Book::parse("# nobody\n", 10).map_err(|error| error.to_string());
        let book = book.expect("an empty file is a file");
        assert_eq!(book.check("", b""), Some(false));
        assert_eq!(book.check("a", b"x"), Some(false));
    }
}
