//! Pages for a browser, served on loopback, and what they tell. Knows nothing of what they do.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use crate::program::PATIENCE;

/// Serves files by their paths; what is posted to any path is told to the test.
#[derive(Debug)]
pub struct Pages {
    address: SocketAddr,
    told: Receiver<String>,
    is_over: Arc<AtomicBool>,
    serving: Option<JoinHandle<()>>,
}

/// By path: what kind of file it is, and its content.
pub type Files = BTreeMap<&'static str, (&'static str, Vec<u8>)>;

impl Pages {
    /// On a port of the system's choice.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn serve(files: Files) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let (to_us, told) = channel();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let serving = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                // A browser that goes away in the middle is no fault of ours.
                let _ = answer(stream, &files, &to_us);
            }
        });
        Self { address, told, is_over, serving: Some(serving) }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.address.port()
    }

    /// What the page tells next; `None` when it tells nothing in time.
    #[must_use]
    pub fn told(&self) -> Option<String> {
        self.told.recv_timeout(PATIENCE).ok()
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let woken = TcpStream::connect(self.address);
        if let (Ok(_), Some(serving)) = (woken, self.serving.take()) {
            let _ = serving.join();
        }
    }
}

fn answer(stream: TcpStream, files: &Files, to_test: &Sender<String>) -> io::Result<()> {
    // Browsers open connections ahead, and may never use them.
    let mut reader = BufReader::new(stream);
    reader.get_ref().set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut words = request.split(' ');
    let (verb, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    let nothing = ("text/plain", Vec::new());
    let (status, (kind, body)) = match (verb, files.get(path)) {
        ("POST", _) => {
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            let _ = to_test.send(String::from_utf8_lossy(&body).into_owned());
            ("200 OK", &nothing)
        }
        (_, Some(file)) => ("200 OK", file),
        _ => ("404 Not Found", &nothing),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let stream = reader.get_mut();
    stream.write_all(&[head.as_bytes(), body].concat())
}
