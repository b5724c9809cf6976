# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What a request costs as what is kept grows, one client at a time; and statements that read whole tables."""

import contextlib
import json
import os
import re
import time

import loads
import seed

SIZES = ["runs-1000", "base", "big", "wide", "long"]
WORKLOADS = [
    "log-metric", "log-batch-100", "create-run", "get-run", "search-rows", "search-filter", "page-1", "page-50",
    "experiments-search",
]  # fmt: skip
LARGE = 5_000  # rows; what has fewer is soon read


def measure(cluster, folder, options, sizes):
    """size -> peer -> workload -> what a stretch found."""
    found = {}
    for name in sizes:
        size = seed.SIZES[name]
        for kind in ["capstan", *options.peers]:
            if name == "long" and kind == "fasttrackml":  # it samples no histories
                continue
            target = loads.open_target(cluster, kind, size, folder)
            with contextlib.closing(target.server):
                target.prepare().load("get-run", 8, 1)  # what each worker does once is not measured
                each = found.setdefault(name, {}).setdefault(kind, {})
                for workload in [] if name == "long" else WORKLOADS:
                    with contextlib.suppress(AssertionError):  # a peer that cannot give the page's token
                        each[workload] = patiently(target, workload, options.seconds)
                for number, points in enumerate(size.points if name == "long" else ()):
                    each[f"history {points}"] = (
                        patiently(target, "history", options.seconds, number)
                        if kind == "capstan"
                        else target.timed("history", 1, number)
                    )
            cluster.drop(f"work-{kind}-{name}")
    return found


def patiently(target, workload, seconds, history=0):
    """A stretch, or a longer one where no answer came in it."""
    for each in (seconds, 10 * seconds):
        found = target.load(workload, 1, each, history=history)
        if found:
            return found
    return None


def walk(plan):
    yield plan
    for each in plan.get("Plans", ()):
        yield from walk(each)


def explained(text):
    """Statements and plans of auto_explain's lines."""
    for piece in re.findall(r"plan:\n((?:\t.*\n)+)", text):
        with contextlib.suppress(ValueError):
            yield json.loads(piece)


def plans(cluster, folder, options, name="big"):
    """Statements of Capstan that read a large table from its beginning to its end, by the workload that asked."""
    target = loads.open_target(cluster, "capstan", seed.SIZES[name], folder)
    with contextlib.closing(target.server):
        database = f"work-capstan-{name}"
        with cluster.cursor(database) as cursor:
            cursor.execute("SELECT relname, reltuples::bigint FROM pg_class WHERE relkind = 'r' AND reltuples >= %s", (LARGE,))
            large = dict(cursor.fetchall())
            for setting, value in (
                ("session_preload_libraries", "auto_explain"),
                ("auto_explain.log_min_duration", "0"),
                ("auto_explain.log_format", "json"),
            ):
                cursor.execute(f'ALTER DATABASE "{database}" SET {setting} = \'{value}\'')
        target.server.restart()
        target.prepare().token(50)
        log = os.path.join(cluster.dir, "log")
        found, count = {}, 0
        for workload in dict.fromkeys(w.name for w in loads.WORKLOADS):
            at = os.path.getsize(log)
            target.load(workload, 1, 1)
            time.sleep(0.2)
            with open(log, errors="replace") as f:
                f.seek(at)
                for each in explained(f.read()):
                    count += 1
                    for node in walk(each["Plan"]):
                        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in large:
                            statement = " ".join(each["Query Text"].split())
                            key = (node["Relation Name"], statement)
                            found.setdefault(key, set()).add(workload)
    cluster.drop(database)
    return {
        "plans": count,
        "large": large,
        "statements": [
            {"table": table, "rows": large[table], "workloads": sorted(who), "statement": statement[:600]}
            for (table, statement), who in sorted(found.items())
        ],
    }
