//! The header that a proxy puts before a connection (PROXY protocol, versions 1 and 2): who is on
//! its other side. Reads no socket, and trusts nobody: whose headers count is decided elsewhere.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a header may have; what proxies add beyond the addresses is some hundred bytes.
pub const HEADER_BYTES_MAX: usize = 4096;

/// How a header of version 1 begins, which is text.
const FIRST: &[u8] = b"PROXY ";
/// A line of version 1, with its end.
const LINE_BYTES_MAX: usize = 107;
/// How one of version 2 begins.
const SECOND: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What stands before the addresses of version 2.
const HEAD_BYTES: usize = 16;

/// Whom a header tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nobody else: the proxy speaks for itself (a health check), or does not know.
    Nobody,
    /// The client that the proxy stands before.
    Client(SocketAddr),
}

/// Why bytes are no header that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Something else comes first.
    #[error("it begins without a header of the PROXY protocol")]
    Missing,
    /// It is longer than any that is needed.
    #[error("its PROXY header is longer than it may be")]
    TooLong,
    /// A line of version 1 that cannot be read.
    #[error("its PROXY header is not one of version 1")]
    Line,
    /// A header of version 2 that cannot be read.
    #[error("its PROXY header is not one of version 2")]
    Binary,
    /// It tells of something that is no stream.
    #[error("its PROXY header tells of something other than TCP")]
    Transport,
}

/// What came of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// How many of them are the header's.
    pub used: usize,
    /// `None`: more of it is to come.
    pub said: Option<Said>,
}

/// A header on its way in.
#[derive(Clone, Debug, Default)]
pub struct HeaderReader {
    bytes: Vec<u8>,
}

impl HeaderReader {
    /// Takes what belongs to the header, and not a byte behind it.
    ///
    /// # Errors
    /// As soon as it is known that this is no header that counts.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Taken, HeaderError> {
        for (at, byte) in bytes.iter().enumerate() {
            self.bytes.push(*byte);
            if let Some(said) = self.look()? {
                return Ok(Taken { used: at + 1, said: Some(said) });
            }
        }
        Ok(Taken { used: bytes.len(), said: None })
    }

    /// Looks at what is there after each byte.
    fn look(&self) -> Result<Option<Said>, HeaderError> {
        let begins = |mark: &[u8]| mark.iter().zip(&self.bytes).all(|(mark, byte)| mark == byte);
        match (begins(FIRST), begins(SECOND)) {
            (true, _) => self.look_at_line(),
            (_, true) => self.look_at_binary(),
            (false, false) => Err(HeaderError::Missing),
        }
    }

    fn look_at_line(&self) -> Result<Option<Said>, HeaderError> {
        if self.bytes.last() == Some(&b'\n') {
            let line = self.bytes.strip_suffix(b"\r\n").ok_or(HeaderError::Line)?;
            let line = std::str::from_utf8(line).map_err(|_| HeaderError::Line)?;
            return line_says(line).map(Some).ok_or(HeaderError::Line);
        }
        match self.bytes.len() < LINE_BYTES_MAX {
            true => Ok(None),
            false => Err(HeaderError::TooLong),
        }
    }

    fn look_at_binary(&self) -> Result<Option<Said>, HeaderError> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let [.., command, family, high, low] = *head;
        let length = usize::from(u16::from_be_bytes([high, low]));
        if HEAD_BYTES + length > HEADER_BYTES_MAX {
            return Err(HeaderError::TooLong);
        }
        let is_local = match command {
            0x20 => true,
            0x21 => false,
            _ => return Err(HeaderError::Binary),
        };
        if rest.len() < length {
            return Ok(None);
        }
        if is_local {
            return Ok(Some(Said::Nobody));
        }
        addresses_say(family, rest).map(Some)
    }
}

/// What a line of version 1 says, without its end.
fn line_says(line: &str) -> Option<Said> {
    let mut words = line.split(' ').skip(1);
    let said = match words.next()? {
        // Whatever follows is not to be looked at.
        "UNKNOWN" => return Some(Said::Nobody),
        "TCP4" => {
            let [from, _]: [Ipv4Addr; 2] =
                [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
            SocketAddr::from((from, port(words.next()?)?))
        }
        "TCP6" => {
            let [from, _]: [Ipv6Addr; 2] =
                [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
            SocketAddr::from((from, port(words.next()?)?))
        }
        _ => return None,
    };
    port(words.next()?)?;
    words.next().is_none().then_some(Said::Client(said))
}

/// Digits alone: `parse` would take a sign.
fn port(word: &str) -> Option<u16> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok())?
}

/// What the addresses of version 2 say. What follows them (TLVs) is passed over: what a proxy says
/// of a client's certificate is not taken for who the client is.
fn addresses_say(family: u8, rest: &[u8]) -> Result<Said, HeaderError> {
    let is_stream = match family & 0x0f {
        0 => false,
        1 => true,
        _ => return Err(HeaderError::Transport),
    };
    let client = match (family >> 4, is_stream) {
        (0, _) => return Ok(Said::Nobody),
        (1, true) => v4(rest),
        (2, true) => v6(rest),
        // A client that came to the proxy by a Unix socket: two paths.
        (3, true) if rest.len() >= 216 => return Ok(Said::Nobody),
        _ => None,
    };
    client.map(Said::Client).ok_or(HeaderError::Binary)
}

fn v4(rest: &[u8]) -> Option<SocketAddr> {
    let [a, b, c, d, _, _, _, _, high, low, _, _] = *rest.first_chunk::<12>()?;
    Some((Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([high, low])).into())
}

fn v6(rest: &[u8]) -> Option<SocketAddr> {
    let (from, rest) = rest.split_first_chunk::<16>()?;
    let (_to, rest) = rest.split_first_chunk::<16>()?;
    let [high, low, _, _] = *rest.first_chunk::<4>()?;
    Some((Ipv6Addr::from(*from), u16::from_be_bytes([high, low])).into())
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES_MAX, HeaderError, HeaderReader, SECOND, Said, Taken};

    fn client(address: &str) -> Said {
        Said::Client(address.parse().expect("an address"))
    }

    /// A header of version 2.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short");
        [SECOND, &[command, family], &length.to_be_bytes(), rest].concat()
    }

    /// Addresses of version 4, and what stands behind them.
    fn pair(more: &[u8]) -> Vec<u8> {
        [&[192, 0, 2, 1, 10, 0, 0, 1, 0x30, 0x39, 0x07, 0x5b][..], more].concat()
    }

    fn pair_v6() -> Vec<u8> {
        let mut rest = vec![0x20, 0x01, 0x0d, 0xb8];
        rest.resize(15, 0);
        rest.push(7);
        rest.extend_from_slice(&[0; 16]);
        rest.extend_from_slice(&[0x30, 0x39, 0x07, 0x5b]);
        rest
    }

    /// Whole, with more behind it, and a byte at a time.
    #[track_caller]
    fn check(header: &[u8], expected: Result<Said, HeaderError>) {
        let behind = [header, b"\x10\x0c"].concat();
        let mut reader = HeaderReader::default();
        let whole = reader.take(&behind);
        let wanted = expected.map(|said| Taken { used: header.len(), said: Some(said) });
        assert_eq!(whole, wanted, "{}", header.escape_ascii());
        let mut reader = HeaderReader::default();
        let mut steps = header.iter().map(|byte| reader.take(&[*byte]));
        let end = steps.find(|taken| !matches!(taken, Ok(Taken { said: None, .. })));
        let wanted = expected.map(|said| Taken { used: 1, said: Some(said) });
        assert_eq!(end, Some(wanted), "{}", header.escape_ascii());
        if expected.is_ok() {
            assert!(steps.next().is_none(), "it ended before its end");
        }
    }

    #[test]
    fn a_line_says_who_is_on_the_other_side() {
        check(b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 1883\r\n", Ok(client("192.0.2.1:12345")));
        let said = Ok(client("[2001:db8::7]:12345"));
        check(b"PROXY TCP6 2001:db8::7 ::1 12345 1883\r\n", said);
        check(b"PROXY UNKNOWN\r\n", Ok(Said::Nobody));
        check(b"PROXY UNKNOWN 192.0.2.1 whatever it is\r\n", Ok(Said::Nobody));
    }

    #[test]
    fn a_line_that_is_not_exactly_one_is_refused() {
        for wrong in [
            &b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 1883\n"[..],
            b"PROXY TCP4 192.0.2.1 10.0.0.1 12345\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 1883 1\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 1883 \r\n",
            b"PROXY TCP4  192.0.2.1 10.0.0.1 12345 1883\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 +1234 1883\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 65536 1883\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 12345 \r\n",
            b"PROXY TCP4 2001:db8::7 ::1 12345 1883\r\n",
            b"PROXY TCP6 192.0.2.1 10.0.0.1 12345 1883\r\n",
            b"PROXY TCP4 host 10.0.0.1 12345 1883\r\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.1 12345 1883\r\n",
            b"PROXY tcp4 192.0.2.1 10.0.0.1 12345 1883\r\n",
            b"PROXY \r\n",
            b"PROXY \xff\r\n",
        ] {
            check(wrong, Err(HeaderError::Line));
        }
    }

    #[test]
    fn version_2_says_who_is_on_the_other_side() {
        check(&binary(0x21, 0x11, &pair(&[])), Ok(client("192.0.2.1:12345")));
        check(&binary(0x21, 0x21, &pair_v6()), Ok(client("[2001:db8::7]:12345")));
        // A name that the client asked for, a certificate's common name: passed over.
        let more = pair(&[2, 0, 1, b'a', 0x20, 0, 7, 1, 0, 0, 0, 0, 0x22, 0]);
        check(&binary(0x21, 0x11, &more), Ok(client("192.0.2.1:12345")));
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_or_does_not_know_names_nobody() {
        check(&binary(0x20, 0x00, &[]), Ok(Said::Nobody));
        check(&binary(0x20, 0x11, &pair(&[])), Ok(Said::Nobody));
        check(&binary(0x21, 0x00, &[]), Ok(Said::Nobody));
        check(&binary(0x21, 0x31, &[0; 216]), Ok(Said::Nobody));
    }

    #[test]
    fn version_2_that_cannot_be_is_refused() {
        check(&binary(0x11, 0x11, &pair(&[])), Err(HeaderError::Binary));
        check(&binary(0x22, 0x11, &pair(&[])), Err(HeaderError::Binary));
        check(&binary(0x21, 0x41, &pair(&[])), Err(HeaderError::Binary));
        check(&binary(0x21, 0x11, &pair(&[])[..11]), Err(HeaderError::Binary));
        check(&binary(0x21, 0x21, &pair_v6()[..35]), Err(HeaderError::Binary));
        check(&binary(0x21, 0x10, &pair(&[])), Err(HeaderError::Binary));
        check(&binary(0x21, 0x12, &pair(&[])), Err(HeaderError::Transport));
        check(&binary(0x21, 0x13, &pair(&[])), Err(HeaderError::Transport));
    }

    #[test]
    fn a_header_beyond_its_bound_is_refused_before_it_is_kept() {
        let line = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat();
        check(&line, Err(HeaderError::TooLong));
        let fits = HEADER_BYTES_MAX - 16 - 12;
        check(&binary(0x21, 0x11, &pair(&vec![0; fits])), Ok(client("192.0.2.1:12345")));
        let mut reader = HeaderReader::default();
        let long = binary(0x21, 0x11, &pair(&vec![0; fits + 1]));
        assert_eq!(reader.take(&long), Err(HeaderError::TooLong));
        assert_eq!(reader.bytes.len(), 16);
    }

    #[test]
    fn what_is_no_header_is_known_by_its_first_bytes() {
        for other in [&b"\x10\x0c\0\x04MQTT"[..], b"GET / HTTP/1.1", b"\x16\x03\x01", b"PROXX"] {
            let mut reader = HeaderReader::default();
            assert_eq!(reader.take(other), Err(HeaderError::Missing));
        }
        let mut reader = HeaderReader::default();
        assert_eq!(reader.take(b"\x10"), Err(HeaderError::Missing));
    }
}
