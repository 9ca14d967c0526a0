//! Do clients that we did not write get their messages through? mosquitto's, paho, MQTT.js
//! and rumqttc, each in the versions that it speaks.

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::{Mosquitto, mqtt_js, paho};

#[test]
fn mosquitto_delivers_at_each_level_in_each_version() {
    let broker = Broker::start();
    for version in Mosquitto::VERSIONS {
        let mosquitto = Mosquitto::new(broker.address(), version);
        for qos in ["0", "1", "2"] {
            let mut reader = mosquitto.subscribe("first/#", &["-q", qos, "-C", "1"]);
            mosquitto.publish("first/path", "hello", &["-q", qos]);
            assert_eq!(reader.messages(), [format!("{qos} 0 first/path hello")], "{version}");
        }
    }
}

#[test]
fn a_message_crosses_from_one_version_to_the_other() {
    let broker = Broker::start();
    let clients = Mosquitto::VERSIONS.map(|version| Mosquitto::new(broker.address(), version));
    for from in clients {
        for to in clients {
            let mut reader = to.subscribe("cross", &["-q", "2", "-C", "1"]);
            from.publish("cross", "over", &["-q", "2"]);
            assert_eq!(reader.messages(), ["2 0 cross over"], "{from:?} to {to:?}");
        }
    }
}

#[test]
fn leading_wildcards_do_not_match_dollar_topics() {
    let broker = Broker::start();
    for version in Mosquitto::VERSIONS {
        let mosquitto = Mosquitto::new(broker.address(), version);
        let mut reader = mosquitto.subscribe("#", &["-C", "1"]);
        mosquitto.publish("$own/x", "hidden", &[]);
        mosquitto.publish("plain/x", "seen", &[]);
        assert_eq!(reader.messages(), ["0 0 plain/x seen"]);
    }
}

#[test]
fn a_retained_message_is_kept_and_cleared() {
    let broker = Broker::start();
    for version in Mosquitto::VERSIONS {
        let mosquitto = Mosquitto::new(broker.address(), version);
        mosquitto.publish("kept/a", "state", &["-q", "1", "-r"]);
        mosquitto.publish("kept/b", "other", &["-q", "1", "-r"]);
        let mut reader = mosquitto.subscribe("kept/a", &["-q", "1", "-C", "1"]);
        assert_eq!(reader.messages(), ["1 1 kept/a state"]);
        mosquitto.publish_empty("kept/a", &["-q", "1", "-r"]);
        let mut reader = mosquitto.subscribe("kept/+", &["-q", "1", "-C", "1"]);
        assert_eq!(reader.messages(), ["1 1 kept/b other"], "a is gone, b is not");
    }
}

#[test]
fn the_will_of_a_killed_client_is_published_and_of_a_leaving_one_is_not() {
    let broker = Broker::start();
    for version in Mosquitto::VERSIONS {
        let mosquitto = Mosquitto::new(broker.address(), version);
        let reader = mosquitto.subscribe("will/#", &["-q", "1"]);
        let flags =
            |who| ["--will-topic", who, "--will-payload", "gone", "--will-qos", "1", "-q", "1"];
        // It leaves by itself, in good order, after one message.
        let mut leaves =
            mosquitto.subscribe("any", &[&flags("will/left")[..], &["-C", "1"]].concat());
        mosquitto.publish("any", "go", &[]);
        assert_eq!(leaves.messages(), ["0 0 any go"]);
        mosquitto.subscribe("any", &flags("will/killed")).kill9();
        assert_eq!(reader.message(), "1 0 will/killed gone");
    }
}

#[test]
fn an_offline_session_keeps_its_messages() {
    let broker = Broker::start();
    for version in Mosquitto::VERSIONS {
        let mosquitto = Mosquitto::new(broker.address(), version);
        let name = format!("sleeper-{version}");
        let mut session = vec!["-i", &name, "-q", "1", "-c"];
        if version == "mqttv5" {
            session.extend(["-x", "3600"]);
        }
        let topic = format!("night/{version}");
        let mut awake = mosquitto.subscribe(&topic, &[&session[..], &["-C", "1"]].concat());
        mosquitto.publish(&topic, "evening", &[]);
        assert_eq!(awake.messages(), [format!("0 0 {topic} evening")]);
        mosquitto.publish(&topic, "one", &["-q", "1"]);
        mosquitto.publish(&topic, "two", &["-q", "2"]);
        let mut back = mosquitto.resume(&topic, &[&session[..], &["-C", "2"]].concat());
        assert_eq!(back.messages(), [format!("1 0 {topic} one"), format!("1 0 {topic} two")]);
    }
}

#[test]
fn properties_of_mqtt_5_pass_through() {
    let broker = Broker::start();
    let mosquitto = Mosquitto::new(broker.address(), "mqttv5");
    let flags = ["-q", "1", "-C", "1"];
    let format = "MSG %C|%R|%D|%P|%F|%p";
    let mut reader = mosquitto.subscribe_formatted("with/#", format, &flags);
    let properties = [
        "-q 1 -D publish content-type text/plain -D publish response-topic back/here",
        "-D publish correlation-data c-7 -D publish payload-format-indicator 1",
        "-D publish user-property traceparent 00-ab -D publish user-property traceparent 00-cd",
    ];
    let words: Vec<&str> = properties.iter().flat_map(|line| line.split(' ')).collect();
    mosquitto.publish("with/all", "body", &words);
    let expected = "text/plain|back/here|c-7|traceparent:00-ab traceparent:00-cd|1|body";
    assert_eq!(reader.messages(), [expected]);
}

#[test]
fn paho_goes_round_in_both_versions() {
    let broker = Broker::start();
    for version in ["4", "5"] {
        paho("paho_round_trip.py", broker.address(), &[version]);
    }
}

#[test]
fn mqtt_js_goes_round_in_both_versions() {
    let broker = Broker::start();
    for version in ["4", "5"] {
        mqtt_js("round_trip.js", broker.address(), &[version]);
    }
}

#[tokio::test]
async fn rumqttc_goes_round_in_mqtt_311() {
    use rumqttc::{AsyncClient, Event, MqttOptions, Packet, QoS};
    let broker = Broker::start();
    let address = broker.address();
    let options = MqttOptions::new("rumqttc-4", address.ip().to_string(), address.port());
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("rumqttc/#", QoS::ExactlyOnce).await.expect("room in its queue");
    let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let mut received = Vec::new();
    while received.len() < levels.len() {
        match events.poll().await.expect("the connection holds") {
            Event::Incoming(Packet::SubAck(_)) => {
                for qos in levels {
                    client.publish("rumqttc/a", qos, false, "hi").await.expect("room");
                }
            }
            Event::Incoming(Packet::Publish(message)) => received.push(message.qos),
            _ => (),
        }
    }
    assert_eq!(received, levels);
}

#[tokio::test]
async fn rumqttc_goes_round_in_mqtt_5() {
    use rumqttc::v5::mqttbytes::QoS;
    use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let broker = Broker::start();
    let address = broker.address();
    let options = MqttOptions::new("rumqttc-5", address.ip().to_string(), address.port());
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("rumqttc/#", QoS::ExactlyOnce).await.expect("room in its queue");
    let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let pairs = vec![("k".to_owned(), "1".to_owned()), ("k".to_owned(), "2".to_owned())];
    let properties = PublishProperties { user_properties: pairs.clone(), ..Default::default() };
    let mut received = Vec::new();
    while received.len() < levels.len() {
        match events.poll().await.expect("the connection holds") {
            Event::Incoming(Packet::SubAck(_)) => {
                for qos in levels {
                    let sent = properties.clone();
                    let done = client.publish_with_properties("rumqttc/a", qos, false, "hi", sent);
                    done.await.expect("room");
                }
            }
            Event::Incoming(Packet::Publish(message)) => {
                let came = message.properties.expect("the user properties");
                assert_eq!(came.user_properties, pairs);
                received.push(message.qos);
            }
            _ => (),
        }
    }
    assert_eq!(received, levels);
}
