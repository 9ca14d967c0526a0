//! The Kafka port as a target: requests of any API in any version with any body, and afterwards
//! everybody else is served as before.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::outcome::{Outcome, mark};
use crate::hex;

/// How many inputs are shown when the port fails: the last one may not be the guilty one.
const REMEMBERED: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);
/// More of an answer is read, but not told apart.
const ANSWER_BYTES_MARKED: usize = 24;
/// ApiVersions 0, which is answered at once.
const HELLO: &[u8] = &[0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0, 0];

/// APIs, and the highest version that is tried of each.
const APIS: &[(u8, u8)] = &[
    (0, 13),
    (1, 17),
    (2, 10),
    (3, 13),
    (8, 9),
    (9, 9),
    (10, 6),
    (11, 9),
    (12, 4),
    (13, 5),
    (14, 5),
    (15, 6),
    (16, 5),
    (17, 1),
    (18, 5),
    (19, 7),
    (20, 6),
    (21, 2),
    (22, 5),
    (23, 4),
    (24, 5),
    (25, 4),
    (26, 4),
    (28, 4),
    (29, 3),
    (32, 4),
    (35, 4),
    (36, 2),
    (37, 3),
    (42, 2),
    (44, 1),
    (47, 0),
    (60, 2),
    (61, 0),
    (65, 0),
    (66, 1),
    (68, 1),
    (69, 1),
    (75, 0),
];

/// What a run begins with: each request with an empty body, and one that says little.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let versions = APIS.iter().flat_map(|&(key, highest)| (0..=highest).map(move |v| (key, v)));
    let bodies = versions.flat_map(|(key, version)| {
        let named = [&[key, version, 0, 2, b'm', b'e'][..], &[0; 48]].concat();
        let counted = [
            &[key, version, 0, 2, b'm', b'e'][..],
            b"\x00\x00\x00\x01\x00\x04mqtt",
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        ];
        let compact = [&[key, version, 0, 2, b'm', b'e', 0, 2, 5][..], b"mqtt\x02", &[0; 24]];
        [named, counted.concat(), compact.concat()]
    });
    bodies.collect()
}

/// A client that means harm, and one beside it that must not feel it.
#[derive(Debug)]
pub struct KafkaPeer {
    port: SocketAddr,
    beside: TcpStream,
    remembered: Vec<Vec<u8>>,
}

impl KafkaPeer {
    /// # Panics
    /// When the port does not take an honest client.
    #[must_use]
    pub fn new(port: SocketAddr) -> Self {
        Self { port, beside: open(port), remembered: Vec::new() }
    }

    /// Sends a request: API, version, and all that follows in the header and the body.
    ///
    /// # Panics
    /// When the port does not answer, or no longer serves the other client.
    pub fn target(&mut self, input: &[u8]) -> Outcome {
        if self.remembered.len() == REMEMBERED {
            self.remembered.remove(0);
        }
        self.remembered.push(input.to_vec());
        let [key, version, rest @ ..] = input else { return Vec::new() };
        let heard = self.ask((*key, *version), rest).unwrap_or_else(|what| self.fail(&what));
        let answer = self.beside.write_all(HELLO).and_then(|()| answer_of(&mut self.beside));
        match answer {
            Ok(answer) if answer.len() > 8 => marks((*key, *version), &heard),
            other => self.fail(&format!("the client beside heard {other:?}")),
        }
    }

    /// What came before the connection was closed.
    fn ask(&self, (key, version): (u8, u8), rest: &[u8]) -> Result<Vec<u8>, String> {
        let mut frame = vec![0, key, 0, version, 0, 0, 0, 7];
        frame.extend_from_slice(rest);
        let length = u32::try_from(frame.len()).expect("inputs are short").to_be_bytes();
        let mut socket = open(self.port);
        // It may be closed already: that is an answer, too.
        let _ = socket.write_all(&[&length[..], &frame].concat());
        // Nothing is waited for that waits itself.
        let _ = socket.shutdown(Shutdown::Write);
        let mut heard = Vec::new();
        match socket.read_to_end(&mut heard) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err("the port neither answered nor closed".to_owned())
            }
            _ => Ok(heard),
        }
    }

    fn fail(&self, problem: &str) -> ! {
        let inputs = self.remembered.iter().map(|input| hex::show(input));
        let inputs: Vec<String> = inputs.collect();
        panic!("{problem}\nthe last inputs, newest last:\n{}", inputs.join("\n"));
    }
}

fn open(port: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(port).expect("the port is open");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket
}

fn answer_of(socket: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let mut answer = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut answer)?;
    Ok(answer)
}

/// Which request led to which beginning of an answer.
fn marks(request: (u8, u8), heard: &[u8]) -> Outcome {
    let class = heard.len().next_power_of_two();
    let shown = heard.iter().skip(8).take(ANSWER_BYTES_MARKED);
    let shown: Vec<u8> = shown.copied().collect();
    vec![mark(&(request, class)), mark(&(request.0, shown))]
}
