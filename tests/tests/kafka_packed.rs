//! Sealed segments that are packed, as Kafka clients that we did not write read them: batches go
//! out as they lie.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Instant;

use tidewire_tests::broker::Broker;
use tidewire_tests::kafka_orders::{LIBRARIES, said};
use tidewire_tests::program::{PATIENCE, Program};

/// Enough for a sealed segment and a part of another, in each stream.
const RECORDS: usize = 8_000;
const PADDING: usize = 200;
/// The least that there may be.
const SEGMENT: &str = "[store]\nwal_file_bytes = \"1 MiB\"\nwal_bytes_max = \"2 MiB\"\n\
                       segment_bytes_max = \"1 MiB\"\n[mqtt]\npacket_bytes_max = \"64 KiB\"\n";

/// Streams and how they are packed: by Kafka's numbers.
const PACKED: [(&str, u16); 3] = [("none", 0), ("lz4", 3), ("zstd", 4)];

#[test]
fn what_is_sealed_and_packed_is_sent_as_it_lies_and_every_client_reads_all_of_it() {
    let stream = |(codec, _): &(&str, u16)| {
        format!(
            "[[stream]]\nname = \"{codec}\"\nfilters = [\"{codec}/#\"]\npartitions = 1\n\
             compression = \"{codec}\"\n"
        )
    };
    let streams: String = PACKED.iter().map(stream).collect();
    let mut broker = Broker::start_configured(&format!("{SEGMENT}{streams}"));
    for (codec, _) in PACKED {
        write(&broker, codec);
    }
    // A clean stop files what is in the write-ahead log; what is sealed is packed later.
    broker.stop();
    broker.restart();
    for (codec, number) in PACKED {
        let deadline = Instant::now() + PATIENCE;
        while codec_of_the_first_batch(broker.kafka_address(), codec) != Some(number) {
            assert!(Instant::now() < deadline, "the first batch of {codec} is not packed");
        }
        let values = (0..RECORDS).map(value);
        assert!(by_kcat(&broker, codec).into_iter().eq(values), "{codec} by kcat");
        for library in LIBRARIES {
            // What it needs to unpack is not installed.
            if library == "kafka-python" && number != 0 {
                continue;
            }
            let order = format!("read:{codec}:{RECORDS}");
            let read = said(library, broker.kafka_address(), &[], &[&order]);
            let values = (0..RECORDS).map(|n| format!("GOT {codec}/counted {}", value(n)));
            assert!(read.into_iter().eq(values), "{codec} by {library}");
        }
    }
}

/// Something that packs well.
fn value(number: usize) -> String {
    format!("{number}-{}", "x".repeat(PADDING))
}

fn write(broker: &Broker, stream: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = folder.path().join("lines");
    let text: String = (0..RECORDS).map(|n| format!("{stream}/counted:{}\n", value(n))).collect();
    fs::write(&lines, text).expect("written");
    let lines = lines.to_str().expect("UTF-8");
    // No batch may be longer than a packet there.
    let batches = ["-X", "enable.idempotence=true", "-X", "batch.size=32768"];
    let _ = kcat(broker, &[&["-P", "-t", stream, "-K", ":", "-l", lines], &batches[..]].concat());
}

fn by_kcat(broker: &Broker, stream: &str) -> Vec<String> {
    kcat(broker, &["-C", "-t", stream, "-o", "beginning", "-e", "-q", "-f", "%s\n"])
}

fn kcat(broker: &Broker, arguments: &[&str]) -> Vec<String> {
    let mut command = Command::new("kcat");
    command.args(["-b", &broker.kafka_address().to_string()]).args(arguments);
    Program::start(&mut command).succeeds()
}

/// How the first batch of a stream is packed on the wire, if it came.
fn codec_of_the_first_batch(kafka: SocketAddr, stream: &str) -> Option<u16> {
    let mut socket = TcpStream::connect(kafka).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket.write_all(&fetch(stream)).expect("sent");
    let mut length = [0; 4];
    socket.read_exact(&mut length).expect("an answer");
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut answer).expect("all of it");
    // Correlation, throttle, error, session, one topic and its name, one partition: its number,
    // error, three offsets, no aborted transactions, length.
    let before = (4 + 4 + 2 + 4) + (4 + 2 + stream.len()) + (4 + 4 + 2) + (8 + 8 + 8) + (4 + 4);
    let batch = answer.get(before..)?;
    let attributes = batch.get(21..23)?.try_into().expect("two bytes");
    Some(u16::from_be_bytes(attributes) & 7)
}

/// Fetch 10, the first whose clients know zstd, of one batch, from the first record.
fn fetch(stream: &str) -> Vec<u8> {
    let mut body = b"\x00\x01\x00\x0a\x00\x00\x00\x09\x00\x02me".to_vec();
    // Replica, wait, at least, at most.
    for number in [-1_i32, 10_000, 1, 1] {
        body.extend_from_slice(&number.to_be_bytes());
    }
    // Isolation, no session, one topic.
    body.extend_from_slice(b"\x00\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x01");
    let name = u16::try_from(stream.len()).expect("it is short");
    body.extend_from_slice(&name.to_be_bytes());
    body.extend_from_slice(stream.as_bytes());
    // One partition, the first, whoever leads, from its beginning, at most; none is forgotten.
    body.extend_from_slice(b"\x00\x00\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff");
    body.extend_from_slice(&[0; 8 + 8]);
    body.extend_from_slice(&1_i32.to_be_bytes());
    body.extend_from_slice(&[0; 4]);
    let length = u32::try_from(body.len()).expect("it is short");
    [&length.to_be_bytes()[..], &body].concat()
}
