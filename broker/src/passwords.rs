//! User names and passwords: the file of them, and threads that hash so that no core has to. Never
//! says what becomes of a client.

mod book;
mod checked;
mod desk;
mod edit;
mod guesses;
mod hash;

pub(crate) use book::load;
pub use book::{BookError, PasswordFileError};
pub(crate) use desk::{DeskLimits, PasswordDesk, Question, Verdict};
pub(crate) use edit::{check_name, with_line, without_user};
pub(crate) use hash::PasswordHash;
