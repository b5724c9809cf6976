# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""A webhook's target whose answers are chosen by the path, and MLflow's own way of checking a signature."""

import base64
import hashlib
import hmac
import json
import socket
import struct
import threading
import time

from capstan_server import SLOW, wait_for

ENVIRONMENT = {
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
}


class Request:
    def __init__(self, path, headers, body):
        self.path = path
        self.headers = headers  # names in lower case
        self.body = body
        self.at = time.monotonic()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def id(self):
        return self.headers["x-mlflow-delivery-id"]

    @property
    def event(self):
        return f"{self.json['entity']}.{self.json['action']}"

    def signed_with(self, secret):
        """mlflow/webhooks/delivery.py: _generate_hmac_signature()."""
        content = f"{self.id}.{self.headers['x-mlflow-timestamp']}.{self.body.decode()}"
        digest = hmac.new(secret.encode(), content.encode(), hashlib.sha256).digest()
        return self.headers["x-mlflow-signature"] == "v1," + base64.b64encode(digest).decode()


class Receiver:
    """answers[path]: a list, one entry per request, the last one for all further ones: a status, or a function of the
    socket. Paths without one answer 200."""

    def __init__(self):
        self.requests = []
        self.answers = {}
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closing = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection, connection.makefile("rb") as lines:
            while True:
                try:
                    start = lines.readline().decode()
                    if not start:
                        return
                    headers = {}
                    for line in iter(lines.readline, b"\r\n"):
                        name, value = line.decode().rstrip("\r\n").split(": ", 1)
                        headers[name.lower()] = value
                    body = lines.read(int(headers.get("content-length", 0)))
                    method, path, _ = start.split()
                    assert method == "POST"
                    if not self.answer(connection, Request(path, headers, body)):
                        return
                except OSError:
                    return

    def answer(self, connection, request):
        with self.lock:
            self.requests.append(request)
            left = self.answers.get(request.path, [200])
            what = left.pop(0) if len(left) > 1 else left[0]
        if callable(what):
            what(self, connection)
            return False
        connection.sendall(
            f"HTTP/1.1 {what} X\r\nContent-Length: 6\r\nLocation: {self.url}/elsewhere\r\n\r\nsecret".encode()
        )
        return True

    def got(self, path=None):
        with self.lock:
            return [r for r in self.requests if path is None or r.path == path]

    def wait(self, path, count=1, seconds=20):
        """The first `count` requests of a path; TimeoutError says what came instead."""
        return wait_for(
            lambda: (lambda r: r if len(r) >= count else None)(self.got(path)),
            seconds,
            f"{count} deliveries to {path} (of {len(self.got(path))})",
        )[:count]

    def close(self):
        self.closing.set()
        self.listener.close()


# Targets that misbehave.


def hang(receiver, connection):
    receiver.closing.wait(60 * SLOW)


def reset(receiver, connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def close(receiver, connection):
    pass


def lie(receiver, connection):
    """More is promised than comes."""
    connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 1000000\r\n\r\nabc")


def endless(receiver, connection):
    connection.sendall(b"HTTP/1.1 200 X\r\n\r\n")
    while not receiver.closing.is_set():
        connection.sendall(b"x" * 65536)


def garbage(receiver, connection):
    connection.sendall(b"220 smtp.example.com ESMTP\r\n\r\n")
