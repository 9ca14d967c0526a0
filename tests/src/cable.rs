//! A network between two programs that can be cut, and that can die without a word: a port that
//! passes bytes on. Understands none of them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The cable.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: Mutex<SocketAddr>,
    is_over: AtomicBool,
    strands: Mutex<Vec<Arc<Strand>>>,
}

/// One connection.
#[derive(Debug)]
struct Strand {
    near: TcpStream,
    far: TcpStream,
    is_dead: AtomicBool,
}

impl Cable {
    /// Leads there.
    ///
    /// # Panics
    /// When the system gives no port.
    #[must_use]
    pub fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let near = listener.local_addr().expect("bound");
        let (is_over, strands) = (AtomicBool::new(false), Mutex::default());
        let shared = Arc::new(Shared { to: Mutex::new(address), is_over, strands });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address: near, shared }
    }

    /// Where its near end is.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on new connections lead there.
    ///
    /// # Panics
    /// Never in practice: nobody panics with the lock.
    pub fn lead_to(&self, address: SocketAddr) {
        *self.shared.to.lock().expect("nobody panics with it") = address;
    }

    /// Ends all connections.
    ///
    /// # Panics
    /// Never in practice: nobody panics with the lock.
    pub fn cut(&self) {
        for strand in self.shared.strands.lock().expect("nobody panics with it").drain(..) {
            strand.end();
        }
    }

    /// Nothing passes any more over the connections that there are, and neither end is told.
    ///
    /// # Panics
    /// Never in practice: nobody panics with the lock.
    pub fn die(&self) {
        for strand in self.shared.strands.lock().expect("nobody panics with it").iter() {
            strand.is_dead.store(true, Ordering::SeqCst);
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.cut();
        // Wakes who accepts.
        let _ = TcpStream::connect(self.address);
    }
}

impl Strand {
    fn end(&self) {
        for stream in [&self.near, &self.far] {
            // It may have ended by itself.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn pass(&self, from: &TcpStream, to: &TcpStream) {
        let (mut from, mut to) = (from, to);
        let mut bytes = [0; 64 * 1024];
        loop {
            let read = from.read(&mut bytes);
            let is_dead = self.is_dead.load(Ordering::SeqCst);
            match read {
                Ok(0) | Err(_) if is_dead => return,
                Ok(count) if count > 0 && is_dead => (),
                Ok(count) if count > 0 && to.write_all(&bytes[..count]).is_ok() => (),
                _ => return self.end(),
            }
        }
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for near in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let to = *shared.to.lock().expect("nobody panics with it");
        let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else { continue };
        for stream in [&near, &far] {
            let _ = stream.set_nodelay(true);
        }
        let strand = Arc::new(Strand { near, far, is_dead: AtomicBool::new(false) });
        shared.strands.lock().expect("nobody panics with it").push(Arc::clone(&strand));
        let back = Arc::clone(&strand);
        thread::spawn(move || strand.pass(&strand.near, &strand.far));
        thread::spawn(move || back.pass(&back.far, &back.near));
    }
}
