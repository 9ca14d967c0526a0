"""A member of a consumer group that stops polling: arguments are host, port, group.

Says "ASSIGNED n" for the partitions that it got, and "GOT value" for what it read. Once it has read
something it does nothing more until SIGUSR1, though its heartbeats go on; then it polls again, and
says "EXCEEDED" when it hears that it was too slow. Ends at SIGTERM.
"""

import signal
import sys
import time

from confluent_kafka import Consumer, KafkaError

host, port, group = sys.argv[1:4]
awake, over = [], []
signal.signal(signal.SIGUSR1, lambda *_: awake.append(True))
signal.signal(signal.SIGTERM, lambda *_: over.append(True))


def say(*words):
    print(*words, flush=True)


consumer = Consumer({
    "bootstrap.servers": f"{host}:{port}",
    "group.id": group,
    "session.timeout.ms": 6000,
    "max.poll.interval.ms": 6000,
    "partition.assignment.strategy": "cooperative-sticky",
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
})
consumer.subscribe(["mqtt"], on_assign=lambda _consumer, parts: say("ASSIGNED", len(parts)))
while not over:
    message = consumer.poll(0.1)
    if message is None:
        continue
    if message.error() is None:
        say("GOT", message.value().decode())
        while not awake and not over:
            time.sleep(0.1)
    elif message.error().code() == KafkaError._MAX_POLL_EXCEEDED:
        say("EXCEEDED")
consumer.close()
