//! A connection as packets: what was read and not looked at, what is to be written. Knows no
//! exchange.

use std::io;

use tidewire_proto::mqtt::{EncodeError, Framing, Packet, Version, decode, encode, frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::links::dial::Duplex;

/// Bytes that one read asks for.
const READ_BYTES: usize = 64 * 1024;

/// One connection.
pub(crate) struct Wire {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
}

/// What comes.
pub(crate) struct Reader {
    half: ReadHalf<Box<dyn Duplex>>,
    input: Vec<u8>,
    /// How much of it was looked at.
    seen: usize,
    version: Version,
    packet_bytes_max: u32,
}

/// What goes.
pub(crate) struct Writer {
    half: WriteHalf<Box<dyn Duplex>>,
    out: Vec<u8>,
    /// Something was written that may still lie on our side.
    is_unflushed: bool,
    version: Version,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn Duplex>, version: Version, packet_bytes_max: u32) -> Self {
        let (read, write) = tokio::io::split(stream);
        let input = Vec::new();
        let reader = Reader { half: read, input, seen: 0, version, packet_bytes_max };
        let (out, is_unflushed) = (Vec::new(), false);
        Self { reader, writer: Writer { half: write, out, is_unflushed, version } }
    }
}

impl Reader {
    /// Reads some more. Cancelled, nothing was read.
    pub(crate) async fn read(&mut self) -> io::Result<()> {
        self.input.drain(..self.seen);
        self.seen = 0;
        self.input.reserve(READ_BYTES);
        match self.half.read_buf(&mut self.input).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            _ => Ok(()),
        }
    }

    /// The next whole packet of what was read.
    pub(crate) fn packet(&mut self) -> Result<Option<Packet<'_>>, String> {
        let broken = |error| format!("what it sends is no MQTT: {error}");
        match frame(&self.input[self.seen..], self.packet_bytes_max).map_err(broken)? {
            Framing::NeedMore { .. } => Ok(None),
            Framing::Packet(found) => {
                self.seen += found.len;
                decode(&found, self.version).map(Some).map_err(broken)
            }
        }
    }
}

impl Writer {
    pub(crate) fn put(&mut self, packet: &Packet<'_>) -> Result<(), EncodeError> {
        encode(packet, self.version, &mut self.out)
    }

    /// Puts a packet that was made before.
    pub(crate) fn put_bytes(&mut self, packet: &[u8]) {
        self.out.extend_from_slice(packet);
    }

    /// Bytes that are to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Nothing is to be written.
    pub(crate) fn is_idle(&self) -> bool {
        self.out.is_empty() && !self.is_unflushed
    }

    /// Writes what the other side takes now. Cancelled, nothing is lost.
    pub(crate) async fn write(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            let count = self.half.write(&self.out).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.out.drain(..count);
            self.is_unflushed = true;
        }
        if self.out.is_empty() {
            self.half.flush().await?;
            self.is_unflushed = false;
        }
        Ok(())
    }
}
