//! What the person at the terminal reads, and how a program is run. Decides nothing.

use std::process::Command;

/// One line that says what begins now.
pub(crate) fn announce(step: &str) {
    println!("\n==> {step}");
}

/// One line of what a step does or found.
pub(crate) fn note(text: &str) {
    println!("    {text}");
}

/// Runs to the end with our own output; an error says which command and how it ended.
pub(crate) fn run(command: &mut Command) -> Result<(), String> {
    let shown = shown(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{shown}` ended with {status}")),
        Err(error) => Err(format!("`{shown}` could not start: {error}")),
    }
}

/// The command as one would type it.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::run;
    use std::process::Command;

    #[test]
    fn a_failing_command_is_named_in_the_error() {
        let failed = run(Command::new("sh").args(["-c", "exit 3"]));
        let problem = failed.expect_err("exit 3 is a failure");
        assert!(problem.contains("sh -c exit 3"), "{problem}");
    }

    #[test]
    fn a_missing_program_is_an_error_and_not_a_panic() {
        assert!(run(&mut Command::new("no-such-program-here")).is_err());
    }
}
