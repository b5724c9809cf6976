# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
kill -9 of the daemon, of its PostgreSQL and of both, again and again under load. Afterwards every acknowledged write is
there, and no batch is half there; registry.py: nor is a version, a move or an event lost or made up.

    python tests/crash/crash.py [--rounds 6] [--seconds 2] [--threads 16] [--seed N]
"""

import argparse
import os
import pathlib
import random
import signal
import sys
import threading
import time

import requests

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "api"))
import capstan_server  # noqa: E402
import registry  # noqa: E402
from capstan_server import alive, wait_for  # noqa: E402

BATCH = 40  # metrics, and as many params and tags, of one batch


class Client(threading.Thread):
    """Writes without a pause; remembers what was asked for and what was promised."""

    def __init__(self, server, number, stop):
        super().__init__(daemon=True)
        self.server, self.number, self.stop = server, number, stop
        self.session = requests.Session()
        self.random = random.Random(number)
        self.runs = []  # acknowledged create-run: (run id, name)
        self.points = {}  # run -> {(key, step): value} acknowledged
        self.params = {}  # run -> {key: value} acknowledged
        self.batches = {}  # run -> {batch number: acknowledged}
        self.asked = 0
        self.acknowledged = 0
        self.strange = []

    def post(self, route, body):
        """The reply when it was acknowledged, else None."""
        self.asked += 1
        try:
            reply = self.session.post(
                f"{self.server.url}/api/2.0/mlflow/{route}", json=body, timeout=30
            )
        except requests.RequestException:
            time.sleep(0.005)
            return None
        if reply.status_code == 200:
            self.acknowledged += 1
            return reply.json()
        if reply.status_code != 503:
            self.strange.append((route, reply.status_code, reply.text[:300]))
        elif not reply.headers.get("Retry-After"):
            self.strange.append((route, "503 without Retry-After"))
        time.sleep(0.005)
        return None

    def create_run(self):
        name = f"run-{self.number}-{self.asked}"
        made = self.post(
            "runs/create",
            {
                "experiment_id": "0",
                "run_name": name,
                "start_time": 1,
                "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "2"}],
            },
        )
        if made:
            self.runs.append((made["run"]["info"]["run_id"], name))

    def log_metric(self, run):
        step, value = self.asked, self.random.random()
        if (
            self.post(
                "runs/log-metric",
                {"run_id": run, "key": "m", "value": value, "timestamp": 1, "step": step},
            )
            is not None
        ):
            self.points.setdefault(run, {})["m", step] = value

    def log_param(self, run):
        key = f"p{self.asked}"
        if self.post("runs/log-parameter", {"run_id": run, "key": key, "value": key}) is not None:
            self.params.setdefault(run, {})[key] = key

    def log_batch(self, run):
        n = self.asked
        body = {
            "run_id": run,
            "metrics": [
                {"key": f"batch{i % 4}", "value": n, "timestamp": n, "step": n * BATCH + i}
                for i in range(BATCH)
            ],
            "params": [{"key": f"b{n}-{i}", "value": str(n)} for i in range(BATCH)],
            "tags": [{"key": f"t{n}-{i}", "value": str(n)} for i in range(BATCH)],
        }
        self.batches.setdefault(run, {})[n] = self.post("runs/log-batch", body) is not None

    def run(self):
        while not self.stop.is_set():
            if not self.runs or self.random.random() < 0.1:
                self.create_run()
                continue
            run = self.random.choice(self.runs[-3:])[0]
            self.random.choice([self.log_metric, self.log_metric, self.log_param, self.log_batch])(
                run
            )


def children(pid):
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    if int(f.read().rsplit(")", 1)[1].split()[1]) == pid:
                        found.append(int(entry))
            except (OSError, IndexError):
                pass
    return found


def kill_postgres(pid):
    victims = [pid, *children(pid)]
    for each in victims:
        try:
            os.kill(each, signal.SIGKILL)
        except ProcessLookupError:
            pass
    wait_for(lambda: not any(map(alive, victims)), 10, "end of PostgreSQL")


def one_round(server, what):
    """A kill of one kind; back in service at its end."""
    if what in ("daemon", "both"):
        postmaster = server.postmaster()
        server.kill()
        if what == "both" and postmaster:
            kill_postgres(postmaster)
        server.start()
    else:
        postmaster = wait_for(server.postmaster, 20, "a postmaster")
        kill_postgres(postmaster)
    wait_for(lambda: ready(server), 30, "the daemon ready again")


def ready(server):
    try:
        return requests.get(server.url + "/readyz", timeout=10).status_code == 200
    except requests.RequestException:
        return False


class Check:
    """Everything that was promised, against what is there."""

    def __init__(self, server):
        self.url = server.url + "/api/2.0/mlflow/"
        self.session = requests.Session()
        self.wrong = []
        self.checked = 0

    def get(self, route, **arguments):
        reply = self.session.get(self.url + route, params=arguments, timeout=120)
        return reply.json() if reply.status_code == 200 else {}

    def history(self, run, key):
        found = {}
        for point in self.get(
            "metrics/get-history", run_id=run, metric_key=key, max_results=25000
        ).get("metrics", []):
            found[point["step"]] = point["value"]
        return found

    def expect(self, fine, *what):
        self.checked += 1
        if not fine:
            self.wrong.append(what)

    def run(self, client, run, name):
        got = self.get("runs/get", run_id=run).get("run")
        self.expect(got and got["info"]["run_name"] == name, "run lost", run)
        if not got:
            return
        params = {p["key"]: p["value"] for p in got["data"].get("params", [])}
        tags = {t["key"]: t["value"] for t in got["data"].get("tags", [])}
        self.expect(tags.get("a") == "1" and tags.get("b") == "2", "tags of create-run lost", run)
        for key, value in client.params.get(run, {}).items():
            self.expect(params.get(key) == value, "param lost", run, key)
        points = self.history(run, "m")
        for (_, step), value in client.points.get(run, {}).items():
            self.expect(points.get(step) == value, "point lost", run, step)
        self.batches(client, run, params, tags)

    def batches(self, client, run, params, tags):
        steps = set()
        for key in range(4):
            steps |= set(self.history(run, f"batch{key}"))
        for n, acknowledged in client.batches.get(run, {}).items():
            parts = [n * BATCH + i in steps for i in range(BATCH)]
            parts += [f"b{n}-{i}" in params for i in range(BATCH)]
            parts += [f"t{n}-{i}" in tags for i in range(BATCH)]
            self.expect(all(parts) or not any(parts), "half a batch", run, n, sum(parts))
            self.expect(all(parts) or not acknowledged, "batch lost", run, n)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--threads", type=int, default=12)
    parser.add_argument("--registrars", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    print(f"seed {arguments.seed}", flush=True)
    server = capstan_server.Server(env=registry.ENVIRONMENT).start()
    stop = threading.Event()
    clients = [Client(server, n, stop) for n in range(arguments.threads)]
    registrars = [registry.Registrar(server, n, stop) for n in range(arguments.registrars)]
    receiver, hooks = registry.prepare(server, registrars)
    try:
        for client in [*clients, *registrars]:
            client.start()
        for n in range(arguments.rounds):
            before = sum(c.acknowledged for c in clients)
            what = ["daemon", "postgres", "both"][n % 3]
            # not before some writes were acknowledged, and then at any moment
            wait_for(lambda: sum(c.acknowledged for c in clients) > before + 50, 30, "writes")
            time.sleep(chance.random() * arguments.seconds)
            one_round(server, what)
            print(
                f"round {n + 1}: killed {what}; {sum(c.acknowledged for c in clients)} acknowledged",
                flush=True,
            )
        before = sum(c.acknowledged for c in clients)
        wait_for(
            lambda: sum(c.acknowledged for c in clients) > before + 50,
            30,
            "writes after the last kill",
        )
        stop.set()
        for client in [*clients, *registrars]:
            client.join(60)
        check = Check(server)
        for client in clients:
            for run, name in client.runs:
                check.run(client, run, name)
        registry.Registry(check, registrars, receiver, hooks).run()
        wrong = check.wrong + [s for c in [*clients, *registrars] for s in c.strange]
        server.stop()
        server.check()
        if server.processes():
            wrong.append(("left running", server.processes()))
    finally:
        stop.set()
        receiver.close()
        server.close()
    for each in wrong[:20]:
        print("WRONG:", *each)
    print(
        f"registry: {sum(len(r.asked) for r in registrars)} asked, {sum(len(r.acknowledged) for r in registrars)} acknowledged, "
        f"{sum(r.conflicts for r in registrars)} conflicts, {len(receiver.got())} deliveries"
    )
    print(
        f"{sum(c.asked for c in clients)} asked, {sum(c.acknowledged for c in clients)} acknowledged, "
        f"{check.checked} checks, {len(wrong)} violations"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
