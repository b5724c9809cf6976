# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
A full round of MLflow's Python client, whatever its release: python round.py URL. Tracking, artifacts, registry,
search, delete, restore; leaves with 0 when everything came back as it went in.
"""

import os
import sys
import tempfile
import time
import uuid

import mlflow
import numpy
import pandas
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from sklearn.linear_model import LinearRegression

URL = sys.argv[1]
NAME = "round-" + uuid.uuid4().hex[:8]
NEEDS = ["scikit-learn"]  # given, so that MLflow does not find out, which takes seconds


def refused(code, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except MlflowException as e:
        assert e.error_code == code, e
    else:
        raise AssertionError(f"{call.__name__} was not refused")


def experiments(client):
    eid = client.create_experiment(NAME, tags={"team": "a"})
    refused("RESOURCE_ALREADY_EXISTS", client.create_experiment, NAME)
    client.set_experiment_tag(eid, "stage", "début")
    client.rename_experiment(eid, NAME + "-renamed")
    experiment = client.get_experiment(eid)
    assert experiment.tags == {"team": "a", "stage": "début"}
    assert client.get_experiment_by_name(NAME) is None
    assert client.get_experiment_by_name(NAME + "-renamed").experiment_id == eid
    client.delete_experiment(eid)
    assert client.get_experiment(eid).lifecycle_stage == "deleted"
    found = client.search_experiments(ViewType.DELETED_ONLY, filter_string=f"name LIKE '{NAME}%'")
    assert [e.experiment_id for e in found] == [eid]
    client.restore_experiment(eid)
    found = client.search_experiments(filter_string="tags.stage = 'début'", order_by=["name"])
    assert eid in [e.experiment_id for e in found]
    return eid


def runs(client, eid):
    made = []
    for i in range(3):
        run = client.create_run(eid, run_name=f"run {i}", tags={"n": str(i)})
        rid = run.info.run_id
        now = int(time.time() * 1000)
        client.log_param(rid, "depth", i)
        client.log_metric(rid, "loss", 0.5 / (i + 1), timestamp=now, step=0)
        client.log_batch(
            rid,
            metrics=[Metric("loss", 0.1 * i + s / 100, now + s, s) for s in range(1, 50)],
            params=[Param("kind", "tree" if i else "linear")],
            tags=[RunTag("a", "1"), RunTag("b", "2")],
        )
        client.delete_tag(rid, "b")
        made.append(rid)
    history = client.get_metric_history(made[1], "loss")
    assert [m.step for m in history] == list(range(50)) and history[0].value == 0.25
    data = client.get_run(made[2]).data
    assert data.params == {"depth": "2", "kind": "tree"}
    assert abs(data.metrics["loss"] - 0.69) < 1e-9 and data.tags["a"] == "1" and "b" not in data.tags
    refused("INVALID_PARAMETER_VALUE", client.log_param, made[0], "depth", 7)
    client.log_param(made[0], "depth", 0)
    found = client.search_runs([eid], "params.kind = 'tree' AND metrics.loss > 0.6")
    assert [r.info.run_id for r in found] == [made[2]]
    page = client.search_runs([eid], order_by=["metrics.loss DESC"], max_results=2)
    rest = client.search_runs(
        [eid], order_by=["metrics.loss DESC"], max_results=2, page_token=page.token
    )
    assert [r.info.run_id for r in page + rest] == made[::-1]
    client.set_terminated(made[0], "FAILED")
    client.update_run(made[1], status="FINISHED", name="renamed")
    assert client.get_run(made[0]).info.status == "FAILED"
    assert client.get_run(made[1]).info.run_name == "renamed"
    client.delete_run(made[0])
    refused("INVALID_PARAMETER_VALUE", client.log_metric, made[0], "loss", 1.0)
    assert len(client.search_runs([eid])) == 2
    assert len(client.search_runs([eid], run_view_type=ViewType.ALL)) == 3
    client.restore_run(made[0])
    assert len(client.search_runs([eid])) == 3


def artifacts(client, eid):
    with mlflow.start_run(experiment_id=eid) as run, tempfile.TemporaryDirectory() as tmp:
        os.makedirs(tmp + "/in/deep")
        content = os.urandom(3 << 20)
        with open(tmp + "/in/deep/ü b.bin", "wb") as f:
            f.write(content)
        with open(tmp + "/in/empty", "wb"):
            pass
        mlflow.log_artifacts(tmp + "/in", "data")
        mlflow.log_text("hello", "notes/a.txt")
        mlflow.log_dict({"a": [1, 2]}, "notes/d.json")
        mlflow.log_table(pandas.DataFrame({"x": [1, 2]}), "table.json")
        mlflow.log_input(mlflow.data.from_pandas(pandas.DataFrame({"x": [1.0]}), name="d"), "train")
        rid = run.info.run_id
        assert sorted(f.path for f in client.list_artifacts(rid)) == ["data", "notes", "table.json"]
        assert {f.path: f.file_size for f in client.list_artifacts(rid, "data/deep")} == {
            "data/deep/ü b.bin": len(content)
        }
        where = client.download_artifacts(rid, "data", tmp)
        with open(where + "/deep/ü b.bin", "rb") as f:
            assert f.read() == content
        assert mlflow.artifacts.load_dict(run.info.artifact_uri + "/notes/d.json") == {"a": [1, 2]}
        assert client.load_table(eid, "table.json", [rid]).x.tolist() == [1, 2]
    assert [d.dataset.name for d in client.get_run(rid).inputs.dataset_inputs] == ["d"]


def model(client, eid):
    x = numpy.arange(20.0).reshape(10, 2)
    fitted = LinearRegression().fit(x, x.sum(axis=1))
    place = {"name": "model"} if int(mlflow.__version__.split(".")[0]) >= 3 else {"artifact_path": "model"}
    for _ in range(2):
        with mlflow.start_run(experiment_id=eid) as run:
            info = mlflow.sklearn.log_model(
                fitted, input_example=x[:2], registered_model_name=NAME, pip_requirements=NEEDS, **place
            )
    assert info.signature is not None
    for uri in (info.model_uri, f"models:/{NAME}/2", f"models:/{NAME}/latest"):
        assert numpy.allclose(mlflow.pyfunc.load_model(uri).predict(x), x.sum(axis=1)), uri
    return run.info.run_id, x


def registry(client, rid, x):
    refused("RESOURCE_ALREADY_EXISTS", client.create_registered_model, NAME)
    client.update_registered_model(NAME, description="what it is")
    client.set_registered_model_tag(NAME, "owner", "me")
    client.set_model_version_tag(NAME, "1", "quality", "good")
    client.update_model_version(NAME, "1", description="first")
    client.set_registered_model_alias(NAME, "champion", "1")
    client.set_registered_model_alias(NAME, "champion", "2")
    version = client.get_model_version_by_alias(NAME, "champion")
    assert (version.version, version.run_id, version.aliases) == ("2", rid, ["champion"]) or (
        version.version, version.run_id, version.aliases
    ) == (2, rid, ["champion"])
    loaded = mlflow.sklearn.load_model(f"models:/{NAME}@champion")
    assert numpy.allclose(loaded.predict(x), x.sum(axis=1))
    client.transition_model_version_stage(NAME, "1", "staging")
    client.transition_model_version_stage(NAME, "2", "Staging", archive_existing_versions=True)
    assert client.get_model_version(NAME, "1").current_stage == "Archived"
    latest = client.get_latest_versions(NAME)
    assert {(v.current_stage, int(v.version)) for v in latest} == {("Archived", 1), ("Staging", 2)}
    found = client.search_model_versions(f"name = '{NAME}'", order_by=["version_number ASC"])
    assert [int(v.version) for v in found] == [1, 2]
    assert len(client.search_model_versions(f"run_id = '{rid}'")) == 1
    found = client.search_registered_models(f"name ILIKE '{NAME.upper()}' AND tags.owner = 'me'")
    assert [m.name for m in found] == [NAME] and found[0].aliases == {"champion": "2"}
    assert client.get_model_version_download_uri(NAME, "2")
    copied = client.copy_model_version(f"models:/{NAME}/2", NAME + "-copy")
    assert int(copied.version) == 1 and copied.source == f"models:/{NAME}/2"
    assert numpy.allclose(mlflow.sklearn.load_model(f"models:/{NAME}-copy/1").predict(x), x.sum(axis=1))
    client.delete_registered_model(NAME + "-copy")
    client.rename_registered_model(NAME, NAME + "-new")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, NAME)
    assert client.get_registered_model(NAME + "-new").tags == {"owner": "me"}
    client.delete_model_version_tag(NAME + "-new", "1", "quality")
    client.delete_registered_model_tag(NAME + "-new", "owner")
    client.delete_registered_model_alias(NAME + "-new", "champion")
    client.delete_model_version(NAME + "-new", "1")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_model_version, NAME + "-new", "1")
    version = client.create_model_version(NAME + "-new", f"runs:/{rid}/model", rid)
    assert int(version.version) == 3
    client.delete_registered_model(NAME + "-new")
    refused("RESOURCE_DOES_NOT_EXIST", client.get_registered_model, NAME + "-new")


def main():
    mlflow.set_tracking_uri(URL)
    client = MlflowClient()
    eid = experiments(client)
    runs(client, eid)
    artifacts(client, eid)
    rid, x = model(client, eid)
    registry(client, rid, x)
    client.delete_experiment(eid)
    print("round complete with", mlflow.__version__)


main()
