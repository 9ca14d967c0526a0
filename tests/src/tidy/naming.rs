//! What files and modules are called and how they begin. Never looks at their insides.

use super::complaint::Complaint;
use super::source::{Source, line_of};

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &[
    "manager", "managers", "helper", "helpers", "util", "utils", "common", "types", "process",
    "misc",
];

pub(super) fn check(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut say = |line, text: String| {
        complaints.push(Complaint::new(source.path(), line, text));
    };
    if !source.text().trim_start().starts_with("//!") {
        say(1, "begin with a `//!` line: what it owns and what it never does".to_owned());
    }
    if source.path().ends_with("/mod.rs") {
        say(0, "write `foo.rs` beside `foo/`, not `foo/mod.rs`".to_owned());
    }
    for part in source.path().trim_end_matches(".rs").split('/') {
        if says_nothing(part) {
            say(0, format!("`{part}` says nothing of what is inside"));
        }
    }
    for (at, name) in inline_modules(source.code()) {
        if says_nothing(name) {
            let line = line_of(source.code(), at);
            say(line, format!("`{name}` says nothing of what is inside"));
        }
    }
    complaints
}

fn says_nothing(name: &str) -> bool {
    name.split(['_', '-']).any(|word| EMPTY_NAMES.contains(&word))
}

/// `mod name {`: those with a file of their own are named by it.
fn inline_modules(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.match_indices("mod ").filter_map(|(at, word)| {
        let rest = code.get(at + word.len()..)?;
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
        let (name, behind) = rest.split_at(end);
        behind.trim_start().starts_with('{').then_some((at, name))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::source::Source;

    #[track_caller]
    fn expect(path: &str, text: &str, count: usize) {
        let found = check(&Source::new(path, text));
        assert_eq!(found.len(), count, "{path}: {found:?}");
    }

    #[test]
    fn a_file_without_its_header_is_found() {
        expect("broker/src/a.rs", "//! Owns a.\n", 0);
        expect("broker/src/a.rs", "use a::b;\n//! Too late.\n", 1);
        expect("broker/src/a.rs", "// Not a header.\n", 1);
        expect("broker/src/a.rs", "", 1);
    }

    #[test]
    fn empty_names_are_found() {
        for name in ["util", "session_manager", "types", "common", "process", "test_helpers"] {
            expect(&format!("broker/src/{name}.rs"), "//! A.\n", 1);
            expect(&format!("broker/src/{name}/a.rs"), "//! A.\n", 1);
            expect("broker/src/a.rs", &format!("//! A.\nmod {name} {{ }}\n"), 1);
        }
        expect("broker/src/processing.rs", "//! A.\nmod tests { }\n", 0);
    }

    #[test]
    fn a_head_file_inside_its_folder_is_found() {
        expect("broker/src/a/mod.rs", "//! A.\n", 1);
        expect("broker/src/a/modern.rs", "//! A.\n", 0);
    }
}
