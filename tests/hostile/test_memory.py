# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P10: memory is bounded: it does not grow with the requests answered, nor with clients that do not read."""

import os
import socket

import pytest

import load
from capstan_server import wait_for
from conftest import FULL, unique
from wire import Client, Wire, head

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MIB = 1 << 20
SANITIZED = any(s in os.environ.get("CAPSTAN_BINARY", "") for s in ("asan", "tsan", "sanitize"))
plain = pytest.mark.skipif(SANITIZED, reason="a sanitizer's memory says nothing about ours")


@plain
def test_requests_leave_no_memory_behind(new_server):
    server = new_server()
    warm, count, allowed = (100_000, 10_000_000, 0.05) if FULL else (3_000, 9_000, 0.05)
    assert not load.run(server, 8, warm)
    before = load.memory(server.pid)
    assert not load.run(server, 8, count, seed=100)
    after = load.memory(server.pid)
    # 1 MiB is the noise of eight workers' malloc arenas
    assert after <= before * (1 + allowed) + MIB, f"{before / MIB:.1f} MiB after {warm} requests, {after / MIB:.1f} after {count} more"
    assert load.peak(server.pid) < 64 * MIB + 2 * 16 * MIB, f"peak {load.peak(server.pid) / MIB:.0f} MiB"


@plain
def test_large_requests_give_their_memory_back(new_server):
    server = new_server()
    client = Client(server)
    mix = load.Mix(server)
    for _ in range(200):
        mix.one()
    before = load.memory(server.pid)
    body = b'{"run_id":"' + mix.world.run.encode() + b'","key":"k","value":"' + b"x" * (15 * MIB) + b'"}'
    for _ in range(6):
        assert client.ask("POST", "/api/2.0/mlflow/runs/set-tag", body, "Content-Type: application/json").status in (200, 400)
    assert load.peak(server.pid) < 64 * MIB + 4 * 16 * MIB, f"peak {load.peak(server.pid) / MIB:.0f} MiB"
    wait_for(lambda: load.memory(server.pid) < before + 24 * MIB, 15, f"memory back to {before / MIB:.0f} MiB")
    client.close()


@plain
def test_readers_that_do_not_read(server, client):
    """20 of them, each before a file of 16 MB, cost the fixed ring of their transfer and no more."""
    target = f"{PROXY}/{unique()}/big"
    assert client.ask("PUT", target, b"x" * 16_000_000).status == 200
    assert len(client.ask("GET", target).body) == 16_000_000
    before = load.memory(server.pid)
    stalled = []
    for _ in range(20):
        wire = Wire(server)
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.send(head("GET", target))
        assert wire.socket.recv(100).startswith(b"HTTP/1.1 200")
        stalled.append(wire)
    grown = max(load.memory(server.pid) for _ in range(50)) - before
    for wire in stalled:
        wire.close()
    assert grown < 8 * MIB, f"{grown / MIB:.1f} MiB"


@plain
def test_writers_that_stop_writing(server, client):
    """Uploads that stand still cost a ring, not their size."""
    before = load.memory(server.pid)
    stalled = []
    for _ in range(20):
        wire = Wire(server).send(head("PUT", f"{PROXY}/{unique()}/big", "Content-Length: 16000000") + b"x" * MIB)
        stalled.append(wire)
    client.ask("GET", "/health")
    grown = max(load.memory(server.pid) for _ in range(50)) - before
    for wire in stalled:
        wire.close()
    assert grown < 8 * MIB, f"{grown / MIB:.1f} MiB"


@plain
def test_bodies_that_never_end_share_a_budget(server, client):
    """LIMIT_BODIES: whoever comes beyond it is told to come again, and it is given back."""
    before = load.memory(server.pid)
    held = []
    for _ in range(20):
        wire = Wire(server)
        try:
            wire.send(head("POST", "/api/2.0/mlflow/runs/set-tag", "Content-Type: application/json", "Content-Length: 16000000") + b" " * 15_000_000)
        except OSError:
            pass
        held.append(wire)
    grown = load.memory(server.pid) - before
    for wire in held:
        wire.close()
    assert grown < 64 * MIB + 32 * MIB, f"{grown / MIB:.1f} MiB"
    good = b'{"max_results":1}' + b" " * 12_000_000
    wait_for(lambda: client.ask("POST", "/api/2.0/mlflow/experiments/search", good, "Content-Type: application/json").status == 200, 40, "the budget back")


@plain
def test_bad_heads_leave_no_memory_behind(server):
    def barrage(count):
        for n in range(count):
            with Wire(server) as wire:
                try:
                    wire.send([b"\0" * 100 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 20_000 + b"\r\n\r\n", b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                               b"PUT " + PROXY.encode() + b"/z HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"][n % 4])
                    wire.socket.recv(1000)
                except OSError:
                    pass

    def settled():
        return load.memory(server.pid)

    barrage(1000)
    before = settled()
    barrage(20_000 if FULL else 3000)
    wait_for(lambda: settled() < before * 1.05 + MIB, 15, f"memory back to {before / MIB:.1f} MiB")
