# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
HTTP as bytes, with no client library between, and the rule that every answer is held to: an error is MLflow's error
JSON in our own words, and nothing that a browser would run.
"""

import base64
import contextlib
import json
import re
import socket
from typing import NamedTuple
from urllib.parse import quote, unquote

from capstan_server import SLOW

TIMEOUT = 30
LONGEST = 17 << 10                      # an error's message

# Never in an answer unless the request said it first: SQL, the database's words, the kernel's words, our sources.
INTERNAL = re.compile(
    r"postgres|libpq|psql|pg_[a-z]|pgsql|psycopg|sqlite|\bSELECT\b|\bINSERT INTO\b|\bUPDATE \w+ SET\b|\bDELETE FROM\b|"
    r"\bON CONFLICT\b|\brelation \"|\bcolumn \"|syntax error at or near|duplicate key|violates|constraint \"|prepared statement|"
    r"current transaction|deadlock|statement timeout|canceling|out of shared memory|invalid byte sequence|type \w+: \"|"
    r"ERROR:|DETAIL:|errno|\bE(NOENT|ACCES|PERM|LOOP|XDEV|NOTDIR|ISDIR|NAMETOOLONG|INVAL|IO|NOSPC)\b|No such file|Permission denied|"
    r"Is a directory|Not a directory|File exists|Too many levels|Invalid argument|Invalid cross-device|Input/output|"
    r"Operation not permitted|Bad file|File name too long|Directory not empty|Resource temporarily|"
    r"openat|libmicrohttpd|\bMHD\b|jansson|malloc|0x[0-9a-f]{8}|\w\.c:\d|/src/|/proc/|/usr/|/etc/|/tmp/|/var/|/home/|/root\b")


REFUSED = (b"Permission denied", b"You are not authenticated. Please see https://www.mlflow.org/docs/latest/auth/index.html#authenticating-to-mlflow on how "
           b"to authenticate.")
SIGN_UP = b"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Sign up a user</title>"


class Reply(NamedTuple):
    status: int
    headers: dict                       # lower-case names; a repeated one is joined by "\n"
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def decoded(sent):
    """A request's own words, as they stand and with their percent-encoding undone."""
    text = sent.decode("utf-8", "replace").replace("\\/", "/")
    return "\n".join((text, unquote(text), unquote(unquote(text)))).lower()


def judge(reply, sent=b"", secrets=()):
    """What holds for each answer, whatever was asked. sent: the request, whose own words may come back."""
    kind = reply.headers.get("content-type", "")
    if not reply.body or reply.body in REFUSED or reply.body.startswith(SIGN_UP):
        kind = ""
    if re.fullmatch(rb"[\w.]+", reply.body):     # /version, as MLflow's: a word that nobody chose
        kind = kind.replace("html", "")
    assert "html" not in kind and "xml" not in kind and "javascript" not in kind, reply
    assert reply.headers.get("x-content-type-options") == "nosniff", reply
    for name, value in reply.headers.items():
        assert "\n" not in value, f"header {name} twice or cut in two: {reply}"
    if reply.status < 400:
        return reply
    assert reply.status not in (500, 502), reply
    if not reply.body:                  # HEAD
        return reply
    if reply.body in REFUSED:           # as MLflow's auth app: words that nobody chose
        return reply
    assert kind == "application/json", reply
    body = json.loads(reply.body)
    assert {"error_code", "message"} <= set(body) <= {"error_code", "message", "sqlstate", "error_class"} or set(body) == {"detail"}, reply
    message = body.get("message", body.get("detail"))
    assert isinstance(message, str) and message, reply
    assert len(message) <= LONGEST, f"a message of {len(message)} characters"
    said = decoded(sent)
    for found in INTERNAL.finditer(message):
        assert found.group(0).lower() in said, f"{found.group(0)!r} in {message!r}"
    for secret in secrets:
        assert secret not in message or secret.lower() in said, reply
    return reply


def head(method, target, *lines, host="localhost"):
    """A request head; target and lines may be bytes."""

    def raw(x):
        return x if isinstance(x, bytes) else x.encode("utf-8", "surrogateescape")

    return b"\r\n".join([b"%s %s HTTP/1.1" % (raw(method), raw(target)), b"Host: " + raw(host), *map(raw, lines), b"", b""])


class Wire:
    """One connection. Judges every reply that it reads."""

    def __init__(self, server, timeout=TIMEOUT):
        self.server = server
        self.socket = socket.create_connection((server.host, server.port), timeout * SLOW)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent = b""
        self.kept = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Closes by RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, data):
        self.sent += data[:1 << 20]
        self.socket.sendall(data)
        return self

    def reply(self, method="GET"):
        """The next answer; None: closed without one."""
        reply = self._read(method)
        if reply and reply.status >= 200:
            judge(reply, self.sent, (getattr(self.server, "data_dir", None) or "/\0",))
        return reply

    def _read(self, method):
        data = self.kept
        try:
            while b"\r\n\r\n" not in data:
                more = self.socket.recv(1 << 16)
                if not more:
                    assert not data, data
                    return None
                data += more
            text, _, body = data.partition(b"\r\n\r\n")
            status, headers = parse(text)
            size = int(headers.get("content-length", 0)) if method != "HEAD" and status >= 200 else 0
            while len(body) < size:
                more = self.socket.recv(1 << 16)
                assert more, "the answer ends early"
                body += more
        except ConnectionError:
            return None
        self.kept = body[size:]
        return Reply(status, headers, body[:size])

    def closed(self):
        """The server hangs up, and says nothing more."""
        try:
            return self.kept == b"" and self.socket.recv(1) == b""
        except ConnectionError:
            return True


def parse(text):
    lines = text.split(b"\r\n")
    version, status, _ = lines[0].split(b" ", 2)
    assert version == b"HTTP/1.1", lines[0]
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b": ")
        assert colon and re.fullmatch(rb"[A-Za-z0-9-]+", name), line
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value), line
        key = name.decode().lower()
        text_value = value.decode("latin-1")
        headers[key] = headers[key] + "\n" + text_value if key in headers else text_value
    return int(status), headers


JSON = "Content-Type: application/json"


def basic(name, password):
    return "Authorization: Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


class Client:
    """Requests on a kept connection, that is made anew when it has to be."""

    def __init__(self, server, user=None):
        """user: (name, password), or the value of a header as it is sent."""
        self.server = server
        self.wire = None
        self.known = b""                # what was said before and may come back
        self.login(user)

    def login(self, user):
        self.lines = [basic(*user) if isinstance(user, tuple) else b"Authorization: " + user] if user is not None else []

    def close(self):
        if self.wire:
            self.wire.close()
        self.wire = None

    def ask(self, method, target, body=None, *lines, host="localhost"):
        """body: bytes as they are, anything else as JSON."""
        lines = [*self.lines, *lines]
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            lines.append(JSON)
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        request = head(method, target, *lines, host=host) + (body or b"")
        for fresh in (False, True):
            if fresh or not self.wire:
                self.close()
                self.wire = Wire(self.server)
            self.wire.sent = self.known
            with contextlib.suppress(ConnectionError):
                self.wire.send(request)
            reply = self.wire.reply(method)
            if reply and reply.headers.get("connection", "").lower() == "close":
                self.close()
            if reply:
                return reply
        raise ConnectionError(f"no answer to {request[:200]!r}")

    def get(self, path, query=None):
        return self.ask("GET", api(path) + arguments(query))

    def post(self, path, body):
        return self.ask("POST", api(path), body)

    def good(self, path, body):
        reply = self.post(path, body)
        assert reply.status == 200, reply
        return reply.json


def api(path):
    return path if path.startswith("/") else "/api/2.0/mlflow/" + path


def arguments(query):
    """{"a": 1, "b": [2, 3]} -> "?a=1&b=2&b=3"; a list is a repeated key."""
    pairs = []
    for name, value in (query or {}).items():
        for each in value if isinstance(value, list) else [value]:
            text = each if isinstance(each, (str, bytes)) else json.dumps(each)
            pairs.append(quote(name, safe="") + "=" + quote(text, safe=""))
    return "?" + "&".join(pairs) if pairs else ""


def once(server, data, method="GET"):
    """One request on a connection of its own. None: closed without an answer."""
    with Wire(server) as wire:
        with contextlib.suppress(ConnectionError):
            wire.send(data)
        return wire.reply(method)


def health(server):
    reply = once(server, head("GET", "/health"))
    assert reply and (reply.status, reply.body) == (200, b"OK"), reply
