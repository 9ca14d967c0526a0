//! `tidewire certs` makes what servers and clients accept, and finds what is wrong with any.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// What `tidewire certs` does with these words in this folder.
fn certs(folder: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidewire"));
    command.arg("certs").args(words).current_dir(folder);
    command.output().expect("the program runs")
}

#[track_caller]
fn done(folder: &Path, words: &[&str]) -> String {
    let output = certs(folder, words);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{words:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn wrong(folder: &Path, words: &[&str], code: i32, told: &str) {
    let output = certs(folder, words);
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
    assert!(said.contains(told), "{words:?} said {said:?}, not {told:?}");
}

#[test]
fn an_authority_a_server_and_a_client_are_made_and_found_good() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let made = done(here, &["server", "broker.example", "10.0.0.7"]);
    assert!(made.contains("authority certs/ca.pem"), "{made}");
    assert!(made.contains("server    certs/broker.example.pem"), "{made}");
    done(here, &["client", "press-7"]);
    for key in ["ca-key.pem", "broker.example-key.pem", "press-7-key.pem"] {
        let mode = fs::metadata(here.join("certs").join(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key} is for its owner alone");
    }
    let (ca, server, client) = ("certs/ca.pem", "certs/broker.example.pem", "certs/press-7.pem");
    let key = "certs/broker.example-key.pem";
    for name in ["broker.example", "10.0.0.7"] {
        let good = done(here, &["check", server, "--key", key, "--ca", ca, "--name", name]);
        assert!(good.contains(&format!("accepts this server as {name}")), "{good}");
        assert!(good.contains("is good for 365 days") || good.contains("364 days"), "{good}");
    }
    let good = done(here, &["check", client, "--ca", ca]);
    assert!(good.contains("lets this client in"), "{good}");
    let shown = done(here, &["show", server, ca]);
    assert!(shown.contains("names      broker.example, 10.0.0.7"), "{shown}");
    assert!(shown.contains("authority  CN=Tidewire authority for trying out, "), "{shown}");
}

#[test]
fn what_is_wrong_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    done(here, &["server"]);
    done(here, &["client", "press-7"]);
    done(here, &["client", "--dir", "other", "press-7"]);
    let (ca, server, client) = ("certs/ca.pem", "certs/localhost.pem", "certs/press-7.pem");
    wrong(here, &["check", server, "--ca", ca, "--name", "elsewhere"], 1, "not valid for name");
    wrong(here, &["check", server, "--ca", ca], 1, "WRONG  chain");
    wrong(here, &["check", client, "--ca", "other/ca.pem"], 1, "WRONG  chain");
    let key = "certs/press-7-key.pem";
    wrong(here, &["check", server, "--key", key], 1, "is not that of the certificate");
    wrong(here, &["check", "nowhere.pem"], 2, "cannot read nowhere.pem");
    wrong(here, &["show", key], 2, "holds neither certificates nor lists");
    wrong(here, &["client", "press-7"], 2, "is there already");
}

#[test]
fn a_list_of_the_revoked_grows_and_is_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    done(here, &["client", "one"]);
    done(here, &["client", "two"]);
    assert!(done(here, &["revoke"]).contains("0 revoked"), "an empty one");
    let check = |name: &str| {
        let file = format!("certs/{name}.pem");
        certs(here, &["check", &file, "--ca", "certs/ca.pem", "--crl", "certs/crl.pem"])
    };
    assert!(check("one").status.success());
    assert!(done(here, &["revoke", "certs/one.pem"]).contains("1 revoked"));
    assert!(done(here, &["revoke", "certs/one.pem", "certs/two.pem"]).contains("2 revoked"));
    for name in ["one", "two"] {
        let output = check(name);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("Revoked"), "{said}");
    }
    done(here, &["client", "--dir", "other", "three"]);
    wrong(here, &["revoke", "other/three.pem", "--dir", "certs"], 2, "not signed by this");
}

#[test]
fn of_many_that_are_revoked_at_once_all_are_on_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let names: Vec<String> = (0..8).map(|number| format!("press-{number}")).collect();
    names.iter().for_each(|name| drop(done(here, &["client", name])));
    std::thread::scope(|threads| {
        for name in &names {
            threads.spawn(move || done(here, &["revoke", &format!("certs/{name}.pem")]));
        }
    });
    let told = done(here, &["revoke"]);
    assert!(told.contains("(8 revoked"), "{told}");
}

#[test]
fn a_client_with_the_name_of_the_list_does_not_take_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    done(here, &["client", "crl"]);
    assert!(here.join("certs/_crl.pem").exists());
    let told = done(here, &["revoke", "certs/_crl.pem"]);
    assert!(told.contains("(1 revoked"), "{told}");
}
