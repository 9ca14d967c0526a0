//! Which settings change while the broker runs, and which wait for its next start. Pure.

use crate::config::{Config, MqttConfig, ShareConfig, StreamConfig, UnixListener};

/// What is in force after a reload: of `wanted` what can be changed while it runs, the rest as it
/// was. Whatever is in neither list of a report comes from here: there is no second list.
pub(super) fn in_force(old: &Config, wanted: &Config, owns_log: bool) -> Config {
    let mut new = old.clone();
    new.file.clone_from(&wanted.file);
    let (listener, other) = (&mut new.listener, &wanted.listener);
    listener.mqtt.clone_from(&other.mqtt);
    listener.mqtts.clone_from(&other.mqtts);
    listener.websocket.clone_from(&other.websocket);
    listener.wss.clone_from(&other.wss);
    listener.http.token_file.clone_from(&other.http.token_file);
    listener.unix = socket_file(&listener.unix, &other.unix);
    new.access.clone_from(&wanted.access);
    new.bridge.clone_from(&wanted.bridge);
    new.share = share(&old.share, &wanted.share);
    for stream in &mut new.streams {
        if let Some(wanted) = wanted.streams.iter().find(|wanted| wanted.name == stream.name) {
            *stream = kept_by(stream, wanted);
        }
    }
    if owns_log {
        new.log.filter.clone_from(&wanted.log.filter);
    }
    new.topics.count_max = wanted.topics.count_max;
    new.mqtt = limits(&old.mqtt, &wanted.mqtt);
    // Sizes of messages have to do with those of the store, which wait for a start.
    if new.clone().checked().is_err() {
        new.mqtt.clone_from(&old.mqtt);
    }
    new
}

/// Partitions are chosen, and the Kafka port counts levels, as at the start; wills are owed once.
fn limits(old: &MqttConfig, wanted: &MqttConfig) -> MqttConfig {
    MqttConfig {
        topic_levels_max: old.topic_levels_max,
        will_grace_after_restart_s: old.will_grace_after_restart_s,
        ..wanted.clone()
    }
}

/// Groups that are there keep how they hand out, and where their dead letters go.
fn share(old: &ShareConfig, wanted: &ShareConfig) -> ShareConfig {
    ShareConfig {
        delivery_attempts_max: wanted.delivery_attempts_max,
        groups_max: wanted.groups_max,
        groups_per_session_max: wanted.groups_per_session_max,
        ..old.clone()
    }
}

/// What is kept, and how it is packed; not what goes there, and what is promised of it.
fn kept_by(old: &StreamConfig, wanted: &StreamConfig) -> StreamConfig {
    StreamConfig {
        retention_age_s: wanted.retention_age_s,
        retention_bytes: wanted.retention_bytes,
        hold_bytes_max: wanted.hold_bytes_max,
        at_hold_limit: wanted.at_hold_limit,
        compression: wanted.compression,
        ..old.clone()
    }
}

/// A file that stays keeps whose it is.
fn socket_file(old: &UnixListener, wanted: &UnixListener) -> UnixListener {
    if old.path != wanted.path {
        return wanted.clone();
    }
    UnixListener {
        mode: old.mode,
        owner: old.owner.clone(),
        group: old.group.clone(),
        ..wanted.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::{Config, in_force};
    use crate::config::PushConfig;

    fn told(change: impl FnOnce(&mut Config)) -> (Vec<String>, Vec<String>) {
        let old = Config::default();
        let mut wanted = old.clone();
        change(&mut wanted);
        let new = in_force(&old, &wanted, true);
        let settings = |from: &Config, to: &Config| {
            from.changes_to(to).into_iter().map(|change| change.setting).collect()
        };
        (settings(&old, &new), settings(&new, &wanted))
    }

    #[test]
    fn what_can_change_does_and_the_rest_waits() {
        let (now, later) = told(|config| {
            config.mqtt.receive_max = 7;
            config.mqtt.topic_levels_max = 9;
            config.streams[0].retention_bytes = 8;
            config.streams[0].partitions = 9;
            config.threads.cores = 5;
            config.log.filter = "debug".into();
            config.topics.count_max = 7;
            config.listener.kafka.bind = None;
            config.listener.http.bind = None;
            config.listener.http.token_file = Some("tokens".into());
            config.mqtt.retained_bytes_per_user_max = 8;
            let (name, url) = ("hook".into(), "http://127.0.0.1:1/".into());
            config.bridge.push = vec![PushConfig { name, url, ..PushConfig::default() }];
        });
        let expected = [
            "bridge.push[hook]",
            "listener.http.token_file",
            "log.filter",
            "mqtt.receive_max",
            "mqtt.retained_bytes_per_user_max",
            "stream[mqtt].retention_bytes",
            "topics.count_max",
        ];
        assert_eq!(now, expected);
        let expected = [
            "listener.http.bind",
            "listener.kafka.bind",
            "mqtt.topic_levels_max",
            "stream[mqtt].partitions",
            "threads.cores",
        ];
        assert_eq!(later, expected);
    }

    #[test]
    fn what_would_break_a_rule_with_what_has_to_wait_waits_too() {
        let (now, later) = told(|config| {
            config.mqtt.packet_bytes_max = 200 << 20;
            config.store.wal_file_bytes = 2 << 30;
            config.store.wal_bytes_max = 8 << 30;
        });
        assert_eq!(now, Vec::<String>::new());
        assert_eq!(later, ["mqtt.packet_bytes_max", "store.wal_bytes_max", "store.wal_file_bytes"]);
    }
}
