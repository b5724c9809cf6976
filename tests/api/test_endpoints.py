# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Every route of MLflow 3.17.2 is served, or says that it is not and why; the one workspace; the page at /."""

import csv
import pathlib
import re

import pytest
import requests

import accounts
import capstan_server
import exchange
from conftest import REFERENCE, Api, refused

pytestmark = [pytest.mark.ours, pytest.mark.skipif(bool(REFERENCE), reason="about our routes")]

HERE = pathlib.Path(__file__).parent
ABSENT = {"genai", "ui-only", "not-needed"}  # the classes of which nothing is served
SERVED_ANYWAY = {"2.0mlflow/experiments/search-datasets"}  # a slip in MLflow's route, which a client could call


def endpoints():
    with open(HERE / "endpoints.tsv", newline="") as f:
        for row in csv.DictReader(f, delimiter="\t"):
            for mount in ("/api/", "/ajax-api/") if "{api,ajax-api}" in row["path"] else ("",):
                path = row["path"].replace("/{api,ajax-api}/", mount)
                yield row["method"], path, "accounts" if row["group"] == "auth" else row["class"]


@pytest.fixture(scope="module")
def with_accounts(module_server, tmp_path_factory):
    env = accounts.environment(tmp_path_factory.mktemp("accounts"))
    api = Api(module_server(*accounts.FLAGS, env=env).url)
    api.session.auth = accounts.ADMIN
    return api


def filled(path):
    return re.sub(r"\{[^}]*\}", "no-such-thing", path)


@pytest.mark.parametrize("method, path, kind", sorted(set(endpoints())))
def test_is_served_or_says_why_not(api, with_accounts, method, path, kind):
    if kind == "accounts":  # there with --app-name basic-auth alone, as in MLflow
        refused(api.send(method, filled(path), {}), "ENDPOINT_NOT_FOUND", 404)
        api = with_accounts
    reply = api.send(method, filled(path), None if method == "GET" else {})
    assert reply.status_code not in (401, 405), path
    if kind in ABSENT and not path.endswith(tuple(SERVED_ANYWAY)):
        assert "not" in refused(reply, "NOT_IMPLEMENTED", 501)["message"]
        return
    if reply.status_code == 501 and "error_code" in reply.text:
        assert kind == "classic-ui" or "presigned" in path or "/mpu/" in path, reply.text
    if reply.status_code == 404 and reply.headers["Content-Type"].startswith("application/json"):
        assert reply.json()["error_code"] != "ENDPOINT_NOT_FOUND", reply.text


def test_the_list_knows_every_route_of_ours():
    """The other way round: each row that MLflow has not is one of ours, on purpose."""
    known = [
        re.compile(re.sub(r"\\\{\w*path\\\}$", ".+", re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(p))))
        for _, p, _ in endpoints()
    ]
    ours = re.compile(r"^(/(livez|readyz|metrics)|.*capstan/.*|.*mlflow-artifacts/mpu/part/.*)$")
    for row in exchange.routes():
        if row["kind"] == "absent" or ours.match(row["path"]):
            continue
        mounts = [""] if row["mounts"] == "root" else ["/api/", "/ajax-api/"]
        paths = [mount + row["path"] for mount in mounts]
        assert any(k.fullmatch(p) or k.fullmatch(filled(p)) for k in known for p in paths), paths


@pytest.mark.parametrize(
    "method, path, word",
    [
        ("POST", "/api/3.0/mlflow/traces", "Traces"),
        ("GET", "/ajax-api/3.0/mlflow/traces/abc", "Traces"),
        ("PATCH", "/api/3.0/mlflow/traces/abc/assessments/1", "Assessments"),
        ("POST", "/v1/traces", "OpenTelemetry"),
        ("GET", "/api/3.0/mlflow/scorers/list", "Scorers"),
        ("GET", "/api/3.0/mlflow/mcp-servers/io.github.a%2Fb/versions/1", "MCP"),
        ("PUT", "/api/3.0/mlflow/gateway/of-a-later-release", "gateway"),
        ("POST", "/graphql", "GraphQL"),
        ("GET", "/static-files/static/js/main.js", "web UI"),
        ("HEAD", "/api/3.0/mlflow/scorers/list", None),
    ],
)
def test_names_the_feature(api, method, path, word):
    reply = api.session.request(method, api.path(path), timeout=60)
    assert reply.status_code == 501
    if word:
        assert word in refused(reply, "NOT_IMPLEMENTED", 501)["message"]


def test_refuses_before_the_body(api):
    """A body of any type and size is not waited for."""
    reply = api.raw("/v1/traces", b"\x0a\x00" * 1000, content_type="application/x-protobuf")
    refused(reply, "NOT_IMPLEMENTED", 501)
    reply = api.raw("/api/3.0/mlflow/traces", b"[" * (1 << 20))
    refused(reply, "NOT_IMPLEMENTED", 501)


def test_absent_ones_are_only_under_their_mounts(api):
    refused(api.get("/api/3.0/mlflow/ui-telemetry"), "ENDPOINT_NOT_FOUND", 404)
    refused(api.get("/3.0/mlflow/traces/get"), "ENDPOINT_NOT_FOUND", 404)
    refused(api.get("/api/gateway/mlflow/v1/models"), "ENDPOINT_NOT_FOUND", 404)


def test_the_page_at_the_root(api):
    reply = api.get("/")
    assert reply.status_code == 200 and reply.headers["Content-Type"].startswith("text/plain")
    for word in ("Capstan", "/api/2.0/mlflow", "/metrics", "docs/api.md"):
        assert word in reply.text


# ---- workspaces ----

WORKSPACES = "/api/3.0/mlflow/workspaces"
HEADER = "X-MLFLOW-WORKSPACE"
DEFAULT = {"name": "default", "description": "Default workspace for legacy resources"}


@pytest.fixture(scope="module")
def enabled(module_server):
    url = module_server("--enable-workspaces").url
    exchange.record(url)
    return Api(url)


@pytest.fixture(scope="module")
def module_server():
    made = []

    def make(*flags, **options):
        made.append(capstan_server.Server(*flags, **options).start())
        return made[-1]

    yield make
    for daemon in made:
        daemon.stop()
        daemon.check()
        daemon.close()


def test_without_workspaces(api):
    for method, path in (("GET", ""), ("POST", ""), ("GET", "/default"), ("DELETE", "/x")):
        reply = api.send(method, WORKSPACES + path, {} if method == "POST" else None)
        refused(reply, "TEMPORARILY_UNAVAILABLE", 503, "--enable-workspaces")
    for name in ("default", "x", "a "):
        reply = api.get("experiments/get", {"experiment_id": "0"}, headers={HEADER: name})
        refused(reply, "FEATURE_DISABLED", 400, "workspaces are not enabled")
        info = api.get("/api/3.0/mlflow/server-info", headers={HEADER: name})
        assert info.json()["workspaces_enabled"] is False
    assert api.get("/version", headers={HEADER: ""}).status_code == 200


def test_the_one_workspace(enabled):
    assert enabled.get("/api/3.0/mlflow/server-info").json()["workspaces_enabled"] is True
    assert enabled.get(WORKSPACES).json() == {"workspaces": [DEFAULT]}
    assert enabled.get(WORKSPACES.replace("/api", "/ajax-api")).json() == {"workspaces": [DEFAULT]}
    assert enabled.get(WORKSPACES + "/default").json() == {"workspace": DEFAULT}


@pytest.mark.parametrize(
    "name, code, status, text",
    [
        ("team-a", "RESOURCE_DOES_NOT_EXIST", 404, "Workspace 'team-a' not found"),
        ("A_b", "INVALID_PARAMETER_VALUE", 400, "Workspace name 'A_b' must match the pattern"),
        ("a-", "INVALID_PARAMETER_VALUE", 400, "must match the pattern"),
        ("x", "INVALID_PARAMETER_VALUE", 400, "must be between 2 and 63 characters"),
        ("x" * 64, "INVALID_PARAMETER_VALUE", 400, "must be between 2 and 63 characters"),
        ("api", "INVALID_PARAMETER_VALUE", 400, "is reserved and cannot be used"),
    ],
)
def test_no_other_workspace(enabled, name, code, status, text):
    refused(enabled.get(f"{WORKSPACES}/{name}"), code, status, text)
    refused(enabled.send("DELETE", f"{WORKSPACES}/{name}"), code, status, text)
    reply = enabled.send("PATCH", f"{WORKSPACES}/{name}", {"description": "x"})
    refused(reply, code, status, text)
    for path in ("/version", "/api/2.0/mlflow/nowhere", "experiments/get?experiment_id=0"):
        refused(enabled.get(path, headers={HEADER: name}), code, status, text)


def test_workspaces_cannot_be_changed(enabled):
    refused(enabled.post(WORKSPACES, {}), text="Missing value for required parameter 'name'")
    refused(enabled.post(WORKSPACES, {"name": "default"}), text="cannot be created")
    refused(enabled.post(WORKSPACES, {"name": "A"}), text="between 2 and 63")
    reply = enabled.post(WORKSPACES, {"name": "team-a"})
    refused(reply, "FEATURE_DISABLED", 400, "Workspace creation is not supported")
    refused(enabled.send("PATCH", WORKSPACES + "/default", {}), text="at least one key")
    reply = enabled.send("PATCH", WORKSPACES + "/default", {"description": "x"})
    refused(reply, "FEATURE_DISABLED", 400, "Workspace updates are not supported")
    refused(enabled.send("DELETE", WORKSPACES + "/default"), text="cannot be deleted")


def test_client_with_the_default_workspace(enabled):
    """MLflow's own client, header and all."""
    import mlflow
    from mlflow import MlflowClient

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(enabled.url)
    try:
        assert [w.name for w in mlflow.list_workspaces()] == ["default"]
        mlflow.set_workspace("default")
        client = MlflowClient(enabled.url)
        run = client.create_run(client.create_experiment("in default"))
        client.log_metric(run.info.run_id, "m", 1.0)
        assert client.get_run(run.info.run_id).data.metrics == {"m": 1.0}
        assert client.get_experiment(run.info.experiment_id).workspace == "default"
        mlflow.set_workspace("team-a")
        with pytest.raises(mlflow.MlflowException, match="Workspace 'team-a' not found"):
            client.get_run(run.info.run_id)
    finally:
        mlflow.set_workspace(None)
        mlflow.set_tracking_uri(before)


def test_disabled_again_by_its_negation(new_server):
    daemon = new_server("--disable-workspaces")
    reply = requests.get(daemon.url + WORKSPACES, timeout=60)
    refused(reply, "TEMPORARILY_UNAVAILABLE", 503)
