# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Beyond one workload at a time: memory, what accounts cost, small requests beside heavy ones, 100,000 runs."""

import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import requests

import capstan_server
import loads
import peers
import seed

GIB = 1 << 30
NOTHING = seed.Size("nothing", runs=0, experiments=0, models=0, points=(), bare=0)
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
VERSITYGW = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"), "capstan/stores/versitygw")


def busy_memory(target, seconds):
    """The most MiB seen while 256 connections log metrics, and the threads then."""
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(target.load, "log-metric", 256, seconds)
        most = threads = 0
        while not loading.done():
            most = max(most, peers.megabytes(target.server))
            threads = max(threads, peers.status(target.server.pid, "Threads:"))
            time.sleep(0.05)
        loading.result()
        return most, threads


def memory(target, options):
    """MiB of a fresh server: idle, with 256 busy connections, and with many clients that keep theirs."""
    busy, threads = busy_memory(target, options.seconds)
    count = 10_000 if target.name == "capstan" else 2_000
    with loads.Idle(target.server, count):
        idle = peers.megabytes(target.server)
    return {**target.fresh, "busy": busy, "busy threads": threads, "idle": idle, "clients": count}


def accounts(cluster, folder, options):
    """The same work with nobody signed in, and by a user who may write one experiment."""
    admin, user = ("admin", "an admin's password"), ("writer", "a writer's password")
    found = {}
    with contextlib.ExitStack() as stack:
        targets = []
        for name, flags in (("open", []), ("basic auth", ["--app-name", "basic-auth"])):
            database = f"work-auth-{len(targets)}"
            cluster.drop(database)
            server = peers.Capstan(*flags, backend=cluster.database(database))
            if flags:
                server.env = {"MLFLOW_AUTH_ADMIN_USERNAME": admin[0], "MLFLOW_AUTH_ADMIN_PASSWORD": admin[1]}
            stack.callback(server.close)
            peers.start(server)
            if flags:
                made = {"username": user[0], "password": user[1]}
                reply = requests.post(f"{server.url}/api/2.0/mlflow/users/create", json=made, auth=admin)
                assert reply.status_code == 200, reply.text
            target = loads.Target(server, cluster, folder, NOTHING, user if flags else None)
            targets.append((name, target.prepare()))
        for _ in range(2 * options.rounds):
            for workload in ("log-metric", "get-run"):
                for name, target in targets:
                    rate = target.load(workload, 32, options.seconds)["rate"]
                    found.setdefault(workload, {}).setdefault(name, []).append(rate)
    return {
        workload: {name: statistics.median(rates) for name, rates in each.items()} for workload, each in found.items()
    }


class Versitygw(capstan_server.Server):
    """An S3 store of this machine, where tools/stores.sh has built it."""

    def command(self):
        bucket, sidecar = (os.path.join(self.data_dir, name) for name in ("store/bench", "sidecar"))
        os.makedirs(bucket, exist_ok=True)
        os.makedirs(sidecar, exist_ok=True)
        return [
            str(VERSITYGW), "-p", f"{self.host}:{self.port}", "-r", "us-east-1", "--keep-alive", "--quiet",
            "posix", "--sidecar", sidecar, os.path.dirname(bucket),
        ]  # fmt: skip

    def ready(self):
        with contextlib.suppress(OSError):
            return bool(requests.get(self.url, timeout=5).status_code)
        return False


class Artifacts:
    """Files of 1 GiB that go up and down by curl, four each way and always the next, while it is open."""

    def __init__(self, target, folder, total):
        self.url = target.server.url + ARTIFACTS + "bench/"
        self.moved, self.over, self.processes = 0, threading.Event(), set()
        self.size = min(GIB, total // 8)
        self.path = os.path.join(folder, "artifact")
        with open(self.path, "wb") as f:
            f.truncate(self.size)
        self.lock = threading.Lock()

    def __enter__(self):
        self.curl("-T", self.path, self.url + "source")
        self.moved, self.began = 0, time.monotonic()
        self.threads = [threading.Thread(target=self.carry, args=(n,)) for n in range(8)]
        for thread in self.threads:
            thread.start()
        return self

    def curl(self, *arguments):
        process = subprocess.Popen(["curl", "-sSf", "-o", "/dev/null", *arguments], stderr=subprocess.DEVNULL)
        with self.lock:
            self.processes.add(process)
        if process.wait() == 0:
            with self.lock:
                self.moved += self.size
        with self.lock:
            self.processes.discard(process)

    def rate(self):
        """MiB/s so far: of files that arrived, and of those under way."""
        with self.lock:
            moved = self.moved
            for process in self.processes:
                with contextlib.suppress(OSError), open(f"/proc/{process.pid}/io") as f:
                    moved += max(int(next(f).split()[1]) for _ in range(2))  # read from a file, or written to one
        return moved / (1 << 20) / (time.monotonic() - self.began)

    def carry(self, n):
        while not self.over.is_set():
            if n % 2:
                self.curl(self.url + "source")
            else:
                self.curl("-T", self.path, self.url + f"up-{n}")

    def __exit__(self, *_):
        self.over.set()
        with self.lock:
            for process in self.processes:
                process.terminate()
        for thread in self.threads:
            thread.join()
        os.unlink(self.path)


@contextlib.contextmanager
def loop(target, *stretches):
    """These loads for as long as it is open."""
    running = []
    try:
        for workload, connections in stretches:
            command = target.command(workload, connections, 600)
            running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


@contextlib.contextmanager
def spinning():
    """As many busy processes as there are cores: what a full machine alone does to small requests."""
    running = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for process in running:
            process.terminate()
            process.wait()


def small(target, seconds, rounds=1):
    """Small reads and small writes, two clients each at the same time: medians of so many stretches."""
    found = {"small-reads": [], "small-writes": []}
    for _ in range(rounds):
        running = {
            name: subprocess.Popen(
                target.command(name, 2, seconds), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            )
            for name in found
        }
        for name, process in running.items():
            found[name].append(target.understand(name, process.communicate()[0]))
    return {
        name: {what: statistics.median(each[i] for each in stretches) for i, what in enumerate(("rate", "p50", "p99"))}
        for name, stretches in found.items()
    }


def mixed(target, folder, options):
    """Small requests alone, and beside 64 large batches, 8 deep searches and 8 GiB of artifacts."""
    total = (1 if options.quick else 8) * GIB

    def artifacts():
        return Artifacts(target, folder, total)

    ways = {
        "nothing": contextlib.ExitStack,
        "busy processes": spinning,
        "64 large batches": lambda: loop(target, ("log-batch-1000", 64)),
        "8 deep searches": lambda: loop(target, ("page-50", 8)),
        "8 GiB of artifacts": artifacts,
    }
    found = {}
    small(target, 1)
    for name, way in ways.items():
        if not options.quick or name == "nothing":
            with way():
                time.sleep(1)
                found[name] = small(target, options.seconds, options.rounds)
    found["all of it"] = all_at_once(target, artifacts(), options)
    return found


def all_at_once(target, artifacts, options):
    with artifacts, loop(target, ("log-batch-1000", 64), ("page-50", 8)):
        time.sleep(1)
        found = small(target, options.seconds, options.rounds)
        return {**found, "rss": peers.megabytes(target.server), "moved": artifacts.rate()}


def mixed_with_store(cluster, target, folder, options):
    """The same through a Capstan whose artifacts are in S3; None where no store is built."""
    if not VERSITYGW.exists():
        return None
    with contextlib.ExitStack() as stack:
        store = Versitygw()
        store.env = {"ROOT_ACCESS_KEY": "bench", "ROOT_SECRET_KEY": "bench secret"}
        stack.callback(shutil.rmtree, store.data_dir, ignore_errors=True)
        stack.callback(store.close)
        store.start()
        server = peers.Capstan(
            "--artifacts-destination", "s3://bench/capstan",
            backend=target.server.backend,
            env={
                "AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench secret",
                "AWS_DEFAULT_REGION": "us-east-1", "MLFLOW_S3_ENDPOINT_URL": store.url,
            },
        )  # fmt: skip
        stack.callback(server.close)
        server.start()
        other = loads.Target(server, cluster, folder, target.size)
        other.folder, other.tokens, other.written = target.folder, dict(target.tokens), target.written
        small(other, 1)
        found = {"nothing": small(other, options.seconds, options.rounds)}
        found["all of it"] = all_at_once(other, Artifacts(other, folder, 8 * GIB), options)
        return found


def big(cluster, folder, options):
    """One client among 100,000 runs."""
    target = loads.open_target(cluster, "capstan", seed.SIZES["big"], folder)
    with contextlib.closing(target.server):
        target.prepare()
        found = {}
        for workload in ("get-run", "search-rows", "search-filter", "page-1", "page-50", "experiments-search"):
            found[workload] = target.load(workload, 1, options.seconds)
        return found
