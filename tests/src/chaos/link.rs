//! A socket that comes back: reads whole packets without waiting long, and connects again when
//! the broker is gone. Knows no exchange.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::wire::{Version, connect, kind};

/// How long a read waits for bytes.
const READ_WAIT: Duration = Duration::from_millis(2);
/// How long to wait until the broker may be back.
const RETRY_WAIT: Duration = Duration::from_millis(5);

/// Where the broker listens now; another port after each start.
#[derive(Clone, Debug)]
pub struct Place(Arc<(Mutex<SocketAddr>, Condvar)>);

impl Place {
    /// It listens here.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self(Arc::new((Mutex::new(address), Condvar::new())))
    }

    /// It listens elsewhere now.
    ///
    /// # Panics
    /// When another thread did.
    pub fn moved_to(&self, address: SocketAddr) {
        *self.0.0.lock().expect("nobody panics with it") = address;
        self.0.1.notify_all();
    }

    fn get(&self) -> SocketAddr {
        *self.0.0.lock().expect("nobody panics with it")
    }

    /// Waits until it moves, or may be back where it was.
    fn wait(&self) {
        let address = self.0.0.lock().expect("nobody panics with it");
        let _ = self.0.1.wait_timeout(address, RETRY_WAIT);
    }
}

/// A packet: its first byte and what follows its length.
pub(super) struct Packet {
    pub(super) first: u8,
    pub(super) body: Vec<u8>,
}

impl Packet {
    pub(super) fn kind(&self) -> u8 {
        self.first >> 4
    }

    pub(super) fn u16_at(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.body[at], self.body[at + 1]])
    }
}

/// A client's way to the broker.
pub(super) struct Link {
    place: Place,
    version: Version,
    client_id: String,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    /// How often it was connected.
    pub(super) connections: usize,
}

impl Link {
    pub(super) fn new(place: Place, version: Version, client_id: String) -> Self {
        Self { place, version, client_id, stream: None, buffer: Vec::new(), connections: 0 }
    }

    pub(super) fn version(&self) -> Version {
        self.version
    }

    pub(super) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Connects and resumes the session; `None` when the broker is not there, else whether the
    /// session was.
    pub(super) fn open(&mut self) -> Option<bool> {
        self.buffer.clear();
        let attempt = self.try_open();
        if attempt.is_none() {
            self.stream = None;
            self.place.wait();
        }
        attempt
    }

    fn try_open(&mut self) -> Option<bool> {
        let stream = TcpStream::connect(self.place.get()).ok()?;
        stream.set_read_timeout(Some(READ_WAIT)).ok()?;
        stream.set_nodelay(true).ok()?;
        self.stream = Some(stream);
        self.send(&connect(self.version, &self.client_id, false, 0, None));
        while self.is_open() {
            if let Some(connack) = self.packet() {
                assert_eq!(connack.kind(), kind::CONNACK, "CONNACK comes first");
                assert_eq!(connack.body[1], 0, "{} is refused", self.client_id);
                self.connections += 1;
                return Some(connack.body[0] == 1);
            }
        }
        None
    }

    /// Sends, or notes that the connection is lost.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        if self.stream.as_mut().is_some_and(|stream| stream.write_all(bytes).is_err()) {
            self.stream = None;
        }
    }

    pub(super) fn acknowledge(&mut self, kind: u8, id: u16) {
        let flags = if kind == kind::PUBREL { 2 } else { 0 };
        let [high, low] = id.to_be_bytes();
        self.send(&[(kind << 4) | flags, 2, high, low]);
    }

    /// The next whole packet, if it is there.
    pub(super) fn packet(&mut self) -> Option<Packet> {
        if let Some(packet) = self.split() {
            return Some(packet);
        }
        let mut bytes = [0; 16 * 1024];
        match self.stream.as_mut()?.read(&mut bytes) {
            Ok(count) if count > 0 => self.buffer.extend_from_slice(&bytes[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => (),
            _ => self.stream = None,
        }
        self.split()
    }

    fn split(&mut self) -> Option<Packet> {
        let (mut length, mut head) = (0, 1);
        for shift in [0, 7, 14, 21] {
            let byte = *self.buffer.get(head)?;
            length |= usize::from(byte & 0x7f) << shift;
            head += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if self.buffer.len() < head + length {
            return None;
        }
        let packet =
            Packet { first: self.buffer[0], body: self.buffer[head..head + length].to_vec() };
        self.buffer.drain(..head + length);
        Some(packet)
    }
}
