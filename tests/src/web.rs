//! A small HTTP server of the test's own, over TCP or TLS: answers as it is told, also badly. One
//! request to a connection at a time; each is kept.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::authority::Pair;
use crate::program::PATIENCE;

/// What is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    /// 200 with this body.
    Ok(String),
    /// This status, with a body that says "allow".
    Status(u16),
    /// These bytes, and the end.
    Raw(Vec<u8>),
    /// Nothing, until [`Web::release`]; then what is answered then.
    Hang,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its first line and its headers.
    pub head: String,
    /// Its body.
    pub body: String,
}

type Answer = dyn Fn(&Request) -> Reply + Send + Sync;

/// The server.
pub struct Web {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    answer: Mutex<Arc<Answer>>,
    heard: Mutex<Vec<Request>>,
    more: Condvar,
    is_released: AtomicBool,
    is_over: AtomicBool,
    tls: Option<Arc<ServerConfig>>,
}

impl Web {
    /// Over TCP.
    ///
    /// # Panics
    /// When there is no port; so do all others here.
    #[must_use]
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::open(None, Arc::new(answer))
    }

    /// Over TLS, with this certificate.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn secret(pair: &Pair, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::open(Some(Arc::new(config(&pair.cert, &pair.key))), Arc::new(answer))
    }

    fn open(tls: Option<Arc<ServerConfig>>, answer: Arc<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        let inner = Arc::new(Inner {
            answer: Mutex::new(answer),
            heard: Mutex::default(),
            more: Condvar::new(),
            is_released: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            tls,
        });
        let shared = Arc::clone(&inner);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if shared.is_over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // What becomes of a client that goes away is its own affair.
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { address, inner }
    }

    /// Where it is, with this path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.inner.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://localhost:{}{path}", self.address.port())
    }

    /// From now on it answers so.
    ///
    /// # Panics
    /// When a thread of it panicked.
    pub fn answer(&self, answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) {
        *self.inner.answer.lock().expect("no panic") = Arc::new(answer);
    }

    /// Those that hang are answered.
    ///
    /// # Panics
    /// When a thread of it panicked.
    pub fn release(&self) {
        let _heard = self.inner.heard.lock().expect("no panic");
        self.inner.is_released.store(true, Ordering::Relaxed);
        self.inner.more.notify_all();
    }

    /// All requests until now.
    ///
    /// # Panics
    /// When a thread of it panicked.
    #[must_use]
    pub fn heard(&self) -> Vec<Request> {
        self.inner.heard.lock().expect("no panic").clone()
    }

    /// Waits until there were so many.
    ///
    /// # Panics
    /// When they do not come.
    pub fn await_requests(&self, count: usize) {
        let heard = self.inner.heard.lock().expect("no panic");
        let is_missing = |heard: &mut Vec<Request>| heard.len() < count;
        let waited = self.inner.more.wait_timeout_while(heard, PATIENCE, is_missing);
        let (heard, timeout) = waited.expect("no panic");
        assert!(!timeout.timed_out(), "{} of {count} requests came", heard.len());
    }
}

impl std::fmt::Debug for Web {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Web").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.inner.is_over.store(true, Ordering::Relaxed);
        // Wakes the one that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Inner {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        match &self.tls {
            Some(config) => {
                let server = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                self.talk(StreamOwned::new(server, stream))
            }
            None => self.talk(stream),
        }
    }

    fn talk(&self, stream: impl Read + Write) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream)? {
            {
                let mut heard = self.heard.lock().expect("no panic");
                heard.push(request.clone());
                self.more.notify_all();
            }
            let to = stream.get_mut();
            match self.reply(&request) {
                Reply::Ok(body) => write(to, 200, &body)?,
                Reply::Status(status) => write(to, status, r#"{"result":"allow"}"#)?,
                Reply::Raw(bytes) => {
                    to.write_all(&bytes)?;
                    return to.flush();
                }
                Reply::Hang => return Ok(()),
            }
        }
        Ok(())
    }

    fn reply(&self, request: &Request) -> Reply {
        let answer = || Arc::clone(&self.answer.lock().expect("no panic"));
        match answer()(request) {
            Reply::Hang => {
                let heard = self.heard.lock().expect("no panic");
                let is_held = |_: &mut Vec<Request>| !self.is_released.load(Ordering::Relaxed);
                let waited = self.more.wait_timeout_while(heard, PATIENCE, is_held);
                drop(waited.expect("no panic"));
                answer()(request)
            }
            reply => reply,
        }
    }
}

fn read(from: &mut impl io::BufRead) -> io::Result<Option<Request>> {
    let (mut head, mut bytes) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        if line == "\r\n" {
            break;
        }
        if let Some(length) = line.to_lowercase().strip_prefix("content-length:") {
            bytes = length.trim().parse().map_err(io::Error::other)?;
        }
        head.push_str(&line);
    }
    let mut body = vec![0; bytes];
    from.read_exact(&mut body)?;
    Ok(Some(Request { head, body: String::from_utf8(body).map_err(io::Error::other)? }))
}

fn write(to: &mut impl Write, status: u16, body: &str) -> io::Result<()> {
    // A redirect goes nowhere but to us.
    let head = format!("HTTP/1.1 {status} X\r\nLocation: /else\r\nContent-Length: {}", body.len());
    to.write_all(format!("{head}\r\n\r\n{body}").as_bytes())?;
    to.flush()
}

fn config(cert: &Path, key: &Path) -> ServerConfig {
    let chain = CertificateDer::pem_file_iter(cert).expect("a file");
    let chain = chain.collect::<Result<_, _>>().expect("certificates");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate and its key")
}
