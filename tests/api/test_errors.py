# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What a hostile or broken client sends: every refusal is MLflow's error JSON, and the daemon lives on."""

import json
import socket
import time

import pytest

from conftest import refused

pytestmark = pytest.mark.ours

REFUSED = (400, 404, 405, 411, 413, 414, 417, 431, 501, 505)


def talk(server, data, timeout=20, half_close=False):
    """Bytes as they stand; everything that comes back until the server closes or is quiet."""
    with socket.create_connection((server.host, server.port), timeout=timeout) as s:
        try:
            for part in data if isinstance(data, list) else [data]:
                s.sendall(part)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass
        got = b""
        try:
            while True:
                piece = s.recv(65536)
                if not piece:
                    break
                got += piece
                head, _, body = got.partition(b"\r\n\r\n")
                size = [
                    line
                    for line in head.lower().split(b"\r\n")
                    if line.startswith(b"content-length:")
                ]
                if size and len(body) >= int(size[0].split(b":")[1]):
                    break
        except (ConnectionResetError, TimeoutError):
            pass
        return got


def status(reply):
    return int(reply.split()[1]) if reply.startswith(b"HTTP/") else 0


def request(
    body=b"", method=b"POST", path=b"/api/2.0/mlflow/runs/log-metric", headers=(), length=True
):
    lines = [
        method + b" " + path + b" HTTP/1.1",
        b"Host: localhost",
        b"Content-Type: application/json",
        b"Connection: close",
        *headers,
    ]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_healthy(server):
    assert status(talk(server, request(method=b"GET", path=b"/health"))) == 200


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[",
        b'{"a"',
        b'{"a":}',
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":1}x',
        b'{"a":1}{"a":1}',
        b"tru",
        b'"',
        b'"abc',
        b'{"a":"\x01"}',
        b'{"a":"\\x"}',
        b'{"a":"\\u12"}',
        b'{"a":01}',
        b'{"a":1.}',
        b'{"a":.5}',
        b'{"a":+1}',
        b'{"a":--1}',
        b'{"a":0x10}',
        b"\x00",
        b"\xef\xbb\xbf",
        b"[1]",
        b"5",
        b"<xml/>",
        b"a=b&c=d",
    ],
)
def test_not_json(api, body):
    reply = api.raw("runs/log-metric", body)
    assert reply.status_code == 400, (body, reply.text)
    json.loads(reply.text)


@pytest.mark.parametrize(
    "text",
    [
        b'"\xff"',
        b'"\xc0\xaf"',
        b'"\xed\xa0\x80"',
        b'"\xf4\x90\x80\x80"',
        b'"\xe2\x82"',
        b'"\\ud800"',
        b'"\\udc00\\ud800"',
        b'"\\u0000"',
        b'"a\\u0000b"',
    ],
)
def test_bad_text(api, text):
    for body in (
        b'{"name": %s}' % text,
        b'{"name": "fine", "unknown": %s}' % text,
        b'{%s: 1, "name": "fine"}' % text,
    ):
        refused_here = api.raw("experiments/create", body)
        if b"unknown" in body or body.startswith(b'{"\\u') or body.startswith(b'{"a'):
            assert refused_here.status_code in (200, 400)
        else:
            assert refused_here.status_code == 400, (body, refused_here.text)
        json.loads(refused_here.text)


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"a":'])
@pytest.mark.parametrize("depth", [65, 100_000])
def test_deep(api, opening, depth):
    began = time.monotonic()
    body = b'{"run_id": "x", "metrics": ' + opening * depth
    reply = api.raw("runs/log-batch", body)
    assert reply.status_code == 400
    closing = {b"[": b"]", b'{"a":': b"1}", b'[{"a":': b"}]"}[opening]
    whole = body + (b"1" if opening != b"[" else b"")
    whole += (b"}" if opening == b'{"a":' else closing) * depth + b"}"
    assert api.raw("runs/log-batch", whole).status_code == 400
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    "number",
    [
        "9223372036854775808",
        "-9223372036854775809",
        "1e400",
        "1.5",
        "1e3000000000",
        "9" * 100000,
        '"9223372036854775808"',
        '"1.5"',
        '""',
        "true",
        "[]",
        "{}",
        '"1 "',
    ],
)
def test_bad_integers(api, run, number):
    body = '{"run_id": "%s", "key": "k", "value": 1, "timestamp": %s}' % (run.info.run_id, number)
    reply = api.raw("runs/log-metric", body)
    assert reply.status_code == 400, (number[:50], reply.text)
    assert len(reply.text) < 2000


@pytest.mark.parametrize(
    "number", ["12", '"12"', "12.0", "1.2e1", '"-9223372036854775808"', "9223372036854775807"]
)
def test_good_integers(api, run, number):
    body = '{"run_id": "%s", "key": "k", "value": 1, "timestamp": 1, "step": %s}' % (
        run.info.run_id,
        number,
    )
    assert api.raw("runs/log-metric", body).status_code == 200


@pytest.mark.parametrize(
    "number",
    ["1e400", "-1e400", "1" + "0" * 400, "NaN", "-Infinity", '"NaN"', '"-Infinity"', "true"],
)
def test_odd_doubles(api, client, run, number):
    body = '{"run_id": "%s", "key": "k", "value": %s, "timestamp": 1}' % (run.info.run_id, number)
    reply = api.raw("runs/log-metric", body)
    assert reply.status_code in (200, 400), reply.text
    client.get_run(run.info.run_id)
    text = api.get("runs/get", {"run_id": run.info.run_id}).text
    json.loads(text, parse_constant=lambda c: pytest.fail(f"{c} is not JSON"))


def test_duplicate_keys(api, client, run):
    body = (
        '{"run_id": "%s", "key": "a", "key": "b", "value": 1, "value": 2, "timestamp": 1}'
        % run.info.run_id
    )
    reply = api.raw("runs/log-metric", body)
    if reply.status_code == 200:
        assert client.get_run(run.info.run_id).data.metrics == {"b": 2.0}
    else:
        refused(reply)


def test_both_spellings(api, run):
    assert (
        api.post(
            "runs/log-metric", {"runId": run.info.run_id, "key": "k", "value": 1, "timestamp": 1}
        ).status_code
        == 200
    )


@pytest.mark.parametrize(
    "route, body",
    [
        ("runs/log-metric", {"run_id": 5}),
        ("runs/log-metric", {"run_id": ["x"]}),
        ("runs/log-metric", {"run_id": {}}),
        ("runs/log-metric", {"run_id": True}),
        ("experiments/create", {"name": ["x"]}),
        ("experiments/create", {"name": "x", "tags": "y"}),
        ("experiments/create", {"name": "x", "tags": [5]}),
        ("experiments/create", {"name": "x", "tags": [{"key": 5}]}),
        ("runs/search", {"experiment_ids": "1"}),
        ("runs/search", {"experiment_ids": [1]}),
        ("runs/search", {"max_results": "many"}),
        ("runs/search", {"filter": 7}),
        ("runs/search", {"order_by": "a"}),
        ("runs/update", {"run_id": "x", "status": []}),
        ("runs/log-batch", {"run_id": "x", "metrics": "y"}),
        ("runs/create", {"experiment_id": {}}),
    ],
)
def test_wrong_types(api, route, body):
    refused(api.post(route, body))


def test_null_is_absent(api):
    refused(
        api.post("experiments/create", {"name": None}),
        text="Missing value for required parameter 'name'",
    )


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_content_type(api, content_type):
    reply = api.raw("experiments/create", '{"name": "csrf"}', content_type=content_type)
    refused(reply, reply.json()["error_code"], 400)
    assert "Content-Type" in reply.json()["message"]


def test_content_type_with_charset(api, run):
    body = json.dumps({"run_id": run.info.run_id, "key": "k", "value": "v"})
    assert (
        api.raw("runs/set-tag", body, content_type="application/json; charset=utf-8").status_code
        == 200
    )


def test_unknown_routes_and_methods(api):
    for path in (
        "/nonsense",
        "/api/2.0/mlflow/nonsense",
        "/api/2.0/mlflow/runs/get/",
        "/api/9.0/mlflow/runs/get",
        "//api/2.0/mlflow/runs/get",
        "/api/2.0/mlflow/runs/%67et/../get",
    ):
        assert api.get(path).status_code in (400, 404), path
    assert api.get("runs/create").status_code == 405
    assert api.send("DELETE", "runs/get").status_code == 405
    assert api.send("BREW", "runs/get").status_code in (400, 405, 501)


def test_delete_ignores_the_query(api):
    assert api.send("DELETE", "logged-models/m-" + "0" * 32 + "?model_id=x").status_code == 404


def test_body_too_large(api, server):
    big = b'{"run_id": "%s"}' % (b"x" * (17 << 20))
    try:
        reply = api.raw("runs/log-batch", big)
        assert reply.status_code == 413
        refused(reply, reply.json()["error_code"], 413)
    except Exception as e:  # it may close before all was sent
        assert "Connection" in type(e).__name__ or "Connection" in str(e)


@pytest.mark.parametrize(
    "size", [b"2147483648", b"9223372036854775807", b"18446744073709551616", b"9" * 40]
)
def test_huge_content_length(server, size):
    head = request(headers=[b"Content-Length: " + size], length=False)
    assert status(talk(server, head)) in (400, 413)


@pytest.mark.parametrize(
    "headers",
    [
        [b"Content-Length: -1"],
        [b"Content-Length: +5"],
        [b"Content-Length: 5x"],
        [b"Content-Length: 0x5"],
        [b"Content-Length: "],
        [b"Content-Length: 5", b"Content-Length: 6"],
        [b"Content-Length: 5", b"Transfer-Encoding: chunked"],
        [b"Transfer-Encoding: chunked, identity"],
        [b"Transfer-Encoding: xchunked"],
        [b"Transfer-Encoding: gzip"],
        [b"Host: other"],
    ],
)
def test_framing(server, headers):
    reply = talk(server, request(b"hello", headers=headers, length=False), timeout=5)
    assert status(reply) in (*REFUSED, 0), reply[:200]


@pytest.mark.parametrize(
    "chunks",
    [
        b"zz\r\nhello\r\n0\r\n\r\n",
        b"-5\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFFF\r\nhello",
        b"5\nhello\n0\n\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhelloX\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFF\r\nhello",
    ],
)
def test_bad_chunks(server, chunks):
    head = request(headers=[b"Transfer-Encoding: chunked"], length=False)
    reply = talk(server, head + chunks, timeout=5, half_close=True)
    assert status(reply) in (*REFUSED, 0), reply[:200]
    assert b"200 OK" not in reply


def test_chunked_body_works(server, run):
    body = json.dumps(
        {"run_id": run.info.run_id, "key": "chunked", "value": 1, "timestamp": 1}
    ).encode()
    pieces = b"".join(
        b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7)
    )
    head = request(headers=[b"Transfer-Encoding: chunked"], length=False)
    assert status(talk(server, head + pieces + b"0\r\n\r\n")) == 200


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /health\r\n\r\n",
        b"GET /health HTTP/9.9\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost : localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n: x\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"G\xffT / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
)
def test_broken_requests(server, data):
    reply = talk(server, data, timeout=3, half_close=True)
    assert status(reply) in (200, *REFUSED, 403, 0), reply[:200]


def test_large_headers(server):
    for lines in ([b"X: " + b"y" * 70000], [b"X%d: y" % i for i in range(5000)]):
        assert status(talk(server, request(headers=lines))) in (400, 413, 431, 0)
    long = request(method=b"GET", path=b"/api/2.0/mlflow/runs/get?run_id=" + b"x" * 70000)
    assert status(talk(server, long)) in (400, 404, 413, 414, 431, 0)


@pytest.mark.parametrize("query", ["%", "%zz", "%00", "%ff", "%c0%af", "%ed%a0%80", "a%00b"])
def test_bad_query(server, query):
    path = b"/api/2.0/mlflow/runs/get?run_id=" + query.encode()
    assert status(talk(server, request(method=b"GET", path=path))) in (400, 404)


def test_pipelined_requests(server):
    one = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    last = b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.create_connection((server.host, server.port), timeout=20) as s:
        s.sendall(one * 20 + last)
        got = b""
        while piece := s.recv(65536):
            got += piece
    assert got.count(b"HTTP/1.1 200") == 21


def test_disconnects(server):
    whole = request(b'{"run_id": "x", "key": "k", "value": 1, "timestamp": 1}')
    for cut in range(0, len(whole), 7):
        with socket.create_connection((server.host, server.port), timeout=20) as s:
            s.sendall(whole[:cut])


def test_over_long_values(api, fresh_experiment):
    refused(api.post("experiments/create", {"name": "x" * 100_000}))
    refused(
        api.post(
            "experiments/create",
            {"name": "n", "artifact_location": "mlflow-artifacts:/" + "x" * 100_000},
        )
    )
    tags = [{"key": "k", "value": "v" * 100_000}]
    assert api.post(
        "runs/create", {"experiment_id": fresh_experiment, "tags": tags}
    ).status_code in (200, 400)
    refused(
        api.post(
            "runs/create",
            {
                "experiment_id": fresh_experiment,
                "run_name": "n",
                "tags": [{"key": "k" * 251, "value": ""}],
            },
        )
    )


def test_error_echo_is_short(api):
    reply = api.post("experiments/create", {"name": ["x" * 1_000_000]})
    refused(reply)
    assert len(reply.content) < 3000


def test_markup_is_not_reflected_as_html(api):
    reply = api.get("/api/2.0/mlflow/<script>alert(1)</script>")
    assert reply.status_code == 404
    assert "<script>" not in reply.text or "html" not in reply.headers["Content-Type"]
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


def test_still_healthy(server, client):
    assert status(talk(server, request(method=b"GET", path=b"/health"))) == 200
    assert client.get_experiment("0").name == "Default"
