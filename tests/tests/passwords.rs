//! Is a client let in with its password and not with another, and does guessing cost nobody else?

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::doors::connect_from;
use tidewire_tests::places;
use tidewire_tests::wire::{Hello, LastWill, Publish, Version, Wire, frame, kind, property};

const PENCIL: (&str, &str) = ("ann", "pencil");
const RATE_EXCEEDED: u8 = 0x9f;
const BAD_PASSWORD: u8 = 0x86;

/// `tidewire passwd` with these arguments and this on its standard input; its exit code.
fn passwd(arguments: &[&str], input: &str) -> Option<i32> {
    let mut command = Command::new(places::built_program("tidewire"));
    command.arg("passwd").args(arguments).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().expect("the program was built");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("it reads");
    drop(stdin);
    child.wait().expect("our child").code()
}

struct Setup {
    broker: Broker,
    file: PathBuf,
    _folder: TempDir,
}

/// A broker that knows ann, with more of `[auth]` and other sections.
fn setup(more: &str) -> Setup {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("passwords");
    assert_eq!(passwd(&["add", path(&file), "ann"], "pencil\n"), Some(0));
    let config = format!("[auth]\npassword_file = {:?}\n{more}", path(&file));
    Setup { broker: Broker::start_configured(&config), file, _folder: folder }
}

/// The broker has read the file that has so many users. It looks by itself too, and may tell late
/// of what was there before.
fn reread(setup: &Setup, users: usize) {
    setup.broker.hang_up();
    setup.broker.await_output(&format!("the password file is read anew\",\"users\":{users},"));
}

fn path(file: &Path) -> &str {
    file.to_str().expect("a path in UTF-8")
}

/// What a client of MQTT 5 hears as the answer to CONNECT.
fn answer(address: SocketAddr, client_id: &str, login: Option<(&str, &str)>) -> u8 {
    answer_on(Wire::open(address, Version::V5), client_id, login)
}

fn answer_on(mut wire: Wire, client_id: &str, login: Option<(&str, &str)>) -> u8 {
    wire.send(&Hello { login, ..Hello::new(client_id) }.bytes());
    wire.packet_of(kind::CONNACK).body()[1]
}

/// The same of MQTT 3.1.1.
fn old_answer(broker: &Broker, login: Option<(&str, &str)>) -> u8 {
    let mut body = b"\x00\x04MQTT\x04".to_vec();
    body.push(if login.is_some() { 0xc2 } else { 0x02 });
    body.extend_from_slice(&[0, 60, 0, 1, b'c']);
    for text in login.map(|(user, password)| [user, password]).into_iter().flatten() {
        body.extend_from_slice(&[0, u8::try_from(text.len()).expect("short")]);
        body.extend_from_slice(text.as_bytes());
    }
    let mut wire = Wire::open(broker.address(), Version::V4);
    wire.send(&frame(0x10, &body));
    wire.packet_of(kind::CONNACK).body()[1]
}

#[test]
fn a_client_comes_in_with_its_password_and_with_no_other() {
    let setup = setup("");
    for (login, new, old) in [
        (Some(PENCIL), 0, 0),
        (Some(("ann", "pencils")), BAD_PASSWORD, 4),
        (Some(("ann", "")), BAD_PASSWORD, 4),
        (Some(("eve", "pencil")), BAD_PASSWORD, 4),
        (Some(("", "pencil")), BAD_PASSWORD, 4),
        (None, 0x87, 5),
        (Some(PENCIL), 0, 0),
    ] {
        assert_eq!(answer(setup.broker.address(), "c", login), new, "{login:?}");
        assert_eq!(old_answer(&setup.broker, login), old, "{login:?}");
    }
    for version in Mosquitto::VERSIONS {
        let client = Mosquitto::new(setup.broker.address(), version);
        let login = ["-u", "ann", "-P", "pencil", "-q", "1"];
        let subscriber = client.subscribe("a", &login);
        client.publish("a", version, &login);
        assert!(subscriber.message().ends_with(version));
    }
}

#[test]
fn anonymous_clients_come_in_where_the_listener_says_so() {
    let open = setup("[listener.mqtt]\nanonymous = \"allow\"\n");
    assert_eq!(answer(open.broker.address(), "c", None), 0);
    assert_eq!(answer(open.broker.address(), "c", Some(("ann", "no"))), BAD_PASSWORD);
    let shut = Broker::start_configured("[listener.mqtt]\nanonymous = \"refuse\"\n");
    assert_eq!(answer(shut.address(), "c", None), 0x87);
    assert_eq!(
        answer(shut.address(), "c", Some(PENCIL)),
        0x87,
        "a name that nobody checks is none"
    );
}

#[test]
fn all_forms_of_mosquitto_are_read_and_the_tool_edits_the_file() {
    let setup = setup("");
    let file = path(&setup.file);
    let old = "six:$6$AAECAwQFBgcICQoL$rRzn37trE3g/BjzdN2mmtKsUjbdiQp6JD9blv4UHWyEGk5h7UCh8xJCi6K\
               fnkhoq2n9xbnqkIfqD5tBAb7eLdQ==\nseven:$7$101$AAECAwQFBgcICQoL$itntC8QS4iuE06UG7o0Px\
               U0qM5UBFdNFBtAux6ya3Syz6oR19T2jx8EIwdBkk+3zME8xITagvpZst1brmEBXRQ==\n\
               two:$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMC\
               HGi/4\n";
    std::fs::write(&setup.file, old).expect("written");
    assert_eq!(passwd(&["add", file, "--batch"], "bob:a:b\nann:pencil\n"), Some(0));
    reread(&setup, 5);
    // The last hash is of the makers of Argon2.
    for (user, password) in
        [("six", "pencil"), ("seven", "pencil"), ("bob", "a:b"), PENCIL, ("two", "password")]
    {
        // Each has a session of its own: that of another may not have ended yet.
        assert_eq!(answer(setup.broker.address(), user, Some((user, password))), 0, "{user}");
    }
    assert_eq!(passwd(&["check", file], ""), Some(0));
    assert_eq!(passwd(&["check", file, "bob"], "a:b\n"), Some(0));
    assert_eq!(passwd(&["check", file, "bob"], "a\n"), Some(1));
    assert_eq!(passwd(&["delete", file, "bob"], ""), Some(0));
    assert_eq!(passwd(&["delete", file, "bob"], ""), Some(2));
    assert_eq!(passwd(&["add", file, "a:b"], "x\n"), Some(2));
    reread(&setup, 4);
    assert_eq!(answer(setup.broker.address(), "bob", Some(("bob", "a:b"))), BAD_PASSWORD);
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_named_with_its_line() {
    let setup = setup("");
    std::fs::write(&setup.file, "# nobody\nann:pencil\n").expect("written");
    setup.broker.await_output("passwords stay as they were");
    setup.broker.await_output("line 2");
    assert_eq!(answer(setup.broker.address(), "c", Some(PENCIL)), 0);
    assert_eq!(passwd(&["check", path(&setup.file)], ""), Some(2));
}

#[test]
fn who_is_not_let_in_touches_no_session_and_leaves_no_will() {
    let setup = setup("");
    let address = setup.broker.address();
    let expiry = property::session_expiry(3600);
    let own =
        Hello { clean: false, properties: &expiry, login: Some(PENCIL), ..Hello::new("victim") };
    let (mut ann, _) = Wire::greet(address, &own);
    ann.subscribe(1, &[("kept", 1), ("gone", 1)]);
    let will = Some(LastWill::new("gone", "boo"));
    let wrong = Hello { will, login: Some(("ann", "wrong")), ..Hello::new("victim") };
    let mut thief = Wire::open(address, Version::V5);
    thief.send(&wrong.bytes());
    assert_eq!(thief.packet_of(kind::CONNACK).body()[1], BAD_PASSWORD);
    drop(thief);
    ann.publish_acknowledged(&Publish::new("kept", "still here", 1, 1));
    let _ = ann.receive("still here");
    ann.disconnect();
    assert_eq!(answer(setup.broker.address(), "victim", Some(("ann", "wrong"))), BAD_PASSWORD);
    let (mut back, present) = Wire::greet(address, &own);
    assert!(present, "a refused clean start ended the session");
    back.nothing_more();
}

#[test]
fn a_guesser_is_stopped_and_neither_delays_others_nor_locks_out_who_is_known() {
    let limits = "wrong_passwords_per_address_max = 20\nwrong_passwords_per_user_max = 0\n";
    let setup = setup(limits);
    let address = setup.broker.address();
    let good = Hello { login: Some(PENCIL), ..Hello::new("good") };
    let (mut good, _) = Wire::greet(address, &good);
    let mut pings = |count: usize| {
        let mut times: Vec<Duration> = (0..count)
            .map(|_| {
                let asked = Instant::now();
                good.send(&[0xc0, 0]);
                let _ = good.packet_of(kind::PINGRESP);
                asked.elapsed()
            })
            .collect();
        times.sort_unstable();
        times[count / 2]
    };
    let before = pings(500);
    let (guessed, during) = std::thread::scope(|threads| {
        let guesser = threads.spawn(|| {
            let from = IpAddr::from([127, 0, 0, 2]);
            let guess = |number: u32| {
                let wire = Wire::on(connect_from(from, address), Version::V5);
                answer_on(wire, &format!("bad{number}"), Some(("ann", &number.to_string())))
            };
            (0..2_000).map(guess).collect::<Vec<u8>>()
        });
        let mut worst = Duration::ZERO;
        while !guesser.is_finished() {
            worst = worst.max(pings(100));
        }
        (guesser.join().expect("it guesses"), worst)
    });
    let hashed = guessed.iter().filter(|code| **code == BAD_PASSWORD).count();
    // Twenty at once, and one more every three seconds.
    assert!((20..200).contains(&hashed), "{hashed} guesses were looked at");
    assert_eq!(guessed.iter().filter(|code| **code == RATE_EXCEEDED).count(), 2_000 - hashed);
    println!("the median ping took {during:?}, before {before:?}");
    // On a loaded machine the scheduler takes more than any guesser.
    let allowed = (10 * before).max(Duration::from_millis(100));
    assert!(during <= allowed, "the median ping took {during:?}, before {before:?}");
    assert_eq!(answer(setup.broker.address(), "again", Some(PENCIL)), 0, "who is known comes in");
}

#[test]
fn what_cannot_wait_is_told_to_come_later_and_not_that_its_password_is_wrong() {
    let limits = "password_queue_max = 1\nwrong_passwords_per_address_max = 0\n\
                  wrong_passwords_per_user_max = 0\npasswords_remembered_max = 0\n\
                  [threads]\npasswords = 1\n";
    let setup = setup(limits);
    let hello = |number: usize| {
        let client_id = format!("c{number}");
        let mut wire = Wire::open(setup.broker.address(), Version::V5);
        wire.send(&Hello { login: Some(PENCIL), ..Hello::new(&client_id) }.bytes());
        wire
    };
    let mut all: Vec<Wire> = (0..30).map(hello).collect();
    let codes: Vec<u8> =
        all.iter_mut().map(|wire| wire.packet_of(kind::CONNACK).body()[1]).collect();
    assert!(codes.contains(&0) && codes.contains(&0x89), "{codes:?}");
    assert!(codes.iter().all(|code| [0, 0x89].contains(code)), "{codes:?}");
}
