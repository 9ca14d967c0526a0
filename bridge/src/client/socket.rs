//! A connection to somebody else's broker, with TLS or without. Knows no Kafka.

use std::io;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::client::fault::Fault;
use crate::client::files::{TlsFiles, client_config};

/// Bytes in and out.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Connects, within that time.
pub(crate) async fn connect(
    (host, port): (&str, u16),
    tls: Option<&TlsFiles>,
    within: Duration,
) -> Result<Box<dyn Stream>, Fault> {
    let address = format!("{host}:{port}");
    let silent = || Fault::Silent { address: address.clone(), seconds: within.as_secs() };
    let stream = timeout(within, TcpStream::connect((host, port)));
    let stream = stream.await.map_err(|_| silent())?;
    let unreachable = |error| Fault::Unreachable { address: address.clone(), error };
    let stream = stream.map_err(unreachable)?;
    // Requests go out whole: nothing is gained by waiting for more.
    stream.set_nodelay(true).map_err(unreachable)?;
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let secret = |error| Fault::Secret { address: address.clone(), error };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| secret(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let shaking = TlsConnector::from(client_config(tls)?).connect(name, stream);
    let stream = timeout(within, shaking).await.map_err(|_| silent())?;
    Ok(Box::new(stream.map_err(secret)?))
}
