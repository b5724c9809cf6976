# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P11, P12: many idle and slow clients cost no thread and no other client; slow ones are cut, dripping does not help."""

import resource
import socket
import time

import pytest

import load
from capstan_server import SLOW, wait_for
from conftest import FULL, unique
from wire import JSON, Client, Wire, head, health

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
SEARCH = "/api/2.0/mlflow/experiments/search"
HEAD_S, GRACE_S, IDLE_S = 10, 30, 75            # the daemon's own deadlines: src/http/http.h


def room_for(descriptors):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, descriptors) if hard != resource.RLIM_INFINITY else descriptors, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_idle_and_slow_clients(new_server):
    idle, slow = (10_000, 1_000) if FULL else (2_000, 100)
    if room_for(idle + slow + 500) < idle + slow + 500:
        pytest.skip("not enough descriptors allowed here")
    server = new_server()
    client = Client(server)
    mix = load.Mix(server)
    for _ in range(100):
        assert mix.one()
    threads, sockets, memory = load.threads(server.pid), load.sockets(server.pid), load.memory(server.pid)
    held = []
    for n in range(idle):
        s = socket.create_connection((server.host, server.port), 30)
        s.sendall(head("GET", "/health"))
        held.append(s)
    for s in held:
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
    drips = [b"GET /health HTTP/1.1\r\nHost: loc", head("POST", SEARCH, JSON, "Content-Length: 1000") + b"{",
             head("PUT", f"{PROXY}/{unique()}/x", "Content-Length: 1000000") + b"x" * 10, head("POST", SEARCH, JSON, "Transfer-Encoding: chunked") + b"5\r\n{"]
    for n in range(slow):
        s = socket.create_connection((server.host, server.port), 30)
        s.sendall(drips[n % len(drips)])
        held.append(s)
    waits = []
    for _ in range(300):
        begun = time.monotonic()
        assert mix.one()
        waits.append(time.monotonic() - begun)
    assert load.threads(server.pid) == threads
    assert load.sockets(server.pid) >= sockets + idle
    if "asan" not in server.binary and "tsan" not in server.binary:
        assert load.memory(server.pid) - memory < (idle + slow) * 10_000 + (8 << 20)
    assert sorted(waits)[-3] < 2 * SLOW, "others wait for idle clients"       # how fast is for tests/bench
    for s in held:
        s.close()
    wait_for(lambda: load.sockets(server.pid) <= sockets, 30, f"descriptors back to {sockets}")
    assert load.threads(server.pid) == threads
    health(server)
    client.close()


def gone(wire):
    """Cut, after what may be a last answer."""
    wire.socket.setblocking(False)
    try:
        while wire.socket.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        wire.socket.setblocking(True)


def drip(wires, data, seconds, every=0.5):
    """Sends each wire a piece of data now and then until all are cut; how long each took."""
    begun, ends, n = time.monotonic(), {}, 0
    while len(ends) < len(wires) and time.monotonic() - begun < seconds:
        for name, wire in wires.items():
            if name in ends:
                continue
            try:
                if data.get(name):
                    wire.socket.sendall(data[name])
            except ConnectionError:
                pass
            if gone(wire):
                ends[name] = time.monotonic() - begun
        n += 1
        time.sleep(max(0.0, min(every, begun + n * every - time.monotonic())))
    return ends


def test_a_slow_head_is_cut(server):
    """Complete within 10 s, however it drips: silent ones, drips in the request line, in a header, in headers, and after a first request."""
    wires = {
        "silent": Wire(server).send(b"GET /hea"),
        "line": Wire(server).send(b"GET /"),
        "header": Wire(server).send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: "),
        "headers": Wire(server).send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n"),
        "again": Wire(server).send(head("GET", "/health")),
    }
    assert wires["again"].reply().status == 200
    wires["again"].send(b"GET /health HTTP/1.1\r\n")
    ends = drip(wires, {"line": b"a", "header": b"y", "headers": b"A: b\r\n", "again": b"A: b\r\n"}, 25 * SLOW)
    assert set(ends) == set(wires), f"still open: {set(wires) - set(ends)}"
    assert all(HEAD_S - 2 < t < HEAD_S + 5 * SLOW for t in ends.values()), ends


@pytest.mark.full
def test_a_slow_body_is_cut(server, client):
    """After 30 s at least 1 kB/s, on average: small JSON, an upload, chunks of one byte, and one that reads its answer slowly."""
    target = f"{PROXY}/{unique()}/big"
    assert client.ask("PUT", target, b"x" * 16_000_000).status == 200
    wires = {
        "silent": Wire(server).send(head("POST", SEARCH, JSON, "Content-Length: 1000000") + b"{"),
        "json": Wire(server).send(head("POST", SEARCH, JSON, "Content-Length: 1000000") + b"{"),
        "upload": Wire(server).send(head("PUT", target + "2", "Content-Length: 1000000") + b"x"),
        "chunks": Wire(server).send(head("POST", SEARCH, JSON, "Transfer-Encoding: chunked")),
    }
    ends = drip(wires, {"json": b" " * 100, "upload": b"x" * 100, "chunks": b"1\r\n \r\n"}, 90 * SLOW)
    assert set(ends) == set(wires), f"still open: {set(wires) - set(ends)}"
    assert all(GRACE_S - 2 < t < GRACE_S + 25 * SLOW for t in ends.values()), ends
    assert client.ask("GET", target + "2").status == 404
    fast = Wire(server).send(head("PUT", target + "3", "Content-Length: 120000"))
    for _ in range(60):
        fast.send(b"x" * 2000)          # slow, but enough
        time.sleep(0.6)
    assert fast.reply("PUT").status == 200


@pytest.mark.full
def test_a_slow_reader_is_cut(server, client):
    target = f"{PROXY}/{unique()}/big"
    assert client.ask("PUT", target, b"x" * 64_000_000).status == 200
    sockets = load.sockets(server.pid)
    wire = Wire(server)
    wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wire.send(head("GET", target))
    wait_for(lambda: load.sockets(server.pid) > sockets, 10, "the download")
    wait_for(lambda: load.sockets(server.pid) <= sockets, 90, "its end")
    wire.close()


@pytest.mark.full
def test_an_idle_client_is_cut(server):
    wires = {"never": Wire(server), "once": Wire(server).send(head("GET", "/health"))}
    assert wires["once"].reply().status == 200
    ends = drip(wires, {}, (IDLE_S + 30) * SLOW)
    assert set(ends) == set(wires)
    assert all(IDLE_S - 5 < t < IDLE_S + 15 * SLOW for t in ends.values()), ends


@pytest.mark.parametrize("data", [b"", b"GET /hea", head("GET", "/health"), head("POST", SEARCH, JSON, "Content-Length: 100") + b"{",
                                  head("POST", SEARCH, JSON, "Transfer-Encoding: chunked") + b"ffff\r\n{", head("PUT", PROXY + "/half/x", "Transfer-Encoding: chunked")])
def test_half_closed_clients_hold_nothing(server, data):
    """CVE-2022-41556: whoever can send no more gets the answer to what was whole, and is hung up on soon."""
    wires = []
    for _ in range(40):
        wire = Wire(server)
        wire.socket.sendall(data)
        wire.socket.shutdown(socket.SHUT_WR)
        wires.append(wire)
    for wire in wires:
        wire.socket.settimeout(15 * SLOW)
        got = b""
        try:
            while more := wire.socket.recv(65536):
                got += more
        except ConnectionError:
            pass
        wire.close()
        assert got.startswith(b"HTTP/1.1 200") or data != head("GET", "/health"), got


def test_connections_that_end_at_every_byte(server):
    """Cut in the head, the body, the answer: the descriptors come back."""
    whole = head("POST", SEARCH, JSON, "Content-Length: 17") + b'{"max_results":1}'
    before = load.sockets(server.pid)
    for cut in range(len(whole) + 1):
        for how in ("close", "reset"):
            wire = Wire(server)
            wire.socket.sendall(whole[:cut])
            wire.close() if how == "close" else wire.reset()
    wait_for(lambda: load.sockets(server.pid) <= before, 20, f"descriptors back to {before}")


def test_pipelines(server):
    """A thousand requests at once on one connection are answered in order, or cut; they do not hold up another's."""
    with Wire(server) as wire:
        wire.send(b"".join(head("GET", f"/version?n={n}", f"X-Request-Id: n{n}") for n in range(200)))
        for n in range(200):
            reply = wire.reply()
            assert reply.status == 200 and reply.headers["x-request-id"] == f"n{n}"
        health(server)
