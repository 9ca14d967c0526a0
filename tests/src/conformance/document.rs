//! The tables as a document for readers. Decides nothing.

use std::fmt::Write as _;

use super::table::{Statement, Status};

/// The statements of one specification.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) title: &'static str,
    pub(super) statements: Vec<Statement>,
}

const HEAD: &str = "\
# Conformance

Every numbered statement of the specifications, what Tidewire does about it in our own words, and
the tests that show it. Written by `cargo xtask conformance` from `tests/conformance/*.toml`; a test
fails when a number is missing, a test does not exist or this page is not what would be written.

- *tested*: the tests named show it; find one with `grep -rn 'fn NAME' broker tests`, and a case
  with `grep -rn 'NAME' tests/malformed`. *by construction*: it cannot be otherwise. *not ours*:
  it binds others. *unmet*: it is not so, yet.
- `RULES` stands for `every_fault_of_every_field_is_answered_by_the_rules`: thousands of malformed
  packets over a real socket, made from a description of every packet (`tests/src/malformed`).
";

const RULES: &str = "every_fault_of_every_field_is_answered_by_the_rules";

pub(super) fn write(parts: &[Part]) -> String {
    let mut text = HEAD.to_owned();
    summary(&mut text, parts);
    for part in parts {
        let title = part.title;
        put(&mut text, &format!("\n## {title}\n\n| number | binds | what we do | status |"));
        put(&mut text, " shown by |\n|---|---|---|---|---|\n");
        for statement in &part.statements {
            put(&mut text, &row(statement));
        }
    }
    text
}

fn summary(text: &mut String, parts: &[Part]) {
    put(text, "\n| | numbers | tested | by construction | not ours | unmet |\n|---|---|");
    put(text, "---|---|---|---|\n");
    for part in parts {
        let count = |status| part.statements.iter().filter(|one| one.status == status).count();
        let (tested, built) = (count(Status::Tested), count(Status::ByConstruction));
        let (others, unmet) = (count(Status::NotOurs), count(Status::Unmet));
        let all = part.statements.len();
        let title = part.title;
        put(text, &format!("| {title} | {all} | {tested} | {built} | {others} | {unmet} |\n"));
    }
}

fn row(statement: &Statement) -> String {
    let short = statement.id.trim_start_matches("MQTT-");
    let (binds, status) = (statement.binds.name(), statement.status.name());
    let mut shown: Vec<String> = statement.tests.iter().map(|test| code(test)).collect();
    shown.extend(statement.why.clone());
    let (what, shown) = (escaped(&statement.text), shown.join(", "));
    format!("| {short} | {binds} | {what} | {status} | {shown} |\n")
}

fn code(test: &str) -> String {
    match test.strip_prefix("case: ") {
        Some(case) => format!("case `{}`", escaped(case)),
        None if test == RULES => "`RULES`".to_owned(),
        None => format!("`{test}`"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}

fn put(text: &mut String, more: &str) {
    text.write_str(more).expect("a text takes any text");
}
