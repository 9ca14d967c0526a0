//! MQTT clients that publish: as much as goes, or so many a second. Speaks no more of MQTT than
//! that takes, and never measures.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::stamps::stamp;

/// Each with a connection of its own.
const PUBLISHERS: usize = 10;
/// Messages of one publisher on their way at once.
const WINDOW: usize = 500;
/// Topics of one publisher.
const TOPICS: usize = 100;
const PAYLOAD_BYTES: usize = 100;
const ACKNOWLEDGEMENT_BYTES: usize = 4;

/// Publishes so many messages at QoS 1, and waits until all of them are acknowledged.
pub(crate) fn fill(address: SocketAddr, messages: usize) -> Result<(), String> {
    let each = messages / PUBLISHERS;
    let fill = |publisher: usize| {
        let mut socket = connect(address, &format!("fill-{publisher}"))?;
        let mut sent = 0;
        while sent < each {
            let now = WINDOW.min(each - sent);
            let mut packets = Vec::new();
            for number in sent..sent + now {
                publish(&mut packets, (publisher, number), &[b'.'; PAYLOAD_BYTES]);
            }
            sent += now;
            exchange(&mut socket, &packets, now)?;
        }
        Ok(())
    };
    let fill = &fill;
    thread::scope(|scope| {
        let all = (0..PUBLISHERS).map(|publisher| scope.spawn(move || fill(publisher)));
        let all: Vec<_> = all.collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| "a publisher broke off")?)
    })
}

fn exchange(socket: &mut TcpStream, packets: &[u8], messages: usize) -> Result<(), String> {
    let mut acknowledged = vec![0; messages * ACKNOWLEDGEMENT_BYTES];
    let done = socket.write_all(packets).and_then(|()| socket.read_exact(&mut acknowledged));
    done.map_err(|error| format!("a publisher: {error}"))
}

/// Publishes so many messages at QoS 1, each when it is due, whatever became of those before; the
/// payload says when that was. Answers how many were acknowledged in the end: all.
pub(super) fn at_rate(address: SocketAddr, per_second: u32, run: Duration) -> Result<(), String> {
    let connect = |publisher| connect(address, &format!("rate-{publisher}"));
    let mut sockets = (0..PUBLISHERS).map(connect).collect::<Result<Vec<_>, _>>()?;
    let step = Duration::from_secs(1) / per_second;
    let messages = usize::try_from(run.as_nanos() / step.as_nanos()).unwrap_or(0) / PUBLISHERS;
    let (begin, begin_wall) = (Instant::now(), SystemTime::now());
    let mut packet = Vec::new();
    for number in 0..messages * PUBLISHERS {
        let due = step * u32::try_from(number).unwrap_or(u32::MAX);
        thread::sleep(due.saturating_sub(begin.elapsed()));
        let at = (begin_wall + due).duration_since(UNIX_EPOCH).unwrap_or_default();
        let (publisher, number) = (number % PUBLISHERS, number / PUBLISHERS);
        packet.clear();
        publish(&mut packet, (publisher, number), &stamp(at));
        let sent = sockets[publisher].write_all(&packet);
        sent.map_err(|error| format!("a publisher: {error}"))?;
    }
    // Nothing was read meanwhile: the kernel has room for these few bytes.
    sockets.iter_mut().try_for_each(|socket| exchange(socket, &[], messages))
}

/// Subscribed to everything, at QoS 0: a message comes when it is durable all the same.
pub(super) fn subscribe(address: SocketAddr) -> Result<TcpStream, String> {
    let mut socket = connect(address, "reader")?;
    let sent = socket.write_all(&[0x82, 6, 0, 1, 0, 1, b'#', 0]);
    let mut answer = [0; 5];
    let done = sent.and_then(|()| socket.read_exact(&mut answer));
    done.map_err(|error| format!("a subscriber: {error}"))?;
    if answer == [0x90, 3, 0, 1, 0] { Ok(socket) } else { Err("SUBACK: refused".to_owned()) }
}

/// MQTT 3.1.1, a clean session, no keep-alive.
fn connect(address: SocketAddr, client_id: &str) -> Result<TcpStream, String> {
    let mut packet = b"\x10\0\0\x04MQTT\x04\x02\0\0".to_vec();
    text(&mut packet, client_id.as_bytes());
    packet[1] = u8::try_from(packet.len() - 2).map_err(|error| error.to_string())?;
    let open = || {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.write_all(&packet)?;
        let mut answer = [0; 4];
        socket.read_exact(&mut answer)?;
        Ok((socket, answer))
    };
    match open().map_err(|error: std::io::Error| format!("{client_id}: {error}"))? {
        (socket, [0x20, 2, 0, 0]) => Ok(socket),
        (_, answer) => Err(format!("{client_id}: refused: {answer:?}")),
    }
}

fn publish(out: &mut Vec<u8>, (publisher, number): (usize, usize), payload: &[u8]) {
    let topic = format!("plant/{publisher}/sensor/{}", number % TOPICS);
    let length = 2 + topic.len() + 2 + payload.len();
    out.push(0x32);
    let mut rest = length;
    while rest > 0x7f {
        out.push(low_byte(rest & 0x7f | 0x80));
        rest >>= 7;
    }
    out.push(low_byte(rest));
    text(out, topic.as_bytes());
    let id = number % WINDOW.max(1000) + 1;
    out.extend([id >> 8, id & 0xff].map(low_byte));
    out.extend_from_slice(payload);
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    out.extend([text.len() >> 8, text.len()].map(low_byte));
    out.extend_from_slice(text);
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::publish;

    #[test]
    fn a_publish_is_as_long_as_it_says() {
        for (bytes, head) in [(106, [0x32, 127, 0]), (107, [0x32, 128, 1]), (200, [0x32, 221, 1])] {
            let mut packet = Vec::new();
            publish(&mut packet, (3, 42), &vec![0; bytes]);
            assert_eq!(packet[..3], head);
            let head_bytes = if head[1] < 128 { 2 } else { 3 };
            assert_eq!(packet.len() - head_bytes, 2 + 17 + 2 + bytes);
        }
    }
}
