"""SCRAM-SHA-256 by a library that is not ours: arguments are host, port, user and password.

MQTT is spoken in plain bytes: the library knows SCRAM only. Signs in, publishes, and signs in anew.
"""

import socket
import sys

from scramp import ScramClient

METHOD = b"SCRAM-SHA-256"


def text(value):
    return len(value).to_bytes(2, "big") + value


def proof(data):
    return b"\x15" + text(METHOD) + b"\x16" + text(data)


def packet(first, body):
    assert len(body) < 16384
    length = [len(body)] if len(body) < 128 else [len(body) & 127 | 128, len(body) >> 7]
    return bytes([first, *length]) + body


def block(properties):
    assert 128 <= len(properties) < 16384 or len(properties) < 128
    if len(properties) < 128:
        return bytes([len(properties)]) + properties
    return bytes([len(properties) & 127 | 128, len(properties) >> 7]) + properties


def auth(reason, data):
    return packet(0xF0, bytes([reason]) + block(proof(data)))


class Connection:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), timeout=100)

    def exactly(self, count):
        got = b""
        while len(got) < count:
            more = self.socket.recv(count - len(got))
            assert more, "the broker closed"
            got += more
        return got

    def read(self):
        first = self.exactly(1)[0]
        length, shift = 0, 0
        while True:
            byte = self.exactly(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return first, self.exactly(length)

    def data(self, expected, body_at):
        first, body = self.read()
        assert first == expected, (first, body)
        found = body.index(b"\x16", body.index(METHOD, body_at))
        length = int.from_bytes(body[found + 1 : found + 3], "big")
        return body, body[found + 3 : found + 3 + length].decode()


def main(host, port, user, password):
    client = ScramClient(["SCRAM-SHA-256"], user, password)
    connection = Connection(host, port)
    hello = b"\x00\x04MQTT\x05\x02\x00\x3c" + block(proof(client.get_client_first().encode()))
    connection.socket.sendall(packet(0x10, hello + text(b"scramp")))
    body, challenge = connection.data(0xF0, 0)
    assert body[0] == 0x18, body
    client.set_server_first(challenge)
    connection.socket.sendall(auth(0x18, client.get_client_final().encode()))
    body, last = connection.data(0x20, 0)
    assert body[1] == 0, body
    client.set_server_final(last)

    client = ScramClient(["SCRAM-SHA-256"], user, password)
    connection.socket.sendall(auth(0x19, client.get_client_first().encode()))
    _, challenge = connection.data(0xF0, 0)
    client.set_server_first(challenge)
    # Other packets may come in between.
    connection.socket.sendall(b"\xc0\x00")
    assert connection.read() == (0xD0, b"")
    connection.socket.sendall(auth(0x18, client.get_client_final().encode()))
    body, last = connection.data(0xF0, 0)
    assert body[0] == 0, body
    client.set_server_final(last)
    connection.socket.sendall(b"\xe0\x00")


main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
