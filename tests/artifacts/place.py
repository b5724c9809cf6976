# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""A daemon with the store behind its artifact proxy, both within reach."""

import contextlib
import hashlib
import http.client
import itertools
import os
import re
import socket
import struct
import tempfile
import threading
import time
import uuid
from urllib.parse import quote, urlencode

import capstan_server
import pytest
import requests
from stores import boundary
from stores.fault_proxy import FaultProxy

PROXY = "/api/2.0/mlflow-artifacts"
ARTIFACTS = PROXY + "/artifacts/"
SLOW = capstan_server.SLOW
PREFIX = "team a/mlflow+1"
numbers = itertools.count(1)
wait_for = capstan_server.wait_for


def pattern(size, seed=0):
    """Bytes that repeat nowhere near: a piece that is lost, doubled or elsewhere shows."""
    block = bytearray()
    i = 0
    while len(block) < min(size, 1 << 20):
        block += hashlib.sha256(f"{seed}:{i}".encode()).digest()
        i += 1
    whole = bytearray((bytes(block) * (size // len(block) + 1))[:size] if size else b"")
    for at in range(0, size - 16, 1 << 16):
        whole[at:at + 16] = struct.pack(">QQ", seed, at)
    return bytes(whole)


class Reply:
    """An answer as far as it came: cut says that it ended early."""

    def __init__(self, status, headers, body, cut=False):
        self.status, self.headers, self.body, self.cut = status, headers, body, cut

    @property
    def json(self):
        import json

        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {len(self.body)} bytes{' cut' if self.cut else ''} {self.body[:300]!r}>"


class Place:
    """
    kind      disk, versitygw, minio, gcs
    daemon    capstan_server.Server
    proxy     the fault proxy between daemon and store; None: disk
    environment  replaces what names store and credentials; a function of the proxy's URL
    """

    def __init__(self, kind, store, postgres, flags=(), environment=None, bucket=None, prefix=PREFIX, destination=None, **more):
        self.kind, self.store, self.prefix = kind, store, prefix
        self.proxy = None
        self.closed = False
        if store is None:
            self.bucket = None
            self.root = capstan_server.temporary_dir()
            destination = destination or self.root
            env = {}
        else:
            self.proxy = FaultProxy(store.host, store.port).start()
            self.bucket = bucket or store.bucket()
            self.allowed = [(self.bucket, prefix)]
            destination = destination or store.uri(self.bucket, prefix)
            env = environment(self.proxy.url) if environment else store.environment(self.proxy.url)
        self.destination = destination
        backend = postgres.database(f"artifacts{next(numbers)}")
        self.daemon = capstan_server.Server("--artifacts-destination", destination, *flags, backend=backend, env={**env, **more})

    def start(self):
        try:
            self.daemon.start()
        except BaseException:
            self.close()
            raise
        return self

    @property
    def url(self):
        return self.daemon.url

    def close(self):
        if self.closed:
            return
        self.closed = True
        try:
            if self.daemon.process and self.daemon.process.poll() is None:
                self.daemon.stop()
            self.daemon.check()
        finally:
            with contextlib.suppress(OSError):
                self.daemon.close()
            if self.proxy:
                self.proxy.close()

    def clear(self):
        """No faults, no memory of exchanges: check() comes first."""
        if self.proxy:
            self.proxy.clear()

    def check(self):
        """Lives, and asked for nothing outside of its bucket and prefix."""
        assert self.daemon.process.poll() is None, self.daemon.log()[-4000:]
        if self.proxy:
            left = [
                x for x in self.proxy.find()
                if all(boundary.outside([x], self.store.scheme, bucket, prefix) for bucket, prefix in self.allowed)
            ]
            assert not left, left[:2]

    # ---- the daemon, byte for byte ----

    def connect(self, timeout=60):
        return http.client.HTTPConnection(self.daemon.host, self.daemon.port, timeout=timeout * SLOW)

    def ask(self, method, target, body=None, chunked=False, timeout=60, **headers):
        """The answer, with what came of a body that was cut. OSError when there was none."""
        c = self.connect(timeout)
        try:
            c.putrequest(method, target, skip_accept_encoding=True)
            for name, value in headers.items():
                c.putheader(name.replace("_", "-"), value)
            if chunked:
                c.putheader("Transfer-Encoding", "chunked")
                c.endheaders(iter(body), encode_chunked=True)
            else:
                if body is not None:
                    c.putheader("Content-Length", str(len(body)))
                c.endheaders()
                if body:
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        c.sock.sendall(body)
            return self.take(c.getresponse())
        finally:
            c.close()

    @staticmethod
    def take(r):
        headers = {k.lower(): v for k, v in r.getheaders()}
        got = bytearray()
        try:
            while piece := r.read1(1 << 20):
                got += piece
        except (http.client.IncompleteRead, OSError) as e:
            got += getattr(e, "partial", b"")
            return Reply(r.status, headers, bytes(got), True)
        # read1() does not complain about a short body.
        cut = r.length not in (None, 0)
        return Reply(r.status, headers, bytes(got), cut)

    def put(self, key, body, **options):
        return self.ask("PUT", ARTIFACTS + quote(key), body, **options)

    def get(self, key, **options):
        return self.ask("GET", ARTIFACTS + quote(key), **options)

    def head(self, key, **options):
        return self.ask("HEAD", ARTIFACTS + quote(key), **options)

    def delete(self, key):
        return self.ask("DELETE", ARTIFACTS + quote(key))

    def list(self, path=""):
        """[(name, size or None for a folder)]"""
        reply = self.ask("GET", f"{PROXY}/artifacts?{urlencode({'path': path})}")
        assert reply.status == 200, reply
        return [(f["path"], None if f["is_dir"] else int(f.get("file_size", 0))) for f in reply.json.get("files", [])]

    def api(self, method, target, body=None, /, **params):
        return requests.request(method, self.url + (target if target.startswith("/") else "/api/2.0/mlflow/" + target), json=body, params=params, timeout=120 * SLOW)

    # ---- the store, without the daemon ----

    def stored(self, key):
        """The object's bytes, None: there is none."""
        if self.store:
            return self.store.get(self.bucket, f"{self.prefix}/{key}")
        try:
            with open(os.path.join(self.root, key), "rb") as f:
                return f.read()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def store_put(self, key, body):
        if self.store:
            return self.store.put(self.bucket, f"{self.prefix}/{key}", body)
        path = os.path.join(self.root, key)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(body)
        return None

    def stored_keys(self, folder):
        """{key below the folder: size}"""
        if self.store:
            start = f"{self.prefix}/{folder}/"
            return {k[len(start):]: size for k, size in self.store.keys(self.bucket, start).items()}
        found = {}
        for at, _, files in os.walk(os.path.join(self.root, folder)):
            for name in files:
                path = os.path.join(at, name)
                found[os.path.relpath(path, os.path.join(self.root, folder))] = os.path.getsize(path)
        return found

    def leftovers(self, key=""):
        """Uploads that were begun and neither ended nor taken back; temporaries."""
        if self.store is None:
            return [f for at, _, files in os.walk(os.path.join(self.root, ".capstan-tmp")) for f in files]
        if self.kind == "minio":
            # It lists those of one key only.
            more = {"Prefix": f"{self.prefix}/{key}"}
            return [u["Key"] for u in self.store.own.list_multipart_uploads(Bucket=self.bucket, **more).get("Uploads", [])]
        return [k for k in self.store.uploads(self.bucket) if k.startswith(f"{self.prefix}/{key}")]

    def nothing_left(self, key, seconds=10):
        """Neither visible nor half there; what is taken back in the background has some seconds."""
        assert self.stored(key) is None
        wait_for(lambda: not self.leftovers(key), seconds, f"the end of {self.leftovers(key)}")

    # ---- the daemon's log and memory ----

    def log_of(self, reply):
        """Lines of the log about the request; they may come a moment after the answer."""
        number = reply.headers["x-request-id"]

        def lines():
            return [line for line in self.daemon.log().splitlines() if number in line]

        with contextlib.suppress(TimeoutError):
            wait_for(lines, 1)
        return lines()

    def peak(self):
        """Most memory that the daemon ever had, in bytes."""
        with open(f"/proc/{self.daemon.pid}/status") as f:
            return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) << 10


class Upload:
    """A PUT that is sent piece by piece."""

    def __init__(self, place, key, size):
        self.sock = socket.create_connection((place.daemon.host, place.daemon.port), 60 * SLOW)
        self.sock.sendall(
            f"PUT {ARTIFACTS}{quote(key)} HTTP/1.1\r\nHost: {place.daemon.host}:{place.daemon.port}\r\nContent-Length: {size}\r\n\r\n".encode())

    def send(self, data):
        self.sock.sendall(data)

    def answer(self):
        r = http.client.HTTPResponse(self.sock)
        r.begin()
        return Place.take(r)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def often(usual, *lists):
    """All combinations as parameters; those that are not usual only with --full."""
    return [pytest.param(*c, marks=() if usual(*c) else pytest.mark.full) for c in itertools.product(*lists)]


def folder():
    return f"t/{uuid.uuid4().hex[:12]}"


def refused(reply, *codes, status=None):
    """MLflow's error JSON of one of these codes, in our own words."""
    assert not reply.cut and reply.status >= 400, reply
    body = reply.json
    assert body["error_code"] in codes, body
    assert status is None or reply.status == status, reply
    message = body["message"]
    assert isinstance(message, str) and message and "\n" not in message, body
    for word in ("<Error", "<?xml", "RequestId", "REQ1", "told to fail", "Signature=", "X-Amz-Signature", "curl", "errno"):
        assert word not in message, message
    return message


def in_threads(work, count):
    """work(i) in a thread each; the first failure is raised."""
    results, failures = [None] * count, []

    def run(i):
        try:
            results[i] = work(i)
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if failures:
        raise failures[0]
    return results


def temporary_file(size):
    """A sparse file with marks in it, gone when closed."""
    f = tempfile.TemporaryFile()
    f.truncate(size)
    for at in {0, size // 3, size // 2, size - 8}:
        f.seek(at)
        f.write(struct.pack(">Q", at))
    f.seek(0)
    return f


def now():
    return time.monotonic()
