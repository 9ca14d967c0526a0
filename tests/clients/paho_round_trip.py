"""Paho round trip: arguments are host, port, protocol version (4 or 5), transport, and with TLS
the file of the authority to trust, and the client's certificate and key if it shows one."""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_S = 100


def main(host, port, version, transport="tcp", authority=None, certificate=None, key=None):
    received = queue.Queue()
    subscribed = queue.Queue()
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2,
        client_id=f"paho-{version}",
        transport=transport,
        protocol=mqtt.MQTTv5 if version == 5 else mqtt.MQTTv311,
    )
    if authority:
        client.tls_set(ca_certs=authority, certfile=certificate, keyfile=key)
    client.on_connect = lambda c, *_: c.subscribe("paho/#", qos=2)
    client.on_subscribe = lambda *_: subscribed.put(True)
    client.on_message = lambda _c, _u, message: received.put(message)
    client.connect(host, port)
    client.loop_start()
    subscribed.get(timeout=PATIENCE_S)
    for qos in (0, 1, 2):
        client.publish("paho/a", f"hello {qos}", qos=qos, properties=properties(version))
        message = received.get(timeout=PATIENCE_S)
        assert message.qos == qos, message.qos
        assert message.payload.decode() == f"hello {qos}", message.payload
        if version == 5:
            check(message.properties)
    client.disconnect()
    client.loop_stop()


def properties(version):
    if version != 5:
        return None
    chosen = Properties(PacketTypes.PUBLISH)
    chosen.UserProperty = [("k", "1"), ("k", "2"), ("empty", "")]
    chosen.ContentType = "text/plain"
    chosen.ResponseTopic = "paho/answer"
    chosen.CorrelationData = b"\x00\xff"
    return chosen


def check(came):
    assert came.UserProperty == [("k", "1"), ("k", "2"), ("empty", "")], came.UserProperty
    assert came.ContentType == "text/plain", came.ContentType
    assert came.ResponseTopic == "paho/answer", came.ResponseTopic
    assert came.CorrelationData == b"\x00\xff", came.CorrelationData


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
