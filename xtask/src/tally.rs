//! Counts what the test binaries say while their output passes by. Runs nothing.

/// How many tests passed and failed so far, and which failed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    failures: Vec<String>,
    /// A binary has said how many tests it runs and not yet how they went.
    open: bool,
}

impl Tally {
    /// One line of what `cargo test` prints.
    pub(crate) fn hear(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.open = false;
            self.passed += count(counts, " passed;");
            self.failed += count(counts, " failed;");
        } else if line.starts_with("running ") && line.trim_end_matches('s').ends_with(" test") {
            self.close();
            self.open = true;
        } else if let Some(name) = failed_test(line) {
            self.failures.push(name.to_owned());
        }
    }

    /// A binary that died in the middle says no result: that is a failure, not a silence.
    pub(crate) fn close(&mut self) {
        if self.open {
            self.open = false;
            self.failed += 1;
            self.failures.push("a test binary ended before it said its result".to_owned());
        }
    }

    /// No test failed.
    pub(crate) fn is_green(&self) -> bool {
        self.failed == 0
    }

    /// The names of the failed tests.
    pub(crate) fn failures(&self) -> &[String] {
        &self.failures
    }

    /// The closing line of a run.
    pub(crate) fn closing_line(&self) -> String {
        format!("{} passed, {} failed", self.passed, self.failed)
    }
}

fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

/// The number before `unit` in `ok. 5 passed; 0 failed; …`.
fn count(counts: &str, unit: &str) -> u64 {
    let before = counts.split(unit).next().unwrap_or_default();
    let number = before.rsplit(' ').next().unwrap_or_default();
    number.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::Tally;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.hear(line));
        tally.close();
        tally
    }

    #[test]
    fn the_closing_line_sums_over_all_binaries() {
        let tally = tally(
            "running 2 tests\ntest a ... ok\ntest b::c ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
             running 1 test\ntest d ... ok\n\
             test result: ok. 41 passed; 0 failed; 3 ignored; 0 measured; 7 filtered out\n",
        );
        assert_eq!(tally.closing_line(), "42 passed, 1 failed");
        assert_eq!(tally.failures(), ["b::c"]);
        assert!(!tally.is_green());
    }

    #[test]
    fn a_binary_that_dies_counts_as_a_failure() {
        let died = "running 3 tests\ntest a ... ok\n";
        let next = "running 1 test\ntest result: ok. 1 passed; 0 failed; 0 ignored\n";
        assert_eq!(tally(died).closing_line(), "0 passed, 1 failed");
        assert_eq!(tally(&format!("{died}{next}")).closing_line(), "1 passed, 1 failed");
    }

    #[test]
    fn no_output_is_no_test() {
        assert_eq!(tally("").closing_line(), "0 passed, 0 failed");
        assert!(tally("").is_green());
    }
}
