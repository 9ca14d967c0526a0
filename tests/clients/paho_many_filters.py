"""As Home Assistant starts: all filters in one SUBSCRIBE, then the states that were kept.

Arguments are host, port, how many filters and how many kept messages there are.
"""

import queue
import sys
import threading
import time

import paho.mqtt.client as mqtt

PATIENCE_S = 100
SUBACK_S = 60


def main(host, port, filter_count, kept_count):
    topics = set()
    all_there = threading.Event()
    subscribed = queue.Queue()

    def on_message(_client, _user, message):
        assert message.retain, message.topic
        topics.add(message.topic)
        if len(topics) == kept_count:
            all_there.set()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="ha", protocol=mqtt.MQTTv311)
    client.will_set("homeassistant/status", "offline", qos=1, retain=True)
    client.on_subscribe = lambda _c, _u, _id, codes, _p: subscribed.put(codes)
    client.on_message = on_message
    client.connect(host, port)
    client.loop_start()
    filters = [("homeassistant/#", 0)]
    filters += [(f"device/{number}/state", 0) for number in range(filter_count - 1)]
    since = time.monotonic()
    client.subscribe(filters)
    codes = subscribed.get(timeout=SUBACK_S)
    assert len(codes) == filter_count, len(codes)
    assert not any(code.is_failure for code in codes)
    print(f"SUBACK after {time.monotonic() - since:.3f} s")
    assert all_there.wait(PATIENCE_S), f"{len(topics)} of {kept_count}"
    client.disconnect()
    client.loop_stop()


main(sys.argv[1], *map(int, sys.argv[2:]))
