//! Kafka clients that we did not write, at the Kafka port.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, paho};
use tidewire_tests::http::Http;
use tidewire_tests::kafka_log;
use tidewire_tests::program::{PATIENCE, Program};

fn kcat(broker: &Broker, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("kcat");
    command.args(["-b", &broker.kafka_address().to_string()]).args(arguments);
    Program::start(&mut command).succeeds()
}

/// Writes one record, `key:value`, and waits until it is acknowledged.
fn produce(broker: &Broker, record: &str, arguments: &[&str]) {
    let mut command = Command::new("sh");
    let script = "printf '%s\\n' \"$0\" | exec kcat -P -t mqtt -K : \"$@\"";
    command.args(["-c", script, record, "-b", &broker.kafka_address().to_string()]);
    let _ = Program::start(command.args(arguments)).succeeds();
}

#[test]
fn kcat_lists_the_streams_as_topics() {
    let broker = Broker::start();
    let listed = kcat(&broker, &["-L"]).join("\n");
    assert!(listed.contains("topic \"mqtt\" with 4 partitions"), "{listed}");
    let address = format!("broker 1 at {}", broker.kafka_address());
    assert!(listed.contains(&address), "{listed}");
}

#[test]
fn clients_go_where_the_configuration_sends_them_and_a_place_that_cannot_be_right_is_told() {
    let doubt = "is for this machine only";
    let other = Broker::start();
    let name = format!("localhost:{}", other.kafka_address().port());
    for (advertised, is_right) in [(name.as_str(), true), ("broker.example:9092", false)] {
        let text = format!("[listener.kafka]\nadvertised = \"{advertised}\"\n");
        let broker = Broker::start_configured(&text);
        let listed = kcat(&broker, &["-L"]).join("\n");
        assert!(listed.contains(&format!("broker 1 at {advertised}")), "{listed}");
        if is_right {
            // Another broker is there: so it is seen where the client went.
            produce(&broker, "went/there:1", &["-X", "broker.address.family=v4"]);
            let found = kafka_log::all(other.kafka_address(), "mqtt");
            assert_eq!(found.keys().collect::<Vec<_>>(), ["went/there"]);
            assert!(!broker.output().contains(doubt), "{}", broker.output());
        } else {
            broker.await_output(doubt);
        }
    }
}

#[test]
fn kcat_reads_all_that_mosquitto_published_with_its_properties() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let properties = ["-q", "1", "-D", "publish", "user-property", "unit", "celsius"];
    for n in 0..8 {
        mosquitto.publish(&format!("seen/{n}"), &format!("value {n}"), &properties);
    }
    let reads = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k=%s [%h]\n"];
    let mut lines = kcat(&broker, &reads);
    lines.sort();
    let expected = |n| format!("seen/{n}=value {n} [q=1,u=NULL,unit=celsius]");
    assert_eq!(lines, (0..8).map(expected).collect::<Vec<_>>());
}

#[test]
fn kafka_readers_see_who_published_where_the_stream_says_so_and_nowhere_else() {
    let stream = "[[stream]]\nname = \"signed\"\nfilters = [\"signed/#\"]\npartitions = 1\n\
                  client_id_header = true\n";
    let broker = Broker::start_configured(stream);
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let by_press = ["-q", "1", "-i", "press-7"];
    mosquitto.publish("signed/now", "1", &by_press);
    mosquitto.publish("plain", "2", &by_press);
    mosquitto.publish("$delayed/1/signed/later", "3", &by_press);
    let reads = |stream, count| {
        let reads = ["-C", "-t", stream, "-o", "beginning", "-c", count, "-q", "-f"];
        kcat(&broker, &[&reads[..], &["%k=%s [%h]\n"]].concat())
    };
    let signed = ["signed/now=1 [q=1,o=press-7]", "signed/later=3 [q=1,o=press-7]"];
    assert_eq!(reads("signed", "2"), signed);
    assert_eq!(reads("mqtt", "1"), ["plain=2 [q=1]"]);
}

#[test]
fn a_reader_at_the_end_is_woken_by_the_next_message() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv311");
    let address = broker.kafka_address().to_string();
    let mut reads = Command::new("kcat");
    reads.args(["-b", &address, "-C", "-t", "mqtt", "-o", "beginning", "-c", "2", "-u", "-f"]);
    let mut reader = Program::start(reads.arg("%k %s\n"));
    for n in ["1", "2"] {
        mosquitto.publish("live", n, &["-q", "1"]);
        assert_eq!(reader.line_that(|line| line.starts_with("live")), format!("live {n}"));
    }
    let _ = reader.succeeds();
}

#[test]
fn what_a_kafka_producer_writes_reaches_mqtt_subscribers_live_later_and_retained() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let durable = ["-i", "later", "-c", "-x", "100", "-q", "1", "-C", "1"];
    let mut later = mosquitto.subscribe("from/#", &durable);
    mosquitto.publish("from/here", "first", &["-q", "1"]);
    assert_eq!(later.messages(), ["1 0 from/here first"]);

    let mut live = mosquitto.subscribe("from/kafka", &["-q", "1", "-C", "1"]);
    produce(&broker, "from/kafka:21.5", &["-H", "mqtt.retain=1"]);
    assert_eq!(live.messages(), ["1 0 from/kafka 21.5"]);

    let mut later = mosquitto.resume("from/#", &durable);
    assert_eq!(later.messages(), ["1 0 from/kafka 21.5"]);
    let mut retained = mosquitto.subscribe("from/+", &["-q", "1", "-C", "1"]);
    assert_eq!(retained.messages(), ["1 1 from/kafka 21.5"]);
}

#[test]
fn a_kafka_header_says_to_which_topic_and_at_which_qos_a_record_goes() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let format = "MSG %q %r %t %p %P";
    let flags = ["-q", "2", "-C", "4"];
    let mut live = mosquitto.subscribe_formatted("named/#", format, &flags);
    for (record, headers) in [
        ("a key:1", &["mqtt.topic=named/0", "mqtt.qos=0"][..]),
        ("named/1:2", &["mqtt.qos=1", "unit=celsius"]),
        ("a key:3", &["mqtt.topic=named/2", "mqtt.qos=2", "unit=celsius"]),
        ("named/elsewhere:4", &["mqtt.topic=named/3"]),
    ] {
        let headers: Vec<&str> = headers.iter().flat_map(|header| ["-H", header]).collect();
        produce(&broker, record, &headers);
    }
    let expected = [
        "0 0 named/0 1 mqtt.key:a key",
        "1 0 named/1 2 unit:celsius",
        "2 0 named/2 3 unit:celsius mqtt.key:a key",
        "1 0 named/3 4 mqtt.key:named/elsewhere",
    ];
    assert_eq!(live.messages(), expected);
}

#[test]
fn all_properties_of_a_message_are_headers_and_a_copy_of_the_record_is_the_message() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let said = [
        ["content-type", "text/plain"],
        ["response-topic", "answers/here"],
        ["correlation-data", "one-7"],
        ["message-expiry-interval", "86400"],
        ["payload-format-indicator", "1"],
    ];
    let said = said.iter().flat_map(|[name, value]| ["-D", "publish", name, value]);
    let user = ["-D", "publish", "user-property", "unit", "celsius"];
    let flags: Vec<&str> = ["-q", "2", "-r"].into_iter().chain(said).chain(user).collect();
    mosquitto.publish("full", "21.5", &flags);
    let reads = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k=%s [%h]\n"];
    let headers = "q=2r,f=1,t=text/plain,p=answers/here,d=one-7,x=86400,u=NULL,unit=celsius";
    assert_eq!(kcat(&broker, &reads), [format!("full=21.5 [{headers}]")]);

    let format = "MSG %q %r %t %p %C %R %D %F %P";
    let mut live = mosquitto.subscribe_formatted("copy", format, &["-q", "2", "-C", "1"]);
    // kcat writes no header without a value but in this form.
    let copied: Vec<&str> = headers.split(',').map(|it| it.trim_end_matches("=NULL")).collect();
    let copied: Vec<&str> = copied.iter().flat_map(|header| ["-H", header]).collect();
    produce(&broker, "copy:21.5", &copied);
    let expected = "21.5 text/plain answers/here one-7 1 unit:celsius";
    assert_eq!(live.messages(), [format!("2 0 copy {expected}")]);
    let mut kept = mosquitto.subscribe_formatted("copy", format, &["-q", "2", "-C", "1"]);
    assert_eq!(kept.messages(), [format!("2 1 copy {expected}")]);
}

#[test]
fn an_acknowledged_record_survives_kill_9() {
    let mut broker = Broker::start();
    produce(&broker, "kept:1", &["-X", "enable.idempotence=true"]);
    broker.kill9();
    broker.restart();
    let reads = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k %s\n"];
    assert_eq!(kcat(&broker, &reads), ["kept 1"]);
}

#[test]
fn python_clients_read_everything_and_write_in_every_codec() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    for n in 0..20 {
        mosquitto.publish(&format!("seen/{n}"), &format!("value {n}"), &["-q", "1"]);
    }
    paho("kafka_round_trip.py", broker.kafka_address(), &["20"]);
    let reads = ["-C", "-t", "mqtt", "-o", "beginning", "-e", "-q", "-f", "%k\n"];
    let keys = kcat(&broker, &reads);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let written = format!("written/{codec}");
        assert_eq!(keys.iter().filter(|key| **key == written).count(), 100, "{codec}");
    }
}

#[test]
fn what_tools_ask_is_answered_and_what_only_the_configuration_may_do_refused() {
    let broker = Broker::start();
    paho("kafka_admin.py", broker.kafka_address(), &[]);
}

/// Each connection that the port closed so far, by reason.
fn closed(http: &Http) -> BTreeMap<String, u64> {
    let text = http.get("/metrics").body;
    let read = |line: &str| {
        let line = line.strip_prefix("tidewire_kafka_closed_total{reason=\"")?;
        let (reason, count) = line.split_once("\"} ")?;
        Some((reason.to_owned(), count.parse().ok()?))
    };
    text.lines().filter_map(read).filter(|(_, count)| *count > 0).collect()
}

/// Sends a frame on a connection of its own, which is closed without an answer.
fn is_closed_for(broker: &Broker, frame: &[u8]) -> SocketAddr {
    let mut socket = TcpStream::connect(broker.kafka_address()).expect("it listens");
    let here = socket.local_addr().expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.write_all(frame).expect("sent");
    let mut answer = Vec::new();
    // Closed with bytes unread, a connection may also be reset.
    let end = socket.read_to_end(&mut answer).map_err(|error| error.kind());
    assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{frame:?}: {end:?}");
    assert!(answer.is_empty(), "{frame:?} was answered {answer:?}");
    here
}

#[test]
fn absurd_frames_close_their_connection_and_no_other_and_the_reason_is_told() {
    let broker = Broker::start_configured(
        "[listener.http]\nbind = \"127.0.0.1:0\"\n\
         [log]\nfilter = \"info,tidewire_bridge=debug\"\n",
    );
    let http = Http::new(broker.http_address());
    let frames: [(&[u8], &str); 9] = [
        (b"GET / HTTP/1.1\r\n\r\n", "frame_length"),
        (&[0x7f, 0xff, 0xff, 0xff], "frame_length"),
        (&[0xff, 0xff, 0xff, 0xff], "frame_length"),
        // Metadata of 9 MiB.
        (&[0, 0x90, 0, 0, 0, 3], "frame_length"),
        // Metadata 0 with so many topics that its decoder would abort.
        (&[0, 0, 0, 15, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0x03, 0x3c, 0x0c, 0, 0xb6], "malformed"),
        // A header that ends too early.
        (&[0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 0, 1], "malformed"),
        // An API that nobody knows.
        (&[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0], "unknown_api"),
        // Fetch 99, and Fetch 0, which is too old.
        (&[0, 0, 0, 10, 0, 1, 0, 99, 0, 0, 0, 1, 0, 0], "unknown_api"),
        (&[0, 0, 0, 10, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0], "unknown_api"),
    ];
    let mut expected = BTreeMap::new();
    for (frame, reason) in frames {
        let here = is_closed_for(&broker, frame);
        *expected.entry(reason.to_owned()).or_default() += 1;
        let deadline = Instant::now() + PATIENCE;
        // What was measured is kept for some seconds.
        while closed(&http) != expected {
            assert!(Instant::now() < deadline, "{frame:?}: {expected:?}, not {:?}", closed(&http));
        }
        let peer = format!("\"peer\":\"{here}\"");
        broker.await_output(&peer);
        let output = broker.output();
        let line = output.lines().find(|line| line.contains(&peer)).expect("just seen");
        assert!(line.contains(reason), "{line}");
    }
    assert!(!kcat(&broker, &["-L"]).is_empty());
    assert_eq!(closed(&http), expected);
}

#[test]
fn an_unknown_version_of_apiversions_is_answered_in_the_oldest_form() {
    let broker = Broker::start();
    let mut socket = TcpStream::connect(broker.kafka_address()).expect("it listens");
    socket.write_all(&[0, 0, 0, 10, 0, 18, 0, 99, 0, 0, 0, 7, 0, 0]).expect("sent");
    let mut answer = [0; 20];
    socket.read_exact(&mut answer).expect("an answer");
    // Length, correlation, error 35, one range: ApiVersions 0 to 4.
    let expected = [0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
    assert_eq!(answer, expected);
}
