//! The near end of a connection within the process: packets out, packets in, over a socket pair
//! whose far end a core serves like any client's. Never knows why a packet is sent.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream as StdUnixStream;

use tidewire_proto::mqtt::{EncodeError, Framing, Packet, Version, decode, encode, frame};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::core::shared::Shared;
use crate::link::{Accepted, Door, Peer, Unbound};
use crate::seat::Seat;

/// Bytes that one read asks for.
const READ_BYTES: usize = 16 * 1024;

/// What both ends of a pipe speak.
pub(super) const VERSION: Version = Version::V5;

/// One end of a connection, with what was read and not looked at, and what is to be written.
#[derive(Debug)]
pub(super) struct Pipe {
    stream: UnixStream,
    input: Vec<u8>,
    /// How much of `input` was looked at.
    seen: usize,
    out: Vec<u8>,
    /// A part of the broker panicked: whoever serves the far end may be gone, and keep it open.
    failed: watch::Receiver<bool>,
}

impl Pipe {
    /// Gives the far end to a core. The near end moves on the broker's own runtime, so that it
    /// can be awaited on any.
    pub(super) fn open(shared: &Shared, runtime: &Handle) -> io::Result<Self> {
        let (near, far) = StdUnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        let _runtime = runtime.enter();
        let stream = UnixStream::from_std(near)?;
        let seat = Seat::uncounted();
        shared.seat(Accepted {
            link: Unbound::Unix(far),
            peer: Peer::InProcess,
            door: Door::INSIDE,
            seat,
            newcomer: None,
            allowance: None,
            identity: None,
        });
        let failed = shared.failed.subscribe();
        Ok(Self { stream, input: Vec::new(), seen: 0, out: Vec::new(), failed })
    }

    /// Puts a packet behind those that are to be written; says how many bytes it has.
    pub(super) fn put(&mut self, packet: &Packet<'_>) -> Result<usize, EncodeError> {
        let before = self.out.len();
        encode(packet, VERSION, &mut self.out)?;
        Ok(self.out.len() - before)
    }

    /// Takes back what was put last.
    pub(super) fn take_back(&mut self, bytes: usize) {
        self.out.truncate(self.out.len() - bytes);
    }

    /// Bytes that are to be written.
    pub(super) fn unwritten(&self) -> usize {
        self.out.len()
    }

    /// Writes what the socket takes now.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        let result = loop {
            if written == self.out.len() {
                break Ok(());
            }
            match self.stream.try_write(&self.out[written..]) {
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.out.drain(..written);
        result
    }

    /// Whether a whole packet was read and not looked at.
    pub(super) fn has_packet(&self) -> bool {
        matches!(frame(&self.input[self.seen..], u32::MAX), Ok(Framing::Packet(_)))
    }

    /// The next whole packet of those that were read.
    pub(super) fn packet(&mut self) -> io::Result<Option<Packet<'_>>> {
        let broken = |_| io::Error::from(io::ErrorKind::InvalidData);
        match frame(&self.input[self.seen..], u32::MAX).map_err(broken)? {
            Framing::NeedMore { .. } => Ok(None),
            Framing::Packet(found) => {
                self.seen += found.len;
                decode(&found, VERSION).map(Some).map_err(broken)
            }
        }
    }

    /// Waits until something could be read or written, and does that. Cancelled, it has done
    /// nothing.
    pub(super) async fn turn(&mut self) -> io::Result<()> {
        let interest = match self.out.is_empty() {
            true => Interest::READABLE,
            false => Interest::READABLE | Interest::WRITABLE,
        };
        let ready = tokio::select! {
            biased;
            ready = self.stream.ready(interest) => ready,
            () = has_failed(&mut self.failed) => {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        };
        let Ok(ready) = ready else {
            return self.read_rest();
        };
        if ready.is_writable() {
            self.flush()?;
        }
        if ready.is_readable() || ready.is_read_closed() {
            self.read()?;
        }
        Ok(())
    }

    /// The broker has ended, and its runtime with it: what it said last is still there.
    fn read_rest(&mut self) -> io::Result<()> {
        let mut rest = [0; READ_BYTES];
        let count = (&*socket2::SockRef::from(&self.stream)).read(&mut rest)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.input.extend_from_slice(&rest[..count]);
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        self.input.drain(..self.seen);
        self.seen = 0;
        self.input.reserve(READ_BYTES);
        match self.stream.try_read_buf(&mut self.input) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Waits for a panic in the broker; for ever, if it ends without one.
pub(crate) async fn has_failed(failed: &mut watch::Receiver<bool>) {
    if failed.wait_for(|failed| *failed).await.is_err() {
        std::future::pending().await
    }
}
