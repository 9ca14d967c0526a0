//! Does the context of a trace go through the broker, from MQTT to Kafka and back, as either side
//! writes it?

use std::fs;
use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::Mosquitto;
use tidewire_tests::kafka_log;
use tidewire_tests::program::Program;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const STATE: &str = "vendor=t61rcWkgMzE";

#[test]
fn a_traceparent_in_user_properties_is_a_header_of_that_name_for_kafka_clients() {
    let broker = Broker::start();
    let of_trace = format!(
        "-q 1 -D publish user-property traceparent {PARENT} -D publish user-property tracestate \
         {STATE}"
    );
    let words: Vec<&str> = of_trace.split_whitespace().collect();
    Mosquitto::new(broker.address(), "mqttv5").publish("plant/1", "21.5", &words);
    let read = kafka_log::printed(broker.kafka_address(), "mqtt", "%k|%s|%h\\n");
    let [line] = &read[..] else { panic!("{read:?}") };
    let headers = line.strip_prefix("plant/1|21.5|").expect("the message");
    let headers: Vec<&str> = headers.split(',').collect();
    assert!(headers.contains(&&*format!("traceparent={PARENT}")), "{headers:?}");
    assert!(headers.contains(&&*format!("tracestate={STATE}")), "{headers:?}");
}

#[test]
fn a_traceparent_in_headers_is_a_user_property_of_that_name_for_mqtt_clients() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let reader = mosquitto.subscribe_formatted("plant/#", "MSG %t|%p|%P", &["-q", "1"]);
    let folder = tempfile::tempdir().expect("a folder");
    let payload = folder.path().join("payload");
    fs::write(&payload, "21.5").expect("written");
    let mut kcat = Command::new("kcat");
    kcat.args(["-b", &broker.kafka_address().to_string(), "-P", "-t", "mqtt", "-k", "plant/1"]);
    kcat.args(["-H", &format!("traceparent={PARENT}"), "-H", &format!("tracestate={STATE}")]);
    let _ = Program::start(kcat.arg(&payload)).succeeds();
    let expected = format!("plant/1|21.5|traceparent:{PARENT} tracestate:{STATE}");
    assert_eq!(reader.message(), expected);
}
