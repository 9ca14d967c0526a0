//! What the store refuses to one client, must others pay for it? A stream that is full refuses
//! commit after commit, while clients of the same core subscribe, acknowledge and publish.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::program::PATIENCE;
use tidewire_tests::wire::{
    Hello, LastWill, Packet, Publish, Version, Wire, kind, property, publish, subscribe,
};

/// One core, so that all share turns; a stream that is full when it has a few messages.
const CONFIG: &str = "[threads]\ncores = 1\n\
     [[stream]]\nname = \"small\"\nfilters = [\"full/#\"]\npartitions = 1\n\
     hold_bytes_max = 100000\nretention_age_s = 0\n";
const QUOTA_EXCEEDED: u8 = 0x97;
/// So many messages and the stream is full.
const FILLED: u16 = 150;

/// Of PUBACK and PUBREC.
fn reason(packet: &Packet) -> u8 {
    packet.body().get(2).copied().unwrap_or(0)
}

/// Publishes to the stream what makes it full, at this level.
fn fill(broker: &mut Broker, qos: u8) {
    // Only a reader who stays away is a reason to refuse.
    let (mut away, _) = Wire::resume(broker.address(), Version::V5, "away");
    away.subscribe(1, &[("full/#", 1)]);
    away.disconnect();
    let mut writer = Wire::clean(broker.address(), Version::V5, "filler");
    for id in 1..=FILLED {
        let payload = format!("{id} {}", "x".repeat(1_000));
        writer.publish_acknowledged(&Publish::new("full/filled", &payload, qos, id));
    }
    // What a stream holds is looked at now and then, and at the start.
    broker.stop();
    broker.restart();
    let started = Instant::now();
    let mut writer = Wire::clean(broker.address(), Version::V5, "filler");
    loop {
        writer.publish(&Publish::new("full/unread", "", 1, 1));
        if reason(&writer.packet_of(kind::PUBACK)) == QUOTA_EXCEEDED {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "the stream is never full");
    }
}

/// Clients whose every message is refused. Some always have more for the broker to read, others go
/// without a word and leave a will: what the one kind is refused at once, for the other the store
/// must say no.
struct Noise {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// Messages sent in one piece, and how many pieces may wait for their answers.
const PIECE: u16 = 50;
const PIECES_AHEAD: usize = 16;

impl Noise {
    fn start(broker: &Broker) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let address = broker.address();
        let publisher = |name: &'static str| {
            let wire = Wire::clean(address, Version::V5, name);
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || make_noise(wire, &is_over))
        };
        let leaver = |name: &'static str| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || leave_wills(address, name, &is_over))
        };
        let mut threads: Vec<_> = ["noise a", "noise b"].into_iter().map(publisher).collect();
        threads.extend(["gone a", "gone b", "gone c", "gone d"].into_iter().map(leaver));
        Self { is_over, threads }
    }

    fn stop(self) {
        assert!(self.threads.iter().all(|thread| !thread.is_finished()), "nobody is closed");
        self.is_over.store(true, Ordering::Relaxed);
        let ended = self.threads.into_iter().map(JoinHandle::join);
        ended.for_each(|ended| ended.expect("each of its messages is refused"));
    }
}

/// Until told to end, or cut off.
fn make_noise(mut wire: Wire, is_over: &AtomicBool) {
    let piece = (1..=PIECE).map(|id| Publish::new("full/noise", "no room", 1, id));
    let bytes: Vec<u8> = piece.flat_map(|one| publish(Version::V5, &one)).collect();
    wire.send_if_open(&bytes.repeat(PIECES_AHEAD));
    while !is_over.load(Ordering::Relaxed) {
        wire.send_if_open(&bytes);
        for id in 1..=PIECE {
            let Some(answer) = wire.packet_or_end() else { return };
            assert_eq!((answer.id(), reason(&answer)), (id, QUOTA_EXCEEDED), "{answer}");
        }
    }
}

/// Until told to end, or cut off.
fn leave_wills(address: SocketAddr, client_id: &str, is_over: &AtomicBool) {
    let will = LastWill::new("full/gone", "no room");
    let hello = Hello { will: Some(will), ..Hello::new(client_id) }.bytes();
    while !is_over.load(Ordering::Relaxed) {
        let Ok(mut stream) = TcpStream::connect(address) else { return };
        // CONNACK; then it is gone.
        let taken_up = stream.write_all(&hello).and_then(|()| stream.read_exact(&mut [0; 5]));
        if taken_up.is_err() {
            return;
        }
    }
}

/// Acknowledges messages until a packet of another kind comes.
fn acknowledge_all(wire: &mut Wire, seen: &mut Vec<String>) -> Packet {
    loop {
        let packet = wire.packet();
        if packet.kind() != kind::PUBLISH {
            return packet;
        }
        wire.acknowledge(kind::PUBACK, packet.id());
        seen.push(packet.payload_text());
    }
}

#[test]
fn who_subscribes_and_acknowledges_beside_refused_messages_is_served_and_loses_nothing() {
    for version in Version::ALL {
        let config = Configured::new(CONFIG);
        let mut broker = config.start();
        let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
        reader.subscribe(1, &[("full/filled", 1)]);
        reader.disconnect();
        fill(&mut broker, 1);
        let noise = Noise::start(&broker);
        let (mut reader, _) = Wire::resume(broker.address(), version, "reader");
        let mut seen = Vec::new();
        let mut id = 1;
        while seen.len() < usize::from(FILLED) {
            id += 1;
            reader.send(&subscribe(version, id, &[(&format!("other/{id}"), 1)]));
            let answer = acknowledge_all(&mut reader, &mut seen);
            assert_eq!((answer.kind(), answer.id()), (kind::SUBACK, id), "{answer}");
        }
        // Whoever has the session again finds on disk what the connection before him did.
        reader.disconnect();
        let (reader, _) = Wire::resume(broker.address(), version, "reader");
        noise.stop();
        broker.kill9();
        drop(reader);
        broker.restart();
        let (mut reader, present) = Wire::resume(broker.address(), version, "reader");
        assert!(present);
        let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
        for other in 2..=id {
            let topic = format!("other/{other}");
            writer.publish_acknowledged(&Publish::new(&topic, &topic, 1, other));
        }
        // Nothing that was acknowledged comes again, and every subscription is there.
        let mut missing: BTreeSet<String> = (2..=id).map(|id| format!("other/{id}")).collect();
        while !missing.is_empty() {
            let message = reader.packet_of(kind::PUBLISH);
            reader.acknowledge(kind::PUBACK, message.id());
            assert!(missing.remove(&message.payload_text()), "{message}");
        }
    }
}

/// Receives until so many exchanges at QoS 2 are complete.
fn complete(wire: &mut Wire, total: usize) -> BTreeSet<String> {
    let (mut seen, mut completed) = (BTreeSet::new(), 0);
    while completed < total {
        let packet = wire.packet();
        match packet.kind() {
            kind::PUBLISH => {
                assert!(seen.insert(packet.payload_text()), "each once");
                wire.acknowledge(kind::PUBREC, packet.id());
            }
            kind::PUBREL => {
                wire.acknowledge(kind::PUBCOMP, packet.id());
                completed += 1;
            }
            _ => panic!("{packet}"),
        }
    }
    seen
}

/// A group notes on disk what its member completes, in turns whose messages are refused as well.
#[test]
fn a_share_group_beside_refused_messages_repeats_nothing_after_a_crash() {
    let config = Configured::new(CONFIG);
    let mut broker = config.start();
    // Few at a time, so that it takes many turns; and many groups, each with a member.
    let properties = [property::session_expiry(600), property::short(0x21, 3)].concat();
    let names: Vec<String> = (0..10).map(|number| format!("member-{number}")).collect();
    let resume = |broker: &Broker, name: &str| {
        let hello = Hello { properties: &properties, clean: false, ..Hello::new(name) };
        Wire::greet(broker.address(), &hello).0
    };
    for name in &names {
        let mut member = resume(&broker, name);
        member.subscribe(1, &[(&format!("$share/{name}/full/filled"), 2)]);
        member.disconnect();
    }
    fill(&mut broker, 2);
    let noise = Noise::start(&broker);
    let threads: Vec<JoinHandle<Wire>> = names
        .iter()
        .map(|name| {
            let mut member = resume(&broker, name);
            std::thread::spawn(move || {
                assert_eq!(complete(&mut member, usize::from(FILLED)).len(), usize::from(FILLED));
                member
            })
        })
        .collect();
    let members: Vec<Wire> =
        threads.into_iter().map(|thread| thread.join().expect("all of it")).collect();
    broker.kill9();
    drop((members, noise));
    config.write(&CONFIG.replace("100000", "100000000"));
    broker.restart();
    let mut members: Vec<Wire> = names.iter().map(|name| resume(&broker, name)).collect();
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    writer.publish_acknowledged(&Publish::new("full/filled", "new", 2, 1));
    for member in &mut members {
        // Messages of one topic come in order, and what comes again comes before.
        loop {
            let packet = member.packet();
            match packet.kind() {
                kind::PUBREL => member.acknowledge(kind::PUBCOMP, packet.id()),
                _ => break assert_eq!(packet.payload_text(), "new", "{packet} was completed"),
            }
        }
    }
}

#[test]
fn a_stream_that_has_room_takes_messages_beside_one_that_has_none() {
    for version in Version::ALL {
        let config = Configured::new(CONFIG);
        let mut broker = config.start();
        fill(&mut broker, 1);
        let noise = Noise::start(&broker);
        let mut reader = Wire::clean(broker.address(), version, "reader");
        reader.subscribe(1, &[("other/#", 2), ("full/#", 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for id in 1..=200 {
            let qos = u8::try_from(id % 3).expect("small");
            let payload = id.to_string();
            writer.publish_acknowledged(&Publish::new("other/a", &payload, qos, id));
            reader.receive(&payload);
        }
        // Nobody asked that it be kept.
        writer.publish(&Publish::new("full/live", "only seen", 0, 0));
        reader.receive("only seen");
        noise.stop();
    }
}

/// Small files, so that few sessions are many: a commit lies in one of them.
const SMALL_FILES: &str = "[threads]\ncores = 1\n\
     [mqtt]\npacket_bytes_max = 65536\n\
     [store]\nwal_file_bytes = 1048576\nwal_bytes_max = 8388608\n";

#[test]
fn rows_of_more_sessions_than_one_commit_can_hold_are_written_in_one_turn() {
    const SESSIONS: usize = 400;
    const MESSAGES: u16 = 990;
    let broker = Broker::start_configured(SMALL_FILES);
    let mut readers: Vec<Wire> = Vec::new();
    for number in 0..SESSIONS {
        let name = format!("reader-{number}");
        let (mut reader, _) = Wire::resume(broker.address(), Version::V4, &name);
        reader.subscribe(1, &[("a", 1)]);
        readers.push(reader);
    }
    // What is in flight is in the row of each: with these, 4 KB.
    let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
    let all = (1..=MESSAGES).map(|id| publish(Version::V5, &Publish::new("a", "b", 1, id)));
    writer.send(&all.collect::<Vec<_>>().concat());
    for id in 1..=MESSAGES {
        writer.answered(kind::PUBACK, id);
    }
    for reader in &mut readers {
        for _ in 1..=MESSAGES {
            reader.packet_of(kind::PUBLISH);
        }
    }
}
