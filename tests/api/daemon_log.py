# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""A failed test says what the daemons that ran then had to say; a conftest imports the hook."""

import contextlib
import re
import weakref

import pytest

LINES = 40
read = weakref.WeakKeyDictionary()      # how much of a daemon's log is older than the test
WORTH_READING = re.compile(r"Z (warn|error) |Sanitizer|Assertion")
alive = weakref.WeakSet()


def watch(server):
    alive.add(server)


def words(server):
    """What the daemon warned of, at most the last lines of it."""
    with contextlib.suppress(OSError):
        return [line for line in server.log()[read.get(server, 0):].splitlines() if WORTH_READING.search(line)][-LINES:]
    return []


def pytest_runtest_logstart(nodeid, location):
    for server in list(alive):
        with contextlib.suppress(OSError):
            read[server] = len(server.log())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for server in list(alive):
        if found := words(server):
            report.sections.append((f"the daemon on port {server.port} said", "\n".join(found)))
