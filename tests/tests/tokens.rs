//! Is a client let in with a token that another library made, with just the rights that it gives
//! and for just as long, and by nothing else that looks like one?

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, paho};
use tidewire_tests::configured::Configured;
use tidewire_tests::kafka_orders::{said, signing_in};
use tidewire_tests::program::PATIENCE;
use tidewire_tests::tokens::Tokens;
use tidewire_tests::web::{Reply, Web};
use tidewire_tests::wire::{Hello, Publish, Version, Wire, frame, kind, publish};

const BAD_PASSWORD: u8 = 0x86;
const NOT_AUTHORIZED: u8 = 0x87;
const UNAVAILABLE: u8 = 0x88;
const MAXIMUM_CONNECT_TIME: u8 = 0xa0;
/// Seconds that no test takes.
const LONG: i64 = 100_000;
/// Any number of wrong ones may come.
const UNCOUNTED: &str = "wrong_passwords_per_user_max = 0\nwrong_passwords_per_address_max = 0\n";
const ALL: [(&str, &str); 11] = [
    ("HS256", "secret"),
    ("HS384", "secret"),
    ("HS512", "secret"),
    ("RS256", "rsa"),
    ("RS384", "rsa"),
    ("RS512", "rsa"),
    ("PS256", "rsa"),
    ("PS384", "rsa"),
    ("PS512", "rsa"),
    ("ES256", "p256"),
    ("ES384", "p384"),
];

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A broker that knows keys of all kinds, with more of `[auth.jwt]` and other sections.
fn broker(tokens: &Tokens, more: &str) -> Broker {
    let keys = ["rsa", "p256", "p384"].map(|name| text(&tokens.file(name)));
    let config = format!(
        "[auth]\n{UNCOUNTED}[auth.jwt]\nsecret_file = {:?}\nkey_files = {keys:?}\n{more}",
        text(&tokens.file("secret"))
    );
    Configured::new(&config).start()
}

fn say(address: SocketAddr, client_id: &str, token: &str) -> (Wire, u8) {
    let mut wire = Wire::open(address, Version::V5);
    wire.send(&Hello { login: Some(("whoever", token)), ..Hello::new(client_id) }.bytes());
    let code = wire.packet_of(kind::CONNACK).body()[1];
    (wire, code)
}

fn answer(address: SocketAddr, token: &str) -> u8 {
    say(address, "c", token).1
}

/// The same of MQTT 3.1.1.
fn old_answer(address: SocketAddr, token: &str) -> u8 {
    let mut body = b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01d\x00\x01u".to_vec();
    body.extend_from_slice(&u16::try_from(token.len()).expect("short").to_be_bytes());
    body.extend_from_slice(token.as_bytes());
    let mut wire = Wire::open(address, Version::V4);
    wire.send(&frame(0x10, &body));
    wire.packet_of(kind::CONNACK).body()[1]
}

#[test]
fn tokens_of_another_library_let_in_however_they_are_signed_and_others_do_not() {
    let mut tokens = Tokens::new();
    let broker = broker(&tokens, "audience = \"mqtt\"\n");
    let address = broker.address();
    for by in ALL {
        let token = tokens.sign(by, "-", LONG, r#"{"aud":["x","mqtt"]}"#);
        assert_eq!(answer(address, &token), 0, "{by:?}");
    }
    let good = r#"{"aud":"mqtt"}"#;
    let rsa = ("RS256", "rsa");
    for (by, seconds, claims, why) in [
        (("RS256", "stranger"), LONG, good, "the signature of the token is wrong"),
        (rsa, -1_000, good, "the token has expired (`exp`)"),
        (rsa, LONG, r#"{"aud":"kafka"}"#, "the token is for somebody else (`aud`)"),
        (rsa, LONG, r#"{"aud":"mqtt","nbf":9999999999}"#, "the token does not hold yet (`nbf`)"),
        (rsa, LONG, r#"{"aud":"mqtt","sub":""}"#, "is missing, or not of its form"),
    ] {
        let token = tokens.sign(by, "-", seconds, claims);
        assert_eq!(answer(address, &token), BAD_PASSWORD, "{why}");
        assert_eq!(old_answer(address, &token), 4, "{why}");
        broker.await_output(why);
        assert!(!broker.output().contains(&token), "a token is nothing for the log");
    }
    assert_eq!(answer(address, "pencil"), BAD_PASSWORD, "no token at all");
    let token = tokens.sign(rsa, "-", LONG, good);
    assert_eq!(old_answer(address, &token), 0);
    for version in Mosquitto::VERSIONS {
        let client = Mosquitto::new(address, version);
        let login = ["-u", "meter", "-P", &token, "-q", "1"];
        let subscriber = client.subscribe("a", &login);
        client.publish("a", version, &login);
        assert!(subscriber.message().ends_with(version));
    }
    paho("paho_token.py", address, &[&token]);
}

#[test]
fn groups_of_a_token_are_those_of_the_rules_and_its_topics_take_from_them() {
    let mut tokens = Tokens::new();
    let folder = TempDir::new().expect("a folder");
    let rules = folder.path().join("rules");
    let lines = "group plant\nallow group=plant publish,subscribe plant/#\n";
    std::fs::write(&rules, lines).expect("written");
    let more = format!(
        "groups_claim = \"groups\"\nacl_claim = \"acl\"\n[access]\nrules_file = {:?}\n",
        text(&rules)
    );
    let broker = broker(&tokens, &more);
    let by = ("ES256", "p256");
    let acl = r#""acl":{"publish":["plant/%u/+","other"],"subscribe":["plant/#"]}"#;
    let inside = tokens.sign(by, "-", LONG, &format!(r#"{{"groups":["plant"],{acl}}}"#));
    let outside = tokens.sign(by, "-", LONG, &format!(r#"{{"groups":["office"],{acl}}}"#));
    let bare = tokens.sign(by, "-", LONG, r#"{"groups":["plant"]}"#);
    for (token, published, subscribed) in [
        (&inside, [("plant/ann/1", 0), ("plant/bob/1", NOT_AUTHORIZED), ("other", 0x87)], 1),
        (&outside, [("plant/ann/1", 0x87), ("plant/bob/1", 0x87), ("other", 0x87)], 0x87),
    ] {
        let (mut wire, code) = say(broker.address(), "c", token);
        assert_eq!(code, 0);
        for (id, (topic, code)) in (1..).zip(published) {
            wire.send(&publish(Version::V5, &Publish::new(topic, "x", 1, id)));
            let body = wire.packet_of(kind::PUBACK).body().to_vec();
            let told = body.get(2).copied().unwrap_or(0);
            // Without a subscriber it is 0x10, which is no error.
            assert_eq!(told & 0x80 != 0, code != 0, "{topic} {told:#x}");
        }
        wire.say(0x82, "00 09 [] $'plant/#' 01");
        assert_eq!(wire.packet_of(kind::SUBACK).body().last(), Some(&subscribed));
    }
    assert_eq!(answer(broker.address(), &bare), BAD_PASSWORD, "it might have been cut off");
}

#[test]
fn a_connection_ends_with_its_token_and_its_client_is_told() {
    let mut tokens = Tokens::new();
    let broker = broker(&tokens, "leeway_s = 0\n");
    let mut seconds = 4;
    let mut wire = loop {
        let token = tokens.sign(("HS256", "secret"), "-", seconds, "{}");
        let (wire, code) = say(broker.address(), "c", &token);
        if code == 0 {
            break wire;
        }
        // It took longer than that to say it.
        assert!(code == BAD_PASSWORD && seconds < 100, "{code:#x}");
        seconds *= 2;
    };
    let goodbye = wire.packet_of(kind::DISCONNECT);
    assert_eq!(goodbye.body().first(), Some(&MAXIMUM_CONNECT_TIME));
}

#[test]
fn keys_of_an_address_are_fetched_kept_and_looked_for_again() {
    let mut tokens = Tokens::new();
    let web = Web::start(|_| Reply::Status(503));
    let config = format!(
        "[auth]\n{UNCOUNTED}[auth.jwt]\njwks_url = {:?}\njwks_unknown_key_s = 1\n",
        web.url("/keys")
    );
    let broker = Configured::new(&config).start();
    let address = broker.address();
    let set = |tokens: &Tokens, name: &str| {
        std::fs::read_to_string(tokens.file(&format!("{name}.jwks"))).expect("a set")
    };
    let token = tokens.sign(("RS256", "rsa"), "rsa", LONG, "{}");
    assert_eq!(answer(address, &token), UNAVAILABLE, "nobody can say");
    assert_eq!(old_answer(address, &token), 3);
    let keys = set(&tokens, "rsa");
    web.answer(move |_| Reply::Ok(keys.clone()));
    broker.await_output("keys of tokens are fetched");
    assert_eq!(answer(address, &token), 0);
    // Another key from now on: the first token that names it has it fetched, and waits for that, or
    // finds that they were fetched a moment ago.
    let keys = set(&tokens, "p256");
    web.answer(move |_| Reply::Ok(keys.clone()));
    let other = tokens.sign(("ES256", "p256"), "p256", LONG, "{}");
    let heard = web.heard().len();
    let since = Instant::now();
    while answer(address, &other) != 0 {
        assert!(since.elapsed() < PATIENCE, "it is never fetched again");
        assert!(web.heard().len() < heard + 30, "it was fetched again and again");
    }
    assert_eq!(answer(address, &token), BAD_PASSWORD, "that key is gone");
    web.answer(|_| Reply::Status(500));
    let heard = web.heard().len();
    let unknown = tokens.sign(("RS256", "rsa"), "rsa", LONG, "{}");
    let since = Instant::now();
    while answer(address, &unknown) != UNAVAILABLE {
        assert!(since.elapsed() < PATIENCE, "it is never looked for");
        assert!(web.heard().len() < heard + 30, "it was asked again and again");
    }
    assert_eq!(answer(address, &other), 0, "what was known stays");
}

#[test]
fn keys_of_a_file_are_those_that_it_names() {
    let mut tokens = Tokens::new();
    let keys = text(&tokens.file("rsa.jwks"));
    let broker =
        Configured::new(&format!("[auth]\n{UNCOUNTED}[auth.jwt]\njwks_file = {keys:?}\n")).start();
    for (by, key_id, expected) in [
        (("RS256", "rsa"), "rsa", 0),
        (("ES256", "p256"), "p256", BAD_PASSWORD),
        (("RS256", "stranger"), "rsa", BAD_PASSWORD),
    ] {
        let token = tokens.sign(by, key_id, LONG, "{}");
        assert_eq!(answer(broker.address(), &token), expected, "{by:?} {key_id}");
    }
}

#[test]
fn kafka_clients_bring_tokens_as_passwords_and_as_bearers() {
    let mut tokens = Tokens::new();
    let more = "[listener.kafka]\nanonymous = \"refuse\"\n";
    let broker = broker(&tokens, more);
    let kafka = broker.kafka_address();
    let good = tokens.sign(("RS256", "rsa"), "-", LONG, "{}");
    let bad = tokens.sign(("RS256", "stranger"), "-", LONG, "{}");
    let bearer = |token: &str| {
        let mut settings = signing_in("confluent", "OAUTHBEARER", "", "");
        settings.retain(|(name, _)| !name.contains("username") && !name.contains("password"));
        settings.push(("token".into(), token.into()));
        said("confluent", kafka, &settings, &["list"])
    };
    assert_eq!(bearer(&good), ["TOPICS mqtt"]);
    assert!(bearer(&bad)[0].starts_with("REFUSED"));
    for library in ["confluent", "kafka-python"] {
        let plain = signing_in(library, "PLAIN", "whoever", &good);
        assert_eq!(said(library, kafka, &plain, &["list"]), ["TOPICS mqtt"], "{library}");
    }
    let plain = signing_in("confluent", "PLAIN", "whoever", &bad);
    assert!(said("confluent", kafka, &plain, &["list"])[0].starts_with("REFUSED"));
}

/// Who asks to be believed without a key, or by one that everybody knows.
#[test]
fn a_token_that_says_itself_how_it_is_to_be_believed_is_not() {
    let mut tokens = Tokens::new();
    let keys = ["rsa", "p256"].map(|name| text(&tokens.file(name)));
    let config = format!("[auth]\n{UNCOUNTED}[auth.jwt]\nkey_files = {keys:?}\n");
    let public_keys = Configured::new(&config).start();
    let brokers = [public_keys, broker(&tokens, "")];
    let pem = std::fs::read(tokens.file("rsa")).expect("a key");
    let claims = r#"{"sub":"ann","exp":9999999999}"#;
    let by = |head: &str, sign: &dyn Fn(&str) -> Vec<u8>| {
        let said = [head, claims].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
        let signature = URL_SAFE_NO_PAD.encode(sign(&said));
        format!("{said}.{signature}")
    };
    let by_public_key = |said: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(&pem).expect("any length will do");
        mac.update(said.as_bytes());
        mac.finalize().into_bytes().to_vec()
    };
    let (nothing, zeros) = (|_: &str| Vec::new(), |_: &str| vec![0; 64]);
    let long = |_: &str| vec![1; 132];
    let forged = [
        by(r#"{"alg":"none"}"#, &nothing),
        by(r#"{"alg":"nOnE","typ":"JWT"}"#, &nothing),
        by(r#"{"typ":"JWT"}"#, &nothing),
        // The public key as if it were a secret.
        by(r#"{"alg":"HS256"}"#, &by_public_key),
        by(r#"{"alg":"HS256","kid":"../../dev/null"}"#, &by_public_key),
        // A key of its own, brought along or to be fetched.
        by(r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AAAA"}}"#, &by_public_key),
        by(r#"{"alg":"RS256","jku":"http://127.0.0.1:9/keys"}"#, &zeros),
        // The point at infinity signs everything where nobody looks.
        by(r#"{"alg":"ES256"}"#, &zeros),
        // Ways that we do not have.
        by(r#"{"alg":"ES512"}"#, &long),
        by(r#"{"alg":"EdDSA"}"#, &zeros),
        by(r#"{"alg":"RSA-OAEP","enc":"A256GCM"}"#, &long),
    ];
    // One that is good, said to be signed in another way.
    let good = tokens.sign(("RS256", "rsa"), "-", LONG, "{}");
    let rest = good.split_once('.').expect("three parts").1;
    let heads = [r#"{"alg":"ES256"}"#, r#"{"alg":"HS256"}"#, r#"{"alg":"PS256"}"#];
    let swapped = heads.map(|head| format!("{}.{rest}", URL_SAFE_NO_PAD.encode(head)));
    for broker in &brokers {
        assert_eq!(answer(broker.address(), &good), 0, "good as it was");
        for token in forged.iter().chain(&swapped) {
            assert_eq!(answer(broker.address(), token), BAD_PASSWORD, "{token}");
        }
    }
}
