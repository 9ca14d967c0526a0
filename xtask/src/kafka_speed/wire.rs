//! A lean Kafka client: frames on a socket, and the few requests that measuring needs. Never
//! measures.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::fields::{Fields, Request};

const CLIENT_ID: &str = "kafka-speed";

const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;

/// Where ListOffsets begins, and where it ends.
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;
/// A topic is made when it is first asked for.
const PATIENCE: Duration = Duration::from_secs(20);

/// Bytes that are asked for of a partition at once, as Kafka's own clients do.
const PARTITION_BYTES: i32 = 1 << 20;
const ANSWER_BYTES: i32 = 50 << 20;
/// Errors of a server that is not done with making a topic.
const UNKNOWN_TOPIC: i16 = 3;
const NO_LEADER: i16 = 5;
const NOT_LEADER: i16 = 6;
const TOPIC_MADE_WITHIN: Duration = Duration::from_secs(30);
/// How long it is left alone before it is asked again.
const MADE_MEANWHILE: Duration = Duration::from_millis(100);

/// Reads one frame behind its length into the front of `frame`; answers how long it is.
pub(super) fn read_frame(socket: &mut impl Read, frame: &mut Vec<u8>) -> io::Result<usize> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length) as usize;
    if frame.len() < length {
        frame.resize(length, 0);
    }
    socket.read_exact(&mut frame[..length])?;
    Ok(length)
}

/// What is read next of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(super) partition: i32,
    pub(super) next: i64,
    pub(crate) end: i64,
}

/// One connection, one request at a time.
pub(crate) struct Client {
    socket: TcpStream,
    frame: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, String> {
        let socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
        socket.set_nodelay(true).map_err(|error| error.to_string())?;
        Ok(Self { socket, frame: Vec::new() })
    }

    /// The whole answer behind its length.
    fn ask(&mut self, key: i16, version: i16, body: &[u8]) -> Result<&[u8], String> {
        let mut head = Request::default();
        head.i32(
            i32::try_from(body.len() + 10 + CLIENT_ID.len()).map_err(|error| error.to_string())?,
        );
        head.i16(key);
        head.i16(version);
        head.i32(7);
        head.text(CLIENT_ID);
        head.raw(body);
        self.socket.write_all(&head.bytes).map_err(|error| error.to_string())?;
        let length = read_frame(&mut self.socket, &mut self.frame);
        let length = length.map_err(|error| format!("no answer: {error}"))?;
        Ok(&self.frame[..length])
    }

    /// How many partitions a topic has, once it has a leader.
    pub(crate) fn partitions(&mut self, topic: &str) -> Result<i32, String> {
        let mut body = Request::default();
        body.i32(1);
        body.text(topic);
        let since = Instant::now();
        loop {
            let found = partitions_in(self.ask(METADATA, 1, &body.bytes)?);
            match found.ok_or("Metadata cannot be read")? {
                (0, partitions) => return Ok(partitions),
                (error, _) if since.elapsed() > PATIENCE => {
                    return Err(format!("topic {topic}: error {error}"));
                }
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Where every partition begins and ends.
    pub(crate) fn positions(&mut self, topic: &str) -> Result<Vec<Position>, String> {
        let partitions = self.partitions(topic)?;
        let mut all = Vec::new();
        for partition in 0..partitions {
            let next = self.offset(topic, partition, EARLIEST)?;
            let end = self.offset(topic, partition, LATEST)?;
            all.push(Position { partition, next, end });
        }
        Ok(all)
    }

    fn offset(&mut self, topic: &str, partition: i32, time: i64) -> Result<i64, String> {
        let mut body = Request::default();
        body.i32(-1);
        body.i32(1);
        body.text(topic);
        body.i32(1);
        body.i32(partition);
        body.i64(time);
        let asked = Instant::now();
        loop {
            let mut fields = Fields::new(self.ask(LIST_OFFSETS, 1, &body.bytes)?);
            match offset_in(&mut fields).ok_or("an answer to ListOffsets that ends early")? {
                (0, offset) => return Ok(offset),
                (code, _) if may_be_in_making(code, asked) => thread::sleep(MADE_MEANWHILE),
                (code, _) => return Err(format!("ListOffsets was answered with error {code}")),
            }
        }
    }

    /// The answer to one Fetch, waiting at most so long where there is nothing yet.
    pub(super) fn fetch(
        &mut self,
        topic: &str,
        positions: &[Position],
        wait: Duration,
    ) -> Result<&[u8], String> {
        let mut body = Request::default();
        body.i32(-1);
        body.i32(i32::try_from(wait.as_millis()).map_err(|error| error.to_string())?);
        body.i32(1);
        body.i32(ANSWER_BYTES);
        body.raw(&[0]);
        // No session.
        body.i32(0);
        body.i32(-1);
        body.i32(1);
        body.text(topic);
        body.i32(i32::try_from(positions.len()).map_err(|error| error.to_string())?);
        for position in positions {
            body.i32(position.partition);
            body.i32(-1);
            body.i64(position.next);
            body.i64(-1);
            body.i32(PARTITION_BYTES);
        }
        body.i32(0);
        body.text("");
        self.ask(FETCH, 11, &body.bytes)
    }

    /// Has one batch written as it is, to one partition. A server that has only just made the
    /// topic is asked again.
    pub(super) fn produce(
        &mut self,
        topic: &str,
        partition: i32,
        batch: &[u8],
    ) -> Result<(), String> {
        let asked = Instant::now();
        loop {
            match self.produce_once(topic, partition, batch)? {
                0 => return Ok(()),
                code if may_be_in_making(code, asked) => thread::sleep(MADE_MEANWHILE),
                code => return Err(format!("Produce was answered with error {code}")),
            }
        }
    }

    fn produce_once(&mut self, topic: &str, partition: i32, batch: &[u8]) -> Result<i16, String> {
        let mut body = Request::default();
        body.i16(-1);
        body.i16(1);
        body.i32(30_000);
        body.i32(1);
        body.text(topic);
        body.i32(1);
        body.i32(partition);
        body.i32(i32::try_from(batch.len()).map_err(|error| error.to_string())?);
        body.raw(batch);
        let mut fields = Fields::new(self.ask(PRODUCE, 3, &body.bytes)?);
        let read = |fields: &mut Fields<'_>| {
            fields.skip(8)?;
            fields.text()?;
            fields.skip(8)?;
            fields.i16()
        };
        read(&mut fields).ok_or_else(|| "an answer to Produce that ends early".to_owned())
    }
}

/// Whether such an answer is no answer yet.
fn may_be_in_making(code: i16, asked: Instant) -> bool {
    let is_passing = matches!(code, UNKNOWN_TOPIC | NO_LEADER | NOT_LEADER);
    is_passing && asked.elapsed() < TOPIC_MADE_WITHIN
}

/// The partition's error, and the offset.
fn offset_in(fields: &mut Fields<'_>) -> Option<(i16, i64)> {
    fields.skip(8)?;
    fields.text()?;
    fields.skip(8)?;
    let error = fields.i16()?;
    fields.skip(8)?;
    Some((error, fields.i64()?))
}

/// The topic's error, and how many partitions it has.
fn partitions_in(answer: &[u8]) -> Option<(i16, i32)> {
    let mut fields = Fields::new(answer);
    fields.skip(4)?;
    for _ in 0..fields.i32()? {
        fields.skip(4)?;
        fields.text()?;
        fields.skip(4)?;
        fields.text()?;
    }
    fields.skip(8)?;
    let error = fields.i16()?;
    fields.text()?;
    fields.skip(1)?;
    Some((error, fields.i32()?))
}
