"""A device that shows a certificate, and believes no broker but one with a certificate of its own.

    mtls_client.py HOST PORT AUTHORITY CERTIFICATE KEY [COUNT]

publishes COUNT readings (default 3) at QoS 1, and ends when all are acknowledged: then they are on
disk. There is no password: the broker takes the user's name from the certificate (identity = "cn").
Needs paho-mqtt (pip install paho-mqtt). README.md beside this file makes the certificates.
"""

import json
import ssl
import sys

import paho.mqtt.client as mqtt


def main(host, port, authority, certificate, key, count="3"):
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, client_id="press-7", protocol=mqtt.MQTTv5
    )
    client.tls_set(
        # Whom we believe: without it, the authorities of the system.
        ca_certs=authority,
        # Who we are. The key stays on this machine.
        certfile=certificate,
        keyfile=key,
        tls_version=ssl.PROTOCOL_TLS_CLIENT,
    )
    # HOST has to be one of the names in the broker's certificate; that is looked at by default.
    client.connect(host, int(port))
    client.loop_start()
    for number in range(int(count)):
        reading = json.dumps({"reading": number, "bar": 4.2})
        client.publish("plant/press-7/pressure", reading, qos=1).wait_for_publish()
    client.disconnect()
    client.loop_stop()
    print(f"{count} readings are on disk")


if __name__ == "__main__":
    main(*sys.argv[1:7])
