"""Transactions of librdkafka: arguments are host, port and what to do.

move   reads the topics `in/...` of the stream `mqtt` as a group and writes each value to `out/...`,
       in transactions with the group's offsets. Says what it is about to do. Runs until it is killed.
count  says how often each value of `out/...` is there, as "COUNT value times".

All else is the name of a thing that transactions promise.
"""

import collections
import sys

from confluent_kafka import (
    Consumer, KafkaError, KafkaException, OFFSET_BEGINNING, Producer, TopicPartition,
)

STREAM = "mqtt"
PATIENCE_S = 100
# With "rebootstrap" librdkafka 2.16 keeps the handle of a coordinator that it has let go of when its
# only broker was away, and waits for it: for 30 s nothing is sent.
ONE_BROKER = {"metadata.recovery.strategy": "none", "reconnect.backoff.max.ms": 500}


def say(*words):
    print(*words, flush=True)


def a_producer(servers, name, **settings):
    producer = Producer({
        "bootstrap.servers": servers,
        "transactional.id": name,
        "transaction.timeout.ms": 120000,
        "linger.ms": 0,
        **ONE_BROKER,
        **{key.replace("_", "."): value for key, value in settings.items()},
    })
    producer.init_transactions(PATIENCE_S)
    return producer


def a_reader(servers, group, **settings):
    return Consumer({
        "bootstrap.servers": servers,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        **ONE_BROKER,
        **{key.replace("_", "."): value for key, value in settings.items()},
    })


def patiently(act):
    """Calls again what may be called again."""
    while True:
        try:
            return act()
        except KafkaException as problem:
            if not problem.args[0].retriable():
                raise
            say("AGAIN", problem.args[0].name())


def move(servers):
    # Whoever comes after one that was killed has its place at once.
    consumer = a_reader(servers, "movers", group_instance_id="mover", session_timeout_ms=6000,
                        heartbeat_interval_ms=500, isolation_level="read_committed")
    consumer.subscribe([STREAM])
    producer = a_producer(servers, "mover")
    say("READY")
    while True:
        records = [it for it in consumer.consume(10, 0.1) if it.error() is None]
        if records:
            move_all(consumer, producer, records)


def move_all(consumer, producer, records):
    behind = {}
    for it in records:
        behind[it.partition()] = it.offset() + 1
    offsets = [TopicPartition(STREAM, *place) for place in behind.items()]
    try:
        producer.begin_transaction()
        say("BEGUN")
        for it in records:
            if it.key().startswith(b"in/"):
                producer.produce(STREAM, key=b"out/" + it.key()[3:], value=it.value())
        producer.flush(PATIENCE_S)
        say("SENT")
        group = consumer.consumer_group_metadata()
        patiently(lambda: producer.send_offsets_to_transaction(offsets, group, PATIENCE_S))
        say("COMMITTING")
        patiently(lambda: producer.commit_transaction(PATIENCE_S))
        say("COMMITTED", len(records))
    except KafkaException as problem:
        error = problem.args[0]
        if not error.txn_requires_abort():
            say("FATAL", error.name(), error.str())
            sys.exit(1)
        say("ABORTS", error.name())
        patiently(lambda: producer.abort_transaction(PATIENCE_S))
        rewind(consumer, records)


def rewind(consumer, records):
    kept = {it.partition for it in consumer.assignment()}
    for partition in kept & {it.partition() for it in records}:
        first = min(it.offset() for it in records if it.partition() == partition)
        consumer.seek(TopicPartition(STREAM, partition, first))


def all_there_is(servers, isolation):
    """Key and value of every record, in the order of its partition."""
    consumer = a_reader(servers, "nobody", isolation_level=isolation, enable_partition_eof=True)
    partitions = consumer.list_topics(STREAM, timeout=PATIENCE_S).topics[STREAM].partitions
    consumer.assign([TopicPartition(STREAM, it, OFFSET_BEGINNING) for it in partitions])
    ended, found = 0, []
    while ended < len(partitions):
        message = consumer.poll(PATIENCE_S)
        assert message is not None, "nothing more comes"
        if message.error() is None:
            found.append((message.key().decode(), message.value().decode()))
        else:
            assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
            ended += 1
    consumer.close()
    return found


def count(servers):
    # What is not committed is shown to nobody. The log may grow between the two readings.
    shown = all_there_is(servers, "read_uncommitted")
    committed = all_there_is(servers, "read_committed")
    early = collections.Counter(shown) - collections.Counter(committed)
    assert not early, f"not committed, and shown: {early}"
    times = collections.Counter(value for key, value in committed if key.startswith("out/"))
    for value, number in times.items():
        say("COUNT", value, number)


def values(servers, key):
    return [value for found, value in all_there_is(servers, "read_uncommitted") if found == key]


def produce(producer, key, *payloads):
    told = []
    for it in payloads:
        producer.produce(STREAM, key=key, value=it, on_delivery=lambda e, _m: told.append(e))
    producer.flush(PATIENCE_S)
    assert len(told) == len(payloads)
    return [it for it in told if it is not None]


def what_is_aborted_is_never_read(servers):
    producer = a_producer(servers, "claimant")
    producer.begin_transaction()
    assert produce(producer, "claims/a", "aborted") == []
    producer.abort_transaction(PATIENCE_S)
    assert values(servers, "claims/a") == []


def nothing_is_read_before_the_commit(servers):
    producer = a_producer(servers, "claimant")
    producer.begin_transaction()
    assert produce(producer, "claims/a", "first", "second") == []
    assert values(servers, "claims/a") == []
    producer.commit_transaction(PATIENCE_S)
    assert values(servers, "claims/a") == ["first", "second"]


def offsets_come_with_the_commit(servers):
    producer = a_producer(servers, "claimant")
    consumer = a_reader(servers, "claimants")
    place = TopicPartition(STREAM, 0, 1)
    committed = lambda: consumer.committed([TopicPartition(STREAM, 0)], PATIENCE_S)[0].offset
    for commits in (False, True):
        before = committed()
        producer.begin_transaction()
        group = consumer.consumer_group_metadata()
        producer.send_offsets_to_transaction([place], group, PATIENCE_S)
        try:
            consumer.committed([TopicPartition(STREAM, 0)], 1)
            raise AssertionError("it is not stable")
        except KafkaException as problem:
            assert problem.args[0].code() == KafkaError._TIMED_OUT, problem
        if commits:
            producer.commit_transaction(PATIENCE_S)
            assert committed() == 1
        else:
            producer.abort_transaction(PATIENCE_S)
            assert committed() == before < 0
    consumer.close()


def a_second_one_ends_the_first(servers):
    first = a_producer(servers, "twins")
    first.begin_transaction()
    assert produce(first, "claims/b", "of the first") == []
    second = a_producer(servers, "twins")
    second.begin_transaction()
    assert produce(second, "claims/b", "of the second") == []
    second.commit_transaction(PATIENCE_S)
    try:
        first.commit_transaction(PATIENCE_S)
        raise AssertionError("it is fenced")
    except KafkaException as problem:
        assert problem.args[0].fatal(), problem
    assert values(servers, "claims/b") == ["of the second"]


def what_is_too_large_is_refused(servers):
    # One batch of it is refused, or several that are on their way at once.
    for messages in (1, 3, 4):
        for linger_ms in (0, 1, 100):
            key = f"claims/c/{messages}/{linger_ms}"
            producer = a_producer(servers, "claimant", batch_num_messages=messages, linger_ms=linger_ms)
            one_that_is_too_large_is_refused(servers, producer, key)


def one_that_is_too_large_is_refused(servers, producer, key):
    producer.begin_transaction()
    refused = []
    told = lambda error, _message: error and refused.append(error.code())
    for _ in range(6):
        producer.produce(STREAM, key=key, value=b"x" * 200_000, on_delivery=told)
    # Not all of them are told of before it is aborted: behind one that was refused nothing is sent.
    while KafkaError.RECORD_LIST_TOO_LARGE not in refused:
        producer.poll(0.1)
    try:
        producer.commit_transaction(PATIENCE_S)
        raise AssertionError("it has to be aborted")
    except KafkaException as problem:
        assert problem.args[0].txn_requires_abort(), problem
    producer.abort_transaction(PATIENCE_S)
    # Each is told of, and nothing is said to be out of order.
    purged = {KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT}
    assert set(refused) <= {KafkaError.RECORD_LIST_TOO_LARGE} | purged, refused
    producer.begin_transaction()
    assert produce(producer, key, "small") == []
    producer.commit_transaction(PATIENCE_S)
    assert values(servers, key) == ["small"]


def whose_time_is_over_may_go_on(servers):
    producer = a_producer(servers, "sleeper", transaction_timeout_ms=2000)
    producer.begin_transaction()
    produce(producer, "claims/d", "too late")
    producer.poll(3.0)
    try:
        producer.commit_transaction(PATIENCE_S)
        raise AssertionError("its time is over")
    except KafkaException as problem:
        assert problem.args[0].txn_requires_abort(), problem
    producer.abort_transaction(PATIENCE_S)
    # On a slow machine the next may be too late as well.
    for number in range(20):
        producer.begin_transaction()
        produce(producer, "claims/d", f"in time {number}")
        try:
            producer.commit_transaction(PATIENCE_S)
            break
        except KafkaException as problem:
            assert problem.args[0].txn_requires_abort(), problem
            producer.abort_transaction(PATIENCE_S)
    assert values(servers, "claims/d") == [f"in time {number}"]


if __name__ == "__main__":
    known = [
        move, count, what_is_aborted_is_never_read, nothing_is_read_before_the_commit,
        offsets_come_with_the_commit, a_second_one_ends_the_first, what_is_too_large_is_refused,
        whose_time_is_over_may_go_on,
    ]
    {it.__name__: it for it in known}[sys.argv[3]](f"{sys.argv[1]}:{sys.argv[2]}")
