//! Are the metrics what Prometheus, its rules and our dashboard ask for?

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;
use tidewire_tests::broker::Broker;
use tidewire_tests::http::Http;
use tidewire_tests::places::source_root;
use tidewire_tests::program::{PATIENCE, Program};
use tidewire_tests::wire::{Hello, Publish, Version, Wire, property};

/// A broker with everything that has series of its own.
fn start() -> (Broker, Http) {
    let broker = Broker::start_configured(
        "[listener.http]\nbind = \"127.0.0.1:0\"\n\
         [[bridge.link]]\nname = \"edge\"\naddresses = [\"127.0.0.1:1\"]\n\
         rules = [{ direction = \"out\", filter = \"#\" }]\n",
    );
    let http = Http::new(broker.http_address());
    (broker, http)
}

fn metrics(http: &Http) -> String {
    let answer = http.get("/metrics");
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
    answer.body
}

/// The value of a series.
fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {series} in {text}"))
}

/// Names that begin with ours.
fn names(text: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = text.split(|c| !is_part(c));
    words.filter(|word| word.starts_with("tidewire_")).map(str::to_owned).collect()
}

#[test]
fn what_happens_is_counted_and_all_series_are_there_before() {
    let (broker, http) = start();
    let before = metrics(&http);
    assert!(value(&before, "tidewire_messages_received_total{qos=\"1\"}") < 0.5);
    assert!(value(&before, "tidewire_publish_ack_seconds_count{qos=\"2\"}") < 0.5);
    let mut reader = Wire::clean(broker.address(), Version::V5, "reader");
    reader.subscribe(1, &[("a/#", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for number in 0..10 {
        writer.publish_acknowledged(&Publish::new("a/b", &number.to_string(), 1, 1));
    }
    let deadline = Instant::now() + PATIENCE;
    let after = loop {
        let text = metrics(&http);
        // Cores count for themselves for a while, and what is measured is kept for some seconds.
        let is_there = value(&text, "tidewire_messages_received_total{qos=\"1\"}") > 9.5
            && value(&text, "tidewire_subscriptions{kind=\"plain\"}") > 0.5;
        if is_there {
            break text;
        }
        assert!(Instant::now() < deadline, "{text}");
    };
    for (series, least) in [
        ("tidewire_publish_ack_seconds_count{qos=\"1\"}", 10.0),
        ("tidewire_publish_ack_seconds_bucket{qos=\"1\",le=\"+Inf\"}", 10.0),
        ("tidewire_delivery_seconds_count", 10.0),
        ("tidewire_log_fsync_seconds_count", 1.0),
        ("tidewire_log_append_seconds_count", 1.0),
        ("tidewire_log_written_bytes_total", 1000.0),
        ("tidewire_mqtt_clients{proto=\"5\"}", 2.0),
        ("tidewire_clients{state=\"connected\"}", 2.0),
        ("tidewire_disk_free_bytes", 1.0),
        ("tidewire_ready", 1.0),
    ] {
        assert!(value(&after, series) >= least, "{series} in {after}");
    }
    let labels = after.lines().filter(|line| line.contains("client_id="));
    assert_eq!(labels.count(), 0, "no label is a client");
}

#[test]
fn what_was_handed_out_and_not_acknowledged_counts_as_lag() {
    let (broker, http) = start();
    let mut reader = Wire::resume(broker.address(), Version::V5, "reader").0;
    reader.subscribe(1, &[("a/#", 1)]);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for number in 0..3 {
        writer.publish_acknowledged(&Publish::new("a/b", &number.to_string(), 1, 1));
        let _ = reader.packet_of(3);
    }
    reader.disconnect();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = metrics(&http);
        if (value(&text, "tidewire_session_lag_messages") - 3.0).abs() < 0.5 {
            break;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}

#[test]
fn how_far_connected_clients_are_behind_is_told() {
    let (broker, http) = start();
    // It takes one message at a time, and acknowledges none.
    let receive_max = property::short(0x21, 1);
    let slow = Hello { properties: &receive_max, ..Hello::new("slow") };
    let mut reader = Wire::greet(broker.address(), &slow).0;
    reader.subscribe(1, &[("a/#", 1)]);
    assert!(value(&metrics(&http), "tidewire_client_lag_messages") < 0.5);
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    for number in 0..5 {
        writer.publish_acknowledged(&Publish::new("a/b", &number.to_string(), 1, 1));
    }
    let _ = reader.packet_of(3);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let text = metrics(&http);
        let lag = value(&text, "tidewire_client_lag_messages");
        if lag > 3.5 {
            assert!(lag < 5.5, "{text}");
            assert!((value(&text, "tidewire_client_lag_messages_max") - lag).abs() < 0.5, "{text}");
            assert!(value(&text, "tidewire_client_lag_seconds_max") > 0.0, "{text}");
            assert!((value(&text, "tidewire_clients_behind") - 1.0).abs() < 0.5, "{text}");
            let loss = "tidewire_seconds_to_data_loss{readers=\"clients\"}";
            assert!(value(&text, loss) < 0.0, "nothing is taken: {text}");
            return;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}

#[test]
fn what_the_kafka_port_carries_is_counted() {
    let (broker, http) = start();
    let before = metrics(&http);
    for series in [
        "tidewire_kafka_records_total{dir=\"in\"}",
        "tidewire_kafka_records_total{dir=\"out\"}",
        "tidewire_bytes_total{proto=\"kafka\",dir=\"in\"}",
        "tidewire_bytes_total{proto=\"kafka\",dir=\"out\"}",
    ] {
        assert!(value(&before, series) < 0.5, "{series}");
    }
    assert!(value(&before, "tidewire_log_recovered_bytes") >= 0.0);
    let kcat = format!("kcat -b {} -t mqtt", broker.kafka_address());
    for line in [
        format!("printf 'a/b:1\\na/b:2\\na/b:3\\n' | {kcat} -P -K :"),
        format!("{kcat} -C -o beginning -e"),
    ] {
        let _ = Program::start(Command::new("bash").args(["-c", &line])).succeeds();
    }
    let after = metrics(&http);
    let records =
        |dir: &str| value(&after, &format!("tidewire_kafka_records_total{{dir={dir:?}}}"));
    assert!((records("in") - 3.0).abs() < 0.5 && records("out") > 2.5, "{after}");
    for dir in ["in", "out"] {
        let series = format!("tidewire_bytes_total{{proto=\"kafka\",dir={dir:?}}}");
        assert!(value(&after, &series) > 100.0, "{series}: {after}");
    }
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_and_the_rules() {
    let (_broker, http) = start();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped());
    let mut child = promtool.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.as_mut().expect("cargo xtask setup installs it");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(metrics(&http).as_bytes()).expect("it reads");
    drop(input);
    let mut said = String::new();
    let mut errors = child.stderr.take().expect("piped");
    std::io::Read::read_to_string(&mut errors, &mut said).expect("text");
    assert!(child.wait().expect("our child").success(), "{said}");
    let mut rules = Command::new("promtool");
    rules.args(["check", "rules"]).arg(source_root().join("config/prometheus/alerts.yml"));
    let output = rules.output().expect("cargo xtask setup installs it");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn the_rules_and_the_dashboard_ask_for_what_is_served() {
    let (_broker, http) = start();
    let served = names(&metrics(&http));
    // Made when a group commits its first offset.
    let later = "tidewire_consumer_group_lag".to_owned();
    for file in ["config/prometheus/alerts.yml", "config/grafana/tidewire.json"] {
        let text = fs::read_to_string(source_root().join(file)).expect(file);
        let asked = names(&text);
        assert!(asked.len() > 10, "{file}: {asked:?}");
        let missing: Vec<_> =
            asked.iter().filter(|name| !served.contains(*name) && **name != later).collect();
        assert!(missing.is_empty(), "{file} asks for {missing:?}");
    }
    let text = fs::read_to_string(source_root().join("config/grafana/tidewire.json"));
    let dashboard: Value = serde_json::from_str(&text.expect("there")).expect("JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 20));
}

#[test]
fn a_prometheus_server_scrapes_the_broker_and_answers_with_its_numbers() {
    let (broker, _http) = start();
    let folder = TempDir::new().expect("a folder");
    let target = broker.http_address();
    let alerts = source_root().join("config/prometheus/alerts.yml");
    let config = format!(
        "global: {{ scrape_interval: 1s }}\nrule_files: [{alerts:?}]\nscrape_configs:\n\
         - job_name: tidewire\n  static_configs: [{{ targets: [{:?}] }}]\n",
        target.to_string()
    );
    let file = folder.path().join("prometheus.yml");
    fs::write(&file, config).expect("written");
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display()));
    command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
    command.arg("--web.listen-address=127.0.0.1:0");
    let prometheus = Program::start(&mut command);
    prometheus.await_output("Server is ready to receive web requests");
    let output = prometheus.output();
    let line = output.lines().find(|line| line.contains("msg=\"Listening on\""));
    let address = line.and_then(|line| line.split("address=").nth(1)).expect("where it listens");
    let address = address.split_whitespace().next().expect("an address");
    let asker = Http::new(address.parse().expect("an address"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = asker.get("/api/v1/query?query=tidewire_ready").json();
        let value = answer.pointer("/data/result/0/value/1");
        if value.and_then(Value::as_str) == Some("1") {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}\n{}", prometheus.output());
    }
}
