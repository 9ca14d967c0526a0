//! Do all dependencies have licences that we allow, come from where they may, and is none banned?

use std::fs;

use tidewire_tests::dependencies::{Deny, packages};
use tidewire_tests::places::source_root;

#[test]
fn dependencies_are_what_deny_toml_lets_in() {
    let root = source_root();
    let text = fs::read_to_string(root.join("deny.toml")).expect("it is in the source tree");
    let deny = Deny::read(&text).unwrap_or_else(|problem| panic!("{problem}"));
    let packages = packages(&root).unwrap_or_else(|problem| panic!("{problem}"));
    assert!(packages.len() > 50, "a list that is empty proves nothing");
    let complaints: Vec<String> = packages.iter().filter_map(|it| deny.complaint(it)).collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
