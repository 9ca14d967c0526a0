//! Do commands say as one JSON document what they say in words? And does a dry run change nothing?

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::typed::{Said, typed, typed_with};

fn document(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {said:?}"))
}

/// What a command says that goes well.
#[track_caller]
fn well(words: &[&str]) -> Value {
    let said = typed(words);
    assert_eq!(said.code, Some(0), "{said:?}");
    document(&said)
}

/// A folder made by `tidewire init`, and what that said of it.
fn made() -> (TempDir, Value) {
    let folder = TempDir::new().expect("a folder");
    let dir = folder.path().join("broker");
    let said = well(&["init", dir.to_str().expect("UTF-8"), "--json"]);
    (folder, said)
}

fn text<'v>(said: &'v Value, name: &str) -> &'v str {
    said[name].as_str().unwrap_or_else(|| panic!("no {name} in {said}"))
}

#[test]
fn what_init_makes_is_told_with_its_secrets_and_every_file_is_there() {
    let (_folder, said) = made();
    for name in ["config", "password_file", "token_file", "rules_file", "ca_file", "cert_file"] {
        assert!(Path::new(text(&said, name)).is_file(), "{name}: {said}");
    }
    let [user, file] = ["user", "password_file"].map(|name| text(&said, name));
    let password = format!("{}\n", text(&said, "password"));
    let checked = typed_with(&["passwd", "check", file, user, "--json"], password.as_bytes());
    assert_eq!(document(&checked), json!({ "ok": true, "user": user }));
    let checked = typed_with(&["passwd", "check", file, user, "--json"], b"wrong\n");
    assert_eq!((checked.code, document(&checked)["ok"].as_bool()), (Some(1), Some(false)));
    assert_eq!(well(&["passwd", "check", file, "--json"])["users"], 1);
    assert!(text(&said, "token").starts_with("tw_"), "{said}");
    let listed = well(&["token", "list", "--json", "--config", text(&said, "config")]);
    assert_eq!(listed, json!({ "items": [{ "name": "admin", "role": "admin" }] }));
}

#[test]
fn what_check_finds_is_told_be_it_good_or_not() {
    let (folder, said) = made();
    let config = text(&said, "config");
    let checked = typed(&["check", "--json", "--config", config]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let found = document(&checked);
    assert_eq!((&found["ok"], &found["problems"]), (&json!(true), &json!([])), "{found}");
    let names: Vec<_> = found["listeners"].as_array().into_iter().flatten().collect();
    assert!(names.iter().any(|one| one["name"] == "mqtts"), "{found}");
    let wrong = folder.path().join("wrong.toml");
    fs::write(&wrong, "[mqtt]\nrecieve_max = 7\n").expect("written");
    let wrong = wrong.to_str().expect("UTF-8");
    let mistaken = typed(&["check", "--json", "--config", wrong]);
    assert_eq!(mistaken.code, Some(2), "{mistaken:?}");
    let found = document(&mistaken);
    assert_eq!(found["ok"], false, "{found}");
    assert!(found["problems"].to_string().contains("mqtt.receive_max"), "{found}");
}

#[test]
fn check_warns_of_a_port_that_another_program_has_and_not_of_the_brokers_own() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let data = data.to_str().expect("UTF-8");
    let address = taken.local_addr().expect("bound").to_string();
    let off = ["--kafka", "off", "--http", "off", "--data", data, "--mqtt", &address];
    let words = [&["check", "--json"][..], &off].concat();
    let found = well(&words);
    assert!(found["warnings"].to_string().contains("is in use"), "{found}");
    let broker = Broker::start();
    let (data, address) = (broker.data().to_str().expect("UTF-8"), broker.address().to_string());
    let off = ["--kafka", "off", "--http", "off", "--data", data, "--mqtt", &address];
    let found = well(&[&["check", "--json"][..], &off].concat());
    assert!(!found["warnings"].to_string().contains("is in use"), "{found}");
}

#[test]
fn rules_and_certificates_are_told_of() {
    let (folder, said) = made();
    let config = ["--json", "--config", text(&said, "config")];
    let may = well(&[&["acl", "check", "admin", "publish", "a"][..], &config].concat());
    assert_eq!((&may["allowed"], &may["verdict"]), (&json!(true), &json!("allowed")), "{may}");
    assert_eq!(text(&may["rule"], "file"), text(&said, "rules_file"));
    let may_not = typed(&[&["acl", "check", "press", "publish", "a"][..], &config].concat());
    assert_eq!((may_not.code, document(&may_not)["verdict"].as_str()), (Some(1), Some("denied")));

    let [cert, key, ca] = ["cert_file", "key_file", "ca_file"].map(|name| text(&said, name));
    let shown = well(&["certs", "show", cert, ca, "--json"]);
    assert_eq!(shown["items"][1]["certificates"][0]["is_authority"], true, "{shown}");
    let names = shown["items"][0]["certificates"][0]["names"].to_string();
    assert!(names.contains("localhost"), "{shown}");
    let name = ["--name", "localhost", "--json"];
    let checked = well(&[&["certs", "check", cert, "--key", key, "--ca", ca][..], &name].concat());
    assert_eq!(checked["ok"], true, "{checked}");
    let name = ["--name", "elsewhere.example", "--json"];
    let checked = typed(&[&["certs", "check", cert, "--ca", ca][..], &name].concat());
    assert_eq!((checked.code, document(&checked)["ok"].as_bool()), (Some(1), Some(false)));

    // What is tried changes nothing.
    let dir = folder.path().join("broker/certs");
    let dir = dir.to_str().expect("UTF-8");
    let tried = typed(&["certs", "revoke", "--dir", dir, cert, "--dry-run"]).well();
    assert!(tried.contains("1 more") && tried.contains("nothing is written"), "{tried}");
    assert!(!Path::new(dir).join("crl.pem").exists());
}

#[test]
fn a_dry_run_removes_no_user_and_no_token() {
    let (_folder, said) = made();
    let [passwords, tokens] = ["password_file", "token_file"].map(|name| text(&said, name));
    let before = [passwords, tokens].map(|file| fs::read(file).expect("there"));
    let tried = typed(&["passwd", "delete", passwords, "admin", "--dry-run"]).well();
    assert!(tried.contains("would remove \"admin\""), "{tried}");
    let tried = typed(&["token", "delete", "admin", "--file", tokens, "--dry-run"]).well();
    assert!(tried.contains("would remove the tokens \"admin\""), "{tried}");
    assert_eq!([passwords, tokens].map(|file| fs::read(file).expect("there")), before);
    // What cannot be done is said then, too.
    let tried = typed(&["passwd", "delete", passwords, "nobody", "--dry-run"]).fails(2);
    assert!(tried.contains("\"nobody\" is not in"), "{tried}");
    let tried = typed(&["token", "delete", "nobody", "--file", tokens, "--dry-run"]).fails(2);
    assert!(tried.contains("no token \"nobody\""), "{tried}");
}

#[test]
fn what_became_of_messages_is_told() {
    let broker = Broker::start();
    let url = format!("mqtt://{}", broker.address());
    let said = well(&["pub", "a/{{seq}}", "x", "--count", "3", "--json", "--url", &url]);
    assert_eq!((&said["messages"], &said["acknowledged"]), (&json!(3), &json!(3)), "{said}");
    assert_eq!((&said["refused"], &said["qos"]), (&json!(0), &json!(1)), "{said}");
}
