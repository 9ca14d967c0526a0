//! A subscriber that begins with the earliest message and acknowledges each, at QoS 1: finds
//! packets, and does nothing else with them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use crate::kafka_speed::figures::Reading;
use crate::servers::Server;

const CONNECT: &[u8] = b"\x10\x12\0\x04MQTT\x04\x02\0\0\0\x06reader";
const SUBSCRIBE: &[u8] = b"\x82\x12\0\x01\0\x0d$s/earliest/#\x01";
const PUBLISH: u8 = 3;
const READ_BYTES: usize = 256 * 1024;

/// Reads so many messages.
pub(super) fn read(from: &Server, messages: usize) -> Result<Reading, String> {
    let io = |error: std::io::Error| format!("a subscriber: {error}");
    let mut socket = TcpStream::connect(from.mqtt).map_err(io)?;
    socket.set_nodelay(true).map_err(io)?;
    socket.write_all(CONNECT).map_err(io)?;
    let mut connack = [0; 4];
    socket.read_exact(&mut connack).map_err(io)?;
    let (since, before) = (Instant::now(), from.processor_time()?);
    socket.write_all(SUBSCRIBE).map_err(io)?;
    let (mut came, mut room) = (Vec::new(), vec![0; READ_BYTES]);
    let (mut count, mut answers) = (0, Vec::new());
    while count < messages {
        let length = socket.read(&mut room).map_err(io)?;
        if length == 0 {
            return Err(format!("a subscriber is put out after {count} messages"));
        }
        came.extend_from_slice(&room[..length]);
        let mut at = 0;
        while let Some((head, end)) = frame(&came[at..]) {
            let packet = &came[at..at + end];
            if packet[0] >> 4 == PUBLISH {
                count += 1;
                let topic = usize::from(u16::from_be_bytes([packet[head], packet[head + 1]]));
                let id = &packet[head + 2 + topic..head + 4 + topic];
                answers.extend_from_slice(&[0x40, 2, id[0], id[1]]);
            }
            at += end;
        }
        came.drain(..at);
        socket.write_all(&answers).map_err(io)?;
        answers.clear();
    }
    Ok(Reading {
        took: since.elapsed(),
        processor_time: from.processor_time()?.saturating_sub(before),
        messages: count as u64,
        bytes: 0,
    })
}

/// Where the body of the first packet begins, and where the packet ends, if it is whole.
fn frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            let end = at + 1 + length;
            return (bytes.len() >= end).then_some((at + 1, end));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{CONNECT, SUBSCRIBE, frame};

    #[test]
    fn packets_are_found_when_they_are_whole() {
        for packet in [CONNECT, SUBSCRIBE, &[0x30, 0x80, 0x01][..]] {
            let whole = [packet, &[0; 128]].concat();
            let (head, end) = frame(&whole).expect("whole");
            assert!(frame(&whole[..end - 1]).is_none());
            assert_eq!(if packet.len() < 4 { (3, 131) } else { (2, packet.len()) }, (head, end));
        }
    }
}
