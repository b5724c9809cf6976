# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Random worlds, random writes, random searches with all their pages: our replies equal MLflow's, always. What the two
do differently on purpose (allowed.py) is not drawn.

CAPSTAN_TEST_SEED     repeats or varies a run
CAPSTAN_TEST_RANDOM   so many times as long
"""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from play import Player
from test_differential import difference

SEED = int(os.environ.get("CAPSTAN_TEST_SEED", "1"))
LENGTH = int(os.environ.get("CAPSTAN_TEST_RANDOM", "1"))

WORDS = ["a", "A", "b", "ab", "aB", "a_b", "a%b", "", "10", "9", "é", "Z z", "a\\b", "_", "0.1"]
PATTERNS = WORDS + ["%a%", "a%", "__", "%", "A_"]
NUMBERS = [0, 1, -1, 0.5, 2.5, -0.25, 1e10, "Infinity", "-Infinity"]
METRICS, PARAMS, TAGS = ["acc", "loss", "a b", "é", "x/y"], ["lr", "opt", "p.q"], ["team", "note", "k-1", "t t"]
ORDER, TEXT, NULL = ["=", "!=", ">", ">=", "<", "<="], ["=", "!=", "LIKE", "ILIKE"], ["IS NULL", "IS NOT NULL"]
STATES = ["FINISHED", "FAILED", "KILLED"]


class Both:
    def __init__(self, reference, daemon, unique, what):
        self.players = [Player(server.url, f"{unique} {what}") for server in (reference, daemon)]
        self.pool = ThreadPoolExecutor(2)
        self.random = random.Random(f"{SEED} {what}")
        self.choice, self.chance = self.random.choice, lambda p: self.random.random() < p

    def __call__(self, *step):
        """Sends it to both; the line of MLflow's reply."""
        theirs, ours = self.pool.map(lambda player: player.step(step), self.players)
        if not theirs.equals(ours):
            pytest.fail(f"CAPSTAN_TEST_SEED={SEED}: {theirs.request}\n{difference(theirs, ours)}", pytrace=False)
        return theirs.line

    def pages(self, request, body):
        for _ in range(6):
            if "next_page_token" not in self(request, body, "t=next_page_token"):
                break
            body = {**body, "page_token": "$t"}

    def some(self, keys, values):
        return [{"key": k, "value": self.choice(values)} for k in keys if self.chance(0.6)]

    def point(self, keys, values, times=5):
        return {"key": self.choice(keys), "value": self.choice(values), "timestamp": self.random.randrange(times),
            "step": self.random.randrange(-1, 4)}

    def key(self, prefixes, keys):
        key = self.choice(keys)
        plain = key.replace(".", "").isalnum() and key.isascii() and self.chance(0.4)
        return f"{self.choice(prefixes)}." + ("%s" if plain else self.choice(["`%s`", '"%s"'])) % key

    def text(self, name, values):
        return f"{name} {self.choice(TEXT)} " + self.choice(["'%s'", '"%s"']) % self.choice(values)


@pytest.fixture
def both(request, reference, daemon, unique):
    return Both(reference, daemon, unique, request.node.name)


def run_filter(both):
    kind = both.random.randrange(8)
    if kind < 2:
        number = both.choice(["0", "1", "-1", "0.5", "2.5", "1e10", "-.25", "0.50"])
        return f"{both.key(['metrics', 'metric'], METRICS)} {both.choice(ORDER)} {number}"
    if kind == 2:
        return both.text(both.key(["params", "param", "parameter"], PARAMS), PATTERNS)
    if kind == 3:
        return both.text(both.key(["tags", "tag"], TAGS), PATTERNS)
    if kind == 4:
        return f"{both.key(['params', 'tags'], PARAMS + TAGS)} {both.choice(NULL)}"
    if kind == 5:
        name = both.choice(["start_time", "attributes.start_time", "run.end_time", "created"])
        return f"{name} {both.choice(ORDER)} {both.choice([1000, 2010, 2020, 3000, 5000, 11000])}"
    if kind == 6:
        name = both.choice(["status", "attributes.run_name", "attr.user_id", "run_name"])
        return both.text(name, ["FINISHED", "F%", "f%", "r1", "r%", "Same", "same", "u", "", "%"])
    if both.chance(0.5):
        ids = ", ".join(f"'$r{both.random.randrange(40)}'" for _ in range(both.random.randrange(1, 4)))
        return f"run_id {both.choice(['IN', 'NOT IN'])} ({ids})"
    return both.text(f"datasets.{both.choice(['name', 'digest', 'context'])}",
        ["d1", "D2", "x", "train", "%", "t%", "d_"])


def run_order(both):
    names = {both.key(["metrics"], METRICS), both.key(["params"], PARAMS), both.key(["tags"], TAGS),
        both.choice(["start_time", "attributes.end_time", "status", "run_name", "attributes.user_id", "Created"])}
    names = both.random.sample(sorted(names), both.random.randrange(4))
    return [name + both.choice(["", " ASC", " DESC", " desc"]) for name in names]


def test_run_search(both):
    for experiment in "ef":
        both("POST experiments/create", {"name": f"$u {experiment}"}, f"{experiment}=experiment_id")
    for i in range(40):
        both("POST runs/create", {"experiment_id": both.choice(["$e", "$e", "$f"]),
            "user_id": both.choice(["u", "v", ""]), "run_name": both.choice([f"r{i}", f"r{i}", "Same", "same"]),
            "start_time": 1000 + 100 * both.random.randrange(100) + i}, f"r{i}=run.info.run_id")
        both("POST runs/log-batch", {"run_id": f"$r{i}", "params": both.some(PARAMS, WORDS),
            "tags": both.some(TAGS, WORDS), "metrics": [both.point(METRICS, NUMBERS + ["NaN"])
            for _ in range(both.random.randrange(9))]})
        if both.chance(0.5):
            both("POST runs/update", {"run_id": f"$r{i}", "status": both.choice(STATES), "end_time": 2000 + i})
        if both.chance(0.3):
            both("POST runs/log-inputs", {"run_id": f"$r{i}", "datasets": [{"dataset": {"name": both.choice(["d1",
                "D1", "d2"]), "digest": both.choice("xy"), "source_type": "l", "source": "s"},
                "tags": [{"key": "mlflow.data.context", "value": both.choice(["train", "eval"])}]}]})
        if both.chance(0.15):
            both("POST runs/delete", {"run_id": f"$r{i}"})
    for _ in range(80 * LENGTH):
        both.pages("POST runs/search", {"experiment_ids": both.choice([["$e"], ["$e", "$f"]]),
            "order_by": run_order(both), "filter": " AND ".join(run_filter(both)
            for _ in range(both.choice([0, 1, 1, 1, 2, 2, 3]))), "run_view_type": both.choice(["ACTIVE_ONLY", "ALL",
            "ALL", "DELETED_ONLY"]), "max_results": both.choice([100, 100, 7, 3, 1])})


DATASETS = [{"dataset_name": n, "dataset_digest": d} for n in "dD" for d in "12"]


def model_filter(both):
    kind = both.random.randrange(5)
    if kind < 2:
        key = both.choice(["metrics.acc", "metric.loss", "metrics.`x/y`"])
        return f"{key} {both.choice(ORDER)} {both.choice(['0', '1', '-1', '0.5', '2.5'])}"
    # Single quotes only: MLflow takes double ones for a part of the value.
    name, values = both.choice([("params.lr", PATTERNS), ("tags.team", PATTERNS), ("tags.`t t`", PATTERNS),
        ("attributes.name", ["m1", "m%", "same", "SAME"]), ("model_type", ["sk", "s%", ""]),
        ("source_run_id", ["$r", ""])])
    return f"{name} {both.choice(TEXT)} '{both.choice(values)}'"


def model_order(both):
    fields = []
    for name in both.random.sample(["name", "model_type", "status", "metrics.acc", "metrics.loss"],
        both.random.randrange(3)):
        dataset = both.choice([{}, {"dataset_name": "d"},
            both.choice(DATASETS)]) if name.startswith("metrics") else {}
        fields.append({"field_name": name, "ascending": both.chance(0.5), **dataset})
    return fields + [{"field_name": "creation_timestamp", "ascending": both.chance(0.5)}]


def test_logged_model_search(both):
    for experiment in "ef":
        both("POST experiments/create", {"name": f"$u {experiment}"}, f"{experiment}=experiment_id")
    both("POST runs/create", {"experiment_id": "$e", "run_name": "r", "start_time": 1}, "r=run.info.run_id")
    for i in range(25):
        both("POST logged-models", {"experiment_id": both.choice(["$e", "$e", "$f"]),
            "name": both.choice([f"m{i}", "same"]), "model_type": both.choice(["", "sk", "torch"]),
            "source_run_id": both.choice(["", "$r"]), "params": both.some(["lr", "opt"], WORDS),
            "tags": both.some(["team", "t t"], WORDS)}, f"m{i}=model.info.model_id")
        for j in range(both.random.randrange(5)):       # each at its own time: MLflow keeps one dataset's value
            both("POST runs/log-metric", {"run_id": "$r", **both.point(["acc", "loss", "x/y"], NUMBERS),
                "timestamp": j, "model_id": f"$m{i}", **both.choice([{}, *DATASETS])})
        if both.chance(0.5):
            both(f"PATCH logged-models/$m{i}", {"model_id": f"$m{i}", "status": both.choice(["LOGGED_MODEL_READY",
                "LOGGED_MODEL_UPLOAD_FAILED"])})
        if both.chance(0.1):
            both(f"DELETE logged-models/$m{i}")
    for _ in range(80 * LENGTH):
        both.pages("POST logged-models/search", {"experiment_ids": both.choice([["$e"], ["$e", "$f"]]),
            "order_by": model_order(both), "filter": " AND ".join(model_filter(both)
            for _ in range(both.choice([0, 1, 1, 2]))), "datasets": both.random.sample(DATASETS,
            both.choice([0, 0, 0, 1, 2])), "max_results": both.choice([50, 50, 5, 2])})


def write(both):
    keys = {"run_id": "$r"}
    kind = both.random.randrange(10)
    points = [both.point("abc", NUMBERS, 3) for _ in range(both.random.randrange(6))]
    if kind < 2:
        return "POST runs/log-metric", {**keys, **both.point("abc", NUMBERS, 3)}
    if kind < 5:
        return "POST runs/log-batch", {**keys, "metrics": points, "params": both.some(["p", "q"], ["1", "1", "2"]),
            "tags": both.some(["t", "t", "mlflow.runName"], ["1", "2", ""])}
    if kind == 5:
        return "POST runs/log-parameter", {**keys, "key": both.choice("pqrs"), "value": both.choice("12")}
    if kind == 6:
        return "POST runs/set-tag", {**keys, "key": both.choice(["t", "mlflow.runName", "mlflow.user"]),
            "value": both.choice(["1", "2", ""])}
    if kind == 7:
        return "POST runs/delete-tag", {**keys, "key": both.choice(["t", "mlflow.runName"])}
    if kind == 8:
        return "POST runs/update", {**keys, **both.choice([{"status": "FINISHED"}, {"run_name": "new"},
            {"run_name": ""}, {"end_time": 5}, {"status": "FAILED", "end_time": 9, "run_name": "all"}])}
    return both.choice(["POST runs/delete", "POST runs/restore"]), keys


def test_writes(both):
    both("POST experiments/create", {"name": "$u"}, "e=experiment_id")
    for i in range(25 * LENGTH):
        both("POST runs/create", {"experiment_id": "$e", "run_name": f"r{i}", "start_time": i}, "r=run.info.run_id")
        for _ in range(both.random.randrange(1, 9)):
            both(*write(both))
        both("GET runs/get", {"run_id": "$r"})
        for key in "abc":
            both("GET metrics/get-history", {"run_id": "$r", "metric_key": key})
            both("GET /ajax-api/2.0/mlflow/metrics/get-history-bulk", {"run_id": ["$r"], "metric_key": key})
            both("GET metrics/get-history-bulk-interval", {"run_ids": ["$r"], "metric_key": key})
