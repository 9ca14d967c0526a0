//! Defaults, then file, then environment, then flags: the later wins, setting by setting.

use std::time::Duration;

use tempfile::TempDir;
use tidewire::config::{Config, Durability, Flag, LogFormat, Sources};

struct Bench {
    folder: TempDir,
    sources: Sources,
}

impl Bench {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), sources: Sources::default() }
    }

    fn file(mut self, text: &str) -> Self {
        let path = self.folder.path().join("tidewire.toml");
        std::fs::write(&path, text).expect("written");
        self.sources.file = Some(path);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.sources.variables.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, name: &'static str, setting: &'static str, value: &str) -> Self {
        self.sources.flags.push(Flag { name, setting, value: value.into() });
        self
    }

    #[track_caller]
    fn load(&self) -> Config {
        Config::load(&self.sources).unwrap_or_else(|errors| panic!("{errors}"))
    }
}

#[test]
fn nothing_given_is_the_defaults() {
    assert_eq!(Bench::new().load(), Config::default());
    let defaults = Config::default();
    assert_eq!(defaults.listener.mqtt.bind, Some("127.0.0.1:1883".parse().unwrap()));
    assert_eq!(defaults.durability_weakest(), Durability::Disk);
}

#[test]
fn the_later_layer_wins() {
    let file = Bench::new().file("[listener.mqtt]\nbind = \"127.0.0.1:1001\"\n");
    assert_eq!(file.load().listener.mqtt.bind.unwrap().port(), 1001);
    let variable = file.variable("TIDEWIRE_LISTENER__MQTT__BIND", "127.0.0.1:1002");
    assert_eq!(variable.load().listener.mqtt.bind.unwrap().port(), 1002);
    let flag = variable.flag("--mqtt", "listener.mqtt.bind", "127.0.0.1:1003");
    assert_eq!(flag.load().listener.mqtt.bind.unwrap().port(), 1003);
}

#[test]
fn a_layer_leaves_alone_what_it_does_not_name() {
    let config = Bench::new()
        .file("[mqtt]\nreceive_max = 7\ninflight_max = 8\n[log]\nformat = \"human\"\n")
        .variable("TIDEWIRE_MQTT__RECEIVE_MAX", "9")
        .flag("--log", "log.filter", "debug")
        .load();
    assert_eq!((config.mqtt.receive_max, config.mqtt.inflight_max), (9, 8));
    assert_eq!((config.log.format, config.log.filter.as_str()), (LogFormat::Human, "debug"));
    assert_eq!(config.store, Config::default().store);
}

#[test]
fn units_are_understood_in_every_layer() {
    let config = Bench::new()
        .file("[store]\nwal_file_bytes = \"128 MiB\"\n[mqtt]\nconnect_timeout_ms = \"3 s\"\n")
        .variable("TIDEWIRE_STORE__RECENT_BYTES_MAX", "2 GiB")
        .variable("TIDEWIRE_MQTT__SESSION_EXPIRY_S_MAX", "7 d")
        .load();
    assert_eq!(config.store.wal_file_bytes, 128 << 20);
    assert_eq!(config.store.recent_bytes_max, 2 << 30);
    assert_eq!(config.mqtt.connect_timeout, Duration::from_secs(3));
    assert_eq!(config.mqtt.session_expiry_s_max, 604_800);
}

#[test]
fn text_in_a_variable_stays_text() {
    let config = Bench::new()
        .variable("TIDEWIRE_DATA__DIR", "2024")
        .variable("TIDEWIRE_LISTENER__MQTT__BIND", "[::1]:1883")
        .load();
    assert_eq!(config.data.dir.to_str(), Some("2024"));
    assert_eq!(config.listener.mqtt.bind, Some("[::1]:1883".parse().unwrap()));
}

#[test]
fn off_turns_a_listener_off() {
    let config = Bench::new().flag("--mqtt", "listener.mqtt.bind", "off").load();
    assert_eq!(config.listener.mqtt.bind, None);
}

#[test]
fn the_stream_mqtt_takes_what_no_other_stream_does() {
    let names = |config: &Config| -> Vec<String> {
        config.streams.iter().map(|stream| stream.name.clone()).collect()
    };
    let sensors = "[[stream]]\nname = \"sensors\"\nfilters = [\"sensors/#\"]\npartitions = 8\n";
    let config = Bench::new().file(sensors).load();
    assert_eq!(names(&config), ["sensors", "mqtt"]);
    assert_eq!((config.streams[0].partitions, config.streams[1].partitions), (8, 4));

    let own = Bench::new().file("[[stream]]\nname = \"mqtt\"\ndurability = \"os\"\n").load();
    assert_eq!(names(&own), ["mqtt"]);
    assert_eq!(own.streams[0].filters, ["#"]);
    assert_eq!(own.durability_weakest(), Durability::Os);
}

#[test]
fn a_list_in_a_variable_replaces_the_list_of_the_file() {
    let config = Bench::new()
        .file("[[stream]]\nname = \"a\"\nfilters = [\"a\"]\n")
        .variable("TIDEWIRE_STREAM", "[{ name = \"b\", filters = [\"b\"], log_qos0 = false }]")
        .load();
    let first = &config.streams[0];
    assert_eq!((first.name.as_str(), first.log_qos0), ("b", false));
    assert_eq!(config.streams.len(), 2);
}

#[test]
fn variables_of_others_do_no_harm() {
    // Kubernetes sets these for a service with the name tidewire.
    let config = Bench::new()
        .variable("TIDEWIRE_PORT", "tcp://10.0.0.1:1883")
        .variable("TIDEWIRE_SERVICE_HOST", "10.0.0.1")
        .variable("TIDEWIRE_PORT_1883_TCP_ADDR", "10.0.0.1")
        .variable("PATH", "/usr/bin")
        .load();
    assert_eq!(config, Config::default());
}
