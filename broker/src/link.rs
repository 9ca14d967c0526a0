//! The ends that bytes of a client come through: a socket of the network or of this machine, or a
//! pair of sockets inside this process. Never knows what the bytes mean.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::task::{Context, Poll};

use tidewire_proto::websocket::Origins;
use tokio::net::UnixStream;

use crate::newcomers::Newcomer;
use crate::seat::Seat;
use crate::web_link::WebLink;
use crate::wire::{UnboundWire, Wire};

/// How client ids within this process begin; nobody on the network may have one.
pub(crate) const IN_PROCESS: &str = "$in-process/";
/// The client id by which the broker itself publishes: nobody who is shown among clients.
pub(crate) const PUBLISHER: &str = "$in-process/#publisher";

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
    /// Held until the client is in; `None`: it is of this process.
    pub(crate) newcomer: Option<Box<Newcomer>>,
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

    /// Of several that wait for the same, the last is woken.
    pub(crate) fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Wire(wire) => wire.poll_readable(context),
            Self::Web(web) => web.wire.poll_readable(context),
            Self::Unix(stream) => stream.poll_read_ready(context),
        }
    }

    /// The same for writing.
    pub(crate) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Wire(wire) => wire.poll_writable(context),
            Self::Web(web) => web.wire.poll_writable(context),
            Self::Unix(stream) => stream.poll_write_ready(context),
        }
    }

    /// Bytes that came and cannot be read before the rest of their record or request is there.
    pub(crate) fn unread_bytes(&self) -> usize {
        match self {
            Self::Wire(wire) => wire.unread_bytes(),
            Self::Web(web) => web.unread_bytes(),
            Self::Unix(_) => 0,
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

    /// How many do.
    pub(crate) fn pending_bytes(&self) -> usize {
        match self {
            Self::Wire(wire) => wire.pending_bytes(),
            Self::Web(web) => web.pending_bytes(),
            Self::Unix(_) => 0,
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
