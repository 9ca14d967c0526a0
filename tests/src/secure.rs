//! A client that speaks MQTT over TLS, blocking, by rustls. Knows no more of MQTT than its caller.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use crate::authority::Pair;
use crate::program::PATIENCE;

/// Whom a client trusts, and what it shows.
#[derive(Clone, Debug)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts this authority, and shows this certificate if there is one.
    ///
    /// # Panics
    /// When a file is not what it should be.
    #[must_use]
    pub fn new(authority: &Path, shown: Option<&Pair>) -> Self {
        let mut roots = RootCertStore::empty();
        for cert in CertificateDer::pem_file_iter(authority).expect("a file") {
            roots.add(cert.expect("a certificate")).expect("an authority");
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(Pair { cert, key, .. }) => {
                let cert = CertificateDer::from_pem_file(cert).expect("a certificate");
                let key = PrivateKeyDer::from_pem_file(key).expect("a key");
                config.with_client_auth_cert(vec![cert], key).expect("they fit")
            }
        };
        Self(Arc::new(config))
    }

    /// The first bytes that such a client sends.
    ///
    /// # Panics
    /// Never in practice.
    #[must_use]
    pub fn hello(&self) -> Vec<u8> {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut client = ClientConnection::new(Arc::clone(&self.0), name).expect("a client");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("there is room");
        hello
    }
}

/// One connection.
#[derive(Debug)]
pub struct Secure(StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    /// Connects and does the handshake.
    ///
    /// # Errors
    /// When the broker refuses.
    pub fn open(address: SocketAddr, trust: &Trust) -> io::Result<Self> {
        Self::open_with(address, trust, &[])
    }

    /// The same, and says this in one breath with the end of the handshake.
    ///
    /// # Errors
    /// When the broker refuses.
    ///
    /// # Panics
    /// Never in practice.
    pub fn open_with(address: SocketAddr, trust: &Trust, said: &[u8]) -> io::Result<Self> {
        Self::open_behind(address, trust, &[], said)
    }

    /// The same, and says something before the handshake, as a proxy does.
    ///
    /// # Errors
    /// When the broker refuses.
    ///
    /// # Panics
    /// Never in practice.
    pub fn open_behind(
        address: SocketAddr,
        trust: &Trust,
        header: &[u8],
        said: &[u8],
    ) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(header)?;
        let name = ServerName::try_from("localhost").expect("a name");
        let client = ClientConnection::new(Arc::clone(&trust.0), name);
        let mut client = client.map_err(io::Error::other)?;
        client.writer().write_all(said)?;
        let mut secure = StreamOwned::new(client, stream);
        while secure.conn.is_handshaking() {
            secure.conn.complete_io(&mut secure.sock)?;
        }
        Ok(Self(secure))
    }

    /// The certificate that the broker showed.
    ///
    /// # Panics
    /// Never in practice.
    #[must_use]
    pub fn shown(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().expect("the handshake is done")[0].to_vec()
    }

    /// Whether a ticket shortened the handshake.
    #[must_use]
    pub fn is_resumed(&self) -> bool {
        self.0.conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    /// So many bytes of the broker.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn hear(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.0.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// All that the broker still says, until it says by TLS that this was all.
    ///
    /// # Errors
    /// When the connection just ends.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// From now on other keys are used, and the broker is to use others too.
    ///
    /// # Panics
    /// When the version of TLS knows no such thing.
    pub fn refresh_keys(&mut self) {
        self.0.conn.refresh_traffic_keys().expect("TLS 1.3");
    }

    /// The bare socket: the keys are forgotten, the connection stays open.
    #[must_use]
    pub fn into_socket(self) -> TcpStream {
        self.0.into_parts().1
    }
}
