# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
The real MLflow client against the built binary.

CAPSTAN_BINARY         the daemon (build/release/capstan)
CAPSTAN_TEST_POSTGRES  "external": the shared server works on a PostgreSQL of the operator's, not on a private one
CAPSTAN_TEST_SLOW      factor on all deadlines (sanitizers)
CAPSTAN_TEST_URL       a server that runs already, for instance MLflow itself: to check what the tests expect
"""

import json
import os
import sys
import uuid
from urllib.parse import urlsplit

import pytest
import requests

sys.path.insert(0, os.path.dirname(__file__))
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402

import capstan_server  # noqa: E402
import exchange  # noqa: E402
from daemon_log import pytest_runtest_logstart, pytest_runtest_makereport  # noqa: E402,F401

REFERENCE = os.environ.get("CAPSTAN_TEST_URL")


class Reference:
    """Somebody else's server, under the same names."""

    def __init__(self, url):
        self.url = url
        self.host, self.port = urlsplit(url).hostname, urlsplit(url).port

    def close(self):
        pass

    stop = check = close


def pytest_collection_modifyitems(config, items):
    if not REFERENCE:
        return
    for item in items:
        if "ours" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="says nothing about another server"))


def pytest_configure(config):
    config.addinivalue_line("markers", "ours: about this daemon, not about MLflow's behaviour")
    config.addinivalue_line("markers", "full: long; with --full")


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the long tests too")


def pytest_runtest_setup(item):
    if "full" in item.keywords and not item.config.getoption("--full"):
        pytest.skip("long: --full")


@pytest.fixture(scope="session")
def postgres():
    """An external PostgreSQL, started when first asked for."""
    cluster = capstan_server.Postgres().start()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def server(request):
    if REFERENCE:
        yield Reference(REFERENCE)
        return
    backend = None
    if os.environ.get("CAPSTAN_TEST_POSTGRES") == "external":
        backend = request.getfixturevalue("postgres").database("shared")
    daemon = capstan_server.Server(backend=backend)
    try:
        daemon.start()
        exchange.record(daemon.url)
        yield daemon
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


@pytest.fixture
def new_server(request):
    """Makes further daemons, of this test alone: new_server("--flag", ...)."""
    made = []

    def make(*flags, start=True, **options):
        daemon = capstan_server.Server(*flags, **options)
        made.append(daemon)
        return daemon.start() if start else daemon

    yield make
    for daemon in made:
        (
            daemon.close()
            if not os.path.exists(daemon.log_path)
            else (daemon.stop(expect=None), daemon.check(), daemon.close())
        )


@pytest.fixture(autouse=True)
def own_uris():
    """A test that points the client elsewhere does so for itself."""
    yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        os.environ.pop(name, None)
    mlflow.tracking.fluent._active_experiment_id = None


@pytest.fixture
def client(server):
    mlflow.set_tracking_uri(server.url)
    while mlflow.active_run():
        mlflow.end_run()
    return MlflowClient(server.url)


def unique(prefix="test"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def fresh_experiment(client):
    """Id of an experiment that nobody else uses."""
    return client.create_experiment(unique("experiment"))


@pytest.fixture
def run(client, fresh_experiment):
    """A new active run."""
    return client.create_run(fresh_experiment)


class Api:
    """REST as it stands: api.post("runs/create", {...}) -> requests.Response."""

    def __init__(self, url):
        self.url = url
        self.session = requests.Session()

    def path(self, path):
        return self.url + (path if path.startswith("/") else "/api/2.0/mlflow/" + path)

    def get(self, path, params=None, **options):
        return self.session.get(self.path(path), params=params, timeout=120, **options)

    def send(self, method, path, body=None, **options):
        return self.session.request(method, self.path(path), json=body, timeout=120, **options)

    def post(self, path, body=None, **options):
        return self.send("POST", path, body, **options)

    def raw(self, path, text, method="POST", content_type="application/json", **headers):
        """A body exactly as given."""
        data = text.encode() if isinstance(text, str) else text
        return self.session.request(
            method,
            self.path(path),
            data=data,
            timeout=120,
            headers={"Content-Type": content_type, **headers},
        )


@pytest.fixture
def api(server):
    return Api(server.url)


def refused(reply, code="INVALID_PARAMETER_VALUE", status=400, text=None):
    """The reply is MLflow's error JSON with this code."""
    assert reply.status_code == status, (reply.status_code, reply.text[:2000])
    body = json.loads(reply.text)
    assert body["error_code"] == code, body
    assert isinstance(body["message"], str) and body["message"]
    for word in ("postgres", "sql:", "libpq", 'relation "', "/work/", "errno"):
        assert word not in body["message"].lower(), body
    if text is not None:
        assert text in body["message"], body
    return body
