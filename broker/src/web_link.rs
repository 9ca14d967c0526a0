//! A client's bytes within WebSocket frames on a socket: to the rest of the broker they are
//! bytes of MQTT like any other. Never looks at them.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use crate::wire::Wire;
use tidewire_proto::websocket::{
    Decoder, FRAME_HEAD_BYTES_MAX, Origins, put_close, put_frame_head, read_upgrade,
};

/// Payload of one frame of ours.
const FRAME_BYTES_MAX: usize = 64 * 1024;
/// What may wait for the socket besides MQTT: answers to pings.
const ANSWERS_BYTES_MAX: usize = 4 * 1024;
/// What is read of a client that was refused, so that it comes to read why.
const REFUSED_BYTES_MAX: usize = 64 * 1024;
/// The server goes, or is done.
const NORMAL: u16 = 1000;

/// One connection.
pub(crate) struct WebLink {
    pub(crate) wire: Wire,
    origins: Arc<Origins>,
    state: RefCell<State>,
}

struct State {
    stage: Stage,
    decoder: Decoder,
    /// Framed bytes that the socket has not taken.
    out: Vec<u8>,
}

/// How far it is.
enum Stage {
    /// This came of the request.
    Asked(Vec<u8>),
    /// It was granted: frames come and go.
    Granted,
    /// The client was told why it ends: what else it says is not looked at, and so much of it read.
    Refused(usize),
}

impl WebLink {
    pub(crate) fn new(wire: Wire, origins: Arc<Origins>) -> Self {
        let (stage, decoder) = (Stage::Asked(Vec::new()), Decoder::default());
        let state = State { stage, decoder, out: Vec::new() };
        Self { wire, origins, state: RefCell::new(state) }
    }

    /// Reads bytes of MQTT. An error ends the connection; the client was told why.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        if state.decoder.is_closed() {
            return Ok(0);
        }
        loop {
            let mut count = self.wire.try_read(buffer)?;
            if count == 0 {
                return Ok(0);
            }
            if matches!(state.stage, Stage::Asked(_)) {
                count = self.take_request(&mut state, buffer, count)?;
            }
            let State { decoder, out, stage } = &mut *state;
            let taken = decoder.take(&mut buffer[..count], out);
            if let Err(error) = &taken {
                put_close(error.code(), out);
                *stage = Stage::Refused(REFUSED_BYTES_MAX);
            }
            self.flush(&mut state)?;
            if state.out.len() > FRAME_HEAD_BYTES_MAX + FRAME_BYTES_MAX + ANSWERS_BYTES_MAX {
                // Pings without an end, and nobody reads the answers.
                return Err(ErrorKind::InvalidData.into());
            }
            let kept = taken.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if kept > 0 {
                return Ok(kept);
            }
            if state.decoder.is_closed() {
                return Ok(0);
            }
            if matches!(state.stage, Stage::Granted) {
                // Frames without MQTT, without an end: others get their turn.
                return Err(ErrorKind::Interrupted.into());
            }
        }
    }

    /// Takes bytes of the request off the front; answers how many of what follows are left there.
    fn take_request(
        &self,
        state: &mut State,
        buffer: &mut [u8],
        count: usize,
    ) -> io::Result<usize> {
        let refused = Stage::Refused(REFUSED_BYTES_MAX);
        let mut request = match std::mem::replace(&mut state.stage, refused) {
            Stage::Asked(request) => request,
            Stage::Granted | Stage::Refused(_) => Vec::new(),
        };
        let known = request.len();
        request.extend_from_slice(&buffer[..count]);
        match read_upgrade(&request, &self.origins) {
            Ok(Some(upgrade)) => {
                state.stage = Stage::Granted;
                state.out.extend_from_slice(&upgrade.answer);
                let start = upgrade.used.saturating_sub(known);
                buffer.copy_within(start..count, 0);
                Ok(count - start)
            }
            Ok(None) => {
                state.stage = Stage::Asked(request);
                Ok(0)
            }
            Err(refusal) => {
                state.out.extend_from_slice(&refusal.answer());
                self.flush(state)?;
                Err(io::Error::new(ErrorKind::InvalidData, refusal))
            }
        }
    }

    /// Reads what nobody wants to know any more, up to CLOSE. Over TLS records are not opened for
    /// it.
    pub(crate) fn try_waste(&self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Stage::Refused(left) = &mut self.state.borrow_mut().stage {
            let most = buffer.len().min(*left);
            let count = self.wire.try_waste(&mut buffer[..most])?;
            *left -= count;
            return Ok(count);
        }
        match self.wire {
            Wire::Tcp(_) => self.try_read(buffer),
            Wire::Tls(_) => self.wire.try_waste(buffer),
        }
    }

    /// Takes bytes of MQTT to send: what it takes may wait here for a while.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        self.flush(&mut state)?;
        if !state.out.is_empty() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = bytes.len().min(FRAME_BYTES_MAX);
        state.out.reserve(FRAME_HEAD_BYTES_MAX + count);
        put_frame_head(count, &mut state.out);
        state.out.extend_from_slice(&bytes[..count]);
        self.flush(&mut state)?;
        Ok(count)
    }

    /// Bytes of a request or a record that is not whole yet.
    pub(crate) fn unread_bytes(&self) -> usize {
        let kept = match &self.state.borrow().stage {
            Stage::Asked(request) => request.len(),
            Stage::Granted | Stage::Refused(_) => 0,
        };
        kept + self.wire.unread_bytes()
    }

    /// Whether something that was taken waits for the socket.
    pub(crate) fn has_pending(&self) -> bool {
        !self.state.borrow().out.is_empty() || self.wire.has_pending()
    }

    /// How many bytes that does.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.state.borrow().out.len() + self.wire.pending_bytes()
    }

    /// Hands on what waits.
    pub(crate) fn try_flush(&self) -> io::Result<()> {
        self.flush(&mut self.state.borrow_mut())
    }

    /// The last word.
    pub(crate) fn say_goodbye(&self) {
        let mut state = self.state.borrow_mut();
        if matches!(state.stage, Stage::Granted) && !state.decoder.is_closed() {
            put_close(NORMAL, &mut state.out);
        }
        // The connection ends whether it is heard or not.
        let _ = self.flush(&mut state);
    }

    fn flush(&self, state: &mut State) -> io::Result<()> {
        self.wire.try_flush()?;
        let mut written = 0;
        let result = loop {
            if written == state.out.len() {
                break Ok(());
            }
            match self.wire.try_write(&state.out[written..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if written == state.out.len() {
            // An idle connection owns no buffer.
            state.out = Vec::new();
        } else {
            state.out.drain(..written);
        }
        result
    }
}
