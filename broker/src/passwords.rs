//! User names and passwords: the file of them, and threads that hash so that no core has to. Never
//! says what becomes of a client.

mod book;
mod checked;
mod desk;
mod edit;
mod file;
mod guesses;
mod hash;
mod question;
mod queue;

pub(crate) use book::load;
pub use book::{BookError, PasswordFileError};
pub(crate) use desk::{Desk, DeskLimits};
pub(crate) use edit::{check_name, with_line, without_user};
pub(crate) use file::PasswordFile;
pub(crate) use guesses::{Guesses, Standing};
pub(crate) use hash::PasswordHash;
pub(crate) use question::{About, Answer, Check, Found, Question, Shown, Verdict};
