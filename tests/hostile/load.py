# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Mixed requests from a few threads, and what the daemon's process looks like."""

import os
import random
import threading

from conftest import World, unique
from wire import JSON, Client

PROXY = "/api/2.0/mlflow-artifacts/artifacts"


def memory(pid):
    """Resident bytes."""
    with open(f"/proc/{pid}/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def peak(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmHWM"))


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def sockets(pid):
    """Open descriptors that are TCP sockets; those to the private PostgreSQL, which come when they are needed, are not."""
    with open("/proc/net/unix") as f:
        unix = {f"socket:[{line.split()[6]}]" for line in f.readlines()[1:]}
    found = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        found += target.startswith("socket:") and target not in unix
    return found


class Mix:
    """One client's good and bad requests, the same amount of state whatever their number."""

    def __init__(self, server, seed=0):
        self.client = Client(server)
        self.random = random.Random(seed)
        self.world = World(self.client)
        self.folder = unique("mix")
        self.refused = 0

    def one(self):
        w, c, n = self.world, self.client, self.random.randrange(100)
        step = n % 10
        if n < 25:
            reply = c.post("runs/log-metric", {"run_id": w.run, "key": f"m{step}", "value": n, "timestamp": step, "step": step})
        elif n < 35:
            reply = c.post("runs/log-batch", {"run_id": w.run, "metrics": [{"key": f"m{i}", "value": n, "timestamp": i, "step": i} for i in range(20)],
                                              "params": [{"key": f"p{step}", "value": "x"}], "tags": [{"key": f"t{step}", "value": str(n)}]})
        elif n < 45:
            reply = c.post("runs/set-tag", {"run_id": w.run, "key": f"t{step}", "value": "x" * n * 20})
        elif n < 60:
            reply = c.get("runs/get", {"run_id": w.run})
        elif n < 68:
            reply = c.post("runs/search", {"experiment_ids": [w.experiment], "filter": f"metrics.m{step} >= 0 AND tags.t{step} LIKE '%'", "order_by": ["metrics.m1 DESC"]})
        elif n < 74:
            reply = c.get("metrics/get-history", {"run_id": w.run, "metric_key": f"m{step}"})
        elif n < 78:
            reply = c.post("experiments/search", {"max_results": 20, "filter": f"name LIKE '{step}%'"})
        elif n < 84:
            reply = c.ask("PUT", f"{PROXY}/{self.folder}/{step}", b"x" * (n * 1000))
        elif n < 90:
            reply = c.ask("GET", f"{PROXY}/{self.folder}/{step}")
            return reply.status in (200, 404)
        elif n < 92:
            reply = c.ask("DELETE", f"{PROXY}/{self.folder}/{step}")
        else:
            return self.bad(n)
        return reply.status == 200

    def bad(self, n):
        c = self.client
        self.refused += 1
        reply = [
            lambda: c.ask("POST", "/api/2.0/mlflow/runs/log-batch", b'{"a":' * 20_000, JSON),
            lambda: c.ask("POST", "/api/2.0/mlflow/runs/create", b"{}", "Content-Type: text/plain"),
            lambda: c.get("runs/get", {"run_id": "0" * 32}),
            lambda: c.ask("GET", f"{PROXY}/%2e%2e/x"),
            lambda: c.post("runs/search", {"experiment_ids": ["0"], "filter": "(" * 2000}),
            lambda: c.post("runs/log-metric", {"run_id": "x" * 100_000, "key": "k", "value": 1, "timestamp": 1}),
            lambda: c.ask("GET", f"/{n}/nothing"),
            lambda: c.post("runs/search", {"experiment_ids": ["0"], "page_token": "x" * 1000}),
        ][n - 92]()
        return 400 <= reply.status < 500


def run(server, clients, count, seed=0):
    """count mixed requests; the number that went wrong."""
    wrong, lock = [], threading.Lock()
    left = [count]

    def work(number):
        mix = Mix(server, seed + number)
        try:
            while True:
                with lock:
                    if left[0] <= 0:
                        return
                    left[0] -= 1
                if not mix.one():
                    with lock:
                        wrong.append(number)
        except Exception as error:
            with lock:
                wrong.append(error)
            raise
        finally:
            mix.client.close()

    workers = [threading.Thread(target=work, args=(n,)) for n in range(clients)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return wrong
