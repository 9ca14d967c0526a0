"""Deletes records as Kafka's tools do, and looks whether they are gone.

Arguments: host and port of the Kafka port; `delete` or `look`; the partition of stream `mqtt` that
has records; the offset that is to be the first.
"""

import sys

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from kafka import TopicPartition as PythonPartition
from kafka.admin import KafkaAdminClient

servers = f"{sys.argv[1]}:{sys.argv[2]}"
task, partition, first = sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
admin = AdminClient({"bootstrap.servers": servers})


def delete(topic, offset, index=partition):
    """What the broker says is the first offset now."""
    wanted = TopicPartition(topic, index, offset)
    (future,) = admin.delete_records([wanted], request_timeout=60).values()
    return future.result(60).low_watermark


def refused(word, topic, offset, index=partition):
    try:
        delete(topic, offset, index)
    except KafkaException as error:
        assert word in str(error), error
    else:
        raise AssertionError(f"{word} was expected")


consumer = Consumer({"bootstrap.servers": servers, "group.id": "none", "auto.offset.reset": "error"})
place = TopicPartition("mqtt", partition)
_, end = consumer.get_watermark_offsets(place, timeout=60)
if task == "delete":
    assert delete("mqtt", first) == first
    assert delete("mqtt", 0) == first, "less than that changes nothing"
    refused("OFFSET_OUT_OF_RANGE", "mqtt", end + 1)
    refused("POLICY_VIOLATION", "states", 0, 0)
    other = PythonPartition("mqtt", (partition + 1) % 4)
    python = KafkaAdminClient(bootstrap_servers=servers)
    python.delete_records({other: -1})
    python.close()

assert consumer.get_watermark_offsets(place, timeout=60) == (first, end)
consumer.assign([TopicPartition("mqtt", partition, first)])
read = []
while not read or read[-1] < end - 1:
    message = consumer.poll(60)
    assert message is not None and not message.error(), message and message.error()
    read.append(message.offset())
assert read == list(range(first, end)), read
consumer.assign([TopicPartition("mqtt", partition, first - 1)])
message = consumer.poll(60)
assert message is not None and message.error(), "what is gone was read"
assert "OFFSET_OUT_OF_RANGE" in str(message.error()) or "out of range" in str(message.error()).lower()
consumer.close()
