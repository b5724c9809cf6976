# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
P7: the n-th allocation fails. The request answers 503, or libmicrohttpd closes the connection for want of its own memory;
nothing is half written, nothing leaks (a sanitized daemon says so when it stops), and the next request is served.
"""

import itertools
import os
import random
import uuid

import pytest

import accounts
from capstan_server import SLOW, wait_for
from wire import FILES, Client, Closed, open_files, refusal, settled

FULL = os.environ.get("CAPSTAN_FULL") == "1"
SAMPLES = int(os.environ.get("CAPSTAN_FAULT_SAMPLES", "6"))      # of each request's allocations, unless FULL
PARTS = "/api/2.0/mlflow-artifacts/mpu/"
ALWAYS = 1 << 40
V3 = "/api/3.0/mlflow/"
EVENT = {"entity": "MODEL_VERSION_TAG", "action": "SET"}


class World:
    """What the script's requests are about; each request gets names of its own."""

    def __init__(self, daemon):
        self.client = Client(daemon)
        client = self.client
        self.experiment = client.experiment()
        self.run = client.run(self.experiment)
        self.batch_run = client.run(self.experiment)
        self.model = client.good("POST", "logged-models", {"experiment_id": self.experiment, "name": "m"})
        self.model = self.model["model"]["info"]["model_id"]
        for step in range(30):
            client.good("POST", "runs/log-metric", {"run_id": self.run, "key": "acc", "value": step, "timestamp": 1,
                                                    "step": step})
        client.good("POST", "runs/log-batch", {"run_id": self.run, "params": [{"key": "p", "value": "1"}],
                                               "tags": [{"key": "t", "value": "x"}]})
        client.good("POST", "runs/log-inputs", {"run_id": self.run, "datasets": [
            {"dataset": {"name": "d", "digest": "1", "source_type": "local", "source": "s"}, "tags": []}]})
        self.registered = "memory-" + uuid.uuid4().hex
        client.good("POST", "registered-models/create", {"name": self.registered, "tags": [{"key": "k", "value": "v"}]})
        self.version()
        self.version()
        client.good("POST", "registered-models/alias", {"name": self.registered, "alias": "best", "version": "1"})
        self.webhook = client.good("POST", "webhooks", {"name": "h", "url": "http://127.0.0.1:9/", "secret": "s", "events": [EVENT]})
        self.webhook = self.webhook["webhook"]["webhook_id"]
        self.user = "memory-" + uuid.uuid4().hex
        client.good("POST", "users/create", {"username": self.user, "password": accounts.PASSWORD})
        self.role = client.good("POST", V3 + "roles/create", {"name": self.user, "workspace": "default"})["role"]["id"]
        self.files = "memory-" + uuid.uuid4().hex
        self.blob = os.urandom(100_000)
        assert client.put(f"{self.files}/read", self.blob).status == 200
        assert client.put(f"{self.artifact('a')}", self.blob).status == 200

    def version(self):
        made = self.client.good("POST", "model-versions/create", {"name": self.registered, "source": "s3://bucket/m"})
        return made["model_version"]["version"]

    def artifact(self, name):
        return f"{self.experiment}/{self.run}/artifacts/{name}"

    def upload_id(self, n):
        return self.client.good("POST", f"{PARTS}create/{self.files}", {"path": f"mp{n}", "num_parts": 1})["upload_id"]


def get(path):
    return lambda w, n: ("GET", path.format(w=w, n=n), None)


def post(path, body, method="POST"):
    """body: a function of (world, n), so that each try has names of its own."""
    return lambda w, n: (method, path.format(w=w, n=n), body(w, n))


def fresh_run(w):
    return w.client.run(w.experiment)


def fresh_experiment(w):
    return w.client.experiment()


def fresh_model(w):
    made = w.client.good("POST", "logged-models", {"experiment_id": w.experiment, "name": "m"})
    return made["model"]["info"]["model_id"]


def fresh_upload(w, n):
    key = f"{w.files}/del{n}"
    assert w.client.put(key, b"1").status == 200
    return ("DELETE", FILES + key, None)


def fresh_registered(w):
    name = f"{w.registered}-{next(serial)}"
    w.client.good("POST", "registered-models/create", {"name": name})
    return name


def fresh_user(w):
    name = f"{w.user}-{next(serial)}"
    w.client.good("POST", "users/create", {"username": name, "password": accounts.PASSWORD})
    return name


def stranger(w, n):
    """A login that is not remembered: each try has a password of its own."""
    return ("GET", "users/current", None, (w.user, f"a wrong password {n}"))


def login(w, n):
    """The first request of somebody."""
    return ("GET", "users/current", None, (fresh_user(w), accounts.PASSWORD))


def as_reader(ask):
    """By one who is no admin: every grant is looked at."""
    def made(w, n):
        return (*ask(w, n), (w.user, accounts.PASSWORD))
    return made


def part(w, n):
    made = w.client.good("POST", f"{PARTS}create/{w.files}", {"path": f"mp{n}", "num_parts": 1})
    url = made["credentials"][0]["url"]
    return ("PUT", url[url.index("/", 8):] if "://" in url else url, b"x" * 5000)


def complete(w, n):
    method, path, data = part(w, n)
    reply = w.client.call(method, path, data)
    assert reply.status == 200
    upload_id = path.partition("?")[2]
    upload_id = dict(p.split("=") for p in upload_id.split("&"))["upload_id"]
    return ("POST", f"{PARTS}complete/{w.files}", {"path": f"mp{n}", "upload_id": upload_id, "parts": [
        {"part_number": 1, "etag": reply.headers["ETag"]}]})


BATCH = 40


def batch(w, n):
    return {"run_id": w.batch_run,
            "metrics": [{"key": f"m{i}", "value": n, "timestamp": n, "step": n} for i in range(BATCH)],
            "params": [{"key": f"p{n}", "value": "v" * 100}], "tags": [{"key": f"t{n}", "value": "v" * 100}]}


def metric(w, n):
    return {"run_id": w.run, "key": "loss", "value": n, "timestamp": n, "step": n}


def log_model(w, n):
    """In a run of its own: the tag that keeps them has a limit."""
    run = fresh_run(w)
    return {"run_id": run, "model_json": (
        '{"artifact_path": "m", "flavors": {}, "utc_time_created": "2026-01-01", "run_id": "%s"}' % run)}


def dataset(n):
    return {"dataset": {"name": f"d{n}", "digest": "1", "source_type": "local", "source": "s", "schema": "{}"},
            "tags": [{"key": "mlflow.data.context", "value": "train"}]}


# name -> what to ask: every kind of route (inline, blocking, worker, write, stream, stream with database).
SCRIPT = {
    "health": get("/health"),
    "version": get("/version"),
    "livez": get("/livez"),
    "readyz": get("/readyz?verbose=1"),
    "metrics": get("/metrics"),
    "server-info": get("/api/3.0/mlflow/server-info"),
    "unknown": get("/api/2.0/mlflow/no/such"),
    "root": get("/"),
    "experiment-create": post("experiments/create", lambda w, n: {"name": f"{w.files}-{n}", "tags": [
        {"key": "a", "value": "b"}]}),
    "experiment-get": get("experiments/get?experiment_id={w.experiment}"),
    "experiment-missing": get("experiments/get?experiment_id=99999999"),
    "experiment-by-name": get("experiments/get-by-name?experiment_name=Default"),
    "experiment-search": post("experiments/search", lambda w, n: {"max_results": 20, "filter": "name LIKE '%e%'",
                                                                  "order_by": ["name DESC"]}),
    "experiment-update": post("experiments/update", lambda w, n: {"experiment_id": w.experiment,
                                                                  "new_name": f"{w.files}-x{n}"}),
    "experiment-delete": post("experiments/delete", lambda w, n: {"experiment_id": fresh_experiment(w)}),
    "experiment-tag": post("experiments/set-experiment-tag", lambda w, n: {"experiment_id": w.experiment,
                                                                           "key": f"k{n}", "value": "v"}),
    "experiment-untag": post("experiments/delete-experiment-tag", lambda w, n: {"experiment_id": w.experiment,
                                                                                "key": f"k{n}"}),
    "datasets-search": post("/ajax-api/2.0/mlflow/experiments/search-datasets",
                            lambda w, n: {"experiment_ids": [w.experiment]}),
    "run-create": post("runs/create", lambda w, n: {"experiment_id": w.experiment, "run_name": f"r{n}", "tags": [
        {"key": "a", "value": str(n)}]}),
    "run-get": get("runs/get?run_id={w.run}"),
    "run-missing": get("runs/get?run_id=00000000000000000000000000000000"),
    "run-update": post("runs/update", lambda w, n: {"run_id": w.run, "status": "FINISHED", "run_name": f"n{n}"}),
    "run-delete": post("runs/delete", lambda w, n: {"run_id": fresh_run(w)}),
    "run-restore": post("runs/restore", lambda w, n: {"run_id": w.run}),
    "log-metric": post("runs/log-metric", metric),
    "log-metric-bad": post("runs/log-metric", lambda w, n: {"run_id": w.run, "key": "x" * 1000, "value": 1,
                                                            "timestamp": 1}),
    "log-param": post("runs/log-parameter", lambda w, n: {"run_id": w.run, "key": f"q{n}", "value": "1"}),
    "log-param-conflict": post("runs/log-parameter", lambda w, n: {"run_id": w.run, "key": "p", "value": "other"}),
    "set-tag": post("runs/set-tag", lambda w, n: {"run_id": w.run, "key": f"t{n}", "value": "1"}),
    "delete-tag": post("runs/delete-tag", lambda w, n: {"run_id": w.run, "key": "nothing"}),
    "log-batch": post("runs/log-batch", batch),
    "log-batch-large": post("runs/log-batch", lambda w, n: {"run_id": w.run, "metrics": [
        {"key": f"big{i % 7}", "value": i, "timestamp": i, "step": n * 1000 + i} for i in range(900)]}),
    "log-inputs": post("runs/log-inputs", lambda w, n: {"run_id": w.run, "datasets": [dataset(n)]}),
    "log-outputs": post("runs/outputs", lambda w, n: {"run_id": w.run, "models": [{"model_id": w.model, "step": n}]}),
    "run-search": post("runs/search", lambda w, n: {
        "experiment_ids": [w.experiment], "max_results": 5, "order_by": ["metrics.acc DESC", "start_time"],
        "filter": "metrics.acc > 0 AND params.p = '1' AND (tags.t LIKE 'x%' OR NOT attributes.status = 'FAILED')"}),
    "run-search-bad": post("runs/search", lambda w, n: {"experiment_ids": [w.experiment], "filter": "metrics.acc >"}),
    "history": get("metrics/get-history?run_id={w.run}&metric_key=acc"),
    "history-page": get("metrics/get-history?run_id={w.run}&metric_key=acc&max_results=7"),
    "history-bulk": get("/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id={w.run}&metric_key=acc&max_results=9"),
    "history-interval": get("metrics/get-history-bulk-interval?run_ids={w.run}&metric_key=acc&max_results=5"),
    "model-create": post("logged-models", lambda w, n: {
        "experiment_id": w.experiment, "name": f"m{n}", "source_run_id": w.run, "params": [{"key": "a", "value": "b"}],
        "tags": [{"key": "a", "value": "b"}]}),
    "model-get": get("logged-models/{w.model}"),
    "model-search": post("logged-models/search", lambda w, n: {"experiment_ids": [w.experiment], "max_results": 5,
                                                               "filter": "name = 'm'"}),
    "model-finalize": post("logged-models/{w.model}", lambda w, n: {"model_id": w.model,
                                                                    "status": "LOGGED_MODEL_READY"}, "PATCH"),
    "model-params": post("logged-models/{w.model}/params", lambda w, n: {"model_id": w.model, "params": [
        {"key": f"k{n}", "value": "1"}]}),
    "model-tags": post("logged-models/{w.model}/tags", lambda w, n: {"model_id": w.model, "tags": [
        {"key": f"k{n}", "value": "1"}]}, "PATCH"),
    "model-untag": lambda w, n: ("DELETE", f"logged-models/{w.model}/tags/k{n}", None),
    "model-delete": lambda w, n: ("DELETE", f"logged-models/{fresh_model(w)}", None),
    "log-model": post("runs/log-model", log_model),
    "registered-create": post("registered-models/create", lambda w, n: {"name": f"{w.registered}-c{n}", "description": "d", "tags": [
        {"key": "a", "value": "b"}]}),
    "registered-get": get("registered-models/get?name={w.registered}"),
    "registered-missing": get("registered-models/get?name=nothing"),
    "registered-rename": post("registered-models/rename", lambda w, n: {"name": fresh_registered(w), "new_name": f"{w.registered}-r{n}"}),
    "registered-delete": post("registered-models/delete", lambda w, n: {"name": fresh_registered(w)}, "DELETE"),
    "registered-search": get("registered-models/search?filter=name%20LIKE%20%27memory%25%27&max_results=5"),
    "registered-tag": post("registered-models/set-tag", lambda w, n: {"name": w.registered, "key": f"k{n}", "value": "v"}),
    "version-create": post("model-versions/create", lambda w, n: {"name": w.registered, "source": "s3://b/m", "description": f"v{n}"}),
    "version-get": get("model-versions/get?name={w.registered}&version=1"),
    "version-search": get("model-versions/search?max_results=5"),
    "version-tag": post("model-versions/set-tag", lambda w, n: {"name": w.registered, "version": "1", "key": f"k{n}", "value": "v"}),
    "version-stage": post("model-versions/transition-stage", lambda w, n: {"name": w.registered, "version": "1", "stage": ["Staging", "Production"][n % 2],
                                                                           "archive_existing_versions": True}),
    "version-delete": post("model-versions/delete", lambda w, n: {"name": w.registered, "version": w.version()}, "DELETE"),
    "latest-versions": post("registered-models/get-latest-versions", lambda w, n: {"name": w.registered}),
    "alias-set": post("registered-models/alias", lambda w, n: {"name": w.registered, "alias": "moving", "version": str(1 + n % 2), "reason": str(n)}),
    "alias-conflict": post("registered-models/alias", lambda w, n: {"name": w.registered, "alias": "best", "version": "2", "expected_version": "7"}),
    "alias-get": get("registered-models/alias?name={w.registered}&alias=best"),
    "alias-history": get("/api/1.0/capstan/registered-models/{w.registered}/history?max_results=5"),
    "alias-at": get("/api/1.0/capstan/registered-models/{w.registered}/history?at=9000000000000"),
    "webhook-create": post("webhooks", lambda w, n: {"name": "h", "url": f"http://127.0.0.1:9/{n}", "secret": "s", "status": "DISABLED", "events": [
        {"entity": "PROMPT", "action": "CREATED"}]}),
    "webhook-list": get("webhooks?max_results=5"),
    "webhook-update": post("webhooks/{w.webhook}", lambda w, n: {"description": str(n), "secret": str(n)}, "PATCH"),
    "webhook-test": post("webhooks/{w.webhook}/test", lambda w, n: {}),
    "webhook-log": get("/api/1.0/capstan/webhooks/{w.webhook}/deliveries?max_results=3"),
    "user-create": post("users/create", lambda w, n: {"username": f"{w.user}-u{n}", "password": accounts.PASSWORD}),
    "user-delete": post("users/delete", lambda w, n: {"username": fresh_user(w)}, "DELETE"),
    "user-list": get("users/list"),
    "user-current": get("users/current"),
    "grant": post(V3 + "users/permissions/grant", lambda w, n: {"username": w.user, "resource_type": "experiment", "resource_id": str(n), "permission": "READ"}),
    "role-list": get(V3 + "roles/list?workspace=default"),
    "role-permission": post(V3 + "roles/permissions/add", lambda w, n: {"role_id": w.role, "resource_type": "experiment", "resource_pattern": str(n), "permission": "READ"}),
    "signup-page": get("/signup"),
    "login": login,
    "login-wrong": stranger,
    "nobody": lambda w, n: ("GET", "users/current", None, ("nobody", "at all")),
    "reader-run": as_reader(get("runs/get?run_id={w.run}")),
    "reader-refused": as_reader(post("runs/log-metric", metric)),
    "reader-search": as_reader(post("runs/search", lambda w, n: {"experiment_ids": [w.experiment]})),
    "reader-models": as_reader(get("registered-models/search?max_results=5")),
    "reader-version": as_reader(get("model-versions/get?name={w.registered}&version=1")),
    "reader-creates": as_reader(post("experiments/create", lambda w, n: {"name": f"{w.files}-mine-{n}"})),
    "absent": get("/api/2.0/mlflow/traces"),
    "artifacts-list": get("artifacts/list?run_id={w.run}"),
    "model-artifacts": get("logged-models/{w.model}/artifacts/directories"),
    "get-artifact": get("/get-artifact?run_uuid={w.run}&path=a"),
    "ui-upload": lambda w, n: ("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={w.run}&path=ui{n}", b"u" * 9000),
    "upload": lambda w, n: ("PUT", f"{FILES}{w.files}/deep{n}/up", w.blob),
    "download": get(FILES + "{w.files}/read"),
    "download-missing": get(FILES + "{w.files}/nothing"),
    "list": get("/api/2.0/mlflow-artifacts/artifacts?path={w.files}"),
    "delete": fresh_upload,
    "multipart-create": post(PARTS + "create/{w.files}", lambda w, n: {"path": f"mp{n}", "num_parts": 2}),
    "multipart-part": part,
    "multipart-complete": complete,
    "multipart-abort": post(PARTS + "abort/{w.files}", lambda w, n: {"path": f"mp{n}", "upload_id": w.upload_id(n)}),
}

serial = itertools.count(1)


@pytest.fixture(scope="module")
def world(shared_daemon):
    return World(shared_daemon)


def ask(world, name, client):
    """The request, its path and its reply; what it needs is made before, undisturbed."""
    method, path, body, *user = SCRIPT[name](world, next(serial))
    return lambda: client.call(method, path, body, *user)


def names_of(reply):
    return {name.lower() for name in reply.headers} - {"etag", "connection", "retry-after", "last-modified"}


def well(call, status):
    """The answer once the daemon is well again: it may take a moment to believe that PostgreSQL is there."""
    return wait_for(lambda: (lambda reply: reply.status == status and reply)(call()), 1, f"status {status}")


def undisturbed(shim, world, name):
    """What the request answers, and how many allocations it takes: on connections that know it, and at most."""
    client = Client(world.client.server)
    reply = wait_for(lambda: (lambda r: r.status not in (500, 503, 507) and r)(ask(world, name, client)()), 1, name)
    seen = []
    for _ in range(3):
        call = ask(world, name, client)
        with shim.count("malloc") as rule:
            assert call().status == reply.status
        seen.append(rule.seen)
    client.close()
    return reply, min(seen), max(seen)


def expect(reply, good, what):
    """As always, or a clear refusal."""
    if reply.status == good.status:
        # A header that is dropped for want of memory may be one that protects.
        assert names_of(reply) >= names_of(good), f"{what}: {names_of(good) - names_of(reply)} missing"
        return
    if good.headers.get("Content-Type", "").startswith("text/plain") and reply.status == 503:
        return          # /readyz: not ready is what it says
    assert reply.status == 503, f"{what}: {reply}"
    refusal(reply)


def disturbed(shim, world, name, good, first, count):
    client = Client(world.client.server, timeout=20 * SLOW)
    if first % 2:
        assert client.get("/health").status == 200       # on a connection that is there, and on a new one
    call = ask(world, name, client)
    what = f"{name}, allocation {first}" + ("" if count == 1 else " and all later ones")
    hit = 0
    try:
        with shim.failing("malloc", "ENOMEM", first=first, count=count) as rule:
            expect(call(), good, what)
    except Closed:
        pass
    except TimeoutError:
        pytest.fail(f"{what}: no answer")
    finally:
        hit = rule.hit
        client.close()
    return hit


def sampled(least, most):
    """Which allocations are to fail: some of those that the request always makes, and of the others."""
    if FULL:
        return range(1, most + 3)
    chosen = random.Random(most)
    always, others = range(1, least + 1), range(least + 1, most + 3)
    return sorted(chosen.sample(always, min(SAMPLES, len(always))) + chosen.sample(others, min(2, len(others))))


def check_batches(world):
    """No part of a batch without the rest."""
    data = world.client.run_data(world.batch_run)
    steps = [{m["step"] for m in world.client.history(world.batch_run, f"m{i}")} for i in range(BATCH)]
    assert all(s == steps[0] for s in steps)
    assert {int(p["key"][1:]) for p in data.get("params", [])} == steps[0]
    assert {int(t["key"][1:]) for t in data.get("tags", []) if not t["key"].startswith("mlflow.")} == steps[0]


def check_files(world):
    """Every artifact that is listed is whole."""
    for path in world.client.listing(world.files):
        if path.rsplit("/", 1)[-1].startswith("deep"):
            for name in world.client.listing(path):
                assert world.client.get(FILES + (name if name.startswith(world.files) else f"{path}/up")).data == world.blob


@pytest.mark.parametrize("name", SCRIPT)
def test_nth_allocation_fails(shim, world, daemon, name):
    good, least, most = undisturbed(shim, world, name)
    before = open_files(daemon)
    hits = 0
    for first in sampled(least, most):
        for count in (1, ALWAYS):
            hits += disturbed(shim, world, name, good, first, count)
        assert daemon.process.poll() is None, daemon.log()[-6000:]
    well(lambda: ask(world, name, world.client)(), good.status)
    assert hits or not least
    settled(daemon, before)
    if name == "log-batch":
        check_batches(world)
    if name in ("upload", "list"):
        check_files(world)


def test_no_memory_at_all(shim, world, daemon):
    """Nothing can be allocated for the whole script; then everything works, and what was there is there."""
    goods = {name: undisturbed(shim, world, name)[0] for name in SCRIPT}
    for name in SCRIPT:
        disturbed(shim, world, name, goods[name], 1, ALWAYS)
    for name in SCRIPT:
        well(lambda name=name: ask(world, name, world.client)(), goods[name].status)
    check_batches(world)
    check_files(world)
    assert len(world.client.history(world.run, "acc")) == 30


def test_every_kth_allocation_fails(shim, world, daemon):
    """A daemon that is short of memory for a while: any of its threads, at any time."""
    goods = {name: undisturbed(shim, world, name)[0] for name in SCRIPT}
    rounds = 20 if FULL else 2
    for k in range(rounds):
        for name in SCRIPT:
            client = Client(world.client.server, timeout=20 * SLOW)
            call = ask(world, name, client)
            rules = [shim.start("malloc", "ENOMEM", first=random.randint(1, 60)) for _ in range(4)]
            try:
                expect(call(), goods[name], name)
            except Closed:
                pass
            finally:
                for rule in rules:
                    rule.end()
                client.close()
    check_batches(world)
    check_files(world)
