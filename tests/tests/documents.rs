//! Do the pages tell what is so: do their commands work, their links lead somewhere?

use std::collections::BTreeSet;
use std::path::PathBuf;

use tidewire_tests::documents::{broken_links, linked_pages, pages};
use tidewire_tests::lesson::{Door, Lesson, USUAL, is_followed};
use tidewire_tests::places::source_root;

/// Pages whose commands are typed by a test.
const FOLLOWED: [&str; 7] = [
    // By tests/tests/quick_start.rs.
    "README.md",
    "certs/README.md",
    "docs/command-line.md",
    "docs/concepts.md",
    "docs/quick-start.md",
    "examples/bridge/README.md",
    "examples/mtls/README.md",
];

/// Where a broker listens that speaks TLS, too.
const SECRET: [Door; 4] = [("MQTTS", "127.0.0.1:8883"), USUAL[0], USUAL[1], USUAL[2]];

#[test]
fn every_link_leads_somewhere() {
    let root = source_root();
    let pages = pages(&root);
    assert!(pages.len() > 40, "a walk that finds nothing proves nothing: {pages:?}");
    let broken: Vec<String> = pages.iter().flat_map(|page| broken_links(&root, page)).collect();
    assert!(broken.is_empty(), "{} links lead nowhere:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_page_of_the_documentation_is_found_from_the_readme() {
    let root = source_root();
    let (mut found, mut next) = (BTreeSet::new(), vec![PathBuf::from("README.md")]);
    while let Some(page) = next.pop() {
        if found.insert(page.clone()) {
            next.extend(linked_pages(&root, &page));
        }
    }
    let is_documentation = |page: &PathBuf| page.starts_with("docs");
    let all: BTreeSet<PathBuf> = pages(&root).into_iter().filter(is_documentation).collect();
    let lost: Vec<&PathBuf> = all.difference(&found).collect();
    assert!(lost.is_empty(), "no way leads from README.md to {lost:?}");
}

#[test]
fn every_page_with_commands_to_type_is_followed_by_a_test() {
    let root = source_root();
    let typed = pages(&root).into_iter().filter(|page| is_followed(page));
    let typed: BTreeSet<String> = typed.map(|page| page.display().to_string()).collect();
    let followed = FOLLOWED.map(str::to_owned).into_iter().collect();
    assert_eq!(typed, followed);
}

#[test]
fn the_quick_start_does_what_it_says() {
    Lesson::new().follow("docs/quick-start.md", &[USUAL, USUAL]);
}

#[test]
fn the_concepts_are_shown_by_commands_that_work() {
    Lesson::new().follow("docs/concepts.md", &[USUAL]);
}

#[test]
fn the_commands_are_for_what_the_page_says() {
    Lesson::with_broker().follow("docs/command-line.md", &[]);
}

#[test]
fn certificates_for_trying_out_are_good_for_that() {
    Lesson::new().follow("certs/README.md", &[&SECRET]);
}

#[test]
fn the_example_of_two_bridged_brokers_does_what_it_says() {
    let centre: &[Door] = &[("MQTT", "127.0.0.1:1884"), ("KAFKA", "127.0.0.1:9093")];
    Lesson::beside("examples/bridge").follow("examples/bridge/README.md", &[centre, USUAL]);
}

#[test]
fn the_example_of_a_device_with_a_certificate_does_what_it_says() {
    Lesson::beside("examples/mtls").follow("examples/mtls/README.md", &[&SECRET]);
}
