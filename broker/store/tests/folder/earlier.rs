//! Folders that earlier builds wrote open in this one, with all that was in them.

use std::path::PathBuf;

use tidewire_store::Commit;

use crate::sample::{copy, expect_all, open, temporary};

/// One folder for each format, as a kill left it; see its README for how it was made.
const FIXTURES: &[&str] = &["format-1"];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

#[test]
fn a_folder_of_every_earlier_build_opens_and_goes_on() {
    for name in FIXTURES {
        let folder = temporary();
        copy(&fixture(name), folder.path());
        let store = open(folder.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        expect_all(&store);
        store.commit(Commit::default()).expect("it goes on");
        store.shutdown().expect("it stops");
        drop(store);
        expect_all(&open(folder.path()).expect("it opens again"));
    }
}
