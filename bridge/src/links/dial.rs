//! From an address to a connection, with TLS or without. Speaks no MQTT.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::links::options::LinkTls;

/// Where systems keep the authorities that they believe.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// So long a connection, its handshake included, may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Bytes there and back.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// Connects to `host:port`.
///
/// # Errors
/// What went wrong, in words that name the address.
pub(crate) async fn dial(address: &str, tls: Option<&LinkTls>) -> Result<Box<dyn Duplex>, String> {
    let connecting = tokio::time::timeout(PATIENCE, connect(address, tls)).await;
    let failed = |words: String| format!("{address}: {words}");
    connecting.unwrap_or_else(|_| Err("no connection in time".into())).map_err(failed)
}

async fn connect(address: &str, tls: Option<&LinkTls>) -> Result<Box<dyn Duplex>, String> {
    let stream = TcpStream::connect(address).await;
    let stream = stream.map_err(|error| format!("cannot be reached: {error}"))?;
    // Packets are whole when they are written: nothing is gained by waiting for more.
    let _ = stream.set_nodelay(true);
    let Some(tls) = tls else { return Ok(Box::new(stream)) };
    let config = client_config(tls)?;
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = tls.server_name.as_deref().unwrap_or(host).trim_matches(['[', ']']);
    let name = ServerName::try_from(host.to_owned());
    let name = name.map_err(|_| format!("{host:?} cannot be the name in a certificate"))?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let stream = shaken.map_err(|error| format!("no TLS: {error}"))?;
    Ok(Box::new(stream))
}

/// Read anew for each connection: files may have changed.
fn client_config(tls: &LinkTls) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = builder.with_root_certificates(authorities(tls.ca_file.as_deref())?);
    match (&tls.cert_file, &tls.key_file) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let key = PrivateKeyDer::from_pem_slice(&read(key)?)
                .map_err(|error| format!("{} holds no key: {error}", key.display()))?;
            let ready = builder.with_client_auth_cert(chain, key);
            ready.map_err(|error| format!("{}: {error}", certificate.display()))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in certificates(file)? {
                let added = store.add(certificate);
                added.map_err(|error| format!("{}: {error}", file.display()))?;
            }
        }
        None => {
            let files = SYSTEM_AUTHORITIES.iter().map(Path::new);
            let file = files.into_iter().find(|file| file.exists());
            let file = file.ok_or("the system names no authorities: name them by tls.ca_file")?;
            store.add_parsable_certificates(certificates(file)?);
        }
    }
    Ok(store)
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("{} holds no certificate", file.display())),
        Err(error) => Err(format!("{} holds no certificate: {error}", file.display())),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    fs::read(file).map_err(|error| format!("{} cannot be read: {error}", file.display()))
}
