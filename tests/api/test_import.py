# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""capstan import: databases that MLflow filled, read back from both servers; cut, broken, old and unknown ones."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import pytest
import requests
import sqlalchemy
from cryptography.fernet import Fernet

import capstan_server
from capstan_server import wait_for

pytestmark = pytest.mark.ours

# MLflow reads it when its modules are imported.
os.environ.setdefault("MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY", Fernet.generate_key().decode())
KEY = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": os.environ["MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY"]}

import import_fill  # noqa: E402

POINTS = 330_000  # more than one batch
PASSWORD = "a long enough password"


@pytest.fixture(scope="module")
def lite(tmp_path_factory):
    """A small sqlite database. To be copied, not changed."""
    path = tmp_path_factory.mktemp("source") / "mlflow.db"
    import_fill.fill(f"sqlite:///{path}", points=300)
    return path


@pytest.fixture(scope="module")
def full(postgres):
    """A database on PostgreSQL with all there is, the auth app's tables too."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore as Auth

    uri = postgres.database("source")
    ids = import_fill.fill(uri, points=POINTS)
    auth = Auth()
    auth.init_db(uri)
    auth.create_user("root", PASSWORD, is_admin=True)
    alice = auth.create_user("alice", PASSWORD)
    role = auth.create_role("readers", "default", "who read")
    auth.add_role_permission(role.id, "experiment", "*", "READ")
    auth.assign_role_to_user(alice.id, role.id)
    return uri, ids


def run_import(source, *flags, to=None, data_dir=None, tmp_path, timeout=120):
    """The finished process, and its report."""
    report = tmp_path / "report.json"
    report.unlink(missing_ok=True)
    where = ["--to", to] if to else ["--data-dir", str(data_dir)]
    done = capstan_server.run("import", "--from", source, *where, "--report", str(report), *flags, timeout=timeout)
    return done, json.loads(report.read_text()) if report.exists() else None


def fine(done_and_report):
    done, report = done_and_report
    assert done.returncode == 0, done.stdout + done.stderr
    assert report["agrees"] and report["verified"]
    return report


def table(report, name):
    return next(t for t in report["tables"] if t["table"] == name)


def issues(report):
    return {(i["table"], i["kind"]): i["rows"] for i in report["issues"]}


# ---- reading back over REST ----


class Reader:
    def __init__(self, url):
        self.url = url

    def call(self, method, path, body):
        if not isinstance(self.url, str):
            return self.call_here(method, "/api/2.0/mlflow/" + path, body)
        url = f"{self.url}/api/2.0/mlflow/{path}"
        if method == "GET":
            reply = requests.get(url, params=body, timeout=120)
        else:
            reply = requests.post(url, json=body, timeout=120)
        assert reply.status_code == 200, (path, body, reply.status_code, reply.text[:500])
        return reply.json()

    def call_here(self, method, path, body):
        """MLflow's own server, without a process: its handlers, called in this one."""
        reply = self.url.get(path, query_string=body) if method == "GET" else self.url.post(path, json=body)
        assert reply.status_code == 200, (path, body, reply.status_code, reply.text[:500])
        return json.loads(reply.text)

    def pages(self, method, path, body, member):
        found = []
        while True:
            reply = self.call(method, path, body)
            found += reply.get(member, [])
            if not reply.get("next_page_token"):
                return found
            body = {**body, "page_token": reply["next_page_token"]}


def in_order(value):
    """Lists of members sorted: their order within an entity says nothing."""
    if isinstance(value, dict):
        return {k: in_order(v) for k, v in value.items()}
    if isinstance(value, list):
        return sorted((in_order(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value


def read_tracking(url, history=lambda run, key: True):
    r = Reader(url)
    experiments = r.pages("POST", "experiments/search", {"max_results": 100, "view_type": "ALL"}, "experiments")
    ids = [e["experiment_id"] for e in experiments]
    body = {"experiment_ids": ids, "max_results": 1000, "run_view_type": "ALL"}
    runs = r.pages("POST", "runs/search", body, "runs")
    # Inputs and outputs below: MLflow's search leaves model inputs out.
    found = [{"info": x["info"], "data": x["data"]} for x in runs]
    seen = {"experiments": in_order(experiments), "runs": in_order(found), "order": [x["info"]["run_id"] for x in runs]}
    for run in runs:
        run_id = run["info"]["run_id"]
        seen[run_id] = in_order(r.call("GET", "runs/get", {"run_id": run_id}))
        for metric in run["data"].get("metrics", []):
            if history(run_id, metric["key"]):
                body = {"run_id": run_id, "metric_key": metric["key"], "max_results": 10000}
                points = r.pages("GET", "metrics/get-history", body, "metrics")
                # Of one step and moment, MLflow sorts NaN as 0.
                seen[run_id, metric["key"]] = sorted(
                    points, key=lambda p: (p["timestamp"], p.get("step", 0), str(p["value"]))
                )
    seen["models"] = in_order(r.pages("POST", "logged-models/search", {"experiment_ids": ids}, "models"))
    assert len(seen["models"]) == 3
    return seen


def read_registry(url):
    r = Reader(url)
    models = r.pages("GET", "registered-models/search", {"max_results": 100}, "registered_models")
    prompts = r.call(
        "GET", "registered-models/search", {"filter": "tags.`mlflow.prompt.is_prompt` = 'true'", "max_results": 10}
    )
    seen = {
        "models": in_order(models),
        "versions": in_order(r.pages("GET", "model-versions/search", {"max_results": 1000}, "model_versions")),
        "prompts": in_order(prompts),
        "webhooks": in_order(r.call("GET", "webhooks", {})),
    }
    for model in models:
        seen[model["name"]] = in_order(r.call("GET", "registered-models/get", {"name": model["name"]}))
    assert len(models) == 5 and len(seen["webhooks"]["webhooks"]) == 2
    return seen


def same(theirs, ours):
    assert theirs.keys() == ours.keys()
    for key, value in theirs.items():
        if isinstance(value, list) and len(value) == len(ours[key]):
            for i, (one, two) in enumerate(zip(value, ours[key])):
                assert two == one, (key, i)
        assert ours[key] == value, key


@contextlib.contextmanager
def running(daemon):
    try:
        yield daemon.start()
    finally:
        daemon.stop(expect=None)
        daemon.close()


def mlflow_here(monkeypatch, uri):
    for name in ("_MLFLOW_SERVER_FILE_STORE", "_MLFLOW_SERVER_REGISTRY_STORE"):
        monkeypatch.setenv(name, uri)
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", "mlflow-artifacts:/")
    from mlflow.server import app, handlers

    monkeypatch.setattr(handlers, "_tracking_store", None)
    monkeypatch.setattr(handlers, "_model_registry_store", None)
    return app.test_client()


def test_read_back_is_equal(full, tmp_path, monkeypatch):
    """PostgreSQL, whole: both servers answer the same to everything a client can ask."""
    uri, ids = full
    data = capstan_server.temporary_dir()
    report = fine(run_import(uri, data_dir=data, tmp_path=tmp_path))
    assert table(report, "metrics")["written"] > POINTS * 0.95 and not report["resumed"]
    assert report["not_taken"] is not None and not report["issues"]
    few = set(ids[:1])

    def history(run, key):
        return run in few or not key.startswith("curve")

    try:
        theirs_here = mlflow_here(monkeypatch, uri)
        theirs = read_tracking(theirs_here, history), read_registry(theirs_here)
        with running(capstan_server.Server(data_dir=data, env=KEY)) as daemon:
            ours = read_tracking(daemon.url, history), read_registry(daemon.url)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    same(theirs[0], ours[0])
    same(theirs[1], ours[1])


def rows_of(uri, sql):
    with sqlalchemy.create_engine(uri).connect() as db:
        return sorted(tuple(row) for row in db.execute(sqlalchemy.text(sql)))


def test_users_and_secrets_as_they_are(full, postgres, tmp_path):
    uri, _ = full
    target = postgres.database("users")
    fine(run_import(uri, to=target, tmp_path=tmp_path))
    for ours, theirs in {
        "SELECT id, username, password_hash, is_admin FROM capstan.users": "SELECT id, username, password_hash, is_admin"
        " FROM users",
        "SELECT id, name, description FROM capstan.roles": "SELECT id, name, description FROM roles",
        "SELECT id, role_id, resource_type, resource_pattern, permission FROM capstan.role_permissions": "SELECT id,"
        " role_id, resource_type, resource_pattern, permission FROM role_permissions",
        "SELECT id, user_id, role_id FROM capstan.user_role_assignments": "SELECT id, user_id, role_id"
        " FROM user_role_assignments",
        "SELECT webhook_id, coalesce(secret, '') FROM capstan.webhooks": "SELECT webhook_id, coalesce(secret, '')"
        " FROM webhooks WHERE deleted_timestamp IS NULL",
    }.items():
        found = rows_of(target, ours)
        assert found == rows_of(uri, theirs) and found, ours


def test_sqlite_twice_and_into_a_used_directory(lite, tmp_path):
    data = capstan_server.temporary_dir()
    try:
        # A daemon has been here: there is a Default experiment of its own.
        with running(capstan_server.Server(data_dir=data)) as daemon:
            done, _ = run_import(f"sqlite:///{lite}", data_dir=data, tmp_path=tmp_path)
            assert done.returncode == 1 and "is running" in done.stderr
            assert len(Reader(daemon.url).call("POST", "experiments/search", {"max_results": 9})["experiments"]) == 1
        first = fine(run_import(f"sqlite:///{lite}", data_dir=data, tmp_path=tmp_path))
        again = fine(run_import(f"sqlite:///{lite}", data_dir=data, tmp_path=tmp_path))
        for one, two in zip(first["tables"], again["tables"]):
            assert (two["written"], two["present"]) == (0, one["written"]), two
            assert two["checksum"] == one["checksum"]
        with running(capstan_server.Server(data_dir=data)) as daemon:
            r = Reader(daemon.url)
            made = r.call("POST", "experiments/create", {"name": "new"})["experiment_id"]
            assert int(made) > 3
            model = {"name": "model 1", "source": "s3://bucket/new"}
            version = r.call("POST", "model-versions/create", model)["model_version"]
            assert version["version"] == "4"  # the third was deleted, and is never used twice
    finally:
        shutil.rmtree(data, ignore_errors=True)


# ---- cut ----


def start_import(source, to):
    return subprocess.Popen(
        [capstan_server.binary(), "import", "--from", source, "--to", to],
        env=capstan_server.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def counts(uri):
    names = ("experiments", "runs", "points", "latest", "params", "tags", "model_versions", "model_moves")
    return {n: rows_of(uri, f"SELECT count(*) FROM capstan.{n}")[0][0] for n in names}


def test_cut_and_resumed(full, postgres, tmp_path):
    """kill -9 in the middle of a batch of points, with one batch behind it."""
    uri, _ = full
    whole, target = postgres.database("whole"), postgres.database("cut")
    expected = fine(run_import(uri, to=whole, tmp_path=tmp_path))
    assert capstan_server.run("db", "upgrade", target).returncode == 0
    engine = sqlalchemy.create_engine(target)
    with engine.begin() as db:
        db.execute(sqlalchemy.text(
            "CREATE FUNCTION capstan.hang() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(600); RETURN NULL; END $$"))
        db.execute(sqlalchemy.text(
            "CREATE TRIGGER hang AFTER UPDATE ON capstan.import_tables FOR EACH ROW"
            " WHEN (new.name = 'metrics') EXECUTE FUNCTION capstan.hang()"))
    hanging = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'cut' AND wait_event = 'PgSleep'"
    process = start_import(uri, target)
    try:
        wait_for(lambda: rows_of(target, hanging)[0][0], 60, "the second batch")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = rows_of(target, "SELECT read, position FROM capstan.import_tables WHERE name = 'metrics'")[0]
    assert 0 < before[0] < POINTS and before[1]
    with engine.begin() as db:
        db.execute(sqlalchemy.text(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'cut'"
            " AND pid <> pg_backend_pid() AND application_name = 'capstan'"))
        db.execute(sqlalchemy.text("DROP TRIGGER hang ON capstan.import_tables"))
    # Its session holds the import's lock to its end.
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'cut' AND application_name = 'capstan'"
    wait_for(lambda: not rows_of(target, others)[0][0], 20, "the end of the cut session")
    report = fine(run_import(uri, to=target, tmp_path=tmp_path))
    assert report["resumed"] and report["points"] == table(report, "metrics")["read"] - before[0]
    for one, two in zip(expected["tables"], report["tables"]):
        assert (two["read"], two["written"], two["present"]) == (one["read"], one["written"], one["present"]), two
        assert two["target_checksum"] == one["target_checksum"], two
    assert counts(target) == counts(whole)
    engine.dispose()


def test_one_import_at_a_time(lite, postgres, tmp_path):
    target = postgres.database("locked")
    assert capstan_server.run("db", "upgrade", target).returncode == 0
    with sqlalchemy.create_engine(target).connect() as db:
        assert db.execute(sqlalchemy.text("SELECT pg_try_advisory_lock(27973158295593327)")).scalar()
        done, _ = run_import(f"sqlite:///{lite}", to=target, tmp_path=tmp_path)
        assert done.returncode == 1 and "Another import" in done.stderr


# ---- sources that are not as they should be ----


def without_rules(db, *names):
    """The tables without their constraints."""
    for name in names:
        db.execute(f"CREATE TABLE free_{name} AS SELECT * FROM {name}")
        db.execute(f"DROP TABLE {name}")
        db.execute(f"ALTER TABLE free_{name} RENAME TO {name}")


@pytest.fixture
def broken(lite, tmp_path):
    path = tmp_path / "broken.db"
    shutil.copy(lite, path)
    db = sqlite3.connect(path)
    db.execute("PRAGMA foreign_keys = OFF")
    db.execute("PRAGMA legacy_alter_table = ON")
    without_rules(db, "metrics", "latest_metrics", "runs", "tags", "inputs", "model_versions",
                  "registered_model_aliases", "params")
    run = db.execute("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active' ORDER BY 1").fetchone()[0]
    missing = "f" * 32
    metric = "INSERT INTO {} (key, value, timestamp, step, run_uuid, is_nan) VALUES (?, ?, ?, ?, ?, ?)"
    for row in [
        ("m", 1.0, 1, 1, missing, 0),
        ("m", 2.0, 1, 1, missing, 0),
        ("m", 1.0, 1, 1, "no run id", 0),
        ("m", 1.0, 1, 1, None, 0),
        ("m", None, 1, 1, run, 0),
        ("m", "text", 1, 1, run, 0),
        ("m", 1.0, 1, 1e300, run, 0),
        ("m", 1.0, "text", 1, run, 0),
        (None, 1.0, 1, 1, run, 0),
        ("inf", float("inf"), 1, 1, run, 0),
        ("nan", 5.0, 1, 1, run, 1),
        ("nan", 0.0, 1, 1, run, 1),
        ("same", 1.0, 1, 1, run, 0),
        ("same", 1.0, 1, 1, run, 0),
    ]:
        db.execute(metric.format("metrics"), row)
    db.execute("INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan)"
               " VALUES (CAST(x'6bff' AS TEXT), 1, 1, 1, ?, 0)", (run,))
    for row in [("twice", 1.0, 1, 1, run, 0), ("twice", 2.0, 1, 2, run, 0), ("m", 1.0, 1, 1, missing, 0)]:
        db.execute(metric.format("latest_metrics"), row)
    db.execute("INSERT INTO tags (key, value, run_uuid) VALUES ('null', NULL, ?)", (run,))
    db.execute("INSERT INTO tags (key, value, run_uuid) VALUES (NULL, 'x', ?)", (run,))
    db.execute("INSERT INTO params (key, value, run_uuid) VALUES ('bad', CAST(x'41ff42' AS TEXT), ?)", (run,))
    copy = "INSERT INTO runs (run_uuid, name, status, lifecycle_stage, experiment_id, start_time)"
    db.execute(copy + " VALUES (?, 'x', 'STRANGE', 'active', 1, 1)", ("a" * 32,))
    db.execute(copy + " VALUES (?, 'x', 'FINISHED', 'active', 999, 1)", ("b" * 32,))
    db.execute("INSERT INTO inputs (input_uuid, source_type, source_id, destination_type, destination_id, step)"
               " VALUES ('i', 'DATASET', 'nothing', 'RUN', ?, 0)", (run,))
    db.execute("INSERT INTO registered_model_aliases (name, alias, version, workspace)"
               " VALUES ('model 1', 'lost', 99, 'default')")
    db.execute("INSERT INTO model_versions (name, version, current_stage, status, workspace)"
               " VALUES ('model 1', 99999999999, 'None', 'READY', 'default')")
    db.commit()
    db.close()
    return path, run


def test_broken_rows_are_told_not_fatal(broken, postgres, tmp_path):
    path, run = broken
    target = postgres.database("broken")
    report = fine(run_import(f"sqlite:///{path}", to=target, tmp_path=tmp_path))
    assert issues(report) == {
        ("metrics", "orphan"): 2,
        ("metrics", "run_id"): 1,
        ("metrics", "missing"): 3,
        ("metrics", "range"): 3,
        ("metrics", "infinite"): 1,
        ("metrics", "repeated"): 2,
        ("metrics", "utf8"): 1,
        ("latest_metrics", "orphan"): 1,
        ("latest_metrics", "repeated"): 1,
        ("tags", "missing"): 1,
        ("params", "utf8"): 1,
        ("runs", "unknown"): 1,
        ("runs", "orphan"): 1,
        ("inputs", "missing"): 1,
        ("registered_model_aliases", "orphan"): 1,
        ("model_versions", "range"): 1,
    }
    lost = next(i for i in report["issues"] if (i["table"], i["kind"]) == ("metrics", "orphan"))
    assert [e.rsplit("/", 1)[0] for e in lost["examples"]] == ["f" * 32 + "/m"] * 2
    points = rows_of(target, "SELECT k.name, p.value FROM capstan.points p JOIN capstan.keys k ON k.id = p.key_id"
                             " WHERE k.name IN ('inf', 'same', 'm', E'k\\uFFFD')")
    assert points == [("inf", 1.7976931348623157e308), ("k\ufffd", 1.0), ("same", 1.0)]
    latest = rows_of(target, "SELECT l.step, l.value FROM capstan.latest l JOIN capstan.keys k ON k.id = l.key_id"
                             " WHERE k.name = 'twice'")
    assert latest == [(2, 2.0)]


def test_what_is_here_already(lite, postgres, tmp_path):
    target = postgres.database("conflict")
    assert capstan_server.run("db", "upgrade", target).returncode == 0
    engine = sqlalchemy.create_engine(target)
    with engine.begin() as db:
        db.execute(sqlalchemy.text(
            "INSERT INTO capstan.experiments (id, name, artifact_location, creation_time, last_update_time)"
            " VALUES (77, 'first', 's3://mine', 1, 1)"))
    done, report = run_import(f"sqlite:///{lite}", to=target, tmp_path=tmp_path)
    assert done.returncode == 1 and report is None
    assert "1 rows of experiments are here already" in done.stderr and "--on-conflict skip" in done.stderr
    assert rows_of(target, "SELECT count(*) FROM capstan.experiments") == [(1,)]
    report = fine(run_import(f"sqlite:///{lite}", "--on-conflict", "skip", to=target, tmp_path=tmp_path))
    found = issues(report)
    assert found["experiments", "conflict"] == 1 and found["runs", "orphan"] >= 5
    assert rows_of(target, "SELECT artifact_location FROM capstan.experiments WHERE name = 'first'") == [("s3://mine",)]
    assert rows_of(target, "SELECT count(*) FROM capstan.runs WHERE experiment_id = 77") == [(0,)]
    assert table(report, "runs")["written"] > 5
    engine.dispose()


def test_a_source_that_changes_is_told(lite, postgres, tmp_path):
    """Rows behind the position of a cut import would be missed: the counts tell, and the next run reads all."""
    path = tmp_path / "changing.db"
    shutil.copy(lite, path)
    target = postgres.database("changing")
    source = f"sqlite:///{path}"
    fine(run_import(source, to=target, tmp_path=tmp_path))
    engine = sqlalchemy.create_engine(target)
    with engine.begin() as db:      # as if it had been cut at its very end
        db.execute(sqlalchemy.text("UPDATE capstan.imports SET finished_at = NULL"))
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("INSERT INTO experiment_tags (key, value, experiment_id) VALUES ('late', 'x', 1)")
        db.commit()
    done, report = run_import(source, to=target, tmp_path=tmp_path)
    assert done.returncode == 1 and not report["agrees"] and "it changed meanwhile" in done.stdout
    report = fine(run_import(source, to=target, tmp_path=tmp_path))
    assert table(report, "experiment_tags")["written"] == 1
    engine.dispose()


# ---- revisions ----


def make_old(path, revision):
    """A database as the MLflow of that revision made it, with one run."""
    from alembic import command
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base

    uri = f"sqlite:///{path}"
    engine = sqlalchemy.create_engine(uri)
    Base.metadata.create_all(engine)
    command.upgrade(_get_alembic_config(uri), revision)
    run = "0123456789abcdef0123456789abcdef"
    with engine.begin() as db:
        for sql in (
            "INSERT INTO experiments (experiment_id, name, artifact_location, lifecycle_stage) VALUES"
            " (0, 'Default', './mlruns/0', 'active'), (1, 'old', 's3://b/1', 'active')",
            "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, lifecycle_stage, artifact_uri,"
            f" experiment_id) VALUES ('{run}', '', 'LOCAL', 'me', 'FINISHED', 5, 'active', 's3://elsewhere/x', 1)",
            f"INSERT INTO tags (key, value, run_uuid) VALUES ('mlflow.runName', 'by tag', '{run}')",
            f"INSERT INTO metrics (key, value, timestamp, step, run_uuid, is_nan) VALUES ('m', 1.5, 2, 3, '{run}', 0)",
            f"INSERT INTO latest_metrics (key, value, timestamp, step, run_uuid, is_nan)"
            f" VALUES ('m', 1.5, 2, 3, '{run}', 0)",
            "INSERT INTO registered_models (name, creation_time, last_updated_time) VALUES ('r', 1, 2)",
            "INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, status)"
            " VALUES ('r', 1, 1, 2, 'Archived', 's3://x', 'READY')",
        ):
            db.execute(sqlalchemy.text(sql))
    engine.dispose()
    return uri


def test_old_revisions(postgres, tmp_path):
    uri = make_old(tmp_path / "old.db", "acf3f17fdcc7")
    target = postgres.database("old")
    report = fine(run_import(uri, to=target, tmp_path=tmp_path))
    assert report["version"] == "schema acf3f17fdcc7 (MLflow 2.10)" and not report["issues"]
    assert rows_of(target, "SELECT name, artifact_uri FROM capstan.runs") == [("by tag", "s3://elsewhere/x")]
    assert rows_of(target, "SELECT stage FROM capstan.model_versions") == [(3,)]


@pytest.mark.parametrize("revision, text", [("ffffffffffff", "none of MLflow 2.10 to 3.17"),
                                            ("2d6e25af4d3e", "older than MLflow 2.10")])
def test_unknown_revisions(lite, postgres, tmp_path, revision, text):
    path = tmp_path / "unknown.db"
    shutil.copy(lite, path)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (revision,))
        db.commit()
    done, report = run_import(f"sqlite:///{path}", "--dry-run", data_dir=tmp_path / "no", tmp_path=tmp_path)
    assert done.returncode == 1 and text in done.stderr and report is None
    done, report = run_import(f"sqlite:///{path}", "--dry-run", "--force", data_dir=tmp_path / "no", tmp_path=tmp_path)
    assert done.returncode == 0 and table(report, "runs")["read"] == 14
    assert not (tmp_path / "no").exists()


def test_nothing_there(tmp_path):
    for source, text in [
        ("sqlite:////nowhere/at/all.db", "Cannot open"),
        (f"sqlite:///{tmp_path}/empty.db", "no database of MLflow"),
        ("mysql://x/y", "Nothing to import"),
    ]:
        if "empty" in source:
            sqlite3.connect(tmp_path / "empty.db").execute("CREATE TABLE x (y)")
        done, _ = run_import(source, "--dry-run", data_dir=tmp_path / "no", tmp_path=tmp_path)
        assert done.returncode == 1 and text in done.stderr, done.stderr


def test_legacy_grants(lite, postgres, tmp_path):
    """Before there were roles, grants were rows per resource: they become the user's own role, as in MLflow."""
    path = tmp_path / "basic_auth.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript(
            "CREATE TABLE alembic_version_auth (version_num TEXT);"
            "INSERT INTO alembic_version_auth VALUES ('8606fa83a998');"
            "CREATE TABLE users (id INTEGER PRIMARY KEY, username TEXT, password_hash TEXT, is_admin BOOLEAN);"
            "INSERT INTO users VALUES (1, 'admin', 'h', 1), (7, 'bob', 'scrypt:x', 0);"
            "CREATE TABLE experiment_permissions (id INTEGER, experiment_id TEXT, user_id INTEGER, permission TEXT);"
            "INSERT INTO experiment_permissions VALUES (1, '1', 7, 'MANAGE'), (2, '2', 7, 'NO_PERMISSIONS');"
            "CREATE TABLE registered_model_permissions (id INTEGER, name TEXT, user_id INTEGER, permission TEXT);"
            "INSERT INTO registered_model_permissions VALUES (1, 'model 1', 7, 'READ');")
    target = postgres.database("legacy")
    fine(run_import(f"sqlite:///{lite}", "--auth-from", f"sqlite:///{path}", to=target, tmp_path=tmp_path))
    assert rows_of(target, "SELECT id, name FROM capstan.roles") == [(7, "__user_7__")]
    assert rows_of(target, "SELECT role_id, resource_type, resource_pattern, permission FROM capstan.role_permissions"
                   ) == [(7, "experiment", "1", "MANAGE"), (7, "registered_model", "model 1", "READ")]
    assert rows_of(target, "SELECT user_id, role_id FROM capstan.user_role_assignments") == [(7, 7)]
