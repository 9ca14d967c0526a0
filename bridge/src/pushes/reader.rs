//! Reads the answers of an HTTP/1.1 server, within bounds: status, the headers that we use, and of
//! the body no more than people want to see. Knows nothing of what was asked.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

/// The longest head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// A body is read to its end, so that the connection can be used again, up to here.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// And for so long. What it means is said by then.
const BODY: Duration = Duration::from_secs(2);
/// What of it is kept.
const SAID_BYTES_MAX: usize = 200;
/// Heads that only say that there is more to come.
const INTERIM_MAX: usize = 10;

/// What a server said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The header of that name.
    pub(super) retry_after: Option<String>,
    /// How the body begins, on one line.
    pub(super) said: String,
    /// The connection is where the next answer begins.
    pub(super) is_reusable: bool,
}

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunked,
    ToTheEnd,
}

struct Head {
    status: u16,
    retry_after: Option<String>,
    length: Length,
    keeps: bool,
}

/// Bytes that came and were not looked at.
pub(super) struct Reader<'a, S> {
    stream: &'a mut S,
    buffer: Vec<u8>,
    from: usize,
}

impl<'a, S: AsyncRead + Unpin> Reader<'a, S> {
    pub(super) fn new(stream: &'a mut S) -> Self {
        Self { stream, buffer: Vec::new(), from: 0 }
    }

    /// Whether the server said anything at all.
    pub(super) fn has_begun(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next answer.
    pub(super) async fn answer(&mut self) -> io::Result<Answer> {
        let mut heads = 0;
        let head = loop {
            let head = self.head().await?;
            heads += 1;
            match head.status {
                100..=199 if heads <= INTERIM_MAX => (),
                _ => break head,
            }
        };
        let mut said = Vec::new();
        let length = match head.status {
            204 | 304 => Length::Bytes(0),
            _ => head.length,
        };
        // The status stands, whatever becomes of the rest: who was told that his messages were
        // taken and sends them again does so for ever.
        let body = timeout(BODY, self.body(length, &mut said)).await;
        let is_whole = body.is_ok_and(|body| body.unwrap_or(false));
        Ok(Answer {
            status: head.status,
            retry_after: head.retry_after,
            said: one_line(&said),
            is_reusable: is_whole && head.keeps && self.from == self.buffer.len(),
        })
    }

    async fn head(&mut self) -> io::Result<Head> {
        let mut room = HEAD_BYTES_MAX;
        let first = self.line(&mut room).await?;
        let mut words = first.split(' ');
        let version = words.next().unwrap_or_default();
        let status = words.next().and_then(|word| word.parse().ok());
        let Some(status) = status.filter(|_| version.starts_with("HTTP/1.")) else {
            return Err(malformed("what it says is no HTTP/1.1"));
        };
        let mut head = Head {
            status,
            retry_after: None,
            length: Length::ToTheEnd,
            keeps: version != "HTTP/1.0",
        };
        loop {
            let line = self.line(&mut room).await?;
            if line.is_empty() {
                return Ok(head);
            }
            head.take(&line)?;
        }
    }

    /// Reads it away; whether to its end, with the next answer behind it.
    async fn body(&mut self, length: Length, said: &mut Vec<u8>) -> io::Result<bool> {
        let mut room = BODY_BYTES_MAX;
        match length {
            Length::Bytes(bytes) => self.pass(bytes, &mut room, said).await,
            Length::ToTheEnd => self.pass(u64::MAX, &mut room, said).await,
            Length::Chunked => loop {
                let line = self.line(&mut room).await?;
                let digits = line.split(';').next().unwrap_or_default().trim();
                let bytes = u64::from_str_radix(digits, 16);
                let bytes = bytes.map_err(|_| malformed("a chunk without a length"))?;
                if !self.pass(bytes, &mut room, said).await? {
                    return Ok(false);
                }
                if bytes == 0 {
                    while !self.line(&mut room).await?.is_empty() {}
                    return Ok(true);
                }
                self.line(&mut room).await?;
            },
        }
    }

    /// Passes over so many bytes; false if there is no room for them.
    async fn pass(&mut self, bytes: u64, room: &mut usize, said: &mut Vec<u8>) -> io::Result<bool> {
        let mut left = bytes;
        while left > 0 {
            if self.from == self.buffer.len() {
                self.fill().await?;
            }
            let there = &self.buffer[self.from..];
            let taken = there.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let kept = taken.min(SAID_BYTES_MAX - said.len());
            said.extend_from_slice(&there[..kept]);
            self.from += taken;
            left -= taken as u64;
            if taken > *room {
                return Ok(false);
            }
            *room -= taken;
        }
        Ok(true)
    }

    /// The next line, without its end.
    async fn line(&mut self, room: &mut usize) -> io::Result<String> {
        loop {
            let there = &self.buffer[self.from..];
            if let Some(end) = there.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&there[..end]).trim_end().to_owned();
                self.from += end + 1;
                *room = room.checked_sub(end + 1).ok_or_else(|| malformed("a head too long"))?;
                return Ok(line);
            }
            if there.len() > *room {
                return Err(malformed("a head too long"));
            }
            self.fill().await?;
        }
    }

    /// Something more.
    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.from);
        self.from = 0;
        let before = self.buffer.len();
        self.buffer.resize(before + 8 * 1024, 0);
        let read = self.stream.read(&mut self.buffer[before..]).await;
        self.buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        match read? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection")),
            _ => Ok(()),
        }
    }
}

impl Head {
    /// One header.
    fn take(&mut self, line: &str) -> io::Result<()> {
        let (name, value) = line.split_once(':').ok_or_else(|| malformed("a header of no form"))?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" if self.length != Length::Chunked => {
                let bytes = value.parse().map_err(|_| malformed("a length of no form"))?;
                self.length = Length::Bytes(bytes);
            }
            "transfer-encoding" => match value.to_ascii_lowercase() {
                coding if coding.ends_with("chunked") => self.length = Length::Chunked,
                coding => self.keeps &= coding == "identity",
            },
            "connection" => self.keeps &= !value.eq_ignore_ascii_case("close"),
            "retry-after" => self.retry_after = Some(value.to_owned()),
            _ => (),
        }
        Ok(())
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// For a log line.
fn one_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let line = said.trim().lines().next().unwrap_or_default();
    line.chars().filter(|letter| !letter.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::{Answer, BODY_BYTES_MAX, HEAD_BYTES_MAX, Reader};

    fn read(text: &[u8]) -> Result<Answer, String> {
        let mut stream = text;
        run(async { Reader::new(&mut stream).answer().await }).map_err(|error| error.to_string())
    }

    fn run<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.unwrap().block_on(future)
    }

    #[track_caller]
    fn check(text: &str, status: u16, said: &str, is_reusable: bool) {
        let answer = read(text.as_bytes()).expect("an answer");
        let found = (answer.status, answer.said.as_str(), answer.is_reusable);
        assert_eq!(found, (status, said, is_reusable), "{text:?}");
    }

    #[test]
    fn answers_of_every_form_are_read_to_their_end() {
        check("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true);
        check("HTTP/1.1 200\nContent-Length:0\n\n", 200, "", true);
        check("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false);
        check("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 200, "", false);
        check("HTTP/1.1 500 No\r\n\r\n<p>\nfailed", 500, "<p>", false);
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                       3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: x\r\n\r\n";
        check(chunked, 200, "abcde", true);
        let interim =
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n";
        check(interim, 201, "", true);
        check("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nabc", 200, "a", false);
        let answer = read(b"HTTP/1.1 429 X\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(answer.unwrap().retry_after.as_deref(), Some("7"));
    }

    #[test]
    fn a_status_stands_whatever_becomes_of_the_body() {
        let of = |head: &str, body: &str| format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{body}");
        let chunked = |body: &str| of("Transfer-Encoding: chunked", body);
        for (text, said) in [
            (of("Content-Length: 5", "ab"), "ab"),
            (of("Content-Length: 5", ""), ""),
            (chunked("x\r\n"), ""),
            (chunked("3\r\nabc\r\n"), "abc"),
            (chunked(&"1;x=y\r\nz\r\n".repeat(BODY_BYTES_MAX)), &"z".repeat(200)),
            (of("Transfer-Encoding: gzip", "ab"), "ab"),
        ] {
            check(&text, 200, said, false);
        }
        check(&of("Transfer-Encoding: identity\r\nContent-Length: 1", "a"), 200, "a", true);
    }

    #[test]
    fn a_status_stands_where_the_body_has_no_end() {
        run(async {
            let (mut there, mut here) = tokio::io::duplex(1024);
            there.write_all(b"HTTP/1.1 200 OK\r\n\r\nab").await.expect("taken");
            let answer = Reader::new(&mut here).answer().await.expect("an answer");
            assert_eq!((answer.status, &*answer.said, answer.is_reusable), (200, "ab", false));
            drop(there);
        });
    }

    #[test]
    fn what_is_no_answer_is_left() {
        for (text, words) in [
            ("", "it closed the connection"),
            ("HTTP/1.1 200 OK\r\n", "it closed the connection"),
            ("SSH-2.0-OpenSSH\r\n", "what it says is no HTTP/1.1"),
            ("HTTP/1.1 ok\r\n", "what it says is no HTTP/1.1"),
            ("HTTP/1.1 200 OK\r\nno header\r\n\r\n", "a header of no form"),
        ] {
            assert_eq!(read(text.as_bytes()), Err(words.into()), "{text:?}");
        }
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(2 * HEAD_BYTES_MAX));
        assert_eq!(read(long.as_bytes()), Err("a head too long".into()));
        let body = "z".repeat(BODY_BYTES_MAX + 9000);
        let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let answer = read(large.as_bytes()).unwrap();
        assert!(!answer.is_reusable && answer.said.len() == 200);
    }
}
