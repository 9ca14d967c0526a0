//! Kafka clients that we did not write, at the Kafka port.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use tidewire_tests::broker::Broker;
use tidewire_tests::program::Program;

fn kcat(broker: &Broker, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("kcat");
    command.args(["-b", &broker.kafka_address().to_string()]).args(arguments);
    Program::start(&mut command).succeeds()
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
fn absurd_frames_close_their_connection_and_no_other() {
    let broker = Broker::start();
    let frames: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n\r\n",
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        // Metadata 0 with so many topics that its decoder would abort.
        &[0, 0, 0, 15, 0, 3, 0, 0, 0, 0, 0, 1, 0, 0, 0x03, 0x3c, 0x0c, 0, 0xb6],
        // An API that nobody knows.
        &[0, 0, 0, 10, 0x7f, 0, 0, 0, 0, 0, 0, 1, 0, 0],
        // A header that ends too early.
        &[0, 0, 0, 8, 0, 3, 0, 0, 0, 0, 0, 1],
    ];
    for frame in frames {
        let mut socket = TcpStream::connect(broker.kafka_address()).expect("it listens");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
        socket.write_all(frame).expect("sent");
        let mut answer = Vec::new();
        // Closed with bytes unread, a connection may also be reset.
        let _ = socket.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{frame:?} was answered {answer:?}");
    }
    assert!(!kcat(&broker, &["-L"]).is_empty());
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
