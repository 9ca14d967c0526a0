//! One malformed packet and what the broker must answer. Plays it on a socket of its own, and
//! says what went otherwise. Knows no rule of MQTT.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::hex;
use crate::wire::{Version, Wire, kind, spelled};

/// Long enough for a busy machine, short enough for a table of cases that all fail.
const PATIENCE_PER_CASE: Duration = Duration::from_secs(60);

/// A version of MQTT, as CONNECT names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    V31,
    V311,
    V5,
}

impl Dialect {
    pub(super) const ALL: [Self; 3] = [Self::V31, Self::V311, Self::V5];

    /// Name and level of the protocol, as `hex::parse` reads them.
    pub(super) const fn protocol(self) -> &'static str {
        match self {
            Self::V31 => "$'MQIsdp' 03",
            Self::V311 => "$'MQTT' 04",
            Self::V5 => "$'MQTT' 05",
        }
    }

    /// No properties, where there could be some.
    pub(super) const fn no_properties(self) -> &'static str {
        match self {
            Self::V31 | Self::V311 => "",
            Self::V5 => "[]",
        }
    }

    /// CONNECT of a client that leaves nothing behind; its name is new each time.
    fn hello(self) -> Vec<u8> {
        static SERIAL: AtomicUsize = AtomicUsize::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let (protocol, nothing) = (self.protocol(), self.no_properties());
        spelled(0x10, &format!("{protocol} 02 00 3c {nothing} $'case-{serial}'"))
    }

    const fn version(self) -> Version {
        match self {
            Self::V31 | Self::V311 => Version::V4,
            Self::V5 => Version::V5,
        }
    }
}

/// Bytes, and what may be answered to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub(super) name: String,
    pub(super) dialect: Dialect,
    pub(super) setup: Setup,
    pub(super) bytes: Vec<u8>,
    pub(super) expected: Vec<Answer>,
}

/// What was said before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setup {
    /// Nothing.
    Fresh,
    /// CONNECT and its CONNACK.
    Connected,
}

/// An acceptable reaction of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The connection ends with no packet.
    Closed,
    /// CONNACK with this code, then the end.
    Connack(u8),
    /// DISCONNECT with this reason, then the end.
    Disconnect(u8),
    /// Nothing is wrong with the bytes: PINGREQ is answered after them.
    Alive,
    /// The same, and before PINGRESP exactly these bytes come (a good CONNACK does not count).
    Answered(Vec<u8>),
}

impl Answer {
    const fn is_alive(&self) -> bool {
        matches!(self, Self::Alive | Self::Answered(_))
    }

    /// How many bytes of acknowledgements belong to it.
    const fn replies(&self) -> usize {
        match self {
            Self::Answered(bytes) => bytes.len(),
            _ => 0,
        }
    }

    fn accepts(&self, heard: &Heard) -> bool {
        match self {
            Self::Alive => heard.end == Self::Alive,
            Self::Answered(bytes) => heard.end == Self::Alive && heard.replies == *bytes,
            end => heard.end == *end && heard.replies.is_empty(),
        }
    }
}

/// What the broker said: acknowledgements, and how it went on.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    replies: Vec<u8>,
    end: Answer,
}

impl Case {
    /// What is tested, in words.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Plays it against the broker.
    ///
    /// # Errors
    /// Says what came instead of the expected.
    pub fn play(&self, broker: SocketAddr) -> Result<(), String> {
        let mut wire = Wire::open(broker, self.dialect.version());
        wire.be_patient_for(PATIENCE_PER_CASE);
        if self.setup == Setup::Connected {
            wire.send(&self.dialect.hello());
            wire.connected();
        }
        let mut bytes = self.bytes.clone();
        if self.expected.iter().any(Answer::is_alive) {
            bytes.extend([0xc0, 0]);
        }
        wire.send_if_open(&bytes);
        let awaited = self.expected.iter().map(Answer::replies).max().unwrap_or(0);
        let got = match hear(&mut wire, awaited) {
            Ok(heard) if self.expected.iter().any(|one| one.accepts(&heard)) => return Ok(()),
            Ok(heard) => format!("{:?} after {}", heard.end, hex::show(&heard.replies)),
            Err(problem) => problem,
        };
        let shown = hex::show(self.bytes.get(..self.bytes.len().min(200)).unwrap_or_default());
        let head = format!("{} ({:?}) {shown}", self.name, self.dialect);
        Err(format!("{head}\n    awaited {:02x?}\n    got {got}", self.expected))
    }
}

/// The answer of the broker, past the packets that are right to come in between. What waits for
/// the disk comes behind PINGRESP: so many bytes of it are waited for.
fn hear(wire: &mut Wire, awaited: usize) -> Result<Heard, String> {
    let mut replies = Vec::new();
    let mut is_alive = false;
    while !is_alive || replies.len() < awaited {
        let Some(packet) = wire.try_packet()? else {
            return Ok(Heard { replies, end: Answer::Closed });
        };
        let answer = match packet.kind() {
            kind::CONNACK if packet.reason() == 0 => continue,
            kind::PUBACK..=kind::PUBCOMP | kind::SUBACK | kind::UNSUBACK => {
                replies.extend(packet.bytes());
                continue;
            }
            kind::PINGRESP => {
                is_alive = true;
                continue;
            }
            kind::CONNACK => Answer::Connack(packet.reason()),
            kind::DISCONNECT => Answer::Disconnect(packet.reason()),
            _ => return Err(format!("a packet out of place: {packet}")),
        };
        return match wire.try_packet()? {
            None => Ok(Heard { replies, end: answer }),
            Some(more) => Err(format!("{answer:?} must be the last word, then came {more}")),
        };
    }
    Ok(Heard { replies, end: Answer::Alive })
}

#[cfg(test)]
mod tests {
    use super::{Answer, Heard, hear};
    use crate::wire::{Version, Wire};
    use std::io::Write as _;
    use std::net::TcpListener;

    #[test]
    fn the_answer_is_heard_past_acknowledgements() {
        let puback = [0x40, 2, 0, 1];
        for (bytes, replies, end) in [
            (&[][..], &[][..], Answer::Closed),
            (&[0x40, 2, 0, 1, 0xe0, 1, 0x81], &puback, Answer::Disconnect(0x81)),
            (&[0x20, 3, 0, 0x84, 0], &[], Answer::Connack(0x84)),
            (&[0x20, 3, 0, 0, 0, 0xd0, 0], &[], Answer::Alive),
            (&[0xd0, 0, 0x40, 2, 0, 1], &puback, Answer::Alive),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("bound");
            let mut wire = Wire::open(address, Version::V5);
            let (mut peer, _) = listener.accept().expect("our own connection");
            peer.write_all(bytes).expect("an open socket");
            drop(peer);
            let heard = hear(&mut wire, replies.len());
            assert_eq!(heard, Ok(Heard { replies: replies.to_vec(), end }));
        }
    }

    #[test]
    fn an_answer_too_many_is_not_accepted() {
        let heard = Heard { replies: vec![0x40, 2, 0, 1], end: Answer::Alive };
        assert!(Answer::Alive.accepts(&heard));
        assert!(Answer::Answered(vec![0x40, 2, 0, 1]).accepts(&heard));
        assert!(!Answer::Answered(vec![]).accepts(&heard));
        let heard = Heard { replies: vec![0x40, 2, 0, 1], end: Answer::Closed };
        assert!(!Answer::Closed.accepts(&heard));
    }
}
