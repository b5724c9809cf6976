# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

import threading

import pytest
import requests
from mlflow.entities import Metric, Param, RunTag

from conftest import refused


def entries(count, prefix="k"):
    return [{"key": f"{prefix}{i}", "value": str(i)} for i in range(count)]


def test_everything_at_once(client, run):
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        metrics=[Metric("m", float(i), 1000 + i, i) for i in range(800)],
        params=[Param(f"p{i}", str(i)) for i in range(100)],
        tags=[RunTag(f"t{i}", "x" * i) for i in range(100)],
    )
    data = client.get_run(run_id).data
    assert data.metrics == {"m": 799.0}
    assert data.params == {f"p{i}": str(i) for i in range(100)}
    assert data.tags["t99"] == "x" * 99
    assert len(client.get_metric_history(run_id, "m")) == 800


def test_repeat_changes_nothing(client, run):
    run_id = run.info.run_id
    for _ in range(3):
        client.log_batch(
            run_id,
            metrics=[Metric("m", 1.5, 7, 1)],
            params=[Param("p", "1")],
            tags=[RunTag("t", "1")],
        )
    assert len(client.get_metric_history(run_id, "m")) == 1
    assert client.get_run(run_id).data.params == {"p": "1"}


def test_empty(api, run):
    assert api.post("runs/log-batch", {"run_id": run.info.run_id}).json() == {}
    assert api.post("runs/log-batch", {"run_id": "0" * 32}).status_code == 404
    assert api.post("runs/log-batch", {}).status_code == 400


def test_duplicate_param_in_batch(client, api, run):
    for second in ("1", "2"):
        params = [{"key": "p", "value": "1"}, {"key": "p", "value": second}]
        refused(api.post("runs/log-batch", {"run_id": run.info.run_id, "params": params}))
    assert client.get_run(run.info.run_id).data.params == {}


def test_repeated_tag_last_wins(client, api, run):
    tags = [{"key": "t", "value": str(i)} for i in range(3)]
    assert api.post("runs/log-batch", {"run_id": run.info.run_id, "tags": tags}).status_code == 200
    assert client.get_run(run.info.run_id).data.tags["t"] == "2"


def test_all_or_nothing(client, api, run):
    run_id = run.info.run_id
    client.log_param(run_id, "fixed", "1")
    before = client.get_run(run_id).to_dictionary()
    good = {
        "metrics": [{"key": "m", "value": 1, "timestamp": 1, "step": 0}],
        "tags": [{"key": "t", "value": "1"}],
    }
    for bad in (
        {"params": [{"key": "new", "value": "1"}, {"key": "fixed", "value": "2"}]},
        {"params": [{"key": "a?", "value": "1"}]},
        {"metrics": good["metrics"] + [{"key": "x" * 251, "value": 1, "timestamp": 1}]},
        {"metrics": good["metrics"] + [{"key": "m", "value": 1}]},
        {"tags": good["tags"] + [{"key": "", "value": "1"}]},
    ):
        reply = api.post("runs/log-batch", {"run_id": run_id, **good, **bad})
        assert reply.status_code == 400, (bad, reply.text)
        assert client.get_run(run_id).to_dictionary() == before


@pytest.mark.parametrize(
    "body",
    [
        {"metrics": [{"key": "m", "value": 1, "timestamp": i} for i in range(1001)]},
        {"params": entries(101)},
        {"tags": entries(101)},
        {
            "metrics": [{"key": "m", "value": 1, "timestamp": i} for i in range(901)],
            "params": entries(50),
            "tags": entries(50),
        },
    ],
)
def test_limits(api, run, body):
    refused(api.post("runs/log-batch", {"run_id": run.info.run_id, **body}))


def test_errors_name_the_element(api, run):
    metrics = [
        {"key": "fine", "value": 1, "timestamp": 1},
        {"key": "a?b", "value": 1, "timestamp": 1},
    ]
    body = refused(api.post("runs/log-batch", {"run_id": run.info.run_id, "metrics": metrics}))
    assert "a?b" in body["message"]


@pytest.mark.ours
def test_wrong_types_inside(api, run):
    for metric in (
        {"timestamp": "soon"},
        {"timestamp": 1.5},
        {"step": 2**63},
        {"key": 7},
        {"value": [1]},
    ):
        metrics = [{"key": "fine", "value": 1, "timestamp": 1, **metric}]
        refused(api.post("runs/log-batch", {"run_id": run.info.run_id, "metrics": metrics}))
    for metrics in ({}, "x", [1], [[]], [None]):
        reply = api.post("runs/log-batch", {"run_id": run.info.run_id, "metrics": metrics})
        assert reply.status_code in (200, 400) if metrics == [None] else reply.status_code == 400


def test_many_runs_at_once(client, fresh_experiment):
    """Writes of many clients share commits; each keeps its own result."""
    from concurrent.futures import ThreadPoolExecutor

    runs = [client.create_run(fresh_experiment).info.run_id for _ in range(8)]
    client.log_param(runs[0], "p", "taken")

    def work(n):
        for i in range(10):
            client.log_metric(runs[n], "m", i, timestamp=i, step=i)
        try:
            client.log_param(runs[n], "p", "mine")
            return True
        except Exception:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [False] + [True] * 7
    for n, run_id in enumerate(runs):
        assert [p.step for p in client.get_metric_history(run_id, "m")] == list(range(10))
        assert client.get_run(run_id).data.params["p"] == ("taken" if n == 0 else "mine")


def test_create_runs_at_once(client, fresh_experiment):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        made = list(
            pool.map(
                lambda i: client.create_run(fresh_experiment, run_name=f"r{i}").info.run_id,
                range(40),
            )
        )
    found = client.search_runs([fresh_experiment], max_results=100)
    assert sorted(made) == sorted(r.info.run_id for r in found)


def test_no_half_batch_is_seen(server, fresh_experiment):
    """A batch's metric and tag change together, for whoever reads meanwhile, one run or a page of them."""
    api = server.url + "/api/2.0/mlflow/runs/"
    run_id = requests.post(api + "create", json={"experiment_id": fresh_experiment}, timeout=30).json()["run"]["info"]["run_id"]
    ended = threading.Event()

    def write():
        with requests.Session() as session:
            for n in range(1, 600):
                session.post(api + "log-batch", timeout=30, json={
                    "run_id": run_id,
                    "metrics": [{"key": "n", "value": n, "timestamp": n, "step": n}],
                    "tags": [{"key": "n", "value": str(n)}],
                }).raise_for_status()
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    halves, seen = [], set()
    with requests.Session() as session:
        while not ended.is_set():
            one = session.get(api + "get", params={"run_id": run_id}, timeout=30).json()["run"]
            page = session.post(api + "search", json={"experiment_ids": [fresh_experiment]}, timeout=30).json()["runs"]
            for data in (one["data"], page[0]["data"]):
                metric = [int(m["value"]) for m in data.get("metrics", [])]
                tag = [int(t["value"]) for t in data["tags"] if t["key"] == "n"]
                seen.update(metric)
                if metric != tag:
                    halves.append((metric, tag))
    writer.join()
    assert len(seen) > 10
    assert not halves
