//! A connection as packets: what was read and not looked at, what is to be written. Knows no
//! exchange.

use std::io;

use tidewire_proto::id::PacketId;
use tidewire_proto::mqtt::{EncodeError, Framing, Packet, Version, decode, encode, frame};
use tidewire_proto::qos::Qos;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use crate::links::duplex::Duplex;

/// Bytes that one read asks for.
const READ_BYTES: usize = 64 * 1024;

/// One connection.
pub struct Wire {
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
}

/// What comes.
pub struct Reader {
    half: ReadHalf<Box<dyn Duplex>>,
    input: Vec<u8>,
    /// How much of it was looked at.
    seen: usize,
    /// How much of what comes belongs to a packet that is passed over.
    passing: usize,
    version: Version,
    packet_bytes_max: u32,
}

/// Something that came.
pub(crate) enum Heard<'a> {
    Packet(Packet<'a>),
    /// Before MQTT 5 nobody can say how much he takes.
    Large(Large),
}

/// A PUBLISH that is larger than may be. It is passed over, whatever else stands in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Large {
    pub(crate) topic: String,
    pub(crate) qos: Qos,
    pub(crate) packet_id: Option<PacketId>,
    pub(crate) dup: bool,
    pub(crate) bytes: usize,
}

/// What goes.
pub struct Writer {
    half: WriteHalf<Box<dyn Duplex>>,
    out: Vec<u8>,
    /// How much of it was written.
    gone: usize,
    /// Something was written that may still lie on our side.
    is_unflushed: bool,
    /// The last write was not taken whole.
    is_full: bool,
    version: Version,
}

impl Wire {
    /// A connection that speaks this version, and takes no larger packets.
    #[must_use]
    pub fn new(stream: Box<dyn Duplex>, version: Version, packet_bytes_max: u32) -> Self {
        let (read, write) = tokio::io::split(stream);
        let input = Vec::new();
        let (seen, passing) = (0, 0);
        let reader = Reader { half: read, input, seen, passing, version, packet_bytes_max };
        let (out, gone, is_unflushed, is_full) = (Vec::new(), 0, false, false);
        Self { reader, writer: Writer { half: write, out, gone, is_unflushed, is_full, version } }
    }
}

impl Reader {
    /// Reads some more. Cancelled, nothing was read.
    ///
    /// # Errors
    /// The connection is over.
    pub async fn read(&mut self) -> io::Result<()> {
        self.input.drain(..self.seen);
        self.seen = 0;
        self.input.reserve(READ_BYTES);
        match self.half.read_buf(&mut self.input).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            _ => Ok(()),
        }
    }

    /// The next of what was read: a whole packet, or the head of one that is too large.
    pub(crate) fn next(&mut self) -> Result<Option<Heard<'_>>, String> {
        let passed = self.passing.min(self.input.len() - self.seen);
        (self.seen, self.passing) = (self.seen + passed, self.passing - passed);
        if self.passing > 0 {
            return Ok(None);
        }
        if self.version != Version::V5 {
            match head(&self.input[self.seen..], self.packet_bytes_max) {
                Head::Other => (),
                Head::Cut => return Ok(None),
                Head::Large { large, head } => {
                    self.seen += head;
                    self.passing = large.bytes - head;
                    return Ok(Some(Heard::Large(large)));
                }
            }
        }
        Ok(self.packet()?.map(Heard::Packet))
    }

    /// The next whole packet of what was read.
    ///
    /// # Errors
    /// What was read is no MQTT.
    pub fn packet(&mut self) -> Result<Option<Packet<'_>>, String> {
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
    /// Puts a packet behind what waits.
    ///
    /// # Errors
    /// It cannot be written in this version.
    pub fn put(&mut self, packet: &Packet<'_>) -> Result<(), EncodeError> {
        encode(packet, self.version, &mut self.out)
    }

    /// Puts a packet that was made before.
    pub fn put_bytes(&mut self, packet: &[u8]) {
        self.out.extend_from_slice(packet);
    }

    /// Bytes that are to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.out.len() - self.gone
    }

    /// Nothing is to be written.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.out.is_empty() && !self.is_unflushed
    }

    /// Writes what the other side takes now. Cancelled, nothing is lost.
    pub async fn write(&mut self) -> io::Result<()> {
        self.write_on().await.map(|_| ())
    }

    /// Writes what the other side takes now; whether it has taken something since all on our side
    /// was full. Cancelled, nothing is lost.
    pub(crate) async fn write_on(&mut self) -> io::Result<bool> {
        let was_full = self.is_full;
        if !self.out.is_empty() {
            let count = self.half.write(&self.out[self.gone..]).await?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.gone += count;
            self.is_full = self.gone < self.out.len();
            // What is left is moved when it is the lesser part.
            if self.gone * 2 >= self.out.len() {
                self.out.drain(..self.gone);
                self.gone = 0;
            }
            self.is_unflushed = true;
        }
        if self.out.is_empty() {
            self.half.flush().await?;
            self.is_unflushed = false;
        }
        Ok(was_full)
    }
}

/// What the first bytes of a packet are.
enum Head {
    /// Of a packet that may be, or cannot be at all.
    Other,
    /// Not all that is asked for.
    Cut,
    Large {
        large: Large,
        head: usize,
    },
}

/// Looks for a PUBLISH that is too large.
fn head(front: &[u8], packet_bytes_max: u32) -> Head {
    const PUBLISH: u8 = 3;
    let Some((first, rest)) = front.split_first() else { return Head::Other };
    let Some(qos) = Qos::from_bits(first >> 1 & 0b11).filter(|_| first >> 4 == PUBLISH) else {
        return Head::Other;
    };
    let last = rest.iter().take(4).position(|byte| byte & 0x80 == 0);
    let Some(last) = last else { return Head::Other };
    let seven = |length: usize, byte: &u8| length << 7 | usize::from(byte & 0x7f);
    let bytes = 2 + last + rest[..=last].iter().rev().fold(0, seven);
    if u32::try_from(bytes).is_ok_and(|bytes| bytes <= packet_bytes_max) {
        return Head::Other;
    }
    let mut left = &rest[last + 1..];
    let mut take = |count: usize| {
        let (taken, behind) = left.split_at_checked(count)?;
        left = behind;
        Some(taken)
    };
    let mut read = || {
        let length = take(2)?;
        let topic = take(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        let id = if qos == Qos::AtMostOnce { None } else { Some(take(2)?) };
        Some((String::from_utf8_lossy(topic).into_owned(), id))
    };
    let Some((topic, id)) = read() else { return Head::Cut };
    let packet_id = id.and_then(|id| PacketId::new(u16::from_be_bytes([id[0], id[1]])));
    let head = front.len() - left.len();
    if head > bytes {
        // It is no packet at all: who reads it whole says so.
        return Head::Other;
    }
    let dup = first & 0b1000 != 0;
    Head::Large { large: Large { topic, qos, packet_id, dup, bytes }, head }
}

#[cfg(test)]
mod tests {
    use tidewire_proto::mqtt::Version;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::{Heard, Wire};

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(future)
    }

    #[test]
    fn a_message_that_is_too_large_is_passed_over_to_its_last_byte() {
        run(async {
            let (mut there, here) = tokio::io::duplex(64);
            let mut wire = Wire::new(Box::new(here), Version::V311, 100);
            let mut bytes = vec![0x3a, 0xc8, 0x01, 0, 1, b'a', 0, 7];
            bytes.resize(3 + 200, b'x');
            bytes.extend([0xd0, 0]);
            let writing = async { there.write_all(&bytes).await.expect("taken") };
            let reading = async {
                let mut large = None;
                loop {
                    match wire.reader.next().expect("MQTT") {
                        Some(Heard::Large(found)) => large = Some(found),
                        Some(Heard::Packet(packet)) => {
                            assert_eq!(packet.kind().to_string(), "PINGRESP");
                            break large.expect("it came first");
                        }
                        None => wire.reader.read().await.expect("more"),
                    }
                }
            };
            let (large, ()) = tokio::join!(reading, writing);
            assert_eq!((&*large.topic, large.bytes, large.dup), ("a", 203, true));
            assert_eq!((large.qos.bits(), large.packet_id.map(|id| id.get())), (1, Some(7)));
        });
    }

    #[test]
    fn who_takes_more_of_what_waits_for_him_is_there() {
        run(async {
            let (mut there, here) = tokio::io::duplex(10);
            let mut wire = Wire::new(Box::new(here), Version::V5, 100);
            wire.writer.put_bytes(&[0; 15]);
            assert!(!wire.writer.write_on().await.expect("written"), "it goes no further than us");
            let mut some = [0; 5];
            there.read_exact(&mut some).await.expect("read");
            assert!(wire.writer.write_on().await.expect("written"), "it took some");
            there.read_exact(&mut some).await.expect("read");
            wire.writer.put_bytes(&[0; 2]);
            assert!(!wire.writer.write_on().await.expect("written"), "there was room all the time");
        });
    }
}
