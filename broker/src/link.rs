//! The ends that bytes of a client come through: a socket of the network or of this machine, or a
//! pair of sockets inside this process. Never knows what the bytes mean.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ahash::AHashMap;
use parking_lot::Mutex;
use tidewire_proto::websocket::Origins;
use tokio::io::{Interest, Ready};
use tokio::net::UnixStream;

use crate::network::network_of;
use crate::web_link::WebLink;
use crate::wire::{UnboundWire, Wire};

/// How client ids within this process begin; nobody on the network may have one.
pub(crate) const IN_PROCESS: &str = "$in-process/";

/// Whom we speak with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Somebody on the network.
    Net(SocketAddr),
    /// A program on this machine that came by the socket file, and its user if that is known.
    Local(Option<u32>),
    /// A part of the program that the broker lives in.
    InProcess,
}

impl Peer {
    /// Where it is, for whatever looks at addresses; who came by the socket file is on this
    /// machine.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Net(address) => Some(address.ip()),
            Self::Local(_) => Some(Ipv4Addr::LOCALHOST.into()),
            Self::InProcess => None,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(address) => address.fmt(out),
            Self::Local(Some(uid)) => write!(out, "unix socket, uid {uid}"),
            Self::Local(None) => out.write_str("unix socket"),
            Self::InProcess => out.write_str("in-process"),
        }
    }
}

/// A new connection on its way to a core: not yet bound to any runtime.
pub(crate) struct Accepted {
    pub(crate) link: Unbound,
    pub(crate) peer: Peer,
    pub(crate) door: Door,
    pub(crate) seat: Seat,
    /// What all clients of its listener may do together.
    pub(crate) allowance: Option<crate::pace::Shared>,
    /// Who its certificate says it is, if its listener asks.
    pub(crate) identity: Option<Box<str>>,
}

/// Where a client came in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Door {
    /// The section of the listener.
    pub(crate) listener: &'static str,
    /// Clients may come that do not show who they are.
    pub(crate) takes_anonymous: bool,
}

impl Door {
    /// Of connections within this process.
    pub(crate) const INSIDE: Self = Self { listener: "in-process", takes_anonymous: true };
}

/// A socket that belongs to no runtime yet.
pub(crate) enum Unbound {
    Wire(UnboundWire),
    /// WebSocket, for pages of these origins.
    Web(UnboundWire, Arc<Origins>),
    /// By the socket file, or inside this process.
    Unix(StdUnixStream),
}

impl Unbound {
    /// Makes it a link of the runtime that is running.
    pub(crate) fn bind(self) -> io::Result<Link> {
        match self {
            Self::Wire(wire) => wire.bind().map(Link::Wire),
            Self::Web(wire, origins) => {
                Ok(Link::Web(Box::new(WebLink::new(wire.bind()?, origins))))
            }
            Self::Unix(stream) => UnixStream::from_std(stream).map(Link::Unix),
        }
    }
}

/// A client's bytes, read and written without waiting.
pub(crate) enum Link {
    Wire(Wire),
    Web(Box<WebLink>),
    Unix(UnixStream),
}

impl Link {
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Wire(wire) => wire.try_read(buffer),
            Self::Web(web) => web.try_read(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Wire(wire) => wire.try_write(bytes),
            Self::Web(web) => web.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    pub(crate) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Wire(wire) => wire.ready(interest).await,
            Self::Web(web) => web.wire.ready(interest).await,
            Self::Unix(stream) => stream.ready(interest).await,
        }
    }

    /// Whether bytes that were taken wait for the socket.
    pub(crate) fn has_pending(&self) -> bool {
        match self {
            Self::Wire(wire) => wire.has_pending(),
            Self::Web(web) => web.has_pending(),
            Self::Unix(_) => false,
        }
    }

    /// Hands on what was taken and waits.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        match self {
            Self::Wire(wire) => wire.try_flush(),
            Self::Web(web) => web.try_flush(),
            Self::Unix(_) => Ok(()),
        }
    }

    /// Reads what nobody wants to know any more.
    pub(crate) fn try_waste(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Wire(wire) => wire.try_waste(buffer),
            Self::Web(web) => web.try_waste(buffer),
            Self::Unix(stream) => stream.try_read(buffer),
        }
    }

    /// We write no more; what was written is still read.
    pub(crate) fn end_writing(&self) -> io::Result<()> {
        match self {
            Self::Wire(wire) => wire.end_writing(),
            Self::Web(web) => {
                web.say_goodbye();
                web.wire.end_writing()
            }
            Self::Unix(stream) => socket2::SockRef::from(stream).shutdown(Shutdown::Write),
        }
    }
}

/// Open connections by address.
pub(crate) type Addresses = Arc<Mutex<AHashMap<IpAddr, u32>>>;

/// A connection's place among those that are open; free again when it is dropped.
pub(crate) struct Seat {
    open: Option<Arc<AtomicUsize>>,
    /// The same of its listener.
    here: Option<Arc<AtomicUsize>>,
    address: Option<(Addresses, IpAddr)>,
}

impl Seat {
    /// `None` when all places are taken.
    pub(crate) fn take(open: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let seat = Self { open: Some(Arc::clone(open)), here: None, address: None };
        // Counted first: two that come together must not both take the last place.
        (open.fetch_add(1, Ordering::Relaxed) < max).then_some(seat)
    }

    /// For a connection that is not counted: one within this process.
    pub(crate) const fn uncounted() -> Self {
        Self { open: None, here: None, address: None }
    }

    /// False when as many as may be open at its listener are.
    pub(crate) fn count_here(&mut self, open: &Arc<AtomicUsize>, max: usize) -> bool {
        self.here = Some(Arc::clone(open));
        open.fetch_add(1, Ordering::Relaxed) < max
    }

    /// False when as many as may come from this address are open.
    pub(crate) fn count_address(&mut self, all: &Addresses, address: IpAddr, max: u32) -> bool {
        let address = network_of(address);
        let mut open = all.lock();
        let count = open.entry(address).or_default();
        if *count >= max {
            return false;
        }
        *count += 1;
        self.address = Some((Arc::clone(all), address));
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        for open in [&self.open, &self.here].into_iter().flatten() {
            open.fetch_sub(1, Ordering::Relaxed);
        }
        let Some((all, address)) = &self.address else { return };
        let mut open = all.lock();
        if let Some(count) = open.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                open.remove(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::{Addresses, Seat};

    #[test]
    fn a_seat_is_free_again_when_it_is_left() {
        let open = Arc::new(AtomicUsize::new(0));
        let first = Seat::take(&open, 1).expect("one place");
        assert!(Seat::take(&open, 1).is_none());
        assert_eq!(open.load(Ordering::Relaxed), 1, "who was turned away left no trace");
        drop(first);
        assert!(Seat::take(&open, 1).is_some());
    }

    #[test]
    fn an_address_has_so_many_seats_and_is_forgotten_with_the_last() {
        let (all, address) = (Addresses::default(), IpAddr::from(Ipv4Addr::LOCALHOST));
        let network = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, last, 0, 0, last]);
        let seat = || {
            let mut seat = Seat::uncounted();
            seat.count_address(&all, address, 2).then_some(seat)
        };
        let (one, two) = (seat().expect("one of two"), seat().expect("two of two"));
        assert!(seat().is_none());
        drop(one);
        let again = seat().expect("one left");
        drop((two, again));
        assert!(all.lock().is_empty());
        let mut both = [Seat::uncounted(), Seat::uncounted()];
        assert!(both[0].count_address(&all, network(1), 1));
        assert!(!both[1].count_address(&all, network(2), 1), "it is of the same network");
    }
}
