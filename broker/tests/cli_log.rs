//! `tidewire log` through the real binary, on folders that the store made and we damaged.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;
use tempfile::TempDir;
use tidewire_proto::id::PartitionId;
use tidewire_proto::record::{BatchBuilder, Header};
use tidewire_store::rows::group::{GroupRow, MemberRow};
use tidewire_store::rows::offset::{OffsetKey, OffsetRow};
use tidewire_store::{
    Append, Commit, RealDisk, Store, StoreOptions, StreamConfig, StreamOptions, Table, TableChange,
    copy_at_rest,
};

const RECORDS: u64 = 200;
/// Records in each of the two partitions.
const EACH: u64 = RECORDS / 2;

fn options() -> StoreOptions {
    let config = StreamConfig::default();
    StoreOptions {
        streams: vec![StreamOptions { name: "plant".into(), partitions: 2, config }],
        wal_file_bytes: 16 << 10,
        wal_bytes_max: 64 << 10,
        segment_bytes_max: 2_500,
        table_cache_bytes: 1 << 20,
        threads: false,
        ..StoreOptions::default()
    }
}

fn open(folder: &Path) -> Store {
    let disk = Arc::new(RealDisk::new(folder));
    Store::open(disk, options()).expect("opens").0
}

/// One record and a row, in one commit.
fn put(store: &Store, number: u64) {
    let mut builder = BatchBuilder::new();
    let time = 1_795_174_200_000 + i64::try_from(number).expect("small");
    let header = Header { key: b"unit", value: Some(b"bar") };
    let text = format!("record {number}");
    builder.push(time, Some(b"pump/1"), Some(text.as_bytes()), &[header]);
    let partition = PartitionId(u32::try_from(number % 2).expect("small"));
    let row = TableChange::new(Table::Cursors, b"reader".as_slice().into(), {
        Some(text.as_bytes().into())
    });
    let append = Append::new(partition, builder.finish());
    store.commit(Commit { appends: vec![append], changes: vec![row] }).expect("committed");
}

/// What a killed broker leaves: some of it in segments, the end of it in the log alone.
fn killed() -> TempDir {
    let new = || tempfile::tempdir().expect("a folder");
    let (running, found) = (new(), new());
    let store = open(running.path());
    (0..RECORDS).for_each(|number| put(&store, number));
    copy_at_rest(running.path(), found.path()).expect("copied");
    found
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    command.arg("log").args(arguments).arg("--data").arg(folder);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TIDEWIRE_") {
            command.env_remove(name);
        }
    }
    command
}

fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } =
        command(folder, arguments).output().expect("the binary was built");
    let text = |bytes| String::from_utf8(bytes).expect("we write UTF-8");
    let code = status.code().expect("it was not killed");
    (code, text(stdout), text(stderr))
}

fn json(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let (code, stdout, stderr) = run(folder, &[arguments, &["--json"]].concat());
    let document = serde_json::from_str(&stdout);
    (code, document.unwrap_or_else(|error| panic!("{error}: {stdout} {stderr}")))
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// Every file with its bytes.
fn content(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let endings = ["", "wal", "seg", "idx", "redb"];
    let mut all: Vec<PathBuf> = endings.iter().flat_map(|ending| files(folder, ending)).collect();
    all.push(folder.join("VERSION"));
    all.into_iter().map(|path| (path.clone(), fs::read(path).expect("readable"))).collect()
}

fn flip(file: &Path, position: usize) {
    let mut bytes = fs::read(file).expect("readable");
    bytes[position] ^= 0x10;
    fs::write(file, bytes).expect("written");
}

fn name(folder: &Path, file: &Path) -> String {
    file.strip_prefix(folder).expect("inside").to_string_lossy().into_owned()
}

/// The first commit that is not checkpointed: its file, where it is, and its number.
fn first_commit(folder: &Path) -> (PathBuf, usize, u64) {
    let (code, document) = json(folder, &["dump", "--wal", "--count", "1"]);
    assert_eq!(code, 0, "{document}");
    let frame = &document["frames"][0];
    let position = usize::try_from(frame["position"].as_u64().expect("a number")).expect("small");
    let file = folder.join(frame["file"].as_str().expect("a name"));
    (file, position, frame["number"].as_u64().expect("a number"))
}

fn payloads(folder: &Path) -> Vec<Vec<String>> {
    let store = open(folder);
    let one = |partition: u32| {
        let id = PartitionId(partition);
        let (mut from, end) = store.bounds(id).expect("there");
        let mut texts = Vec::new();
        while from < end {
            let slice = store.read(id, from, 1 << 20).expect("readable");
            for stored in slice.batches.iter().filter(|stored| !stored.batch.is_control()) {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                texts.extend(stored.batch.records().filter_map(|it| it.value.map(text)));
            }
            from = slice.next;
        }
        texts
    };
    (0..2).map(one).collect()
}

fn expected(partition: u64, offsets: impl Iterator<Item = u64>) -> Vec<String> {
    offsets.map(|offset| format!("record {}", offset * 2 + partition)).collect()
}

/// The line of a partition, as `verify` shows it.
fn strip<'o>(stdout: &'o str, partition: &str) -> &'o str {
    let mut lines = stdout.lines();
    lines.find(|line| line.trim_start().starts_with(partition)).expect("a line for it")
}

#[test]
fn a_folder_in_order_is_said_to_be_and_left_as_it_is() {
    let folder = killed();
    let before = content(folder.path());
    let (code, stdout, stderr) = run(folder.path(), &["verify"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    assert!(stdout.starts_with(&format!("{}: ok\n", folder.path().display())), "{stdout}");
    assert!(stdout.contains(&format!("{RECORDS} records")), "{stdout}");
    assert!(!stdout.contains('\u{1b}'), "no colours into a pipe");
    assert!(!strip(&stdout, "plant/0").contains('X'), "{stdout}");
    let (code, document) = json(folder.path(), &["verify"]);
    assert_eq!((code, &document["ok"]), (0, &Value::Bool(true)));
    assert_eq!(document["checked"]["records"], RECORDS);
    let shown = &document["partitions"][0];
    assert_eq!((&shown["stream"], &shown["to"]), (&"plant".into(), &EACH.into()), "{shown}");
    for arguments in [&["stats"][..], &["dump"], &["dump", "--wal"], &["repair", "--dry-run"]] {
        let (code, stdout, stderr) = run(folder.path(), arguments);
        assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    }
    assert!(content(folder.path()) == before, "looking changed something");
}

#[test]
fn verify_of_a_folder_that_is_written_to_stays_clean() {
    let folder = tempfile::tempdir().unwrap();
    let (wal_file_bytes, wal_bytes_max) = (256 << 10, 1 << 20);
    let options = StoreOptions { threads: true, wal_file_bytes, wal_bytes_max, ..options() };
    let store = Store::open(Arc::new(RealDisk::new(folder.path())), options).expect("opens").0;
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                put(&store, number);
                number += 1;
            }
        });
        let looks: Vec<_> = (0..5)
            .flat_map(|_| [run(folder.path(), &["verify"]), run(folder.path(), &["dump"])])
            .collect();
        // First: a writer that goes on would keep a failure from being told.
        done.store(true, Ordering::Relaxed);
        for (code, stdout, stderr) in looks {
            assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
        }
    });
}

#[test]
fn repair_refuses_while_the_store_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let _store = open(folder.path());
    let (code, stdout, stderr) = run(folder.path(), &["repair", "--dry-run"]);
    assert_eq!((code, stdout.as_str()), (2, ""));
    assert!(stderr.contains("in use by another process"), "{stderr}");
}

#[test]
fn a_flipped_bit_in_the_log_is_named_and_cut() {
    let folder = killed();
    let (file, position, number) = first_commit(folder.path());
    flip(&file, position + 60);
    let (code, stdout, _) = run(folder.path(), &["verify"]);
    assert_eq!(code, 1, "{stdout}");
    let file_name = name(folder.path(), &file);
    assert!(stdout.contains("damaged, 1 finding"), "{stdout}");
    assert!(stdout.contains(&format!("{file_name}, byte {position}: ")), "{stdout}");
    assert!(stdout.contains(&format!("commits {number} to ")), "{stdout}");
    assert!(stdout.contains("tidewire log repair"), "{stdout}");
    assert!(strip(&stdout, "plant/0").contains('X'), "{stdout}");
    let (_, document) = json(folder.path(), &["verify"]);
    let found = &document["findings"][0];
    assert_eq!((&found["damage"], &found["file"]), (&"log-frame".into(), &file_name.into()));
    assert_eq!(found["position"], position);
    let lost = found["affected"].as_array().expect("a list");
    let from = |partition: usize| lost[partition]["from"].as_u64().expect("a number");
    assert_eq!((&lost[0]["stream"], &lost[0]["to"]), (&"plant".into(), &EACH.into()));

    let (code, document) = json(folder.path(), &["repair", "--yes"]);
    assert_eq!((code, &document["done"]), (0, &Value::Bool(true)), "{document:#}");
    assert_eq!(document["steps"].as_array().expect("a list").len(), 1);
    assert_eq!(run(folder.path(), &["verify"]).0, 0);
    let kept = folder.path().join(document["backup"].as_str().expect("a name"));
    assert!(!files(&kept, &format!("from-{position}")).is_empty(), "{kept:?}");
    let found = payloads(folder.path());
    assert_eq!(found[0], expected(0, 0..from(0)));
    assert_eq!(found[1], expected(1, 0..from(1)));
}

#[test]
fn a_torn_tail_is_no_damage() {
    let folder = killed();
    let (code, document) = json(folder.path(), &["dump", "--wal"]);
    assert_eq!(code, 0);
    let last = document["frames"].as_array().expect("a list").last().expect("one");
    let position = usize::try_from(last["position"].as_u64().expect("a number")).expect("small");
    let file = folder.path().join(last["file"].as_str().expect("a name"));
    flip(&file, position + 60);
    let (code, document) = json(folder.path(), &["verify"]);
    assert_eq!((code, &document["ok"]), (0, &Value::Bool(true)), "{document:#}");
    let note = document["notes"][0].as_str().expect("a note");
    assert!(note.contains("was under way"), "{note}");
}

/// The segments of a partition, and the offset that each begins with. The last one is not sealed:
/// its batches are small.
fn segments(folder: &Path, partition: &str) -> Vec<(PathBuf, u64)> {
    let with_base = |file: PathBuf| {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        (file, name.split('.').next().and_then(|base| base.parse().ok()).expect("an offset"))
    };
    let found = files(&folder.join("streams/plant").join(partition), "seg");
    assert!(found.len() > 1, "{found:?}");
    found.into_iter().map(with_base).collect()
}

/// The length of the batches at the front of a segment; all are alike.
fn batch_bytes(segment: &Path) -> usize {
    let bytes = fs::read(segment).expect("readable");
    u32::from_be_bytes(bytes[8..12].try_into().expect("4 bytes")) as usize + 12
}

#[test]
fn damage_in_a_segment_costs_one_batch_and_no_more() {
    let folder = killed();
    let (file, base) = segments(folder.path(), "0").pop().expect("one");
    let length = batch_bytes(&file);
    let damaged = base + 3;
    flip(&file, length * 3 + 70);
    let (code, document) = json(folder.path(), &["verify"]);
    assert_eq!(code, 1);
    let found = &document["findings"][0];
    assert_eq!(found["damage"], "segment-batch", "{document:#}");
    assert_eq!(found["position"], length * 3);
    assert_eq!(found["affected"][0]["from"], damaged);
    assert_eq!(found["affected"][0]["to"], damaged + 1);

    let (code, stdout, stderr) = run(folder.path(), &["dump", "--partition", "0"]);
    assert_eq!((code, stdout.lines().count() as u64), (1, EACH - 1));
    assert!(stderr.contains(&format!("plant/0 offset {damaged}: ")), "{stderr}");

    let (code, stdout, stderr) = run(folder.path(), &["repair", "--yes"]);
    assert_eq!(code, 0, "{stdout} {stderr}");
    assert!(stdout.contains("put a gap in the place of bytes"), "{stdout}");
    assert_eq!(run(folder.path(), &["verify"]).0, 0);
    assert_eq!(payloads(folder.path())[0], expected(0, (0..EACH).filter(|n| *n != damaged)));
}

#[test]
fn a_truncated_a_missing_and_an_unindexed_segment_are_mended_in_one_go() {
    let folder = killed();
    let (first, second) = (segments(folder.path(), "0"), segments(folder.path(), "1"));
    let (short, base) = first.last().expect("one");
    let bytes = fs::read(short).unwrap();
    fs::write(short, &bytes[..batch_bytes(short) * 5 + 10]).unwrap();
    fs::remove_file(&second[0].0).unwrap();
    fs::remove_file(&files(&folder.path().join("streams/plant/1"), "idx")[1]).unwrap();

    let (code, document) = json(folder.path(), &["verify"]);
    assert_eq!(code, 1);
    let kinds = document["findings"].as_array().expect("a list").iter();
    let kinds: Vec<_> = kinds.map(|found| found["damage"].as_str().expect("text")).collect();
    assert_eq!(kinds, ["segment-short", "segment-missing", "index"], "{document:#}");
    let lost = &document["findings"][0]["affected"][0];
    assert_eq!(lost["from"], base + 5);
    let gone = base + 5..lost["to"].as_u64().expect("a number");

    let before = content(folder.path());
    let (code, stdout, _) = run(folder.path(), &["repair", "--dry-run"]);
    assert_eq!(code, 1);
    assert!(stdout.contains("repair takes ") && stdout.contains("will be kept in"), "{stdout}");
    let (code, _, stderr) = run(folder.path(), &["repair"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("add --yes"), "{stderr}");
    assert!(content(folder.path()) == before, "a dry run changed something");

    let (code, stdout, stderr) = run(folder.path(), &["repair", "--yes"]);
    assert_eq!(code, 0, "{stdout} {stderr}");
    assert_eq!(run(folder.path(), &["verify"]).0, 0);
    let (code, stdout, _) = run(folder.path(), &["repair", "--yes"]);
    assert_eq!(code, 0);
    assert!(stdout.contains("nothing to repair"), "{stdout}");
    let found = payloads(folder.path());
    assert_eq!(found[0], expected(0, (0..EACH).filter(|n| !gone.contains(n))));
    assert_eq!(found[1], expected(1, second[1].1..EACH));
}

#[test]
fn log_files_that_are_gone_cut_or_have_no_header_are_named_and_mended() {
    let damages: [(_, _, fn(&Path)); 3] = [
        ("log-missing", "is missing", |file| fs::remove_file(file).expect("removed")),
        ("log-file", "header is damaged", |file| flip(file, 17)),
        ("log-file", "cut short", |file| {
            let file = fs::File::options().write(true).open(file).expect("opens");
            file.set_len(9_000).expect("cut");
        }),
    ];
    for (kind, words, damage) in damages {
        let folder = killed();
        let (file, ..) = first_commit(folder.path());
        damage(&file);
        let (code, document) = json(folder.path(), &["verify"]);
        assert_eq!(code, 1, "{kind}");
        let found = &document["findings"][0];
        assert_eq!(found["damage"], kind, "{document:#}");
        assert_eq!(found["file"], name(folder.path(), &file).as_str());
        assert!(found["what"].as_str().is_some_and(|what| what.contains(words)), "{found}");
        let (code, stdout, stderr) = run(folder.path(), &["repair", "--yes"]);
        assert_eq!(code, 0, "{kind}: {stdout} {stderr}");
        assert_eq!(run(folder.path(), &["verify"]).0, 0, "{kind}");
        let found = payloads(folder.path());
        for (partition, texts) in (0..).zip(found) {
            let count = texts.len() as u64;
            assert!(count > 0 && count < EACH, "{kind}: {count}");
            assert_eq!(texts, expected(partition, 0..count), "{kind}");
        }
    }
}

#[test]
fn damaged_tables_are_named_and_cannot_be_repaired() {
    let folder = killed();
    let file = folder.path().join("tables.redb");
    let bytes = fs::read(&file).unwrap();
    let places = bytes.windows(6).enumerate().filter(|(_, window)| window == b"reader");
    // The page of the row, and those of its earlier lives.
    let places: Vec<usize> = places.map(|(place, _)| place).collect();
    assert!(!places.is_empty());
    places.into_iter().for_each(|place| flip(&file, place));
    let (code, stdout, _) = run(folder.path(), &["verify"]);
    assert_eq!(code, 1, "{stdout}");
    assert!(stdout.contains("tables.redb, byte 0"), "{stdout}");
    let (code, document) = json(folder.path(), &["repair", "--yes"]);
    assert_eq!(code, 1);
    assert_eq!(document["left"][0]["damage"], "tables", "{document:#}");
    let cut = fs::File::options().write(true).open(&file).unwrap();
    cut.set_len(5000).unwrap();
    let (code, stdout, stderr) = run(folder.path(), &["verify"]);
    assert_eq!((code, stderr.as_str()), (1, ""), "{stdout}");
}

#[test]
fn what_is_no_data_folder_of_ours_is_refused_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let check = |folder: &Path, words: &str| {
        for verb in ["verify", "dump", "stats", "repair"] {
            let (code, stdout, stderr) = run(folder, &[verb]);
            assert_eq!((code, stdout.as_str()), (2, ""), "{verb}: {stderr}");
            assert!(stderr.contains(words), "{verb}: {stderr}");
        }
    };
    check(folder.path(), "not a data folder");
    check(&folder.path().join("none"), "no such folder");
    fs::write(folder.path().join("file"), "").unwrap();
    check(&folder.path().join("file"), "not a folder");
    fs::write(folder.path().join("VERSION"), "tidewire data folder, format 9\n").unwrap();
    check(folder.path(), "format 9");
    fs::remove_file(folder.path().join("VERSION")).unwrap();
    fs::create_dir(folder.path().join("streams")).unwrap();
    let (code, stdout, _) = run(folder.path(), &["verify"]);
    assert_eq!(code, 1);
    assert!(stdout.contains("VERSION, byte 0: the file is missing"), "{stdout}");
}

#[test]
fn dump_shows_records_as_lines_and_as_json() {
    let folder = killed();
    let arguments = ["dump", "--stream", "plant", "--partition", "1", "--from", "90"];
    let (code, stdout, stderr) = run(folder.path(), &[&arguments[..], &["--count", "2"]].concat());
    assert_eq!(code, 0, "{stderr}");
    let lines = "plant/1 90  2026-11-20T11:30:00.181Z  pump/1  unit=bar  record 181
plant/1 91  2026-11-20T11:30:00.183Z  pump/1  unit=bar  record 183
";
    assert_eq!(stdout, lines);
    let (code, document) = json(folder.path(), &arguments);
    let records = document["records"].as_array().expect("a list");
    assert_eq!((code, records.len()), (0, 10));
    let record = &records[0];
    assert_eq!((&record["key"], &record["payload"]), (&"pump/1".into(), &"record 181".into()));
    assert_eq!(
        (&record["offset"], &record["time_ms"]),
        (&90.into(), &1_795_174_200_181_i64.into())
    );
    assert_eq!(record["headers"][0]["name"], "unit");
    let (_, stdout, _) = run(folder.path(), &["dump", "--wal"]);
    assert!(stdout.contains("set     cursors reader = record 199"), "{stdout}");
    assert!(stdout.contains("append  plant/1 offsets 99 to 99"), "{stdout}");
}

#[test]
fn stats_count_what_is_there() {
    let folder = killed();
    let (code, document) = json(folder.path(), &["stats"]);
    assert_eq!(code, 0);
    let stream = &document["streams"][0];
    assert_eq!((&stream["stream"], &stream["durability"]), (&"plant".into(), &"disk".into()));
    let partition = &stream["partitions"][1];
    assert_eq!((&partition["from"], &partition["to"]), (&0.into(), &EACH.into()));
    assert_eq!(partition["first_time"], "2026-11-20T11:30:00.001Z");
    assert_eq!(partition["last_time"], "2026-11-20T11:30:00.199Z");
    let payload: u64 = (0..EACH).map(|n| format!("record {}", n * 2 + 1).len() as u64).sum();
    assert_eq!(partition["payload_bytes"], payload);
    assert!(partition["bytes_per_payload_byte"].as_f64().is_some_and(|ratio| ratio > 5.0));
    let log = &document["log"]["not_checkpointed"];
    assert!(log["records"].as_u64().is_some_and(|count| (1..RECORDS).contains(&count)), "{log}");
    assert_eq!(log["frames"], log["rows"]);
    let tables = document["tables"].as_array().expect("a list");
    let rows = |name: &str| {
        tables.iter().find(|table| table["table"] == name).expect(name)["rows"].clone()
    };
    assert_eq!(
        (rows("cursors"), rows("streams"), rows("retained")),
        (1.into(), 1.into(), 0.into())
    );
    let (_, stdout, _) = run(folder.path(), &["stats"]);
    assert!(stdout.contains("stream plant, durability disk"), "{stdout}");
    assert!(stdout.contains("write-ahead log: "), "{stdout}");
}

#[test]
fn stats_say_how_far_consumer_groups_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(folder.path());
    (0..RECORDS).for_each(|number| put(&store, number));
    let key = OffsetKey { group: "reports", topic: "plant", partition: 1 };
    let row = OffsetRow { offset: 30, committed_ms: 1_795_174_200_000, ..OffsetRow::default() };
    let reader = |client_id: &str, partition: u8| MemberRow {
        client_id: client_id.into(),
        assignment: [&b"\0\0\0\0\0\x01\0\x05plant\0\0\0\x01\0\0\0"[..], &[partition]].concat(),
        ..MemberRow::default()
    };
    let members = vec![reader("day", 0), reader("night", 1)];
    let group = GroupRow { generation: 4, members, ..GroupRow::default() };
    let changes = vec![
        TableChange::new(Table::GroupOffsets, key.encode().expect("short"), Some(row.encode())),
        TableChange::new(Table::Groups, b"reports".as_slice().into(), Some(group.encode())),
    ];
    store.commit(Commit { appends: Vec::new(), changes }).expect("committed");
    drop(store);
    let (_, document) = json(folder.path(), &["stats"]);
    let group = &document["consumer_groups"][0];
    assert_eq!((&group["group"], &group["generation"]), (&"reports".into(), &4.into()));
    assert_eq!(group["behind"], EACH - 30);
    assert_eq!(group["offsets"][0]["committed"], "2026-11-20T11:30:00.000Z");
    let seconds = |value: &serde_json::Value| value["behind_seconds"].as_i64();
    let unread = 1_795_174_200_061;
    let now_ms = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_millis();
    let at_most = i64::try_from(now_ms).expect("before its end").saturating_sub(unread) / 1000;
    let behind = seconds(&group["offsets"][0]).expect("it has not read all");
    assert!((0..=at_most.max(0)).contains(&behind), "{behind} of {at_most}");
    assert!(seconds(group).is_some(), "{group}");
    let readers = group["readers"].as_array().expect("a list");
    assert_eq!((&readers[0]["client_id"], &readers[0]["behind"]), (&"day".into(), &0.into()));
    assert_eq!(readers[1]["behind"], EACH - 30);
    assert!(seconds(&readers[0]).is_none() && seconds(&readers[1]).is_some(), "{readers:?}");
    let (_, stdout, _) = run(folder.path(), &["stats"]);
    assert!(stdout.contains("reports: 2 members, 70 records behind, for "), "{stdout}");
    assert!(stdout.contains("member night: 70 behind, for "), "{stdout}");
    assert!(stdout.contains("plant 1: at 30, 70 behind, for "), "{stdout}");
}
