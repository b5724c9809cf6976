# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

import re
import time

import mlflow
import pytest
from mlflow.entities import RunStatus

from conftest import refused, unique


def test_create(client, api, fresh_experiment):
    run = client.create_run(
        fresh_experiment, start_time=1234567890123, tags={"a": "b"}, run_name="first light"
    )
    info = run.info
    assert re.fullmatch("[0-9a-f]{32}", info.run_id)
    assert (info.run_name, info.experiment_id, info.status) == (
        "first light",
        fresh_experiment,
        "RUNNING",
    )
    assert (info.start_time, info.end_time, info.lifecycle_stage) == (1234567890123, None, "active")
    assert info.artifact_uri == f"mlflow-artifacts:/{fresh_experiment}/{info.run_id}/artifacts"
    assert run.data.tags == {"a": "b", "mlflow.runName": "first light"}
    again = client.get_run(info.run_id)
    assert again.to_dictionary() == run.to_dictionary()


def test_reply_shape(api, fresh_experiment):
    made = api.post("runs/create", {"experiment_id": fresh_experiment, "start_time": "17"}).json()[
        "run"
    ]
    assert made.setdefault("outputs", {}) == {} and made["inputs"] == {}
    assert set(made) == {"info", "data", "inputs", "outputs"}
    assert made["info"]["run_id"] == made["info"]["run_uuid"]
    assert made["info"]["start_time"] == 17
    assert made["info"]["user_id"] == ""
    assert "end_time" not in made["info"]
    got = api.get("runs/get", {"run_id": made["info"]["run_id"]}).json()["run"]
    assert got == made
    assert api.get("runs/get", {"run_uuid": made["info"]["run_id"]}).json()["run"] == made


def test_generated_name(client, fresh_experiment):
    run = client.create_run(fresh_experiment)
    assert re.fullmatch(r"[a-z]+-[a-z]+-\d{1,4}", run.info.run_name)
    assert len(run.info.run_name) <= 20
    assert run.data.tags["mlflow.runName"] == run.info.run_name


def test_name_and_tag_must_agree(api, fresh_experiment):
    tags = [{"key": "mlflow.runName", "value": "tag"}]
    body = {"experiment_id": fresh_experiment, "start_time": 1, "tags": tags}
    assert (
        api.post("runs/create", {**body, "run_name": "tag"}).json()["run"]["info"]["run_name"]
        == "tag"
    )
    assert api.post("runs/create", body).json()["run"]["info"]["run_name"] == "tag"
    refused(api.post("runs/create", {**body, "run_name": "other"}))


def test_create_without_start_time(api, fresh_experiment):
    run = api.post("runs/create", {"experiment_id": fresh_experiment}).json()["run"]
    assert run["info"]["start_time"] == 0


def test_create_in_nowhere(api):
    assert api.post("runs/create", {"experiment_id": "987654321"}).status_code == 404
    assert api.post("runs/create", {"experiment_id": "not a number"}).status_code in (400, 404)


def test_user_id(api, fresh_experiment):
    made = api.post("runs/create", {"experiment_id": fresh_experiment, "user_id": "ada"}).json()[
        "run"
    ]
    assert made["info"]["user_id"] == "ada"


def test_update(client, api, run):
    run_id = run.info.run_id
    client.update_run(run_id, status="FINISHED", name="done")
    got = client.get_run(run_id)
    assert (got.info.status, got.info.run_name) == ("FINISHED", "done")
    assert got.data.tags["mlflow.runName"] == "done"
    reply = api.post("runs/update", {"run_id": run_id, "status": "KILLED", "end_time": 99}).json()
    assert reply["run_info"]["status"] == "KILLED" and reply["run_info"]["end_time"] == 99
    client.set_tag(run_id, "mlflow.runName", "by tag")
    assert client.get_run(run_id).info.run_name == "by tag"


def test_terminated(client, run):
    client.set_terminated(run.info.run_id, "FAILED", 4_000_000_000_000)
    info = client.get_run(run.info.run_id).info
    assert (info.status, info.end_time) == ("FAILED", 4_000_000_000_000)
    assert RunStatus.is_terminated(RunStatus.from_string(info.status))


def test_missing(api):
    nobody = {"run_id": "0" * 32}
    refused(api.get("runs/get", nobody), "RESOURCE_DOES_NOT_EXIST", 404, "0" * 32)
    for route in ("delete", "restore", "update"):
        assert api.post(f"runs/{route}", nobody).status_code == 404
    refused(api.get("runs/get", {}), text="Missing value for required parameter 'run_id'")
    assert api.get("runs/get", {"run_id": "short"}).status_code in (400, 404)
    assert api.get("runs/get", {"run_id": "'; DROP TABLE runs; --"}).status_code in (400, 404)


def test_delete_and_restore(client, api, run):
    run_id = run.info.run_id
    client.delete_run(run_id)
    client.delete_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "deleted"
    message = f"The run {run_id} must be in the 'active' state. Current state is deleted."
    for route, body in {
        "log-metric": {"key": "a", "value": 1, "timestamp": 1},
        "log-parameter": {"key": "a", "value": "1"},
        "set-tag": {"key": "a", "value": "1"},
        "log-batch": {"metrics": [{"key": "a", "value": 1, "timestamp": 1}]},
        "update": {"status": "FINISHED"},
    }.items():
        refused(api.post(f"runs/{route}", {"run_id": run_id, **body}), text=message)
    client.restore_run(run_id)
    client.restore_run(run_id)
    assert client.get_run(run_id).info.lifecycle_stage == "active"
    client.log_metric(run_id, "a", 1.0)


def test_params(client, api, run):
    run_id = run.info.run_id
    assert client.log_param(run_id, "lr", 0.1) == 0.1
    client.log_param(run_id, "lr", 0.1)
    body = refused(api.post("runs/log-parameter", {"run_id": run_id, "key": "lr", "value": "0.2"}))
    assert "0.1" in body["message"] and "0.2" in body["message"]
    client.log_param(run_id, "empty", "")
    client.log_param(run_id, "p/q.r s", "ünïcode ✓")
    assert client.get_run(run_id).data.params == {"lr": "0.1", "empty": "", "p/q.r s": "ünïcode ✓"}
    client.log_param(run_id, "long", "x" * 6000)
    assert len(client.get_run(run_id).data.params["long"]) == 6000


def test_over_long_param_is_cut(client, api, run):
    reply = api.post(
        "runs/log-parameter", {"run_id": run.info.run_id, "key": "k", "value": "é" * 8001}
    )
    assert reply.status_code == 200
    assert client.get_run(run.info.run_id).data.params["k"] in ("é" * 6000, "é" * 8000)


def test_tags(client, api, run):
    run_id = run.info.run_id
    client.set_tag(run_id, "t", "1")
    client.set_tag(run_id, "t", 2)
    client.set_tag(run_id, "e", "")
    tags = client.get_run(run_id).data.tags
    assert tags["t"] == "2" and tags["e"] == ""
    client.delete_tag(run_id, "t")
    assert "t" not in client.get_run(run_id).data.tags
    reply = api.post("runs/delete-tag", {"run_id": run_id, "key": "t"})
    refused(reply, "RESOURCE_DOES_NOT_EXIST", 404)
    assert (
        api.post("runs/set-tag", {"run_id": run_id, "key": "long", "value": "x" * 8001}).status_code
        == 200
    )
    assert len(client.get_run(run_id).data.tags["long"]) == 8000


@pytest.mark.parametrize(
    "key", ["", "a/../b", "/abs", "a//b", "./a", "..", "a\\b", "x" * 251, "a?b", "a$", "tab\t"]
)
def test_bad_keys(api, run, key):
    run_id = run.info.run_id
    assert (
        api.post(
            "runs/log-metric", {"run_id": run_id, "key": key, "value": 1, "timestamp": 1}
        ).status_code
        == 400
    )
    assert (
        api.post("runs/log-parameter", {"run_id": run_id, "key": key, "value": "1"}).status_code
        == 400
    )
    assert api.post("runs/set-tag", {"run_id": run_id, "key": key, "value": "1"}).status_code == 400


@pytest.mark.parametrize("key", ["a", "a.b", "a/b", "a b", "a-b_c", "a:b", "é", "x" * 250])
def test_good_keys(client, run, key):
    client.log_metric(run.info.run_id, key, 1)
    client.log_param(run.info.run_id, key, "1")
    client.set_tag(run.info.run_id, key, "1")
    data = client.get_run(run.info.run_id).data
    assert key in data.metrics and key in data.params and key in data.tags


def test_fluent(client, server):
    name = unique("fluent")
    mlflow.set_experiment(name)
    began = int(time.time() * 1000)
    with mlflow.start_run(run_name="outer", description="words") as outer:
        mlflow.log_params({"depth": 3, "loss": "l2"})
        mlflow.log_metrics({"acc": 0.5}, step=1)
        mlflow.set_tags({"stage": "dev"})
        with mlflow.start_run(nested=True) as inner:
            mlflow.log_metric("acc", 0.25)
    got = client.get_run(outer.info.run_id)
    assert got.info.status == "FINISHED" and got.info.start_time >= began - 1
    assert got.info.end_time >= got.info.start_time
    assert got.data.params == {"depth": "3", "loss": "l2"} and got.data.metrics == {"acc": 0.5}
    assert got.data.tags["mlflow.note.content"] == "words"
    child = client.get_run(inner.info.run_id)
    assert child.data.tags["mlflow.parentRunId"] == outer.info.run_id
    frame = mlflow.search_runs(experiment_names=[name], order_by=["metrics.acc DESC"])
    assert list(frame.run_id) == [outer.info.run_id, inner.info.run_id]


def test_failed_run(client, fresh_experiment):
    with pytest.raises(ZeroDivisionError):
        with mlflow.start_run(experiment_id=fresh_experiment) as run:
            1 / 0
    assert client.get_run(run.info.run_id).info.status == "FAILED"


def test_ajax_twin(api, run):
    path = "/ajax-api/2.0/mlflow/runs/get"
    assert (
        api.get(path, {"run_id": run.info.run_id}).json()
        == api.get("runs/get", {"run_id": run.info.run_id}).json()
    )
