"""Paho with a token as its password: arguments are host, port and token. Publishes to itself."""

import queue
import sys

import paho.mqtt.client as mqtt

PATIENCE_S = 100


def main(host, port, token):
    told = queue.Queue()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, "paho-token", protocol=mqtt.MQTTv5)
    client.username_pw_set("whoever", token)
    client.on_connect = lambda c, _u, _f, reason, _p: told.put(reason) or c.subscribe("paho/t", 1)
    client.on_subscribe = lambda c, *_: c.publish("paho/t", "by token", 1)
    client.on_message = lambda _c, _u, message: told.put(message.payload)
    client.connect(host, port)
    client.loop_start()
    assert not told.get(timeout=PATIENCE_S).is_failure
    assert told.get(timeout=PATIENCE_S) == b"by token"
    client.disconnect()
    client.loop_stop()


main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
