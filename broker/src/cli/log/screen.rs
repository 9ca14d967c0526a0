//! Where words go: standard output with colours on a terminal, complaints beside it. Decides no
//! words.

use std::io::{self, IsTerminal, Write};

use tidewire_store::OpenError;
use tidewire_store::inspect::LookError;

use crate::telemetry::wants_colours;

/// Nothing wrong.
pub(super) const FINE: u8 = 0;
/// Something is damaged, or could not be read.
pub(super) const DAMAGED: u8 = 1;
/// Nothing was looked at or done.
pub(super) const REFUSED: u8 = 2;

/// How a word is coloured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Paint {
    Good,
    Bad,
    Dim,
    Bold,
}

/// Colours a word if standard output is a terminal that likes it.
pub(super) fn paint(word: &str, paint: Paint) -> String {
    if !wants_colours(io::stdout().is_terminal()) {
        return word.into();
    }
    let code = match paint {
        Paint::Good => 32,
        Paint::Bad => 31,
        Paint::Dim => 2,
        Paint::Bold => 1,
    };
    format!("\u{1b}[{code}m{word}\u{1b}[0m")
}

/// Text to standard output. A reader that went away is no reason to fail.
pub(super) fn print(text: &str) {
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
}

/// A complaint; the answer is the exit code for "nothing was done".
pub(super) fn refuse(problem: &str) -> u8 {
    let _ = writeln!(io::stderr(), "tidewire: {problem}");
    REFUSED
}

/// The same for a folder that could not be looked at.
pub(super) fn fail(error: &LookError) -> u8 {
    refuse(&error.to_string());
    match error {
        LookError::Open(OpenError::NewerVersion { .. } | OpenError::Locked) => REFUSED,
        LookError::Open(_) | LookError::Busy => DAMAGED,
    }
}
