//! What clients may leave behind: subscriptions, retained messages, sessions, wills; and two who
//! fight for one name.

use std::net::SocketAddr;
use std::thread;

use tidewire_tests::broker::Broker;
use tidewire_tests::configured::Configured;
use tidewire_tests::siege::{MIB, bear, sized};
use tidewire_tests::wire::{
    Hello, LastWill, Publish, Version, Wire, kind, property, publish, subscribe, unsubscribe,
};

use crate::ONE_CORE;

const QUOTA_EXCEEDED: u8 = 0x97;

fn start(mqtt: &str) -> Broker {
    Configured::new(&format!("[mqtt]\n{mqtt}{ONE_CORE}")).start()
}

#[test]
fn subscriptions_are_as_many_as_they_may_be_and_no_more() {
    const MOST: usize = 10_000;
    let broker = start("");
    let clients = sized(50, 4);
    let bytes_max = 64 * MIB + clients as u64 * 16 * MIB;
    let held = bear(&broker, bytes_max, |broker| {
        (0..clients).map(|at| subscribe_all(broker, at, MOST)).collect::<Vec<Wire>>()
    });
    drop(held);
}

/// Many filters in few packets; one beyond; then the same given up and taken, again and again.
fn subscribe_all(broker: &Broker, client: usize, most: usize) -> Wire {
    let mut wire = Wire::clean(broker.address(), Version::V5, &format!("greedy-{client}"));
    let filters: Vec<String> = (0..most).map(|at| format!("{client}/{at}/+/#")).collect();
    for part in filters.chunks(2_500) {
        let wanted: Vec<(&str, u8)> = part.iter().map(|filter| (filter.as_str(), 1)).collect();
        wire.subscribe(1, &wanted);
    }
    wire.send(&subscribe(Version::V5, 2, &[("one/more", 1)]));
    let code = wire.packet_of(kind::SUBACK).body().last().copied();
    assert_eq!(code, Some(QUOTA_EXCEEDED));
    for _ in 0..100 {
        wire.send(&unsubscribe(Version::V5, 3, &[&filters[0]]));
        let _ = wire.packet_of(kind::UNSUBACK);
        wire.subscribe(4, &[(&filters[0], 1)]);
    }
    wire
}

#[test]
fn retained_messages_are_as_many_as_they_may_be_and_no_more() {
    let limit = sized(100_000, 5_000);
    let broker = start(&format!("retained_messages_max = {limit}\n"));
    let bytes_max = 64 * MIB + limit as u64 * 1024;
    bear(&broker, bytes_max, |broker| {
        let mut writer = Wire::clean(broker.address(), Version::V5, "writer");
        let payload = "r".repeat(100);
        let mut kept = 0;
        for first in (0..2 * limit).step_by(500) {
            let topics = (first..first + 500).map(|at| format!("flood/{at}"));
            let message = |(id, topic): (u16, String)| {
                publish(Version::V5, &Publish::new(&topic, &payload, 1, id).retained())
            };
            writer.send(&(1..).zip(topics).flat_map(message).collect::<Vec<u8>>());
            for _ in 0..500 {
                let answer = writer.packet_of(kind::PUBACK);
                let code = answer.body().get(2).copied().unwrap_or(0);
                assert!([0, 0x10, QUOTA_EXCEEDED].contains(&code), "{answer}");
                kept += usize::from(code != QUOTA_EXCEEDED);
            }
        }
        assert_eq!(kept, limit);
        // What was kept can be renewed and cleared.
        writer.publish_acknowledged(&Publish::new("flood/0", "new", 1, 1).retained());
        writer.publish_acknowledged(&Publish::new("flood/0", "", 1, 1).retained());
    });
}

#[test]
fn sessions_under_made_up_names_are_as_many_as_they_may_be_and_no_more() {
    let limit = sized(20_000, 500);
    let broker = start(&format!("sessions_max = {limit}\n"));
    let for_ever = property::session_expiry(u32::MAX);
    let hello = |at: usize| {
        let client_id = format!("made-up-{at:08x}");
        let hello = Hello { client_id: &client_id, properties: &for_ever, ..Hello::new("") };
        let mut wire = Wire::open(broker.address(), Version::V5);
        wire.send(&Hello { clean: false, ..hello }.bytes());
        let code = wire.packet_of(kind::CONNACK).body()[1];
        if code == 0 {
            wire.disconnect();
        }
        code
    };
    bear(&broker, 48 * MIB + limit as u64 * 2048, |_| {
        assert!((0..limit).all(|at| hello(at) == 0), "there is room");
        assert!((limit..limit + 200).all(|at| hello(at) == QUOTA_EXCEEDED), "there is none");
        assert_eq!(hello(0), 0, "who has one comes back to it");
    });
}

#[test]
fn wills_are_as_large_as_they_may_be_together_and_no_more() {
    let broker = start("wills_bytes_max = 1000000\n");
    let payload = "w".repeat(30_000);
    let last = property::will_delay(u32::MAX);
    let for_ever = property::session_expiry(u32::MAX);
    bear(&broker, 48 * MIB, |broker| {
        let mut refused = 0;
        for at in 0..sized(2_000, 100) {
            let client_id = format!("mortal-{at}");
            let will = LastWill { properties: &last, ..LastWill::new("will", &payload) };
            let hello = Hello { will: Some(will), properties: &for_ever, ..Hello::new(&client_id) };
            let mut wire = Wire::open(broker.address(), Version::V5);
            wire.send(&hello.bytes());
            match wire.packet_of(kind::CONNACK).body()[1] {
                0 => wire.vanish(),
                QUOTA_EXCEEDED => refused += 1,
                code => panic!("{code:#x}"),
            }
        }
        assert!(refused >= 60, "{refused} were refused");
    });
}

/// Two with one name throw each other out, with exchanges open.
#[test]
fn a_fight_for_one_name_harms_none_but_the_two() {
    let rounds = sized(10_000, 300);
    let broker = start("");
    bear(&broker, 32 * MIB, |broker| {
        let address = broker.address();
        thread::scope(|scope| {
            for fighter in 0..2 {
                scope.spawn(move || {
                    for round in 0..rounds {
                        fight(address, fighter, round);
                    }
                });
            }
        });
    });
}

fn fight(broker: SocketAddr, fighter: usize, round: usize) {
    let mut wire = Wire::open(broker, Version::V5);
    let expiry = property::session_expiry(600);
    let hello = Hello { clean: false, properties: &expiry, ..Hello::new("wanted") };
    wire.send(&hello.bytes());
    // The other may be there before the answer.
    let Ok(Some(connack)) = wire.try_packet() else { return };
    // 0x89: both asked for it in the same moment, and one of them has to ask again.
    assert_eq!(connack.kind(), kind::CONNACK, "{connack}");
    assert!([0, 0x89].contains(&connack.reason()), "{connack}");
    let payload = format!("{fighter} {round}");
    let message = Publish::new("wanted/a", &payload, 2, 1 + u16::from(round.is_multiple_of(2)));
    wire.send_if_open(&subscribe(Version::V5, 9, &[("wanted/#", 2)]));
    wire.send_if_open(&publish(Version::V5, &message));
    let _ = wire.try_packet();
}
