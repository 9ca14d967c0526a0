//! Damage to each kind of file at each of its regions: named with file and place, never served,
//! and nothing is changed by a start that refuses.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tidewire_store::{OpenError, Store};

use crate::sample::{
    copy, expect_all, expected_rows, files, killed, named, open, rows, temporary, texts,
};

fn flip(folder: &Path, name: &str, position: u64, mask: u8) {
    let path = folder.join(name);
    let file = OpenOptions::new().read(true).write(true).open(path).expect("it is there");
    let mut byte = [0];
    file.read_exact_at(&mut byte, position).expect("inside the file");
    byte[0] ^= mask;
    file.write_all_at(&byte, position).expect("written");
}

/// Does something to a file of a folder.
type Damage = fn(&Path, &str);

fn cut(folder: &Path, name: &str, bytes: u64) {
    let file = OpenOptions::new().write(true).open(folder.join(name)).expect("it is there");
    file.set_len(bytes).expect("cut");
}

/// The start refuses and leaves every byte as it was.
#[track_caller]
fn refused(folder: &Path) -> OpenError {
    let before = files(folder);
    let opened = open(folder).map(|_| ());
    let error = opened.expect_err("it must not open");
    let after = files(folder);
    let changed: Vec<_> =
        after.iter().filter(|(name, now)| before.get(*name) != Some(now)).collect();
    let names: Vec<_> = changed.iter().map(|(name, _)| name).collect();
    assert!(names.is_empty() && before.len() == after.len(), "{error}: changed {names:?}");
    error
}

/// Damage a copy of the sample; the start refuses in words that hold all of these.
#[track_caller]
fn check_refused(sample: &Path, damage: impl FnOnce(&Path), words: &[&str]) {
    let folder = temporary();
    copy(sample, folder.path());
    damage(folder.path());
    let error = refused(folder.path()).to_string();
    for word in words {
        assert!(error.contains(word), "{error:?} does not say {word:?}");
    }
}

/// Damage a copy of the sample; it opens, and all of it is there.
#[track_caller]
fn check_harmless(sample: &Path, damage: impl FnOnce(&Path)) {
    let folder = temporary();
    copy(sample, folder.path());
    damage(folder.path());
    let store = open(folder.path()).unwrap_or_else(|error| panic!("{error}"));
    expect_all(&store);
}

/// The newest file of the write-ahead log that has frames: they are not checkpointed. First byte
/// and length of each.
fn live_log(folder: &Path) -> (String, Vec<(u64, u64)>) {
    let files = files(folder);
    let logs = files.iter().filter(|(name, _)| name.ends_with(".wal"));
    let mut logs = logs.map(|(name, bytes)| (name.clone(), frames(bytes)));
    logs.rfind(|(_, frames)| !frames.is_empty()).expect("some frames are not checkpointed")
}

/// The first segment of the first partition.
fn first_segment(folder: &Path) -> String {
    let segments = named(folder, ".seg");
    let own = segments.into_iter().find(|name| name.starts_with("streams/mqtt/0/"));
    own.expect("some batches are checkpointed")
}

/// As docs/format.md draws them; checksums are not looked at.
fn frames(bytes: &[u8]) -> Vec<(u64, u64)> {
    let number = |at| u64::from_le_bytes(*bytes[at..].first_chunk().expect("a header"));
    let sign = (number(8) ^ number(16)).to_le_bytes();
    let mut at = 4096;
    let mut found = Vec::new();
    while bytes.get(at..at + 4) == Some(b"TwF1".as_slice()) && bytes[at + 16..at + 24] == sign {
        let length: [u8; 4] = bytes[at + 8..at + 12].try_into().expect("four bytes");
        let length = u64::from(u32::from_le_bytes(length));
        found.push((at as u64, length));
        at += usize::try_from(length.next_multiple_of(8)).expect("small");
    }
    found
}

#[test]
fn a_flipped_bit_in_the_version_is_refused() {
    let sample = killed();
    let length = files(sample.path())["VERSION"].len() as u64;
    for position in 0..length - 1 {
        for mask in [1, 0x20] {
            check_refused(sample.path(), |folder| flip(folder, "VERSION", position, mask), &[""]);
        }
    }
    check_refused(sample.path(), |folder| flip(folder, "VERSION", 3, 1), &["VERSION", "byte 0"]);
    check_refused(sample.path(), |folder| cut(folder, "VERSION", 0), &["VERSION", "backup"]);
}

#[test]
fn a_folder_of_a_newer_build_is_refused() {
    let newer = |folder: &Path| {
        fs::write(folder.join("VERSION"), "tidewire data folder, format 7\n").expect("written");
    };
    check_refused(killed().path(), newer, &["format 7", "knows up to 1", "use a newer"]);
}

#[test]
fn a_flipped_bit_in_a_header_of_the_write_ahead_log_is_named() {
    let sample = killed();
    let (name, _) = live_log(sample.path());
    for position in 0..40 {
        check_refused(sample.path(), |folder| flip(folder, &name, position, 4), &[&name, "header"]);
    }
    // Nothing lies between header and frames.
    for position in [40, 100, 4095] {
        check_harmless(sample.path(), |folder| flip(folder, &name, position, 4));
    }
}

#[test]
fn a_flipped_bit_in_a_synced_frame_is_named_with_its_byte() {
    let sample = killed();
    let (name, frames) = live_log(sample.path());
    assert!(frames.len() > 5, "{frames:?}");
    for (start, length) in [frames[0], frames[3], frames[frames.len() - 2]] {
        // Every field of the header, the first entry, the middle and the end.
        let inside = [0, 4, 8, 12, 16, 24, 32, 40, 45, length / 2, length - 1];
        for position in inside.map(|inside| start + inside) {
            let place = format!("byte {start}");
            let words = [name.as_str(), &place, "backup"];
            check_refused(sample.path(), |folder| flip(folder, &name, position, 2), &words);
        }
    }
}

#[test]
fn a_write_ahead_log_file_that_is_short_or_missing_is_named() {
    let sample = killed();
    let (name, frames) = live_log(sample.path());
    for bytes in [0, 39, 40, 4096, frames[2].0 + 9, (16 << 10) - 1] {
        check_refused(sample.path(), |folder| cut(folder, &name, bytes), &[&name]);
    }
    let remove = |folder: &Path| fs::remove_file(folder.join(&name)).expect("removed");
    check_refused(sample.path(), remove, &[&name, "missing", "backup"]);
    let remove_all = |folder: &Path| fs::remove_dir_all(folder.join("wal")).expect("removed");
    check_refused(sample.path(), remove_all, &["wal", "missing"]);
}

#[test]
fn tables_that_are_short_missing_or_no_tables_are_named() {
    let sample = killed();
    let name = "tables.redb";
    let length = files(sample.path())[name].len() as u64;
    for bytes in [0, 100, 4096] {
        check_refused(sample.path(), |folder| cut(folder, name, bytes), &[name]);
    }
    // The file ends in room that may not be in use: then nothing is missing.
    for bytes in [length / 2, length - 1] {
        let folder = temporary();
        copy(sample.path(), folder.path());
        cut(folder.path(), name, bytes);
        match open(folder.path()) {
            Ok(store) => expect_all(&store),
            Err(error) => assert!(error.to_string().contains(name), "{error}"),
        }
    }
    let remove = |folder: &Path| fs::remove_file(folder.join(name)).expect("removed");
    check_refused(sample.path(), remove, &[name, "missing", "backup"]);
    let other = |folder: &Path| fs::write(folder.join(name), "no tables").expect("written");
    check_refused(sample.path(), other, &[name]);
}

/// The database looks at its checksums only after a crash: a bit that rots in a row may be served.
/// What this holds is that none of it is a panic, and that what is noticed is named.
#[test]
fn a_flipped_bit_in_the_tables_is_never_a_panic() {
    let sample = killed();
    let length = files(sample.path())["tables.redb"].len() as u64;
    let (mut named, mut harmless, mut served) = (0, 0, Vec::new());
    for position in (0..512).step_by(5).chain((4096..length.min(160_000)).step_by(1021)) {
        let folder = temporary();
        copy(sample.path(), folder.path());
        flip(folder.path(), "tables.redb", position, 1);
        let outcome = open(folder.path()).map_err(|error| error.to_string());
        match outcome.and_then(|store| rows(&store).map_err(|error| error.to_string())) {
            Err(error) => {
                assert!(error.contains("tables.redb"), "{error}");
                named += 1;
            }
            Ok(rows) if rows == expected_rows() => harmless += 1,
            Ok(_) => served.push(position),
        }
    }
    println!("{named} named, {harmless} harmless, {} served: {served:?}", served.len());
    assert!(named > 5, "{named}");
}

#[test]
fn damage_in_a_segment_is_named_with_its_byte_and_the_rest_is_served() {
    let sample = killed();
    let name = &first_segment(sample.path());
    let length = files(sample.path())[name][8..12].try_into().expect("four bytes");
    let first = 12 + u64::from(u32::from_be_bytes(length));
    let whole = texts(&open(sample.path()).expect("opens"), 0).expect("readable");
    for position in [0, 7, 8, 11, 16, 17, 22, 57, 61, first - 1] {
        let folder = temporary();
        copy(sample.path(), folder.path());
        flip(folder.path(), name, position, 1);
        let store = open(folder.path()).expect("an old segment does not stop the start");
        let served = texts(&store, 0).expect("the rest is readable");
        let (count, damages) = store.quarantined();
        assert_eq!((count, &damages[0].file), (1, name));
        assert_eq!((damages[0].position, damages[0].from), (0, 0));
        let lost = usize::try_from(damages[0].to).expect("few records");
        assert!(lost < whole.len() && served == whole[lost..], "byte {position}: {lost} lost");
        expect_untouched(&store);
    }
}

/// The other partitions do not mind.
#[track_caller]
fn expect_untouched(store: &Store) {
    for id in [1, 2] {
        assert!(!texts(store, id).expect("readable").is_empty());
    }
}

#[test]
fn a_segment_that_is_short_or_missing_is_named_and_the_rest_is_served() {
    let sample = killed();
    let name = &first_segment(sample.path());
    let whole = texts(&open(sample.path()).expect("opens"), 0).expect("readable");
    let damages: [(&str, Damage); 3] = [
        ("empty", |folder, name| cut(folder, name, 0)),
        ("short", |folder, name| cut(folder, name, 1000)),
        ("missing", |folder, name| fs::remove_file(folder.join(name)).expect("removed")),
    ];
    for (kind, damage) in damages {
        let folder = temporary();
        copy(sample.path(), folder.path());
        damage(folder.path(), name);
        let store = open(folder.path()).expect("an old segment does not stop the start");
        let served = texts(&store, 0).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let (count, named) = store.quarantined();
        assert_eq!((count, &named[0].file), (1, name), "{kind}");
        let (from, to) = (named[0].from, named[0].to);
        let lost = usize::try_from(from).expect("few")..usize::try_from(to).expect("few");
        let expected = [&whole[..lost.start], &whole[lost.end..]].concat();
        assert!(!lost.is_empty() && served == expected, "{kind}: {lost:?}");
        assert!(lost.end < whole.len(), "{kind}: readers go on behind it");
        expect_untouched(&store);
    }
}

#[test]
fn an_index_that_is_damaged_short_or_missing_is_made_again() {
    let sample = killed();
    let names = named(sample.path(), ".idx");
    assert!(!names.is_empty());
    for name in &names {
        let length = files(sample.path())[name].len() as u64;
        for position in 0..length {
            if position % 11 == 0 || position < 32 {
                check_harmless(sample.path(), |folder| flip(folder, name, position, 1));
            }
        }
        check_harmless(sample.path(), |folder| cut(folder, name, length / 2));
        check_harmless(sample.path(), |folder| cut(folder, name, 0));
        check_harmless(sample.path(), |folder| {
            fs::remove_file(folder.join(name)).expect("removed");
        });
    }
}

#[test]
fn a_lock_file_or_a_leftover_that_is_missing_is_no_damage() {
    let sample = killed();
    check_harmless(sample.path(), |folder| fs::remove_file(folder.join("LOCK")).expect("removed"));
    check_harmless(sample.path(), |folder| {
        fs::write(folder.join("wal/00000000000000000099.tmp"), "begun").expect("written");
        fs::write(folder.join("VERSION.tmp"), "begun").expect("written");
    });
}
