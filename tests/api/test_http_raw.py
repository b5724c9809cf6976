# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
HTTP as an attacker or a bad network speaks it: raw sockets, no client library between.

Requests that a proxy in front could understand differently (smuggling), limits, slow clients, many clients at the same
instant, memory of idle ones. The short deadlines of the long tests are the daemon's, so they need --full.
"""

import contextlib
import json
import os
import re
import resource
import socket
import threading
import time

import pytest

from capstan_server import wait_for

SLOW = float(os.environ.get("CAPSTAN_TEST_SLOW", "1"))
SEARCH = "/api/2.0/mlflow/experiments/search"
BODY = b'{"max_results": 1}'

pytestmark = pytest.mark.ours


class Connection:
    def __init__(self, server, timeout=20):
        self.socket = socket.create_connection((server.host, server.port), timeout * SLOW)
        self.kept = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data.encode() if isinstance(data, str) else data)
        return self

    def reply(self):
        """(status, headers, body) of the next answer; None: closed without one."""
        data = self.kept
        try:
            while b"\r\n\r\n" not in data:
                more = self.socket.recv(65536)
                if not more:
                    return None
                data += more
            head, _, body = data.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}
            status = int(lines[0].split(" ")[1])
            if status == 100:
                self.kept = body
                return status, headers, b""
            size = int(headers.get("content-length", 0))
            while len(body) < size:
                more = self.socket.recv(65536)
                if not more:
                    break
                body += more
        except ConnectionError:
            return None
        self.kept = body[size:]
        return status, headers, body[:size]

    def closed(self):
        """The server hangs up, and says nothing more."""
        try:
            return self.kept == b"" and self.socket.recv(1) == b""
        except ConnectionError:
            return True


def exchange(server, data):
    with Connection(server) as c:
        return c.send(data).reply()


def head(method, path, *lines, host="localhost"):
    return "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""])


def refusal(reply, *statuses):
    """An answer in MLflow's error JSON, never a page."""
    assert reply, "closed without an answer"
    status, headers, body = reply
    assert status in statuses, reply
    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    said = json.loads(body)
    assert said["error_code"] and said["message"]
    assert "<" not in said["message"]
    return said


def alive(server):
    status, _, body = exchange(server, head("GET", "/health"))
    assert (status, body) == (200, b"OK")


# ---- framing ----

JSON = "Content-Type: application/json"


@pytest.mark.parametrize("lines, body", [
    (["Content-Length: 18", "Content-Length: 18"], BODY),
    (["Content-Length: 18", "Content-Length: 0"], BODY),
    (["Content-Length: 0", "Content-Length: 18"], BODY),
    (["Content-Length: 18", "Transfer-Encoding: chunked"], b"12\r\n" + BODY + b"\r\n0\r\n\r\n"),
    (["Transfer-Encoding: chunked", "Content-Length: 5"], b"0\r\n\r\nGET /"),
    (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], b"0\r\n\r\n"),
    (["Transfer-Encoding: chunked, identity"], b"0\r\n\r\n"),
    (["Transfer-Encoding: xchunked"], b"0\r\n\r\n"),
    (["Transfer-Encoding: \x0bchunked"], b"0\r\n\r\n"),
    (["Transfer-Encoding : chunked"], b"0\r\n\r\n"),
    (["Transfer-Encoding: chunked", "Foo: bar\r\n folded"], b"0\r\n\r\n"),
    (["Content-Length: +18"], BODY),
    (["Content-Length: -1"], BODY),
    (["Content-Length: 0x12"], BODY),
    (["Content-Length: 1 8"], BODY),
    (["Content-Length: 18, 18"], BODY),
    (["Content-Length: "], BODY),
    (["Content-Length: 99999999999999999999999"], b""),
    (["Content Length: 18"], BODY),
    (["Content-Length: 18\n\rX: y"], BODY),
    (["X: a\rContent-Length: 18"], BODY),
    (["X\x00: a", "Content-Length: 18"], BODY),
    ([" X: leading"], b""),
    (["no colon"], b""),
    ([": no name"], b""),
])
def test_ambiguous_framing_is_refused_and_the_connection_closed(server, lines, body):
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, *lines).encode("latin-1") + body +
               head("GET", "/health").encode())
        refusal(c.reply(), 400, 413, 501)
        assert c.closed(), "what followed was taken for a second request"
    alive(server)


@pytest.mark.parametrize("chunks", [
    b"zz\r\n",
    b"+12\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"0x12\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"-1\r\n",
    b"fffffffffffffffff\r\n",
    b"12\n" + BODY + b"\r\n0\r\n\r\n",
    b"12;a\nb\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"12\r\n" + BODY + b"xx0\r\n\r\n",
    b"12 \r\n" + BODY + b"\r\n0\r\n\r\n",
    b"\r\n12\r\n" + BODY + b"\r\n0\r\n\r\n",
])
def test_bad_chunks_are_refused(server, chunks):
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, "Transfer-Encoding: chunked").encode() + chunks)
        refusal(c.reply(), 400, 413)
        assert c.closed()
    alive(server)


def test_good_chunks_are_read(server):
    data = b"".join(b"%x\r\n%s\r\n" % (1, BODY[i:i + 1]) for i in range(len(BODY))) + b"0\r\n\r\n"
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, "Transfer-Encoding: chunked").encode() + data)
        assert c.reply()[0] == 200
        assert c.send(head("GET", "/health")).reply()[0] == 200


@pytest.mark.parametrize("request_", [
    b"GET /health HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\nHost: localhost\n\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\n\r\n",
    b"GET  /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /he alth HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.x\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/2.0\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/0.9\r\nHost: localhost\r\n\r\n",
    b"GET /health http/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    b"GET http://localhost/health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /health#x HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /h\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
])
def test_malformed_requests(server, request_):
    reply = exchange(server, request_)
    if reply is not None:
        refusal(reply, 400, 403, 505)
    alive(server)


# ---- target ----

@pytest.mark.parametrize("path, status", [
    ("/health", 200),
    ("/%68ealth", 200),
    ("/health/", 404),
    ("//health", 404),
    ("/health%", 400),
    ("/health%2", 400),
    ("/health%zz", 400),
    ("/health%00", 404),
    ("/health%ff", 400),
    ("/health%c0%af", 400),
    ("/health%ed%a0%80", 400),
    ("/health?a=%00", 400),
    ("/health?a=%ff", 400),
    ("/health?a=%", 400),
    ("/health?" + "a&" * 2000, 400),
    ("/nothing", 404),
    ("/api/2.0/mlflow/experiments/search/", 404),
    ("/API/2.0/mlflow/experiments/search", 404),
    ("/ajax-api/get-artifact", 404),
])
def test_targets(server, path, status):
    reply = exchange(server, head("GET", path))
    if status == 200:
        assert reply[0] == 200
    else:
        refusal(reply, status)


def test_wrong_method_names_the_right_ones(server):
    reply = exchange(server, head("DELETE", "/health"))
    refusal(reply, 405)
    assert reply[1]["allow"] == "GET, HEAD, OPTIONS"
    assert exchange(server, head("OPTIONS", "/health"))[0] == 204
    assert exchange(server, head("BREW", "/health"))[0] == 405


def test_head_is_get_without_body(server):
    with Connection(server) as c:
        c.send(head("HEAD", "/health") + head("GET", "/health"))
        data = b""
        while data.count(b"HTTP/1.1 200") < 2 or not data.endswith(b"OK"):
            more = c.socket.recv(4096)
            assert more
            data += more
    assert re.search(rb"Content-Length: 2\r\n(?:[^\r]+\r\n)*\r\nHTTP/1.1 200", data), data


def test_a_hundred_run_ids_fit_into_a_query(server):
    query = "&".join(f"run_ids={i:032x}" for i in range(100))
    path = f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?metric_key=m&max_results=10&{query}"
    assert exchange(server, head("GET", path, "User-Agent: " + "x" * 200))[0] == 200


# ---- limits ----

@pytest.mark.parametrize("size", [*range(500, 9000, 500), 6900, 7100, 16000, 32000, 60000, 64000, 66000, 70000, 200000])
def test_large_heads_are_answered_or_431(server, size):
    with Connection(server) as c:
        try:
            c.send(head("GET", "/health", "X: " + "a" * size))
        except ConnectionError:
            pass
        reply = c.reply()
    if size <= 60000:
        assert reply[0] == 200
    elif reply is not None and reply[0] != 200:
        refusal(reply, 431)
    alive(server)


@pytest.mark.parametrize("lines, size", [(1, 30000), (20, 1500), (30, 1000), (8, 4000)])
def test_large_heads_are_read_whole(server, lines, size):
    """Token and cookies of a sign-on proxy: what they say arrives, beside bodies and further requests on the connection."""
    more = [f"Cookie: c{i}={'y' * size}" for i in range(lines)]
    body = json.dumps({"experiment_ids": ["0"], "max_results": 1})
    with Connection(server) as c:
        for n in range(3):
            id_ = f"after-{n}"
            c.send(head("GET", "/health", *more, f"X-Request-Id: {id_}"))
            assert c.reply()[1]["x-request-id"] == id_
            c.send(head("POST", SEARCH, *more, "Content-Type: application/json", f"Content-Length: {len(body)}", f"X-Request-Id: p{id_}") + body)
            status, headers, _ = c.reply()
            assert (status, headers["x-request-id"]) == (200, "p" + id_)
            # in pieces, cut anywhere
            whole = head("GET", "/health", *more, f"X-Request-Id: s{id_}")
            for at in range(0, len(whole), 1499):
                c.send(whole[at:at + 1499])
            assert c.reply()[1]["x-request-id"] == "s" + id_
        # and many at once
        c.send("".join(head("GET", "/health", *more, f"X-Request-Id: m{n}") for n in range(5)))
        assert [c.reply()[1]["x-request-id"] for _ in range(5)] == [f"m{n}" for n in range(5)]


def test_large_heads_are_bounded_together(server):
    """More of them at one time than the server holds are refused, small ones go on, and the place is found again."""
    def large():
        return (exchange(server, head("GET", "/health", "X: " + "a" * 30_000)) or [431])[0]

    held = [Connection(server) for _ in range(300)]
    try:
        for c in held:
            with contextlib.suppress(ConnectionError):
                c.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + "a" * 9000)
        wait_for(lambda: large() == 431, 8, "a large head too many")
        assert exchange(server, head("GET", "/health"))[0] == 200
    finally:
        for c in held:
            c.socket.close()
    wait_for(lambda: large() == 200, 10, "room for a large head")


@pytest.mark.parametrize("size", [3000, 5000, 6000, 7000, 9000, 100000])
def test_long_targets(server, size):
    with Connection(server) as c:
        try:
            c.send(head("GET", "/health?a=" + "a" * size))
        except ConnectionError:
            pass
        reply = c.reply()
    if size <= 5000:
        assert reply[0] == 200
    elif reply is not None and reply[0] != 200:
        refusal(reply, 400, 414, 431)


def test_many_headers(server):
    reply = exchange(server, head("GET", "/health", *[f"X{i}: y" for i in range(3000)]))
    if reply is not None:
        refusal(reply, 431)
    alive(server)


def test_announced_giant_is_refused_at_once(server):
    before = time.monotonic()
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, "Content-Length: 2147483648"))
        refusal(c.reply(), 413)
        assert c.closed()
    assert time.monotonic() - before < 5 * SLOW


def test_chunked_giant_is_refused_while_it_comes(server):
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, "Transfer-Encoding: chunked"))
        piece = b"10000\r\n" + b" " * 65536 + b"\r\n"
        sent = 0
        try:
            while sent < 64 << 20:
                c.send(piece)
                sent += 65536
        except (ConnectionError, socket.timeout):
            pass
        assert sent < 32 << 20, "swallowed to the end"
        refusal(c.reply(), 413)
    alive(server)


def test_many_large_bodies_share_one_budget(server):
    held, refused = [], 0
    for _ in range(12):
        c = Connection(server)
        c.send(head("POST", SEARCH, JSON, "Content-Length: 12000000"))
        try:
            c.send(b" " * 11_000_000)
        except ConnectionError:
            pass
        held.append(c)
    for c in held:
        c.socket.settimeout(1)
        try:
            reply = c.reply()
        except socket.timeout:
            continue
        if reply:
            refusal(reply, 503)
            assert reply[1]["retry-after"] == "1"
            refused += 1
    for c in held:
        c.socket.close()
    assert refused >= 3
    time.sleep(0.5)
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, "Content-Length: %d" % len(BODY)).encode() + BODY)
        assert c.reply()[0] == 200, "the budget was not given back"


@pytest.mark.parametrize("content_type", [None, "text/plain", "application/x-www-form-urlencoded",
                                          "multipart/form-data", "application/jsonp", "json"])
def test_what_a_web_form_can_send_is_refused(server, content_type):
    lines = [f"Content-Type: {content_type}"] if content_type else []
    with Connection(server) as c:
        c.send(head("POST", SEARCH, *lines, f"Content-Length: {len(BODY)}").encode() + BODY)
        said = refusal(c.reply(), 400)
        assert said["message"].startswith("Bad Request. Content-Type ")
        assert c.send(head("GET", "/health")).reply()[0] == 200, "a small refused body costs no connection"


def test_json_with_charset(server):
    with Connection(server) as c:
        c.send(head("POST", SEARCH, "Content-Type: application/json; charset=utf-8",
                    f"Content-Length: {len(BODY)}").encode() + BODY)
        assert c.reply()[0] == 200


# ---- guard ----

@pytest.mark.parametrize("host, allowed", [
    ("localhost", True), ("LOCALHOST:5000", True), ("127.0.0.1:1", True), ("[::1]:5000", True),
    ("0.0.0.0", True), ("10.1.2.3:80", True), ("172.16.0.1", True), ("172.31.255.255:5000", True),
    ("192.168.0.1", True), ("[fd00::1]:80", True),
    ("evil.com", False), ("10.evil.com", False), ("192.168.0.1.evil.com", False), ("localhost.evil.com", False),
    ("172.32.0.1", False), ("8.8.8.8", False), ("127.0.0.1@evil.com", False), ("localhost:5000:5000", False),
    ("", False), ("10.0.0.1:port", False), ("0x7f.1", False), ("[::1", False), ("localhost,evil.com", False),
])
def test_host(server, host, allowed):
    reply = exchange(server, head("GET", "/ajax-api/3.0/mlflow/server-info", host=host))
    if allowed:
        assert reply[0] == 200
    else:
        said = refusal(reply, 403, 400)
        assert reply[0] == 400 or "DNS rebinding" in said["message"]
    assert exchange(server, head("GET", "/health", host=host if host else "x"))[0] == 200


@pytest.mark.parametrize("origin, allowed", [
    (None, True), ("http://localhost:3000", True), ("https://127.0.0.1", True), ("http://[::1]:8", True),
    ("http://evil.com", False), ("null", False), ("http://localhost.evil.com", False),
    ("http://localhost@evil.com", False), ("http://evil.com/localhost", False), ("localhost", False),
])
def test_origin(server, origin, allowed):
    lines = [f"Origin: {origin}"] if origin else []
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, *lines, f"Content-Length: {len(BODY)}").encode() + BODY)
        reply = c.reply()
    if allowed:
        assert reply[0] == 200
        assert reply[1]["vary"] == "Origin"
        if origin and origin.startswith("http://"):
            assert reply[1]["access-control-allow-origin"] == origin
    else:
        assert "Cross-origin request blocked" in refusal(reply, 403)["message"]
        assert "access-control-allow-origin" not in reply[1]


def test_preflight(server):
    reply = exchange(server, head("OPTIONS", SEARCH, "Origin: http://localhost:3000",
                                  "Access-Control-Request-Method: POST",
                                  "Access-Control-Request-Headers: content-type"))
    assert reply[0] == 200 and reply[2] == b"OK"
    assert reply[1]["access-control-allow-origin"] == "http://localhost:3000"
    assert reply[1]["access-control-allow-headers"] == "content-type"
    reply = exchange(server, head("OPTIONS", SEARCH, "Origin: http://evil.com", "Access-Control-Request-Method: POST"))
    refusal(reply, 400)
    assert "access-control-allow-origin" not in reply[1]


def test_headers_of_every_answer(server):
    for request in (head("GET", "/health"), head("GET", "/nothing"), head("POST", SEARCH)):
        headers = exchange(server, request)[1]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "SAMEORIGIN"
        assert headers["vary"] == "Origin"
        assert headers["x-request-id"]
    assert exchange(server, head("GET", "/health", "X-Request-Id: my-id.7"))[1]["x-request-id"] == "my-id.7"
    for bad in ("a b", "a" * 65, "<x>", '"'):
        assert exchange(server, head("GET", "/health", f"X-Request-Id: {bad}"))[1]["x-request-id"] != bad


# ---- connections ----

def test_pipelined_requests_are_answered_in_order(server):
    with Connection(server) as c:
        c.send((head("GET", "/health") + head("GET", "/version") + head("GET", "/nothing")) * 20)
        for _ in range(20):
            assert [c.reply()[0] for _ in range(3)] == [200, 200, 404]


ARTIFACT = "/api/2.0/mlflow-artifacts/artifacts/raw/wide"


def chunked(data, size, *trailers):
    out = b"".join(b"%x\r\n%s\r\n" % (len(data[i:i + size]), data[i:i + size]) for i in range(0, len(data), size))
    return out + b"0\r\n" + b"".join(t.encode() + b"\r\n" for t in trailers) + b"\r\n"


@pytest.mark.parametrize("size", (150_000, 400_000, 3_000_001))
@pytest.mark.parametrize("chunk", (None, 1000, 70_000, 5_000_000))
def test_large_uploads_with_requests_behind_them(server, size, chunk):
    """The buffer of a large body is another than that of heads: what lies in it behind the body must not get lost."""
    data = os.urandom(size)
    framing = f"Content-Length: {size}" if chunk is None else "Transfer-Encoding: chunked"
    body = data if chunk is None else chunked(data, chunk, "X-Trailer: of the upload")
    small = "".join(head("GET", SEARCH + f"?max_results=1&n={i}") for i in range(900)).encode()
    with Connection(server, 60) as c:
        for _ in range(2):
            with_requests = head("PUT", ARTIFACT, framing).encode() + body + head("GET", ARTIFACT).encode() + small
            sender = threading.Thread(target=c.send, args=(with_requests,))
            sender.start()
            assert c.reply()[0] == 200
            status, _, got = c.reply()
            assert (status, got == data) == (200, True)
            for _ in range(900):
                assert c.reply()[0] == 200
            sender.join()
        assert c.kept == b""
        c.send(head("PUT", ARTIFACT, framing).encode() + body)
        assert c.reply()[0] == 200
        with contextlib.suppress(ConnectionError):
            c.send(head("GET", SEARCH, "X-Long: " + "x" * 200_000))
        reply = c.reply()
        assert reply is None or reply[0] == 431


def test_http_1_0_closes(server):
    with Connection(server) as c:
        c.send("GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert c.reply()[0] == 200
        assert c.closed()


def test_expect_continue(server):
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, f"Content-Length: {len(BODY)}", "Expect: 100-continue"))
        assert c.reply()[0] == 100
        assert c.send(BODY).reply()[0] == 200
    with Connection(server) as c:
        c.send(head("POST", "/nothing", JSON, "Content-Length: 10", "Expect: 100-continue"))
        refusal(c.reply(), 404)


@pytest.mark.parametrize("cut", [1, 20, 60, 100, 130])
def test_a_client_that_leaves_in_the_middle(server, cut):
    request = head("POST", SEARCH, JSON, f"Content-Length: {len(BODY)}").encode() + BODY
    for _ in range(20):
        with Connection(server) as c:
            c.send(request[:cut])
    alive(server)


def many(server, count, request):
    sockets = [Connection(server, 60) for _ in range(count)]
    for _ in range(5):
        for c in sockets:
            c.send(request)
        for c in sockets:
            assert c.reply()[0] == 200
    for c in sockets:
        c.socket.close()


@pytest.mark.parametrize("count", [127, 128, 129, 256, 384, 512])
def test_128_clients_at_one_instant(server, count):
    """libmicrohttpd's event loop sleeps for ever on exactly 128 * k events, were it not for src/http/mhd_epoll.c."""
    before = time.monotonic()
    many(server, count, head("GET", "/health"))
    many(server, count, head("POST", SEARCH, JSON, f"Content-Length: {len(BODY)}").encode() + BODY)
    assert time.monotonic() - before < 20 * SLOW


def pid_of(server):
    pid = getattr(server, "pid", None)
    if not pid:
        pid = getattr(getattr(server, "process", None), "pid", None)
    return pid


def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


@pytest.mark.skipif(SLOW > 1, reason="sanitizers need their own memory")
def test_idle_clients_cost_less_than_10_kib_each(server):
    pid = pid_of(server)
    if not pid:
        pytest.skip("no process to look at")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10000, hard - 500)
    before = rss(pid)
    clients = []
    try:
        for _ in range(count):
            c = Connection(server, 60)
            c.send(head("GET", "/health"))
            assert c.reply()[0] == 200
            clients.append(c)
        assert rss(pid) - before < count * 10240
        start = time.monotonic()
        alive(server)
        assert time.monotonic() - start < 1
    finally:
        for c in clients:
            c.socket.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- slow clients: as long as the daemon's own deadlines ----

def until_closed(c, drip, every, most):
    """Seconds until the server hangs up on a client that sends drip() every so often."""
    begin = time.monotonic()
    c.socket.settimeout(every)
    while time.monotonic() - begin < most:
        try:
            c.socket.sendall(drip)
            if c.socket.recv(65536) == b"":
                break
        except socket.timeout:
            continue
        except ConnectionError:
            break
    return time.monotonic() - begin


def test_a_dripped_head_is_cut_after_ten_seconds(server):
    with Connection(server) as c:
        c.send("GET /health HTTP/1.1\r\nHost: localhost\r\nX: ")
        assert 8 < until_closed(c, b"a", 0.5, 30) < 16
    with Connection(server) as c:
        c.send(head("GET", "/health"))
        assert c.reply()[0] == 200
        c.send("GET /health HT")
        assert until_closed(c, b"", 0.5, 30) < 16, "a second head on a kept connection"


@pytest.mark.full
def test_a_dripped_body_is_cut(server):
    with Connection(server) as c:
        c.send(head("POST", SEARCH, JSON, "Content-Length: 1000000"))
        assert 25 < until_closed(c, b" " * 10, 0.5, 60) < 45


@pytest.mark.full
def test_a_dripped_upload_is_cut(server):
    with Connection(server) as c:
        c.send(head("PUT", "/api/2.0/mlflow-artifacts/artifacts/raw/drip", "Content-Length: 1000000"))
        assert 25 < until_closed(c, b" " * 10, 0.5, 60) < 45


@pytest.mark.full
def test_an_idle_connection_is_closed(server):
    with Connection(server) as c:
        c.send(head("GET", "/health"))
        assert c.reply()[0] == 200
        assert 60 < until_closed(c, b"", 1, 120) < 95
