//! Is every numbered statement of MQTT accounted for, and is the page about it what the tables
//! say?

use std::env;
use std::fs;

use tidewire_tests::conformance::{Conformance, DOCUMENT};
use tidewire_tests::places::source_root;

#[test]
fn every_statement_is_accounted_for() {
    let conformance = Conformance::read(&source_root());
    let complaints = conformance.complaints();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    let tally = conformance.tally();
    println!(
        "conformance: {} ids, {} tested, {} by construction, {} not ours, {} unmet",
        tally.ids, tally.tested, tally.by_construction, tally.not_ours, tally.unmet
    );
    assert_eq!(tally.unmet, 0, "statements are unmet");
}

/// `cargo xtask conformance` sets the variable that has it written.
#[test]
fn the_page_says_what_the_tables_say() {
    let path = source_root().join(DOCUMENT);
    let document = Conformance::read(&source_root()).document();
    if env::var_os("TIDEWIRE_WRITE").is_some() {
        fs::write(&path, &document).expect("the source tree can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == document, "{DOCUMENT} is old: cargo xtask conformance");
}
