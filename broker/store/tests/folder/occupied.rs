//! Folders that cannot be had: in use by another process, read-only, or no folders at all.

use std::env;
use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, IoSlice, Read as _, stdin};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustix::process::getuid;
use tidewire_store::disk::{File, OpenMode};
use tidewire_store::{Disk, OpenError, RealDisk, Store};

use crate::sample::{copy, expect_all, files, killed, open, options, temporary};

/// Tells this program, started by itself, which folder to open.
const FOLDER: &str = "TIDEWIRE_TEST_FOLDER";
const SAID: &str = "opened: ";
const NOBODY: u32 = 65_534;

/// The other process: opens the folder, says how that went, and holds it until its input ends.
/// Without a folder it is no test of its own and has nothing to say.
#[test]
fn another_process() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let opened = open(Path::new(&folder));
    let outcome = opened.as_ref().map_or_else(ToString::to_string, |_| "yes".into());
    println!("\n{SAID}{outcome}");
    stdin().read_to_end(&mut Vec::new()).expect("read");
}

fn start(program: &Path, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["--exact", "occupied::another_process", "--nocapture"]);
    command.env(FOLDER, folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// What the other process says of its open.
fn heard(lines: impl std::io::Read) -> String {
    let mut lines = BufReader::new(lines).lines().map_while(Result::ok);
    let said = lines.find_map(|line| line.strip_prefix(SAID).map(str::to_owned));
    said.expect("it says how its open went")
}

#[test]
fn a_folder_in_use_by_another_process_is_refused_and_free_when_that_ends() {
    let folder = killed();
    let program = env::current_exe().expect("known");
    let mut other = start(&program, folder.path()).spawn().expect("started");
    assert_eq!(heard(other.stdout.take().expect("piped")), "yes");
    let before = files(folder.path());
    let error = open(folder.path()).map(|_| ()).expect_err("it is in use");
    assert_eq!(error, OpenError::Locked);
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(files(folder.path()) == before, "nothing was changed");
    other.kill().expect("killed");
    other.wait().expect("gone");
    expect_all(&open(folder.path()).expect("a killed process leaves no lock"));
}

#[test]
fn a_read_only_folder_is_refused_by_name() {
    let folder = killed();
    let program = temporary();
    let copied = program.path().join("other");
    fs::copy(env::current_exe().expect("known"), &copied).expect("copied");
    let set = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    set(program.path(), 0o755);
    set(folder.path(), 0o555);
    for name in files(folder.path()).keys() {
        set(&folder.path().join(name), 0o444);
    }
    let before = files(folder.path());
    let mut command = start(&copied, folder.path());
    if getuid().is_root() {
        // Nothing is read-only for root.
        command.uid(NOBODY);
    }
    let mut other = command.spawn().expect("started");
    let said = heard(other.stdout.take().expect("piped"));
    drop(other.stdin.take());
    other.wait().expect("gone");
    assert!(said.contains("LOCK") && said.contains("ermission denied"), "{said}");
    assert!(files(folder.path()) == before, "nothing was changed");
    set(folder.path(), 0o755);
}

/// A file system that is mounted read-only.
#[derive(Debug)]
struct ReadOnly(RealDisk);

fn refusal<T>(name: &str) -> std::io::Result<T> {
    let text = format!("{name}: read-only file system");
    Err(std::io::Error::new(ErrorKind::ReadOnlyFilesystem, text))
}

impl Disk for ReadOnly {
    fn open(&self, name: &str, mode: OpenMode) -> std::io::Result<Arc<dyn File>> {
        if mode == OpenMode::Read { self.0.open(name, mode) } else { refusal(name) }
    }
    fn create_dir(&self, name: &str) -> std::io::Result<()> {
        self.0.list(name).map(|_| ()).or_else(|_| refusal(name))
    }
    fn list(&self, name: &str) -> std::io::Result<Vec<String>> {
        self.0.list(name)
    }
    fn rename(&self, from: &str, _: &str) -> std::io::Result<()> {
        refusal(from)
    }
    fn remove(&self, name: &str) -> std::io::Result<()> {
        refusal(name)
    }
    fn sync_dir(&self, _: &str) -> std::io::Result<()> {
        Ok(())
    }
    fn lock(&self, name: &str) -> std::io::Result<()> {
        refusal(name)
    }
    fn random(&self) -> u64 {
        1
    }
}

#[test]
fn a_read_only_file_system_is_refused_by_name() {
    let folder = killed();
    let before = files(folder.path());
    let disk = Arc::new(ReadOnly(RealDisk::new(folder.path())));
    let error = Store::open(disk, options()).map(|_| ()).expect_err("it cannot be written");
    assert!(error.to_string().contains("LOCK: read-only"), "{error}");
    assert!(files(folder.path()) == before, "nothing was changed");
}

#[test]
fn a_path_that_is_a_file_or_lies_below_one_is_refused_by_name() {
    let folder = temporary();
    let file = folder.path().join("data");
    fs::write(&file, "mine").expect("written");
    for path in [file.clone(), file.join("below")] {
        let error = open(&path).map(|_| ()).expect_err("it is no folder").to_string();
        assert!(error.contains(path.to_str().expect("plain")), "{error}");
        assert_eq!(fs::read(&file).expect("still there"), b"mine");
    }
}

#[test]
fn a_folder_that_someone_else_filled_is_left_alone() {
    let folder = temporary();
    copy(killed().path().join("streams").as_path(), &folder.path().join("streams"));
    let before = files(folder.path());
    let error = open(folder.path()).map(|_| ()).expect_err("it is not ours to fill");
    assert_eq!(error, OpenError::Missing { file: "VERSION".into() });
    let mut after = files(folder.path());
    after.remove("LOCK");
    assert!(after == before, "nothing was changed");
}

/// A real disk tears nothing apart: a write of many parts arrives whole.
#[test]
fn a_write_of_more_parts_than_the_system_takes_at_once_arrives_whole() {
    let folder = temporary();
    let disk = RealDisk::new(folder.path());
    let file = disk.open("file", OpenMode::Create).expect("made");
    let pieces: Vec<Vec<u8>> = (0..3000_u32).map(|n| n.to_le_bytes()[..2].to_vec()).collect();
    let mut parts: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    file.write_all_at(&mut parts, 5).expect("written");
    let found = fs::read(folder.path().join("file")).expect("read");
    assert_eq!(found[5..], pieces.concat());
}
