# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Whether the peers answer the same to the same questions; nobody is faster who answers something else."""

import difflib
import json

import seed

UNORDERED = {"metrics": "key", "params": "key", "tags": "key", "latest_versions": "version"}
FILTER = "metrics.m1 > 0.5 and params.p1 = '3' and tags.t1 = '1'"
INTERVAL = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"


class Different(Exception):
    """The text says what."""


def normal(value, name=None, history=False):
    """Without what may differ: the order in sets, what page tokens look like, when something was written."""
    if isinstance(value, dict):
        history = history or "run" not in value and "runs" not in value and name is None
        kept = {}
        for key, each in value.items():
            if key in ("next_page_token", "page_token"):
                each = "(more)" if each else ""
            kept[key] = normal(each, key, history)
        return kept
    if isinstance(value, list):
        items = [normal(each, name or "", history) for each in value]
        order = UNORDERED.get(name)
        if order and not (name == "metrics" and history):
            items.sort(key=lambda item: str(item.get(order)) if isinstance(item, dict) else "")
        return items
    return value


def questions(size):
    """Name, method, path, arguments; pages: how many of them."""
    runs = [seed.run_id(n) for n in (0, 1, size.runs // 2, size.runs - 1, size.runs)]
    long = seed.run_id(size.runs + size.bare)
    for run in runs:
        yield "get-run", "GET", "runs/get", {"run_id": run}, 1
    search = {"experiment_ids": ["1"], "max_results": 100}
    yield "search-rows", "POST", "runs/search", search, 3
    yield "search-filter", "POST", "runs/search", {**search, "filter": FILTER, "order_by": ["metrics.m0 DESC"]}, 3
    yield "page", "POST", "runs/search", {**search, "order_by": ["metrics.m0 DESC"]}, 3
    yield "page by parameter", "POST", "runs/search", {**search, "order_by": ["params.p3 ASC"]}, 2
    yield "get-experiment", "GET", "experiments/get", {"experiment_id": "1"}, 1
    yield "get-experiment by name", "GET", "experiments/get-by-name", {"experiment_name": "bare"}, 1
    some = {"max_results": 100, "order_by": ["name ASC"], "filter": "name LIKE 'group 3/%'"}
    yield "experiments-search", "POST", "experiments/search", some, 2
    yield "experiments, newest first", "POST", "experiments/search", {"max_results": 50}, 2
    yield "history", "GET", "metrics/get-history", {"run_id": runs[1], "metric_key": "m3"}, 1
    yield "short history sampled", "GET", INTERVAL, {"run_ids": runs[1], "metric_key": "m3", "max_results": 320}, 1
    if size.points:
        page = {"run_id": long, "metric_key": "loss", "max_results": 1000}
        yield "history pages", "GET", "metrics/get-history", page, 3
    if size.models:
        models = "registered-models/"
        yield "model", "GET", models + "get", {"name": "model-00017"}, 1
        yield "model-search", "GET", models + "search", {"max_results": 100, "filter": "name LIKE 'model-001%'"}, 2
        yield "model-search-tag", "GET", models + "search", {
            "max_results": 100, "filter": "tags.team = 'team 7'", "order_by": "timestamp DESC"}, 2  # fmt: skip
        yield "version", "GET", "model-versions/get", {"name": "model-00017", "version": "2"}, 1
        yield "version-search", "GET", "model-versions/search", {"max_results": 100, "filter": "name='model-00017'"}, 1


def ask(target, method, path, arguments, pages):
    """Status and replies, page after page."""
    replies, arguments = [], dict(arguments)
    for _ in range(pages):
        how = {"params": arguments} if method == "GET" else {"json": arguments}
        reply = target.call(method, path, **how)
        if reply.status_code != 200:
            return reply.status_code, replies
        replies.append(reply.json())
        arguments["page_token"] = replies[-1].get("next_page_token")
        if not arguments["page_token"]:
            break
    return 200, replies


def written(target):
    """What reads back of a run that was written by requests."""
    experiment = target.post("experiments/create", name="compared")["experiment_id"]
    run = target.post("runs/create", experiment_id=experiment, start_time=1, run_name="one")["run"]["info"]["run_id"]
    points = [{"key": f"k{i % 3}", "value": i / 8, "timestamp": 5 + i, "step": i // 2} for i in range(20)]
    target.post("runs/log-batch", run_id=run, metrics=points, params=[{"key": "p", "value": "ä 🙂"}])
    target.post("runs/log-metric", run_id=run, key="k0", value=-1.5, timestamp=9, step=99)
    target.post("runs/set-tag", run_id=run, key="t", value="first")
    target.post("runs/set-tag", run_id=run, key="t", value="second")
    target.post("runs/log-parameter", run_id=run, key="q", value="4")
    target.post("runs/update", run_id=run, status="FINISHED", end_time=7)
    found = [
        target.call("GET", "runs/get", params={"run_id": run}).json(),
        target.call("GET", "metrics/get-history", params={"run_id": run, "metric_key": "k0"}).json(),
        target.post("runs/search", experiment_ids=[experiment], filter="params.q = '4' and tags.t = 'second'"),
    ]
    text = json.dumps(found).replace(run, "RUN").replace(f'"{experiment}"', '"EXPERIMENT"')
    return json.loads(text.replace(f"mlflow-artifacts:/{experiment}/", "mlflow-artifacts:/EXPERIMENT/"))


def ids(replies):
    """Which runs, experiments and models were shown, in which order."""
    items = [item for reply in replies for each in reply.values() if isinstance(each, list) for item in each]
    return [
        tuple(item.get("info", item).get(name) for name in ("run_id", "experiment_id", "name", "version", "step"))
        for item in items
    ]


def sampled(target, size):
    """A long history is where Capstan means to differ: both ends and the extremes are in it, and true points only."""
    _, replies = ask(target, "GET", INTERVAL, {
        "run_ids": seed.run_id(size.runs + size.bare), "metric_key": "loss", "max_results": 320}, 1)  # fmt: skip
    shown = {int(point.get("step", 0)): point["value"] for point in replies[0]["metrics"]}
    true = [seed.loss(step) for step in range(size.points[0])]
    low, high = min(shown.values()), max(shown.values())
    wrong = [step for step, value in shown.items() if abs(value - true[step]) > 1e-9]
    if wrong or not {0, len(true) - 1} <= set(shown) or abs(low - min(true)) + abs(high - max(true)) > 1e-9:
        raise Different(
            f"sampled history: {len(shown)} points, {low} to {high} of {min(true)} to {max(true)}, wrong: {wrong[:9]}"
        )
    return f"{len(true):,} points sampled to {len(shown)}, ends and extremes among them"


def check(targets, size):
    """Raises Different with a diff; lines that say what was compared."""
    ours = next(t for t in targets if t.name == "capstan")
    said, compared = [], 0
    for other in targets:
        if other is ours:
            continue
        for name, method, path, arguments, pages in questions(size):
            mine, theirs = (ask(t, method, path, arguments, pages) for t in (ours, other))
            what = f"{name}: {method} {path} {json.dumps(arguments)}"
            if other.name == "mlflow":
                same(what, *((status, normal(replies)) for status, replies in (mine, theirs)))
                compared += 1
            elif theirs[0] != 200 or ids(mine[1]) and not ids(theirs[1]):
                other.lacks.add(name)
            elif ids(mine[1]) != ids(theirs[1]):
                said.append(f"{other.name} shows something else for {name}")
        if other.lacks:
            said.append(f"{other.name} lacks {', '.join(sorted(other.lacks))}")
        if other.name == "mlflow":
            same("what was written", *(normal(written(t)) for t in (ours, other)))
            compared += 1
    if size.points:
        said.append(sampled(ours, size))
    if compared:
        said.insert(0, f"{compared} replies of Capstan and MLflow are equal")
    return said


def same(what, mine, theirs):
    if mine == theirs:
        return
    texts = [json.dumps(each, indent=1, sort_keys=True, ensure_ascii=False).splitlines() for each in (theirs, mine)]
    diff = list(difflib.unified_diff(*texts, "mlflow", "capstan", lineterm="", n=4))
    raise Different("\n".join([what, *diff[:200]]))
