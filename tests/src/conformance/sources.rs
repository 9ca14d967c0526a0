//! Which tests there are in the sources, and which cases in the tables of malformed packets.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use crate::malformed::{Case, read_table};

/// What a case's name begins with, where a test is meant.
const CASE: &str = "case: ";

/// Tests whose only purpose is to show a statement: each must be named by one.
const STATEMENTS: &str = "tests/tests/statements";

/// Names that a statement may give.
#[derive(Debug, Default)]
pub(super) struct Shown {
    tests: HashSet<String>,
    cases: HashSet<String>,
    of_statements: Vec<String>,
}

impl Shown {
    pub(super) fn find(root: &Path) -> Self {
        let mut shown = Self::default();
        for package in ["broker", "bridge", "tests", "examples"] {
            walk(&root.join(package), &mut |path, text| match path.extension() {
                Some(extension) if extension == "rs" => {
                    let names = tests_in(text).map(str::to_owned);
                    if path.starts_with(root.join(STATEMENTS)) {
                        shown.of_statements.extend(names.clone());
                    }
                    shown.tests.extend(names);
                }
                Some(extension) if extension == "txt" => {
                    let cases = read_table(text).unwrap_or_default();
                    shown.cases.extend(cases.iter().map(Case::name).map(str::to_owned));
                }
                _ => (),
            });
        }
        shown
    }

    #[cfg(test)]
    pub(super) fn of<const T: usize, const C: usize>(tests: [&str; T], cases: [&str; C]) -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self { tests: owned(&tests), cases: owned(&cases), of_statements: Vec::new() }
    }

    pub(super) fn holds(&self, name: &str) -> bool {
        match name.strip_prefix(CASE) {
            Some(case) => self.cases.contains(case),
            None => self.tests.contains(name),
        }
    }

    /// Tests of statements that no statement names.
    pub(super) fn unnamed<'a>(&self, named: impl Iterator<Item = &'a String>) -> Vec<String> {
        let named: HashSet<&str> = named.map(String::as_str).collect();
        let alone = self.of_statements.iter().filter(|name| !named.contains(name.as_str()));
        alone.map(|name| format!("{name}: shows no statement")).collect()
    }
}

fn walk(folder: &Path, visit: &mut dyn FnMut(&Path, &str)) {
    let entries = fs::read_dir(folder).expect("a folder of the source tree");
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            walk(&path, visit);
        } else if let Ok(text) = fs::read_to_string(&path) {
            visit(&path, &text);
        }
    }
}

/// The function behind each `#[test]`, or `#[tokio::test]`.
fn tests_in(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.match_indices("test]").filter_map(|(at, mark)| {
        let behind = text.get(at + mark.len()..)?;
        let (between, name) = behind.split_once("fn ")?;
        // Other attributes may stand between them, but no code.
        let is_bare = |line: &str| line.trim().is_empty() || line.trim().starts_with(['#', '/']);
        let (above, words) = between.rsplit_once('\n')?;
        let is_right = above.lines().all(is_bare) && matches!(words.trim(), "" | "async" | "pub");
        is_right.then(|| name.split_once('(').map(|(name, _)| name))?
    })
}

#[cfg(test)]
mod tests {
    use super::tests_in;

    #[test]
    fn a_test_is_a_function_behind_its_mark() {
        let text = "#[test]\nfn one() {}\n\n    #[test]\n    #[should_panic]\n    fn two() {}\n\
                    #[tokio::test]\nasync fn three() {}\nfn four() {}\n#[cfg(test)]\nmod t {}\n";
        assert_eq!(tests_in(text).collect::<Vec<_>>(), ["one", "two", "three"]);
    }
}
