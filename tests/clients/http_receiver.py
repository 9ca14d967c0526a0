"""A receiver of pushed messages on Python's own HTTP server: arguments are a port, a file, and
perhaps a secret, a certificate and its key (`-` for none). What it takes is in the file, on disk,
before it is answered: a line of JSON for each message, with its id. What a message says decides what
becomes of its request:

poison   422, always          broken   500, always
busy     429 with Retry-After, once          slow   no answer, once

It says `ready`, `has N` for N different ids, and `answers CODE` for each refusal.
"""

import hashlib
import hmac
import json
import os
import pathlib
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT, FILE = int(sys.argv[1]), pathlib.Path(sys.argv[2])
SECRET, CERT, KEY = (sys.argv[3:] + ["-"] * 3)[:3]
REFUSED = {"poison": 422, "broken": 500}
ONCE = {"busy": 429, "slow": 0}

lock = threading.Lock()
never = threading.Event()
ids = set()
refused_once = set()


def say(*words):
    print(*words, flush=True)


def whole_lines():
    """The last line may be cut off by a kill: it was not answered then."""
    text = FILE.read_text() if FILE.exists() else ""
    kept = text[: text.rfind("\n") + 1]
    FILE.write_text(kept)
    return [json.loads(line) for line in kept.splitlines()]


def keep(messages):
    with FILE.open("a") as file:
        for message in messages:
            file.write(json.dumps(message) + "\n")
        file.flush()
        os.fsync(file.fileno())
    ids.update(message["id"] for message in messages)
    say("has", len(ids))


def judge(messages):
    for message in messages:
        payload = message.get("payload")
        if payload in REFUSED:
            return REFUSED[payload]
        if payload in ONCE and payload not in refused_once:
            refused_once.add(payload)
            return ONCE[payload]
    return 200


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if SECRET != "-":
            self.check(body)
        said = json.loads(body)
        messages = said if isinstance(said, list) else [said]
        with lock:
            status = judge(messages)
            if status == 200:
                keep(messages)
        if status == 0:
            never.wait()
        if status != 200:
            say("answers", status)
        text = b"as it is told"
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def check(self, body):
        signed = self.headers["Tidewire-Timestamp"].encode() + b"." + body
        expected = "v1=" + hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert hmac.compare_digest(self.headers["Tidewire-Signature"], expected), "not ours"

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


def main():
    ids.update(message["id"] for message in whole_lines())
    server = Server(("127.0.0.1", PORT), Receiver)
    if CERT != "-":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERT, KEY)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    say("ready")
    say("has", len(ids))
    server.serve_forever()


main()
