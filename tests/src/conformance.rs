//! What each numbered statement of MQTT says, what we do about it, and which test shows it: reads
//! the tables in `tests/conformance`, checks them against the sources, writes the document.
//! Runs no test.

mod document;
mod ids;
mod sources;
mod table;

use std::fs;
use std::path::Path;

use document::Part;
use sources::Shown;
use table::{Statement, Status};

/// Where the document lies, from the root.
pub const DOCUMENT: &str = "docs/conformance.md";

/// The tables as they are, with everything that is wrong with them.
#[derive(Debug)]
pub struct Conformance {
    parts: Vec<Part>,
    complaints: Vec<String>,
}

/// How many statements have which status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub ids: usize,
    /// A test shows it.
    pub tested: usize,
    /// It cannot be otherwise.
    pub by_construction: usize,
    /// It binds others.
    pub not_ours: usize,
    /// It is not so.
    pub unmet: usize,
}

impl Conformance {
    /// Reads and checks the tables below this root.
    ///
    /// # Panics
    /// When a table is missing or cannot be read as one.
    #[must_use]
    pub fn read(root: &Path) -> Self {
        let shown = Shown::find(root);
        let mut complaints = Vec::new();
        let mut parts = Vec::new();
        for (title, file, expected) in [
            ("MQTT 5.0", "mqtt5", Some(ids::MQTT_5)),
            ("MQTT 3.1.1", "mqtt311", Some(ids::MQTT_3_1_1)),
            ("Rules without a number", "others", None),
        ] {
            let path = root.join("tests/conformance").join(file).with_extension("toml");
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let statements = table::read(&text)
                .unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
            let ids: Vec<&str> = statements.iter().map(|one| one.id.as_str()).collect();
            complaints.extend(ids::check(&ids, expected));
            complaints.extend(statements.iter().flat_map(|one| check(one, &shown)));
            parts.push(Part { title, statements });
        }
        let all = || parts.iter().flat_map(|part: &Part| &part.statements);
        complaints.extend(shown.unnamed(all().flat_map(|one| &one.tests)));
        Self { parts, complaints }
    }

    /// What is wrong; empty when all is well.
    #[must_use]
    pub fn complaints(&self) -> &[String] {
        &self.complaints
    }

    /// The counts over all tables.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for statement in self.parts.iter().flat_map(|part| &part.statements) {
            tally.ids += 1;
            *match statement.status {
                Status::Tested => &mut tally.tested,
                Status::ByConstruction => &mut tally.by_construction,
                Status::NotOurs => &mut tally.not_ours,
                Status::Unmet => &mut tally.unmet,
            } += 1;
        }
        tally
    }

    /// The text of the document.
    #[must_use]
    pub fn document(&self) -> String {
        document::write(&self.parts)
    }
}

/// Does it say what its status asks for, and are its tests there?
fn check(statement: &Statement, shown: &Shown) -> Vec<String> {
    let id = &statement.id;
    let mut complaints = Vec::new();
    let is_tested = statement.status == Status::Tested;
    if is_tested && statement.tests.is_empty() {
        complaints.push(format!("{id}: tested, and no test is named"));
    }
    if !is_tested && statement.why.is_none() {
        complaints.push(format!("{id}: not tested, and nobody says why"));
    }
    for test in &statement.tests {
        if !shown.holds(test) {
            complaints.push(format!("{id}: there is no test {test:?}"));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::sources::Shown;
    use super::{check, table};

    #[track_caller]
    fn expect(rest: &str, complaints: usize) {
        let text = format!("[[statement]]\nid = \"X-1\"\nbinds = \"server\"\ntext = \"t\"\n{rest}");
        let statements = table::read(&text).expect("well written");
        let shown = Shown::of(["a_test"], ["a case"]);
        assert_eq!(check(&statements[0], &shown).len(), complaints, "{rest}");
    }

    #[test]
    fn a_status_needs_its_tests_or_its_reason() {
        expect("status = \"tested\"\ntests = [\"a_test\", \"case: a case\"]", 0);
        expect("status = \"tested\"", 1);
        expect("status = \"tested\"\ntests = [\"no_test\", \"case: no case\"]", 2);
        expect("status = \"unmet\"\nwhy = \"not yet\"", 0);
        expect("status = \"unmet\"", 1);
        expect("status = \"by construction\"\ntests = [\"a_test\"]", 1);
    }
}
