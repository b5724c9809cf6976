# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
What all servers hold before they are measured: the same rows, with the same ids, in databases kept as templates.

MLflow's and FastTrackML's tables are filled by SQL; Capstan takes MLflow's over by `capstan import`, as a user would.
"""

import contextlib
import dataclasses
import hashlib
import inspect
import json
import logging
import math
import os
import pathlib
import shutil
import sys
import tempfile
import time

import capstan_server
import peers


@dataclasses.dataclass(frozen=True)
class Size:
    name: str
    runs: int = 10_000
    metrics: int = 10
    experiments: int = 1_000
    models: int = 20_000
    points: tuple = (1_000_000,)  # of one run each
    bare: int = 5_000  # runs with nothing, to write to


SIZES = {
    size.name: size
    for size in (
        Size("base"),
        Size("big", runs=100_000),
        Size("quick", runs=2_000, models=2_000, points=(100_000,), bare=1_000),
        Size("runs-1000", runs=1_000, models=1_000, experiments=10, points=(10_000,)),
        Size("wide", runs=1_000, metrics=1_000, models=0, experiments=10, points=()),
        Size("long", runs=1_000, models=0, experiments=10, points=(10_000, 100_000, 1_000_000, 10_000_000)),
    )
}
RUN = "md5('run ' || n)"


def fingerprint(kind, size):
    """Another one when what made the template would make something else now."""
    makers = (fill, fill_runs, fill_points, fill_latest, fill_models, run_id)
    parts = [repr(size), *map(inspect.getsource, makers)]
    if kind == "capstan":
        folder = capstan_server.ROOT / "src" / "db" / "migrations"
        parts += [path.read_text() for path in sorted(folder.iterdir())]
    return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]


def template(cluster, kind, size):
    """Name of a database that nobody changes; made when there is none."""
    name = f"seed-{kind}-{size.name}"
    want = fingerprint(kind, size)
    with cluster.cursor() as cursor:
        cursor.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", (name,)
        )
        row = cursor.fetchone()
    if row and row[0] == want:
        return name
    cluster.drop(name)
    began = time.monotonic()
    source = template(cluster, "mlflow", size) if kind == "capstan" else None
    cluster.database(name)
    if kind == "capstan":
        take_over(cluster, source, name)
    else:
        if kind == "mlflow":
            make_mlflow(cluster.uri(name))
        else:
            make_fasttrackml(cluster, name)
        with cluster.cursor(name) as cursor, without_indexes(cursor, "metrics"):
            fill(cursor, kind, size)
    with cluster.cursor(name) as cursor:
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("CHECKPOINT")
        cursor.execute(f"COMMENT ON DATABASE \"{name}\" IS '{want}'")
    print(f"{name} seeded in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return name


def make_mlflow(uri):
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    logging.getLogger("mlflow").setLevel(logging.WARNING)
    for store in (Tracking(uri, "mlflow-artifacts:/"), Registry(uri)):
        store.engine.dispose()


def make_fasttrackml(cluster, name):
    server = peers.Fasttrackml(backend=cluster.uri(name, scheme="postgres"))
    with contextlib.closing(server):
        peers.start(server)


def take_over(cluster, source, name):
    folder = tempfile.mkdtemp(prefix="capstan-bench-")
    try:
        report = os.path.join(folder, "report")
        done = capstan_server.run(
            "import", "--from", cluster.uri(source), "--to", cluster.uri(name),
            "--data-dir", folder, "--report", report, timeout=1800,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
        with open(report) as f:
            points = json.load(f)["points_per_second"]
        print(f"{name}: {points:,} points/s imported", file=sys.stderr, flush=True)
        settle(cluster, name, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle(cluster, name, folder):
    """Lets a daemon derive what it derives from rows in the background, until nothing changes any more."""
    server = peers.Capstan(backend=cluster.uri(name), data_dir=folder)
    with contextlib.closing(server):
        server.start()
        quiet, last, deadline = 0, None, time.monotonic() + 600
        while quiet < 10 and time.monotonic() < deadline:
            time.sleep(0.5)
            with cluster.cursor(name) as cursor:
                cursor.execute(
                    "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
                    " WHERE relname NOT IN ('settings', 'leaders')"
                )
                now = cursor.fetchone()[0]
            quiet = quiet + 1 if now == last else 0
            last = now


@contextlib.contextmanager
def without_indexes(cursor, table):
    """They are made anew at the end: a sort of all rows is quicker than an insert of each."""
    cursor.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'p'",
        (table,),
    )
    keys = cursor.fetchall()
    cursor.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s AND indexname <> ALL (%s)",
        (table, [name for name, _ in keys]),
    )
    indexes = cursor.fetchall()
    for name, _ in keys:
        cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    for name, _ in indexes:
        cursor.execute(f'DROP INDEX "{name}"')
    yield
    cursor.execute("SET maintenance_work_mem = '1GB'")
    for name, definition in keys:
        cursor.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
    for _, definition in indexes:
        cursor.execute(definition)


def fill(cursor, kind, size):
    ours = kind == "fasttrackml"
    cursor.execute("SET synchronous_commit = off")
    cursor.execute("SET session_replication_role = replica")  # no check of foreign keys per row
    space = (", namespace_id", ", 1") if ours else ("", "")
    cursor.execute(
        f"INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage, creation_time,"
        f" last_update_time{space[0]}) SELECT n, CASE n WHEN 1 THEN 'bench' WHEN 2 THEN 'bare' WHEN 3 THEN 'long'"
        f" ELSE 'group ' || n % 10 || '/' || n END, 'mlflow-artifacts:/' || n, 'active', 1600000000000 + n,"
        f" 1600000000000 + n{space[1]} FROM generate_series(1, {max(3, size.experiments)}) n"
    )
    cursor.execute(
        "INSERT INTO experiment_tags (experiment_id, key, value) SELECT n, 'owner', 'team ' || n % 7"
        f" FROM generate_series(1, {max(3, size.experiments)}) n"
    )
    cursor.execute("SELECT setval(pg_get_serial_sequence('experiments', 'experiment_id'), 100000)")
    if ours:
        cursor.execute("INSERT INTO contexts (id, json) VALUES (1, '{}') ON CONFLICT DO NOTHING")
        cursor.execute("SELECT setval('contexts_id_seq', 1)")
    first = 0
    for experiment, count in ((1, size.runs), (2, size.bare), (3, len(size.points))):
        fill_runs(cursor, ours, experiment, first, count)
        first += count
    last = size.runs - 1
    fill_points(
        cursor, ours, f"{RUN}, 'm' || i, (n * (i + 7) % 1000) / 1000.0, n, 0, false",
        f"generate_series(0, {last}) n, generate_series(0, {size.metrics - 1}) i", both=True,
    )  # fmt: skip
    cursor.execute(
        f"INSERT INTO params (run_uuid, key, value) SELECT {RUN}, 'p' || i, (n % (5 + i))::text"
        f" FROM generate_series(0, {last}) n, generate_series(0, 9) i"
    )
    cursor.execute(
        f"INSERT INTO tags (run_uuid, key, value) SELECT {RUN}, 't' || i, (n % (3 + i))::text"
        f" FROM generate_series(0, {last}) n, generate_series(0, 4) i"
    )
    for number, points in enumerate(size.points):
        run = size.runs + size.bare + number
        row = f"{RUN}, 'loss', sin(i / 1e4) + (i::bigint * 7919 % 1000) / 1e3, 1600000000000 + i, i, false"
        fill_points(cursor, ours, row, f"generate_series({run}, {run}) n, generate_series(0, {points - 1}) i")
        fill_latest(cursor, ours, row, f"generate_series({run}, {run}) n, generate_series({points - 1}, {points - 1}) i")
    if not ours:
        fill_models(cursor, size.models)


def fill_runs(cursor, ours, experiment, first, count):
    cursor.execute(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, status, start_time,"
        f" source_version, lifecycle_stage, artifact_uri, experiment_id{', row_num' if ours else ''})"
        f" SELECT {RUN}, 'run-' || n, 'UNKNOWN', '', '', 'user', 'RUNNING', 1600000000000 + n, '', 'active',"
        f" 'mlflow-artifacts:/{experiment}/' || {RUN} || '/artifacts', {experiment}{', n' if ours else ''}"
        f" FROM generate_series({first}, {first + count - 1}) n"
    )
    cursor.execute(
        f"INSERT INTO tags (run_uuid, key, value) SELECT {RUN}, 'mlflow.runName', 'run-' || n"
        f" FROM generate_series({first}, {first + count - 1}) n"
    )


def fill_points(cursor, ours, row, source, both=False):
    more = (", iter, context_id", ", 1, 1") if ours else ("", "")
    cursor.execute(
        f"INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan{more[0]}) SELECT {row}{more[1]} FROM {source}"
    )
    if both:
        fill_latest(cursor, ours, row, source)


def fill_latest(cursor, ours, row, source):
    more = (", last_iter, context_id", ", 1, 1") if ours else ("", "")
    cursor.execute(
        "INSERT INTO latest_metrics (run_uuid, key, value, timestamp, step, is_nan"
        f"{more[0]}) SELECT {row}{more[1]} FROM {source}"
    )


def fill_models(cursor, models):
    every = f"generate_series(0, {models - 1}) n"
    name = "'model-' || lpad(n::text, 5, '0')"
    cursor.execute(
        "INSERT INTO registered_models (name, creation_time, last_updated_time, description)"
        f" SELECT {name}, 1600000000000 + n, 1600000000000 + n, 'a model' FROM {every}"
    )
    cursor.execute(
        "INSERT INTO model_versions (name, version, creation_time, last_updated_time, description, user_id,"
        f" current_stage, source, run_id, run_link, status) SELECT {name}, v, 1600000000000 + n, 1600000000000 + n, '',"
        f" '', 'None', 's3://bucket/' || n || '/' || v, '', '', 'READY' FROM {every}, generate_series(1, 2) v"
    )
    for table, more, versions in (
        ("registered_model_tags", "", ""),
        ("model_version_tags", "version, ", ", generate_series(1, 2) v"),
    ):
        cursor.execute(
            f"INSERT INTO {table} (name, {more}key, value) SELECT {name}, {'v, ' if more else ''}k, k || ' ' ||"
            f" CASE k WHEN 'team' THEN n % 40 ELSE n % 7 END FROM {every}{versions}, unnest(ARRAY['team', 'task']) k"
        )


def run_id(n):
    return hashlib.md5(f"run {n}".encode()).hexdigest()


def loss(step):
    """What fill() made of the long histories."""
    return math.sin(step / 1e4) + (step * 7919 % 1000) / 1e3
