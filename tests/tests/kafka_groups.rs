//! Consumer groups of Kafka clients that we did not write.

use tidewire_tests::broker::Broker;
use tidewire_tests::clients::paho as python;

#[test]
fn administrators_see_move_and_delete_groups_and_offsets_survive_a_kill() {
    let mut broker = Broker::start();
    let admin =
        |broker: &Broker, what| python("kafka_group_admin.py", broker.kafka_address(), &[what]);
    admin(&broker, "move");
    admin(&broker, "stand");
    broker.kill9();
    broker.restart();
    admin(&broker, "stand");
    admin(&broker, "live");
    admin(&broker, "delete");
    broker.kill9();
    broker.restart();
    admin(&broker, "move");
    admin(&broker, "stand");
}
