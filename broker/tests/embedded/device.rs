//! A client on the network that speaks raw MQTT 5: enough to see what it is answered.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// One connection.
pub(crate) struct Device(TcpStream);

impl Device {
    /// Connects with a session that ends with the connection; the answer is for the caller.
    pub(crate) fn open(broker: SocketAddr, client_id: &str) -> Self {
        let mut device = Self::socket(broker);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0];
        body.extend(text(client_id));
        device.send(0x10, &body);
        device
    }

    /// The same, asking for no words beside reason codes.
    pub(crate) fn open_without_words(broker: SocketAddr, client_id: &str) -> Self {
        let mut device = Self::socket(broker);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 2, 0x17, 0];
        body.extend(text(client_id));
        device.send(0x10, &body);
        device
    }

    /// As `open` in MQTT 3.1.1, for what is answered there.
    pub(crate) fn open_v4(broker: SocketAddr, client_id: &str) -> Self {
        let mut device = Self::socket(broker);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 60];
        body.extend(text(client_id));
        device.send(0x10, &body);
        device
    }

    /// Connects with a session that waits for an hour, and insists on being let in.
    pub(crate) fn resume(broker: SocketAddr, client_id: &str) -> Self {
        Self::ask_to_resume(broker, client_id).let_in()
    }

    /// Connects with a session that waits for an hour; the answer is for the caller.
    pub(crate) fn ask_to_resume(broker: SocketAddr, client_id: &str) -> Self {
        let mut device = Self::socket(broker);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 0, 0, 60, 5, 0x11, 0, 0, 14, 16];
        body.extend(text(client_id));
        device.send(0x10, &body);
        device
    }

    /// The same in MQTT 3.1.1, with a session that stays.
    pub(crate) fn ask_to_resume_v4(broker: SocketAddr, client_id: &str) -> Self {
        let mut device = Self::socket(broker);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 4, 0, 0, 60];
        body.extend(text(client_id));
        device.send(0x10, &body);
        device
    }

    /// Connects like `open`, with a will of so many bytes for the topic `will`.
    pub(crate) fn open_with_will(broker: SocketAddr, client_id: &str, bytes: usize) -> Self {
        let mut device = Self::socket(broker);
        let mut body = vec![0, 4, b'M', b'Q', b'T', b'T', 5, 6, 0, 60, 0];
        body.extend(text(client_id));
        body.push(0);
        body.extend(text("will"));
        body.extend(text(&"x".repeat(bytes)));
        device.send(0x10, &body);
        device
    }

    fn socket(broker: SocketAddr) -> Self {
        let stream = TcpStream::connect(broker).expect("the broker listens");
        stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a timeout above zero");
        Self(stream)
    }

    /// Connects, and insists on being let in.
    pub(crate) fn connect(broker: SocketAddr, client_id: &str) -> Self {
        Self::open(broker, client_id).let_in()
    }

    /// Insists on being let in.
    pub(crate) fn let_in(mut self) -> Self {
        let (first, body) = self.packet().expect("an answer");
        assert_eq!((first, body[1]), (0x20, 0), "{body:02x?}");
        self
    }

    /// The code in the CONNACK that refuses, and that the connection ends behind it.
    pub(crate) fn refusal(mut self) -> u8 {
        let (first, body) = self.packet().expect("an answer");
        assert_eq!(first, 0x20);
        assert_eq!(self.packet(), None, "refused");
        body[1]
    }

    /// Leaves in good order, and waits for the end.
    pub(crate) fn leave(mut self) {
        self.send(0xe0, &[]);
        assert_eq!(self.packet(), None);
    }

    /// Sends the PUBACK for a PUBLISH.
    pub(crate) fn acknowledge(&mut self, publish: &[u8]) {
        let at = 2 + usize::from(u16::from_be_bytes([publish[0], publish[1]]));
        self.send(0x40, &publish[at..at + 2]);
    }

    /// Sends a PUBLISH at QoS 1.
    pub(crate) fn publish(&mut self, topic: &str, payload: &str, id: u16, is_retained: bool) {
        let mut body = text(topic);
        body.extend(id.to_be_bytes());
        body.push(0);
        body.extend(payload.bytes());
        self.send(0x32 | u8::from(is_retained), &body);
    }

    /// Sends a SUBSCRIBE to one filter at QoS 1.
    pub(crate) fn subscribe(&mut self, filter: &str, id: u16) {
        let mut body = id.to_be_bytes().to_vec();
        body.push(0);
        body.extend(text(filter));
        body.push(1);
        self.send(0x82, &body);
    }

    /// Sends an UNSUBSCRIBE from one filter.
    pub(crate) fn unsubscribe(&mut self, filter: &str, id: u16) {
        let mut body = id.to_be_bytes().to_vec();
        body.push(0);
        body.extend(text(filter));
        self.send(0xa2, &body);
    }

    /// The next packet: its first byte and its body. `None` at the end of the connection.
    pub(crate) fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        assert!(head[1] < 0x80, "answers in these tests are short");
        let mut body = vec![0; usize::from(head[1])];
        self.0.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    /// Sends a packet.
    pub(crate) fn send(&mut self, first: u8, body: &[u8]) {
        let mut packet = vec![first];
        let mut left = body.len();
        while left > 0x7f {
            packet.push(u8::try_from(left & 0x7f).expect("seven bits") | 0x80);
            left >>= 7;
        }
        packet.push(u8::try_from(left).expect("seven bits"));
        packet.extend(body);
        // Who was refused may be closed before it has said everything.
        let _ = self.0.write_all(&packet);
    }
}

fn text(value: &str) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("test texts are short");
    [&length.to_be_bytes(), value.as_bytes()].concat()
}
