//! One request after the other to one receiver, over one connection as long as it lasts. Never
//! judges an answer.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::client::files::first_line;
use crate::client::socket::{Stream, connect};
use crate::pushes::address::Address;
use crate::pushes::options::PushOptions;
use crate::pushes::reader::{Answer, Reader};
use crate::pushes::signature::sign;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    /// Nobody has heard of the request.
    #[error("{0}")]
    Unheard(String),
    /// The receiver may have the messages or not.
    #[error("{0}")]
    Unknown(String),
}

/// Sends requests.
pub(super) struct Poster {
    options: Arc<PushOptions>,
    address: Address,
    name: String,
    secret: Option<String>,
    authorization: Option<String>,
    stream: Option<Box<dyn Stream>>,
}

impl Poster {
    /// Reads its files.
    pub(super) fn new(name: &str, options: &Arc<PushOptions>) -> Result<Self, String> {
        let address = Address::parse(&options.url);
        let address = address.ok_or_else(|| format!("{:?} is no address", options.url))?;
        Ok(Self {
            secret: line_of(options.secret_file.as_deref())?,
            authorization: line_of(options.authorization_file.as_deref())?,
            name: name.to_owned(),
            options: Arc::clone(options),
            address,
            stream: None,
        })
    }

    /// Connects, and sends nothing.
    pub(super) async fn connect(&mut self) -> Result<(), NoAnswer> {
        let Address { host, port, is_secret, .. } = &self.address;
        let tls = is_secret.then_some(&self.options.tls);
        let connected = connect((host, *port), tls, self.options.timeout).await;
        self.stream = Some(connected.map_err(|fault| NoAnswer::Unheard(fault.to_string()))?);
        Ok(())
    }

    /// Sends a body and waits for the answer. `at_s`: what time it is, in seconds since 1970.
    pub(super) async fn post(&mut self, body: &[u8], at_s: i64) -> Result<Answer, NoAnswer> {
        let within = self.options.timeout;
        match timeout(within, self.post_on_some(body, at_s)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.stream = None;
                Err(NoAnswer::Unknown(silent(&self.address, within)))
            }
        }
    }

    async fn post_on_some(&mut self, body: &[u8], at_s: i64) -> Result<Answer, NoAnswer> {
        let head = self.head(body, at_s);
        if let Some(stream) = self.stream.take()
            && let Ok(answer) = self.exchange(stream, &head, body).await
        {
            return Ok(answer);
        }
        // A connection that was not used for a while may have been closed: it is no news.
        self.connect().await?;
        let Some(stream) = self.stream.take() else {
            return Err(NoAnswer::Unheard("there is no connection".into()));
        };
        let answer = self.exchange(stream, &head, body).await;
        answer.map_err(|error| {
            NoAnswer::Unknown(format!("no answer of {}: {error}", self.address.authority))
        })
    }

    /// The connection is kept if it can be used again.
    async fn exchange(
        &mut self,
        stream: Box<dyn Stream>,
        head: &[u8],
        body: &[u8],
    ) -> io::Result<Answer> {
        let (mut from, mut to) = tokio::io::split(stream);
        let mut reader = Reader::new(&mut from);
        let (answer, sent) = {
            let mut sending = pin!(send(&mut to, head, body));
            let mut answering = pin!(reader.answer());
            let mut sent = None;
            loop {
                // Who has heard enough may answer before all is sent, and read nothing more.
                tokio::select! {
                    biased;
                    answer = &mut answering => break (answer, sent),
                    done = &mut sending, if sent.is_none() => sent = Some(done),
                }
            }
        };
        let answer = match (answer, sent) {
            (Err(_), Some(Err(error))) if !reader.has_begun() => return Err(error),
            (answer, Some(Ok(()))) => answer?,
            (answer, _) => return Ok(Answer { is_reusable: false, ..answer? }),
        };
        if answer.is_reusable {
            self.stream = Some(from.unsplit(to));
        }
        Ok(answer)
    }

    fn head(&self, body: &[u8], at_s: i64) -> Vec<u8> {
        let Address { authority, path, .. } = &self.address;
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: tidewire\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\
             Tidewire-Bridge: {}\r\nTidewire-Timestamp: {at_s}\r\n",
            body.len(),
            self.name,
        );
        let signature = self.secret.as_ref().and_then(|secret| sign(secret, at_s, body));
        if let Some(signature) = signature {
            head.push_str(&format!("Tidewire-Signature: v1={signature}\r\n"));
        }
        if let Some(authorization) = &self.authorization {
            head.push_str(&format!("Authorization: {authorization}\r\n"));
        }
        head.push_str("\r\n");
        head.into_bytes()
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), head: &[u8], body: &[u8]) -> io::Result<()> {
    to.write_all(head).await?;
    to.write_all(body).await?;
    to.flush().await
}

/// The first line of a file, to stand in a header or to sign with.
fn line_of(file: Option<&Path>) -> Result<Option<String>, String> {
    let Some(file) = file else { return Ok(None) };
    let line = first_line(file).map_err(|fault| fault.to_string())?;
    let is_sayable = !line.is_empty() && line.chars().all(|c| c == ' ' || c.is_ascii_graphic());
    match is_sayable {
        true => Ok(Some(line)),
        false => Err(format!("the first line of {} has to be plain text", file.display())),
    }
}

fn silent(address: &Address, within: Duration) -> String {
    format!("{} does not answer within {} ms", address.authority, within.as_millis())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::Arc;

    use super::Poster;
    use crate::pushes::options::tests::options;

    /// More than any socket holds.
    const BODY_BYTES: usize = 64 << 20;

    /// Reads no more of a request than its head, and answers.
    fn refuse(listener: &TcpListener, answer: &str) -> TcpStream {
        let (mut stream, _) = listener.accept().expect("it comes");
        let mut reader = BufReader::with_capacity(1, stream.try_clone().expect("a handle"));
        let mut line = String::new();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line).expect("a line of the head");
        }
        stream.write_all(answer.as_bytes()).expect("answered");
        stream
    }

    #[test]
    fn an_answer_that_comes_before_all_is_sent_is_heard() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("bound"));
        let answer = "HTTP/1.1 413 Too large\r\nContent-Length: 2\r\n\r\nno";
        let server = std::thread::spawn(move || {
            let kept = refuse(&listener, answer);
            let again = refuse(&listener, answer);
            (kept, again)
        });
        let mut poster = Poster::new("p", &Arc::new(options(url))).expect("no files");
        let body = vec![b'x'; BODY_BYTES];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            for _ in 0..2 {
                let answer = poster.post(&body, 1).await.expect("heard");
                assert_eq!((answer.status, &*answer.said), (413, "no"));
                assert!(!answer.is_reusable, "half of a request stands there");
            }
        });
        drop(server.join().expect("both were answered"));
    }
}
