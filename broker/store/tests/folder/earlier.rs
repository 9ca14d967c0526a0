//! Folders that earlier builds wrote open in this one, with all that was in them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use tidewire_store::{Commit, Store, Table};

use crate::sample::{copy, expect_all, files, killed_with_all, named, open, temporary};
use crate::typed;

/// One folder for each form, as a kill left it; their README says how one is made.
const FIXTURES: &[&str] = &["format-1", "format-1-sealed"];
/// Those that have sealed segments written anew and a row of every table.
const WHOLE: &[&str] = &["format-1-sealed"];
/// Mostly zeros, so kept packed.
const TABLES: &str = "tables.redb";
const PACKED: &str = "tables.redb.lz4";

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn unpack(fixture: &Path, folder: &Path) {
    copy(fixture, folder);
    let packed = File::open(folder.join(PACKED)).expect("the fixture has its tables");
    let mut tables = File::create(folder.join(TABLES)).expect("made");
    io::copy(&mut FrameDecoder::new(packed), &mut tables).expect("unpacked");
    fs::remove_file(folder.join(PACKED)).expect("removed");
}

fn pack(folder: &Path, fixture: &Path) {
    copy(folder, fixture);
    let packed = File::create(fixture.join(PACKED)).expect("made");
    let mut encoder = FrameEncoder::new(packed);
    let mut tables = File::open(fixture.join(TABLES)).expect("it is there");
    io::copy(&mut tables, &mut encoder).expect("packed");
    encoder.finish().expect("packed");
    fs::remove_file(fixture.join(TABLES)).expect("removed");
}

#[test]
fn a_folder_of_every_earlier_build_opens_and_goes_on() {
    for name in FIXTURES {
        let folder = temporary();
        unpack(&fixture(name), folder.path());
        let parts = [".seg", ".idx", ".wal"].map(|ending| named(folder.path(), ending).len());
        assert!(parts.iter().all(|count| *count > 1), "{name} has a part of each kind: {parts:?}");
        let store = open(folder.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        expect_all(&store);
        expect_whole(name, folder.path(), &store);
        store.commit(Commit::default()).expect("it goes on");
        store.shutdown().expect("it stops");
        drop(store);
        let store = open(folder.path()).expect("it opens again");
        expect_all(&store);
        expect_whole(name, folder.path(), &store);
    }
}

#[track_caller]
fn expect_whole(name: &str, folder: &Path, store: &Store) {
    if WHOLE.contains(&name) {
        let parts = [".1.seg", ".1.top", ".siv"].map(|ending| named(folder, ending).len());
        assert!(parts.iter().all(|count| *count > 0), "{name} has a part of each kind: {parts:?}");
        assert_eq!(store.quarantined().0, 0, "{name}");
        typed::expect_up_to(store, Table::Transactions);
    }
}

/// Where the variable says, a fixture of this build is left.
#[test]
fn a_fixture_of_this_build_is_small_and_opens() {
    let (made, folder) = (temporary(), temporary());
    pack(killed_with_all().path(), made.path());
    let bytes: usize = files(made.path()).values().map(Vec::len).sum();
    assert!(bytes < 200 << 10, "{bytes} bytes");
    unpack(made.path(), folder.path());
    let store = open(folder.path()).expect("it opens");
    expect_all(&store);
    typed::expect_all(&store);
    if let Some(target) = std::env::var_os("TIDEWIRE_FIXTURE") {
        copy(made.path(), target.as_ref());
    }
}
