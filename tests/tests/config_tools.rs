//! What holds, and who said so; a configuration of Mosquitto as ours; the scenarios in `config/`.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tidewire_tests::places::source_root;
use tidewire_tests::typed::{tidewire, typed};

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).expect("written");
    path.to_str().expect("UTF-8").to_owned()
}

#[test]
fn each_setting_is_shown_with_who_said_so() {
    let folder = TempDir::new().expect("a folder");
    let text = "[mqtt]\nreceive_max = 7\n\n[log]\nfilter = \"warn\"\n[[stream]]\nname = \"a\"\n\
                filters = [\"a/#\"]\n";
    let path = file(folder.path(), "t.toml", text);
    let words = ["config", "show", "--origin", "--config", &path, "--mqtt", "127.0.0.1:99"];
    let mut command = tidewire(&words);
    command.env("TIDEWIRE_LOG__FILTER", "debug");
    let output = command.output().expect("built");
    assert!(output.status.success(), "{output:?}");
    let shown = String::from_utf8(output.stdout).expect("UTF-8");
    let origin = |line: &str| {
        let found = shown.lines().find(|it| it.starts_with(&format!("{line} ")));
        let found = found.unwrap_or_else(|| panic!("no {line} in {shown}"));
        found.split_once(" # ").expect("a note").1.to_owned()
    };
    assert_eq!(origin("receive_max = 7"), format!("{path}:2"));
    assert_eq!(origin("filter = \"debug\""), "variable TIDEWIRE_LOG__FILTER");
    assert_eq!(origin("bind = \"127.0.0.1:99\""), "flag --mqtt");
    assert_eq!(origin("format = \"auto\""), "default");

    let changed = typed(&["config", "show", "--changed", "--config", &path]).well();
    assert!(!changed.contains("inflight_max") && !changed.contains("[threads]"), "{changed}");
    assert!(changed.contains("[log]\nfilter = \"warn\""), "{changed}");
    assert!(changed.contains("[mqtt]\nreceive_max = 7\n"), "{changed}");
}

#[test]
fn what_is_shown_is_a_file_that_means_the_same() {
    let folder = TempDir::new().expect("a folder");
    for scenario in ["edge-gateway.toml", "network-tls.toml", "bridge.toml", "tidewire.toml"] {
        let path = source_root().join("config").join(scenario);
        let json = |path: &str| typed(&["config", "show", "--json", "--config", path]).well();
        let path = path.to_str().expect("UTF-8");
        let shown = typed(&["config", "show", "--config", path]).well();
        let copy = file(folder.path(), scenario, &shown);
        assert_eq!(json(&copy), json(path), "{scenario}");
    }
    let defaults = typed(&["config", "show", "--defaults"]).well();
    let reference = fs::read_to_string(source_root().join("config/tidewire.toml"));
    assert_eq!(defaults, reference.expect("the reference"));
}

#[test]
fn mistakes_are_told_as_check_tells_them() {
    let folder = TempDir::new().expect("a folder");
    let path = file(folder.path(), "t.toml", "[mqtt]\nrecieve_max = 7\n[lgo]\nfilter = 1\n");
    let said = typed(&["config", "show", "--config", &path]).fails(2);
    assert!(said.contains("2 mistakes") && said.contains("mqtt.receive_max"), "{said}");
}

#[test]
fn the_schema_is_json_and_knows_every_section() {
    let schema = typed(&["config", "schema"]).well();
    for part in ["\"$schema\"", "\"listener\"", "\"stream\"", "\"additionalProperties\": false"] {
        assert!(schema.contains(part), "{part}");
    }
}

/// A folder that `tidewire init` made, the server's certificate there, and its key.
fn made_in(folder: &Path) -> [String; 3] {
    let made = folder.join("made");
    let made = made.to_str().expect("UTF-8").to_owned();
    let _ = typed(&["init", &made]).well();
    let config = fs::read_to_string(format!("{made}/tidewire.toml")).expect("just made");
    let named = |key: &str| {
        let line = config.lines().find(|line| line.starts_with(key)).expect(key);
        line.split('"').nth(1).expect("a path").to_owned()
    };
    [named("cert_file"), named("key_file"), made]
}

/// A scenario that stands in a folder of its own, with the files that it names.
#[test]
fn the_scenarios_are_ready_to_start() {
    let folder = TempDir::new().expect("a folder");
    let [cert, key, made] = made_in(folder.path());
    let _ = file(&folder.path().join("made"), "cloud-password", "secret\n");
    for scenario in ["edge-gateway.toml", "network-tls.toml", "bridge.toml"] {
        let text = fs::read_to_string(source_root().join("config").join(scenario));
        let text = text.expect("the scenario");
        let text = text.replace("/etc/tidewire/certs/server.pem", &cert);
        let text = text.replace("/etc/tidewire/certs/server-key.pem", &key);
        let text = text.replace("/etc/tidewire", &made);
        let text = text.replace("/var/lib/tidewire", &format!("{made}/data"));
        let path = file(folder.path(), scenario, &text);
        let said = typed(&["check", "--config", &path]).well();
        assert!(said.starts_with("ok: "), "{scenario}: {said}");
    }
}

#[test]
fn a_configuration_of_mosquitto_becomes_ours_and_is_right() {
    let folder = TempDir::new().expect("a folder");
    let [cert, key, made] = made_in(folder.path());
    let rules = file(folder.path(), "acl", "user ann\ntopic readwrite plant/#\n");
    let text = format!(
        "# old\nlistener 1883 127.0.0.1\nlistener 8883\ncertfile {cert}\n\
         keyfile {key}\npersistence true\npassword_file {made}/passwords\n\
         acl_file {rules}\nmax_queued_messages 1000\nlog_type all\nconnection cloud\n\
         address broker.example\ntopic sensors/# out 1\n"
    );
    let old = file(folder.path(), "mosquitto.conf", &text);
    let said = typed(&["config", "import-mosquitto", &old]);
    assert!(said.err.contains("2 are not there"), "{said:?}");
    let made = said.well();
    assert!(made.contains("max_queued_messages 1000"), "{made}");
    let path = file(folder.path(), "ours.toml", &made);
    let said = typed(&["check", "--config", &path]).well();
    assert!(said.contains("mqtts   0.0.0.0:8883, open to the network, for clients"), "{said}");
    let said = typed(&["config", "import-mosquitto", "/nowhere"]).fails(2);
    assert!(said.contains("/nowhere cannot be read"), "{said}");
}

#[test]
fn what_a_person_has_to_decide_keeps_a_made_configuration_from_starting() {
    let folder = TempDir::new().expect("a folder");
    let text = "listener 1883\nallow_anonymous true\nplugin /usr/lib/dynamic.so\n";
    let old = file(folder.path(), "mosquitto.conf", text);
    let said = typed(&["config", "import-mosquitto", &old]);
    assert!(said.err.contains("nothing starts until each is decided"), "{said:?}");
    let made = said.well();
    let path = file(folder.path(), "ours.toml", &made);
    let said = typed(&["check", "--config", &path]).fails(2);
    assert!(said.contains("decide_line_3 = \"plugin: no plugins"), "{said}");
    let decided = made.lines().filter(|line| !line.starts_with("decide_line_"));
    let path = file(folder.path(), "ours.toml", &decided.collect::<Vec<_>>().join("\n"));
    let _ = typed(&["check", "--config", &path]).well();
}

#[test]
fn files_that_a_start_would_miss_are_told_by_check() {
    let folder = TempDir::new().expect("a folder");
    for (text, part) in [
        ("[auth.http]\nurl = \"https://a/b\"\nca_file = \"/nowhere/ca.pem\"\n", "/nowhere/ca.pem"),
        (
            "[auth.http]\nurl = \"https://a/b\"\nsecret_header = \"A\"\n\
             secret_file = \"/nowhere/secret\"\n",
            "/nowhere/secret",
        ),
    ] {
        let path = file(folder.path(), "t.toml", text);
        let said = typed(&["check", "--config", &path]).fails(2);
        assert!(said.contains("auth.http: ") && said.contains(part), "{said}");
    }
}

#[test]
fn shells_and_man_are_told_of_the_commands() {
    let script = typed(&["completion", "bash"]).well();
    assert!(script.contains("import-mosquitto"), "{script}");
    let page = typed(&["man", "sub"]).well();
    assert!(page.contains(".TH") && page.contains("until\\-end"), "{page}");
    let page = typed(&["man", "log", "verify"]).well();
    assert!(page.contains("Check every byte"), "{page}");
    let said = typed(&["man", "frobnicate"]).fails(2);
    assert!(said.contains("no command \"frobnicate\"; there are "), "{said}");
}
