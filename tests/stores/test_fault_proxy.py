# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The fault proxy does what it was told, where it was told, as often."""

import http.client
import time

import pytest

from .fault_proxy import ANSWER, BODY, CONNECT, CORRUPT, CUT, DONE, HEAD, LENGTH, REPLY, REQUEST, RESET, REWRITE, SENT, STALL, FaultProxy, s3_error
from .service import Service

DATA = bytes(range(256)) * 4000


class Store(Service):
    def __init__(self):
        super().__init__()
        self.objects = {"/o": DATA}

    def handle(self, r):
        if r.command == "PUT":
            self.objects[r.path_only] = r.body()
            return r.reply(200, b"")
        return r.reply(200, self.objects[r.path_only]) if r.path_only in self.objects else r.reply(404, b"")


@pytest.fixture
def store():
    made = Store().start()
    yield made
    made.close()


@pytest.fixture
def proxy(store):
    made = FaultProxy(store.host, store.port).start()
    yield made
    made.close()


def ask(proxy, method="GET", path="/o", body=None, timeout=5, chunked=False, connection=None):
    c = connection or http.client.HTTPConnection(proxy.host, proxy.port, timeout=timeout)
    if chunked:
        c.request(method, path, iter([body]), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    else:
        c.request(method, path, body)
    try:
        r = c.getresponse()
        return r.status, r.read()
    finally:
        if not connection:
            c.close()


def breaks(proxy, *args, **options):
    with pytest.raises((OSError, http.client.HTTPException)) as e:
        ask(proxy, *args, **options)
    return e.value


@pytest.mark.parametrize("chunked", [False, True])
def test_nothing_to_do(proxy, store, chunked):
    assert ask(proxy, "PUT", "/n", DATA, chunked=chunked) == (200, b"") and store.objects["/n"] == DATA
    assert ask(proxy, path="/n?x=1") == (200, DATA)
    proxy.wait_for(lambda: all(x.ended for x in proxy.exchanges))
    assert [(x.method, x.path, x.query, x.status, x.sent, x.received, x.end) for x in proxy.exchanges] == [
        ("PUT", "/n", "", 200, len(DATA), 0, "whole"), ("GET", "/n", "x=1", 200, 0, len(DATA), "whole")]


def test_a_kept_connection(proxy):
    c = http.client.HTTPConnection(proxy.host, proxy.port, timeout=5)
    for _ in range(3):
        assert ask(proxy, connection=c) == (200, DATA)
    assert {(x.connection, x.number) for x in proxy.exchanges} == {(1, 1), (1, 2), (1, 3)}


@pytest.mark.parametrize("action", [CUT, RESET])
@pytest.mark.parametrize("stage", [CONNECT, REQUEST, BODY, SENT, DONE])
def test_breaks_of_an_upload(proxy, store, stage, action):
    fault = proxy.fault(stage, action, after=1000, times=2)
    for _ in range(2):
        error = breaks(proxy, "PUT", "/n", DATA)
        if action == RESET and stage != BODY:
            assert isinstance(error, ConnectionResetError), error
    assert fault.fired == 2
    assert ask(proxy, "PUT", "/n", DATA) == (200, b"")
    proxy.wait_for(lambda: all(x.ended for x in proxy.exchanges))
    if stage != CONNECT:
        assert proxy.exchanges[0].sent == {REQUEST: 0, BODY: 1000}.get(stage, len(DATA))
        assert proxy.exchanges[0].end == f"{action} at {stage}"
    assert store.count("PUT", status=200) == {DONE: 3}.get(stage, 1) or stage == SENT


@pytest.mark.parametrize("action", [CUT, RESET])
@pytest.mark.parametrize("after", [0, 1, 70_000, len(DATA) - 1])
def test_breaks_of_a_download(proxy, action, after):
    proxy.fault(ANSWER, action, after=after)
    error = breaks(proxy)
    if action == CUT:
        assert isinstance(error, http.client.IncompleteRead) and error.partial == DATA[:after]
    proxy.wait_for(lambda: proxy.exchanges[0].ended)
    assert proxy.exchanges[0].received == after
    assert ask(proxy) == (200, DATA)


def test_corrupts_one_byte(proxy, store):
    proxy.fault(ANSWER, CORRUPT, after=100_001, times=2)
    for _ in range(2):
        got = ask(proxy)[1]
        assert [i for i in range(len(DATA)) if got[i] != DATA[i]] == [100_001]
    proxy.fault(BODY, CORRUPT, after=5)
    ask(proxy, "PUT", "/n", DATA)
    assert [i for i in range(len(DATA)) if store.objects["/n"][i] != DATA[i]] == [5]


@pytest.mark.parametrize("stage", [REQUEST, SENT, DONE])
def test_answers_itself(proxy, store, stage):
    proxy.fault(stage, REPLY, method="PUT", path="^/n$", status=503, body=s3_error("SlowDown"))
    assert ask(proxy) == (200, DATA)
    status, text = ask(proxy, "PUT", "/n", DATA)
    assert status == 503 and b"<Code>SlowDown</Code>" in text
    if stage != SENT:
        assert ("/n" in store.objects) == (stage == DONE)
    assert ask(proxy, "PUT", "/n", DATA)[0] == 200


def test_lies_about_the_length(proxy):
    proxy.fault(HEAD, LENGTH, by=-10)
    assert ask(proxy) == (200, DATA[:-10])
    proxy.fault(HEAD, LENGTH, by=10)
    assert breaks(proxy).partial == DATA


def test_rewrites_the_head(proxy):
    proxy.fault(HEAD, REWRITE, change=lambda lines: ["HTTP/1.1 203 Else", *lines[1:]])
    assert ask(proxy) == (203, DATA)


@pytest.mark.parametrize("stage", [CONNECT, REQUEST, SENT, DONE, HEAD, ANSWER])
def test_stalls(proxy, stage):
    proxy.fault(stage, STALL, after=10)
    began = time.monotonic()
    assert isinstance(breaks(proxy, timeout=0.3), TimeoutError)
    assert time.monotonic() - began < 2
    proxy.fault(stage, STALL, after=10, seconds=0.2)
    began = time.monotonic()
    assert ask(proxy) == (200, DATA) and time.monotonic() - began > 0.2


def test_sees_a_client_leave(proxy):
    proxy.fault(ANSWER, STALL, after=10)
    breaks(proxy, timeout=0.2)
    proxy.wait_for(lambda: proxy.exchanges[0].end == "client left", 1)
    c = http.client.HTTPConnection(proxy.host, proxy.port)
    c.putrequest("PUT", "/n")
    c.putheader("Content-Length", "1000")
    c.endheaders(b"x" * 10)
    time.sleep(0.1)
    c.close()
    proxy.wait_for(lambda: proxy.exchanges[1].end == "client left" and proxy.exchanges[1].sent == 10, 1)


def test_skips_and_counts(proxy):
    fault = proxy.fault(REQUEST, REPLY, skip=1, times=2, status=500)
    assert [ask(proxy)[0] for _ in range(4)] == [200, 500, 500, 200] and fault.fired == 2
    body = proxy.fault(ANSWER, CUT, after=5, skip=1)
    assert ask(proxy)[0] == 200
    breaks(proxy)
    assert body.fired == 1


def test_looks_at_headers(proxy):
    proxy.fault(REQUEST, REPLY, status=403, when=lambda x: x.headers.get("host") != "x", times=1)
    assert ask(proxy)[0] == 403


def test_is_quick(proxy, store):
    store.objects["/big"] = bytes(200 << 20)
    began = time.monotonic()
    assert len(ask(proxy, path="/big", timeout=60)[1]) == 200 << 20
    assert time.monotonic() - began < 5
