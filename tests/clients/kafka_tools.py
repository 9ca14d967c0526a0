"""Asks all that kafka-ui, AKHQ and Redpanda Console ask when they show a cluster, its topics, groups
and transactions: each call is answered, and no connection is lost over it.

Arguments: host and port of the Kafka port. Stream `mqtt` has records.
"""

import sys

from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer
from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import AclBindingFilter, AclOperation, AclPermissionType, AdminClient
from confluent_kafka.admin import ConfigResource, OffsetSpec, ResourcePatternType, ResourceType
from kafka import TopicPartition as PythonPartition
from kafka.admin import KafkaAdminClient

servers = f"{sys.argv[1]}:{sys.argv[2]}"
PATIENCE = 60
lost = []
admin = AdminClient({"bootstrap.servers": servers, "error_cb": lost.append})


def one(futures):
    """The only answer."""
    (future,) = futures.values()
    return future.result(PATIENCE)


# Something to see: a group that has committed, a transaction that has ended and one that is open.
reader = Consumer({"bootstrap.servers": servers, "group.id": "seen", "error_cb": lost.append})
reader.commit(offsets=[TopicPartition("mqtt", 0, 0)], asynchronous=False)
reader.close()


def transactional(name):
    producer = Producer({"bootstrap.servers": servers, "transactional.id": name})
    producer.init_transactions(PATIENCE)
    producer.begin_transaction()
    producer.produce("mqtt", b"20", b"plant/target", partition=0)
    # Delivered: the broker holds it, and nobody sees it.
    assert producer.flush(PATIENCE) == 0
    return producer


done = transactional("done")
done.commit_transaction(PATIENCE)
still = transactional("open")

# The cluster and its settings.
cluster = admin.describe_cluster(include_authorized_operations=True, request_timeout=PATIENCE)
cluster = cluster.result(PATIENCE)
assert [node.id for node in cluster.nodes] == [1] and cluster.controller.id == 1, cluster
node = ConfigResource(ConfigResource.Type.BROKER, "1")
assert "message.max.bytes" in one(admin.describe_configs([node], request_timeout=PATIENCE))
topic = ConfigResource(ConfigResource.Type.TOPIC, "mqtt")
assert "cleanup.policy" in one(admin.describe_configs([topic], request_timeout=PATIENCE))

# Topics: who leads, how long they are, how much they hold.
topics = TopicCollection(["mqtt"])
described = one(
    admin.describe_topics(topics, include_authorized_operations=True, request_timeout=PATIENCE)
)
assert len(described.partitions) == 4, described
place = TopicPartition("mqtt", 0)
for spec in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp()):
    assert one(admin.list_offsets({place: spec}, request_timeout=PATIENCE)).offset >= 0

# Groups, and how far they are.
groups = admin.list_consumer_groups(request_timeout=PATIENCE).result(PATIENCE)
assert "seen" in [group.group_id for group in groups.valid] and not groups.errors, groups
group = one(admin.describe_consumer_groups(["seen"], request_timeout=PATIENCE))
assert group.group_id == "seen" and not group.members, group
wanted = [ConsumerGroupTopicPartitions("seen")]
offsets = one(admin.list_consumer_group_offsets(wanted, request_timeout=PATIENCE))
assert [it.offset for it in offsets.topic_partitions] == [0], offsets

# Who may do what.
everything = AclBindingFilter(
    ResourceType.ANY,
    None,
    ResourcePatternType.ANY,
    None,
    None,
    AclOperation.ANY,
    AclPermissionType.ANY,
)
try:
    admin.describe_acls(everything, request_timeout=PATIENCE).result(PATIENCE)
except KafkaException as error:
    assert "SECURITY_DISABLED" in str(error), error

# Sizes, producers and transactions, which librdkafka has no calls for.
python = KafkaAdminClient(bootstrap_servers=servers)
assert "mqtt" in str(python.describe_log_dirs())
known = {state.transactional_id: state for state in python.list_transactions()[1]}
assert known["done"].state.value == "CompleteCommit", known
assert known["open"].state.value == "Ongoing", known
told = python.describe_transactions(["open", "done"])
assert "mqtt" in str(told["open"]) and "mqtt" not in str(told["done"]), told
producers = python.describe_producers([PythonPartition("mqtt", 0)])
numbers = [state.producer_id for states in producers.values() for state in states.active_producers]
assert known["done"].producer_id in numbers, producers
python.close()

still.abort_transaction(PATIENCE)
assert not lost, lost
