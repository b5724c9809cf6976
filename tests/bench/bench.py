# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Requests per second of Capstan and of MLflow on the same PostgreSQL, as a table of ratios: see run.sh."""

import argparse
import base64
import contextlib
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import requests

import seed

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))
import capstan_server  # noqa: E402
from capstan_server import wait_for  # noqa: E402

# workload, connections, whether `pgbench` has a counterpart
WORKLOADS = [
    ("log-metric", 1, True),
    ("log-metric", 32, True),
    ("log-metric", 256, True),
    ("log-batch-10", 32, False),
    ("log-batch-100", 32, False),
    ("log-batch-1000", 32, False),
    ("create-run", 32, False),
    ("create-run", 256, False),
    ("get-run", 32, False),
    ("search-rows", 32, False),
    ("search-filter", 32, False),
    ("model-search", 32, False),
    ("model-search-tag", 32, False),
    ("version-search", 32, False),
    ("version-create", 32, False),
    ("alias-set", 32, False),
]
IDLE = 10_000


class Mlflow(capstan_server.Server):
    """mlflow server with its defaults: four workers."""

    def command(self):
        mlflow = pathlib.Path(sys.executable).with_name("mlflow")
        return [
            str(mlflow),
            "server",
            "--host",
            self.host,
            "--port",
            str(self.port),
            "--backend-store-uri",
            self.backend,
            "--artifacts-destination",
            os.path.join(self.data_dir, "artifacts"),
        ]


def tree(pid):
    """The process and all below it."""
    found, queue = [], [pid]
    while queue:
        each = queue.pop()
        found.append(each)
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{each}/task"):
                with open(f"/proc/{each}/task/{task}/children") as f:
                    queue += map(int, f.read().split())
    return found


def status(server, word):
    """Sum of a number of /proc/PID/status over the server's processes."""
    total = 0
    for pid in tree(server.pid):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/status") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith(word))
    return total


def megabytes(server):
    return status(server, "VmRSS:") / 1024


def start(server):
    """ms to the first 200."""
    began = time.monotonic()
    server.spawn()
    wait_for(lambda: server.ready() or server.process.poll() is not None, 180, "first answer")
    if server.process.poll() is not None:
        raise RuntimeError(server.log()[-3000:])
    return (time.monotonic() - began) * 1000


class Target:
    def __init__(self, name, server, folder, user=None):
        self.name, self.server, self.folder = name, server, folder
        self.session = requests.Session()
        self.session.auth = user
        self.rates, self.errors = {}, 0

    def prepare(self, experiment, runs):
        self.experiment = experiment
        self.runs_file = os.path.join(self.folder, self.name)
        with open(self.runs_file, "w") as f:
            f.write("\n".join(runs) + "\n")
        # what is written goes to runs of another experiment than what is searched
        api = self.server.url + "/api/2.0/mlflow/"
        made = self.session.post(api + "experiments/create", json={"name": "written"}).json()
        self.written = made["experiment_id"]
        self.written_file = self.runs_file + "-written"
        made = [
            self.session.post(api + "runs/create", json={"experiment_id": self.written}).json()
            for _ in range(64)
        ]
        with open(self.written_file, "w") as f:
            f.write("\n".join(run["run"]["info"]["run_id"] for run in made) + "\n")

    def load(self, workload, connections, seconds):
        writes = workload.startswith("log-") or workload == "create-run"
        command = [
            "wrk",
            f"-t{min(2, connections)}",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "30s",
            "-s",
            str(HERE / "load.lua"),
            self.server.url,
            "--",
            workload,
            self.written if writes else self.experiment,
            self.written_file if writes else self.runs_file,
        ]
        if self.session.auth:
            words = base64.b64encode(":".join(self.session.auth).encode()).decode()
            command.append(f"Basic {words}")
        out = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120)
        line = next(ln for ln in out.stdout.splitlines() if ln.startswith("RESULT"))
        _, total, bad, duration, p50, p99 = line.split()
        self.errors += int(bad)
        return (int(total) - int(bad)) / (int(duration) / 1e6), float(p50), float(p99)


def pgbench(cluster, clients, seconds):
    """Commits per second of prepared single-row inserts into the points table's shape."""
    seconds = max(seconds, clients // 32)  # connecting with a password takes its time
    script = os.path.join(cluster.dir, "insert.sql")
    with open(script, "w") as f:
        f.write(
            "\\set run random(1, 64)\n\\set step random(1, 2000000000)\n"
            "INSERT INTO bench_points VALUES (:run, 1, 1700000000000, :step, 0.5) ON CONFLICT DO NOTHING;\n"
        )
    os.chmod(script, 0o644)
    env = dict(os.environ, PGPASSWORD=capstan_server.PASSWORD)
    out = subprocess.run(
        [
            os.path.join(cluster.bin, "pgbench"),
            "-n",
            "-M",
            "prepared",
            "-h",
            "127.0.0.1",
            "-p",
            str(cluster.port),
            "-U",
            cluster.user,
            "-c",
            str(clients),
            "-j",
            str(min(2, clients)),
            "-T",
            str(seconds),
            "-f",
            script,
            "postgres",
        ],
        capture_output=True,
        text=True,
        env=env,
        timeout=seconds + 120,
    )
    if out.returncode:
        raise RuntimeError(out.stderr[-2000:])
    rates = [ln.split()[2] for ln in out.stdout.splitlines() if ln.startswith("tps")]
    if not rates:
        raise RuntimeError(f"pgbench with {clients} clients said: {out.stdout}{out.stderr}")
    return float(rates[0])


def idle_clients(server, count):
    """MiB and threads with this many keep-alive connections that said something once."""
    sockets = []
    ask = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode()
    try:
        for _ in range(count):
            s = socket.create_connection((server.host, server.port), timeout=60)
            s.sendall(ask)
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
            sockets.append(s)
        return megabytes(server), status(server, "Threads:")
    finally:
        for s in sockets:
            s.close()


def busy_memory(target, seconds):
    """The most MiB seen while 256 connections log metrics, and the threads then."""
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(target.load, "log-metric", 256, seconds)
        most = threads = 0
        while not loading.done():
            most = max(most, megabytes(target.server))
            threads = max(threads, status(target.server, "Threads:"))
            time.sleep(0.05)
        return most, threads


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        print(
            "  ".join(
                str(cell).rjust(w) if i else str(cell).ljust(w)
                for i, (cell, w) in enumerate(zip(row, widths))
            )
        )
    print()


def figure(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def speed(targets, cluster, arguments, workloads):
    found = {}
    for number in range(arguments.rounds):
        for workload, connections, compare in workloads:
            for target in targets:
                if target.name == "mlflow" and connections == 256 and arguments.quick:
                    continue
                rate, _, p99 = target.load(workload, connections, arguments.seconds)
                found.setdefault((workload, connections, target.name), []).append((rate, p99))
            if compare:
                rate = pgbench(cluster, connections, arguments.seconds)
                found.setdefault((workload, connections, "pgbench"), []).append((rate, 0.0))
        print(f"round {number + 1} of {arguments.rounds} done", file=sys.stderr, flush=True)
    rows = []
    for workload, connections, _ in workloads:

        def middle(name, part=0):
            values = [v[part] for v in found.get((workload, connections, name), [])]
            return statistics.median(values) if values else None

        ours, theirs, bare = middle("capstan"), middle("mlflow"), middle("pgbench")
        rows.append(
            [
                workload,
                connections,
                figure(ours),
                figure(middle("capstan", 1)),
                figure(theirs),
                figure(middle("mlflow", 1)),
                figure(bare),
                f"{ours / theirs:,.0f} x" if theirs else "-",
                f"{ours / bare:.2f} x" if bare else "-",
            ]
        )
    print()
    table(
        [
            "requests/s",
            "conns",
            "capstan",
            "p99 ms",
            "mlflow",
            "p99 ms",
            "pgbench",
            "to mlflow",
            "to pgbench",
        ],
        rows,
    )


def auth_cost(cluster, folder, arguments):
    """The same work with nobody signed in, and by a user who may write one experiment."""
    admin, user = ("admin", "an admin's password"), ("writer", "a writer's password")
    targets, found = [], {}
    try:
        for name, flags in (("open", []), ("basic auth", ["--app-name", "basic-auth"])):
            server = capstan_server.Server(*flags, backend=cluster.database(f"auth-{len(targets)}"))
            if flags:
                server.env = {**server.env, "MLFLOW_AUTH_ADMIN_USERNAME": admin[0], "MLFLOW_AUTH_ADMIN_PASSWORD": admin[1]}
            targets.append(Target(name, server, folder, user if flags else None))
            start(server)
            if flags:
                made = {"username": user[0], "password": user[1]}
                reply = requests.post(f"{server.url}/api/2.0/mlflow/users/create", json=made, auth=admin)
                assert reply.status_code == 200, reply.text
            targets[-1].prepare("0", [])
            shutil.copy(targets[-1].written_file, targets[-1].runs_file)
        for _ in range(2 * arguments.rounds):
            for workload in ("log-metric", "get-run"):
                for target in targets:
                    rate, _, _ = target.load(workload, 32, arguments.seconds)
                    found.setdefault((workload, target.name), []).append(rate)
    finally:
        for target in targets:
            target.server.close()
    rows = []
    for workload in ("log-metric", "get-run"):
        plain, guarded = (statistics.median(found[workload, t.name]) for t in targets)
        rows.append([workload, 32, figure(plain), figure(guarded), f"{(1 - guarded / plain) * 100:.1f} %"])
    table(["requests/s", "conns", *(t.name for t in targets), "cost"], rows)
    return targets


def memory(targets, starts, arguments):
    rows = []
    for target in targets:
        quiet, threads = megabytes(target.server), status(target.server, "Threads:")
        busy, busy_threads = busy_memory(target, arguments.seconds)
        count = IDLE if target.name == "capstan" and not arguments.quick else 1000
        idle, idle_threads = idle_clients(target.server, count)
        fresh = starts[target.name]
        rows.append(
            [
                target.name,
                figure(fresh[0]),
                figure(fresh[1]),
                fresh[2],
                figure(quiet),
                threads,
                figure(busy),
                busy_threads,
                f"{figure(idle)} ({count:,})",
                idle_threads,
            ]
        )
    table(
        [
            "",
            "start ms",
            "MiB fresh",
            "threads",
            "MiB after load",
            "threads",
            "MiB at 256",
            "threads",
            "MiB idle clients",
            "threads",
        ],
        rows,
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--no-mlflow", action="store_true")
    parser.add_argument("--only", action="append", help="a workload; may be repeated")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=int)
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 3)
    arguments.seconds = arguments.seconds or (2 if arguments.quick else 4)
    workloads = [w for w in WORKLOADS if not arguments.only or w[0] in arguments.only]

    folder = tempfile.mkdtemp(prefix="capstan-bench-")
    cluster = capstan_server.Postgres(
        "-c max_connections=400 -c shared_buffers=256MB -c jit=off -c max_wal_size=4GB"
    ).start()
    targets, starts = [], {}
    try:
        with contextlib.closing(cluster.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE bench_points (run_id bigint NOT NULL, key_id integer NOT NULL, timestamp bigint NOT NULL,"
                " step bigint NOT NULL, value double precision NOT NULL,"
                " PRIMARY KEY (run_id, key_id, timestamp, step, value))"
            )
        kinds = [("capstan", capstan_server.Server)] + (
            [] if arguments.no_mlflow else [("mlflow", Mlflow)]
        )
        for name, kind in kinds:
            server = kind(backend=cluster.database(name))
            targets.append(Target(name, server, folder))
            start(server)  # migrates
            server.stop(expect=None)
            took = start(server)
            starts[name] = (took, megabytes(server), status(server, "Threads:"))
            if name == "capstan":
                found = seed.fill(server)
            else:
                with contextlib.closing(cluster.connect(name)) as connection:
                    found = seed.copy_to_mlflow(connection, "bench")
            targets[-1].prepare(*found)
            with contextlib.closing(
                cluster.connect(name)
            ) as connection, connection.cursor() as cursor:
                cursor.execute("VACUUM ANALYZE")
        speed(targets, cluster, arguments, workloads)
        memory(targets, starts, arguments)
        guarded = [] if arguments.only else auth_cost(cluster, folder, arguments)
        for target in targets + guarded:
            if target.errors:
                print(f"{target.name}: {target.errors} requests failed or timed out (not counted)")
    finally:
        for target in targets:
            target.server.close()
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
