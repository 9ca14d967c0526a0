//! A connection's socket, shared by the task that waits on it and the turn that writes to it.

use std::cell::Cell;
use std::io;
use std::task::{Context, Poll};

use crate::core::bell::Bell;
use crate::link::Link;
use crate::seat::Seat;

/// The socket and what its task must know.
pub(crate) struct Socket {
    pub(crate) link: Link,
    /// Held as long as the socket is: also while nothing but its last bytes are waited for.
    _seat: Seat,
    /// Something below changed.
    wake: Bell,
    /// Bytes wait for the socket to take them.
    pub(crate) wants_write: Cell<bool>,
    /// Nothing is read for now: the store is behind, or the session is being taken up.
    pub(crate) is_paused: Cell<bool>,
    /// Nothing is read for now: the client was too fast.
    pub(crate) is_resting: Cell<bool>,
    /// The client does not read: it is not read from.
    pub(crate) is_congested: Cell<bool>,
    /// Nothing waits to be written any more: close.
    pub(crate) is_closing: Cell<bool>,
    /// What still waits will not be taken: the client is gone, or had its time.
    is_given_up: Cell<bool>,
}

/// What can be done with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Can {
    pub(crate) be_read: bool,
    pub(crate) be_written: bool,
}

impl Socket {
    pub(crate) fn new(link: Link, seat: Seat) -> Self {
        Self {
            link,
            _seat: seat,
            wake: Bell::default(),
            wants_write: Cell::new(false),
            is_paused: Cell::new(false),
            is_resting: Cell::new(false),
            is_congested: Cell::new(false),
            is_closing: Cell::new(false),
            is_given_up: Cell::new(false),
        }
    }

    /// Writes from the front of `out` what the socket takes now; what it took is gone from there.
    /// More than `room` bytes left over mean that the client does not keep up.
    pub(crate) fn write(&self, out: &mut Vec<u8>, room: usize) -> io::Result<usize> {
        self.link.try_flush()?;
        let mut written = 0;
        while written < out.len() {
            match self.link.try_write(&out[written..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        out.drain(..written);
        self.is_congested.set(out.len() > room);
        let waits = !out.is_empty() || self.link.has_pending();
        if self.wants_write.replace(waits) != waits && waits {
            self.wake.ring();
        }
        Ok(written)
    }

    /// Ready when something of what is wanted can be done, or something changed: then nothing can.
    /// What is wanted is asked each time: others write to the socket meanwhile, and who is waited
    /// for may keep up again.
    ///
    /// Polled, because a future of each wait would be kept for every client that does nothing.
    pub(crate) fn poll_can(&self, context: &mut Context<'_>) -> Poll<io::Result<Can>> {
        let be_read = self.may_be_read() && self.link.poll_readable(context)?.is_ready();
        let be_written = self.is_to_be_written() && self.link.poll_writable(context)?.is_ready();
        if be_read || be_written || self.wake.poll_heard(context).is_ready() {
            return Poll::Ready(Ok(Can { be_read, be_written }));
        }
        Poll::Pending
    }

    /// Whether bytes of the client are welcome now.
    pub(crate) fn may_be_read(&self) -> bool {
        !self.is_paused.get()
            && !self.is_resting.get()
            && !self.is_congested.get()
            && !self.is_closing.get()
    }

    /// Whether something is to be written: also what the link has to say by itself (the answer to
    /// an upgrade, a pong, an alert), and what it took and the network has not.
    pub(crate) fn is_to_be_written(&self) -> bool {
        !self.is_given_up.get() && (self.wants_write.get() || self.link.has_pending())
    }

    /// Closes it, whatever still waits: what a link took cannot be taken back from it.
    pub(crate) fn give_up(&self) {
        self.wants_write.set(false);
        self.is_given_up.set(true);
        self.close();
    }

    pub(crate) fn close(&self) {
        self.is_closing.set(true);
        self.wake.ring();
    }

    /// Whether it is we who do not listen.
    pub(crate) fn is_unheard(&self) -> bool {
        self.is_paused.get() || self.is_resting.get()
    }

    pub(crate) fn rest(&self, resting: bool) {
        self.is_resting.set(resting);
        if !resting {
            self.wake.ring();
        }
    }

    pub(crate) fn pause(&self, paused: bool) {
        self.is_paused.set(paused);
        if !paused {
            self.wake.ring();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::rc::Rc;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Poll;

    use super::Socket;
    use crate::core::alone::Alone;
    use crate::link::Unbound;
    use crate::seat::Seat;

    const MORE_THAN_IT_TAKES: usize = 1 << 24;

    #[tokio::test]
    async fn a_client_that_keeps_up_again_is_read_also_while_its_socket_takes_nothing() {
        let (ours, mut theirs) = UnixStream::pair().expect("two sockets");
        ours.set_nonblocking(true).expect("a socket");
        let link = Unbound::Unix(ours).bind().expect("a socket");
        let seats = Arc::new(AtomicUsize::new(0));
        let socket = Socket::new(link, Seat::take(&seats, 1).expect("a place"));
        let mut out = vec![0; MORE_THAN_IT_TAKES];
        loop {
            let before = out.len();
            socket.write(&mut out, 0).expect("written");
            if before < MORE_THAN_IT_TAKES && before == out.len() {
                break;
            }
            tokio::task::yield_now().await;
        }
        theirs.write_all(b"x").expect("written");
        assert!(socket.is_congested.get() && !socket.may_be_read());
        let once = || poll_fn(|context| Poll::Ready(socket.poll_can(context)));
        assert!(once().await.is_ready(), "it was told that there is something to write");
        assert!(once().await.is_pending());
        // Another task wrote a part, and nobody rings for that.
        socket.is_congested.set(false);
        let mut can = once().await;
        while can.is_pending() {
            tokio::task::yield_now().await;
            can = once().await;
        }
        assert!(matches!(can, Poll::Ready(Ok(can)) if can.be_read && !can.be_written));
    }

    #[test]
    fn a_connection_that_is_forgotten_has_its_seat_until_its_socket_is_gone() {
        let mut alone = Alone::new(|_| ());
        let id = alone.accept();
        let open = Arc::clone(&alone.core.shared.connections);
        assert_eq!(open.load(Ordering::Relaxed), 1);
        let socket = Rc::clone(&alone.core.conn(id).expect("it is there").socket);
        alone.core.forget(id);
        assert_eq!(open.load(Ordering::Relaxed), 1, "its last bytes are waited for");
        drop(socket);
        assert_eq!(open.load(Ordering::Relaxed), 0);
    }
}
