"""Does what it is told with a Kafka client, and says what came of it.

Arguments: host, port, library (`confluent` or `kafka-python`), settings (`name=value`), `--` and
orders: `write:stream:key:value`, `read:stream:count`, `group:name:stream:count`, `list`. Each says
"WROTE", "GOT key value" so often, "TOPICS ..." or "REFUSED why". With `confluent` also `create:stream`;
there `token=` is what OAUTHBEARER shows.
"""

import sys
import time

import confluent_kafka
import confluent_kafka.admin
import kafka

PATIENCE_S = 60
host, port, library = sys.argv[1:4]
end = sys.argv.index("--")
settings = dict(setting.split("=", 1) for setting in sys.argv[4:end])
token = settings.pop("token", None)


class RefusedError(Exception):
    pass


def say(*words):
    print(*words, flush=True)


class Confluent:
    """librdkafka tries for ever where it is refused: the first word of it is the answer."""

    def __init__(self):
        self.errors = []
        self.settings = {
            "bootstrap.servers": f"{host}:{port}",
            "error_cb": self.errors.append,
            **settings,
        }
        if token:
            self.settings["oauth_cb"] = lambda _: (token, time.time() + 3600)

    def tell(self):
        last = ("_AUTHENTICATION", "_SSL", "_ALL_BROKERS_DOWN")
        fatal = [e for name in last for e in self.errors if e.name() == name]
        if fatal:
            raise RefusedError(f"{fatal[0].name()} {fatal[0].str()}")

    def await_(self, poll):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            done = poll(0.1)
            self.tell()
            if done:
                return done
        raise RefusedError("nothing came")

    def write(self, stream, key, value):
        told = []
        producer = confluent_kafka.Producer(self.settings)
        producer.produce(stream, key=key, value=value, on_delivery=lambda *said: told.append(said))
        self.await_(lambda seconds: producer.poll(seconds) and told)
        if told[0][0] is not None:
            raise RefusedError(f"{told[0][0].name()} {told[0][0].str()}")
        say("WROTE")

    def consumer(self, group):
        return confluent_kafka.Consumer(
            {
                **self.settings,
                "group.id": group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )

    def drain(self, consumer, count):
        for _ in range(count):
            message = self.await_(consumer.poll)
            if message.error() is not None:
                raise RefusedError(f"{message.error().name()} {message.error().str()}")
            say("GOT", message.key().decode(), message.value().decode())

    def read(self, stream, count):
        consumer = self.consumer("unused")
        topic = self.topics(consumer, stream)[stream]
        if topic.error is not None:
            raise RefusedError(topic.error.name())
        places = [confluent_kafka.TopicPartition(stream, p, 0) for p in topic.partitions]
        consumer.assign(places)
        self.drain(consumer, int(count))
        consumer.close()

    def group(self, name, stream, count):
        consumer = self.consumer(name)
        consumer.subscribe([stream])
        self.drain(consumer, int(count))
        consumer.commit(asynchronous=False)
        consumer.close()

    def topics(self, consumer, name=None):
        named = {} if name is None else {"topic": name}

        def ask(seconds):
            consumer.poll(0)
            try:
                return (consumer.list_topics(**named, timeout=10 * seconds).topics,)
            except confluent_kafka.KafkaException:
                return None

        return self.await_(ask)[0]

    def list(self):
        say("TOPICS", *sorted(self.topics(self.consumer("unused"))))

    def create(self, name):
        admin = confluent_kafka.admin.AdminClient(self.settings)
        topics = admin.create_topics([confluent_kafka.admin.NewTopic(name, 1)])
        try:
            topics[name].result()
        except confluent_kafka.KafkaException as error:
            raise RefusedError(error.args[0].name()) from error


class KafkaPython:
    def __init__(self):
        self.settings = {"bootstrap_servers": f"{host}:{port}", **settings}
        if "ssl_check_hostname" in settings:
            self.settings["ssl_check_hostname"] = settings["ssl_check_hostname"] == "true"

    def write(self, stream, key, value):
        producer = kafka.KafkaProducer(max_block_ms=PATIENCE_S * 1000, **self.settings)
        sent = producer.send(stream, key=key.encode(), value=value.encode())
        sent.get(timeout=PATIENCE_S)
        say("WROTE")
        producer.close()

    def consumer(self, group=None):
        return kafka.KafkaConsumer(
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            consumer_timeout_ms=PATIENCE_S * 1000,
            **self.settings,
        )

    def drain(self, consumer, count):
        for _ in range(count):
            message = next(consumer)
            say("GOT", message.key.decode(), message.value.decode())

    def read(self, stream, count):
        consumer = self.consumer()
        partitions = consumer.partitions_for_topic(stream) or ()
        places = [kafka.TopicPartition(stream, p) for p in partitions]
        consumer.assign(places)
        consumer.seek_to_beginning()
        self.drain(consumer, int(count))
        consumer.close()

    def group(self, name, stream, count):
        consumer = self.consumer(name)
        consumer.subscribe([stream])
        self.drain(consumer, int(count))
        consumer.commit()
        consumer.close()

    def list(self):
        say("TOPICS", *sorted(self.consumer().topics()))


for order in sys.argv[end + 1 :]:
    name, *arguments = order.split(":")
    try:
        client = Confluent() if library == "confluent" else KafkaPython()
        getattr(client, name)(*arguments)
    except RefusedError as error:
        say("REFUSED", error)
    except kafka.errors.KafkaError as error:
        say("REFUSED", type(error).__name__, str(error).replace("\n", " "))
