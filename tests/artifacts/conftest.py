# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
The artifact proxy before real object stores: versitygw, MinIO, fake-gcs-server behind its gate, and the disk.

CAPSTAN_BINARY     the daemon (build/release/capstan)
CAPSTAN_TEST_SLOW  factor on all deadlines (sanitizers)
CAPSTAN_TEST_STORES  only these, comma-separated: disk, versitygw, minio, gcs
"""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent), str(HERE.parent / "api")]
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

from stores import stores  # noqa: E402

stores.clean_environment()

import capstan_server  # noqa: E402
import faulting  # noqa: E402
import place as places  # noqa: E402
from daemon_log import pytest_runtest_makereport  # noqa: E402,F401
from stores.fixtures import gcs, identity, minio, versitygw  # noqa: E402,F401

ONLY = [s for s in os.environ.get("CAPSTAN_TEST_STORES", "").split(",") if s]
KINDS = ["disk", "versitygw", "minio", "gcs"]


def pytest_configure(config):
    config.addinivalue_line("markers", "full: long; with --full")


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the long tests too")


def pytest_runtest_setup(item):
    if "full" in item.keywords and not item.config.getoption("--full"):
        pytest.skip("long: --full")
    kind = getattr(item, "callspec", None) and next((v for v in item.callspec.params.values() if v in KINDS), None)
    if ONLY and kind and kind not in ONLY:
        pytest.skip("CAPSTAN_TEST_STORES")


@pytest.fixture(scope="session")
def postgres():
    """Of the tests' own: daemons on it start at once."""
    cluster = capstan_server.Postgres("-c max_connections=300 -c fsync=off").start()
    yield cluster
    cluster.close()


@pytest.fixture(scope="session")
def make_place(request, postgres):
    """make_place("gcs", "--flag", NAME=value): a daemon on a bucket of its own, behind a fault proxy. Closed by the caller or at the end."""
    made = []

    def make(kind, *flags, **options):
        store = None if kind == "disk" else request.getfixturevalue(kind)
        new = places.Place(kind, store, postgres, flags, **options)
        made.append(new)
        return new.start()

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def shared_places():
    return {}


def of_kind(kind, make_place, shared_places):
    if kind not in shared_places:
        shared_places[kind] = make_place(kind)
    return shared_places[kind]


@pytest.fixture(params=KINDS)
def place(request, make_place, shared_places):
    """The shared daemon of each kind; it must outlive each test and stay below its prefix."""
    found = of_kind(request.param, make_place, shared_places)
    found.clear()
    yield found
    found.check()


@pytest.fixture(params=KINDS[1:])
def far_place(request, make_place, shared_places):
    """Those with a store on a network."""
    found = of_kind(request.param, make_place, shared_places)
    found.clear()
    yield found
    found.check()


@pytest.fixture
def new_place(make_place):
    """Places of this test alone."""
    made = []

    def make(kind, *flags, **options):
        made.append(make_place(kind, *flags, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


# ---- suites of faults ----


@pytest.fixture(scope="session")
def stalling(make_place):
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = make_place(kind, CAPSTAN_ARTIFACT_STALL_SECONDS=str(faulting.STALLED))
        found = made[kind]
        found.clear()
        return found

    return of


@pytest.fixture
def faulty(stalling, request):
    """A place by the test's parameter `kind` or `case`, without faults."""
    params = request.node.callspec.params
    found = stalling(params["kind"] if "kind" in params else params["case"][0])
    yield found
    faults, found.proxy.faults[:] = list(found.proxy.faults), []
    found.check()
    assert all(f.fired for f in faults), "a fault was never reached"
    assert found.put("after/all", b"fine").status == 200
