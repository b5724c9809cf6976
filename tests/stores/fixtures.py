# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""One of each store for a pytest session, started when first asked for; a conftest imports those it wants."""

import pytest

from .identity_server import IdentityServer
from .stores import Gcs, Minio, Versitygw


@pytest.fixture(scope="session")
def identity():
    server = IdentityServer().start()
    yield server
    server.close()
    assert not server.troubles, server.troubles[0]


@pytest.fixture(scope="session")
def versitygw():
    with Versitygw() as store:
        yield store


@pytest.fixture(scope="session")
def minio(identity):
    with Minio(identity) as store:
        yield store


@pytest.fixture(scope="session")
def gcs(identity, versitygw):
    with Gcs(identity, versitygw) as store:
        yield store
        assert not store.gate.troubles, store.gate.troubles[0]
