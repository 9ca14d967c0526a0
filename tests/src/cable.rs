//! A network between two programs that can be cut, and that can die without a word: a port that
//! passes bytes on. Understands none of them.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
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
    /// There and back. Held while bytes are passed on.
    are_dead: [Mutex<bool>; 2],
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug)]
enum Way {
    There = 0,
    Back = 1,
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

    /// Nothing passes any more over the connections that there are, and neither end is told. When
    /// this returns nothing is on its way.
    ///
    /// # Panics
    /// Never in practice: nobody panics with the lock.
    pub fn die(&self) {
        for strand in self.shared.strands.lock().expect("nobody panics with it").iter() {
            *strand.is_dead(Way::There) = true;
            *strand.is_dead(Way::Back) = true;
        }
    }

    /// From now on what comes back over the connections that there are is lost; what goes there
    /// arrives.
    ///
    /// # Panics
    /// Never in practice: nobody panics with the lock.
    pub fn lose_answers(&self) {
        for strand in self.shared.strands.lock().expect("nobody panics with it").iter() {
            *strand.is_dead(Way::Back) = true;
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

    fn is_dead(&self, way: Way) -> MutexGuard<'_, bool> {
        self.are_dead[way as usize].lock().expect("nobody panics with it")
    }

    fn pass(&self, way: Way) {
        let (mut from, mut to) = match way {
            Way::There => (&self.near, &self.far),
            Way::Back => (&self.far, &self.near),
        };
        let mut bytes = [0; 64 * 1024];
        loop {
            let read = from.read(&mut bytes);
            let is_dead = self.is_dead(way);
            match read {
                Ok(0) | Err(_) if *is_dead => return,
                Ok(count) if count > 0 && *is_dead => (),
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
        let strand = Arc::new(Strand { near, far, are_dead: Default::default() });
        shared.strands.lock().expect("nobody panics with it").push(Arc::clone(&strand));
        let back = Arc::clone(&strand);
        thread::spawn(move || strand.pass(Way::There));
        thread::spawn(move || back.pass(Way::Back));
    }
}
