//! Do the pages tell what is so: do their commands work, their links lead somewhere?

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use tidewire_tests::documents::{broken_links, linked_pages, pages, unknown_code, untyped};
use tidewire_tests::lesson::{Door, Lesson, USUAL, is_followed};
use tidewire_tests::places::source_root;

/// Pages whose commands are typed by a test.
const FOLLOWED: [&str; 17] = [
    "README.md",
    "certs/README.md",
    "docs/authentication.md",
    "docs/command-line.md",
    "docs/concepts.md",
    "docs/configuration.md",
    "docs/durability.md",
    "docs/http.md",
    "docs/kafka.md",
    "docs/migration-mosquitto.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/quick-start.md",
    "docs/subscriptions.md",
    "docs/system-topics.md",
    "examples/bridge/README.md",
    "examples/mtls/README.md",
];

/// Commands of pages that no test types: the page, how they begin, and why.
const UNTYPED: [(&str, &str, &str); 12] = [
    ("CONTRIBUTING.md", "cargo ", "orders of the workspace; this test is under one of them"),
    ("README.md", "cargo ", "the build, without which this test is not"),
    ("README.md", "export PATH=", "the same"),
    ("broker/store/tests/fixtures/README.md", "cargo test", "makes files of the source tree"),
    ("docs/command-line.md", "tidewire groups ", "takes a group; tests/tests/orders.rs"),
    ("docs/command-line.md", "tidewire bridge ", "takes a bridge; tests/tests/orders.rs"),
    ("docs/kafka.md", "kcat -b broker.example", "elsewhere; kafka_tls.rs, kafka_sasl.rs here"),
    ("docs/listeners.md", "mosquitto_pub --unix", "below /run; tests/tests/unix_socket.rs"),
    ("docs/performance.md", "cargo xtask kafka-speed", "takes an idle machine, and Maven"),
    ("docs/quick-start.md", "git clone", "the network"),
    ("docs/quick-start.md", "cargo build", "the build, without which this test is not"),
    ("docs/quick-start.md", "export PATH=", "the same"),
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
fn every_command_that_no_test_types_has_its_reason() {
    let root = source_root();
    let mut needed = BTreeSet::new();
    for page in pages(&root) {
        let text = fs::read_to_string(root.join(&page)).expect("a page");
        let page = page.display().to_string();
        for command in untyped(&text) {
            let begins = |at: &&str| command.starts_with(*at);
            let known = UNTYPED.iter().filter(|(of, _, _)| *of == page);
            let known: Vec<&str> = known.map(|(_, at, _)| *at).filter(begins).collect();
            assert!(!known.is_empty(), "{page}: have a test type {command:?}, or say why not");
            needed.extend(known.into_iter().map(|at| (page.clone(), at)));
        }
    }
    let gone = UNTYPED.iter().find(|(page, at, _)| !needed.contains(&((*page).to_owned(), *at)));
    assert_eq!(gone, None, "nothing on that page begins so");
}

#[test]
fn the_code_on_pages_is_part_of_an_example_that_is_run() {
    let root = source_root();
    let programs = fs::read_dir(root.join("examples/src/bin")).expect("the examples");
    let read = |entry: fs::DirEntry| fs::read_to_string(entry.path()).expect("a program");
    let programs: Vec<String> = programs.map_while(Result::ok).map(read).collect();
    let mut has_code = 0;
    for page in pages(&root) {
        let text = fs::read_to_string(root.join(&page)).expect("a page");
        has_code += usize::from(text.contains("```rust"));
        let unknown = unknown_code(&text, &programs);
        assert!(unknown.is_empty(), "{}: no example has\n{}", page.display(), unknown[0]);
    }
    assert!(has_code > 0, "docs/embedding.md has some");
}

#[test]
fn the_readme_does_what_it_says_and_its_group_reads_all_of_it() {
    let mut lesson = Lesson::new();
    lesson.follow("README.md", &[USUAL]);
    // What the group reads is what was published before, by whomever.
    let member = lesson.staying().last().expect("the page ends with it");
    let mut read = [(); 3].map(|()| member.line_that(|line| line.starts_with("plant/")));
    read.sort();
    let expected = ["target: 20", "temperature: 21.5", "temperature: 21.6"];
    assert_eq!(read, expected.map(|end| format!("plant/line-1/{end}")));
}

#[test]
fn the_page_of_passwords_makes_and_checks_a_file_of_them() {
    Lesson::new().follow("docs/authentication.md", &[]);
}

#[test]
fn a_configuration_is_checked_and_shown_as_its_page_says() {
    Lesson::new().follow("docs/configuration.md", &[]);
}

#[test]
fn a_folder_is_verified_copied_and_repaired_as_the_page_says() {
    Lesson::with_broker().follow("docs/durability.md", &[]);
}

#[test]
fn the_http_port_is_asked_without_a_token_and_with_one() {
    Lesson::with_broker().follow("docs/http.md", &[USUAL]);
}

#[test]
fn the_page_of_the_kafka_port_works_in_both_directions() {
    let mut lesson = Lesson::with_broker();
    lesson.follow("docs/kafka.md", &[]);
    let [subscriber, member] = lesson.staying() else { panic!("a subscriber and a member") };
    for line in ["plant/line-1/target 20", "plant/line-1/state on"] {
        subscriber.await_output(line);
    }
    member.await_output("Group reports rebalanced");
}

#[test]
fn a_configuration_of_mosquitto_becomes_one_of_ours_by_two_commands() {
    Lesson::new().follow("docs/migration-mosquitto.md", &[]);
}

#[test]
fn a_first_broker_is_made_as_the_page_of_operations_says() {
    Lesson::new().follow("docs/operations.md", &[]);
}

#[test]
fn the_load_of_the_page_of_performance_can_be_put_on_a_broker() {
    Lesson::with_broker().follow("docs/performance.md", &[]);
}

#[test]
fn the_past_is_read_as_the_page_of_subscriptions_says() {
    Lesson::with_broker().follow("docs/subscriptions.md", &[]);
}

#[test]
fn the_topics_of_the_broker_itself_are_shown_as_their_page_says() {
    let mut lesson = Lesson::with_broker();
    lesson.follow("docs/system-topics.md", &[]);
    lesson.staying()[0].await_output("$SYS/broker/clients/connected ");
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
