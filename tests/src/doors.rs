//! Ways to open a connection and leave it at any step: from an address of choice, in the middle of
//! a handshake, behind it. Knows no more of a broker than its ports.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};

use crate::authority::{Authority, Pair, Use};
use crate::broker::Broker;
use crate::program::PATIENCE;
use crate::secure::{Secure, Trust};

/// What opens a WebSocket.
pub const UPGRADE: &str = "GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";

/// Listeners of every kind, and who signed their certificate.
#[derive(Debug)]
pub struct Doors {
    /// Beside it lie the files.
    pub authority: Authority,
    /// Sections of a configuration.
    pub sections: String,
}

impl Doors {
    /// With more lines in each TLS section.
    #[must_use]
    pub fn new(tls: &str) -> Self {
        let authority = Authority::new("Test CA");
        let Pair { cert, key, .. } = authority.sign("server", Use::Server, &["localhost"]);
        let secret = |name| {
            format!(
                "[listener.{name}]\nbind = \"127.0.0.1:0\"\n[listener.{name}.tls]\n\
                 cert_file = {cert:?}\nkey_file = {key:?}\n{tls}"
            )
        };
        let web = "[listener.websocket]\nbind = \"127.0.0.1:0\"\n";
        let sections = format!("{web}{}{}", secret("mqtts"), secret("wss"));
        Self { authority, sections }
    }

    /// Who trusts their certificate.
    #[must_use]
    pub fn trust(&self) -> Trust {
        Trust::new(&self.authority.path(), None)
    }
}

/// How far a connection goes before it falls silent.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// By the scheme in the banner.
    pub scheme: &'static str,
    /// The whole handshake of TLS is done, and of WebSocket.
    pub is_through: bool,
}

impl Way {
    /// To every door, with the handshake and without.
    pub const ALL: [Self; 7] = [
        Self { scheme: "mqtt", is_through: true },
        Self { scheme: "mqtts", is_through: false },
        Self { scheme: "mqtts", is_through: true },
        Self { scheme: "ws", is_through: false },
        Self { scheme: "ws", is_through: true },
        Self { scheme: "wss", is_through: false },
        Self { scheme: "wss", is_through: true },
    ];

    /// Goes it and says so many bytes more: of the handshake that is left out, or of CONNECT.
    ///
    /// # Errors
    /// When the broker refuses.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn go(self, broker: &Broker, trust: &Trust, bytes: usize) -> io::Result<TcpStream> {
        let address =
            if self.scheme == "mqtt" { broker.address() } else { broker.address_of(self.scheme) };
        let connect = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01s";
        let head = |all: &[u8]| all[..bytes % all.len()].to_vec();
        match (self.scheme, self.is_through) {
            ("mqtt", _) => plain(address, &head(connect)),
            ("ws", false) => plain(address, &head(UPGRADE.as_bytes())),
            ("ws", true) => {
                let mut stream = plain(address, UPGRADE.as_bytes())?;
                read_head(|byte| stream.read_exact(byte))?;
                stream.write_all(&head(&masked(connect)))?;
                Ok(stream)
            }
            ("mqtts", true) => {
                let mut secure = Secure::open(address, trust)?;
                secure.say(&head(connect))?;
                Ok(secure.into_socket())
            }
            ("wss", true) => {
                let mut secure = Secure::open(address, trust)?;
                secure.say(UPGRADE.as_bytes())?;
                read_head(|byte| secure.hear(1).map(|heard| byte[0] = heard[0]))?;
                secure.say(&head(&masked(connect)))?;
                Ok(secure.into_socket())
            }
            _ => plain(address, &head(&trust.hello())),
        }
    }
}

/// A frame of a client.
fn masked(payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("short");
    let mut frame = vec![0x82, 0x80 | length, 7, 7, 7, 7];
    frame.extend(payload.iter().map(|byte| byte ^ 7));
    frame
}

fn plain(address: SocketAddr, said: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(said)?;
    Ok(stream)
}

/// The head of the answer to an upgrade.
fn read_head(mut read: impl FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        read(&mut byte)?;
        head.push(byte[0]);
    }
    if head.starts_with(b"HTTP/1.1 101 ") { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
}

/// Waits until the broker has closed it.
///
/// # Panics
/// When it does not in time.
pub fn await_end(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    if let Err(error) = io::copy(&mut stream, &mut io::sink()) {
        let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
        assert!(!is_late, "the broker never closed it");
    }
}

/// A socket from this address of the machine; all of 127.0.0.0/8 are.
///
/// # Panics
/// When nobody listens, or the address is not of this machine.
#[must_use]
pub fn connect_from(source: IpAddr, broker: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let socket = socket.expect("a socket");
    socket.bind(&SocketAddr::new(source, 0).into()).expect("an address of this machine");
    socket.connect(&broker.into()).expect("the broker listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout above zero");
    stream.set_nodelay(true).expect("a live socket");
    stream
}
