# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

import math

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType

from conftest import refused, unique

# name, start, metrics, params, tags
RUNS = [
    (
        "alpha",
        100,
        {"acc": 0.5, "loss": 1.0},
        {"opt": "adam", "lr": "0.1"},
        {"team": "a", "note": "Hello World"},
    ),
    ("beta", 200, {"acc": 0.7}, {"opt": "sgd"}, {"team": "b", "note": "100%_sure"}),
    ("gamma", 300, {"acc": 0.9, "loss": math.nan}, {"opt": "Adam", "lr": "0.2"}, {"team": "a"}),
    ("delta", 400, {"loss": -2.5}, {}, {"team": "c", "a b": "quoted"}),
    ("epsilon", 500, {"acc": 0.7, "val/top 5": 3.0}, {"opt": "rms.prop"}, {"path.to.key": "v"}),
]


@pytest.fixture(scope="module")
def world(server):
    client = MlflowClient(server.url)
    experiment = client.create_experiment(unique("search"))
    ids = {}
    for name, start, metrics, params, tags in RUNS:
        run = client.create_run(experiment, start_time=start, run_name=name)
        client.log_batch(
            run.info.run_id,
            [Metric(k, v, start, 0) for k, v in metrics.items()],
            [Param(k, v) for k, v in params.items()],
            [RunTag(k, v) for k, v in tags.items()],
        )
        ids[name] = run.info.run_id
    client.set_terminated(ids["alpha"], "FINISHED", 150)
    client.set_terminated(ids["beta"], "FAILED", 250)
    return client, experiment, ids


def search(world, text, **arguments):
    client, experiment, ids = world
    found = client.search_runs([experiment], text.format(**ids), **arguments)
    return "".join(r.info.run_name[0] for r in found)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("", "edgba"),
        ("metrics.acc > 0.6", "egb"),
        ("metrics.acc >= 0.7 and metrics.acc <= 0.7", "eb"),
        ("metric.acc != 0.7", "ga"),
        ("metrics.loss < 0", "d"),
        ("metrics.loss > -1e2 AND metrics.loss < 1e2", "da"),
        ("metrics.`val/top 5` = 3", "e"),
        ('metrics."val/top 5" >= 3.0', "e"),
        ("metrics.nowhere > 0", ""),
        ("params.opt = 'adam'", "a"),
        ("params.opt != 'adam'", "egb"),
        ("param.opt LIKE 'a%'", "a"),
        ("parameters.opt ILIKE 'a%'", "ga"),
        ("params.opt LIKE '%.%'", "e"),
        ("params.lr IS NOT NULL", "ga"),
        ("params.lr IS NULL", "edb"),
        ("tags.team IS NULL", "e"),
        ("tags.team = 'a' and params.opt = 'adam'", "a"),
        ("tags.team != 'a'", "db"),
        ("tag.note LIKE '100\\%\\_sure'", "b"),
        ("tags.note LIKE 'hello%'", ""),
        ("tags.note ILIKE 'hello%'", "a"),
        ("tags.path.to.key = 'v'", "e"),
        ("tags.\"a b\" = 'quoted'", "d"),
        ("attributes.run_name = 'beta'", "b"),
        ("run_name LIKE '%a'", "dgba"),
        ("attribute.status = 'FINISHED'", "a"),
        ("status != 'RUNNING'", "ba"),
        ("attr.start_time > 200", "edg"),
        ("start_time >= 200 AND created < 400", "gb"),
        ("end_time < 200", "a"),
        ("run_id = '{gamma}'", "g"),
        ("attributes.run_id IN ('{gamma}', '{alpha}')", "ga"),
        ("attributes.run_id NOT IN ('{gamma}', '{alpha}')", "edb"),
        ("artifact_uri LIKE '%{beta}%'", "b"),
        ("`Run name` = 'beta'", "b"),
    ],
)
def test_filter(world, text, expected):
    assert search(world, text) == expected


@pytest.mark.ours
@pytest.mark.parametrize(
    "text, expected",
    [
        ("params.opt = 'adam' OR params.opt = 'sgd'", "ba"),
        ("NOT metrics.acc > 0.6", "da"),
        ("NOT (tags.team = 'a' OR tags.team = 'b')", "ed"),
        ("(params.opt = 'adam' OR params.opt = 'sgd') AND tags.team = 'b'", "b"),
        ("tags.team = 'b' OR tags.team = 'c' AND metrics.loss < 0", "db"),
        ("metrics.acc IS NULL", "d"),
        ("metrics.loss IS NOT NULL", "dga"),
        ("params.opt IN ('adam', 'sgd')", "ba"),
        ("params.opt NOT IN ('adam', 'sgd') AND params.opt IS NOT NULL", "eg"),
    ],
)
def test_filter_beyond(world, text, expected):
    assert search(world, text) == expected


@pytest.mark.parametrize(
    "order, expected",
    [
        ([], "edgba"),
        (["start_time ASC"], "abgde"),
        (["metrics.acc DESC"], "gebad"),
        (["metrics.acc ASC"], "aebgd"),
        (["metrics.acc DESC", "start_time ASC"], "gbead"),
        (["params.lr ASC"], "agedb"),
        (["tags.team DESC", "attributes.run_name"], "dbage"),
        (["run_name"], "abdeg"),
        (["attribute.end_time DESC"], "baedg"),
        (["metrics.`val/top 5` ASC"], "edgba"),
    ],
)
def test_order(world, order, expected):
    assert search(world, "", order_by=order) == expected


def test_nan_is_last(world):
    for direction, expected in (("ASC", "da"), ("DESC", "ad")):
        found = search(world, "", order_by=[f"metrics.loss {direction}"])
        assert found[:2] == expected and set(found[2:]) == set("geb")


@pytest.mark.parametrize(
    "text",
    [
        "metrics.acc",
        "metrics.acc >",
        "metrics.acc > 'x'",
        "metrics.acc LIKE 'x'",
        "params.opt = 5",
        "params.opt > 'a'",
        "nonsense.a = 'x'",
        "tags.team = unquoted",
        "params.opt = 'open",
        "attributes.nonsense = 'x'",
        "start_time = 'x'",
        "run_id IN ()",
        "; DROP TABLE runs",
        "params.opt = 'a'; --",
        "metrics.acc > +",
        "= 'x'",
        "params.opt == 'a'",
    ],
)
def test_bad_filter(api, world, text):
    refused(api.post("runs/search", {"experiment_ids": [world[1]], "filter": text}))


@pytest.mark.parametrize(
    "order",
    ["nonsense", "metrics.acc SIDEWAYS", "metrics.acc ASC DESC", "", "metrics.a, metrics.b"],
)
def test_bad_order(api, world, order):
    assert api.post(
        "runs/search", {"experiment_ids": [world[1]], "order_by": [order]}
    ).status_code in (200, 400)
    if order and order != "metrics.a, metrics.b":
        refused(api.post("runs/search", {"experiment_ids": [world[1]], "order_by": [order]}))


@pytest.mark.ours
def test_error_names_the_position(api, world):
    body = refused(
        api.post(
            "runs/search",
            {"experiment_ids": [world[1]], "filter": "metrics.acc > 1 AND params.x ~ 'y'"},
        )
    )
    assert any(n in body["message"] for n in ("29", "30", "31")), body


@pytest.mark.ours
@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000 + "metrics.a = 1" + ")" * 5000,
        "NOT " * 5000 + "metrics.a = 1",
        "metrics.a = 1 AND " * 5000 + "metrics.a = 1",
        "params.a = '" + "x" * 500000 + "'",
    ],
)
def test_huge_filter(api, world, text):
    assert (
        api.post("runs/search", {"experiment_ids": [world[1]], "filter": text}).status_code == 400
    )


@pytest.mark.parametrize(
    "evil", ["' OR 1=1 --", "\\' OR 1=1", "$1", "%s", "\\", "a'||pg_sleep(9)||'", "☃"]
)
def test_values_are_values(world, evil):
    client, experiment, _ = world
    run = client.create_run(client.create_experiment(unique()))
    client.log_param(run.info.run_id, "p", evil)
    quote = '"' if "'" in evil else "'"
    text = f"params.p = {quote}{evil}{quote}"
    found = client.search_runs([run.info.experiment_id], text)
    assert [r.info.run_id for r in found] == [run.info.run_id]
    assert client.search_runs([experiment], text) == []


def test_pages(world):
    client, experiment, _ = world
    for order in ([], ["metrics.acc DESC"], ["params.lr"], ["tags.team DESC", "start_time"]):
        whole = search(world, "", order_by=order)
        token, seen = None, ""
        for _ in range(9):
            page = client.search_runs([experiment], order_by=order, max_results=2, page_token=token)
            assert len(page) <= 2
            seen += "".join(r.info.run_name[0] for r in page)
            token = page.token
            if not token:
                break
        assert seen == whole


def test_forged_tokens(api, world):
    for token in ("x", "eyJvZmZzZXQiOiAtMX0=", "e30=", "A" * 100000):
        reply = api.post(
            "runs/search", {"experiment_ids": [world[1]], "page_token": token, "max_results": 1}
        )
        assert reply.status_code == 400, (token[:20], reply.text)


@pytest.mark.ours
def test_token_of_another_query(api, world):
    body = {"experiment_ids": [world[1]], "max_results": 1}
    token = api.post("runs/search", {**body, "filter": "metrics.acc > 0"}).json()["next_page_token"]
    refused(api.post("runs/search", {**body, "page_token": token}))
    refused(
        api.post(
            "runs/search",
            {**body, "filter": "metrics.acc > 0", "order_by": ["run_name"], "page_token": token},
        )
    )
    other = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    assert (
        api.post(
            "runs/search", {**body, "filter": "metrics.acc > 0", "page_token": other}
        ).status_code
        == 400
    )


def test_arguments(api, world):
    assert (
        api.post("runs/search", {"experiment_ids": [world[1]], "max_results": 50000}).status_code
        == 200
    )
    refused(api.post("runs/search", {"experiment_ids": [world[1]], "max_results": 50001}))
    refused(api.post("runs/search", {"experiment_ids": [world[1]], "max_results": -1}))
    assert api.post("runs/search", {"experiment_ids": ["123456789"]}).json() == {}
    assert api.post("runs/search", {}).json() == {}


def test_views(world):
    client, experiment, ids = world
    extra = client.create_run(experiment, start_time=1, run_name="zeta").info.run_id
    client.delete_run(extra)
    assert search(world, "") == "edgba"
    assert search(world, "", run_view_type=ViewType.DELETED_ONLY) == "z"
    assert search(world, "", run_view_type=ViewType.ALL) == "edgbaz"


def test_whole_rows_come_back(world):
    client, experiment, ids = world
    run = client.search_runs([experiment], f"run_id = '{ids['alpha']}'")[0]
    assert run.data.metrics == {"acc": 0.5, "loss": 1.0}
    assert run.data.params == {"opt": "adam", "lr": "0.1"}
    assert run.data.tags["note"] == "Hello World"
    assert run.to_dictionary() == client.get_run(ids["alpha"]).to_dictionary()


def test_several_experiments(world):
    client, experiment, ids = world
    other = client.create_experiment(unique())
    run = client.create_run(other, start_time=250, run_name="other")
    found = client.search_runs([experiment, other], order_by=["start_time"])
    assert [r.info.run_name for r in found] == [
        "alpha",
        "beta",
        "other",
        "gamma",
        "delta",
        "epsilon",
    ]
    assert run.info.run_id in [r.info.run_id for r in found]


def test_dataset_filters(world):
    client, experiment, ids = world
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset("iris", "abc123", "local", "{}")
    client.log_inputs(
        ids["beta"], [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])]
    )
    assert search(world, "dataset.name = 'iris'") == "b"
    assert search(world, "datasets.digest = 'abc123' AND dataset.context = 'train'") == "b"
    assert search(world, "dataset.context = 'eval'") == ""
    assert search(world, "dataset.name IN ('iris', 'wine')") == "b"
    assert search(world, "dataset.name LIKE 'ir%' AND metrics.acc > 0") == "b"
