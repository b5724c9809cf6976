# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What the HTTP servers of the tests share: threads, keep-alive, bodies with a length or in chunks, a record of who asked what."""

import collections
import json
import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, unquote, urlsplit

Asked = collections.namedtuple("Asked", "at method path query headers status")


class Cut(Exception):
    """The client left in the middle of its body."""


class Handler(BaseHTTPRequestHandler):
    """A request: self.path_only (decoded), self.query (a dict), body(), reply()."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120

    def log_message(self, *_):
        pass

    def handle_one(self):
        at = urlsplit(self.path)
        self.raw_path = at.path
        self.path_only = unquote(at.path)
        self.query = dict(parse_qsl(at.query, keep_blank_values=True))
        self.status = None
        self.body_read = False
        self.noted = False
        self.asked_at = time.time()
        self.remaining = int(self.headers.get("Content-Length") or 0)
        self.chunked = "chunked" in self.headers.get("Transfer-Encoding", "").lower()
        try:
            self.server.service.handle(self)
            self.drain()
        except (Cut, ConnectionError, TimeoutError, socket.timeout):
            self.close_connection = True
        finally:
            self.note()

    def note(self):
        """Into the record, once, and before the client can know the answer."""
        if not self.noted:
            self.noted = True
            self.server.service.record(
                Asked(self.asked_at, self.command, self.path_only, self.query, {k.lower(): v for k, v in self.headers.items()}, self.status)
            )

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_PATCH = handle_one

    def pieces(self, size=256 << 10):
        """The body as it comes; Cut when it ends early."""
        self.body_read = True
        if self.chunked:
            while True:
                line = self.rfile.readline(1024)
                if not line.endswith(b"\n"):
                    raise Cut
                left = int(line.split(b";")[0], 16)
                if left == 0:
                    while self.rfile.readline(8192).strip():
                        pass
                    return
                while left:
                    piece = self.rfile.read1(min(left, size))
                    if not piece:
                        raise Cut
                    left -= len(piece)
                    yield piece
                self.rfile.readline(8)
        while self.remaining:
            piece = self.rfile.read1(min(self.remaining, size))
            if not piece:
                raise Cut
            self.remaining -= len(piece)
            yield piece

    def body(self):
        return b"".join(self.pieces())

    def drain(self):
        """What an answer left of the body."""
        if self.body_read and not self.remaining:
            return
        if self.remaining > 16 << 20:
            self.close_connection = True
            return
        for _ in self.pieces():
            pass

    def head(self, status, headers=None, length=0):
        self.status = status
        self.note()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def reply(self, status, body=b"", headers=None):
        """bytes as they are, text, or a value as JSON."""
        headers = dict(headers or {})
        if isinstance(body, str):
            body = body.encode()
            headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        elif not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json; charset=utf-8")
        self.head(status, headers, len(body))
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_header(self, keyword, value):
        super().send_header(keyword, str(value).encode("utf-8").decode("latin-1"))


class Listener(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        self.service.trouble(request)


class Service:
    """A server on a free port of loopback; handle(request) in a thread per connection."""

    def __init__(self):
        self.lock = threading.Lock()
        self.asked = []
        self.troubles = []
        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.listener.service = self
        self.host, self.port = self.listener.server_address
        self.url = f"http://{self.host}:{self.port}"

    def start(self):
        threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def close(self):
        self.listener.shutdown()
        self.listener.server_close()

    def handle(self, request):
        raise NotImplementedError

    def trouble(self, _request):
        """A mistake in a handler must not look like a store's."""
        import traceback

        text = traceback.format_exc()
        if "ConnectionError" in text or "ConnectionReset" in text or "BrokenPipe" in text:
            return
        with self.lock:
            self.troubles.append(text)

    def record(self, asked):
        with self.lock:
            self.asked.append(asked)

    def forget(self):
        with self.lock:
            self.asked.clear()

    def find(self, method=None, path="", status=None):
        """What was asked of this kind."""
        with self.lock:
            return [
                a for a in self.asked
                if (method is None or a.method == method) and path in a.path and (status is None or a.status == status)
            ]

    def count(self, method=None, path="", status=None):
        return len(self.find(method, path, status))
