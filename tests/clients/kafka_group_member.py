"""A member of a consumer group: arguments are host, port, library, group.

Prints "ASSIGNED n" for the number of partitions that it got, and "AT partition offset value" for
each record that it read and whose offset it committed. Runs until it is told to stop (SIGTERM),
and leaves the group then.
"""

import asyncio
import signal
import sys

SESSION_MS = 6000
HEARTBEAT_MS = 500
STREAM = "mqtt"


def say(*words):
    print(*words, flush=True)


def main(host, port, library, group):
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    servers = f"{host}:{port}"
    if library == "aiokafka":
        asyncio.run(aiokafka(servers, group, stop))
    else:
        run = {
            "confluent": confluent,
            "confluent-848": confluent_848,
            "kafka-python": kafka_python,
        }
        run[library](servers, group, stop)


def show(records):
    for partition, offset, value in records:
        say("AT", partition, offset, value.decode())


def confluent(servers, group, stop):
    librdkafka(servers, group, stop, {
        "session.timeout.ms": SESSION_MS,
        "heartbeat.interval.ms": HEARTBEAT_MS,
        "partition.assignment.strategy": "cooperative-sticky",
    })


def confluent_848(servers, group, stop):
    librdkafka(servers, group, stop, {"group.protocol": "consumer"})


def librdkafka(servers, group, stop, settings):
    from confluent_kafka import Consumer, KafkaException

    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **settings,
    })
    consumer.subscribe([STREAM], on_assign=lambda _c, parts: say("ASSIGNED", len(parts)))
    while not stop:
        records = [it for it in consumer.consume(100, 0.2) if it.error() is None]
        if not records:
            continue
        try:
            consumer.commit(asynchronous=False)
        except KafkaException as error:
            say("LOST", error)
            rewind(consumer, records)
            continue
        show((it.partition(), it.offset(), it.value()) for it in records)
    consumer.close()


def rewind(consumer, records):
    """What it keeps through a rebalance it reads again, as it could not commit it."""
    from confluent_kafka import TopicPartition

    kept = {it.partition for it in consumer.assignment()}
    for partition in kept & {it.partition() for it in records}:
        first = min(it.offset() for it in records if it.partition() == partition)
        consumer.seek(TopicPartition(STREAM, partition, first))


def kafka_python(servers, group, stop):
    from kafka import ConsumerRebalanceListener, KafkaConsumer
    from kafka.errors import KafkaError

    class Listener(ConsumerRebalanceListener):
        def on_partitions_revoked(self, _revoked):
            pass

        def on_partitions_assigned(self, assigned):
            say("ASSIGNED", len(assigned))

    consumer = KafkaConsumer(
        bootstrap_servers=servers,
        group_id=group,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    consumer.subscribe([STREAM], listener=Listener())
    while not stop:
        batches = consumer.poll(timeout_ms=200)
        if not batches:
            continue
        try:
            consumer.commit()
        except KafkaError as error:
            say("LOST", error)
            continue
        for records in batches.values():
            show((it.partition, it.offset, it.value) for it in records)
    consumer.close()


async def aiokafka(servers, group, stop):
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener
    from aiokafka.errors import KafkaError

    class Listener(ConsumerRebalanceListener):
        async def on_partitions_revoked(self, _revoked):
            pass

        async def on_partitions_assigned(self, assigned):
            say("ASSIGNED", len(assigned))

    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        group_id=group,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    consumer.subscribe([STREAM], listener=Listener())
    while not stop:
        batches = await consumer.getmany(timeout_ms=200)
        if not batches:
            continue
        try:
            await consumer.commit()
        except KafkaError as error:
            say("LOST", error)
            continue
        for records in batches.values():
            show((it.partition, it.offset, it.value) for it in records)
    await consumer.stop()


if __name__ == "__main__":
    main(*sys.argv[1:5])
