# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Programs of others, as their users run them, against the built binary. Run by the interpreter of
`sh tools/venv.sh clients`; what is not Python comes from `sh tools/clients.sh`.
"""

import os
import pathlib
import shutil
import subprocess
import sys
import uuid

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "api"))
for name, value in {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}.items():
    os.environ.setdefault(name, value)

import capstan_server  # noqa: E402

LIMIT = 240  # seconds for any one program


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def program(*command, cwd=None, **env):
    """Runs it to its end; the environment has this interpreter's programs first."""
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PATH": path, **env},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LIMIT * capstan_server.SLOW,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, (command, done.stdout[-3000:], done.stderr[-6000:])
    return done


@pytest.fixture(scope="session")
def server():
    daemon = capstan_server.Server("--log-level", "debug")
    try:
        daemon.start()
        yield daemon
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


@pytest.fixture(scope="session")
def local_server(tmp_path_factory):
    """Its clients write artifacts to a directory, as they do with the reference."""
    root = str(tmp_path_factory.mktemp("root"))
    daemon = capstan_server.Server("--default-artifact-root", root, "--no-serve-artifacts")
    try:
        yield daemon.start()
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


class Mlflow:
    """MLflow's own server, on SQLite and a local artifact root (test_export_import.py says why)."""

    def __init__(self, directory):
        self.port = capstan_server.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.directory = str(directory)
        self.process = None

    def start(self):
        with open(self.directory + "/log", "wb") as log:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow", "server", "--workers", "1",
                    "--port", str(self.port),
                    "--backend-store-uri", f"sqlite:///{self.directory}/mlflow.db",
                    "--default-artifact-root", self.directory + "/root", "--no-serve-artifacts",
                ],
                cwd=self.directory,
                env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def ready(self):
        capstan_server.wait_for(self._answers, 90, "MLflow's first answer")
        return self

    def _answers(self):
        assert self.process.poll() is None, open(self.directory + "/log").read()[-3000:]
        return capstan_server.Server.ready(self)

    def close(self):
        if self.process:
            os.killpg(self.process.pid, 9)
            self.process.wait(20)


@pytest.fixture(scope="session", autouse=True)
def reference(tmp_path_factory):
    """Started with the first test, so that it is up when it is wanted."""
    real = Mlflow(tmp_path_factory.mktemp("mlflow")).start()
    yield real
    real.close()
    shutil.rmtree(real.directory, ignore_errors=True)


@pytest.fixture(scope="session")
def others():
    """Where the Java and the npm client are."""
    done = program("sh", HERE.parents[1] / "tools" / "clients.sh")
    java, npm = done.stdout.split()
    return {"java": java, "npm": npm}
