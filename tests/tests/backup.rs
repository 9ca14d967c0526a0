//! Does a backup of a broker under load hold everything that was acknowledged before, and does a
//! broker start on it?

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, paho as python};
use tidewire_tests::over::Over;
use tidewire_tests::places;
use tidewire_tests::program::Program;
use tidewire_tests::wire::{Hello, Publish, Version, Wire, kind, property};

const WRITERS: usize = 4;
/// So many are acknowledged before the backup is asked for.
const BEFORE: u32 = 200;

/// Small files, so that segments come and go meanwhile.
const SMALL: &str = "[store]\nwal_file_bytes = \"1 MiB\"\nwal_bytes_max = \"2 MiB\"\n\
                     segment_bytes_max = \"1 MiB\"\n[mqtt]\npacket_bytes_max = \"64 KiB\"\n\
                     [[stream]]\nname = \"mqtt\"\nretention_bytes = \"8 MiB\"\n";

fn tidewire(arguments: &[&str], folder: &Path, data: &Path) -> Output {
    let mut command = Command::new(places::built_program("tidewire"));
    command.args(arguments).arg(folder).arg("--data").arg(data);
    command.output().expect("the program was built")
}

fn succeeds(arguments: &[&str], folder: &Path, data: &Path) -> String {
    let output = tidewire(arguments, folder, data);
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let problem = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}{problem}");
    words
}

/// Publishes retained counts to a topic of its own; says how far it was acknowledged.
fn write_on(address: SocketAddr, number: usize, over: &Over, acknowledged: &AtomicU32) {
    let (client_id, topic) = (format!("writer {number}"), format!("plant/{number}"));
    let mut client = Wire::clean(address, Version::V5, &client_id);
    let padding = "x".repeat(8_000);
    for count in 1.. {
        if over.is_told() {
            return;
        }
        let payload = format!("{count} {padding}");
        client.publish_acknowledged(&Publish::new(&topic, &payload, 1, 7).retained());
        acknowledged.store(count, Ordering::SeqCst);
    }
}

fn counts(acknowledged: &[AtomicU32]) -> Vec<u32> {
    acknowledged.iter().map(|count| count.load(Ordering::SeqCst)).collect()
}

#[test]
fn a_backup_under_load_holds_all_that_was_acknowledged_before() {
    let broker = Broker::start_configured(SMALL);
    let folder = TempDir::new().expect("a folder");
    let (copy, data) = (folder.path().join("copy"), folder.path().join("data"));
    // A session that is away, and the offset of a consumer group.
    let expiry = property::session_expiry(3600);
    let away = Hello { clean: false, properties: &expiry, ..Hello::new("away") };
    let (mut session, _) = Wire::greet(broker.address(), &away);
    session.subscribe(1, &[("orders/#", 1)]);
    session.vanish();
    let here = Mosquitto::new(broker.address(), "mqttv5");
    here.publish("orders/1", "before", &["-q", "1"]);
    python("kafka_group_admin.py", broker.kafka_address(), &["move"]);

    let (over, acknowledged) = (Over::default(), [const { AtomicU32::new(0) }; WRITERS]);
    let before = thread::scope(|scope| {
        for (number, acknowledged) in acknowledged.iter().enumerate() {
            let (address, over) = (broker.address(), &over);
            scope.spawn(move || write_on(address, number, over, acknowledged));
        }
        let _at_last = over.at_last();
        while counts(&acknowledged).iter().any(|count| *count < BEFORE) {
            assert!(!over.within(Duration::from_millis(20)), "it goes on");
        }
        let before = counts(&acknowledged);
        let words = succeeds(&["backup"], &copy, broker.data());
        assert!(words.contains("made by the running broker"), "{words}");
        let so_far = counts(&acknowledged);
        while counts(&acknowledged).iter().zip(&so_far).any(|(now, then)| now <= then) {
            assert!(!over.within(Duration::from_millis(20)), "the broker goes on");
        }
        before
    });

    let words = succeeds(&["restore"], &copy, &data);
    assert!(words.contains("all checked"), "{words}");
    let restored = Broker::start_in(&data);
    let mut client = Wire::clean(restored.address(), Version::V5, "looking");
    client.subscribe(1, &[("plant/#", 1)]);
    for _ in 0..WRITERS {
        let packet = client.packet_of(kind::PUBLISH);
        let topic = packet.topic();
        let number: usize = topic.trim_start_matches("plant/").parse().expect("a number");
        let text = packet.payload_text();
        let count: u32 = text.split(' ').next().and_then(|it| it.parse().ok()).expect("a count");
        assert!(count >= before[number], "{topic}: {count} of {}", before[number]);
    }
    let (mut session, is_there) = Wire::greet(restored.address(), &away);
    assert!(is_there, "the session is there");
    let _ = session.receive("before");
    python("kafka_group_admin.py", restored.kafka_address(), &["stand"]);
}

#[test]
fn a_stopped_broker_is_backed_up_too_and_a_damaged_backup_is_not_restored() {
    let mut broker = Broker::start();
    let here = Mosquitto::new(broker.address(), "mqttv5");
    here.publish("a/1", "kept", &["-q", "1", "-r"]);
    broker.stop();
    let folder = TempDir::new().expect("a folder");
    let (copy, data) = (folder.path().join("copy"), folder.path().join("data"));
    let words = succeeds(&["backup"], &copy, broker.data());
    assert!(words.contains("no broker was running"), "{words}");
    let again = tidewire(&["backup"], &copy, broker.data());
    assert_eq!(again.status.code(), Some(2), "it is not empty");
    assert!(String::from_utf8_lossy(&again.stderr).contains("is not empty"));

    let segment = segment_in(&copy.join("streams"));
    let mut bytes = std::fs::read(&segment).expect("a file");
    let last = bytes.last_mut().expect("it holds a record");
    *last ^= 0x40;
    std::fs::write(&segment, bytes).expect("written");
    let damaged = tidewire(&["restore"], &copy, &data);
    assert_eq!(damaged.status.code(), Some(1));
    let words = String::from_utf8_lossy(&damaged.stdout);
    assert!(words.contains("is damaged, nothing was restored"), "{words}");
    assert!(words.contains(".seg byte "), "{words}");
    assert!(!data.exists());
}

#[test]
fn no_copy_goes_into_what_is_copied_whatever_way_leads_there() {
    let mut broker = Broker::start();
    let folder = TempDir::new().expect("a folder");
    let (link, copy) = (folder.path().join("link"), folder.path().join("copy"));
    std::os::unix::fs::symlink(broker.data(), &link).expect("a link");
    let name = broker.data().file_name().expect("it has one").to_owned();
    let around = broker.data().join("..").join(name).join("copy");
    for is_running in [true, false] {
        for within in [&broker.data().join("copy"), &link.join("copy"), &around] {
            let refused = tidewire(&["backup"], within, broker.data());
            assert_eq!(refused.status.code(), Some(2), "{is_running} {}", within.display());
            let words = String::from_utf8_lossy(&refused.stderr);
            assert!(words.contains("the data folder itself"), "{words}");
            assert!(!broker.data().join("copy").exists());
        }
        if is_running {
            broker.stop();
        }
    }
    let words = succeeds(&["backup"], &copy, broker.data());
    assert!(words.contains("is a backup"), "{words}");
    let back = folder.path().join("back");
    std::os::unix::fs::symlink(&copy, &back).expect("a link");
    for within in [copy.join("data"), back.join("data"), copy.join("../back/data")] {
        let refused = tidewire(&["restore"], &copy, &within);
        assert_eq!(refused.status.code(), Some(2), "{}", within.display());
        let words = String::from_utf8_lossy(&refused.stderr);
        assert!(words.contains("the backup itself"), "{words}");
        assert!(!copy.join("data").exists());
    }
}

#[test]
fn a_backup_and_what_is_made_of_it_are_told_as_json() {
    let broker = Broker::start();
    let folder = TempDir::new().expect("a folder");
    let (copy, data) = (folder.path().join("copy"), folder.path().join("data"));
    let said = |arguments: &[&str], data: &Path| -> Value {
        serde_json::from_str(&succeeds(arguments, &copy, data)).expect("one document")
    };
    let made = said(&["backup", "--json"], broker.data());
    assert_eq!((&made["ok"], &made["by_broker"]), (&true.into(), &true.into()), "{made}");
    assert_eq!(made["findings"], Value::Array(Vec::new()), "{made}");
    let restored = said(&["restore", "--json"], &data);
    assert_eq!(restored["ok"], true, "{restored}");
    assert!(restored["files"].as_u64() > Some(0), "{restored}");
    assert_eq!(restored["folder"].as_str(), data.canonicalize().expect("made").to_str());
}

#[test]
fn a_command_that_is_told_to_end_takes_its_request_back() {
    let broker = Broker::start();
    let folder = TempDir::new().expect("a folder");
    let (copy, later) = (folder.path().join("copy"), folder.path().join("later"));
    let id = i32::try_from(broker.id()).ok().and_then(Pid::from_raw).expect("it runs");
    // It does not look meanwhile.
    kill_process(id, Signal::STOP).expect("our child");
    let mut command = Command::new(places::built_program("tidewire"));
    let mut asking =
        Program::start(command.arg("backup").arg(&copy).arg("--data").arg(broker.data()));
    let requests = || {
        let names = broker.data().read_dir().expect("a folder");
        let names = names.map(|entry| entry.expect("readable").file_name());
        // Whole ones, and what is left of them.
        let is_left = |name: &str| name.starts_with("backup.") && !name.ends_with(".tmp");
        names.filter(|name| is_left(&name.to_string_lossy())).count()
    };
    let over = Over::default();
    while requests() == 0 {
        assert!(asking.is_running() && !over.within(Duration::from_millis(20)), "it asks");
    }
    asking.ask_to_end();
    let (status, _) = asking.rest();
    assert_eq!(status.code(), Some(1), "{}", asking.output());
    assert!(asking.output().contains("the request is taken back"), "{}", asking.output());
    assert_eq!(requests(), 0);
    kill_process(id, Signal::CONT).expect("our child");
    let _ = succeeds(&["backup"], &later, broker.data());
    assert!(!copy.exists(), "nobody waits for it any more");
}

/// A file of a segment somewhere below.
fn segment_in(folder: &Path) -> std::path::PathBuf {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().expect("a folder") {
            let path = entry.expect("readable").path();
            let is_segment = path.extension().is_some_and(|kind| kind == "seg");
            if path.is_dir() {
                folders.push(path);
            } else if is_segment && path.metadata().expect("a file").len() > 0 {
                return path;
            }
        }
    }
    panic!("there is a segment");
}
