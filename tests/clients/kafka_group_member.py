"""A member of a consumer group: arguments are host, port, library, group.

Prints "ASSIGNED n" for the number of partitions that it got, "GOT partition offset value" for each
record that it read, and the same with "AT" when its offset is committed. When it does not know what became of a
commit, it prints "TRIED partition offset value" for each record in it: the broker may have stored
it before it died, so nobody may see these records again; or it may not, and somebody will. What
it keeps of them it reads again. Runs until it is told to stop (SIGTERM), and leaves the group then.
MEMBER_SESSION_MS and MEMBER_PACE_MS: how long it may be silent, and how long it rests after up to
100 records.
"""

import asyncio
import os
import signal
import sys
import time

SESSION_MS = int(os.environ.get("MEMBER_SESSION_MS", 6000))
PACE_S = int(os.environ.get("MEMBER_PACE_MS", 0)) / 1000
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


def show(word, records):
    for partition, offset, value in records:
        print(word, partition, offset, value.decode())
    sys.stdout.flush()


def bounds(records):
    """The first offset of each partition and the one behind its last, of (partition, offset, _)."""
    found = {}
    for partition, offset, _ in records:
        first, behind = found.get(partition, (offset, offset + 1))
        found[partition] = (min(first, offset), max(behind, offset + 1))
    return found


def confluent(servers, group, stop):
    librdkafka(servers, group, stop, {
        "session.timeout.ms": SESSION_MS,
        "heartbeat.interval.ms": HEARTBEAT_MS,
        "partition.assignment.strategy": "cooperative-sticky",
    })


def confluent_848(servers, group, stop):
    librdkafka(servers, group, stop, {"group.protocol": "consumer"})


def librdkafka(servers, group, stop, settings):
    from confluent_kafka import Consumer

    consumer = Consumer({
        "bootstrap.servers": servers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **settings,
    })
    consumer.subscribe([STREAM], on_assign=lambda _c, parts: say("ASSIGNED", len(parts)))
    while not stop:
        found = [it for it in consumer.consume(100, 0.2) if it.error() is None]
        records = [(it.partition(), it.offset(), it.value()) for it in found]
        owned = {it.partition for it in consumer.assignment()}
        show("GOT", records)
        # What went to another member before this one could commit it is the other's.
        show("TRIED", (it for it in records if it[0] not in owned))
        records = [it for it in records if it[0] in owned]
        show("AT" if commit(consumer, records) else "TRIED", records)
        time.sleep(PACE_S if found else 0)
    consumer.close()


def commit(consumer, records):
    """Commits these and no others: what is stored of a partition may lie behind a seek."""
    from confluent_kafka import KafkaException, TopicPartition

    if not records:
        return True
    ends = [TopicPartition(STREAM, it, end) for it, (_, end) in bounds(records).items()]
    try:
        for one in consumer.commit(offsets=ends, asynchronous=False):
            if one.error is not None:
                raise KafkaException(one.error)
    except KafkaException as error:
        say("LOST", error)
        kept = {it.partition for it in consumer.assignment()}
        for partition, (first, _) in bounds(records).items():
            if partition in kept:
                consumer.seek(TopicPartition(STREAM, partition, first))
        return False
    return True


def kafka_python(servers, group, stop):
    from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
    from kafka.errors import KafkaError
    from kafka.structs import OffsetAndMetadata

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
        # Who joins before it has heard of the partitions is given none, and looks again after this.
        metadata_max_age_ms=5000,
    )
    consumer.subscribe([STREAM], listener=Listener())
    while not stop:
        batches = consumer.poll(timeout_ms=200, max_records=100)
        if not batches:
            continue
        records = [(it.partition, it.offset, it.value) for one in batches.values() for it in one]
        show("GOT", records)
        ends = bounds(records).items()
        try:
            consumer.commit({
                TopicPartition(STREAM, it): OffsetAndMetadata(end, "", -1) for it, (_, end) in ends
            })
            show("AT", records)
        except KafkaError as error:
            say("LOST", error)
            for partition, (first, _) in ends:
                place = TopicPartition(STREAM, partition)
                if place in consumer.assignment():
                    consumer.seek(place, first)
            show("TRIED", records)
        time.sleep(PACE_S)
    consumer.close()


async def aiokafka(servers, group, stop):
    from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
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
        batches = await consumer.getmany(timeout_ms=200, max_records=100)
        if not batches:
            continue
        records = [(it.partition, it.offset, it.value) for one in batches.values() for it in one]
        show("GOT", records)
        ends = bounds(records).items()
        try:
            await consumer.commit({TopicPartition(STREAM, it): end for it, (_, end) in ends})
            show("AT", records)
        except KafkaError as error:
            say("LOST", error)
            for partition, (first, _) in ends:
                place = TopicPartition(STREAM, partition)
                if place in consumer.assignment():
                    consumer.seek(place, first)
            show("TRIED", records)
        await asyncio.sleep(PACE_S)
    await consumer.stop()


if __name__ == "__main__":
    main(*sys.argv[1:5])
