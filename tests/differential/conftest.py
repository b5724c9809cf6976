# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Our daemon and the real MLflow server, both new, both on their own PostgreSQL.

CAPSTAN_BINARY            the daemon (build/release/capstan)
CAPSTAN_MLFLOW            the mlflow program (that of the virtual environment)
CAPSTAN_REFERENCE_URL     an MLflow that runs already
CAPSTAN_TEST_URL          a daemon that runs already
"""

import os
import pathlib
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "api")]

import capstan_server  # noqa: E402

CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
MLFLOW = os.environ.get("CAPSTAN_MLFLOW", str(CACHE / "capstan" / "venv-3.17.2" / "bin" / "mlflow"))


class Mlflow(capstan_server.Server):
    def __init__(self, backend):
        super().__init__(backend=backend)
        self.env = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
                    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

    def command(self):
        return [MLFLOW, "server", "--backend-store-uri", self.backend, "--artifacts-destination",
                os.path.join(self.data_dir, "artifacts"), "--serve-artifacts", "--host", self.host, "--port",
                str(self.port), "--workers", "1"]


class Running:
    def __init__(self, url):
        self.url = url


@pytest.fixture(scope="session")
def unique():
    """The same for both, so that a server may serve more than one session."""
    return f"d{time.time_ns() // 1000000:x}"


@pytest.fixture(scope="session")
def reference():
    if os.environ.get("CAPSTAN_REFERENCE_URL"):
        yield Running(os.environ["CAPSTAN_REFERENCE_URL"])
        return
    if not os.path.exists(MLFLOW):
        pytest.skip(f"no MLflow at {MLFLOW}")
    postgres = capstan_server.Postgres().start()
    server = None
    try:
        server = Mlflow(postgres.uri("postgres"))
        yield server.start()
    finally:
        if server:
            server.stop(expect=None)
            server.close()
        postgres.close()


@pytest.fixture(scope="session")
def daemon():
    if os.environ.get("CAPSTAN_TEST_URL"):
        yield Running(os.environ["CAPSTAN_TEST_URL"])
        return
    server = capstan_server.Server()
    try:
        yield server.start()
        server.stop()
        server.check()
    finally:
        server.close()
