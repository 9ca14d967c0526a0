//! As a service of its machine: does the broker say when it is ready, give up root for good, and
//! serve on ports that only root may take?

use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;
use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::places::{built_program, source_root};
use tidewire_tests::program::{PATIENCE, Program};
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::wire::{Hello, Publish, Version, Wire, kind};

/// A user and a group that own nothing.
const NOBODY: u32 = 65_534;
/// An address of this machine that no other test listens at.
const PLACE: &str = "127.83.12.7";

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A folder that every user may enter.
fn open_folder() -> TempDir {
    let folder = TempDir::new().expect("a folder");
    enterable(folder.path());
    folder
}

fn enterable(folder: &Path) {
    let rights = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(folder, rights).expect("our own");
}

/// The broker with this configuration, its data beside it.
fn broker(folder: &TempDir, config: &str) -> Command {
    let file = folder.path().join("tidewire.toml");
    std::fs::write(&file, config).expect("written");
    let mut command = Command::new(built_program("tidewire"));
    command
        .current_dir(folder.path())
        .arg("--config")
        .arg(&file)
        .args(["--kafka", "off", "--http", "off"]);
    command
}

/// A fact that the kernel tells of a thread, without its name.
fn fact(status: &str, name: &str) -> String {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn it_says_that_it_is_ready_when_its_log_is_there_and_clients_can_come_and_when_it_stops() {
    let folder = TempDir::new().expect("a folder");
    let (told, path) = (folder.path().join("notify"), folder.path().join("mqtt.sock"));
    let socket = UnixDatagram::bind(&told).expect("bound");
    socket.set_read_timeout(Some(PATIENCE)).expect("above zero");
    // How far a start is, that takes long, it says besides.
    let hear = || loop {
        let mut words = [0; 64];
        let count = socket.recv(&mut words).expect("it says something");
        let words = String::from_utf8_lossy(&words[..count]).into_owned();
        if !words.starts_with("STATUS=") {
            break words;
        }
    };
    let config = format!("[listener.unix]\npath = {path:?}\n");
    // The second start has a log to recover.
    for is_present in [false, true] {
        let mut command = broker(&folder, &config);
        let mut program =
            Program::start(command.args(["--mqtt", "off"]).env("NOTIFY_SOCKET", &told));
        assert_eq!(hear(), "READY=1");
        let mut client = UnixStream::connect(&path).expect("it listens when it says so");
        client.set_read_timeout(Some(PATIENCE)).expect("above zero");
        let expiry = [0x11, 0, 0, 0x0e, 0x10];
        let hello = Hello { clean: false, properties: &expiry, ..Hello::new("device") };
        client.write_all(&hello.bytes()).expect("it reads");
        let mut connack = [0; 4];
        client.read_exact(&mut connack).expect("an answer");
        assert_eq!((connack[2], connack[3]), (u8::from(is_present), 0));
        if is_present {
            program.ask_to_end();
            assert_eq!(hear(), "STOPPING=1");
            assert!(program.rest().0.success());
        } else {
            program.kill9();
        }
    }
}

#[test]
fn root_is_given_up_for_good_and_what_only_root_may_open_stays_open() {
    if !is_root() {
        return println!("not root: nothing to give up, only the refusals are tried");
    }
    let folder = open_folder();
    let authority = Authority::new("Test CA");
    enterable(&authority.file(""));
    let server = authority.sign("server", Use::Server, &["localhost"]);
    chown(&server.key, Some(0), Some(NOBODY)).expect("we are root");
    std::fs::set_permissions(&server.key, std::fs::Permissions::from_mode(0o640)).expect("set");
    let (cert, key, data) = (&server.cert, &server.key, folder.path().join("data"));
    let socket = folder.path().join("mqtt.sock");
    let config = format!(
        "[data]\ndir = {data:?}\n[system]\nrun_as = \"{NOBODY}:{NOBODY}\"\n\
         [listener.unix]\npath = {socket:?}\n[listener.mqtt]\nbind = \"{PLACE}:883\"\n\
         [listener.mqtts]\nbind = \"{PLACE}:884\"\n\
         [listener.mqtts.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n"
    );
    let mut program = Program::start(&mut broker(&folder, &config));
    program.await_output("mqtts://");
    let threads = std::fs::read_dir(format!("/proc/{}/task", program.id())).expect("it runs");
    let mut count = 0;
    for thread in threads.filter_map(Result::ok) {
        // One that just ended tells nothing more.
        let Ok(status) = std::fs::read_to_string(thread.path().join("status")) else { continue };
        let four = [NOBODY; 4].map(|id| id.to_string()).join(" ");
        assert_eq!((fact(&status, "Uid:"), fact(&status, "Gid:")), (four.clone(), four));
        for power in ["CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(fact(&status, power).trim_matches('0'), "", "{power}");
        }
        assert_eq!(fact(&status, "NoNewPrivs:"), "1");
        count += 1;
    }
    assert!(count > 1, "its threads are looked at, too");
    let address = format!("{PLACE}:883").parse().expect("an address");
    let mut wire = Wire::clean(address, Version::V5, "device");
    wire.publish(&Publish::new("a", "x", 1, 7));
    wire.packet_of(kind::PUBACK);
    for path in [&data, &socket] {
        let found = std::fs::metadata(path).expect("there");
        assert_eq!((found.uid(), found.gid()), (NOBODY, NOBODY), "{path:?}");
    }
    // Other certificates are read by whom it is now.
    let trust = Trust::new(&authority.path(), None);
    let secret = format!("{PLACE}:884").parse().expect("an address");
    let before = Secure::open(secret, &trust).expect("let in").shown();
    let _ = authority.sign("server", Use::Server, &["localhost"]);
    program.hang_up();
    program.await_output("certificates read anew: new handshakes use them");
    assert_ne!(Secure::open(secret, &trust).expect("let in").shown(), before);
    assert!(program.terminate().success());
    // It starts again on what is its own by now, where the socket file could not be removed.
    let mut program = Program::start(&mut broker(&folder, &config));
    program.await_output("mqtts://");
    assert!(program.terminate().success());
}

#[test]
fn who_it_cannot_become_and_what_that_user_could_not_open_is_said() {
    let folder = open_folder();
    let data = folder.path().join("data");
    let config = |run_as: &str, more: &str| {
        format!(
            "[data]\ndir = {data:?}\n[system]\nrun_as = \"{run_as}\"\n\
             [listener.mqtt]\nbind = \"127.0.0.1:0\"\n{more}"
        )
    };
    let refused = |config: &str, told: &str| {
        let mut program = Program::start(&mut broker(&folder, config));
        program.await_output(told);
        assert_eq!(program.rest().0.code(), Some(1), "{}", program.output());
    };
    for (run_as, told) in [
        ("no-such-user", "\"no-such-user\" is not in /etc/passwd"),
        ("4711", "say its group, too"),
        ("root", "what it is to give up"),
    ] {
        refused(&config(run_as, ""), told);
        assert!(!data.exists(), "a refused start makes nothing");
    }
    let nobody = format!("{NOBODY}:{NOBODY}");
    if !is_root() {
        return refused(&config(&nobody, ""), "only root can become another user");
    }
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "").expect("written");
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("set");
    let unreadable = config(&nobody, &format!("[auth]\nscram_file = {secret:?}\n"));
    refused(&unreadable, "Permission denied");
    let mut check = Program::start(broker(&folder, &unreadable).arg("check"));
    assert_eq!(check.rest().0.code(), Some(2));
    check.await_output(&format!("system.run_as: {nobody} may not read {}", secret.display()));
    std::fs::create_dir_all(data.join("of root")).expect("made");
    refused(&config(&nobody, ""), &format!("chown -R {nobody} {}", data.display()));
}

#[test]
fn who_runs_as_root_without_need_is_told() {
    if !is_root() {
        return println!("not root: there is nothing to be told");
    }
    let folder = TempDir::new().expect("a folder");
    let program = Program::start(broker(&folder, "").args(["--mqtt", "127.0.0.1:0"]));
    program.await_output("the broker runs as root: name another user in system.run_as");
}

#[test]
fn the_unit_for_systemd_is_one() {
    let unit = source_root().join("config/tidewire.service");
    let text = std::fs::read_to_string(unit).expect("the unit");
    for line in ["Type=notify", "User=tidewire", "NoNewPrivileges=yes", "ProtectSystem=strict"] {
        assert!(text.lines().any(|found| found == line), "{line}");
    }
    let folder = TempDir::new().expect("a folder");
    let copy = folder.path().join("tidewire.service");
    // It is looked at whether the program is there.
    let program = built_program("tidewire").display().to_string();
    std::fs::write(&copy, text.replace("/usr/bin/tidewire", &program)).expect("written");
    let mut command = Command::new("systemd-analyze");
    let Ok(output) = command.arg("verify").arg(&copy).output() else {
        return println!("systemd-analyze is not here: only the lines were looked at");
    };
    let said = String::from_utf8_lossy(&output.stderr);
    // Without systemd's own units it misses some of them; that is not about this one.
    let about: Vec<_> = said.lines().filter(|line| line.contains("tidewire.service:")).collect();
    assert!(about.is_empty(), "{about:#?}");
}
