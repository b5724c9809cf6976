# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""A failed test says what the daemons that ran then had to say; a conftest imports the hook."""

import contextlib
import re
import weakref

import pytest

LINES = 40
WORTH_READING = re.compile(r"Z (warn|error) |Sanitizer|Assertion")
alive = weakref.WeakSet()


def watch(server):
    alive.add(server)


def words(server):
    """What the daemon warned of, at most the last lines of it."""
    with contextlib.suppress(OSError):
        return [line for line in server.log().splitlines() if WORTH_READING.search(line)][-LINES:]
    return []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for server in list(alive):
        if found := words(server):
            report.sections.append((f"the daemon on port {server.port} said", "\n".join(found)))
