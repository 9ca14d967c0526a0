//! Does a program that is asked who clients are decide just that, and cost nobody else anything
//! when it is slow, gone, or talks nonsense?

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::thread;

use tidewire_tests::authority::{Authority, Use};
use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::doors::connect_from;
use tidewire_tests::kafka_orders::{said, signing_in};
use tidewire_tests::secure::{Secure, Trust};
use tidewire_tests::tokens::Tokens;
use tidewire_tests::web::{Reply, Request, Web};
use tidewire_tests::wire::{
    Hello, LastWill, Publish, Version, Wire, connect, frame, kind, property, publish, subscribe,
};

const BAD_PASSWORD: u8 = 0x86;
const UNAVAILABLE: u8 = 0x88;
const BUSY: u8 = 0x89;
const NOT_AUTHORIZED: u8 = 0x87;
const QUOTA_EXCEEDED: u8 = 0x97;
const MAXIMUM_CONNECT_TIME: u8 = 0xa0;
const UNCOUNTED: &str = "wrong_passwords_per_user_max = 0\nwrong_passwords_per_address_max = 0\n";
/// Nothing is remembered, and there is time.
const PLAIN: &str = "cache_s = 0\ncache_denied_s = 0\ntimeout_ms = 60000\n";

/// What the password is says what is answered.
fn by_password(request: &Request) -> Reply {
    let body = &request.body;
    let has = |password: &str| body.contains(&format!("\"password\":\"{password}\""));
    let reply = |text: &str| Reply::Ok(text.into());
    match () {
        () if has("yes") => reply(r#"{"result":"allow"}"#),
        () if has("no") => reply(r#"{"result":"deny"}"#),
        () if has("narrow") => {
            reply(r##"{"result":"allow","acl":{"publish":["own/%u"],"subscribe":["#"]}}"##)
        }
        () if has("named") => reply(r#"{"result":"allow","user":"ann"}"#),
        () if has("own") => {
            reply(r##"{"result":"allow","acl":{"publish":["own/%u"],"subscribe":["own/#"]}}"##)
        }
        () if has("member") => reply(r#"{"result":"allow","groups":["plant"]}"#),
        () if has("super") => reply(r#"{"result":"allow","superuser":true}"#),
        () if has("short") => reply(r#"{"result":"allow","expires_in_s":3}"#),
        () if has("hang") => Reply::Hang,
        () => reply(r#"{"result":"ignore"}"#),
    }
}

/// A broker that asks there, with more of `[auth.http]` and other sections.
fn broker(web: &Web, more: &str) -> Broker {
    let url = web.url("/who?x=y");
    Configured::new(&format!("[auth]\n{UNCOUNTED}[auth.http]\nurl = {url:?}\n{more}")).start()
}

fn ask(address: SocketAddr, client_id: &str, login: (&str, &str)) -> Wire {
    let mut wire = Wire::open(address, Version::V5);
    wire.send(&Hello { login: Some(login), ..Hello::new(client_id) }.bytes());
    wire
}

fn code(wire: &mut Wire) -> u8 {
    wire.packet_of(kind::CONNACK).body()[1]
}

fn answer(address: SocketAddr, password: &str) -> u8 {
    code(&mut ask(address, "c", ("ann", password)))
}

/// The same of MQTT 3.1.1.
fn old_answer(address: SocketAddr, password: &str) -> u8 {
    old(address, password).1
}

/// A client of MQTT 3.1.1, and what it is answered.
fn old(address: SocketAddr, password: &str) -> (Wire, u8) {
    let mut body = b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01d\x00\x03ann".to_vec();
    body.extend_from_slice(&u16::try_from(password.len()).expect("short").to_be_bytes());
    body.extend_from_slice(password.as_bytes());
    let mut wire = Wire::open(address, Version::V4);
    wire.send(&frame(0x10, &body));
    let code = wire.packet_of(kind::CONNACK).body()[1];
    (wire, code)
}

/// Whether a message may be published there.
fn may_publish(wire: &mut Wire, topic: &str) -> bool {
    wire.send(&publish(Version::V5, &Publish::new(topic, "x", 1, 1)));
    let body = wire.packet_of(kind::PUBACK).body().to_vec();
    body.get(2).is_none_or(|code| code & 0x80 == 0)
}

#[test]
fn the_program_is_told_who_asks_and_its_word_counts() {
    let web = Web::start(by_password);
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "Bearer hunter2\n").expect("written");
    let secret = secret.display().to_string();
    let more = format!("{PLAIN}secret_header = \"Authorization\"\nsecret_file = {secret:?}\n");
    let broker = broker(&web, &more);
    let address = broker.address();
    for (password, new, old) in [("yes", 0, 0), ("no", BAD_PASSWORD, 4), ("?", BAD_PASSWORD, 4)] {
        assert_eq!(answer(address, password), new, "{password}");
        assert_eq!(old_answer(address, password), old, "{password}");
    }
    broker.await_output("the HTTP hook says no");
    broker.await_output("the HTTP hook does not either");
    let heard = web.heard();
    let first = &heard[0];
    assert!(first.head.starts_with("POST /who?x=y HTTP/1.1\r\n"), "{}", first.head);
    let head = first.head.to_lowercase();
    assert!(head.contains("authorization: bearer hunter2\r\n"), "{head}");
    assert!(head.contains("content-type: application/json\r\n"), "{head}");
    let said = "{\"client_id\":\"c\",\"username\":\"ann\",\"password\":\"yes\",\
                \"address\":\"127.0.0.1\",\"listener\":\"mqtt\",\"protocol\":\"mqtt5\",\
                \"certificate\":null}";
    assert_eq!(first.body, said);
    assert!(heard[1].body.contains("\"protocol\":\"mqtt311\""));
    assert!(!broker.output().contains("hunter2"), "a secret is nothing for the log");
    let mut narrow = ask(address, "c", ("ann", "narrow"));
    assert_eq!(code(&mut narrow), 0);
    assert!(may_publish(&mut narrow, "own/ann") && !may_publish(&mut narrow, "own/bob"));
    let mut short = ask(address, "e", ("ann", "short"));
    assert_eq!(code(&mut short), 0);
    let goodbye = short.packet_of(kind::DISCONNECT);
    assert_eq!(goodbye.body().first(), Some(&MAXIMUM_CONNECT_TIME));
    let plain = signing_in("confluent", "PLAIN", "ann", "yes");
    assert_eq!(said_of(&broker, &plain), ["TOPICS mqtt"]);
    let plain = signing_in("confluent", "PLAIN", "ann", "no");
    assert!(said_of(&broker, &plain)[0].starts_with("REFUSED"));
    assert!(web.heard().iter().any(|request| request.body.contains("\"protocol\":\"kafka\"")));
}

fn said_of(broker: &Broker, settings: &[(String, String)]) -> Vec<String> {
    said("confluent", broker.kafka_address(), settings, &["list"])
}

/// Names and passwords that would end the text which they stand in, and say something of their own.
#[test]
fn what_a_client_says_stays_within_its_quotes() {
    let web = Web::start(by_password);
    let broker = broker(&web, PLAIN);
    let address = broker.address();
    let user = "ann\",\"password\":\"yes\",\"x\":\"\\";
    for (name, password) in [(user, "no"), ("ann", "no\",\"password\":\"yes"), ("a\n\\\"", "no")] {
        let mut wire = ask(address, name, (name, password));
        assert_eq!(code(&mut wire), BAD_PASSWORD, "{name} {password}");
        let heard = web.heard();
        let body = &heard.last().expect("it was asked").body;
        let said: serde_json::Value = serde_json::from_str(body).expect("JSON");
        for (key, value) in [("username", name), ("password", password), ("client_id", name)] {
            assert_eq!(said[key], value, "{body}");
        }
        assert_eq!(said.as_object().map(serde_json::Map::len), Some(7), "{body}");
    }
}

/// The next packet, which is short.
fn packet(client: &mut Secure) -> Vec<u8> {
    let head = client.hear(2).expect("a packet");
    let body = client.hear(usize::from(head[1])).expect("all of it");
    [head, body].concat()
}

#[test]
fn who_shows_a_certificate_is_asked_about_where_that_is_wanted() {
    let web = Web::start(|request| {
        let about = |name: &str| {
            let body = &request.body;
            body.contains(&format!("\"username\":\"{name}\"")) && {
                assert!(body.contains(&format!("\"certificate\":\"{name}\"")), "{body}");
                true
            }
        };
        let narrow = r#"{"result":"allow","acl":{"publish":["own/%u"]}}"#;
        Reply::Ok(match () {
            () if about("gone") => r#"{"result":"deny"}"#.into(),
            () if about("narrow") => narrow.into(),
            () => r#"{"result":"ignore"}"#.into(),
        })
    });
    let authority = Authority::new("Test CA");
    let server = authority.sign("server", Use::Server, &["localhost"]);
    let ca = authority.path();
    let (cert, key) = (&server.cert, &server.key);
    let listener = format!(
        "asks_for_certificates = true\n[listener.mqtts]\nbind = \"127.0.0.1:0\"\n\
         [listener.mqtts.tls]\ncert_file = {cert:?}\nkey_file = {key:?}\n\
         client_auth = \"required\"\nclient_ca_file = {ca:?}\nidentity = \"cn\"\n"
    );
    let broker = broker(&web, &format!("{PLAIN}{listener}"));
    let meets = |name: &str| {
        let pair = authority.sign(name, Use::Client, &[name]);
        let trust = Trust::new(&ca, Some(&pair));
        let mut client = Secure::open(broker.address_of("mqtts"), &trust).expect("let in");
        client.say(&connect(Version::V5, name, true, 60, None)).expect("it reads");
        let code = packet(&mut client)[3];
        (client, code)
    };
    assert_eq!(meets("gone").1, BAD_PASSWORD);
    for (name, own, others) in [("narrow", true, false), ("plain", true, true)] {
        let (mut client, code) = meets(name);
        assert_eq!(code, 0, "{name}");
        for (id, (topic, is_let)) in (1..).zip([(&*format!("own/{name}"), own), ("b", others)]) {
            let message = Publish::new(topic, "x", 1, id);
            client.say(&publish(Version::V5, &message)).expect("it reads");
            let told = packet(&mut client).get(4).copied().unwrap_or(0);
            assert_eq!(told & 0x80 == 0, is_let, "{name} {topic} {told:#x}");
        }
    }
    assert_eq!(web.heard().len(), 3);
}

/// Whether a will is sent is asked when its client is lost, and then only what was kept of it is
/// known.
#[test]
fn a_will_has_the_rights_that_the_program_gave_its_client_and_no_others() {
    let web = Web::start(by_password);
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules");
    let write = |text: &str| std::fs::write(&rules, text).expect("written");
    let kept = "group plant\nallow user=eye subscribe #\nallow group=plant publish plant/#\n";
    write(&format!("{kept}allow user=ann publish plant/#\n"));
    let rules_file = rules.display().to_string();
    let broker = broker(&web, &format!("{PLAIN}[access]\nrules_file = {rules_file:?}\n"));
    let mut eye = ask(broker.address(), "eye", ("eye", "yes"));
    assert_eq!(code(&mut eye), 0);
    eye.subscribe(1, &[("#", 1)]);
    let expiry = property::session_expiry(3600);
    let delay = property::will_delay(1);
    let leaves = |client_id: &'static str, login, will| {
        let hello = Hello { will, properties: &expiry, login, ..Hello::new(client_id) };
        Wire::greet(broker.address(), &hello).0
    };
    let delayed =
        |topic, payload| Some(LastWill { properties: &delay, ..LastWill::new(topic, payload) });
    let will = |topic, payload| Some(LastWill::new(topic, payload));
    let plain = leaves("a", Some(("ann", "yes")), will("plant/a", "no right"));
    let away = leaves("b", Some(("ann", "yes")), delayed("plant/b", "no right"));
    away.vanish();
    write(kept);
    broker.hang_up();
    broker.await_output("access rules hold for all sessions");
    plain.vanish();
    broker.await_times("a will may not be sent any more", 2);
    for (client_id, password, topic) in [("c", "member", "plant/c"), ("d", "super", "any")] {
        for (will, payload) in
            [(will(topic, "at once"), "at once"), (delayed(topic, "in a while"), "in a while")]
        {
            leaves(client_id, Some(("ann", password)), will).vanish();
            let sent = eye.packet_of(kind::PUBLISH);
            assert_eq!(sent.payload_text(), payload, "{password}");
        }
    }
}

#[test]
fn what_becomes_of_what_the_program_does_not_allow_is_as_it_is_set_without_rules_too() {
    let web = Web::start(by_password);
    for (drops, sieves) in [(true, false), (false, true)] {
        let publish = if drops { "drop" } else { "close" };
        let wide = if sieves { "sieve" } else { "refuse" };
        let set = format!("unauthorized_publish = \"{publish}\"\nwide_filters = \"{wide}\"\n");
        let broker = broker(&web, &format!("{PLAIN}[access]\n{set}"));
        let (mut old, told) = old(broker.address(), "own");
        assert_eq!(told, 0);
        old.publish(&Publish::new("shut", "x", 1, 2));
        if drops {
            old.answered(kind::PUBACK, 2);
        } else {
            let _ = old.expect_closed();
        }
        let mut wire = ask(broker.address(), "w", ("ann", "own"));
        assert_eq!(code(&mut wire), 0);
        wire.send(&subscribe(Version::V5, 9, &[("#", 1)]));
        let granted = wire.packet_of(kind::SUBACK).body().last().copied();
        assert_eq!(granted, Some(if sieves { 1 } else { NOT_AUTHORIZED }), "{wide}");
        if sieves {
            let mut other = ask(broker.address(), "o", ("ann", "yes"));
            assert_eq!(code(&mut other), 0);
            other.publish_acknowledged(&Publish::new("else", "not for it", 1, 5));
            other.publish_acknowledged(&Publish::new("own/x", "for it", 1, 6));
            assert_eq!(wire.packet_of(kind::PUBLISH).payload_text(), "for it");
        }
    }
}

#[test]
fn the_program_may_say_who_a_client_is_and_those_without_a_name_are_not_one_user() {
    let web = Web::start(by_password);
    let broker = broker(&web, &format!("{PLAIN}[mqtt]\nsessions_per_user_max = 1\n"));
    let expiry = property::session_expiry(3600);
    let from = |last, client_id, login| {
        let stream = connect_from([127, 0, 0, last].into(), broker.address());
        let mut wire = Wire::on(stream, Version::V5);
        let hello = Hello { properties: &expiry, login: Some(login), ..Hello::new(client_id) };
        wire.send(&hello.bytes());
        code(&mut wire)
    };
    assert_eq!(from(1, "hers", ("", "named")), 0);
    assert_eq!(from(1, "hers", ("bob", "yes")), NOT_AUTHORIZED, "it is ann's");
    assert_eq!(from(1, "hers", ("ann", "yes")), 0, "so she has shown to be the same");
    assert_eq!(from(1, "more", ("else", "named")), QUOTA_EXCEEDED, "and has one session");
    // Who is nobody is counted by where it comes from.
    assert_eq!(from(1, "a", ("", "yes")), 0);
    assert_eq!(from(1, "b", ("", "yes")), QUOTA_EXCEEDED);
    assert_eq!(from(2, "b", ("", "yes")), 0);
    assert_eq!(from(2, "a", ("", "yes")), 0, "as one anonymous client from another");
}

#[test]
fn what_is_no_answer_is_never_a_no_and_never_a_yes() {
    let web = Web::start(by_password);
    let broker = broker(&web, PLAIN);
    let address = broker.address();
    let allow = r#"{"result":"allow"}"#;
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n";
    let long = format!("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n{}", " ".repeat(99_999));
    for (reply, why) in [
        (Reply::Status(500), "status 500"),
        (Reply::Status(404), "status 404"),
        (Reply::Status(204), "status 204"),
        (Reply::Status(301), "status 301"),
        (Reply::Status(307), "status 307"),
        (Reply::Ok("<html>".into()), "it is not of its form"),
        (Reply::Ok(String::new()), "it is not of its form"),
        (Reply::Ok(format!("{allow}{allow}")), "it is not of its form"),
        (Reply::Ok(format!("{allow}{}", " ".repeat(70_000))), "more than 65536 bytes"),
        (Reply::Raw(Vec::new()), "the HTTP hook gives no answer"),
        (Reply::Raw(b"\x16\x03\x01garbage\r\n\r\n".to_vec()), "the HTTP hook gives no answer"),
        (Reply::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{".to_vec()), "no answer"),
        (Reply::Raw(chunked.into()), "no answer"),
        (Reply::Raw(long.into()), "no answer"),
        (Reply::Raw(vec![b'x'; 200_000]), "no answer"),
    ] {
        let told = format!("{reply:.80?}");
        let is_first = matches!(reply, Reply::Status(500));
        web.answer(move |_| reply.clone());
        assert_eq!(answer(address, "yes"), UNAVAILABLE, "{told}");
        // More than twenty lines a second are not written.
        if is_first {
            assert_eq!(old_answer(address, "yes"), 3, "{told}");
        }
        broker.await_output(why);
    }
    web.answer(by_password);
    assert_eq!(answer(address, "yes"), 0, "it is well again");
    drop(web);
}

#[test]
fn nobody_else_waits_for_a_program_that_hangs() {
    let web = Web::start(by_password);
    let mut tokens = Tokens::new();
    let secret = tokens.file("secret").display().to_string();
    let more = format!(
        "{PLAIN}connections_max = 1\nqueue_max = 4\n[auth.jwt]\nsecret_file = {secret:?}\n"
    );
    let broker = broker(&web, &more);
    let address = broker.address();
    let mut old = ask(address, "old", ("ann", "yes"));
    assert_eq!(code(&mut old), 0);
    // One is under way, and of one address two may wait besides.
    let mut held = ask(address, "held", ("ann", "hang"));
    web.await_requests(2);
    let token = tokens.sign(("HS256", "secret"), "-", 100_000, "{}");
    for round in 0..10 {
        assert!(may_publish(&mut old, "a"), "{round}");
        assert_eq!(code(&mut ask(address, "t", ("ann", &token))), 0, "{round}");
    }
    let (to, codes) = channel();
    for number in 0..5 {
        let (mut wire, to) = (ask(address, &format!("w{number}"), ("ann", "hang")), to.clone());
        thread::spawn(move || to.send(code(&mut wire)));
    }
    // Who finds no place is told at once, while the others wait.
    for _ in 0..3 {
        assert_eq!(codes.recv(), Ok(BUSY));
    }
    web.answer(|request| match by_password(request) {
        Reply::Hang => Reply::Ok(r#"{"result":"allow"}"#.into()),
        reply => reply,
    });
    web.release();
    assert_eq!(code(&mut held), 0);
    for _ in 0..2 {
        assert_eq!(codes.recv(), Ok(0));
    }
}

#[test]
fn who_takes_too_long_is_unavailable_and_so_is_who_is_not_there() {
    let web = Web::start(|_| Reply::Hang);
    let slow = broker(&web, "timeout_ms = 50\n");
    assert_eq!(answer(slow.address(), "yes"), UNAVAILABLE);
    assert_eq!(old_answer(slow.address(), "yes"), 3);
    slow.await_output("sign-in cannot be checked");
    // Nobody has this port.
    let gone = "http://127.0.0.1:1/who";
    let config = format!("[auth]\n{UNCOUNTED}[auth.http]\nurl = {gone:?}\n");
    let gone = Configured::new(&config).start();
    assert_eq!(answer(gone.address(), "yes"), UNAVAILABLE);
    gone.await_output("the HTTP hook gives no answer");
}

#[test]
fn what_was_said_is_remembered_for_who_asked_the_same() {
    let web = Web::start(by_password);
    let more = "cache_s = 86400\ncache_denied_s = 3600\ntimeout_ms = 60000\n";
    let broker = broker(&web, more);
    let address = broker.address();
    for _ in 0..5 {
        assert_eq!(answer(address, "yes"), 0);
        assert_eq!(answer(address, "no"), BAD_PASSWORD);
    }
    assert_eq!(web.heard().len(), 2);
    assert_eq!(code(&mut ask(address, "other", ("ann", "yes"))), 0);
    assert_eq!(code(&mut ask(address, "bob", ("bob", "yes"))), 0);
    assert_eq!(web.heard().len(), 4, "another client id, another user");
    web.answer(|_| Reply::Status(500));
    assert_eq!(answer(address, "yes"), 0, "also while it is away");
}

#[test]
fn the_program_is_asked_over_tls_if_its_certificate_is_right() {
    let (authority, stranger) = (Authority::new("Ours"), Authority::new("Another"));
    let pair = authority.sign("hook", Use::Server, &["localhost"]);
    let web = Web::secret(&pair, by_password);
    for (ca, expected) in [(&authority, 0), (&stranger, UNAVAILABLE)] {
        let ca = ca.path().display().to_string();
        let broker = broker(&web, &format!("{PLAIN}ca_file = {ca:?}\n"));
        assert_eq!(answer(broker.address(), "yes"), expected, "{ca}");
    }
}

#[test]
fn the_password_file_has_its_users_and_the_program_the_rest() {
    let web = Web::start(by_password);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("passwords");
    // Of "pencil", as Mosquitto writes it.
    let line = "bob:$7$101$AAECAwQFBgcICQoL$itntC8QS4iuE06UG7o0PxU0qM5UBFdNFBtAux6ya3Syz6oR19T2jx8E\
                IwdBkk+3zME8xITagvpZst1brmEBXRQ==\n";
    std::fs::write(&file, line).expect("written");
    let url = web.url("/who");
    let config = format!(
        "[auth]\npassword_file = {:?}\n{UNCOUNTED}[auth.http]\nurl = {url:?}\n{PLAIN}",
        file.display().to_string()
    );
    let broker = Configured::new(&config).start();
    for (login, expected) in [
        (("bob", "pencil"), 0),
        (("bob", "yes"), BAD_PASSWORD),
        (("ann", "yes"), 0),
        (("ann", "pencil"), BAD_PASSWORD),
    ] {
        assert_eq!(code(&mut ask(broker.address(), login.0, login)), expected, "{login:?}");
    }
    assert!(web.heard().iter().all(|request| !request.body.contains("bob")));
}
