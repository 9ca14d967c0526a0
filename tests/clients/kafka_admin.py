"""Asks what tools ask: cluster, settings, sizes; and tries what only the configuration may do.

Arguments: host and port of the Kafka port.
"""

import sys

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)
from kafka.admin import KafkaAdminClient

servers = f"{sys.argv[1]}:{sys.argv[2]}"
admin = AdminClient({"bootstrap.servers": servers})


def refused(futures, word):
    """Every one of them fails, with an error that says this."""
    for future in futures.values():
        try:
            future.result(100)
        except KafkaException as error:
            assert word in str(error), error
        else:
            raise AssertionError(f"{word} was expected")


cluster = admin.describe_cluster(request_timeout=100).result(100)
assert [node.id for node in cluster.nodes] == [1], cluster.nodes
stream = ConfigResource(ConfigResource.Type.TOPIC, "mqtt")
settings = admin.describe_configs([stream], request_timeout=100)[stream].result(100)
assert settings["cleanup.policy"].value == "delete", settings
assert settings["retention.ms"].value == "604800000", settings
node = ConfigResource(ConfigResource.Type.BROKER, "1")
assert "message.max.bytes" in admin.describe_configs([node], request_timeout=100)[node].result(100)

refused(admin.create_topics([NewTopic("mqtt", 1, 1)], request_timeout=100), "TOPIC_ALREADY_EXISTS")
refused(admin.create_topics([NewTopic("new", 1, 1)], request_timeout=100), "POLICY_VIOLATION")
refused(admin.create_partitions([NewPartitions("mqtt", 9)], request_timeout=100), "POLICY_VIOLATION")
refused(admin.delete_topics(["mqtt"], request_timeout=100), "TOPIC_DELETION_DISABLED")
longer = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
changed = ConfigResource(ConfigResource.Type.TOPIC, "mqtt", incremental_configs=[longer])
refused(admin.incremental_alter_configs([changed], request_timeout=100), "POLICY_VIOLATION")
settings = admin.describe_configs([stream], request_timeout=100)[stream].result(100)
assert settings["retention.ms"].value == "604800000", settings

python = KafkaAdminClient(bootstrap_servers=servers)
assert "mqtt" in python.list_topics()
sizes = python.describe_log_dirs()
assert "mqtt" in str(sizes), sizes
python.close()
