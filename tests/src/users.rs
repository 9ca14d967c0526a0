//! A file of users whose passwords are their names, as the program itself writes it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::places::built_program;

/// Writes it.
///
/// # Panics
/// When the program fails.
pub fn write(file: &Path, users: &[&str]) {
    let mut command = Command::new(built_program("tidewire"));
    command.args(["passwd", "add", "--batch"]).arg(file);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("built");
    let mut input = child.stdin.take().expect("piped");
    for user in users {
        writeln!(input, "{user}:{user}").expect("it reads");
    }
    drop(input);
    assert!(child.wait().expect("our child").success());
}
