# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
What fails below us: disks, memory, PostgreSQL, the daemon itself.

CAPSTAN_BINARY     the daemon, also a sanitized one
CAPSTAN_FULL=1     the long experiments of each promise
CAPSTAN_TEST_SLOW  factor on all deadlines
"""

import os
import pathlib
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "api")]

import accounts  # noqa: E402
import capstan_server  # noqa: E402
import shim as shims  # noqa: E402
import webhook_receiver  # noqa: E402
import wire  # noqa: E402


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    return shims.build(str(tmp_path_factory.mktemp("fault")))


class Faulty(capstan_server.Server):
    """A daemon with the shim in it."""

    def __init__(self, library, *flags, **options):
        super().__init__(*flags, **options)
        self.artifacts = os.path.join(self.data_dir, "artifacts")
        self.shim = shims.Shim(library, self.artifacts)
        self.env.update(self.shim.environment())

    def close(self):
        super().close()
        self.shim.close()


@pytest.fixture
def faulty(library):
    """Makes daemons with the shim, of this test alone."""
    made = []

    def make(*flags, **options):
        made.append(Faulty(library, *flags, **options))
        return made[-1].start()

    yield make
    for daemon in made:
        daemon.stop(expect=None)
        daemon.check()
        daemon.close()


@pytest.fixture(scope="session")
def shared_daemon(library, tmp_path_factory):
    """With accounts, so that every request is somebody's; and private targets of webhooks."""
    environment = accounts.environment(tmp_path_factory.mktemp("auth"), **webhook_receiver.ENVIRONMENT)
    daemon = Faulty(library, *accounts.FLAGS, env=environment)
    daemon.user = accounts.ADMIN
    try:
        yield daemon.start()
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


@pytest.fixture
def daemon(shared_daemon):
    """One daemon for all tests that leave it as they found it; it must outlive each of them."""
    pid = shared_daemon.pid
    yield shared_daemon
    for rule in list(shared_daemon.shim.rules):
        if rule:
            rule.end()
    assert shared_daemon.process.poll() is None and shared_daemon.pid == pid, shared_daemon.log()[-6000:]
    shared_daemon.check()
    assert wire.Client(shared_daemon).get("/health").status == 200


@pytest.fixture
def shim(daemon):
    return daemon.shim


@pytest.fixture
def client(daemon):
    return wire.Client(daemon)
