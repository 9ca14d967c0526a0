//! Who on this machine gets at what the broker and its commands write, where the umask would let
//! everybody?

use std::collections::BTreeMap;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use rustix::fs::Mode;
use rustix::process::umask;
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::places::built_program;
use tidewire_tests::users;
use tidewire_tests::wire::{Hello, LastWill, Publish, Version, Wire, property};

const FOLDER: u32 = 0o750;
const FILE: u32 = 0o640;
const SECRET: u32 = 0o600;

/// Small files, so that segments are sealed and log files come and go.
const SMALL: &str = "[store]\nwal_file_bytes = \"1 MiB\"\nwal_bytes_max = \"2 MiB\"\n\
                     segment_bytes_max = \"1 MiB\"\n[mqtt]\npacket_bytes_max = \"64 KiB\"\n";

/// From here on whoever makes a file without a word lets everybody read and write it.
fn let_everybody_in() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        umask(Mode::empty());
    });
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().expect("it is there").permissions().mode() & 0o777
}

/// All that is below a folder, and the folder, with their rights.
fn rights(folder: &Path) -> BTreeMap<PathBuf, u32> {
    let mut found = BTreeMap::from([(folder.to_path_buf(), mode(folder))]);
    for entry in folder.read_dir().expect("a folder") {
        let path = entry.expect("readable").path();
        let kind = path.symlink_metadata().expect("it is there").file_type();
        assert!(!kind.is_socket(), "{path:?}");
        match kind.is_dir() {
            true => found.extend(rights(&path)),
            false => drop(found.insert(path.clone(), mode(&path))),
        }
    }
    found
}

#[track_caller]
fn are_closed(folder: &Path, least: usize) {
    let found = rights(folder);
    assert!(found.len() >= least, "a walk that finds nothing proves nothing: {found:#?}");
    let expected = |path: &Path| if path.is_dir() { FOLDER } else { FILE };
    let open: Vec<_> = found.iter().filter(|(path, mode)| **mode != expected(path)).collect();
    assert!(open.is_empty(), "{open:#?}");
}

fn tidewire(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(built_program("tidewire")).args(arguments).output();
    let output = output.expect("the program was built");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("we write UTF-8"))
}

#[track_caller]
fn succeeds(arguments: &[&str]) {
    let (code, said) = tidewire(arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
}

/// Sessions, a will, retained, delayed and many messages.
fn use_it(broker: &Broker) {
    let expiry = property::session_expiry(3600);
    let hello = Hello {
        clean: false,
        properties: &expiry,
        will: Some(LastWill::new("wills/1", "gone")),
        ..Hello::new("away")
    };
    let (mut session, is_there) = Wire::greet(broker.address(), &hello);
    if !is_there {
        session.subscribe(1, &[("orders/#", 1), ("$share/g/jobs", 1)]);
    }
    session.vanish();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let payload = "x".repeat(30_000);
    for number in 0..200 {
        let topic = format!("orders/{number}");
        writer.publish_acknowledged(&Publish::new(&topic, &payload, 1, 7).retained());
    }
    writer.publish_acknowledged(&Publish::new("$delayed/3000/later", "x", 1, 7));
}

#[test]
fn what_is_stored_is_for_its_owner_and_group_whatever_the_umask() {
    let_everybody_in();
    let config = Configured::new(SMALL);
    let mut broker = config.start();
    use_it(&broker);
    are_closed(broker.data(), 8);
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let data = broker.data().display().to_string();
    // Those above it are none of ours.
    succeeds(&["backup", &path("above/running"), "--data", &data]);
    are_closed(&folder.path().join("above/running"), 6);
    are_closed(broker.data(), 8);
    broker.stop();
    are_closed(broker.data(), 8);
    broker.restart();
    use_it(&broker);
    broker.stop();
    are_closed(broker.data(), 8);
    succeeds(&["backup", &path("stopped"), "--data", &data]);
    are_closed(&folder.path().join("stopped"), 6);
    succeeds(&["restore", &path("stopped"), "--data", &path("restored")]);
    are_closed(&folder.path().join("restored"), 6);
}

#[test]
fn secrets_that_commands_write_are_for_their_owner_alone_whatever_the_umask() {
    let_everybody_in();
    let folder = TempDir::new().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    users::write(&folder.path().join("passwords"), &["ann"]);
    succeeds(&["token", "create", "--role", "admin", "--file", &path("tokens")]);
    succeeds(&["certs", "ca", "--dir", &path("certs")]);
    succeeds(&["certs", "server", "--dir", &path("certs"), "localhost"]);
    succeeds(&["certs", "client", "--dir", &path("certs"), "ann"]);
    let found = rights(folder.path());
    let is_secret = |path: &Path| {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        name == "passwords" || name == "tokens" || name.contains("key")
    };
    let secrets: Vec<_> = found.iter().filter(|(path, _)| is_secret(path)).collect();
    assert_eq!(secrets.len(), 5, "{found:#?}");
    assert!(secrets.iter().all(|(_, mode)| **mode == SECRET), "{secrets:#?}");
}

#[test]
fn a_data_folder_that_is_open_to_others_is_told_of_and_left_as_it_is() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("made");
    set_permissions(&data, Permissions::from_mode(0o755)).expect("ours");
    let words = format!("others on this machine get at the data folder {}", data.display());
    let (_, said) = tidewire(&["check", "--data", &data.display().to_string()]);
    assert!(said.contains(&words) && said.contains("chmod 750"), "{said}");
    let broker = Broker::start_in(&data);
    broker.await_output(&words);
    assert_eq!(mode(&data), 0o755, "its owner may have wanted that");
}
