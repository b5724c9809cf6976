# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

import math
import time

import pytest
from mlflow.entities import Metric

from conftest import refused

BIGGEST = 1.7976931348623157e308


def points(client, run_id, key):
    return [(p.timestamp, p.step, p.value) for p in client.get_metric_history(run_id, key)]


def test_history(client, run):
    run_id = run.info.run_id
    client.log_metric(run_id, "loss", 3.0, timestamp=30, step=0)
    client.log_metric(run_id, "loss", 2.0, timestamp=20, step=2)
    client.log_metric(run_id, "loss", 1.0, timestamp=10, step=1)
    client.log_metric(run_id, "loss", 1.0, timestamp=10, step=1)
    assert sorted(points(client, run_id, "loss")) == [(10, 1, 1.0), (20, 2, 2.0), (30, 0, 3.0)]
    assert client.get_run(run_id).data.metrics == {"loss": 2.0}


@pytest.mark.parametrize(
    "given, latest",
    [
        ([(1, 5, 1.0), (2, 4, 9.0)], 1.0),  # the greatest step,
        ([(1, 5, 1.0), (2, 5, 0.5)], 0.5),  # then the latest time,
        ([(2, 5, 1.0), (2, 5, 3.0), (2, 5, 2.0)], 3.0),  # then the greatest value
        ([(1, -5, 1.0), (1, -6, 2.0)], 1.0),
        ([(0, 0, 0.0)], 0.0),
    ],
)
def test_latest(client, run, given, latest):
    for each in given:
        client.log_metric(run.info.run_id, "m", each[2], timestamp=each[0], step=each[1])
    assert client.get_run(run.info.run_id).data.metrics == {"m": latest}
    batch = [Metric("b", value, time, step) for time, step, value in given]
    client.log_batch(run.info.run_id, metrics=batch)
    assert client.get_run(run.info.run_id).data.metrics["b"] == latest


def test_not_finite(client, api, run):
    run_id = run.info.run_id
    client.log_metric(run_id, "nan", math.nan)
    client.log_metric(run_id, "up", math.inf)
    client.log_metric(run_id, "down", -math.inf)
    metrics = client.get_run(run_id).data.metrics
    assert math.isnan(metrics["nan"])
    assert metrics["up"] == BIGGEST and metrics["down"] == -BIGGEST
    raw = api.get("runs/get", {"run_id": run_id}).json()["run"]["data"]["metrics"]
    assert {m["key"]: m["value"] for m in raw}["nan"] == "NaN"
    assert math.isnan(client.get_metric_history(run_id, "nan")[0].value)


@pytest.mark.parametrize(
    "text, value",
    [
        ("0.1", 0.1),
        ('"0.5"', 0.5),
        ("1", 1.0),
        ("-0.0", 0.0),
        ("1e-320", 1e-320),
        ("1e23", 1e23),
        ("123456789012345678", 123456789012345680.0),
        ("2.2250738585072014e-308", 2.2250738585072014e-308),
        ('"Infinity"', BIGGEST),
        pytest.param("Infinity", BIGGEST, marks=pytest.mark.ours),
        ("0.30000000000000004", 0.30000000000000004),
        pytest.param("-Infinity", -BIGGEST, marks=pytest.mark.ours),
    ],
)
def test_values_survive(client, api, run, text, value):
    body = '{"run_id": "%s", "key": "v", "value": %s, "timestamp": 5}' % (run.info.run_id, text)
    reply = api.raw("runs/log-metric", body)
    assert reply.status_code == 200, reply.text
    assert client.get_metric_history(run.info.run_id, "v")[0].value == value


@pytest.mark.parametrize(
    "change",
    [
        {"value": None},
        {"value": "abc"},
        {"timestamp": None},
        {"timestamp": "x"},
        {"key": None},
        {"key": 5},
        {"run_id": None},
        pytest.param({"value": []}, marks=pytest.mark.ours),
        pytest.param({"value": {}}, marks=pytest.mark.ours),
        pytest.param({"timestamp": 2**63}, marks=pytest.mark.ours),
    ],
)
def test_wrong_metric(api, run, change):
    body = {"run_id": run.info.run_id, "key": "k", "value": 1, "timestamp": 1, "step": 1, **change}
    body = {k: v for k, v in body.items() if v is not None}
    reply = api.post("runs/log-metric", body)
    assert reply.status_code in (400, 404), reply.text


def test_steps_are_64_bits(client, run):
    for step in (-(2**63), 2**63 - 1, 2**53 + 1):
        client.log_metric(run.info.run_id, "s", 1.0, timestamp=2**53 + 3, step=step)
    assert sorted(p[1] for p in points(client, run.info.run_id, "s")) == [
        -(2**63),
        2**53 + 1,
        2**63 - 1,
    ]
    assert points(client, run.info.run_id, "s")[0][0] == 2**53 + 3


def test_history_of_nobody(api, run):
    assert api.get("metrics/get-history", {"run_id": "f" * 32, "metric_key": "x"}).json() == {}
    assert (
        api.get("metrics/get-history", {"run_id": run.info.run_id, "metric_key": "x"}).json() == {}
    )
    refused(api.get("metrics/get-history", {"run_id": run.info.run_id}))
    refused(api.get("metrics/get-history", {"metric_key": "x"}))


def test_history_pages(client, api, run):
    run_id = run.info.run_id
    client.log_batch(run_id, metrics=[Metric("m", float(i), i, i) for i in range(25)])
    token, seen = None, []
    for _ in range(9):
        arguments = {"run_id": run_id, "metric_key": "m", "max_results": 10}
        if token:
            arguments["page_token"] = token
        page = api.get("metrics/get-history", arguments).json()
        assert len(page["metrics"]) <= 10
        seen += [m["step"] for m in page["metrics"]]
        token = page.get("next_page_token")
        if not token:
            break
    assert seen == list(range(25))
    assert (
        api.get(
            "metrics/get-history",
            {"run_id": run_id, "metric_key": "m", "max_results": 10, "page_token": "forged"},
        ).status_code
        == 400
    )


def test_history_bulk(client, api, fresh_experiment):
    runs = [client.create_run(fresh_experiment).info.run_id for _ in range(3)]
    for n, run_id in enumerate(runs):
        client.log_batch(run_id, metrics=[Metric("m", n + i / 10, i, i) for i in range(4)])
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
    got = api.get(path, {"run_id": runs, "metric_key": "m"}).json()["metrics"]
    assert len(got) == 12 and {m["run_id"] for m in got} == set(runs)
    assert (
        len(api.get(path, {"run_id": runs, "metric_key": "m", "max_results": 5}).json()["metrics"])
        == 5
    )
    refused(api.get(path, {"metric_key": "m"}))
    refused(api.get(path, {"run_id": runs}))
    refused(api.get(path, {"run_id": ["%032x" % i for i in range(101)], "metric_key": "m"}))


def test_bulk_interval(client, api, run):
    run_id = run.info.run_id
    client.log_batch(run_id, metrics=[Metric("m", float(i % 97), i, i) for i in range(1000)])
    client.log_batch(
        run_id, metrics=[Metric("m", 5000.0, 5000, 501), Metric("m", -5000.0, 5001, 502)]
    )
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    got = api.get(path, {"run_ids": [run_id], "metric_key": "m", "max_results": 20}).json()[
        "metrics"
    ]
    steps = [m["step"] for m in got]
    assert steps == sorted(steps) and steps[0] == 0 and steps[-1] == 999
    assert 2 <= len(set(steps)) <= 60
    part = api.get(
        path,
        {
            "run_ids": [run_id],
            "metric_key": "m",
            "max_results": 20,
            "start_step": 100,
            "end_step": 110,
        },
    ).json()["metrics"]
    assert {m["step"] for m in part} == set(range(100, 111))
    refused(
        api.get(
            path,
            {
                "run_ids": [run_id],
                "metric_key": "m",
                "max_results": 20,
                "start_step": 5,
                "end_step": 1,
            },
        )
    )
    refused(api.get(path, {"run_ids": [run_id], "metric_key": "m", "max_results": 2501}))
    refused(api.get(path, {"metric_key": "m"}))


@pytest.mark.ours
def test_bulk_interval_keeps_extremes(client, api, run):
    run_id = run.info.run_id
    client.log_batch(run_id, metrics=[Metric("m", 0.0, i, i) for i in range(1000)])
    client.log_batch(run_id, metrics=[Metric("m", 7.0, 5000, 501), Metric("m", -7.0, 5001, 702)])
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
    got = api.get(path, {"run_ids": [run_id], "metric_key": "m", "max_results": 20}).json()[
        "metrics"
    ]
    values = [m["value"] for m in got]
    assert max(values) == 7.0 and min(values) == -7.0


@pytest.mark.ours
def test_charts_are_rolled_up(client, api, run):
    """Enough points for a roll-up, then late ones: whether it is there yet must not show."""
    run_id = run.info.run_id
    for first in range(0, 9000, 1000):
        client.log_batch(
            run_id, metrics=[Metric("m", float(i % 97), 10_000 + i, i) for i in range(first, first + 1000)]
        )
    path = "/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"

    def chart(**more):
        query = {"run_ids": [run_id], "metric_key": "m", "max_results": 100} | more
        return [(m["step"], m["value"]) for m in api.get(path, query).json()["metrics"]]

    def spikes(low, high):
        got = chart()
        assert len(got) <= 100 and got == sorted(got)
        assert got[0][0] == 0 and got[-1][0] == 8999
        assert min(v for _, v in got) == low and max(v for _, v in got) == high
        window = chart(start_step=4000, end_step=4999)
        assert len(window) > 50 and all(4000 <= step < 5000 for step, _ in window)
        assert chart(start_step=4000, end_step=4049) == [(i, i % 97) for i in range(4000, 4050)]

    for _ in range(5):
        spikes(0, 96)
        time.sleep(0.2)
    client.log_batch(run_id, metrics=[Metric("m", 7000.0, 10_020, 20), Metric("m", -7.0, 18_000, 8000)])
    for _ in range(5):
        spikes(-7, 7000)
        time.sleep(0.2)


def test_metric_with_model_and_dataset(client, api, run):
    body = {
        "run_id": run.info.run_id,
        "key": "m",
        "value": 1,
        "timestamp": 1,
        "dataset_name": "d",
        "dataset_digest": "x",
    }
    assert api.post("runs/log-metric", body).status_code == 200
