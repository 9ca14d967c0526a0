//! Is a client let in exactly when it shows that it knows the password, and is nothing learnt or
//! touched by one that does not?

use std::io::Write as _;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::paho;
use tidewire_tests::places;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::scram::Scram;
use tidewire_tests::wire::{
    Hello, LastWill, Packet, Publish, Version, Wire, frame, kind, property,
};

const METHOD: &[u8] = b"SCRAM-SHA-256";
const METHOD_ID: u8 = 0x15;
const DATA_ID: u8 = 0x16;
const AUTH: u8 = 15;
const GOOD: Scram<'_> = Scram { user: "device", password: "pencil" };

/// The line that `tidewire passwd` makes.
fn line(user: &str, password: &str) -> String {
    let mut command = Command::new(places::built_program("tidewire"));
    command.args(["passwd", "--scram", user, "--iterations", "4096"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program was built");
    let mut input = child.stdin.take().expect("piped");
    writeln!(input, "{password}").expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("our child");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

/// A broker that knows two users. The folder holds its files.
fn broker() -> (Broker, TempDir) {
    broker_with("")
}

/// The same with more lines about who is let in.
fn broker_with(more: &str) -> (Broker, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let users = folder.path().join("users");
    let lines = format!("# devices\n{}{}", line("device", "pencil"), line("other", "rubber"));
    std::fs::write(&users, lines).expect("the file");
    let config = format!(
        "[listener.mqtt]\nanonymous = \"allow\"\n[mqtt]\nconnect_timeout_ms = 10000\n\
         [auth]\nscram_file = {:?}\n{more}",
        users.display().to_string()
    );
    (Broker::start_configured(&config), folder)
}

fn properties(method: &[u8], data: Option<&[u8]>) -> Vec<u8> {
    let mut all = property::text(METHOD_ID, method);
    all.extend(data.map(|data| property::text(DATA_ID, data)).unwrap_or_default());
    all
}

fn auth(reason: u8, method: &[u8], data: Option<&[u8]>) -> Vec<u8> {
    let properties = properties(method, data);
    let length = properties.len();
    let low = u8::try_from(length & 0x7f).expect("seven bits");
    let mut body = vec![reason];
    match u8::try_from(length >> 7).expect("short") {
        0 => body.push(low),
        high => body.extend_from_slice(&[low | 0x80, high]),
    }
    body.extend(properties);
    frame(0xf0, &body)
}

/// The Authentication Data of a packet.
fn data_of(packet: &Packet) -> String {
    let body = packet.body();
    let method = body.windows(METHOD.len()).position(|part| part == METHOD);
    let rest = &body[method.expect("the method is named") + METHOD.len()..];
    assert_eq!(rest[0], DATA_ID, "{packet}");
    let length = usize::from(rest[1]) << 8 | usize::from(rest[2]);
    String::from_utf8(rest[3..3 + length].to_vec()).expect("text")
}

fn hello(broker: &Broker, client_id: &str, data: Option<&[u8]>) -> Wire {
    let mut wire = Wire::open(broker.address(), Version::V5);
    let said = properties(METHOD, data);
    wire.send(&Hello { properties: &said, ..Hello::new(client_id) }.bytes());
    wire
}

/// The challenge of an AUTH with 0x18.
fn challenge(wire: &mut Wire) -> String {
    let packet = wire.packet_of(AUTH);
    assert_eq!(packet.body()[0], 0x18, "{packet}");
    data_of(&packet)
}

fn answer(wire: &mut Wire, client: &Scram<'_>) -> String {
    let challenge = challenge(wire);
    let (last, expected) = client.last(&challenge);
    wire.send(&auth(0x18, METHOD, Some(last.as_bytes())));
    expected
}

fn signed_in(broker: &Broker) -> Wire {
    let mut wire = hello(broker, "c", Some(GOOD.first().as_bytes()));
    let expected = answer(&mut wire, &GOOD);
    let connack = wire.packet_of(kind::CONNACK);
    assert_eq!(connack.reason(), 0, "{connack}");
    assert_eq!(data_of(&connack), expected, "the broker knows the password's keys too");
    wire
}

#[test]
fn who_knows_the_password_is_let_in_and_the_broker_shows_itself() {
    let (broker, _folder) = broker();
    let mut wire = signed_in(&broker);
    wire.publish_acknowledged(&Publish::new("a", "x", 1, 1));
    wire.disconnect();
}

#[test]
fn a_client_of_another_make_signs_in_and_signs_in_anew() {
    let (broker, _folder) = broker();
    paho("scram_login.py", broker.address(), &["device", "pencil"]);
}

#[test]
fn the_first_message_may_come_after_connect() {
    let (broker, _folder) = broker();
    let mut wire = hello(&broker, "c", None);
    let packet = wire.packet_of(AUTH);
    assert_eq!(packet.body()[0], 0x18, "{packet}");
    wire.send(&auth(0x18, METHOD, Some(GOOD.first().as_bytes())));
    answer(&mut wire, &GOOD);
    assert_eq!(wire.packet_of(kind::CONNACK).reason(), 0);
}

#[test]
fn a_user_who_is_added_to_the_file_or_taken_out_needs_no_restart() {
    // It asks until the file was looked at, which is no guessing.
    let (broker, folder) =
        broker_with("wrong_passwords_per_user_max = 0\nwrong_passwords_per_address_max = 0\n");
    let file = folder.path().join("users");
    let new = Scram { user: "new", password: "ink" };
    let awaited = |client: &Scram<'_>, reason: u8| {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let mut wire = hello(&broker, "c", Some(client.first().as_bytes()));
            answer(&mut wire, client);
            let found = wire.packet_of(kind::CONNACK).reason();
            if found == reason {
                return;
            }
            assert!(std::time::Instant::now() < deadline, "still {found:02x}");
        }
    };
    awaited(&new, 0x87);
    std::fs::write(&file, line("new", "ink")).expect("the file");
    awaited(&new, 0);
    awaited(&GOOD, 0x87);
    std::fs::write(&file, "no such line").expect("the file");
    awaited(&new, 0);
    awaited(&GOOD, 0x87);
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let (broker, _folder) = broker();
    let shape = |challenge: &str| -> Vec<usize> { challenge.split(',').map(str::len).collect() };
    let mut shapes = Vec::new();
    for user in ["device", "nobody"] {
        let client = Scram { user, password: "wrong" };
        let mut salts = Vec::new();
        for _ in 0..2 {
            let mut wire = hello(&broker, "c", Some(client.first().as_bytes()));
            let challenge = challenge(&mut wire);
            let (last, _) = client.last(&challenge);
            wire.send(&auth(0x18, METHOD, Some(last.as_bytes())));
            let connack = wire.packet_of(kind::CONNACK);
            assert_eq!(connack.body(), [0, 0x87, 0], "nothing but the refusal");
            wire.expect_closed();
            salts.push(challenge.split(',').nth(1).map(str::to_owned));
            shapes.push(shape(&challenge));
        }
        assert_eq!(salts[0], salts[1], "a salt that changed would tell that there is no user");
    }
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
}

#[test]
fn what_is_no_proof_is_refused() {
    let (broker, _folder) = broker();
    for first in ["p=tls-unique,,n=device,r=abc", "n,a=other,n=device,r=abc", "x", ""] {
        let mut wire = hello(&broker, "c", Some(first.as_bytes()));
        assert_eq!(wire.packet_of(kind::CONNACK).reason(), 0x87, "{first}");
        wire.expect_closed();
    }
    // The answer to another challenge.
    let mut other = hello(&broker, "c", Some(GOOD.first().as_bytes()));
    let (last, _) = GOOD.last(&challenge(&mut other));
    let mut wire = hello(&broker, "d", Some(GOOD.first().as_bytes()));
    challenge(&mut wire);
    wire.send(&auth(0x18, METHOD, Some(last.as_bytes())));
    assert_eq!(wire.packet_of(kind::CONNACK).reason(), 0x87);
}

#[test]
fn a_method_that_we_have_not_is_refused_by_name() {
    let (broker, _folder) = broker();
    let without = Broker::start();
    for (broker, method) in
        [(&broker, &b"PLAIN"[..]), (&broker, b"scram-sha-256"), (&without, METHOD)]
    {
        let mut wire = Wire::open(broker.address(), Version::V5);
        let said = properties(method, Some(b"x"));
        wire.send(&Hello { properties: &said, ..Hello::new("c") }.bytes());
        assert_eq!(wire.packet_of(kind::CONNACK).reason(), 0x8c);
        wire.expect_closed();
    }
}

#[test]
fn between_connect_and_connack_only_auth_may_come() {
    let (broker, _folder) = broker();
    let publish = tidewire_tests::wire::publish(Version::V5, &Publish::new("a", "x", 0, 0));
    let others = [
        publish,
        vec![0xc0, 0],
        auth(0x19, METHOD, Some(b"x")),
        auth(0x18, b"PLAIN", Some(b"x")),
        vec![0xf0, 0],
    ];
    for other in others {
        let mut wire = hello(&broker, "c", Some(GOOD.first().as_bytes()));
        challenge(&mut wire);
        wire.send(&other);
        let connack = wire.packet_of(kind::CONNACK);
        assert_eq!(connack.reason(), 0x82, "{other:02x?}");
        wire.expect_closed();
    }
}

#[test]
fn an_authentication_that_stops_half_way_is_not_waited_for() {
    let (broker, _folder) = broker();
    let mut wire = hello(&broker, "c", Some(GOOD.first().as_bytes()));
    challenge(&mut wire);
    wire.expect_closed();
}

#[test]
fn who_is_refused_touches_no_session_and_leaves_no_will() {
    let (broker, _folder) = broker();
    let (mut victim, _) = Wire::resume(broker.address(), Version::V5, "victim");
    victim.subscribe(1, &[("#", 1)]);
    let said = properties(METHOD, Some(GOOD.first().as_bytes()));
    let will = Some(LastWill::new("will", "not to be seen"));
    let hello = Hello { properties: &said, will, ..Hello::new("victim") };
    let mut thief = Wire::open(broker.address(), Version::V5);
    thief.send(&hello.bytes());
    challenge(&mut thief);
    // Not even half way through is the session's owner disturbed.
    victim.nothing_more();
    thief.send(&auth(0x18, METHOD, Some(b"c=biws,r=x,p=AAAA")));
    assert_eq!(thief.packet_of(kind::CONNACK).reason(), 0x87);
    thief.expect_closed();
    victim.nothing_else_on("any");
}

#[test]
fn a_client_authenticates_anew_as_itself_only() {
    let (broker, _folder) = broker();
    let mut wire = signed_in(&broker);
    for _ in 0..2 {
        wire.send(&auth(0x19, METHOD, Some(GOOD.first().as_bytes())));
        let expected = answer(&mut wire, &GOOD);
        let done = wire.packet_of(AUTH);
        assert_eq!((done.body()[0], data_of(&done)), (0, expected));
        wire.publish_acknowledged(&Publish::new("a", "x", 1, 1));
    }
    let other = Scram { user: "other", password: "rubber" };
    let wrong = Scram { user: "device", password: "wrong" };
    for client in [other, wrong] {
        let mut wire = signed_in(&broker);
        wire.send(&auth(0x19, METHOD, Some(client.first().as_bytes())));
        answer(&mut wire, &client);
        assert_eq!(wire.packet_of(kind::DISCONNECT).reason(), 0x87);
        wire.expect_closed();
    }
}

#[test]
fn auth_out_of_place_is_a_protocol_error() {
    let (broker, _folder) = broker();
    for packet in [auth(0x19, METHOD, Some(b"x")), auth(0x18, METHOD, Some(b"x")), vec![0xf0, 0]] {
        let mut wire = Wire::clean(broker.address(), Version::V5, "plain");
        wire.send(&packet);
        assert_eq!(wire.packet_of(kind::DISCONNECT).reason(), 0x82, "{packet:02x?}");
    }
    for packet in [auth(0x19, b"PLAIN", Some(b"x")), auth(0x18, METHOD, Some(b"x")), vec![0xf0, 0]]
    {
        let mut wire = signed_in(&broker);
        wire.send(&packet);
        assert_eq!(wire.packet_of(kind::DISCONNECT).reason(), 0x82, "{packet:02x?}");
    }
    // Twice at a time.
    let mut wire = signed_in(&broker);
    wire.send(&auth(0x19, METHOD, Some(GOOD.first().as_bytes())));
    challenge(&mut wire);
    wire.send(&auth(0x19, METHOD, Some(GOOD.first().as_bytes())));
    assert_eq!(wire.packet_of(kind::DISCONNECT).reason(), 0x82);
    // Before anything else.
    let mut wire = Wire::open(broker.address(), Version::V5);
    wire.send(&auth(0x18, METHOD, Some(b"x")));
    wire.expect_closed();
}

#[test]
fn a_file_that_is_wrong_is_found_before_the_start() {
    let folder = TempDir::new().expect("a folder");
    let (users, config) = (folder.path().join("users"), folder.path().join("config.toml"));
    std::fs::write(&users, "device:plain text\n").expect("the file");
    let text = format!("[auth]\nscram_file = {:?}\n", users.display().to_string());
    std::fs::write(&config, text).expect("the file");
    for command in ["check", "serve"] {
        let mut program = Command::new(places::built_program("tidewire"));
        program.current_dir(folder.path()).arg(command).arg("--config").arg(&config);
        let output = program
            .args(["--mqtt", "127.0.0.1:0", "--kafka", "off", "--http", "off"])
            .output()
            .expect("it was built");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{command}: {said}");
        assert!(said.contains("line 1"), "{command}: {said}");
    }
}
