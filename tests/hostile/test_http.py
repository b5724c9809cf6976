# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P18: forged origins and hosts, smuggled requests and header tricks, on every route. tests/api/test_http_raw.py has the
single cases of the grammar; here the same tricks meet each kind of route."""

import json
import socket

import pytest

import table
from conftest import unique
from wire import JSON, Wire, head, health, once

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
PROBES = ("/health", "/version", "/livez", "/readyz")
STATES = ("POST", "PUT", "PATCH", "DELETE")
CHANGING = [row for row in table.ROWS if row["method"] in STATES]
rows = pytest.mark.parametrize("row", table.ROWS, ids=table.name)
changing = pytest.mark.parametrize("row", CHANGING, ids=table.name)


def mounts(row):
    return row["mounts"].split(",")


# ---- CSRF, DNS rebinding ----

@changing
def test_other_pages_change_nothing(client, world, row):
    """CVE-2023-43472, CVE-2025-1473: a page elsewhere can only send simple requests, and says where it is from."""
    for mount in mounts(row):
        for origin in ("http://evil.com", "null", "https://localhost.evil.com", "http://127.0.0.1.evil.com", "http://evil.com:5000",
                       "http://localhost@evil.com", "http://localhost%2eevil.com", "file://", "chrome-extension://x", "//localhost",
                       "http://localhost:3000, http://evil.com", "http://[::1].evil.com", "http://evil.com#localhost", "http://evil.com/?localhost"):
            reply = table.send(client, row, table.sample(row, world), None, mount, f"Origin: {origin}")
            assert reply.status == 403, (mount, origin, reply)
            assert reply.json["error_code"] == "PERMISSION_DENIED"
            assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("row", [r for r in CHANGING if r["kind"] in ("route", "read", "write") and r["method"] in ("POST", "PUT")], ids=table.name)
def test_what_a_form_posts_is_refused(client, world, row):
    values = table.sample(row, world)
    body = json.dumps({k: v for k, v in values.items() if k not in table.in_path(row)}).encode()
    for kind in ("text/plain", "text/plain; application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "",
                 "text/plain;charset=application/json", "application/json-x", "application/json, text/plain", "text/json"):
        reply = client.ask(row["method"], table.path(row, values), body, f"Content-Type: {kind}")
        assert reply.status == 400, (kind, reply)
        assert "Content-Type" in reply.json["message"]
    reply = client.ask(row["method"], table.path(row, values), body)
    assert reply.status == 400 and "Content-Type" in reply.json["message"]


@rows
def test_other_names_for_this_host_are_refused(client, world, row):
    """CVE-2025-14279, DNS rebinding: the probes alone answer any name."""
    for mount in mounts(row):
        for host in ("evil.com", "evil.com:5000", "localhost.evil.com", "127.0.0.1.evil.com:80", "localhost@evil.com", "0x7f000001", "2130706433",
                     "127.0.0.1:80@evil.com", "[::ffff:8.8.8.8]", "[::1]evil.com", "localhost:evil"):
            reply = table.send(client, row, table.sample(row, world), None, mount, host=host)
            if row["path"] in PROBES:
                assert reply.status == 200, reply
            else:
                assert reply.status in (400, 403), (host, reply)


def test_preflights_open_no_door(server):
    for origin in ("http://evil.com", "null", "http://localhost.evil.com"):
        for target in ("/api/2.0/mlflow/runs/create", PROXY + "/x", "/get-artifact", "/nothing"):
            reply = once(server, head("OPTIONS", target, f"Origin: {origin}", "Access-Control-Request-Method: POST",
                                      "Access-Control-Request-Headers: content-type"))
            assert reply.status in (400, 403, 404), reply
            assert not any(h.startswith("access-control-allow") for h in reply.headers), reply


@pytest.mark.parametrize("row", [row for row in table.ROWS if row["method"] == "GET"], ids=table.name)
def test_origins_are_not_reflected(client, world, row):
    for origin in ("http://evil.com", "null", "http://localhost.evil.com"):
        reply = table.send(client, row, table.sample(row, world), None, None, f"Origin: {origin}")
        assert "access-control-allow-origin" not in reply.headers, reply
        assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("line", [
    "X-HTTP-Method-Override: DELETE", "X-Forwarded-Host: evil.com", "X-Original-URL: /api/2.0/mlflow/experiments/create", "X-Rewrite-URL: /version",
    "Forwarded: host=evil.com", "Upgrade: h2c", "Upgrade: websocket", "Connection: upgrade, HTTP2-Settings", "Expect: 200-ok", "TE: trailers",
    "Content-Encoding: gzip", "Accept-Encoding: gzip, br", "Cookie: " + "a=b; " * 200, "Authorization: Basic Og==", "Range: bytes=0-",
    "If-None-Match: *", "X-Request-Id: a b", "X-Request-Id: " + "x" * 1000, "X-Request-Id: \"><script>", "X-Request-Id: é",
])
def test_headers_that_mean_nothing_here(server, line):
    reply = once(server, head("GET", "/version", line))
    assert reply and reply.status in (200, 206, 304, 417), reply
    if reply.status == 200:
        assert reply.body and "content-encoding" not in reply.headers
    said = reply.headers.get("x-request-id", "")
    assert len(said) <= 64 and said.replace("-", "").replace("_", "").replace(".", "").isalnum()


# ---- smuggling ----

TRICKS = [
    ["Content-Length: {n}", "Content-Length: {n}"],
    ["Content-Length: 0", "Content-Length: {n}"],
    ["Content-Length: {n}", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Content-Length: {n}"],
    ["Content-Length: {n}", "Transfer-Encoding: identity"],
    ["Content-Length: {n}", "transfer-encoding: \tchunked"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
    ["Transfer-Encoding: identity, chunked"],
    ["Transfer-Encoding: chunked;q=1"],
    ["Transfer-Encoding: \"chunked\""],
    ["Transfer-Encoding:\x0bchunked"],
    ["Transfer-Encoding: chunk"],
    ["Transfer-Encoding: CHUNKED", "Content-Length: {n}"],
    ["Transfer_Encoding: chunked", "Content-Length: {n}", "Content-Length: 0"],
    ["Transfer-Encoding : chunked", "Content-Length: {n}"],
    [" Content-Length: 0", "Content-Length: {n}"],
    ["Content-Length: {n}\r\n 0"],
    ["Content-Length:{n}, {n}"],
    ["Content-Length: +{n}"],
    ["Content-Length: {n}.0"],
    ["Content-Length: 0{n}x"],
    ["Content-Length: -{n}"],
    ["Content-Length: 0x{n}"],
    ["Content-Length: {n} 0"],
    ["Content-Length: 1_0"],
    ["Content-Length: 18446744073709551616{n}"],
    ["Content-Length\0: 0", "Content-Length: {n}"],
    ["X: y\nContent-Length: {n}"],
    ["X: y\rContent-Length: {n}"],
    ["Host: evil.com", "Content-Length: {n}"],
]
# A route of each kind: decoded by an event thread, shared commit, streamed upload, refused by its path, unknown.
AIMS = [("POST", "/api/2.0/mlflow/experiments/search"), ("POST", "/api/2.0/mlflow/runs/log-metric"), ("PUT", PROXY + "/smuggled/x"),
        ("PUT", PROXY + "/%2e%2e/x"), ("POST", "/nothing"), ("GET", "/health"), ("DELETE", PROXY + "/smuggled/y"), ("OPTIONS", "/version")]


@pytest.mark.parametrize("method, target", AIMS)
def test_no_request_is_hidden_in_another(server, method, target):
    hidden = head("DELETE", "/hidden")
    for trick in TRICKS:
        lines = [line.format(n=len(hidden)) for line in trick]
        with Wire(server) as wire:
            try:
                wire.send(head(method, target, JSON, *lines) + hidden + head("GET", "/health"))
            except ConnectionError:
                pass
            first = wire.reply(method)
            assert first is None or first.status in (400, 403, 404, 405, 413, 501), (trick, first)
            assert b"hidden" not in (first.body if first else b"")
            assert first is None or wire.closed(), (trick, first)
    health(server)


def test_a_body_that_nobody_wanted_is_not_the_next_request(server):
    """A GET with a body, a refused body, a body of an unknown route: what follows is never read as a request."""
    hidden = head("DELETE", "/hidden")
    for method, target in AIMS:
        for framing in (f"Content-Length: {len(hidden)}", "Transfer-Encoding: chunked"):
            body = hidden if framing[0] == "C" else b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden)
            with Wire(server) as wire:
                wire.send(head(method, target, framing) + body + head("GET", "/health"))
                assert wire.reply(method) is not None
                second = wire.reply()
                assert second is None or second.body == b"OK", (method, target, second)


@pytest.mark.parametrize("chunks", [
    b"+5\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n", b"5\r\nhello0\r\n\r\n", b"5\r\nhelloXX0\r\n\r\n", b"5_0\r\nhello\r\n0\r\n\r\n", b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    b"8000000000000000\r\n", b"FFFFFFFFFFFFFFFF\r\nhello", b";\r\nhello\r\n0\r\n\r\n", b"\r\n\r\n", b"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n",
    b"5\r\r\nhello\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\nX: y\n\r\n", b"5\r\nhello\r\n0\r\n X: y\r\n\r\n", b"5\r\nhello\r\n0\n\r\n", b"5\r\nhello\r\n00000000000000000000\r\n\r\nX",
    b"5" + b";x" * 5000 + b"\r\nhello\r\n0\r\n\r\n", b"0" * 5000 + b"5\r\nhello\r\n0\r\n\r\n",
])
def test_chunks(server, client, chunks):
    """A badly chunked upload is refused, its connection closed, and nothing of it becomes visible."""
    target = f"{PROXY}/{unique()}/x"
    with Wire(server) as wire:
        try:
            wire.send(head("PUT", target, "Transfer-Encoding: chunked") + chunks + head("DELETE", "/hidden"))
            wire.socket.shutdown(socket.SHUT_WR)        # a chunk of 2^64 bytes is one that never ends
        except OSError:
            pass
        first = wire.reply("PUT")
        assert first is None or b"hidden" not in first.body
        seen = client.ask("GET", target)
        if first and first.status == 200:       # lenient where nothing is ambiguous: then it is the whole body
            assert seen.body == b"hello", first
            second = wire.reply()
            assert second is None or second.status in (400, 404, 405)
        else:
            assert first is None or first.status in (400, 413), first
            assert first is None or wire.closed()
            assert seen.status == 404


@pytest.mark.parametrize("count, size", [(50, 10), (99, 20), (2000, 2), (20000, 1), (1, 4000), (1, 60000), (10, 10000), (1, 2_000_000)])
def test_headers_without_end(server, count, size):
    with Wire(server) as wire:
        try:
            wire.send(head("GET", "/health", *[f"X{i}: " + "y" * size for i in range(count)]))
        except ConnectionError:
            pass
        reply = wire.reply()
        assert reply is None or reply.status in (200, 400, 413, 431), reply
        if count * size > 1 << 16:
            assert reply is None or reply.status != 200
    health(server)


def test_hosts(server):
    """One Host, and a whole one. HTTP/1.0 needs none, and then gets what an unknown host gets."""
    assert once(server, b"GET /api/3.0/mlflow/server-info HTTP/1.0\r\n\r\n").status == 403
    for lines in (b"", b"Host: localhost\r\nHost: localhost\r\n", b"Host: localhost\r\nHost: evil.com\r\n", b"Host: evil.com\r\nHost: localhost\r\n",
                  b"host: localhost\r\nHOST: evil.com\r\n", b"Host : localhost\r\n", b" Host: localhost\r\n", b"Host: localhost\r\n evil.com\r\n",
                  b"Host: local\0host\r\n", b"Host: localhost\nX: y\r\n", b"Host: \r\n"):
        reply = once(server, b"GET /api/3.0/mlflow/server-info HTTP/1.1\r\n" + lines + b"\r\n")
        assert reply is None or reply.status in (400, 403), (lines, reply)


def test_absolute_and_odd_targets(server):
    for target in ("http://evil.com/version", "http://localhost/version", "//evil.com/version", "/\\evil.com", "*", "localhost:80", "?x", "/version?" + "a=b&" * 1001,
                   "/version\tx", "/ver%0d%0asion", "/%2e%2e/version", "/./version", "/x/../version", "/version;x=y",
                   "/version%3fx", "/%76ersion%00", "/version/.", "/api/2.0/mlflow/../../../version", "/API/2.0/mlflow/runs/get"):
        with Wire(server) as wire:
            wire.send(head("GET", target))
            reply = wire.reply()
            assert reply is None or reply.status in (400, 404, 414, 505), (target, reply)


def test_markup_comes_back_as_text(client, world):
    """CVE-2023-6568: what was asked is never part of a page."""
    mark = "<script>alert(1)</script>"
    for method, target, body in (
            ("GET", "/%3Cscript%3Ealert(1)%3C/script%3E", None), ("GET", f"/api/2.0/mlflow/runs/get?run_id=%3Cscript%3Ealert(1)%3C/script%3E", None),
            ("POST", "/api/2.0/mlflow/experiments/create", {"name": [mark]}), ("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"], "filter": mark}),
            ("POST", "/api/2.0/mlflow/runs/search", {"experiment_ids": ["0"], "order_by": [mark]}), ("GET", PROXY + "/%3Cscript%3E", None),
            ("POST", "/api/2.0/mlflow/runs/log-metric", {"run_id": world.run, "key": mark, "value": mark, "timestamp": 1})):
        reply = client.ask(method, target, body)        # judge() refuses html
        assert reply.status >= 400, reply
    for kind in ("<script>", "text/html", 'x"><script>alert(1)</script>'):
        reply = client.ask("POST", "/api/2.0/mlflow/experiments/create", b"{}", "Content-Type: " + kind)
        assert reply.status == 400 and b"<script" not in reply.body
