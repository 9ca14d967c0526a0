//! Connections that a proxy hands on: whose headers count, and the header read from the socket, in
//! time and not a byte more than it has. What stands in it is read by `tidewire_proto::proxied`.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use parking_lot::Mutex;
use tidewire_proto::proxied::{HeaderError, HeaderReader, Said};
use tokio::net::TcpStream;

use crate::address_range::AddressRange;
use crate::config::{MqttListener, ProxyProtocol};
use crate::core::shared::Shared;
use crate::metrics::RefuseReason;
use crate::teller::Teller;

/// What is looked at at one time; most headers are shorter.
const LOOK_BYTES: usize = 256;

/// The proxies before one listener.
pub(crate) struct Proxies {
    from: Vec<AddressRange>,
    listener: &'static str,
    teller: Mutex<Teller>,
}

/// Why there is no header.
enum Failure {
    /// The other end went away: a health check, a port scan.
    Lost,
    Wrong(HeaderError),
}

impl From<io::Error> for Failure {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

impl Proxies {
    /// `None` where there are none.
    pub(crate) fn of(config: &MqttListener, listener: &'static str) -> Option<Self> {
        match config.proxy_protocol {
            ProxyProtocol::Off => None,
            ProxyProtocol::Required => {
                let (from, teller) = (config.proxy_from.clone(), Mutex::default());
                Some(Self { from, listener, teller })
            }
        }
    }

    /// Whether headers from there count. If not, it is counted and told of.
    pub(crate) fn trust(&self, shared: &Shared, peer: SocketAddr) -> bool {
        let is_one = self.from.iter().any(|range| range.contains(peer.ip()));
        if !is_one {
            let words = "its address is none of `proxy_from`";
            self.refuse(shared, peer, RefuseReason::ProxyFrom, words);
        }
        is_one
    }

    /// Whose connection it is that came from this proxy; `None` if nobody knows, which is counted
    /// and told of.
    pub(crate) async fn introduce(
        &self,
        shared: &Shared,
        stream: &TcpStream,
        proxy: SocketAddr,
    ) -> Option<SocketAddr> {
        let time = shared.limits.connect_timeout;
        match tokio::time::timeout(time, read(stream)).await {
            Ok(Ok(Said::Client(client))) => Some(client),
            Ok(Ok(Said::Nobody)) => Some(proxy),
            Ok(Err(Failure::Lost)) => {
                let listener = self.listener;
                tracing::debug!(peer = %proxy, listener, "it went away before its PROXY header");
                None
            }
            Ok(Err(Failure::Wrong(error))) => {
                self.refuse(shared, proxy, RefuseReason::ProxyHeader, &error.to_string());
                None
            }
            Err(_) => {
                let words = "its PROXY header took longer than mqtt.connect_timeout_ms";
                self.refuse(shared, proxy, RefuseReason::Timeout, words);
                None
            }
        }
    }

    fn refuse(&self, shared: &Shared, peer: SocketAddr, reason: RefuseReason, words: &str) {
        shared.metrics.connections_refused.add(reason, 1);
        let now_s = shared.clock.elapsed_ms() / 1_000;
        if self.teller.lock().may_tell(now_s, "connections without a PROXY header") {
            tracing::warn!(%peer, listener = self.listener, "connection refused: {words}");
        }
    }
}

/// Reads the header and leaves what follows in the socket: it may be a handshake of TLS.
async fn read(stream: &TcpStream) -> Result<Said, Failure> {
    let mut header = HeaderReader::default();
    let mut bytes = [0; LOOK_BYTES];
    loop {
        let count = stream.peek(&mut bytes).await?;
        if count == 0 {
            return Err(Failure::Lost);
        }
        let taken = header.take(&bytes[..count]).map_err(Failure::Wrong)?;
        consume(stream, &mut bytes[..taken.used]).await?;
        if let Some(said) = taken.said {
            return Ok(said);
        }
    }
}

/// Takes bytes off the socket that were looked at.
async fn consume(stream: &TcpStream, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.readable().await?;
        match stream.try_read(bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes = &mut bytes[count..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::{TcpListener as StdTcpListener, TcpStream as StdTcpStream};

    use tidewire_proto::proxied::Said;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpStream;

    use super::{Failure, read};

    /// Two ends of a connection.
    fn pair() -> (StdTcpStream, TcpStream) {
        let listener = StdTcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = StdTcpStream::connect(address).expect("connected");
        let (accepted, _) = listener.accept().expect("accepted");
        accepted.set_nonblocking(true).expect("set");
        (client, TcpStream::from_std(accepted).expect("bound"))
    }

    #[tokio::test]
    async fn what_stands_behind_the_header_stays_in_the_socket() {
        let long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x03\xe8\xc0\0\x02\x01".as_slice(), &[0; 996]];
        for header in [&b"PROXY TCP4 192.0.2.1 10.0.0.1 0 1883\r\n"[..], &long.concat()] {
            let (mut client, mut stream) = pair();
            client.write_all(header).expect("sent");
            client.write_all(b"CONNECT").expect("sent");
            let Ok(Said::Client(from)) = read(&stream).await else { panic!("it says whose") };
            assert_eq!(from.to_string(), "192.0.2.1:0");
            let mut rest = [0; 7];
            stream.read_exact(&mut rest).await.expect("there");
            assert_eq!(&rest, b"CONNECT");
        }
    }

    #[tokio::test]
    async fn a_header_that_comes_in_parts_is_put_together() {
        let (mut client, stream) = pair();
        let reading = tokio::spawn(async move { read(&stream).await.ok() });
        for byte in b"PROXY UNKNOWN\r\n" {
            client.write_all(&[*byte]).expect("sent");
            tokio::task::yield_now().await;
        }
        assert_eq!(reading.await.expect("it ended"), Some(Said::Nobody));
    }

    #[tokio::test]
    async fn who_goes_away_before_the_end_is_lost() {
        let (mut client, stream) = pair();
        client.write_all(b"PROXY TC").expect("sent");
        drop(client);
        assert!(matches!(read(&stream).await, Err(Failure::Lost)));
    }
}
