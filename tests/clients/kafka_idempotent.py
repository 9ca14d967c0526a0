"""An idempotent producer: arguments are host, port, stream, key, and how many numbers are a wave.

At each SIGUSR1 it writes the next wave and says "SENT last" when it is handed over; then
"AT number" when that one is acknowledged, or "FAILED number why". Waits for an answer as long as
librdkafka does at most, tries again for ever, and ends at SIGTERM.
"""

import signal
import sys

from confluent_kafka import Producer

host, port, stream, key, wave = sys.argv[1:6]
asked, over = [], []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(True))
signal.signal(signal.SIGTERM, lambda *_: over.append(True))


def say(*words):
    print(*words, flush=True)


def told(error, message):
    number = message.value().decode()
    say(*(["AT", number] if error is None else ["FAILED", number, error.name()]))


producer = Producer({
    "bootstrap.servers": f"{host}:{port}",
    "enable.idempotence": True,
    "linger.ms": 50,
    "message.timeout.ms": 0,
    "socket.timeout.ms": 300000,
    "request.timeout.ms": 300000,
    "reconnect.backoff.max.ms": 500,
})
say("READY")
number = 0
while not over:
    if asked:
        asked.pop()
        for _ in range(int(wave)):
            producer.produce(stream, key=key, value=str(number), on_delivery=told)
            number += 1
        say("SENT", number - 1)
    producer.poll(0.05)
