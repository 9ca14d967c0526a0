//! The Kafka port: requests that claim what is not there, batches that unpack to far more than
//! they are, readers who do not read, groups without an end. The honest client speaks MQTT, and a
//! newcomer on the port is answered at the end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::siege::{MIB, bear, sized};
use tidewire_tests::wire::{Publish, Version, Wire, kind, publish};

use crate::ONE_CORE;

/// API keys.
const PRODUCE: i16 = 0;
const FETCH: i16 = 1;
const OFFSET_COMMIT: i16 = 8;
const JOIN_GROUP: i16 = 11;
/// A group has to be joined again, with the name that the answer gives.
const MEMBER_ID_REQUIRED: i16 = 79;
/// Codecs of a batch.
const GZIP: u16 = 1;
const SNAPPY: u16 = 2;
const LZ4: u16 = 3;
const ZSTD: u16 = 4;
/// What a batch may be unpacked to.
const UNPACKED_MAX: usize = 64 << 20;

fn start(kafka: &str) -> Broker {
    Configured::new(&format!("{kafka}{ONE_CORE}")).start()
}

fn open(broker: &Broker) -> TcpStream {
    let socket = TcpStream::connect(broker.kafka_address()).expect("it listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("above zero");
    socket.set_write_timeout(Some(PATIENCE)).expect("above zero");
    socket
}

/// A request, behind its length.
fn request(api: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let head = [&api.to_be_bytes()[..], &version.to_be_bytes(), b"\0\0\0\x09\0\x02me"].concat();
    framed(&[&head, body].concat())
}

fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short");
    [&length.to_be_bytes()[..], bytes].concat()
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("short");
    [&length.to_be_bytes()[..], text.as_bytes()].concat()
}

/// The answer without its length and its number.
fn answer(socket: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    socket.read_exact(&mut length).expect("an answer");
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut body).expect("all of it");
    body.split_off(4)
}

fn code_at(answer: &[u8], at: usize) -> i16 {
    i16::from_be_bytes([answer[at], answer[at + 1]])
}

/// Somebody new is answered.
fn serves_newcomers(broker: &Broker) {
    let mut socket = open(broker);
    socket.write_all(&request(18, 0, b"")).expect("it reads");
    assert_eq!(code_at(&answer(&mut socket), 0), 0);
}

/// Reads until the broker closes; what it says before that is its own matter.
fn await_end(mut socket: TcpStream) {
    let mut some = [0; 4096];
    loop {
        match socket.read(&mut some) {
            Ok(0) => return,
            Ok(_) => (),
            Err(error) => {
                let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!is_late, "it is still open");
                return;
            }
        }
    }
}

#[test]
fn kafka_requests_that_claim_what_is_not_there_cost_what_came_of_them() {
    let broker = start("");
    let many = [0x7f, 0xff, 0xff, 0xff];
    bear(&broker, 48 * MIB, |broker| {
        for _ in 0..sized(200, 4) {
            for api in 0..70_i16 {
                for version in [0, 3, 9] {
                    // Counts of two thousand millions, as numbers of four bytes and as short ones.
                    for body in [many.repeat(8), [&text("mqtt")[..], &many.repeat(8)].concat()] {
                        lies(broker, &request(api, version, &body));
                    }
                }
            }
            for length in [[0x7f, 0xff, 0xff, 0xff], [0xff; 4], [0x80, 0, 0, 0]] {
                lies(broker, &[&length[..], &[0; 1000]].concat());
            }
        }
        serves_newcomers(broker);
    });
}

/// Says this and no more; whatever it hears, the connection ends.
fn lies(broker: &Broker, bytes: &[u8]) {
    let mut socket = open(broker);
    // It may be closed in the middle of it.
    let _ = socket.write_all(bytes);
    let _ = socket.shutdown(Shutdown::Write);
    await_end(socket);
}

#[test]
fn kafka_requests_that_are_announced_and_do_not_come_hold_little_and_keep_nobody_out() {
    let count = sized(900, 150);
    let broker = start("[listener.kafka]\nsend_timeout_s = 3600\n");
    let held = bear(&broker, 48 * MIB + count as u64 * 16 * 1024, |broker| {
        // Eight million bytes are announced, and a thousand come.
        let most = [&[0, 0x7f, 0xff, 0xff][..], &[0, 0, 0, 3, 0, 0, 0, 9], &[0; 1000]].concat();
        let half = |_| {
            let mut socket = open(broker);
            // It may be closed by then.
            let _ = socket.write_all(&most);
            socket
        };
        let held: Vec<TcpStream> = (0..count).map(half).collect();
        serves_newcomers(broker);
        held
    });
    drop(held);
}

/// A batch of one record by its head, with this behind it.
fn batch(codec: u16, packed: &[u8]) -> Vec<u8> {
    let mut behind_checksum = codec.to_be_bytes().to_vec();
    // Last offset, two times, producer, its epoch, sequence, records.
    behind_checksum.extend_from_slice(&[0; 20]);
    behind_checksum.extend_from_slice(&[0xff; 14]);
    behind_checksum.extend_from_slice(&1_i32.to_be_bytes());
    behind_checksum.extend_from_slice(packed);
    let checksum = crc32c(&behind_checksum).to_be_bytes();
    let rest = [&[0, 0, 0, 0, 2], &checksum[..], &behind_checksum].concat();
    [&[0; 8][..], &framed(&rest)].concat()
}

/// Castagnoli's, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let turn = |crc: u32, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    let byte = |crc: u32, byte: &u8| (0..8).fold(crc ^ u32::from(*byte), turn);
    !bytes.iter().fold(u32::MAX, byte)
}

fn produce(batch: &[u8]) -> Vec<u8> {
    let wanted = [&[0xff, 0xff, 0, 1, 0, 0, 0x75, 0x30, 0, 0, 0, 1][..], &text("mqtt")].concat();
    request(PRODUCE, 3, &[&wanted, &[0, 0, 0, 1, 0, 0, 0, 0][..], &framed(batch)].concat())
}

/// A gzip of more zeros than a batch may be unpacked to.
fn gzip_bomb() -> Vec<u8> {
    let mut command = Command::new("sh");
    command.args(["-c", "head -c 68157440 /dev/zero | gzip -9"]);
    let output = command.output().expect("gzip is there");
    assert!(output.status.success() && output.stdout.len() < 100_000);
    output.stdout
}

/// A frame of LZ4: blocks of 4 MiB, each one zero and a copy of it that is as long as may be.
fn lz4_bomb() -> Vec<u8> {
    const BLOCK: usize = 4 << 20;
    // One literal, a match of 19 and more one byte behind, five literals at the end.
    let (more, rest) = ((BLOCK - 1 - 19 - 5) / 255, (BLOCK - 1 - 19 - 5) % 255);
    let rest = u8::try_from(rest).expect("less than 255");
    let block = [&[0x1f, 0, 1, 0][..], &vec![0xff; more], &[rest, 0x50, 0, 0, 0, 0, 0]].concat();
    let length = u32::try_from(block.len()).expect("short").to_le_bytes();
    let blocks = [&length[..], &block].concat().repeat(UNPACKED_MAX / BLOCK + 1);
    // Version 1, blocks by themselves, 4 MiB; and the checksum of these two bytes.
    [&b"\x04\x22\x4d\x18\x60\x70\x73"[..], &blocks, &[0; 4]].concat()
}

/// A frame of Zstandard: blocks of 128 KiB that are one zero again and again.
fn zstd_bomb() -> Vec<u8> {
    const BLOCK: u32 = 128 << 10;
    let block = |is_last: u32| {
        let head = ((BLOCK << 3) | (1 << 1) | is_last).to_le_bytes();
        [head[0], head[1], head[2], 0]
    };
    let blocks = block(0).repeat(UNPACKED_MAX / BLOCK as usize);
    [&b"\x28\xb5\x2f\xfd\x00\x50"[..], &blocks, &block(1)].concat()
}

#[test]
fn kafka_batches_that_unpack_to_far_more_than_they_are_are_refused() {
    let broker = start("");
    // A block of seven bytes that claims four thousand millions.
    let claim = produce(&batch(SNAPPY, &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]));
    // A frame that claims a window of 3.75 TiB.
    let wide = produce(&batch(ZSTD, b"\x28\xb5\x2f\xfd\x00\xff\x03\x00\x10\x00"));
    let bombs = [(GZIP, gzip_bomb()), (LZ4, lz4_bomb()), (ZSTD, zstd_bomb())];
    let bombs = bombs.map(|(codec, packed)| produce(&batch(codec, &packed)));
    // 64 MiB are unpacked at most, in a buffer that doubles as it grows.
    bear(&broker, 256 * MIB, |broker| {
        for round in 0..sized(200, 40) {
            let mut socket = open(broker);
            // One bomb in ten, as unpacking it takes its time here.
            let bytes = match round % 10 {
                0 => &bombs[round / 10 % bombs.len()],
                1..5 => &wide,
                _ => &claim,
            };
            socket.write_all(bytes).expect("it reads");
            // One topic, its name, one partition, its number.
            let told = answer(&mut socket);
            assert_ne!(code_at(&told, 4 + 6 + 4 + 4), 0, "{told:?}");
        }
        serves_newcomers(broker);
    });
}

/// Everything of all four partitions, as much as goes into one answer.
fn fetch_everything() -> Vec<u8> {
    let most = (1_i32 << 30).to_be_bytes();
    let mut body = [&[0xff; 4][..], &[0; 8], &most, b"\0\0\0\0\x01", &text("mqtt")].concat();
    body.extend_from_slice(&4_i32.to_be_bytes());
    for partition in 0..4_i32 {
        body.extend_from_slice(&partition.to_be_bytes());
        body.extend_from_slice(&[0; 8]);
        body.extend_from_slice(&most);
    }
    request(FETCH, 4, &body)
}

#[test]
fn kafka_readers_who_do_not_read_hold_no_more_than_all_may_and_keep_nobody_waiting() {
    let held_max = 16;
    let broker = start(&format!(
        "[listener.kafka]\nheld_bytes_max = \"{held_max} MiB\"\nsend_timeout_s = 3600\n"
    ));
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let payload = "x".repeat(10_000);
    for _ in 0..sized(40, 8) {
        let message =
            |id: u16| publish(Version::V5, &Publish::new(&format!("t/{id}"), &payload, 1, id));
        writer.send(&(1..=100).flat_map(message).collect::<Vec<u8>>());
        (0..100).for_each(|_| drop(writer.packet_of(kind::PUBACK)));
    }
    let bytes_max = 64 * MIB + held_max * MIB;
    let deaf = bear(&broker, bytes_max, |broker| {
        let asks = |_| {
            let mut socket = open(broker);
            for _ in 0..5 {
                socket.write_all(&fetch_everything()).expect("it fits into the socket");
            }
            socket
        };
        let deaf: Vec<TcpStream> = (0..sized(300, 40)).map(asks).collect();
        serves_newcomers(broker);
        deaf
    });
    drop(deaf);
}

/// A position of a group without members.
fn commit(group: &str, offset: i64, metadata: &str) -> Vec<u8> {
    // No generation, no member, and kept as long as all are.
    let nobody = [&[0xff; 4][..], &text(""), &[0xff; 8]].concat();
    let place = [&[0, 0, 0, 1, 0, 0, 0, 0][..], &offset.to_be_bytes(), &text(metadata)].concat();
    let body = [&text(group)[..], &nobody, &[0, 0, 0, 1], &text("mqtt"), &place].concat();
    request(OFFSET_COMMIT, 2, &body)
}

/// What a commit was answered.
fn committed(socket: &mut TcpStream, bytes: &[u8]) -> i16 {
    socket.write_all(bytes).expect("it reads");
    code_at(&answer(socket), 4 + 6 + 4 + 4)
}

fn join(group: &str) -> Vec<u8> {
    let times = [&30_000_i32.to_be_bytes()[..], &30_000_i32.to_be_bytes()].concat();
    let protocols = [&text("consumer")[..], &[0, 0, 0, 1], &text("range"), &[0; 4]].concat();
    let who = [&text("")[..], &[0xff, 0xff]].concat();
    request(JOIN_GROUP, 5, &[&text(group)[..], &times, &who, &protocols].concat())
}

#[test]
fn kafka_groups_and_members_that_are_made_up_are_as_many_as_they_may_be() {
    let groups = sized(2_000, 100);
    let broker = start(&format!("[consumer_groups]\ngroups_max = {groups}\nmembers_max = 50\n"));
    bear(&broker, 48 * MIB + groups as u64 * 4096, |broker| {
        let mut socket = open(broker);
        let long = "m".repeat(30_000);
        let made_up = |at: usize| format!("made-up-{at:08}");
        for at in 0..groups {
            assert_eq!(committed(&mut socket, &commit(&made_up(at), 0, "")), 0, "{at}");
        }
        for at in groups..3 * groups {
            assert_ne!(committed(&mut socket, &commit(&made_up(at), 0, "")), 0, "{at}");
        }
        assert_ne!(committed(&mut socket, &commit(&made_up(0), 0, &long)), 0, "so long a note");
        assert_eq!(committed(&mut socket, &commit(&made_up(0), 1, "")), 0, "who has one keeps it");
        // Who is given a name and never comes back with it.
        let mut told = Vec::new();
        for _ in 0..sized(20_000, 1_000) {
            socket.write_all(&join(&made_up(0))).expect("it reads");
            told.push(code_at(&answer(&mut socket), 4));
        }
        assert_eq!(told[0], MEMBER_ID_REQUIRED);
        assert!(told.iter().all(|code| *code != 0), "nobody is a member");
        serves_newcomers(broker);
    });
}

#[test]
fn kafka_connections_that_say_nothing_cost_little_and_hold_nobody_up() {
    let places = sized(1_000, 60);
    let broker = start(&format!("[listener.kafka]\nconnections_max = {places}\n"));
    let address: SocketAddr = broker.kafka_address();
    let silent = bear(&broker, 32 * MIB + places as u64 * 16 * 1024, |broker| {
        let connect = || TcpStream::connect(address).expect("a port");
        let silent: Vec<TcpStream> = (0..places - 1).map(|_| connect()).collect();
        serves_newcomers(broker);
        silent
    });
    drop(silent);
}
