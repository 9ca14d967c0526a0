//! Enhanced authentication as far as it concerns those who do not use it.

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Publish, Version, Wire, kind};

#[test]
fn an_authentication_method_that_we_do_not_have_is_refused() {
    let broker = Broker::start();
    for method in ["", "NO-SUCH-METHOD", "scram-sha-256 "] {
        for data in ["", "16 $'data'"] {
            let rest = format!("[15 $'{method}' {data}] $'stranger'");
            let (mut wire, connack) = Wire::connect5(broker.address(), 2, &rest);
            assert!(matches!(connack.reason(), 0x8c | 0x87), "{connack}");
            assert_eq!(connack.body()[0], 0, "no session: {connack}");
            wire.expect_closed();
        }
    }
    // The session of that name was not touched by anybody who was refused.
    let (wire, _) = Wire::resume(broker.address(), Version::V5, "stranger");
    wire.disconnect();
    let (_, connack) = Wire::connect5(broker.address(), 2, "[15 $'NO-SUCH-METHOD'] $'stranger'");
    assert_ne!(connack.reason(), 0);
    let (_, present) = Wire::resume(broker.address(), Version::V5, "stranger");
    assert!(present, "a refused CONNECT with Clean Start ended a session");
}

#[test]
fn who_names_no_method_hears_of_none() {
    let broker = Broker::start();
    let (mut wire, connack) = Wire::connect5(broker.address(), 2, "[] $'plain'");
    assert_eq!((connack.property(0x15), connack.property(0x16)), (None, None), "{connack}");
    wire.subscribe(1, &[("plain", 2)]);
    for qos in 0..=2 {
        wire.publish_acknowledged(&Publish::new("plain", "m", qos, 1));
        // An AUTH would be a packet out of place here.
        wire.receive("m");
    }
    wire.nothing_more();
    wire.say(0xf0, "19 [15 $'PLAIN']");
    let last = wire.packet_of(kind::DISCONNECT);
    assert_eq!(last.reason(), 0x82, "{last}");
    wire.expect_closed();
}
