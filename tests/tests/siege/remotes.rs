//! Servers to which bridges go, and which mean ill: answers that are none, lengths that are not
//! there, floods. The bridges try again; the honest client knows nothing of it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::over::Over;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::siege::{MIB, bear, sized};
use tidewire_tests::wire::{Publish, Version, Wire};

use crate::ONE_CORE;

const SOON: &str = "[bridge]\nretry_ms_min = 10\nretry_ms_max = 20\n";
/// CONNACK of MQTT 5 that promises nothing.
const WELCOME: &[u8] = &[0x20, 3, 0, 0, 0];
/// So long a server waits for a bridge to go by itself.
const HELD: Duration = Duration::from_millis(500);

/// A server that answers each connection by the next of its answers, whatever it is asked.
struct Evil {
    address: SocketAddr,
    served: Arc<AtomicUsize>,
}

impl Evil {
    /// The thread ends with the program of the tests.
    fn with(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let (served, answers) = (Arc::new(AtomicUsize::new(0)), Arc::new(answers));
        let counted = Arc::clone(&served);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (answers, counted) = (Arc::clone(&answers), Arc::clone(&counted));
                thread::spawn(move || {
                    if let Ok(stream) = stream {
                        serve(stream, &answers[number % answers.len()]);
                    }
                    counted.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, served }
    }

    fn await_served(&self, count: usize) {
        let (began, never) = (Instant::now(), Over::default());
        while self.served.load(Ordering::SeqCst) < count {
            assert!(began.elapsed() < PATIENCE, "{:?} of {count}", self.served);
            let _ = never.within(Duration::from_millis(20));
        }
    }
}

/// Waits for a question, answers it, and for a moment more for the end. Whether it is heard is not
/// its concern.
fn serve(mut stream: TcpStream, answer: &[u8]) {
    let _ = stream.set_read_timeout(Some(HELD));
    let _ = stream.set_write_timeout(Some(HELD));
    let mut some = [0; 4096];
    let _ = stream.read(&mut some);
    if stream.write_all(answer).is_ok() {
        while matches!(stream.read(&mut some), Ok(1..)) {}
    }
}

/// Behind a good welcome.
fn welcomed(packets: &[u8]) -> Vec<u8> {
    [WELCOME, packets].concat()
}

/// Runs a broker with a bridge to such a server, which serves each of its answers this many times.
fn besiege(answers: Vec<Vec<u8>>, bytes_max: u64, bridge: impl Fn(SocketAddr) -> String) -> Broker {
    let count = answers.len() * sized(20, 2);
    let evil = Evil::with(answers);
    let broker = Configured::new(&format!("{SOON}{}{ONE_CORE}", bridge(evil.address))).start();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("out/1", "for it", 1, 1));
    bear(&broker, bytes_max, |_| evil.await_served(count));
    let output = broker.output();
    assert!(!output.contains("panic"), "{output}");
    broker
}

#[test]
fn a_link_to_a_broker_that_means_ill_holds_little_and_goes_on() {
    // Lengths of 256 MiB, and much of it.
    let endless = |first: u8| [&[first, 0xff, 0xff, 0xff, 0x7f][..], &[0; 1 << 20]].concat();
    let answers = vec![
        b"SSH-2.0-evil\r\n".to_vec(),
        endless(0x20),
        vec![0x20, 2, 1],
        vec![0x20, 3, 0, 0, 9],
        vec![0xff; 4096],
        // A message before CONNACK.
        b"\x30\x07\x00\x04in/1\x00".to_vec(),
        welcomed(&endless(0x30)),
        welcomed(&endless(0x90)),
        // Topics with wildcards, empty, of the broker itself; an alias that was not agreed on.
        welcomed(b"\x30\x08\x00\x04in/#\x00xy"),
        welcomed(b"\x30\x04\x00\x00\x00x"),
        welcomed(b"\x30\x09\x00\x06$SYS/x\x00"),
        welcomed(b"\x30\x07\x00\x00\x03\x23\x00\x05x"),
        // Packets of a client, and acknowledgements of what was never sent.
        welcomed(b"\x82\x07\x00\x01\x00\x00\x01#\x01"),
        welcomed(&b"\x40\x02\x00\x07\x50\x02\x00\x08\x70\x02\x00\x09".repeat(20_000)),
        welcomed(&b"\x62\x02\x00\x07".repeat(200_000)),
        // Exchanges that are begun and never ended.
        welcomed(&(1..=u16::MAX).flat_map(begun).collect::<Vec<u8>>()),
        // 20,000 user properties.
        welcomed(&many_properties()),
    ];
    // A million messages of it are stored, as anybody's: what a store needs that takes in as much,
    // and the same after ten millions.
    let broker = besiege(answers, 192 * MIB, |address| {
        format!(
            "[[bridge.link]]\nname = \"evil\"\naddresses = [\"{address}\"]\nrules = [\
             {{ direction = \"out\", filter = \"out/#\", qos = 2 }}, \
             {{ direction = \"in\", filter = \"in/#\", qos = 2 }}]\n"
        )
    });
    broker.await_output("evil");
}

/// A PUBLISH at QoS 2 that is never released.
fn begun(id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    [&[0x34, 0x09, 0, 4][..], b"in/1", &[high, low, 0]].concat()
}

fn many_properties() -> Vec<u8> {
    let pair = b"\x26\x00\x01a\x00\x01b".repeat(20_000);
    let behind = [&b"\x00\x04in/1"[..], &varint(pair.len()), &pair].concat();
    [&[0x30][..], &varint(behind.len()), &behind].concat()
}

fn varint(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return bytes;
        }
    }
}

#[test]
fn an_export_to_a_kafka_that_means_ill_holds_little_and_goes_on() {
    let framed = |body: &[u8]| {
        let length = u32::try_from(body.len()).expect("short").to_be_bytes();
        [&length[..], body].concat()
    };
    let answers = vec![
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0x7f, 0xff, 0xff, 0xff],
        [&[0x7f, 0xff, 0xff, 0xff][..], &[0; 1 << 20]].concat(),
        vec![0xff; 4096],
        vec![0x80, 0, 0, 0, 0, 0],
        framed(&[]),
        framed(&[0; 3]),
        // ApiVersions: numbers from zero on, and counts of two thousand millions.
        framed(&[0; 64]),
        framed(&[&[0, 0, 0, 0, 0, 0][..], &[0x7f, 0xff, 0xff, 0xff].repeat(64)].concat()),
        framed(&[&[0, 0, 0, 1, 0, 0][..], &[0xff; 64]].concat()),
        framed(&[0; 100_000]).repeat(16),
    ];
    besiege(answers, 64 * MIB, |address| {
        format!(
            "[[bridge.export]]\nname = \"evil\"\nstart = \"earliest\"\n\
             cluster = {{ addresses = [\"{address}\"] }}\n"
        )
    });
}

#[test]
fn a_push_to_a_receiver_that_means_ill_holds_little_and_goes_on() {
    let head = "HTTP/1.1 503 Busy\r\n";
    let answers = vec![
        b"SSH-2.0-evil\r\n".to_vec(),
        [head.as_bytes(), &b"X: y\r\n".repeat(200_000)].concat(),
        [head.as_bytes(), b"X: ", &[b'y'; 1 << 20]].concat(),
        format!("{head}Content-Length: 99999999999999999\r\n\r\n").into_bytes(),
        format!("{head}Content-Length: -1\r\n\r\n").into_bytes(),
        [format!("{head}Content-Length: 999999999\r\n\r\n").as_bytes(), &[b'x'; 1 << 20]].concat(),
        [
            format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(),
            &b"ffffffffffffffff\r\n".repeat(1_000),
        ]
        .concat(),
        b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100_000),
        vec![0; 1 << 20],
    ];
    besiege(answers, 64 * MIB, |address| {
        format!(
            "[[bridge.push]]\nname = \"evil\"\nurl = \"http://{address}/hook\"\n\
             filters = [\"out/#\"]\nstart = \"earliest\"\ntimeout_ms = 2000\n"
        )
    });
}
