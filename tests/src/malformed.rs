//! Malformed packets as a table: reads it, plays each case on a socket of its own, says what
//! went otherwise. Never stops at the first fault: the list is what one wants to see.

use std::net::SocketAddr;
use std::time::Duration;

use crate::hex;
use crate::wire::{Version, Wire, kind};

/// Long enough for a busy machine, short enough for a table of cases that all fail.
const PATIENCE_PER_CASE: Duration = Duration::from_secs(5);

/// One line of the table: `name | version | setup | bytes | expected`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    name: String,
    version: Version,
    setup: Setup,
    bytes: Vec<u8>,
    expected: Vec<Answer>,
}

/// What was said before the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setup {
    /// Nothing.
    Fresh,
    /// CONNECT and its CONNACK.
    Connected,
}

/// An acceptable reaction of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// The connection ends with no packet.
    Closed,
    /// CONNACK with this code, then the end.
    Connack(u8),
    /// DISCONNECT with this reason, then the end.
    Disconnect(u8),
    /// Nothing is wrong with the bytes: PINGREQ is answered after them.
    Alive,
}

impl Case {
    /// Reads a table: blank lines and those that start with `#` say nothing.
    ///
    /// # Errors
    /// Names the line that is not understood.
    pub fn read_table(text: &str) -> Result<Vec<Self>, String> {
        let lines = text.lines().enumerate();
        lines
            .filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
            .map(|(at, line)| Self::read(line).map_err(|e| format!("line {}: {e}", at + 1)))
            .collect()
    }

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
        let mut wire = match self.setup {
            Setup::Fresh => Wire::open(broker, self.version),
            Setup::Connected => Wire::clean(broker, self.version, ""),
        };
        wire.be_patient_for(PATIENCE_PER_CASE);
        wire.send_if_open(&self.bytes);
        if self.expected.contains(&Answer::Alive) {
            wire.send_if_open(&[0xc0, 0]);
        }
        let got = match hear(&mut wire) {
            Ok(answer) if self.expected.contains(&answer) => return Ok(()),
            Ok(answer) => format!("{answer:?}"),
            Err(problem) => problem,
        };
        let (shown, version) = (hex::show(&self.bytes), self.version);
        let head = format!("{} ({version:?}) {shown}", self.name);
        Err(format!("{head}\n    awaited {:?}\n    got {got}", self.expected))
    }

    fn read(line: &str) -> Result<Self, String> {
        let fields: Vec<&str> = line.split('|').map(str::trim).collect();
        let [name, version, setup, bytes, expected] = fields.as_slice() else {
            return Err(format!("five fields are needed: {line}"));
        };
        Ok(Self {
            name: (*name).to_owned(),
            version: match *version {
                "v4" => Version::V4,
                "v5" => Version::V5,
                other => return Err(format!("no such version: {other}")),
            },
            setup: match *setup {
                "fresh" => Setup::Fresh,
                "connected" => Setup::Connected,
                other => return Err(format!("no such setup: {other}")),
            },
            bytes: hex::parse(bytes)?,
            expected: expected.split(" or ").map(Answer::read).collect::<Result<_, _>>()?,
        })
    }
}

impl Answer {
    fn read(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (word, code) = (words.next().unwrap_or_default(), words.next());
        let code = code.map(|hex| u8::from_str_radix(hex, 16)).transpose();
        match (word, code.map_err(|_| format!("not a hex code: {text}"))?) {
            ("closed", None) => Ok(Self::Closed),
            ("alive", None) => Ok(Self::Alive),
            ("connack", Some(code)) => Ok(Self::Connack(code)),
            ("disconnect", Some(code)) => Ok(Self::Disconnect(code)),
            _ => Err(format!("no such answer: {text}")),
        }
    }
}

/// The answer of the broker, past the packets that are right to come in between.
fn hear(wire: &mut Wire) -> Result<Answer, String> {
    while let Some(packet) = wire.try_packet()? {
        let answer = match packet.kind() {
            kind::CONNACK if packet.reason() == 0 => continue,
            kind::PUBACK | kind::PUBREC | kind::PUBCOMP | kind::SUBACK | kind::UNSUBACK => continue,
            kind::PINGRESP => return Ok(Answer::Alive),
            kind::CONNACK => Answer::Connack(packet.reason()),
            kind::DISCONNECT => Answer::Disconnect(packet.reason()),
            _ => return Err(format!("a packet out of place: {packet}")),
        };
        return match wire.try_packet()? {
            None => Ok(answer),
            Some(more) => Err(format!("{answer:?} must be the last word, then came {more}")),
        };
    }
    Ok(Answer::Closed)
}

#[cfg(test)]
mod tests {
    use super::{Answer, Case, Setup, hear};
    use crate::wire::{Version, Wire};
    use std::io::Write as _;
    use std::net::TcpListener;

    #[test]
    fn a_line_is_a_case() {
        let table = "# a comment\n\nping | v5 | fresh | c0 00 | closed or connack 82\n";
        let case = Case {
            name: "ping".to_owned(),
            version: Version::V5,
            setup: Setup::Fresh,
            bytes: vec![0xc0, 0],
            expected: vec![Answer::Closed, Answer::Connack(0x82)],
        };
        assert_eq!(Case::read_table(table), Ok(vec![case]));
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        for line in [
            "a | v5 | fresh | c0",
            "a | v6 | fresh | c0 00 | closed",
            "a | v5 | later | c0 00 | closed",
            "a | v5 | fresh | c | closed",
            "a | v5 | fresh | c0 00 | connack",
            "a | v5 | fresh | c0 00 | disconnect zz",
            "a | v5 | fresh | c0 00 | closed 81",
        ] {
            let problem = Case::read_table(&format!("# one\n{line}")).expect_err(line);
            assert!(problem.starts_with("line 2: "), "{problem}");
        }
    }

    #[test]
    fn the_answer_is_heard_past_acknowledgements() {
        for (bytes, expected) in [
            (&[][..], Ok(Answer::Closed)),
            (&[0x40, 2, 0, 1, 0xe0, 1, 0x81], Ok(Answer::Disconnect(0x81))),
            (&[0x20, 3, 0, 0x84, 0], Ok(Answer::Connack(0x84))),
            (&[0x20, 3, 0, 0, 0, 0xd0, 0], Ok(Answer::Alive)),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = listener.local_addr().expect("bound");
            let mut wire = Wire::open(address, Version::V5);
            let (mut peer, _) = listener.accept().expect("our own connection");
            peer.write_all(bytes).expect("an open socket");
            drop(peer);
            assert_eq!(hear(&mut wire), expected);
        }
    }
}
