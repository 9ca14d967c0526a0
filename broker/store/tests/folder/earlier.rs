//! Folders that earlier builds wrote open in this one, with all that was in them.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use lz4_flex::frame::{FrameDecoder, FrameEncoder};
use tidewire_store::Commit;

use crate::sample::{copy, expect_all, files, killed, named, open, temporary};

/// One folder for each format, as a kill left it; their README says how one is made.
const FIXTURES: &[&str] = &["format-1"];
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
        store.commit(Commit::default()).expect("it goes on");
        store.shutdown().expect("it stops");
        drop(store);
        expect_all(&open(folder.path()).expect("it opens again"));
    }
}

/// Where the variable says, a fixture of this build is left.
#[test]
fn a_fixture_of_this_build_is_small_and_opens() {
    let (made, folder) = (temporary(), temporary());
    pack(killed().path(), made.path());
    let bytes: usize = files(made.path()).values().map(Vec::len).sum();
    assert!(bytes < 200 << 10, "{bytes} bytes");
    unpack(made.path(), folder.path());
    expect_all(&open(folder.path()).expect("it opens"));
    if let Some(target) = std::env::var_os("TIDEWIRE_FIXTURE") {
        copy(made.path(), target.as_ref());
    }
}
