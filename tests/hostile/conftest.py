# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Hostile clients against the built binary: raw sockets, no MLflow.

CAPSTAN_BINARY     the daemon (build/release/capstan)
CAPSTAN_TEST_SLOW  factor on all deadlines (sanitizers)
CAPSTAN_FULL       1: the long ones too
"""

import os
import pathlib
import socket
import subprocess
import sys
import threading
import uuid

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "api")]

import accounts  # noqa: E402
import capstan_server  # noqa: E402
import table  # noqa: E402
import webhook_receiver  # noqa: E402
import wire  # noqa: E402
from daemon_log import pytest_runtest_logstart, pytest_runtest_makereport  # noqa: E402,F401

FULL = os.environ.get("CAPSTAN_FULL") == "1"


def pytest_configure(config):
    config.addinivalue_line("markers", "full: long; with CAPSTAN_FULL=1")


def pytest_runtest_setup(item):
    if "full" in item.keywords and not FULL:
        pytest.skip("long: CAPSTAN_FULL=1")


def run_to_the_end(daemon):
    try:
        daemon.start()
        yield daemon
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


@pytest.fixture(scope="session")
def server():
    yield from run_to_the_end(capstan_server.Server("--enable-workspaces", "--artifact-roots", "s3://named-bucket", env=webhook_receiver.ENVIRONMENT))


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """A daemon with accounts; who has no grant may do nothing."""
    environment = accounts.environment(tmp_path_factory.mktemp("auth"), "NO_PERMISSIONS", **webhook_receiver.ENVIRONMENT)
    yield from run_to_the_end(capstan_server.Server(*accounts.FLAGS, "--enable-workspaces", env=environment))


@pytest.fixture
def new_server():
    """Makes further daemons, of this test alone: new_server("--flag", ...)."""
    made = []

    def make(*flags, **options):
        daemon = capstan_server.Server(*flags, **options)
        made.append(daemon)
        return daemon.start()

    yield make
    for daemon in made:
        try:
            daemon.stop(expect=None)
            daemon.check()
        finally:
            daemon.close()


@pytest.fixture
def client(request):
    """Rows of users and roles are asked as the admin of a daemon that has them."""
    row = request.node.callspec.params.get("row") if hasattr(request.node, "callspec") else None
    if row and table.of_accounts(row):
        made = wire.Client(request.getfixturevalue("guarded"), accounts.ADMIN)
    else:
        made = wire.Client(request.getfixturevalue("server"))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def still_there(request):
    """Whatever was sent, the shared daemon lives and answers."""
    yield
    for name in {"server", "guarded"} & set(request.fixturenames):
        daemon = request.getfixturevalue(name)
        assert daemon.process.poll() is None, daemon.log()[-4000:]
        wire.health(daemon)


@pytest.fixture
def listener():
    """host:port of somebody whom nobody may call."""
    calls = []
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as s:
        s.settimeout(0.05)
        over = threading.Event()

        def accept():
            while not over.is_set():
                try:
                    calls.append(s.accept()[1])
                except TimeoutError:
                    pass

        thread = threading.Thread(target=accept)
        thread.start()
        port = s.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()       # it would be noticed
        yield "127.0.0.1", port
        over.set()
        thread.join()
    assert len(calls) == 1, f"the daemon connected: {calls[1:]}"


def unique(prefix="hostile"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


class World:
    """An experiment with a run and a logged model, to aim at; and when they are asked for, what the registry and accounts have."""

    def __init__(self, client):
        self.client = client
        self.known = {}
        self.experiment = client.good("experiments/create", {"name": unique()})["experiment_id"]
        self.run = client.good("runs/create", {"experiment_id": self.experiment})["run"]["info"]["run_id"]
        self.model = client.good("logged-models", {"experiment_id": self.experiment, "name": "m"})["model"]["info"]["model_id"]
        client.good("runs/log-batch", {"run_id": self.run, "metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}],
                                       "params": [{"key": "p", "value": "1"}], "tags": [{"key": "k", "value": "1"}]})
        client.good(f"logged-models/{self.model}/params", {"params": [{"key": "p", "value": "1"}]})
        client.good("experiments/set-experiment-tag", {"experiment_id": self.experiment, "key": "k", "value": "1"})

    def new(self, what):
        return unique("hostile-" + what)

    def __getattr__(self, name):
        """Made once."""
        if name not in ("registered", "webhook", "delivery", "user", "role", "role_permission"):
            raise AttributeError(name)
        if name not in self.known:
            self.known[name] = getattr(self, "_" + name)()
        return self.known[name]

    def _registered(self):
        name = self.new("model")
        self.client.good("registered-models/create", {"name": name, "tags": [{"key": "k", "value": "v"}]})
        self.client.good("model-versions/create", {"name": name, "source": "s3://bucket/model", "tags": [{"key": "k", "value": "v"}]})
        self.client.good("registered-models/alias", {"name": name, "alias": "champion", "version": "1"})
        return name

    def _webhook(self):
        """One that hears of nothing more; one delivery is in its log."""
        made = self.client.good("webhooks", {"name": "hook", "url": "http://127.0.0.1:9/", "events": [table.EVENT]})["webhook"]["webhook_id"]
        self.client.good("model-versions/set-tag", {"name": self.registered, "version": "1", "key": "k", "value": "w"})
        reply = self.client.ask("PATCH", f"/api/2.0/mlflow/webhooks/{made}", {"events": [{"entity": "PROMPT", "action": "CREATED"}]})
        assert reply.status == 200, reply
        return made

    def _delivery(self):
        return self.client.get(f"/api/1.0/capstan/webhooks/{self.webhook}/deliveries").json["deliveries"][0]["delivery_id"]

    def _user(self):
        return self.client.good("users/create", {"username": self.new("user"), "password": accounts.PASSWORD})["user"]["username"]

    def _role(self):
        return self.client.good("/api/3.0/mlflow/roles/create", {"name": self.new("role"), "workspace": "default"})["role"]["id"]

    def _role_permission(self):
        return self.client.good("/api/3.0/mlflow/roles/permissions/add", {
            "role_id": self.role, "resource_type": "experiment", "resource_pattern": "5", "permission": "READ"})["role_permission"]["id"]


@pytest.fixture
def world(client):
    return World(client)


class Session:
    """psql that stays."""

    def __init__(self, command, env):
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)

    def ask(self, sql):
        """Runs it to its end."""
        self.process.stdin.write(sql + "\n\\echo done\n")
        self.process.stdin.flush()
        while (line := self.process.stdout.readline()) and line != "done\n":
            pass
        assert line, "psql left"


class Postgres(capstan_server.Postgres):
    """Without a driver of Python's."""

    def session(self, database):
        command = [os.path.join(self.bin, "psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", self.user, database]
        return Session(command, {**os.environ, "PGPASSWORD": capstan_server.PASSWORD})

    def database(self, name):
        with self.session("postgres") as session:
            session.ask(f'CREATE DATABASE "{name}";')
        return self.uri(name)


@pytest.fixture(scope="session")
def postgres():
    """An external PostgreSQL: daemons on it start at once."""
    cluster = Postgres().start()
    yield cluster
    cluster.close()
