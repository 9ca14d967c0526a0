"""Groups as administrators see them, through librdkafka: arguments are host, port, and what to do.

"move" sets offsets by hand, "stand" checks that they stand, "live" looks at a group with a member,
"forget" deletes one offset, through kafka-python, and "forgotten" checks that it is gone; "delete"
deletes all.
"""

import sys
import time

import kafka
from confluent_kafka import Consumer, ConsumerGroupState, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka.admin import KafkaAdminClient
from kafka.errors import GroupIdNotFoundError, NoError

PATIENCE_S = 100
OFFSETS = {0: 5, 1: 7}


def main(host, port, what):
    servers = {"bootstrap.servers": f"{host}:{port}"}
    admin = AdminClient(servers)
    orders = {
        "move": move,
        "stand": stand,
        "live": live,
        "forget": forget,
        "forgotten": forgotten,
        "delete": delete,
    }
    orders[what](admin, servers)


def move(admin, _servers):
    wanted = [TopicPartition("mqtt", partition, offset) for partition, offset in OFFSETS.items()]
    moved = admin.alter_consumer_group_offsets([ConsumerGroupTopicPartitions("by-hand", wanted)])
    for future in moved.values():
        for one in future.result(PATIENCE_S).topic_partitions:
            assert one.error is None, one


def stand(admin, _servers):
    offsets_are(admin, OFFSETS)


def forget(_admin, servers):
    python = KafkaAdminClient(bootstrap_servers=servers["bootstrap.servers"])
    place = kafka.TopicPartition("mqtt", 1)
    assert python.delete_group_offsets("by-hand", [place]) == {place: NoError}
    try:
        python.delete_group_offsets("nobody", [place])
    except GroupIdNotFoundError:
        pass
    else:
        raise AssertionError("there is no such group")
    python.close()


def forgotten(admin, _servers):
    offsets_are(admin, {0: OFFSETS[0]})


def offsets_are(admin, expected):
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions("by-hand")])
    for future in found.values():
        offsets = {one.partition: one.offset for one in future.result(PATIENCE_S).topic_partitions}
        assert offsets == expected, offsets


def live(admin, servers):
    assigned = []
    consumer = Consumer({**servers, "group.id": "live", "client.id": "the-reader"})
    consumer.subscribe(["mqtt"], on_assign=lambda _consumer, parts: assigned.extend(parts))
    end = time.monotonic() + PATIENCE_S
    while not assigned:
        assert time.monotonic() < end, "never assigned"
        consumer.poll(0.1)
    described = admin.describe_consumer_groups(["live"])["live"].result(PATIENCE_S)
    assert described.state == ConsumerGroupState.STABLE, described.state
    [member] = described.members
    assert member.client_id == "the-reader", member.client_id
    read = sorted(one.partition for one in member.assignment.topic_partitions)
    assert read == [0, 1, 2, 3], read
    [refused] = admin.delete_consumer_groups(["live"]).values()
    assert "NON_EMPTY_GROUP" in str(refused.exception(PATIENCE_S)), refused
    consumer.commit(offsets=[TopicPartition("mqtt", 0, 0)], asynchronous=False)
    consumer.close()


def delete(admin, _servers):
    listed = admin.list_consumer_groups().result(PATIENCE_S).valid
    assert sorted(one.group_id for one in listed) == ["by-hand", "live"], listed
    for future in admin.delete_consumer_groups(["by-hand", "live"]).values():
        future.result(PATIENCE_S)
    assert admin.list_consumer_groups().result(PATIENCE_S).valid == []


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
