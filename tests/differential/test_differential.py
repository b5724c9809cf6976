# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Each script of requests, played to MLflow 3.17.2 and to our daemon, must read the same: see play.py, allowed.py."""

import difflib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

import table_experiments
import table_models
import table_protocol
import table_registry
import table_runs
import table_search
from allowed import ALLOWED
from play import Player

SCRIPTS = {name: script for table in (table_experiments, table_runs, table_search, table_models, table_registry,
           table_protocol)
           for name, script in table.SCRIPTS.items()}


class Rule:
    def __init__(self, request, theirs, ours, times, why):
        self.patterns = [re.compile(".*".join(map(re.escape, p.split("*"))), re.S) for p in (request, theirs, ours)]
        self.times, self.used = times, 0
        self.row = f"{request}\n    MLflow {theirs}\n    ours   {ours}\n    ({why})"

    def allows(self, request, theirs, ours):
        return all(p.fullmatch(t) for p, t in zip(self.patterns, (request, theirs.line, ours.line)))


def difference(theirs, ours):
    lines = difflib.unified_diff(theirs.text.splitlines(), ours.text.splitlines(), lineterm="", n=2)
    return "\n".join("    " + line for line in list(lines)[2:])


@pytest.mark.parametrize("name", SCRIPTS)
def test_replies(name, reference, daemon, unique):
    players = [Player(server.url, unique) for server in (reference, daemon)]
    with ThreadPoolExecutor(2) as pool:
        replies, ours = pool.map(lambda player: player.play(SCRIPTS[name]), players)
    rules = [Rule(*row) for row in ALLOWED.get(name, ())]
    wrong = []
    for a, b in zip(replies, ours):
        if a.equals(b):
            continue
        fitting = [r for r in rules if r.allows(a.request, a, b)]
        rule = next((r for r in fitting if r.used < r.times), None)
        if rule:
            rule.used += 1
        else:
            wrong.append(f"{a.request}\n{difference(a, b)}")
    stale = [f"{r.used} of {r.times}: {r.row}" for r in rules if r.used < r.times]
    total = f"{name}: {len(replies)} requests, {sum(r.used for r in rules)} differ as allowed"
    print(total)
    if wrong:
        pytest.fail(f"{total}, {len(wrong)} otherwise:\n\n" + "\n\n".join(wrong), pytrace=False)
    if stale:
        pytest.fail(f"{total}; allowed differences that did not occur:\n\n" + "\n\n".join(stale), pytrace=False)


def test_every_allowance_has_a_script():
    assert set(ALLOWED) <= set(SCRIPTS)
