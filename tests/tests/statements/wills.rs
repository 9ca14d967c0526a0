//! Wills: when they go out, how often, and what they carry.

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Version, Will, Wire, connect, kind};

fn mortal(broker: &Broker, version: Version, clean: bool, will: &Will<'_>) -> Wire {
    let mut wire = Wire::open(broker.address(), version);
    wire.send(&connect(version, "mortal", clean, 60, Some(will)));
    wire.connected();
    wire
}

const GONE: Will<'_> = Will { topic: "will/gone", payload: "gone", qos: 1, retain: false };

#[test]
fn a_will_is_retained_exactly_when_it_says_so() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut witness = Wire::clean(broker.address(), version, "witness");
        witness.subscribe(1, &[("will/#", 1)]);
        let once = Will { topic: "will/once", ..GONE };
        mortal(&broker, version, true, &once).vanish();
        witness.receive("gone");
        let kept = Will { topic: "will/kept", retain: true, ..GONE };
        mortal(&broker, version, true, &kept).vanish();
        witness.receive("gone");

        let mut late = Wire::clean(broker.address(), version, "late");
        late.subscribe(1, &[("will/#", 1)]);
        let greeting = late.receive("gone");
        assert_eq!((greeting.topic().as_str(), greeting.is_retained()), ("will/kept", true));
        late.nothing_else_on("will/once");
        let cleared = Will { payload: "", ..kept };
        mortal(&broker, version, true, &cleared).vanish();
        late.receive("");
    }
}

#[test]
fn a_will_goes_out_once_and_a_session_has_none_of_its_own() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut witness = Wire::clean(broker.address(), version, "witness");
        witness.subscribe(1, &[("will/gone", 1)]);
        mortal(&broker, version, false, &GONE).vanish();
        witness.receive("gone");
        // The session goes on, now without a will.
        let (again, present) = Wire::resume(broker.address(), version, "mortal");
        assert!(present);
        again.vanish();
        let (again, _) = Wire::resume(broker.address(), version, "mortal");
        again.disconnect();
        witness.nothing_else_on("will/gone");
        // A later will takes the place of the first.
        let other = Will { payload: "other", ..GONE };
        mortal(&broker, version, false, &GONE).disconnect();
        mortal(&broker, version, false, &other).vanish();
        witness.receive("other");
        Wire::clean(broker.address(), version, "mortal").disconnect();
    }
}

#[test]
fn a_will_speaks_after_a_fault_and_after_a_takeover() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut witness = Wire::clean(broker.address(), version, "witness");
        witness.subscribe(1, &[("will/gone", 1)]);
        let mut faulty = mortal(&broker, version, true, &GONE);
        faulty.send(&[0x00, 0x00]);
        faulty.ended_for(0x81);
        witness.receive("gone");

        let _taken_over = mortal(&broker, version, true, &GONE);
        let second = Wire::clean(broker.address(), version, "mortal");
        witness.receive("gone");
        second.disconnect();
        witness.nothing_else_on("will/gone");
    }
}

#[test]
fn a_will_carries_its_properties_in_their_order() {
    const USER: &str = "26 $'b' $'1' 26 $'a' $'2' 26 $'b' $'3'";
    const OTHERS: &str = "01 01 03 $'text/plain' 08 $'answers' 09 $'id'";
    let broker = Broker::start();
    let mut witness = Wire::clean(broker.address(), Version::V5, "witness");
    witness.subscribe(1, &[("will/rich", 1)]);
    let rest = format!("[] $'rich' [{OTHERS} {USER} 18 00 00 00 00] $'will/rich' $'gone'");
    Wire::connect5(broker.address(), 0x0e, &rest).0.vanish();
    let will = witness.receive("gone");
    assert_eq!(will.property(0x01), Some(vec![1]), "{will}");
    assert_eq!(will.property(0x03), Some(b"\0\x0atext/plain".to_vec()), "{will}");
    assert_eq!(will.property(0x08), Some(b"\0\x07answers".to_vec()), "{will}");
    assert_eq!(will.property(0x09), Some(b"\0\x02id".to_vec()), "{will}");
    let user: Vec<_> = will.properties().into_iter().filter(|(n, _)| *n == 0x26).collect();
    let values: Vec<&[u8]> = user.iter().map(|(_, value)| value.as_slice()).collect();
    assert_eq!(values, [b"\0\x01b\0\x011", b"\0\x01a\0\x012", b"\0\x01b\0\x013"]);
    assert_eq!(will.property(0x18), None, "the delay is between the client and us");
    assert_eq!(will.kind(), kind::PUBLISH);
}
