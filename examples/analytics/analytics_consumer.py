"""Reads what MQTT clients published, as a Kafka consumer group: how warm was it, topic by topic?

    analytics_consumer.py [HOST:PORT] [COUNT] [GROUP]

reads COUNT readings (default: until ctrl-C) of the stream "mqtt", and prints a line for each topic.
What the group has read it does not get again. Start it twice, and each gets its own partitions.
Needs confluent-kafka (pip install confluent-kafka).
"""

import json
import sys
from collections import defaultdict

from confluent_kafka import Consumer


def main(broker="127.0.0.1:9092", count="0", group="analytics"):
    wanted = int(count) or sys.maxsize
    consumer = Consumer({
        "bootstrap.servers": broker,
        "group.id": group,
        "auto.offset.reset": "earliest",
        # What counts as read is what we have counted, not what has come.
        "enable.auto.commit": False,
    })
    consumer.subscribe(["mqtt"])
    readings = defaultdict(list)
    try:
        while sum(map(len, readings.values())) < wanted:
            record = consumer.poll(1.0)
            if record is None:
                continue
            if record.error():
                raise SystemExit(record.error())
            celsius = reading(record.value())
            if celsius is not None:
                readings[record.key().decode()].append(celsius)
            consumer.commit(record, asynchronous=False)
    except KeyboardInterrupt:
        pass
    consumer.close()
    for topic, values in sorted(readings.items()):
        mean = sum(values) / len(values)
        print(f"{topic}: {len(values)} readings, {mean:.2f} on average, {max(values):.1f} at most")


def reading(payload):
    """The temperature in it; None if it is about something else."""
    try:
        return json.loads(payload)["celsius"]
    except (ValueError, TypeError, KeyError):
        return None


if __name__ == "__main__":
    main(*sys.argv[1:4])
