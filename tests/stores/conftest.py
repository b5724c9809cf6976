# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Tests of the fixtures themselves: a check that takes everything proves nothing."""

import pytest

from . import stores
from .fixtures import gcs, identity, minio, versitygw  # noqa: F401


@pytest.fixture(autouse=True, scope="session")
def nothing_of_the_machine():
    stores.clean_environment()
