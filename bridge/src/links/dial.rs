//! From an address to a connection, with TLS or without, within WebSocket or not. Speaks no MQTT.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use crate::client::files::client_config;
use crate::links::duplex::Duplex;
use crate::links::options::LinkTls;
use crate::links::web::WebStream;

/// So long a connection, its handshakes included, may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// So long of it all addresses of a name may take.
const REACH: Duration = Duration::from_secs(10);

/// Connects to `host:port`; within WebSocket, if there is to be one, at this path.
///
/// # Errors
/// What went wrong, in words that name the address.
pub async fn dial(
    address: &str,
    tls: Option<&LinkTls>,
    websocket_path: Option<&str>,
) -> Result<Box<dyn Duplex>, String> {
    let connecting = tokio::time::timeout(PATIENCE, connect(address, tls, websocket_path)).await;
    let failed = |words: String| format!("{address}: {words}");
    connecting.unwrap_or_else(|_| Err("no connection in time".into())).map_err(failed)
}

async fn connect(
    address: &str,
    tls: Option<&LinkTls>,
    websocket_path: Option<&str>,
) -> Result<Box<dyn Duplex>, String> {
    let stream = reach(address).await?;
    // Packets are whole when they are written: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let stream: Box<dyn Duplex> = match tls {
        Some(tls) => shake_hands(stream, host, tls).await?,
        None => Box::new(stream),
    };
    match websocket_path {
        Some(path) => Ok(Box::new(WebStream::open(stream, address, path).await?)),
        None => Ok(stream),
    }
}

async fn shake_hands(
    stream: TcpStream,
    host: &str,
    tls: &LinkTls,
) -> Result<Box<dyn Duplex>, String> {
    let config = client_config(&tls.files).map_err(|fault| fault.to_string())?;
    let host = tls.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| format!("{host:?} cannot be the name in a certificate"))?;
    let shaken = TlsConnector::from(config).connect(name, stream).await;
    let stream = shaken.map_err(|error| format!("no TLS: {error}"))?;
    Ok(Box::new(stream))
}
/// A name may have several addresses: each has its share of the time.
async fn reach(address: &str) -> Result<TcpStream, String> {
    let unreachable = |error: io::Error| format!("cannot be reached: {error}");
    let places: Vec<_> = lookup_host(address).await.map_err(unreachable)?.collect();
    try_each(&places, REACH).await
}

async fn try_each(places: &[SocketAddr], within: Duration) -> Result<TcpStream, String> {
    let share = within / u32::try_from(places.len().max(1)).unwrap_or(u32::MAX);
    let mut words = "cannot be reached: the name has no address".to_owned();
    for place in places {
        match tokio::time::timeout(share, TcpStream::connect(place)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => words = format!("cannot be reached: {error}"),
            Err(_) => words = format!("cannot be reached: {place} does not answer"),
        }
    }
    Err(words)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::try_each;

    #[test]
    fn an_address_that_leads_nowhere_does_not_hide_the_next() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let there = listener.local_addr().expect("bound");
        let nowhere = "127.0.0.1:1".parse().expect("an address");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let connected = async {
            let stream = try_each(&[nowhere, there], Duration::from_secs(120)).await?;
            assert_eq!(stream.peer_addr().map_err(|error| error.to_string())?, there);
            try_each(&[nowhere], Duration::from_secs(120)).await
        };
        let words = runtime.expect("a runtime").block_on(connected).expect_err("nobody is there");
        assert!(words.starts_with("cannot be reached: "), "{words}");
    }
}
