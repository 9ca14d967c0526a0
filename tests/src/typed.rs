//! Commands as a user types them: `tidewire …`, what it says, and how it ends.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use crate::places;

/// What a command said, and its exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// On standard output.
    pub out: String,
    /// On standard error.
    pub err: String,
}

/// The command with these words, ready to start; no settings of ours are in its environment.
#[must_use]
pub fn tidewire(words: &[&str]) -> Command {
    let mut command = Command::new(places::built_program("tidewire"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEWIRE_") {
            command.env_remove(name);
        }
    }
    command.args(words).stdin(Stdio::null());
    command
}

/// Types it, and waits for its end.
///
/// # Panics
/// When it cannot start.
#[must_use]
pub fn typed(words: &[&str]) -> Said {
    typed_with(words, b"")
}

/// The same with this on its standard input.
///
/// # Panics
/// When it cannot start.
#[must_use]
pub fn typed_with(words: &[&str], input: &[u8]) -> Said {
    let mut command = tidewire(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    // One that reads nothing may be gone before all is written.
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("our child");
    let _ = writer.join().expect("it only writes");
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

impl Said {
    /// What it said on standard output, when all went well.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// What it complained of, when it ended with this exit code.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    #[track_caller]
    pub fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        self.err
    }
}
