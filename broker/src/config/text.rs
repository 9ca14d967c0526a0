//! Settings that are text with a meaning: addresses, folders, closed sets of words, log filters.

use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use tidewire_proto::topic::check_topic_name;

use serde::de::value::CowStrDeserializer;
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serializer};
use tidewire_store::KeyRule;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::place::split_place;

/// An address with its port, or the word `off`.
pub(super) fn address_or_off<'de, D>(from: D) -> Result<Option<SocketAddr>, D::Error>
where
    D: Deserializer<'de>,
{
    let expected = "an address with a port, such as \"127.0.0.1:1883\", or \"off\"";
    read(from, expected, |text| match text {
        "off" => Some(None),
        _ => text.parse().ok().map(Some),
    })
}

/// The way back of [`address_or_off`].
pub(super) fn address_or_off_out<S>(address: &Option<SocketAddr>, to: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
{
    match address {
        Some(address) => to.collect_str(address),
        None => to.serialize_str("off"),
    }
}

/// A topic to publish to, or `off`.
pub(super) fn topic_or_off<'de, D>(from: D) -> Result<Option<String>, D::Error>
where
    D: Deserializer<'de>,
{
    let expected = "a topic without wildcards, such as \"dead/letters\", or \"off\"";
    read(from, expected, |text| match text {
        "off" => Some(None),
        _ => check_topic_name(text).is_ok().then(|| Some(text.into())),
    })
}

/// What is passed on as it stands, or `off`.
pub(super) fn name_or_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let expected = "a short text, such as \"other.example:1883\", or \"off\"";
    let is_sayable = |text: &str| (1..=1024).contains(&text.len()) && !text.contains('\0');
    read(from, expected, |text| match text {
        "off" => Some(None),
        _ => is_sayable(text).then(|| Some(text.into())),
    })
}

/// A host with a port that clients can connect to, or `off`.
pub(super) fn place_or_off<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let expected = "a host with a port that clients can reach, such as \"broker.example:9092\", \
                    never an address that stands for all, or \"off\"";
    read(from, expected, |text| match text {
        "off" => Some(None),
        _ => split_place(text).map(|_| Some(text.into())),
    })
}

/// The way back of [`topic_or_off`] and of [`place_or_off`].
pub(super) fn topic_or_off_out<S>(topic: &Option<String>, to: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
{
    to.serialize_str(topic.as_deref().unwrap_or("off"))
}

/// The path of a file, or `off`.
pub(super) fn file_or_off<'de, D>(from: D) -> Result<Option<PathBuf>, D::Error>
where
    D: Deserializer<'de>,
{
    read(from, "the path of a file, or \"off\"", |text| match text {
        "off" => Some(None),
        _ => (!text.trim().is_empty()).then(|| Some(text.into())),
    })
}

/// The way back of [`file_or_off`].
pub(super) fn file_or_off_out<S>(file: &Option<PathBuf>, to: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
{
    match file {
        Some(file) => to.collect_str(&file.display()),
        None => to.serialize_str("off"),
    }
}

/// The path of a folder.
pub(super) fn folder<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
    read(from, "the path of a folder", |text| (!text.trim().is_empty()).then(|| text.into()))
}

/// A filter for log lines: a level, or a list of `target=level`.
pub(super) fn log_filter<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let expected = "a level (off, error, warn, info, debug, trace) or a list such as \
                    \"info,tidewire_store=debug\"";
    read(from, expected, |text| is_log_filter(text).then(|| text.into()))
}

/// What of a message chooses its partition.
pub(super) fn key_rule<'de, D: Deserializer<'de>>(from: D) -> Result<KeyRule, D::Error> {
    let expected = "\"topic\", \"level:N\" (counted from 0), \"client_id\" or \"user:NAME\"";
    read(from, expected, parse_key_rule)
}

fn parse_key_rule(text: &str) -> Option<KeyRule> {
    match text.split_once(':') {
        None if text == "topic" => Some(KeyRule::Topic),
        None if text == "client_id" => Some(KeyRule::ClientId),
        Some(("level", level)) => level.parse().ok().map(KeyRule::Level),
        Some(("user", name)) if !name.is_empty() => Some(KeyRule::UserProperty(name.into())),
        _ => None,
    }
}

/// The way back of [`key_rule`].
pub(super) fn key_rule_out<S: Serializer>(rule: &KeyRule, to: S) -> Result<S::Ok, S::Error> {
    match rule {
        KeyRule::Topic => to.serialize_str("topic"),
        KeyRule::ClientId => to.serialize_str("client_id"),
        KeyRule::Level(level) => to.collect_str(&format_args!("level:{level}")),
        KeyRule::UserProperty(name) => to.collect_str(&format_args!("user:{name}")),
    }
}

/// What of a message is its key, or `none`.
pub(super) fn key_rule_or_none<'de, D>(from: D) -> Result<Option<KeyRule>, D::Error>
where
    D: Deserializer<'de>,
{
    let expected =
        "\"topic\", \"level:N\" (counted from 0), \"client_id\", \"user:NAME\" or \"none\"";
    read(from, expected, |text| match text {
        "none" => Some(None),
        _ => parse_key_rule(text).map(Some),
    })
}

/// The way back of [`key_rule_or_none`].
pub(super) fn key_rule_or_none_out<S>(rule: &Option<KeyRule>, to: S) -> Result<S::Ok, S::Error>
where
    S: Serializer,
{
    match rule {
        Some(rule) => key_rule_out(rule, to),
        None => to.serialize_str("none"),
    }
}

/// One word of a closed set. Text only: serde alone would take a number for a variant's index.
pub(super) fn word<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let text: String = read(from, "a word in quotes", |text| Some(text.into()))?;
    T::deserialize(CowStrDeserializer::new(Cow::Owned(text)))
}

/// A lone word that is no level would be taken for a target: `infoo` would log nothing.
fn is_log_filter(text: &str) -> bool {
    let directive = |part: &str| part.contains(['=', '[']) || is_level(part.trim());
    !text.trim().is_empty() && EnvFilter::try_new(text).is_ok() && text.split(',').all(directive)
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

/// Text that `parse` takes; else `expected` is told.
pub(super) fn read<'de, D, T, F>(from: D, expected: &'static str, parse: F) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    F: Fn(&str) -> Option<T>,
{
    from.deserialize_any(Text { expected, parse })
}

struct Text<F> {
    expected: &'static str,
    parse: F,
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Text<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use tidewire_store::KeyRule;

    use super::{is_log_filter, parse_key_rule};

    #[track_caller]
    fn check(text: &str, expected: bool) {
        assert_eq!(is_log_filter(text), expected, "{text:?}");
    }

    #[test]
    fn levels_and_lists_are_filters() {
        check("info", true);
        check("off", true);
        check("warn,tidewire_store=debug", true);
        check("info,tidewire[{client_id=esp-12}]=trace", true);
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_target() {
        check("", false);
        check("infoo", false);
        check("verbose", false);
        check("info,=", false);
        check("tidewire=loud", false);
    }

    #[test]
    fn key_rules_are_read_whole_or_not_at_all() {
        assert_eq!(parse_key_rule("topic"), Some(KeyRule::Topic));
        assert_eq!(parse_key_rule("level:2"), Some(KeyRule::Level(2)));
        assert_eq!(parse_key_rule("user:plant:id"), Some(KeyRule::UserProperty("plant:id".into())));
        for wrong in ["", "level", "level:", "level:x", "user:", "topics"] {
            assert_eq!(parse_key_rule(wrong), None, "{wrong:?}");
        }
    }
}
