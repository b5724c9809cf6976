# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""An older client, in its own environment: tools/venv.sh 2.22.0."""

import os
import pathlib
import subprocess

import pytest

import capstan_server

SCRIPT = """
import sys, tempfile, mlflow
from mlflow.tracking import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from sklearn.linear_model import LogisticRegression
import numpy

assert mlflow.__version__.startswith("2.22"), mlflow.__version__
url, name = sys.argv[1:]
mlflow.set_tracking_uri(url)
client = MlflowClient(url)
experiment = client.create_experiment(name)
mlflow.set_experiment(name)
x, y = numpy.array([[0.0], [1.0], [2.0], [3.0]]), numpy.array([0, 0, 1, 1])
with mlflow.start_run(run_name="old") as run:
    mlflow.log_params({"a": 1, "b": "two"})
    for step in range(5):
        mlflow.log_metric("loss", 1.0 / (step + 1), step=step)
    mlflow.set_tag("by", "2.22")
    mlflow.log_input(mlflow.data.from_numpy(x, targets=y, name="points"), context="training")
    info = mlflow.sklearn.log_model(LogisticRegression().fit(x, y), "model", input_example=x[:1])
    mlflow.log_text("hello", "notes/a.txt")
client.log_batch(run.info.run_id, [Metric("m", 2.0, 1, 1)], [Param("c", "3")], [RunTag("d", "4")])
got = client.get_run(run.info.run_id)
assert got.info.status == "FINISHED" and got.data.params == {"a": "1", "b": "two", "c": "3"}, got
assert got.data.metrics == {"loss": 0.2, "m": 2.0} and got.data.tags["d"] == "4", got
assert [m.step for m in client.get_metric_history(run.info.run_id, "loss")] == list(range(5))
assert got.inputs.dataset_inputs[0].dataset.name == "points"
found = client.search_runs([experiment], "metrics.loss < 0.5 and params.b = 'two'", order_by=["metrics.loss DESC"])
assert [r.info.run_id for r in found] == [run.info.run_id]
assert sorted(f.path for f in client.list_artifacts(run.info.run_id)) == ["model", "notes"]
with tempfile.TemporaryDirectory() as where:
    assert open(client.download_artifacts(run.info.run_id, "notes/a.txt", where)).read() == "hello"
model = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
assert list(model.predict(x)) == [0, 0, 1, 1]
client.delete_run(run.info.run_id)
client.restore_run(run.info.run_id)
client.set_experiment_tag(experiment, "k", "v")
client.rename_experiment(experiment, name + "-renamed")
assert client.get_experiment_by_name(name + "-renamed").tags["k"] == "v"
client.delete_experiment(experiment)
client.restore_experiment(experiment)
print("old client done")
"""


def interpreter():
    cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    named = os.environ.get("CAPSTAN_OLD_PYTHON", f"{cache}/capstan/venv-2.22.0/bin/python")
    return named if pathlib.Path(named).exists() else None


@pytest.mark.skipif(
    not interpreter(), reason="no environment with the old client: tools/venv.sh 2.22.0"
)
def test_main_flow(server):
    from conftest import unique

    result = subprocess.run(
        [interpreter(), "-W", "ignore", "-c", SCRIPT, server.url, unique("old")],
        capture_output=True,
        text=True,
        timeout=300 * capstan_server.SLOW,
        env=capstan_server.environment(GIT_PYTHON_REFRESH="quiet"),
    )
    assert result.returncode == 0, result.stderr[-4000:]
    assert "old client done" in result.stdout
