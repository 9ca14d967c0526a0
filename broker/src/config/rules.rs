//! What must hold between settings that are right one by one. Reads a `Config`, changes nothing.

use std::collections::BTreeSet;

use super::consumer_groups::ConsumerGroupsConfig;
use super::sections::{MqttConfig, StoreConfig, StreamConfig};

/// A broken rule: which settings it is about (first the likely culprit), and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Breach {
    pub(super) settings: Vec<Vec<String>>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Breach {
    pub(super) fn new(settings: &[&str], message: String) -> Self {
        let path = |setting: &&str| setting.split('.').map(str::to_owned).collect();
        Self { settings: settings.iter().map(path).collect(), message, hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// What we accept, the next stage must be able to hold. A commit lies in one file of the log: it
/// holds what a core gathers in a turn and one more packet, and a retained message twice.
pub(super) fn check_sizes(mqtt: &MqttConfig, store: &StoreConfig) -> Vec<Breach> {
    let packet = u64::from(mqtt.packet_bytes_max);
    let rows = [
        ("store.wal_file_bytes", store.wal_file_bytes, "mqtt.packet_bytes_max", 4 * packet),
        ("store.segment_bytes_max", store.segment_bytes_max, "mqtt.packet_bytes_max", 2 * packet),
        ("store.backlog_bytes_max", store.backlog_bytes_max, "mqtt.packet_bytes_max", packet),
        (
            "mqtt.packet_bytes_max",
            packet,
            "mqtt.connect_bytes_max",
            u64::from(mqtt.connect_bytes_max),
        ),
        (
            "store.wal_bytes_max",
            store.wal_bytes_max,
            "store.wal_file_bytes",
            2 * store.wal_file_bytes,
        ),
    ];
    let too_small = rows.into_iter().filter(|(_, value, _, least)| value < least);
    too_small
        .map(|(setting, value, other, least)| {
            let message = format!("`{setting}` is {value}, too small for `{other}`");
            Breach::new(&[setting, other], message)
                .hint(format!("raise `{setting}` to {least} or lower `{other}`"))
        })
        .collect()
}

/// Some session timeout must be allowed.
pub(super) fn check_sessions(groups: &ConsumerGroupsConfig) -> Option<Breach> {
    let shortest = groups.session_timeout_ms_min;
    let least = "consumer_groups.session_timeout_ms_min";
    let most = "consumer_groups.session_timeout_ms_max";
    (shortest > groups.session_timeout_ms_max).then(|| {
        let message = format!("`{least}` is more than `{most}`: no member could join");
        Breach::new(&[least, most], message)
    })
}

/// Each stream by itself, and that no two have one name.
pub(super) fn check_streams(streams: &[StreamConfig]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut names = BTreeSet::new();
    for (number, stream) in streams.iter().enumerate() {
        breaches.extend(check_name(number, &stream.name));
        if !stream.name.is_empty() && !names.insert(stream.name.as_str()) {
            let message = format!("there are two streams with the name {:?}", stream.name);
            breaches.push(Breach::new(&[&format!("stream.{number}.name")], message));
        }
        breaches.extend(check_filters(number, stream));
    }
    breaches
}

/// Kafka's rule for topic names, because a stream is one.
fn check_name(number: usize, name: &str) -> Option<Breach> {
    const NAME_BYTES_MAX: usize = 249;
    let setting = format!("stream.{number}.name");
    if name.is_empty() {
        let breach = Breach::new(&[&setting], "a stream needs a `name`".into());
        return Some(breach.hint("the name is what Kafka clients see as the topic"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.len() <= NAME_BYTES_MAX && name.chars().all(fits) && name != "." && name != ".." {
        return None;
    }
    let message = format!("{name:?} cannot be the name of a stream");
    let hint = "1 to 249 letters, digits, dots, dashes or underscores, as for a Kafka topic";
    Some(Breach::new(&[&setting], message).hint(hint))
}

fn check_filters(number: usize, stream: &StreamConfig) -> Vec<Breach> {
    if stream.filters.is_empty() {
        let setting = format!("stream.{number}.filters");
        let breach = Breach::new(&[&setting], "a stream needs at least one of `filters`".into());
        return vec![breach.hint("such as filters = [\"sensors/#\"]")];
    }
    let wrong = |filter: &&(usize, &String)| !is_filter(filter.1);
    let filters: Vec<_> = stream.filters.iter().enumerate().collect();
    let breach = |(at, filter): &(usize, &String)| {
        let setting = format!("stream.{number}.filters.{at}");
        Breach::new(&[&setting], format!("{filter:?} is not a topic filter"))
            .hint("`+` stands for one whole level, `#` for all that follow, at the end")
    };
    filters.iter().filter(wrong).map(breach).collect()
}

fn is_filter(filter: &str) -> bool {
    let levels: Vec<_> = filter.split('/').collect();
    let last = levels.len() - 1;
    let fits = |(at, level): (usize, &&str)| match *level {
        "#" => at == last,
        "+" => true,
        text => !text.contains(['#', '+', '\0']),
    };
    !filter.is_empty() && !filter.starts_with("$share/") && levels.iter().enumerate().all(fits)
}

#[cfg(test)]
mod tests {
    use super::{StreamConfig, check_streams, is_filter};

    #[track_caller]
    fn check(name: &str, filters: &[&str], expected: &[&str]) {
        let filters = filters.iter().map(|filter| (*filter).to_owned()).collect();
        let stream = StreamConfig { name: name.into(), filters, ..StreamConfig::default() };
        let found: Vec<_> = check_streams(&[stream]).into_iter().map(|b| b.message).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_stream_has_a_name_that_kafka_accepts() {
        check("sensors.v1", &["sensors/#"], &[]);
        check("", &["#"], &["a stream needs a `name`"]);
        check("a b", &["#"], &["\"a b\" cannot be the name of a stream"]);
        check("..", &["#"], &["\"..\" cannot be the name of a stream"]);
    }

    #[test]
    fn a_stream_has_filters() {
        check("a", &[], &["a stream needs at least one of `filters`"]);
        check("a", &["x/#", "x#"], &["\"x#\" is not a topic filter"]);
    }

    #[test]
    fn wildcards_stand_alone() {
        for filter in ["#", "+", "a/+/b", "a/#", "/", "$SYS/#"] {
            assert!(is_filter(filter), "{filter:?}");
        }
        for filter in ["", "a#", "#/a", "a+", "a/b+/c", "$share/g/a"] {
            assert!(!is_filter(filter), "{filter:?}");
        }
    }
}
