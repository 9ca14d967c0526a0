//! `[[bridge.push]]`: what is posted to HTTP receivers. Settings and their rules; reads no file.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidewire_proto::topic::{TopicFilter, check_topic_name};

use super::defaults::{KIB, MIB};
use super::exports::{ExportStart, dead_letter_topic};
use super::http_client::{HttpUrl, check_secrecy};
use super::quantity::{bytes, count, millis, millis_out};
use super::rules::Breach;
use super::text::{file_or_off, file_or_off_out, name_or_off, topic_or_off_out, word};

/// `[[bridge.push]]`: one HTTP receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushConfig {
    /// Its name here: for its position, its status and its metrics.
    pub name: String,
    /// Where messages are posted to, `http://` or `https://`.
    pub url: String,
    /// Whether a secret of ours may cross a network as it is.
    pub plain_http: bool,
    /// Authorities that are believed, in PEM, or `off` (`None`): those of the system.
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub ca_file: Option<PathBuf>,
    /// Our certificate, in PEM, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub cert_file: Option<PathBuf>,
    /// Its key, in PEM, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub key_file: Option<PathBuf>,
    /// A file whose first line is the header `Authorization`, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub authorization_file: Option<PathBuf>,
    /// A file whose first line is the key that signs what is sent, or `off` (`None`).
    #[serde(deserialize_with = "file_or_off", serialize_with = "file_or_off_out")]
    pub secret_file: Option<PathBuf>,
    /// The streams that it reads; none: all.
    pub streams: Vec<String>,
    /// The MQTT topics that it reads.
    pub filters: Vec<String>,
    /// Where a push begins that was never there before.
    #[serde(deserialize_with = "word")]
    pub start: ExportStart,
    /// What a request carries.
    #[serde(deserialize_with = "word")]
    pub body: PushBody,
    /// Messages of one request, with `body = "array"`.
    #[serde(deserialize_with = "count::<_, _, 1, 10_000>")]
    pub messages_max: u16,
    /// Bytes of one request; a message that is larger goes alone.
    #[serde(deserialize_with = "bytes::<_, _, { KIB }, { 64 * MIB }>")]
    pub request_bytes_max: u32,
    /// How long it is waited for more messages, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 0, 60_000>", serialize_with = "millis_out")]
    pub linger_ms: Duration,
    /// How long connecting, sending and the answer may take together, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 10, 600_000>", serialize_with = "millis_out")]
    pub timeout_ms: Duration,
    /// So often the receiver may fail at a message before that is given up; 0: for ever.
    pub tries_max: u32,
    /// The longest that the receiver may have us wait, in milliseconds.
    #[serde(deserialize_with = "millis::<_, 1_000, 86_400_000>", serialize_with = "millis_out")]
    pub retry_after_ms_max: Duration,
    /// Where messages go that are given up, or `off` (`None`).
    #[serde(deserialize_with = "name_or_off", serialize_with = "topic_or_off_out")]
    pub dead_letter_topic: Option<String>,
}

impl Default for PushConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            url: String::new(),
            plain_http: false,
            ca_file: None,
            cert_file: None,
            key_file: None,
            authorization_file: None,
            secret_file: None,
            streams: Vec::new(),
            filters: vec!["#".into()],
            start: ExportStart::Latest,
            body: PushBody::Array,
            messages_max: 500,
            request_bytes_max: 1024 * 1024,
            linger_ms: Duration::from_millis(20),
            timeout_ms: Duration::from_secs(30),
            tries_max: 20,
            retry_after_ms_max: Duration::from_secs(3600),
            dead_letter_topic: Some("$dead/${bridge}".into()),
        }
    }
}

/// What a request carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushBody {
    /// Messages in a JSON array.
    Array,
    /// One message, a JSON object.
    Object,
}

/// A push by itself.
pub(super) fn check_push(number: usize, push: &PushConfig) -> Vec<Breach> {
    let at = |setting: &str| format!("bridge.push.{number}.{setting}");
    let mut breaches = Vec::new();
    let mut blame = |setting: &str, message: String| {
        breaches.push(Breach::new(&[&at(setting)], message));
    };
    let url = HttpUrl::parse(&push.url);
    if url.is_none() {
        let words = "is no address such as \"https://receiver.example/messages\"";
        blame("url", format!("{:?} {words}", push.url));
    }
    let filters: Vec<_> = push.filters.iter().map(|text| TopicFilter::parse(text).ok()).collect();
    if filters.is_empty() || filters.iter().any(Option::is_none) {
        blame("filters", "a push needs `filters`, such as [\"plant/#\"]".into());
    }
    if push.cert_file.is_some() != push.key_file.is_some() {
        blame("cert_file", "a certificate needs its key, and a key its certificate".into());
    }
    let letters = dead_letter_topic(push.dead_letter_topic.as_ref(), &push.name);
    if let Some(topic) = letters.filter(|_| !push.name.is_empty()) {
        let comes_back = filters.iter().flatten().any(|filter| filter.matches(&topic));
        match check_topic_name(&topic) {
            Err(_) => blame("dead_letter_topic", "a topic without wildcards, or \"off\"".into()),
            Ok(()) if comes_back => {
                let words = "is read by the push itself: what is given up would come back";
                blame("dead_letter_topic", format!("{topic:?} {words}"));
            }
            Ok(()) => (),
        }
    }
    let (setting, leave) = (at("url"), at("plain_http"));
    let url = url.as_ref().filter(|_| push.authorization_file.is_some());
    breaches.extend(check_secrecy((&setting, url), (&leave, push.plain_http)));
    breaches
}

#[cfg(test)]
mod tests {
    use super::{PushConfig, check_push};

    #[track_caller]
    fn check(change: impl FnOnce(&mut PushConfig), expected: Option<&str>) {
        let url = "https://receiver.example/x".into();
        let mut push = PushConfig { name: "hook".into(), url, ..PushConfig::default() };
        change(&mut push);
        let found = check_push(2, &push);
        let settings: Vec<_> = found.iter().map(|it| it.settings[0].join(".")).collect();
        let expected = expected.map(|setting| format!("bridge.push.2.{setting}"));
        assert_eq!(settings, Vec::from_iter(expected), "{found:?}");
    }

    #[test]
    fn a_push_is_blamed_for_what_cannot_be() {
        check(|_| (), None);
        check(|it| it.url = "receiver.example".into(), Some("url"));
        check(|it| it.filters.clear(), Some("filters"));
        check(|it| it.filters = vec!["a#".into()], Some("filters"));
        check(|it| it.key_file = Some("k".into()), Some("cert_file"));
        check(|it| it.dead_letter_topic = Some("a/+".into()), Some("dead_letter_topic"));
        check(|it| it.dead_letter_topic = Some("dead".into()), Some("dead_letter_topic"));
        check(|it| it.dead_letter_topic = None, None);
        check(|it| it.url = "http://receiver.example".into(), None);
        let plain = |it: &mut PushConfig| {
            it.url = "http://receiver.example".into();
            it.authorization_file = Some("token".into());
        };
        check(plain, Some("url"));
        check(
            |it| {
                plain(it);
                it.plain_http = true;
            },
            None,
        );
    }
}
