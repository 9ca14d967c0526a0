//! Does docs/threats.md name tests that exist, and is every attack that we try on it?

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use tidewire_tests::places::source_root;

/// `siege::packets::name` is a test of tests/tests/siege/packets.rs, `tls::name` of
/// tests/tests/tls.rs, `embedded::rates::name` of broker/tests/embedded/rates.rs.
fn named(page: &str) -> BTreeSet<&str> {
    let words = page.split('`').skip(1).step_by(2);
    words.filter(|word| word.contains("::") && !word.ends_with('…')).collect()
}

fn file_of(modules: &str) -> PathBuf {
    let tests = if modules.starts_with("embedded") { "broker/tests" } else { "tests/tests" };
    source_root().join(tests).join(modules.replace("::", "/")).with_extension("rs")
}

/// The tests of a file.
fn tests_of(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut lines = text.lines();
    let mut tests = Vec::new();
    while lines.by_ref().any(|line| matches!(line, "#[test]" | "#[tokio::test]")) {
        let head = lines.find(|line| line.contains("fn ")).expect("a test is a function");
        let (_, name) = head.split_once("fn ").expect("just seen");
        tests.push(name.split('(').next().expect("there is a first part").to_owned());
    }
    tests
}

fn page() -> String {
    fs::read_to_string(source_root().join("docs/threats.md")).expect("the page is there")
}

#[test]
fn each_test_on_the_page_exists() {
    let page = page();
    let named = named(&page);
    assert!(named.len() > 50, "a page that reads as empty proves nothing");
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|path| {
            let (modules, name) = path.rsplit_once("::").expect("chosen for it");
            !tests_of(&file_of(modules)).iter().any(|test| test == name)
        })
        .collect();
    assert!(missing.is_empty(), "there is no test {missing:#?}");
}

#[test]
fn each_attack_is_on_the_page() {
    let page = page();
    let named = named(&page);
    for modules in [
        "siege::connections",
        "siege::floods",
        "siege::guesses",
        "siege::identity",
        "siege::kafka",
        "siege::packets",
        "siege::remotes",
        "hostile",
        "trust",
        "tls_storm",
    ] {
        for test in tests_of(&file_of(modules)) {
            let path = format!("{modules}::{test}");
            assert!(named.contains(path.as_str()), "{path} is not on the page");
        }
    }
}
