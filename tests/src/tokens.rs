//! Tokens by a library that is not ours, and the keys that they are checked with, in files.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::places;

/// Who makes them.
#[derive(Debug)]
pub struct Tokens {
    folder: TempDir,
    child: Child,
    asks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Tokens {
    /// Makes keys: `secret`, and `rsa`, `p256`, `p384`, `stranger` as PEM and (`rsa.jwks`) as sets.
    ///
    /// # Panics
    /// When the library is not installed.
    #[must_use]
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut command = Command::new(places::python());
        command.arg(places::client_script("tokens.py")).arg(folder.path());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("Python is installed");
        let asks = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut tokens = Self { folder, child, asks, answers };
        assert_eq!(tokens.line(), "READY");
        tokens
    }

    /// A file with a key.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A token of `ann`, signed so with this key, that expires in so many seconds and says this
    /// besides, in JSON.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn sign(
        &mut self,
        (algorithm, key): (&str, &str),
        kid: &str,
        seconds: i64,
        claims: &str,
    ) -> String {
        writeln!(self.asks, "{algorithm} {key} {kid} {seconds} {claims}").expect("it reads");
        self.line()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        let count = self.answers.read_line(&mut line).expect("it speaks");
        assert!(count > 0, "it ended");
        line.trim_end().to_owned()
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        // It ends with its input at the latest.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
