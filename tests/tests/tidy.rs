//! Is the house in order? The rules and the proofs that they are not blind are in `src/tidy`.

use tidewire_tests::places::source_root;
use tidewire_tests::tidy::{Complaint, check_circles, check_manifests, check_sources};

fn expect_none(complaints: &[Complaint]) {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} breaches of the house rules:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn sources_are_tidy() {
    expect_none(&check_sources(&source_root()));
}

#[test]
fn modules_have_no_import_circles() {
    expect_none(&check_circles(&source_root()));
}

#[test]
fn manifests_are_tidy_and_documents_are_there() {
    expect_none(&check_manifests(&source_root()));
}
