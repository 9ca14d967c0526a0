//! Bridges in the configuration: the scenario is right, and what is wrong is told with its place.

use std::path::{Path, PathBuf};

use tidewire::config::{Config, LinkDirection, LinkProtocol, Sources};

fn load(file: &Path) -> Result<Config, String> {
    let sources = Sources { file: Some(file.into()), ..Sources::default() };
    Config::load(&sources).map_err(|errors| errors.to_string())
}

#[test]
fn the_scenario_of_a_bridge_is_right() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/bridge.toml");
    let config = load(&file).unwrap_or_else(|errors| panic!("{errors}"));
    let link = &config.bridge.link[0];
    assert_eq!((&*link.name, link.protocol), ("cloud", LinkProtocol::V5));
    let ways: Vec<_> = link.rules.iter().map(|rule| rule.direction).collect();
    assert_eq!(ways, [LinkDirection::Out, LinkDirection::In]);
    assert!(link.tls.enabled);
}

#[track_caller]
fn check(link: &str, expected: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bridge.toml");
    std::fs::write(&file, format!("[[bridge.link]]\n{link}\n")).expect("written");
    let found = load(&file).map(|_| ()).expect_err("it is wrong");
    assert!(found.contains(expected), "{found}");
}

#[test]
fn what_is_wrong_with_a_link_is_told() {
    let rules = "rules = [{ filter = \"a/#\" }]";
    let here = "addresses = [\"broker.example:1883\"]";
    check(&format!("name = \"a b\"\n{here}\n{rules}"), "cannot be the name of a bridge");
    check(&format!("name = \"a\"\n{rules}"), "a link needs `addresses`");
    check(&format!("name = \"a\"\naddresses = [\"host\"]\n{rules}"), "a host with a port");
    check(&format!("name = \"a\"\n{here}"), "a link needs at least one of `rules`");
    check(&format!("name = \"a\"\n{here}\nrules = [{{ filter = \"a#\" }}]"), "is no topic filter");
    let both = "protocol = \"3.1.1\"\ntry_private = false\n\
                rules = [{ filter = \"#\", direction = \"both\" }]";
    check(&format!("name = \"a\"\n{here}\n{both}"), "would come back");
    let twice = format!("name = \"a\"\n{here}\n{rules}\n[[bridge.link]]\nname = \"a\"\n{here}");
    check(&format!("{twice}\n{rules}"), "two bridges with the name");
    let alone = "tls = { enabled = true, cert_file = \"cert.pem\" }";
    check(&format!("name = \"a\"\n{here}\n{alone}\n{rules}"), "a certificate needs its key");
}
