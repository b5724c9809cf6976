# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What users of a daemon with accounts may do, with the real client and raw HTTP: MLflow's rules of 3.17.2."""

import base64
import socket
import threading
import time

import mlflow
import pytest
import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

import accounts
import capstan_server
import conftest
from conftest import REFERENCE, unique

pytestmark = [pytest.mark.ours, pytest.mark.skipif(bool(REFERENCE), reason="about our daemon")]

ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
MPU = "/api/2.0/mlflow-artifacts/mpu"
METRIC = {"key": "k", "value": 1.0, "timestamp": 1}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """Default permission READ."""
    if accounts.REFERENCE:
        yield conftest.Reference(accounts.REFERENCE)
        return
    made = capstan_server.Server(
        *accounts.FLAGS, env=accounts.environment(tmp_path_factory.mktemp("auth"))
    ).start()
    try:
        yield made
        made.stop()
        made.check()
    finally:
        made.close()


@pytest.fixture(scope="module")
def people(daemon):
    return accounts.Accounts(daemon.url)


@pytest.fixture
def owner(people):
    return people.user()


@pytest.fixture
def other(people):
    return people.user()


def create_experiment(account):
    body = {"name": unique("experiment")}
    return account.ok("POST", "experiments/create", body)["experiment_id"]


def create_run(account, experiment):
    reply = account.ok("POST", "runs/create", {"experiment_id": experiment})
    return reply["run"]["info"]["run_id"]


def create_model(account, experiment, **more):
    body = {"experiment_id": experiment, "name": "m", **more}
    return account.ok("POST", "logged-models", body)["model"]["info"]["model_id"]


@pytest.fixture
def experiment(owner):
    return create_experiment(owner)


@pytest.fixture
def run(owner, experiment):
    return create_run(owner, experiment)


def status(account, method, path, body=None, **options):
    return account.send(method, path, body, **options).status_code


# ---- who ----


def test_client_without_and_with_credentials(daemon, other, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    with pytest.raises(MlflowException, match="You are not authenticated") as failed:
        MlflowClient(daemon.url).search_experiments()
    assert failed.value.error_code == "UNAUTHENTICATED"
    with other.client() as client:
        client.search_experiments()


def test_probes_and_service_info_need_nobody(daemon):
    for path in ("/health", "/livez", "/readyz", "/api/3.0/mlflow/server-info"):
        assert requests.get(daemon.url + path, timeout=30).status_code == 200, path
    # MLflow asks for a user here, too
    assert requests.get(daemon.url + "/version", timeout=30).status_code == 401
    assert requests.get(daemon.url + "/metrics", timeout=30).status_code == 401


def test_metrics_and_version_for_any_user(other):
    assert status(other, "GET", "/version") == 200
    assert status(other, "GET", "/metrics") == 200


def test_deleted_user_and_changed_password(people):
    user = people.user()
    user.ok("POST", "runs/search", {"experiment_ids": ["0"]})
    people.admin.ok(
        "PATCH", "users/update-password", {"username": user.name, "password": "another long one"}
    )
    assert status(user, "POST", "runs/search", {"experiment_ids": ["0"]}) == 401
    user.session.auth = (user.name, "another long one")
    user.ok("POST", "runs/search", {"experiment_ids": ["0"]})
    people.admin.ok("DELETE", "users/delete", {"username": user.name})
    assert status(user, "POST", "runs/search", {"experiment_ids": ["0"]}) == 401


def answer_to(daemon, head):
    """The head of the reply to the head of a request."""
    with socket.create_connection((daemon.host, daemon.port), timeout=20) as s:
        s.sendall(head)
        got = b""
        while b"\r\n\r\n" not in got:
            piece = s.recv(65536)
            if not piece:
                break
            got += piece
        return got


def upload_head(path, length, *more):
    lines = [f"PUT {ARTIFACTS}/{path} HTTP/1.1", "Host: localhost", f"Content-Length: {length}"]
    return ("\r\n".join([*lines, *more]) + "\r\n\r\n").encode()


def test_upload_is_refused_before_its_body(daemon, other, experiment, run):
    """A gigabyte announced, nothing of it sent: the answer comes all the same."""
    token = base64.b64encode(f"{other.name}:{other.password}".encode()).decode()
    wrong = base64.b64encode(f"{other.name}:wrong".encode()).decode()
    path = f"{experiment}/{run}/artifacts/big"
    reply = answer_to(daemon, upload_head(path, 1 << 30))
    assert reply.startswith(b"HTTP/1.1 401 ") and b'Basic realm="mlflow"' in reply, reply
    reply = answer_to(daemon, upload_head(path, 1 << 30, f"Authorization: Basic {wrong}"))
    assert reply.startswith(b"HTTP/1.1 401 "), reply
    reply = answer_to(daemon, upload_head(path, 1 << 30, f"Authorization: Basic {token}"))
    assert reply.startswith(b"HTTP/1.1 403 "), reply
    reply = answer_to(
        daemon,
        upload_head(path, 1 << 30, f"Authorization: Basic {token}", "Expect: 100-continue"),
    )
    assert reply.startswith(b"HTTP/1.1 403 "), reply


def test_kept_connection_survives_refusals(daemon, people, owner, run):
    """Bodies of refused requests do not become the next request."""
    session = requests.Session()
    session.trust_env = False
    url = daemon.url + "/api/2.0/mlflow/runs/log-metric"
    fresh = people.user()  # its first password check takes the slow way
    for auth, expected in ((None, 401), ((owner.name, "x"), 401), ((fresh.name, fresh.password), 403)):
        for _ in range(3):
            reply = session.post(url, json={"run_id": run, **METRIC}, auth=auth, timeout=30)
            assert reply.status_code == expected, reply.text
    assert session.post(
        url, json={"run_id": run, **METRIC}, auth=(owner.name, owner.password), timeout=30
    ).status_code == 200


def test_many_new_users_at_once(people):
    """Everybody's first request takes the slow way at the same moment."""
    users = [people.user() for _ in range(6)]
    wrong = []

    def ask(user):
        for _ in range(5):
            reply = user.post("runs/search", {"experiment_ids": ["0"]})
            if reply.status_code != 200:
                wrong.append((reply.status_code, reply.text))

    threads = [threading.Thread(target=ask, args=(u,)) for u in users for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# ---- experiments ----


def test_creator_manages_and_others_read(owner, other, experiment):
    for who in (owner, other):
        got = who.ok("GET", "experiments/get", params={"experiment_id": experiment})
        name = got["experiment"]["name"]
        who.ok("GET", "experiments/get-by-name", params={"experiment_name": name})
    for path, body in (
        ("experiments/set-experiment-tag", {"key": "a", "value": "b"}),
        ("experiments/delete-experiment-tag", {"key": "a"}),
        ("experiments/update", {"new_name": unique("renamed")}),
        ("runs/create", {}),
        ("logged-models", {"name": "m"}),
        ("experiments/delete", {}),
        ("experiments/restore", {}),
    ):
        other.refused("POST", path, {"experiment_id": experiment, **body})
        owner.ok("POST", path, {"experiment_id": experiment, **body})


def test_creator_manages_at_once(owner):
    """The grant is written with the experiment: no moment without it."""
    for _ in range(10):
        create_run(owner, create_experiment(owner))


def test_refused_name_grants_nothing(owner, other, experiment):
    name = owner.ok("GET", "experiments/get", params={"experiment_id": experiment})
    body = {"name": name["experiment"]["name"]}
    assert status(other, "POST", "experiments/create", body) == 400
    other.refused("POST", "runs/create", {"experiment_id": experiment})


@pytest.mark.parametrize("spelling", ["{}", "0{}", "+{}", "000{}"])
def test_every_spelling_of_an_id_is_judged(people, owner, experiment, spelling):
    denied = people.user(("experiment", experiment, "DENY"))
    other_name = {"experiment_id": spelling.format(experiment)}
    denied.refused("GET", "experiments/get", params=other_name)
    denied.refused("POST", "runs/create", other_name)
    owner.ok("GET", "experiments/get", params=other_name)


def test_missing_experiments(people, other):
    reply = other.get("experiments/get-by-name", {"experiment_name": unique("none")})
    assert reply.status_code == 404 and reply.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert status(other, "GET", "experiments/get", params={"experiment_id": "999999999"}) == 404
    with other.client() as client:
        assert client.get_experiment_by_name(unique("none")) is None


def test_deleting_takes_the_right_to_what_is_inside(people, experiment):
    user = people.user(("experiment", experiment, "MANAGE"), ("run", "*", "EDIT"))
    user.refused("POST", "experiments/delete", {"experiment_id": experiment})
    people.revoke(user, "run", "*")
    user.ok("POST", "experiments/delete", {"experiment_id": experiment})


# ---- runs ----


def test_run_rights_come_from_the_experiment(people, owner, experiment, run):
    expected = {"READ": 403, "USE": 403, "EDIT": 200, "MANAGE": 200}
    for permission, code in expected.items():
        user = people.user(("experiment", experiment, permission))
        assert status(user, "GET", "runs/get", params={"run_id": run}) == 200
        assert status(user, "POST", "runs/set-tag", {"run_id": run, "key": "a"}) == code
        assert status(user, "POST", "runs/log-metric", {"run_id": run, **METRIC}) == code
        delete = 200 if permission == "MANAGE" else 403
        assert status(user, "POST", "runs/delete", {"run_id": run}) == delete
        assert status(user, "POST", "runs/restore", {"run_id": run}) == delete


def test_run_grants(people, owner, experiment, run):
    update = ("POST", "runs/update", {"run_id": run, "status": "FINISHED"})
    # alone it decides
    assert status(people.user(("run", "*", "EDIT")), *update) == 200
    # a DENY is not rescued, and a lower grant overrides a higher one on the experiment
    for grant, of_experiment in (("DENY", "MANAGE"), ("READ", "EDIT")):
        user = people.user(("experiment", experiment, of_experiment), ("run", "*", grant))
        user.refused(*update)
    # it creates nothing, and its veto stops creators
    people.user(("run", "*", "MANAGE")).refused("POST", "runs/create", {"experiment_id": experiment})
    vetoed = people.user(("experiment", experiment, "EDIT"), ("run", "*", "DENY"))
    vetoed.refused("POST", "runs/create", {"experiment_id": experiment})
    # but the experiment's baseline holds
    denied = people.user(("experiment", experiment, "DENY"), ("run", "*", "MANAGE"))
    denied.refused(*update)


def test_missing_runs_are_refused_like_others(people, other):
    missing = "0" * 32
    manager = people.user(("run", "*", "MANAGE"))
    for user in (other, manager):
        for run in (missing, "nonsense", "F" * 32):
            user.refused("GET", "runs/get", params={"run_id": run})
            user.refused("POST", "runs/log-metric", {"run_id": run, **METRIC})
            user.refused("GET", "artifacts/list", params={"run_id": run})
    assert status(people.admin, "GET", "runs/get", params={"run_id": missing}) == 404


def test_capitals_name_no_run(people, owner, run):
    denied = people.user(("run", "*", "DENY"))
    denied.refused("GET", "runs/get", params={"run_id": run.upper()})


def test_every_write_is_judged(people, owner, other, run):
    """Known and unknown to the daemon's memory, small and large bodies."""
    bodies = {
        "log-metric": METRIC,
        "log-parameter": {"key": "p", "value": "v"},
        "set-tag": {"key": "t", "value": "v"},
        "delete-tag": {"key": "t"},
        "log-batch": {"metrics": [METRIC], "params": [], "tags": []},
        "log-inputs": {"datasets": []},
        "outputs": {"models": []},
        "update": {"status": "RUNNING"},
        "log-model": {"model_json": "{}"},
    }
    for name, body in bodies.items():
        other.refused("POST", f"runs/{name}", {"run_id": run, **body})
        reply = owner.send("POST", f"runs/{name}", {"run_id": run, **body})
        assert reply.status_code in (200, 400), (name, reply.text)
    large = {"run_id": run, "metrics": [{**METRIC, "step": i} for i in range(900)]}
    other.refused("POST", "runs/log-batch", large)
    owner.ok("POST", "runs/log-batch", large)
    history = owner.ok(
        "GET", "metrics/get-history", params={"run_id": run, "metric_key": "k"}
    )
    assert len(history["metrics"]) == 900


def test_after_a_restart_nothing_is_known(people, daemon, owner, other, run):
    daemon.restart()
    other.refused("POST", "runs/log-metric", {"run_id": run, **METRIC})
    owner.ok("POST", "runs/log-metric", {"run_id": run, **METRIC})
    owner.ok("POST", "runs/log-metric", {"run_id": run, **METRIC})


def test_metrics_of_somebody_elses_model(people, owner, other, experiment, run):
    """GHSA-3p64-6gvh-82v5 and its like: one's own run is no way into another's model."""
    model = create_model(owner, experiment)
    mine = create_run(other, create_experiment(other))
    own_model = create_model(other, create_experiment(other))
    requests_ = (
        ("log-metric", lambda m: {**METRIC, "model_id": m}),
        ("log-metric", lambda m: {**METRIC, "modelId": m}),
        ("log-batch", lambda m: {"metrics": [METRIC, {**METRIC, "model_id": m}]}),
        ("log-inputs", lambda m: {"models": [{"model_id": m}]}),
        ("outputs", lambda m: {"models": [{"model_id": m, "step": 0}]}),
    )
    for name, body in requests_:
        other.refused("POST", f"runs/{name}", {"run_id": mine, **body(model)})
        other.refused("POST", f"runs/{name}", {"run_id": mine, **body("m-" + "0" * 32)})
        other.ok("POST", f"runs/{name}", {"run_id": mine, **body(own_model)})


def test_bulk_history_needs_every_run(people, owner, experiment, run):
    hidden = create_experiment(owner)
    denied = people.user(("experiment", hidden, "DENY"))
    secret = create_run(owner, hidden)
    bulk = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    interval = "metrics/get-history-bulk-interval"
    for path, name in ((bulk, "run_id"), (interval, "run_ids")):
        denied.ok("GET", path, params={name: [run], "metric_key": "k"})
        denied.refused("GET", path, params={name: [run, secret], "metric_key": "k"})
        reply = denied.get(path, {name: [run, "0" * 32], "metric_key": "k"})
        assert reply.status_code == 404, reply.text


def test_run_uuid_does_not_hide_behind_run_id(people, owner, other, experiment, run):
    """One id for the judge and another for the handler."""
    mine = create_run(other, create_experiment(other))
    upload = "/ajax-api/2.0/mlflow/upload-artifact"
    for query in ({"run_id": mine, "run_uuid": run}, {"run_uuid": run, "run_id": mine}):
        other.refused("POST", upload, params={**query, "path": "x"}, data=b"x")
    assert status(other, "POST", upload, params={"run_uuid": mine, "path": "x"}, data=b"x") == 200
    denied = people.user(("experiment", experiment, "DENY"))
    denied.refused("GET", "/get-artifact", params={"run_id": mine, "run_uuid": run, "path": "x"})
    denied.refused("GET", "/get-artifact", params={"run_uuid": run, "path": "x"})
    assert denied.get("/get-artifact", {"path": "x"}).status_code == 400


# ---- logged models ----


def test_logged_models(people, owner, other, experiment, run):
    model = create_model(owner, experiment, source_run_id=run)
    path = f"logged-models/{model}"
    other.ok("GET", path)
    other.refused("PATCH", path, {"status": "LOGGED_MODEL_READY"})
    other.refused("PATCH", path + "/tags", {"tags": [{"key": "a", "value": "b"}]})
    other.refused("POST", path + "/params", {"params": []})
    editor = people.user(("experiment", experiment, "EDIT"))
    editor.ok("PATCH", path + "/tags", {"tags": [{"key": "a", "value": "b"}]})
    # deleting a tag takes the right to delete, as in MLflow
    editor.refused("DELETE", path + "/tags/a")
    editor.refused("DELETE", path)
    owner.ok("DELETE", path + "/tags/a")
    owner.ok("DELETE", path)
    other.refused("GET", "logged-models/m-" + "0" * 32)
    # a model made of a run that one may not read
    denied = people.user(("run", "*", "DENY"))
    mine = create_experiment(denied)
    denied.refused("POST", "logged-models", {"experiment_id": mine, "source_run_id": run})
    people.user(("logged_model", "*", "DENY")).refused("GET", path)


def test_presigned_uploads_name_one_subject(other, owner, experiment, run):
    model = create_model(owner, experiment)
    path = "artifacts/presigned-upload-url"
    other.refused("POST", path, {"run_id": run, "path": "a"})
    other.refused("POST", path, {"model_id": model, "path": "a"})
    other.refused("POST", "artifacts/presigned-upload-url", {"runId": run, "path": "a"})
    for body in ({"path": "a"}, {"path": "a", "run_id": run, "model_id": model}):
        reply = other.post(path, body)
        assert reply.status_code == 400 and "Exactly one of" in reply.text


# ---- searches ----


def test_experiment_search_shows_what_may_be_read(people, owner):
    prefix = unique("shown")
    ids = [
        owner.ok("POST", "experiments/create", {"name": f"{prefix}-{i}"})["experiment_id"]
        for i in range(10)
    ]
    readable = [0, 3, 4, 5, 6, 8]
    user = people.user(
        *(("experiment", ids[i], "DENY") for i in range(10) if i not in readable)
    )
    for account, expected in ((owner, range(10)), (user, readable)):
        with account.client() as client:
            for size in (100, 4):
                names, token = [], None
                while True:
                    page = client.search_experiments(
                        filter_string=f"name LIKE '{prefix}%'",
                        order_by=["name ASC"],
                        max_results=size,
                        page_token=token,
                    )
                    names += [e.name for e in page]
                    token = page.token
                    if not token:
                        break
                    assert len(page) == size  # full pages: nothing is missing in between
                assert names == [f"{prefix}-{i}" for i in expected]


def test_run_and_model_search(people, owner, experiment, run):
    hidden = create_experiment(owner)
    create_run(owner, hidden)
    create_model(owner, experiment)
    create_model(owner, hidden)
    both = {"experiment_ids": [experiment, hidden]}

    def runs(account):
        return [
            r["info"]["experiment_id"] for r in account.ok("POST", "runs/search", both).get("runs", [])
        ]

    def models(account):
        found = account.ok("POST", "logged-models/search", both).get("models", [])
        return [m["info"]["experiment_id"] for m in found]

    assert sorted(runs(owner)) == sorted(models(owner)) == sorted([experiment, hidden])
    denied = people.user(("experiment", hidden, "DENY"))
    assert runs(denied) == models(denied) == [experiment]
    people.grant(denied, "run", "*", "DENY")
    assert runs(denied) == [] and models(denied) == [experiment]
    selecting = {**both, "filter": f"source_run_id = '{run}'"}
    denied.refused("POST", "logged-models/search", selecting)
    people.grant(denied, "logged_model", "*", "DENY")
    assert models(denied) == []


def test_dataset_search_needs_every_experiment(people, owner, experiment):
    hidden = create_experiment(owner)
    denied = people.user(("experiment", hidden, "DENY"))
    path = "/ajax-api/2.0/mlflow/experiments/search-datasets"
    denied.ok("POST", path, {"experiment_ids": [experiment]})
    denied.refused("POST", path, {"experiment_ids": [experiment, hidden]})
    denied.refused("POST", path, {"experiment_ids": [experiment, "0" + hidden]})
    assert denied.post(path, {"experiment_ids": []}).status_code == 400


# ---- what replies withhold ----


def test_replies_withhold_denied_siblings(people, owner, experiment, run):
    model = create_model(owner, experiment, source_run_id=run)
    owner.ok("POST", "runs/log-metric", {"run_id": run, **METRIC, "model_id": model})
    owner.ok("POST", "runs/log-inputs", {"run_id": run, "models": [{"model_id": model}]})
    owner.ok("POST", "runs/outputs", {"run_id": run, "models": [{"model_id": model, "step": 0}]})
    search = {"experiment_ids": [experiment]}

    def seen_runs(account):
        got = account.ok("GET", "runs/get", params={"run_id": run})["run"]
        return [got, *account.ok("POST", "runs/search", search)["runs"]]

    def seen_models(account):
        got = account.ok("GET", f"logged-models/{model}")["model"]
        return [got, *account.ok("POST", "logged-models/search", search)["models"]]

    for each in seen_runs(owner):
        assert each["inputs"]["model_inputs"] and each["outputs"]["model_outputs"]
    assert model in str(seen_runs(owner)[0])
    for each in seen_models(owner):
        assert each["info"]["source_run_id"] == run

    no_models = people.user(("logged_model", "*", "DENY"))
    for each in seen_runs(no_models):
        assert model not in str(each), each
        assert each["info"]["run_id"] == run
    no_runs = people.user(("run", "*", "DENY"))
    for each in seen_models(no_runs):
        assert run not in str({**each, "info": {**each["info"], "artifact_uri": ""}}), each
        assert each["info"]["model_id"] == model


# ---- the artifact proxy ----


def put(account, path, data=b"data"):
    return account.send("PUT", f"{ARTIFACTS}/{path}", data=data).status_code


def test_client_logs_and_lists(daemon, owner, other, run, tmp_path):
    file = tmp_path / "123456.txt"
    file.write_text("text")
    with owner.client() as client:
        client.log_artifact(run, str(file))
        assert [a.path for a in client.list_artifacts(run)] == ["123456.txt"]
    with other.client() as client:
        assert [a.path for a in client.list_artifacts(run)] == ["123456.txt"]
        with pytest.raises(Exception, match="Permission denied"):
            client.log_artifact(run, str(file))
        mlflow.set_tracking_uri(daemon.url)
        path = mlflow.artifacts.download_artifacts(f"runs:/{run}/123456.txt", tracking_uri=daemon.url)
        with open(path) as f:
            assert f.read() == "text"


def test_proxy_rights(people, experiment, run):
    file = f"{experiment}/{run}/artifacts/a/b"
    denied = people.user(("experiment", experiment, "DENY"))
    reader, editor, manager = (
        people.user(("experiment", experiment, p)) for p in ("READ", "EDIT", "MANAGE")
    )
    assert put(editor, file) == 200
    assert put(reader, file) == put(denied, file) == 403
    for who, code in ((denied, 403), (reader, 200)):
        assert status(who, "GET", f"{ARTIFACTS}/{file}") == code
        for path in (f"{experiment}", f"{experiment}/{run}", f"./{experiment}/{run}"):
            assert status(who, "GET", ARTIFACTS, params={"path": path}) == code
        presigned = f"/api/2.0/mlflow-artifacts/presigned/{file}"
        assert status(who, "GET", presigned) == (403 if code == 403 else 501)
    # CVE-2024-4263: writing is not deleting
    assert status(editor, "DELETE", f"{ARTIFACTS}/{file}") == 403
    assert status(manager, "DELETE", f"{ARTIFACTS}/{file}") == 200


@pytest.mark.parametrize(
    "path",
    [
        "{0}/{1}/artifacts/x?path=0/x&artifact_path=0/x",
        "{0}//{1}//artifacts/x",
        "%3{2}/{1}/artifacts/x",
        "{0}%2F{1}%2Fartifacts%2Fx",
        "workspaces/w/{0}/x",
    ],
)
def test_every_spelling_of_a_path_is_judged(daemon, people, owner, path):
    experiment = create_experiment(owner)
    run = create_run(owner, experiment)
    first, rest = experiment[0], experiment[1:]
    spelled = path.format(experiment, run, first + rest)
    denied = people.user(("experiment", experiment, "DENY"))
    for method in ("GET", "PUT", "DELETE"):
        reply = requests.Session().send(
            _raw(daemon, method, f"{ARTIFACTS}/{spelled}", denied), timeout=30
        )
        assert reply.status_code == 403, (method, spelled, reply.text)


def _raw(daemon, method, target, account):
    """requests would tidy the target up."""
    data = b"x" if method == "PUT" else None
    auth = (account.name, account.password)
    prepared = requests.Request(method, daemon.url, auth=auth, data=data).prepare()
    prepared.url = daemon.url + target
    return prepared


def test_paths_out_of_the_root_are_refused(daemon, owner, other):
    for target in ("1/../2/x", "..%2f1/x", "1/%252e%252e/2/x"):
        reply = requests.Session().send(
            _raw(daemon, "GET", f"{ARTIFACTS}/{target}", other), timeout=30
        )
        assert reply.status_code in (400, 403), target


def test_deletions_are_judged_by_all_they_reach(people, experiment, run):
    manager = people.user(("experiment", experiment, "MANAGE"))
    assert put(manager, f"{experiment}/{run}/artifacts/a") == 200
    assert put(manager, f"{experiment}/models/m-1/artifacts/a") == 200
    for tier in ("run", "logged_model", "trace"):
        user = people.user(("experiment", experiment, "MANAGE"), (tier, "*", "DENY"))
        assert status(user, "DELETE", f"{ARTIFACTS}/{experiment}") == 403
    no_models = people.user(("experiment", experiment, "MANAGE"), ("logged_model", "*", "DENY"))
    assert status(no_models, "DELETE", f"{ARTIFACTS}/{experiment}/models") == 403
    assert status(no_models, "GET", ARTIFACTS, params={"path": f"{experiment}/models"}) == 403
    assert status(no_models, "DELETE", f"{ARTIFACTS}/{experiment}/{run}") == 200


def test_listing_an_experiment_hides_denied_runs(people, owner, experiment, run):
    assert put(owner, f"{experiment}/{run}/artifacts/a") == 200
    assert put(owner, f"{experiment}/models/m-1/artifacts/a") == 200
    no_runs = people.user(("run", "*", "DENY"))

    def names(account, path):
        got = account.ok("GET", ARTIFACTS, params={"path": path})
        return sorted(f["path"] for f in got.get("files", []))

    for path in (experiment, f"{experiment}/", f"./{experiment}"):
        assert names(owner, path) == sorted([run, "models"])
        assert names(no_runs, path) == ["models"]
    no_runs.refused("GET", ARTIFACTS, params={"path": f"{experiment}/{run}"})


def test_multipart_uploads(daemon, people, owner, other, experiment, run):
    """CVE-2026-2651. Parts come without credentials, from MLflow's client: their secret is the upload's id."""
    folder = f"{experiment}/{run}/artifacts"
    body = {"path": "big", "num_parts": 1}
    assert requests.post(f"{daemon.url}{MPU}/create/{folder}", json=body, timeout=30).status_code == 401
    other.refused("POST", f"{MPU}/create/{folder}", body)
    # the folder is another's when the name is part of it
    other.refused("POST", f"{MPU}/create/workspaces/w", {"path": f"{experiment}", "num_parts": 1})
    made = owner.ok("POST", f"{MPU}/create/{folder}", body)
    url = made["credentials"][0]["url"]
    part = requests.put(url, data=b"content", timeout=30)
    assert part.status_code == 200, part.text
    guess = url.replace(made["upload_id"][-8:], "00000000")
    assert requests.put(guess, data=b"content", timeout=30).status_code == 404
    elsewhere = url.replace(f"{run}/artifacts/big", f"{run}/artifacts/other")
    assert requests.put(elsewhere, data=b"content", timeout=30).status_code == 404
    done = {
        "path": "big",
        "upload_id": made["upload_id"],
        "parts": [{"part_number": 1, "etag": part.headers["ETag"], "url": url}],
    }
    for step in ("complete", "abort"):
        target = f"{MPU}/{step}/{folder}"
        assert requests.post(daemon.url + target, json=done, timeout=30).status_code == 401
        other.refused("POST", target, done)
    owner.ok("POST", f"{MPU}/complete/{folder}", done)
    assert owner.get(f"{ARTIFACTS}/{folder}/big").content == b"content"


# ---- changes of rights ----


def wait_until_refused(account, *request):
    began = time.monotonic()
    while status(account, *request) != 403:
        assert time.monotonic() - began < 1.0 * capstan_server.SLOW
    return time.monotonic() - began


def test_revoked_grants_count_at_once(people, experiment, run):
    user = people.user(("experiment", experiment, "EDIT"))
    write = ("POST", "runs/log-metric", {"run_id": run, **METRIC})
    for _ in range(3):
        assert status(user, *write) == 200
        people.revoke(user, "experiment", experiment)
        assert status(user, *write) == 403
        people.grant(user, "experiment", experiment, "EDIT")


def test_revoked_grants_reach_other_daemons(new_server, postgres, tmp_path):
    backend = postgres.database(unique("auth"))
    env = accounts.environment(tmp_path)
    first = new_server(*accounts.FLAGS, backend=backend, env=env)
    second = new_server(*accounts.FLAGS, backend=backend, env=env)
    people = accounts.Accounts(first.url)
    experiment = create_experiment(people.admin)
    run = create_run(people.admin, experiment)
    user = people.user(("experiment", experiment, "EDIT"))
    there = accounts.Account(second.url, user.name, user.password)
    write = ("POST", "runs/log-metric", {"run_id": run, **METRIC})
    for _ in range(3):
        deadline = time.monotonic() + 5
        while status(there, *write) != 200:
            assert time.monotonic() < deadline
        people.revoke(user, "experiment", experiment)
        assert status(user, *write) == 403
        assert wait_until_refused(there, *write) < 1.5 * capstan_server.SLOW
        people.grant(user, "experiment", experiment, "EDIT")
    # a creator's own grant, made through the other daemon
    made = create_experiment(user)
    create_run(user, made)
    people.admin.ok("DELETE", "users/delete", {"username": user.name})
    deadline = time.monotonic() + 2 * capstan_server.SLOW
    while status(there, *write) != 401:
        assert time.monotonic() < deadline


def test_writes_race_with_revocation(people, experiment, run):
    """Whatever is answered after the revocation was, is refused."""
    user = people.user(("experiment", experiment, "EDIT"))
    revoked = threading.Event()
    late = []

    def write():
        while True:
            after = revoked.is_set()
            code = status(user, "POST", "runs/log-metric", {"run_id": run, **METRIC})
            if after and code != 403:
                late.append(code)
            if after:
                return

    threads = [threading.Thread(target=write) for _ in range(4)]
    for t in threads:
        t.start()
    time.sleep(0.2)
    people.revoke(user, "experiment", experiment)
    revoked.set()
    for t in threads:
        t.join()
    assert not late
