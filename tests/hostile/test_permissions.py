# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
P18, with accounts: a user who may read one experiment and nothing else asks every route for things of another one, with
every field, in every spelling that a server might read in two ways. Nothing of it is told to him, and nothing changes.
"""

import json
import os
import urllib.parse

import pytest

import accounts
import table
from conftest import World, unique
from wire import JSON, Client, api, arguments

MARK = "marked-as-secret"
ROWS = [row for row in table.ROWS if row["kind"] != "absent"]
OPEN = ("NOTHING", "UPLOAD_PART", "SIGNED_IN", "ACCOUNTS")
PROXY = "/api/2.0/mlflow-artifacts/artifacts"


class Victim(World):
    """A world whose every text is marked."""

    def __init__(self, client):
        super().__init__(client)
        good = client.good
        good("experiments/update", {"experiment_id": self.experiment, "new_name": self.new(MARK)})
        good("experiments/set-experiment-tag", {"experiment_id": self.experiment, "key": MARK, "value": MARK})
        good("runs/log-batch", {"run_id": self.run, "metrics": [{"key": MARK, "value": 1, "timestamp": 1, "step": 0}],
                                "params": [{"key": MARK, "value": MARK}], "tags": [{"key": MARK, "value": MARK}]})
        good("runs/log-inputs", {"run_id": self.run, "datasets": [{"dataset": {"name": MARK, "digest": "1", "source_type": "s", "source": MARK}}]})
        good("runs/update", {"run_id": self.run, "run_name": MARK})
        reply = client.ask("PATCH", api(f"logged-models/{self.model}/tags"), {"tags": [{"key": MARK, "value": MARK}]})
        assert reply.status == 200
        self.artifact = f"{self.experiment}/{self.run}/artifacts/{MARK}"
        assert client.ask("PUT", f"{PROXY}/{self.artifact}", MARK.encode()).status == 200
        source = f"mlflow-artifacts:/{self.experiment}/{self.run}/artifacts"
        good("model-versions/create", {"name": self.registered, "source": source, "run_id": self.run, "description": MARK, "tags": [{"key": MARK, "value": MARK}]})
        assert client.ask("PATCH", api("registered-models/update"), {"name": self.registered, "description": MARK}).status == 200
        good("registered-models/alias", {"name": self.registered, "alias": MARK, "version": "2", "reason": MARK})
        self.hook = self.webhook
        reply = client.ask("PATCH", api(f"webhooks/{self.hook}"), {"description": MARK, "name": MARK})
        assert reply.status == 200
        self.grants = self.user, self.role, self.role_permission

    def state(self):
        """All that somebody could have changed or made."""
        c = self.client
        asked = [("runs/get", {"run_id": self.run}), ("experiments/get", {"experiment_id": self.experiment}), ("registered-models/get", {"name": self.registered}),
                 ("model-versions/search", {"filter": f"name = '{self.registered}'"}), (f"logged-models/{self.model}", {}), ("webhooks", {}),
                 (f"/api/1.0/capstan/registered-models/{self.registered}/history", {}), ("metrics/get-history", {"run_id": self.run, "metric_key": MARK}),
                 ("/api/2.0/mlflow-artifacts/artifacts", {"path": str(self.experiment)}), ("artifacts/list", {"run_id": self.run}),
                 ("users/list", {}), ("/api/3.0/mlflow/roles/list", {"workspace": "default"})]
        found = {path: c.get(path, query).json for path, query in asked}
        runs = c.good("runs/search", {"experiment_ids": [self.experiment], "run_view_type": "ALL"})
        models = c.good("logged-models/search", {"experiment_ids": [self.experiment]})
        return {**found, "runs": runs, "models": models, "artifact": c.ask("GET", f"{PROXY}/{self.artifact}").body}


@pytest.fixture(scope="module")
def victim(guarded):
    client = Client(guarded, accounts.ADMIN)
    yield Victim(client)
    client.close()


@pytest.fixture(scope="module")
def own(victim):
    """What the reader may read."""
    return World(victim.client)


@pytest.fixture(scope="module")
def reader(guarded, victim, own):
    name = "hostile-reader"
    victim.client.good("users/create", {"username": name, "password": accounts.PASSWORD})
    victim.client.good("/api/3.0/mlflow/users/permissions/grant", {
        "username": name, "resource_type": "experiment", "resource_id": own.experiment, "permission": "READ"})
    client = Client(guarded, (name, accounts.PASSWORD))
    yield client
    client.close()


def escaped(text):
    """As JSON that says every letter by its number."""
    return '"' + "".join(f"\\u{ord(ch):04x}" for ch in text) + '"'


def camel(name):
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def bodies(good, mine):
    """The same request in other words; mine: what its fields are for what the reader may read."""
    text = json.dumps(good)
    yield text
    yield json.dumps(text)
    yield "{" + ",".join(f"{escaped(k)}:{escaped(v) if isinstance(v, str) else json.dumps(v)}" for k, v in good.items()) + "}"
    yield json.dumps({camel(k): v for k, v in good.items()})
    yield json.dumps({k: int(v) if isinstance(v, str) and v.isdigit() else v for k, v in good.items()})
    for changed in [k for k in good if good[k] != mine.get(k)]:
        # Both of a kind: by the same name twice, and by its other names.
        both = {k: v for k, v in mine.items() if k in good or k == changed}
        for first, second in ((both.get(changed), good[changed]), (good[changed], both.get(changed))):
            rest = "".join(f",{json.dumps(k)}:{json.dumps(v)}" for k, v in both.items() if k != changed)
            for other in {changed, camel(changed), "run_uuid" if changed == "run_id" else changed}:
                yield f"{{{json.dumps(changed)}:{json.dumps(first)},{json.dumps(other)}:{json.dumps(second)}{rest}}}"
                yield f"{{{json.dumps(other)}:{json.dumps(first)},{escaped(changed)}:{json.dumps(second)}{rest}}}"


def queries(good, mine):
    yield arguments(good)
    yield arguments({k: [v, mine.get(k, "x")] if not isinstance(v, list) else v for k, v in good.items()})
    yield arguments({k: [mine.get(k, "x"), v] if not isinstance(v, list) else v for k, v in good.items()})
    yield "?" + "&".join("".join(f"%{b:02x}" for b in k.encode()) + "=" + urllib.parse.quote(str(v), safe="") for k, v in good.items() if not isinstance(v, list))
    if "run_id" in good or "run_uuid" in good:
        run = good.get("run_id", good.get("run_uuid"))
        rest = {k: v for k, v in good.items() if k not in ("run_id", "run_uuid")}
        for pair in ({"run_uuid": run}, {"run_id": mine.get("run_id"), "run_uuid": run}, {"run_uuid": mine.get("run_id"), "run_id": run}):
            yield arguments({**pair, **rest})
    if "experiment_id" in good:
        for text in ("0{}", "+{}", " {}", "{} ", "{}.0", "0x{}"):
            yield arguments({**good, "experiment_id": text.format(good["experiment_id"])})


def targets(path):
    """Other spellings of one path."""
    yield path
    yield path + "/"
    yield path.replace("/mlflow", "//mlflow", 1)
    yield path.replace("/mlflow", "/./mlflow", 1)
    yield path.replace("/mlflow", "/%6dlflow", 1)
    head, _, last = path.rpartition("/")
    yield f"{head}/%2e/{last}"
    yield f"{head}/" + "".join(f"%{b:02X}" for b in last.encode())
    yield f"{head}/" + "".join(f"%25{b:02X}" for b in last.encode())


def attempts(row, good, mine):
    """(method, target, body) of one row."""
    inside = table.in_path(row)
    rest = {k: v for k, v in good.items() if k not in inside}
    less = {k: v for k, v in mine.items() if k not in inside}
    for mount in row["mounts"].split(","):
        path = table.path(row, good, mount)
        for target in targets(path):
            yield row["method"], target, rest
        if row["method"] == "GET" or not row["request"]:
            for query in queries(rest, less):
                yield row["method"], path + query, None if row["method"] == "GET" else rest
                if row["method"] == "GET":
                    yield "HEAD", path + query, None
        if row["request"]:
            for body in bodies(rest, less):
                yield row["method"], path, body
            # what stands in the path as well as in the body or query
            own_path = table.path(row, mine, mount)
            yield row["method"], own_path, {**rest, **{k: good[k] for k in inside if k in good}}
            yield row["method"], own_path + arguments(good), rest
            yield row["method"], path + arguments(mine), less


def stream_sample(row, world):
    """The rows that have no record."""
    text = {"run_uuid": world.run, "path": MARK, "name": world.registered, "version": "2", "artifact_file_path": MARK, "model_id": world.model, "artifact_path": MARK}
    if "mlflow-artifacts" in row["path"]:
        text["path"] = getattr(world, "artifact", f"{world.experiment}/{world.run}/artifacts/x")
    return text


def sample(row, world):
    good = table.sample(row, world) if row["request"] else stream_sample(row, world)
    if "mlflow-artifacts" in row["path"] and "artifact_path" in good:
        good["artifact_path"] = getattr(world, "artifact", f"{world.experiment}/{world.run}/artifacts/x")
    if row["path"].endswith("mlflow-artifacts/artifacts"):
        good["path"] = f"{world.experiment}/{world.run}/artifacts"
    return good


@pytest.fixture(scope="module")
def before(victim, own, reader):
    """The state once all samples are made: some are prepared by a change."""
    samples = {table.name(row): (sample(row, victim), sample(row, own)) for row in ROWS if row["mounts"]}
    return samples, victim.state()


@pytest.mark.parametrize("row", ROWS, ids=table.name)
def test_a_reader_of_something_else(guarded, victim, reader, before, row):
    samples, state = before
    good, mine = samples[table.name(row)]
    plain = True
    for method, target, body in attempts(row, good, mine):
        lines = [JSON] if body is not None else []
        data = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        reply = reader.ask(method, target, data, *lines)
        what = (method, target, body, reply.status, reply.body[:500])
        assert reply.status < 500 or reply.status == 501, what
        said = urllib.parse.unquote(target) + (json.dumps(json.loads(body)) if isinstance(body, str) else str(body))
        if reply.status < 400 and method != "HEAD":
            assert MARK.encode() not in reply.body or MARK in said and not row["needs"].startswith("READ"), what
        if plain and row["needs"] not in OPEN and not row["needs"].startswith(("FILTER", "CREATE_EXPERIMENT", "CREATE_REGISTERED")):
            assert reply.status in (400, 403, 404), what
        plain = False
    now = victim.state()
    for key, value in state.items():
        if key in ("users/list", "/api/3.0/mlflow/roles/list"):
            continue        # the reader's own grants: what he makes is his
        assert now[key] == value, (key, value, now[key])


def test_who_may_what_is_unchanged(victim, before):
    """What the reader made is his; nobody else's rights have changed, and there is nobody new."""
    strip = lambda text: {u["username"]: u for u in text["users"] if u["username"] != "hostile-reader"}
    assert strip(victim.state()["users/list"]) == strip(before[1]["users/list"])


def test_searches_show_what_may_be_read(victim, own, reader):
    both = [victim.experiment, own.experiment]
    found = reader.good("runs/search", {"experiment_ids": both, "run_view_type": "ALL"})
    assert {r["info"]["experiment_id"] for r in found["runs"]} == {own.experiment}
    for filter_ in (f"attributes.run_id = '{victim.run}'", f"tags.`{MARK}` = '{MARK}'", f"params.`{MARK}` LIKE '%'", f"tags.`{MARK}` IS NULL OR tags.`{MARK}` LIKE '%'"):
        found = reader.good("runs/search", {"experiment_ids": both, "filter": filter_})
        assert not [r for r in found.get("runs", []) if r["info"]["experiment_id"] != own.experiment], filter_
    names = [e["name"] for e in reader.good("experiments/search", {"max_results": 1000, "view_type": "ALL"})["experiments"]]
    assert not [n for n in names if MARK in n]
    for route in ("registered-models/search", "model-versions/search"):
        for filter_ in ("", f"name = '{victim.registered}'", f"tags.`{MARK}` = '{MARK}'", f"name LIKE '%' OR name = '{victim.registered}'"):
            reply = reader.get(route, {"filter": filter_, "max_results": 1000})
            assert victim.registered not in reply.body.decode() and MARK.encode() not in reply.body.replace(json.dumps(filter_).encode(), b""), reply


def test_the_same_answer_for_what_is_missing(victim, reader):
    """No status or word tells whether a run, a model or an experiment of others exists."""
    for path, query, unknown in [("runs/get", {"run_id": victim.run}, {"run_id": "0" * 32}), (f"logged-models/{victim.model}", {}, None),
                                 ("model-versions/get", {"name": victim.registered, "version": "1"}, {"name": unique("none"), "version": "1"}),
                                 ("registered-models/alias", {"name": victim.registered, "alias": "champion"}, {"name": unique("none"), "alias": "champion"}),
                                 ("artifacts/list", {"run_id": victim.run}, {"run_id": "f" * 32}),
                                 ("/get-artifact", {"run_uuid": victim.run, "path": MARK}, {"run_uuid": "f" * 32, "path": MARK})]:
        one = reader.get(path, query)
        other = reader.get(path, unknown) if unknown else reader.get("logged-models/m-" + "0" * 32)
        assert (one.status, one.body) == (other.status, other.body) == (403, b"Permission denied"), (path, one, other)


def test_places_chosen_in_other_experiments(guarded, victim, own, reader):
    """An experiment of one's own whose artifacts are to lie in somebody else's folders."""
    run_folder = f"{victim.experiment}/{victim.run}"
    artifacts = os.path.join(guarded.data_dir, "artifacts")
    assert os.path.isdir(f"{artifacts}/{run_folder}")
    seen = victim.state()
    for place in (f"mlflow-artifacts:/{run_folder}/artifacts", f"mlflow-artifacts:/{victim.experiment}", f"mlflow-artifacts:/{run_folder}",
                  f"mlflow-artifacts:/./{run_folder}/artifacts", f"mlflow-artifacts:///{run_folder}", f"mlflow-artifacts:/%2e/{run_folder}",
                  f"mlflow-artifacts:/{run_folder}/", f"mlflow-artifacts:/{run_folder}//", f"mlflow-artifacts:///{run_folder}/artifacts/", f"MLflow-Artifacts:/{run_folder}",
                  f"{artifacts}/{run_folder}", f"file://{artifacts}/{run_folder}/", f"file://localhost{artifacts}/{run_folder}", f"{artifacts}//{run_folder}", f"file:{artifacts}/{run_folder}",
                  f"file://{artifacts}/{run_folder[:-1]}%{ord(run_folder[-1]):02x}", f"mlflow-artifacts:/{run_folder[:-1]}%{ord(run_folder[-1]):02x}",
                  "../" * 20 + f"{artifacts}/{run_folder}"[1:], os.path.relpath(f"{artifacts}/{run_folder}")):
        made = reader.post("experiments/create", {"name": unique("taker"), "artifact_location": place})
        assert made.status in (200, 400, 403), made
        if made.status != 200:
            continue
        reader.known = place.encode()           # comes back, as it resolves
        mine = made.json["experiment_id"]
        run = reader.good("runs/create", {"experiment_id": mine})["run"]["info"]
        reader.known += run["artifact_uri"].encode()
        reader.ask("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run['run_id']}&path=planted", b"x", "Content-Type: text/plain")
        for path in ("", "..", MARK, f"../../{MARK}"):
            reply = reader.get("/get-artifact", {"run_uuid": run["run_id"], "path": path})
            assert reply.status >= 400 and reply.body != MARK.encode(), (place, path, reply)
        now = victim.state()
        for key in ("artifacts/list", "/api/2.0/mlflow-artifacts/artifacts", "artifact"):
            assert now[key] == seen[key], (place, key, now[key])


def test_versions_of_what_may_not_be_read(victim, own, reader):
    """A version of one's own model is no way to somebody else's files."""
    name = unique("copy")
    reader.good("registered-models/create", {"name": name})
    folder = f"{victim.experiment}/{victim.run}/artifacts"
    for source in (f"mlflow-artifacts:/{folder}", f"mlflow-artifacts:/{own.experiment}/{own.run}/artifacts/../../../{folder}", f"runs:/{victim.run}", f"runs:/{victim.run}/x",
                   f"models:/{victim.registered}/2", f"models:/{victim.registered}@{MARK}", f"models:/{victim.registered}/latest", f"models:/{victim.model}", f"MODELS:/{victim.registered}/2",
                   f" models:/{victim.registered}/2", f"models:///{victim.registered}/2", f"models:/{victim.registered}%2F2", f"models://x/{victim.registered}/2",
                   f"mlflow-artifacts:/{own.experiment}/{own.run}/artifacts/%2e%2e/%2e%2e/%2e%2e/{folder}", f"mlflow-artifacts:/{folder}#x", f"mlflow-artifacts:/{folder}?x",
                   f"http://localhost/api/2.0/mlflow-artifacts/artifacts/{folder}", f"/{folder}", f"file:///{folder}", "s3://bucket/x"):
        for ids in ({}, {"run_id": own.run}, {"run_id": victim.run}, {"model_id": own.model}, {"model_id": victim.model}, {"run_id": own.run, "model_id": victim.model},
                    {"run_id": ""}, {"model_id": ""}):
            reply = reader.post("model-versions/create", {"name": name, "source": source, **ids})
            assert reply.status in (200, 400, 403, 404), reply
            if victim.run in ids.values() or victim.model in ids.values():
                assert reply.status != 200, (source, ids, reply)
            if reply.status != 200:
                continue
            version = reply.json["model_version"]["version"]
            for path in (MARK, "", folder, f"{victim.run}/artifacts/{MARK}"):
                got = reader.get("/model-versions/get-artifact", {"name": name, "version": version, "path": path})
                assert MARK.encode() not in got.body or got.status >= 400, (source, ids, got)
            uri = reader.get("model-versions/get-download-uri", {"name": name, "version": version}).json.get("artifact_uri", "")
            assert victim.run not in uri, (source, ids, uri)


def test_places_in_buckets(victim, own, reader):
    """An experiment in a bucket: nobody makes one in it, or reads it as a version of his own, who may not do that with it."""
    bucket = unique("s3://bucket")
    made = victim.client.good("experiments/create", {"name": unique(), "artifact_location": f"{bucket}/team/x/"})["experiment_id"]
    mine = victim.client.good("experiments/create", {"name": unique(), "artifact_location": f"{bucket}/team/mine"})["experiment_id"]
    victim.client.good("/api/3.0/mlflow/users/permissions/grant", {
        "username": "hostile-reader", "resource_type": "experiment", "resource_id": mine, "permission": "EDIT"})
    for place, status in ((f"{bucket}/team/x", 403), (f"{bucket}/team/x/", 403), (f"{bucket}/team/x/sub", 403), (f"{bucket}/team/x/a/b/", 403),
                          (f"{bucket}/team/xy", 200), (f"{bucket}/team", 200), (f"{bucket}/team/mine/sub", 200), ("s3://other-bucket/team/x", 200)):
        reply = reader.post("experiments/create", {"name": unique(), "artifact_location": place})
        assert reply.status == status, (place, reply)
        if reply.status == 200:
            reader.good("experiments/delete", {"experiment_id": reply.json["experiment_id"]})
    name = unique("bucket")
    reader.good("registered-models/create", {"name": name})
    for source, status in ((f"{bucket}/team/x/run/artifacts", 403), (f"{bucket}/team/x", 403), (f"{bucket}/team", 403), (bucket, 403), (f"{bucket}/team/mine/m", 200),
                           (f"{bucket}/elsewhere", 200)):
        reply = reader.post("model-versions/create", {"name": name, "source": source})
        assert reply.status == status, (source, reply)
        # Nothing in buckets is served that the operator did not name.
        if reply.status == 200:
            got = reader.get("/model-versions/get-artifact", {"name": name, "version": reply.json["model_version"]["version"], "path": "f"})
            assert got.status == 501, got
    run = reader.good("runs/create", {"experiment_id": mine})["run"]["info"]["run_id"]
    assert reader.get("artifacts/list", {"run_id": run}).status == 501
    assert made


def test_versions_made_before_an_experiment(victim, own, reader):
    """A version whose source was nobody's when it was made opens nothing of an experiment that is put there later, and neither does its copy."""
    bucket = unique("s3://bucket")
    mine = victim.client.good("experiments/create", {"name": unique(), "artifact_location": f"{bucket}/mine"})["experiment_id"]
    victim.client.good("/api/3.0/mlflow/users/permissions/grant", {
        "username": "hostile-reader", "resource_type": "experiment", "resource_id": mine, "permission": "EDIT"})
    run = reader.good("runs/create", {"experiment_id": mine})["run"]["info"]["run_id"]
    name = unique("early")
    reader.good("registered-models/create", {"name": name})
    sources = [f"{bucket}/team", f"{bucket}/team/x", f"{bucket}/team/x/run/artifacts"]
    bodies = [{"source": s, **run_id} for s in sources for run_id in ({}, {"run_id": run})] + [{"source": f"models:/{name}/3"}]
    versions = [reader.good("model-versions/create", {"name": name, **body})["model_version"]["version"] for body in bodies]

    def status(client, version):
        return client.get("/model-versions/get-artifact", {"name": name, "version": version, "path": "f"}).status

    # no bucket is served here: whoever may, hears that
    assert [status(reader, v) for v in versions] == [501] * len(versions)
    victim.client.good("experiments/create", {"name": unique(), "artifact_location": f"{bucket}/team/x"})
    assert [status(reader, v) for v in versions] == [403] * len(versions)
    assert [status(victim.client, v) for v in versions] == [501] * len(versions)
    from_run = reader.good("model-versions/create", {"name": name, "source": f"{bucket}/mine/{run}/artifacts/m", "run_id": run})
    assert status(reader, from_run["model_version"]["version"]) == 501
