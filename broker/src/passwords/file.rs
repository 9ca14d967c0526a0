//! The password file in force: read at the start and when it changes, and asked. Waits for nobody.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use parking_lot::RwLock;

use super::book::{Book, PasswordFileError, load};
use super::question::{Check, Found, Question, Shown, Verdict};
use crate::file_watch::{FileWatch, Reading};

/// How somebody shows who it is with its password.
const METHOD: &str = "password";
const WRONG: &str = "user name or password is wrong";

/// The file.
pub(crate) struct PasswordFile {
    watch: FileWatch,
    book: RwLock<Arc<Book>>,
    /// Right answers that are remembered.
    checked_max: usize,
}

impl PasswordFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is wrong.
    pub(crate) fn open(path: &Path, checked_max: usize) -> Result<Self, PasswordFileError> {
        let watch = FileWatch::new(vec![path.into()]);
        let book = RwLock::new(Arc::new(load(path, checked_max)?));
        Ok(Self { watch, book, checked_max })
    }

    /// Whether the user is in it.
    pub(crate) fn knows(&self, user: &str) -> bool {
        self.book.read().knows(user)
    }

    /// Reads the file anew when it has changed, and not since the last look: it is written by then.
    pub(crate) fn look(&self) {
        self.watch.look(|is_told| self.read(is_told));
    }

    /// Reads the file anew now.
    pub(crate) fn reload(&self) {
        self.watch.reload(|is_told| self.read(is_told));
    }

    /// Of a file that is wrong nothing is taken.
    fn read(&self, is_told: bool) -> Reading {
        let Some(path) = self.watch.paths().first() else { return Reading::Taken };
        match load(path, self.checked_max) {
            Ok(book) => {
                let users = book.len();
                *self.book.write() = Arc::new(book);
                tracing::info!(users, "the password file is read anew");
                Reading::Taken
            }
            Err(error) => {
                let reading = match &error {
                    PasswordFileError::Read(_, error) => Reading::of_error(error),
                    PasswordFileError::Form(..) => Reading::Wrong,
                };
                if is_told {
                    let (cause, next) = (error.source(), reading.what_next());
                    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                    tracing::error!("passwords stay as they were: {error}{cause}{next}");
                }
                reading
            }
        }
    }
}

impl Check for PasswordFile {
    fn recall(&self, question: &Question) -> Option<Verdict> {
        let Question { user, password, address, .. } = question;
        self.book.read().recall(user, password, *address).ok().map(|()| right(user))
    }

    fn check(&self, question: &Question) -> Found {
        let Question { user, password, address, .. } = question;
        let book = Arc::clone(&self.book.read());
        // Another connection may have asked the same meanwhile.
        Found::Verdict(match book.recall(user, password, *address) {
            Ok(()) => right(user),
            Err(trace) => match book.check(user, password) {
                Some(true) => {
                    book.remember(trace);
                    right(user)
                }
                Some(false) => Verdict::Wrong(WRONG.into()),
                None => Verdict::Unavailable("a hash could not be made".into()),
            },
        })
    }
}

fn right(user: &str) -> Verdict {
    Verdict::Right(Shown::plain(user.into(), METHOD))
}
