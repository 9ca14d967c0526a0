//! TLS of a broker within a program: what is counted, and certificates that are read anew.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tidewire::Broker;
use tidewire::banner::Protocol;

use crate::counts::Counts;

/// A folder with the certificate of a server that is its own authority.
struct Files {
    folder: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        let files = Self { folder: tempfile::tempdir().expect("a folder") };
        files.write();
        files
    }

    /// Another one of the same name.
    fn write(&self) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("made");
        std::fs::write(self.path("key.pem"), made.signing_key.serialize_pem()).expect("written");
        std::fs::write(self.path("cert.pem"), made.cert.pem()).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

async fn broker(files: &Files, counts: &Counts) -> (Broker, SocketAddr) {
    let builder = Broker::builder().temporary_data().recorder(counts.clone()).settings(|config| {
        let mqtts = &mut config.listener.mqtts;
        mqtts.bind = Some("127.0.0.1:0".parse().expect("an address"));
        mqtts.tls.cert_file = Some(files.path("cert.pem"));
        mqtts.tls.key_file = Some(files.path("key.pem"));
    });
    let broker = builder.start().await.expect("it starts");
    let mut listeners = broker.listeners().into_iter();
    let found = listeners.find(|listener| listener.protocol == Protocol::Mqtts);
    let address = found.expect("it listens").address;
    (broker, address)
}

/// Connects, if the broker shows this certificate.
fn connect(address: SocketAddr, cert: &Path) -> std::io::Result<Vec<u8>> {
    let mut roots = RootCertStore::empty();
    let cert = CertificateDer::from_pem_file(cert).expect("a certificate");
    roots.add(cert).expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = StreamOwned::new(client, TcpStream::connect(address)?);
    stream.write_all(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01a")?;
    let mut connack = vec![0; 4];
    stream.read_exact(&mut connack)?;
    Ok(connack)
}

async fn await_count(counts: &Counts, name: &str, result: &str) {
    let waiting = async {
        while counts.of(name, &[result]) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), waiting).await;
    assert!(waited.is_ok(), "{name} never counted {result}");
}

#[tokio::test]
async fn handshakes_are_counted_by_what_came_of_them() {
    const HANDSHAKES: &str = "tidewire_tls_handshakes_total";
    let (files, counts) = (Files::new(), Counts::default());
    let (broker, address) = broker(&files, &counts).await;
    let connack = connect(address, &files.path("cert.pem")).expect("let in");
    assert_eq!(connack, [0x20, 2, 0, 0]);
    await_count(&counts, HANDSHAKES, "result=done").await;
    let other = Files::new();
    assert!(connect(address, &other.path("cert.pem")).is_err(), "it must not trust us");
    await_count(&counts, HANDSHAKES, "result=distrusted").await;
    TcpStream::connect(address).expect("it listens").write_all(b"noise that is no TLS").unwrap();
    await_count(&counts, HANDSHAKES, "result=not_tls").await;
    drop(TcpStream::connect(address).expect("it listens"));
    await_count(&counts, HANDSHAKES, "result=lost").await;
    let expiry = "tidewire_tls_expiry_timestamp_seconds listener=mqtts file=";
    assert!(counts.gauge(&format!("{expiry}certificate")) > 1e9, "a time to come");
    assert!(counts.gauge(&format!("{expiry}crl")).abs() < 0.5, "there is none");
    broker.shutdown().await.unwrap();
}

#[tokio::test]
async fn certificates_are_read_anew_when_the_program_says_so() {
    const RELOADS: &str = "tidewire_tls_reloads_total";
    let (files, counts) = (Files::new(), Counts::default());
    let (broker, address) = broker(&files, &counts).await;
    files.write();
    broker.reload_certificates();
    await_count(&counts, RELOADS, "result=done").await;
    connect(address, &files.path("cert.pem")).expect("it shows the new one");
    std::fs::write(files.path("cert.pem"), "nothing").expect("written");
    broker.reload_certificates();
    await_count(&counts, RELOADS, "result=kept").await;
    broker.shutdown().await.unwrap();
}
