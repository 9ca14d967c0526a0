"""Publishes numbers at QoS 1, each to one of 16 topics: arguments are host, port, first, behind last,
and what the topics begin with.
"""

import sys

import paho.mqtt.client as mqtt

PATIENCE_S = 100


def main(host, port, first, behind, root="plant"):
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(100)
    client.connect(host, port)
    client.loop_start()
    sent = [client.publish(f"{root}/{n % 16}", str(n), qos=1) for n in range(first, behind)]
    for one in sent:
        one.wait_for_publish(PATIENCE_S)
        assert one.is_published()
    client.disconnect()
    client.loop_stop()


if __name__ == "__main__":
    main(sys.argv[1], *(int(it) for it in sys.argv[2:5]), *sys.argv[5:])
