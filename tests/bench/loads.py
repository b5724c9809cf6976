# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What is asked of the servers, how fast they answer, and what each of the three sides spends on it."""

import base64
import contextlib
import dataclasses
import os
import pathlib
import socket
import subprocess
import time

import requests

import peers
import seed

HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    connections: int
    idle: int = 0  # keep-alive clients that are connected beside them and ask nothing
    floor: str = ""  # what PostgreSQL alone is measured with
    points: int = 0  # metric points of a request
    timed: bool = False  # so slow at the peers that single requests are timed
    alone: bool = False  # more than the peers can answer: they fail here, and for minutes afterwards

    @property
    def key(self):
        return f"{self.name} {self.connections}" + (f" +{self.idle} idle" if self.idle else "")


# Reads first: what is written in a round is at rest again by the next one.
WORKLOADS = [
    Workload("health", 32),
    Workload("health", 256),
    Workload("get-run", 1),
    Workload("get-run", 32),
    Workload("get-run", 256),
    Workload("get-run", 32, idle=2000),
    Workload("get-experiment", 32),
    Workload("search-rows", 32),
    Workload("search-filter", 1),
    Workload("search-filter", 32),
    Workload("page-1", 1),
    Workload("page-50", 1),
    Workload("experiments-search", 32),
    Workload("history", 1, timed=True),
    Workload("history", 32, timed=True),
    Workload("model-search", 32),
    Workload("model-search-tag", 32),
    Workload("version-search", 32),
    Workload("log-metric", 1, floor="pgbench", points=1),
    Workload("log-metric", 32, floor="pgbench", points=1),
    Workload("log-metric", 256, floor="pgbench", points=1),
    Workload("log-metric", 256, idle=2000, points=1),
    Workload("log-batch-10", 32, points=10),
    Workload("log-batch-10", 256, points=10),
    Workload("log-batch-100", 32, points=100),
    Workload("log-batch-100", 256, points=100, alone=True),
    Workload("log-batch-1000", 32, floor="copy", points=1000),
    Workload("log-batch-1000", 256, points=1000, alone=True),
    Workload("create-run", 32),
    Workload("create-run", 256),
    Workload("log-param", 32),
    Workload("log-param", 256),
    Workload("set-tag", 32),
    Workload("set-tag", 256),
    Workload("version-create", 32),
    Workload("alias-set", 32),
]


class Idle:
    """So many keep-alive clients that asked once, while it is open."""

    def __init__(self, server, count):
        self.server, self.count, self.sockets = server, count, []

    def __enter__(self):
        ask = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\n\r\n".encode()
        while len(self.sockets) < self.count:
            some = [socket.create_connection((self.server.host, self.server.port), timeout=60) for _ in range(100)]
            self.sockets += some
            for s in some:
                s.sendall(ask)
            for s in some:
                assert s.recv(4096).startswith(b"HTTP/1.1 200")
        return self

    def __exit__(self, *_):
        for s in self.sockets:
            s.close()


class Target:
    """A running server with its share of the data."""

    def __init__(self, server, cluster, folder, size, user=None):
        self.server, self.cluster, self.size = server, cluster, size
        self.name = server.name
        self.folder = os.path.join(folder, f"{self.name}-{size.name}-{server.port}")
        os.mkdir(self.folder)
        self.session = requests.Session()
        self.session.auth = user
        self.errors, self.lacks, self.tokens = {}, set(), {}

    def call(self, method, path, **options):
        url = self.server.url + (path if path.startswith("/") else "/api/2.0/mlflow/" + path)
        return self.session.request(method, url, timeout=300, **options)

    def post(self, path, **body):
        reply = self.call("POST", path, json=body)
        assert reply.status_code == 200, f"{self.name}: {path}: {reply.status_code} {reply.text[:500]}"
        return reply.json()

    def rest(self):
        """Until Capstan's runs are settled, as those are that nobody has written to for a while."""
        deadline = time.monotonic() + 120
        while self.name == "capstan" and time.monotonic() < deadline:
            with self.cluster.cursor(self.database) as cursor:
                cursor.execute("SELECT EXISTS (SELECT FROM capstan.runs WHERE revision IS NULL)")
                if not cursor.fetchone()[0]:
                    return
            time.sleep(0.5)

    def prepare(self):
        """What is written goes to runs of other experiments than what is searched, where there are any."""
        self.written = self.post("experiments/create", name="written")["experiment_id"]
        made = [self.post("runs/create", experiment_id=self.written) for _ in range(64)]
        written = [run["run"]["info"]["run_id"] for run in made]
        runs, bare = self.size.runs, self.size.bare
        files = {
            "written": written,
            "searched": [seed.run_id(n) for n in range(runs)] or written,
            "bare": [seed.run_id(n) for n in range(runs, runs + bare)] or written,
        }
        for name, ids in files.items():
            with open(os.path.join(self.folder, name), "w") as f:
                f.write("\n".join(ids) + "\n")
        return self

    def token(self, page):
        """Of the page of 100 that has so many before it: as far as there are."""
        skip = min((page - 1) * 100, self.size.runs // 2)
        if page > 1 and page not in self.tokens:
            self.tokens[page] = self.post(
                "runs/search", experiment_ids=["1"], max_results=skip, order_by=["metrics.m0 DESC"]
            )["next_page_token"]
        return self.tokens.get(page)

    def arguments(self, workload, history):
        name, _, page = workload.partition("-")
        writes = workload.startswith("log-") or workload == "small-writes"
        words = {
            "experiment": "1",
            "written": self.written,
            "runs": os.path.join(self.folder, "written" if writes else "searched"),
            "bare": os.path.join(self.folder, "bare"),
            "models": self.size.models,
            "history": seed.run_id(self.size.runs + self.size.bare + history),
        }
        if name == "page":
            token = self.token(int(page))
            if token:
                words["token"] = token
        if self.session.auth:
            plain = base64.b64encode(":".join(self.session.auth).encode()).decode()
            words["authorization"] = f"Basic {plain}"
        return [name if name == "page" else workload] + [f"{key}={value}" for key, value in words.items()]

    def command(self, workload, connections, seconds, history=0):
        return [
            "wrk", f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s",
            "-s", str(HERE / "load.lua"), self.server.url, "--", *self.arguments(workload, history),
        ]  # fmt: skip

    def understand(self, workload, out):
        """requests/s, p50 and p99 in ms, how many."""
        line = next((ln for ln in out.splitlines() if ln.startswith("RESULT")), None)
        if not line:
            raise RuntimeError(f"wrk said: {out[-2000:]}")
        _, total, bad, duration, p50, p99 = line.split()
        good = int(total) - int(bad)
        if int(bad):
            self.errors[workload] = self.errors.get(workload, 0) + int(bad)
        return good / (int(duration) / 1e6), float(p50), float(p99), good

    def load(self, workload, connections, seconds, idle=0, history=0):
        """What one stretch of it found, or None where this server has no such thing."""
        if workload in self.lacks:
            return None
        command = self.command(workload, connections, seconds, history)
        with Idle(self.server, idle) if idle else contextlib.nullcontext():
            before = peers.cpu(self.server.pid), peers.cpu(self.cluster.pid())
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            out = process.stdout.read()
            _, _, spent = os.wait4(process.pid, 0)
            process.returncode = 0
            after = peers.cpu(self.server.pid), peers.cpu(self.cluster.pid())
        rate, p50, p99, good = self.understand(workload, out)
        if not good and self.errors.get(workload):
            self.lacks.add(workload)
            del self.errors[workload]
        if not good:
            return None
        costs = [spent.ru_utime + spent.ru_stime, after[0] - before[0], after[1] - before[1]]
        return {"rate": rate, "p50": p50, "p99": p99, "cpu": [cost / good * 1e6 for cost in costs]}

    def timed(self, workload, count=2, history=0):
        """The same of single requests, for what takes seconds."""
        assert workload == "history"
        took, before = [], (peers.cpu(self.server.pid), peers.cpu(self.cluster.pid()))
        for _ in range(count):
            began = time.monotonic()
            run = seed.run_id(self.size.runs + self.size.bare + history)
            reply = self.call(
                "GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval",
                params={"metric_key": "loss", "max_results": 320, "run_ids": run},
            )  # fmt: skip
            if reply.status_code != 200:
                self.lacks.add(workload)
                return None
            took.append((time.monotonic() - began) * 1000)
        after = peers.cpu(self.server.pid), peers.cpu(self.cluster.pid())
        middle = sorted(took)[count // 2]
        costs = [0.0, *((b - a) / count * 1e6 for a, b in zip(before, after))]
        return {"rate": 1000 / middle, "p50": middle, "p99": max(took), "cpu": costs}


def open_target(cluster, kind, size, folder, wait=0.0):
    """A server on a fresh copy of its template; ms to its first answer and MiB then are in `fresh`."""
    template = seed.template(cluster, kind, size)
    name = f"work-{kind}-{size.name}"
    cluster.drop(name)
    cluster.copy(name, template)
    server = peers.KINDS[kind](backend=cluster.uri(name, scheme=peers.KINDS[kind].scheme))
    try:
        took = peers.start(server)
        target = Target(server, cluster, folder, size)
        target.database = name
        time.sleep(wait)
        target.fresh = {
            "start": took,
            "rss": peers.megabytes(server),
            "threads": peers.status(server.pid, "Threads:"),
        }
        return target
    except BaseException:
        server.close()
        raise
