//! Shared subscriptions, as far as the specification numbers their rules.

use tidewire_tests::broker::Broker;
use tidewire_tests::wire::{Publish, Version, Wire, kind};

const GROUP: &str = "$share/rules/shared/+";

#[test]
fn each_member_of_a_group_gets_the_level_that_it_was_granted() {
    let broker = Broker::start();
    for version in Version::ALL {
        let mut members = [("at most 1", 1), ("at most 2", 2)].map(|(name, granted)| {
            let mut wire = Wire::clean(broker.address(), version, name);
            wire.subscribe(1, &[(GROUP, granted)]);
            (wire, granted)
        });
        let mut writer = Wire::clean(broker.address(), version, "writer");
        for qos in [2, 1] {
            for round in 0..4 {
                writer.publish_acknowledged(&Publish::new("shared/a", "m", qos, round + 1));
            }
            for (wire, granted) in &mut members {
                for _ in 0..2 {
                    assert_eq!(wire.receive("m").qos(), qos.min(*granted));
                }
            }
        }
    }
}

#[test]
fn a_qos2_message_of_an_ended_session_goes_to_nobody_else() {
    let broker = Broker::start();
    for version in Version::ALL {
        let (mut first, _) = Wire::resume(broker.address(), version, "first");
        first.subscribe(1, &[(GROUP, 2)]);
        let mut writer = Wire::clean(broker.address(), version, "writer");
        writer.publish_acknowledged(&Publish::new("shared/a", "had by the first", 2, 1));
        let held = first.packet_of(kind::PUBLISH);
        assert_eq!(held.payload_text(), "had by the first");
        let mut second = Wire::clean(broker.address(), version, "second");
        second.subscribe(1, &[(GROUP, 2)]);
        first.vanish();
        // The session of the first ends here, with what it had.
        Wire::clean(broker.address(), version, "first").disconnect();
        for payload in ["next", "and next"] {
            writer.publish_acknowledged(&Publish::new("shared/a", payload, 2, 2));
            second.receive(payload);
        }
        second.nothing_more();
        second.disconnect();
    }
}
