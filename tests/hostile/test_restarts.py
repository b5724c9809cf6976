# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P14: restarts under load. A client that tries again when it could not connect, or was cut before an answer began, sees
no failed request; what the daemon has begun when SIGTERM comes, it ends."""

import contextlib
import json
import signal
import threading
import time

from capstan_server import SLOW, wait_for
from conftest import FULL, World
from wire import JSON, Client, Wire, api, head

RESTARTS = 100 if FULL else 10


class Retrying:
    """Writes one point after another; counts what no polite client may be made to see."""

    def __init__(self, server, run, number):
        self.server, self.run, self.number = server, run, number
        self.acknowledged, self.wrong, self.retried = [], [], 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def request(self, step):
        body = json.dumps({"run_id": self.run, "key": f"client{self.number}", "value": step, "timestamp": step, "step": step}).encode()
        return head("POST", api("runs/log-metric"), JSON, f"Content-Length: {len(body)}") + body

    def attempt(self, wire, request):
        """(connection to go on with, status or None: try again)."""
        began = False
        try:
            wire = wire or Wire(self.server)
            wire.sent = b""
            wire.socket.sendall(request)
            first = wire.socket.recv(1)
            if not first:
                raise ConnectionError
            wire.kept, began = first + wire.kept, True
            reply = wire.reply("POST")
            if reply is None:
                raise ConnectionError
            if reply.headers.get("connection", "").lower() == "close":
                wire.close()
                wire = None
            return wire, reply.status
        except OSError:
            if began:
                self.wrong.append("cut within an answer")
            if wire:
                wire.close()
            return None, None

    def work(self):
        wire, step = None, 0
        try:
            while not self.over.is_set():
                request = self.request(step)
                wire, status = self.attempt(wire, request)
                if status == 200:
                    self.acknowledged.append(step)
                    step += 1
                elif status is None:
                    self.retried += 1
                    self.over.wait(0.005)
                else:
                    self.wrong.append(status)
        except Exception as error:
            self.wrong.append(error)
        if wire:
            wire.close()

    def end(self):
        self.over.set()
        self.thread.join()


def history(client, run, key):
    steps, token = [], None
    while True:
        query = {"run_id": run, "metric_key": key, "max_results": 20_000, **({"page_token": token} if token else {})}
        reply = client.get("metrics/get-history", query).json
        steps += [m.get("step", 0) for m in reply.get("metrics", [])]
        token = reply.get("next_page_token")
        if not token:
            return steps


def test_restarts_under_load(new_server, postgres):
    server = new_server(backend=postgres.database("restarts"))
    client = Client(server)
    world = World(client)
    client.close()
    writers = [Retrying(server, world.run, n) for n in range(4)]
    worst = 0.0
    try:
        for _ in range(RESTARTS):
            counts = [len(w.acknowledged) for w in writers]
            wait_for(lambda: all(len(w.acknowledged) > c + 20 or w.wrong for w, c in zip(writers, counts)), 30, "load")
            begun = time.monotonic()
            server.restart()            # SIGTERM, exit 0, first 200
            worst = max(worst, time.monotonic() - begun)
    finally:
        for writer in writers:
            writer.end()
    client = Client(server)
    for writer in writers:
        assert not writer.wrong, writer.wrong[:10]
        assert history(client, world.run, f"client{writer.number}")[:len(writer.acknowledged)] == writer.acknowledged
    client.close()
    assert worst < 15 * SLOW, f"{worst:.1f} s for a restart"


def test_what_is_in_flight_is_answered(new_server):
    """Heads and bodies half sent, an upload, a download and a search when SIGTERM comes: all are answered, then it ends."""
    server = new_server()
    client = Client(server)
    world = World(client)
    target = "/api/2.0/mlflow-artifacts/artifacts/flight/x"
    assert client.ask("PUT", target, b"x" * 8_000_000).status == 200
    body = json.dumps({"run_id": world.run, "key": "k", "value": "v"}).encode()
    write = Wire(server).send(head("POST", api("runs/set-tag"), JSON, f"Content-Length: {len(body)}") + body[:10])
    upload = Wire(server).send(head("PUT", target + "2", "Content-Length: 1000000") + b"y" * 500_000)
    download = Wire(server).send(head("GET", target))
    first = download.socket.recv(1)
    wait_for(lambda: in_flight(client) >= 3, 10, "all to be in flight")
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: refuses(server), 10, "an end to new clients")
    assert server.process.poll() is None, "it left before its requests were answered"
    write.send(body[10:])
    upload.send(b"y" * 500_000)
    download.kept = first
    assert write.reply("POST").status == 200
    assert upload.reply("PUT").status == 200
    assert len(download.reply().body) == 8_000_000
    for wire in (write, upload, download):
        wire.close()
    client.close()
    assert server.process.wait(20 * SLOW) == 0
    server.start()
    assert len(client.ask("GET", target + "2").body) == 1_000_000
    client.close()


def in_flight(client):
    """Requests begun and not answered, by the daemon's own count; ours is one."""
    for line in client.ask("GET", "/metrics").body.decode().splitlines():
        if "in_flight" in line and not line.startswith("#"):
            return float(line.split()[-1]) - 1
    raise AssertionError("no gauge of requests in flight")


def refuses(server):
    with contextlib.suppress(OSError):
        Wire(server).close()
        return False
    return True


def test_clients_that_never_end_do_not_hold_it(new_server):
    """Half-sent requests have ten seconds, then it goes, with exit code 0."""
    server = new_server()
    wires = [Wire(server).send(text) for text in (
        b"GET /hea", head("POST", api("runs/set-tag"), JSON, "Content-Length: 100") + b"{", head("PUT", "/api/2.0/mlflow-artifacts/artifacts/never/x", "Content-Length: 100"),
        head("GET", "/health"))]
    assert wires[-1].reply().status == 200
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(20 * SLOW) == 0
    for wire in wires:
        wire.close()
