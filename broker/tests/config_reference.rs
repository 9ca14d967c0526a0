//! `config/tidewire.toml` tells the truth: every setting, its default, a comment.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tidewire::config::{Config, Sources, StreamConfig};

fn reference() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/tidewire.toml")
}

fn text() -> String {
    std::fs::read_to_string(reference()).expect("the reference")
}

#[test]
fn the_reference_equals_the_defaults() {
    let sources = Sources { file: Some(reference()), ..Sources::default() };
    let config = Config::load(&sources).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(Config { file: None, ..config }, Config::default());
}

#[test]
fn the_reference_mentions_every_setting() {
    let table: toml::Table = toml::from_str(&text()).unwrap();
    let known: BTreeSet<_> = Config::settings().into_iter().collect();
    assert_eq!(paths(&table), known);
    assert!(known.contains("mqtt.receive_max") && known.contains("stream"), "{known:?}");
}

#[test]
fn the_reference_mentions_every_setting_of_a_stream() {
    let table: toml::Table = toml::from_str(&text()).unwrap();
    let stream = table["stream"][0].as_table().unwrap();
    let known = serde_json::to_value(StreamConfig::default()).unwrap();
    let known: BTreeSet<_> = known.as_object().unwrap().keys().collect();
    assert_eq!(stream.keys().collect::<BTreeSet<_>>(), known);
}

#[test]
fn every_setting_has_a_comment_above_it() {
    let text = text();
    let lines: Vec<_> = text.lines().collect();
    for pair in lines.windows(2) {
        let is_setting = pair[1].contains(" = ") && !pair[1].starts_with('#');
        assert!(!is_setting || pair[0].starts_with("# "), "no comment above: {}", pair[1]);
    }
}

fn paths(table: &toml::Table) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (key, value) in table {
        match value.as_table() {
            Some(inner) => found.extend(paths(inner).iter().map(|path| format!("{key}.{path}"))),
            None => {
                found.insert(key.clone());
            }
        }
    }
    found
}
