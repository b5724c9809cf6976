# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Who is measured: Capstan, MLflow, FastTrackML, and PostgreSQL alone; and what they spend."""

import contextlib
import fcntl
import os
import pathlib
import shutil
import subprocess
import sys
import time

import numpy

import capstan_server
from capstan_server import wait_for

POINTS = (
    "(run_id bigint NOT NULL, key_id integer NOT NULL, timestamp bigint NOT NULL, step bigint NOT NULL,"
    " value double precision NOT NULL, PRIMARY KEY (run_id, key_id, timestamp, step, value))"
)


class Capstan(capstan_server.Server):
    name = "capstan"
    scheme = "postgresql"


class Mlflow(capstan_server.Server):
    """mlflow server with its defaults: four workers."""

    name = "mlflow"
    scheme = "postgresql+psycopg2"

    def command(self):
        mlflow = pathlib.Path(sys.executable).with_name("mlflow")
        return [
            str(mlflow), "server", "--host", self.host, "--port", str(self.port),
            "--backend-store-uri", self.backend,
            "--artifacts-destination", os.path.join(self.data_dir, "artifacts"),
        ]  # fmt: skip


class Fasttrackml(capstan_server.Server):
    """fml server with its defaults; run.sh fetched the program."""

    name = "fasttrackml"
    scheme = "postgres"

    def command(self):
        return [
            os.environ["FASTTRACKML_BINARY"], "server", "--listen-address", f"{self.host}:{self.port}",
            "--database-uri", self.backend,
            "--default-artifact-root", os.path.join(self.data_dir, "artifacts"),
        ]  # fmt: skip


KINDS = {kind.name: kind for kind in (Capstan, Mlflow, Fasttrackml)}


class Cluster(capstan_server.Postgres):
    """A PostgreSQL that keeps its seeded templates from one run to the next; one run at a time has it."""

    def __init__(self, folder):
        super().__init__(
            "-c max_connections=400 -c shared_buffers=1GB -c jit=off -c max_wal_size=4GB"
            " -c checkpoint_timeout=15min"
        )
        shutil.rmtree(self.dir)
        self.dir, self.data = folder, os.path.join(folder, "data")

    def start(self):
        os.makedirs(self.dir, mode=0o711, exist_ok=True)
        self.lock = open(os.path.join(self.dir, "lock"), "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        if self.as_user:
            shutil.chown(self.dir, "postgres")
        if os.path.exists(os.path.join(self.data, "postmaster.pid")):  # of a run that was killed
            with contextlib.suppress(subprocess.CalledProcessError):
                self.stop("immediate")
        if os.path.exists(os.path.join(self.data, "PG_VERSION")):
            self.resume()
        else:
            super().start()
        for name in self.names("work-%"):
            self.drop(name)
        with self.cursor() as cursor:
            for table in ("bench_points", "bench_copy"):
                cursor.execute(f"DROP TABLE IF EXISTS {table}")
                cursor.execute(f"CREATE TABLE {table} {POINTS}")
        return self

    def close(self):
        with contextlib.suppress(Exception):
            for name in self.names("work-%"):  # or all of it would be written out before the end
                self.drop(name)
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("fast")

    @contextlib.contextmanager
    def cursor(self, database="postgres"):
        with contextlib.closing(self.connect(database)) as connection, connection.cursor() as cursor:
            yield cursor

    def names(self, pattern):
        with self.cursor() as cursor:
            cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (pattern,))
            return [row[0] for row in cursor.fetchall()]

    def drop(self, name):
        with self.cursor() as cursor:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def copy(self, name, template):
        with self.cursor() as cursor:
            how = " STRATEGY FILE_COPY" if cursor.connection.server_version >= 150000 else ""
            cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"{how}')


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


def status(pid, word):
    """Sum of a number of /proc/PID/status over the process and all below it."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            with open(f"/proc/{each}/status") as f:
                total += next((int(ln.split()[1]) for ln in f if ln.startswith(word)), 0)
    return total


def megabytes(server):
    return status(server.pid, "VmRSS:") / 1024


def cpu(pid):
    """Seconds that the process, all below it and their dead children were running."""
    total = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            with open(f"/proc/{each}/stat") as f:
                total += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:15]))
    return total / os.sysconf("SC_CLK_TCK")


def start(server):
    """ms to the first 200."""
    began = time.monotonic()
    server.spawn()
    wait_for(lambda: server.ready() or server.process.poll() is not None, 180, "first answer")
    if server.process.poll() is not None:
        raise RuntimeError(server.log()[-3000:])
    return (time.monotonic() - began) * 1000


def pgbench(cluster, clients, seconds):
    """Commits per second of prepared single-row inserts into a table of the points' shape."""
    seconds = max(seconds, clients // 64)  # connecting with a password takes its time
    script = os.path.join(cluster.dir, "insert.sql")
    with open(script, "w") as f:
        f.write(
            "\\set run random(1, 64)\n\\set step random(1, 2000000000)\n"
            "INSERT INTO bench_points VALUES (:run, 1, 1700000000000, :step, 0.5) ON CONFLICT DO NOTHING;\n"
        )
    os.chmod(script, 0o644)
    out = subprocess.run(
        [
            os.path.join(cluster.bin, "pgbench"), "-n", "-M", "prepared", "-h", "127.0.0.1",
            "-p", str(cluster.port), "-U", cluster.user, "-c", str(clients), "-j", str(min(2, clients)),
            "-T", str(seconds), "-f", script, "postgres",
        ],
        capture_output=True,
        text=True,
        env=dict(os.environ, PGPASSWORD=capstan_server.PASSWORD),
        timeout=seconds + 120,
    )  # fmt: skip
    rates = [ln.split()[2] for ln in out.stdout.splitlines() if ln.startswith("tps")]
    if out.returncode or not rates:
        raise RuntimeError(f"pgbench with {clients} clients said: {out.stdout}{out.stderr[-2000:]}")
    return float(rates[0])


class Rows:
    """Binary COPY of log-batch-1000's points: the next 1,000 of one of 64 runs, again and again."""

    layout = numpy.dtype(
        [("n", ">i2")]
        + [
            each
            for name, kind, size in (
                ("run", ">i8", 8), ("key", ">i4", 4), ("time", ">i8", 8), ("step", ">i8", 8), ("value", ">f8", 8),
            )
            for each in ((name + "_size", ">i4"), (name, kind))
        ]
    )  # fmt: skip

    def __init__(self, rows):
        random = numpy.random.default_rng()
        table = numpy.zeros(rows, self.layout)
        table["n"] = 5
        for name in ("run", "time", "step", "value"):
            table[name + "_size"] = 8
        table["key_size"] = 4
        number = numpy.arange(rows)
        table["run"] = random.integers(1, 65, rows // 1000 + 1)[number // 1000]
        table["key"] = number % 10
        table["time"] = 1_700_000_000_000
        table["step"] = random.integers(1, 2_000_000_000) + number
        table["value"] = random.random(rows)
        self.bytes = b"PGCOPY\n\xff\r\n\0" + bytes(8) + table.tobytes() + b"\xff\xff"
        self.at = 0

    def read(self, size=-1):
        piece = self.bytes[self.at : self.at + size] if size >= 0 else self.bytes[self.at :]
        self.at += len(piece)
        return piece


def copy_points(cluster, rows):
    """Points per second of one COPY into the same table."""
    source = Rows(rows)
    with cluster.cursor() as cursor:
        began = time.monotonic()
        cursor.copy_expert("COPY bench_copy FROM STDIN (FORMAT binary)", source, size=1 << 18)
        return rows / (time.monotonic() - began)
