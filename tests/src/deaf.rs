//! A broker that hears all and says only what it is told: for clients that nobody answers.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;

use crate::program::PATIENCE;

/// CONNACK of MQTT 5.
pub const WELCOME: &[u8] = &[0x20, 3, 0, 0, 0];

/// Where clients come in.
#[derive(Debug)]
pub struct Deaf(TcpListener);

/// One client.
#[derive(Debug)]
pub struct Client(TcpStream);

impl Deaf {
    /// Opens a port.
    ///
    /// # Panics
    /// When there is none; so do all others here when nothing comes in time.
    #[must_use]
    pub fn open() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").expect("a port"))
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.0.local_addr().expect("bound"))
    }

    /// The next client, when its CONNECT is here; it is not answered.
    #[must_use]
    pub fn client(&self) -> Client {
        let listener = self.0.try_clone().expect("a listener");
        let (found, accepted) = channel();
        // Nobody may be waiting any more.
        thread::spawn(move || listener.accept().map(|(stream, _)| found.send(stream)));
        let stream = accepted.recv_timeout(PATIENCE).expect("a client");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let mut client = Client(stream);
        let _ = client.hears(1);
        client
    }
}

impl Client {
    /// Says these bytes to it.
    pub fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("it listens");
    }

    /// Waits for a packet of this kind, and passes over others; the whole of it.
    #[must_use]
    pub fn hears(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let packet = self.packet();
            if packet[0] >> 4 == kind {
                return packet;
            }
        }
    }

    fn packet(&mut self) -> Vec<u8> {
        let (mut packet, mut length) = (vec![self.byte()], 0);
        for shift in [0, 7, 14, 21] {
            let byte = self.byte();
            packet.push(byte);
            length |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        let head = packet.len();
        packet.resize(head + length, 0);
        self.0.read_exact(&mut packet[head..]).expect("a whole packet");
        packet
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).expect("a packet");
        byte[0]
    }
}
