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
import subprocess
import sys
import uuid

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "api")]

import capstan_server  # noqa: E402
import wire  # noqa: E402

FULL = os.environ.get("CAPSTAN_FULL") == "1"


def pytest_configure(config):
    config.addinivalue_line("markers", "full: long; with CAPSTAN_FULL=1")


def pytest_runtest_setup(item):
    if "full" in item.keywords and not FULL:
        pytest.skip("long: CAPSTAN_FULL=1")


@pytest.fixture(scope="session")
def server():
    daemon = capstan_server.Server()
    try:
        daemon.start()
        yield daemon
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


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
def client(server):
    made = wire.Client(server)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def still_there(request):
    """Whatever was sent, the shared daemon lives and answers."""
    yield
    if "server" in request.fixturenames:
        daemon = request.getfixturevalue("server")
        assert daemon.process.poll() is None, daemon.log()[-4000:]
        wire.health(daemon)


def unique(prefix="hostile"):
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


class World:
    """An experiment with a run and a logged model, to aim at."""

    def __init__(self, client):
        self.client = client
        self.experiment = client.good("experiments/create", {"name": unique()})["experiment_id"]
        self.run = client.good("runs/create", {"experiment_id": self.experiment})["run"]["info"]["run_id"]
        self.model = client.good("logged-models", {"experiment_id": self.experiment, "name": "m"})["model"]["info"]["model_id"]
        client.good("runs/log-batch", {"run_id": self.run, "metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}],
                                       "params": [{"key": "p", "value": "1"}], "tags": [{"key": "k", "value": "1"}]})
        client.good(f"logged-models/{self.model}/params", {"params": [{"key": "p", "value": "1"}]})
        client.good("experiments/set-experiment-tag", {"experiment_id": self.experiment, "key": "k", "value": "1"})


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
