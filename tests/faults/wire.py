# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""A plain HTTP client on one connection that never repeats a request by itself, and what tests ask with it."""

import base64
import collections
import contextlib
import http.client
import json
import os
import threading
import time
import uuid

API = "/api/2.0/mlflow/"
FILES = "/api/2.0/mlflow-artifacts/artifacts/"
INTERNAL = ("postgres", "database", "sql:", "libpq", "psql", "relation", "errno", "/tmp/", "socket", "transaction")


class Closed(Exception):
    """The server closed the connection instead of answering: the outcome is unknown."""


class Reply:
    def __init__(self, status, headers, data):
        self.status, self.headers, self.data = status, headers, data

    @property
    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"<{self.status} {self.data[:300]!r}>"


class Client:
    def __init__(self, server, timeout=60, user=None):
        """user: (name, password); the server's own where it has one."""
        self.server, self.timeout = server, timeout
        self.connection = None
        self.user = user or getattr(server, "user", None)

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def call(self, method, path, body=None, user=None):
        """path: of /api/2.0/mlflow/ unless it begins with a slash; body: bytes, or what becomes JSON."""
        headers = {}
        user = user or self.user
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(":".join(user).encode()).decode()
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        if not self.connection:
            self.connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=self.timeout)
        try:
            self.connection.request(method, path if path.startswith("/") else API + path, body, headers)
            reply = self.connection.getresponse()
            answer = Reply(reply.status, reply.headers, reply.read())
            if reply.will_close:
                self.close()
            return answer
        except TimeoutError:
            self.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Closed(repr(error)) from error

    def get(self, path):
        return self.call("GET", path)

    def post(self, path, body):
        return self.call("POST", path, body)

    def put(self, path, data):
        return self.call("PUT", FILES + path, data)

    def good(self, method, path, body=None):
        reply = self.call(method, path, body)
        assert reply.status == 200, reply
        return reply.json if reply.data[:1] == b"{" else reply.data

    # ---- what tests need again and again ----

    def experiment(self):
        return self.good("POST", "experiments/create", {"name": "e-" + uuid.uuid4().hex})["experiment_id"]

    def run(self, experiment="0"):
        created = self.good("POST", "runs/create", {"experiment_id": experiment, "start_time": 1})
        return created["run"]["info"]["run_id"]

    def run_data(self, run_id):
        return self.good("GET", f"runs/get?run_id={run_id}")["run"]["data"]

    def history(self, run_id, key):
        found, token = [], ""
        while True:
            page = self.good("GET", f"metrics/get-history?run_id={run_id}&metric_key={key}&max_results=25000"
                             + (f"&page_token={token}" if token else ""))
            found += page.get("metrics", [])
            token = page.get("next_page_token")
            if not token:
                return found

    def listing(self, path):
        return {f["path"] for f in self.good("GET", f"/api/2.0/mlflow-artifacts/artifacts?path={path}").get("files", [])}


def refusal(reply, statuses=(503,)):
    """The reply is an error that a client may see: JSON, and not a word about what is behind us."""
    assert reply.status in statuses, reply
    body = reply.json
    assert body["error_code"] and body["message"], reply
    for word in INTERNAL:
        assert word not in body["message"].lower(), reply
    if reply.status == 503:
        assert int(reply.headers["Retry-After"]) >= 0, reply.headers
    return body


def open_files(daemon):
    """Files and directories that it holds open; connections come and go."""
    folder = f"/proc/{daemon.pid}/fd"
    found = []
    for name in os.listdir(folder):
        with contextlib.suppress(OSError):
            found.append(os.readlink(f"{folder}/{name}"))
    return sorted(f for f in found if f.startswith("/"))


def settled(daemon, before):
    """Nothing more is open than before."""
    deadline = time.monotonic() + 10
    while more := collections.Counter(open_files(daemon)) - collections.Counter(before):
        assert time.monotonic() < deadline, f"left open: {more}"
        time.sleep(0.02)


class Load:
    """Clients that write until told to stop, and remember what was acknowledged."""

    def __init__(self, server, clients=8, statuses=(503,), big=b""):
        self.server, self.statuses, self.big = server, statuses, big
        self.stopping = threading.Event()
        self.problems = []
        self.answers = {}
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.work, args=(i,), daemon=True) for i in range(clients)]
        self.runs = [Client(server).run() for _ in range(clients)]
        self.sent = [0] * clients           # steps tried: 1..sent
        self.acknowledged = [set() for _ in range(clients)]
        self.good_at = [0.0] * clients

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a client waits for ever"

    def count(self):
        return sum(map(len, self.acknowledged))

    def note(self, status):
        with self.lock:
            self.answers[status] = self.answers.get(status, 0) + 1

    def step(self, client, i, step):
        """A batch (half of the clients) or one point."""
        if i % 2:
            return client.post("runs/log-metric", {"run_id": self.runs[i], "key": "m", "value": step,
                                                   "timestamp": step, "step": step})
        return client.post("runs/log-batch", {
            "run_id": self.runs[i],
            "metrics": [{"key": key, "value": step, "timestamp": step, "step": step} for key in "abc"],
            "params": [{"key": f"p{step}", "value": str(step)}], "tags": [{"key": f"t{step}", "value": str(step)}]})

    def work(self, i):
        client = Client(self.server)
        try:
            while not self.stopping.is_set():
                self.sent[i] += 1
                step = self.sent[i]
                try:
                    reply = self.step(client, i, step)
                except Closed:
                    self.note("closed")
                    self.stopping.wait(0.01)
                    continue
                self.note(reply.status)
                if reply.status == 200:
                    self.acknowledged[i].add(step)
                    self.good_at[i] = time.monotonic()
                else:
                    refusal(reply, self.statuses)
                    self.stopping.wait(0.01)
        except Exception as error:      # noqa: BLE001  a thread's failure is the test's
            self.problems.append(repr(error))

    def check(self, server=None):
        """All that was acknowledged is there, and no part of a batch without the rest."""
        assert not self.problems, self.problems[:3]
        client = Client(server or self.server)
        for i, run in enumerate(self.runs):
            known = set(range(1, self.sent[i] + 1))
            if i % 2:
                there = {int(m["step"]) for m in client.history(run, "m")}
            else:
                data = client.run_data(run)
                kinds = [{int(m["step"]) for m in client.history(run, key)} for key in "abc"]
                kinds.append({int(p["value"]) for p in data.get("params", [])})
                kinds.append({int(t["value"]) for t in data.get("tags", []) if t["key"][1:].isdigit()})
                there = kinds[0]
                assert all(kind == there for kind in kinds), f"half a batch: {[sorted(k ^ there) for k in kinds]}"
            lost = self.acknowledged[i] - there
            assert not lost, f"acknowledged and lost: {sorted(lost)[:10]}"
            assert there <= known, f"never sent: {sorted(there - known)[:10]}"


@contextlib.contextmanager
def within(seconds, what):
    begun = time.monotonic()
    yield
    passed = time.monotonic() - begun
    assert passed <= seconds, f"{what} took {passed:.2f} s"
