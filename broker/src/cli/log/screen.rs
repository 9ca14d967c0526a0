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

/// Behind a heading, in lines no wider than the terminal; elsewhere in one line, for programs.
pub(super) fn behind(heading: &str, words: &str) -> String {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    fold(heading, words, columns.unwrap_or(usize::MAX))
}

/// Lines are broken between words, and those behind the first begin below its words.
fn fold(heading: &str, words: &str, columns: usize) -> String {
    let mut text = heading.to_owned();
    let (indent, mut at) = (heading.chars().count(), heading.chars().count());
    for (number, word) in words.split(' ').enumerate() {
        let letters = word.chars().count();
        if number > 0 && at + 1 + letters > columns {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
            at = indent;
        } else if number > 0 {
            text.push(' ');
            at += 1;
        }
        text.push_str(word);
        at += letters;
    }
    text
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

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn lines_are_broken_between_words() {
        assert_eq!(fold("do  ", "one two three", usize::MAX), "do  one two three");
        assert_eq!(fold("do  ", "one two three", 11), "do  one two\n    three");
        assert_eq!(fold("do  ", "one two", 1), "do  one\n    two");
        assert_eq!(fold("do  ", "", 1), "do  ");
    }
}
