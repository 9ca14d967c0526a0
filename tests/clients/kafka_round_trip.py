"""Reads and writes the stream `mqtt` with confluent-kafka and kafka-python.

Arguments: host, port of the Kafka port, how many messages of topics under `seen/` there are.
"""

import sys

import confluent_kafka
import kafka

host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
servers = f"{host}:{port}"
wanted = {f"seen/{n}": f"value {n}".encode() for n in range(count)}


def with_librdkafka():
    """Everything once, by assignment: no group is needed."""
    consumer = confluent_kafka.Consumer(
        {"bootstrap.servers": servers, "group.id": "unused", "enable.auto.commit": False}
    )
    topic = consumer.list_topics("mqtt", timeout=100).topics["mqtt"]
    consumer.assign([confluent_kafka.TopicPartition("mqtt", p, 0) for p in topic.partitions])
    found = {}
    while len(found) < count:
        message = consumer.poll(20)
        assert message is not None, f"{len(found)} of {count} came"
        assert message.error() is None, message.error()
        found[message.key().decode()] = message.value()
        assert message.headers()[0][0] == "q", message.headers()
    assert found == wanted
    low, high = consumer.get_watermark_offsets(confluent_kafka.TopicPartition("mqtt", 0))
    assert low == 0 and high > 0, (low, high)
    at = consumer.offsets_for_times([confluent_kafka.TopicPartition("mqtt", 0, 1)], timeout=100)
    assert at[0].offset == 0, at
    consumer.close()


def with_kafka_python():
    consumer = kafka.KafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, consumer_timeout_ms=100000
    )
    partitions = [kafka.TopicPartition("mqtt", p) for p in consumer.partitions_for_topic("mqtt")]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    found = {}
    for message in consumer:
        found[message.key.decode()] = message.value
        if len(found) == count:
            break
    assert found == wanted, f"{len(found)} of {count} came"
    consumer.close()


def write():
    """Idempotent, and in every codec: each batch is acknowledged when it is durable."""
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"]:
        settings = {"bootstrap.servers": servers, "compression.type": codec}
        producer = confluent_kafka.Producer({**settings, "enable.idempotence": True})
        for n in range(100):
            producer.produce("mqtt", key=f"written/{codec}", value=f"{n} {'x' * 100}")
        assert producer.flush(20) == 0
    producer = kafka.KafkaProducer(bootstrap_servers=servers)
    sent = producer.send("mqtt", key=b"written/python", value=b"1", headers=[("a", b"b")])
    assert sent.get(timeout=100).offset >= 0
    refused = producer.send("mqtt", key=b"no/+/topic", value=b"1")
    try:
        refused.get(timeout=100)
    except kafka.errors.KafkaError as error:
        print(f"refused as it should be: {error!r}")
    else:
        raise AssertionError("a filter was taken for a topic")
    producer.close()


with_librdkafka()
with_kafka_python()
write()
