# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""examples/train/train.py, as its user runs it."""

import json
import subprocess
import sys

import mlflow

import capstan_server

TRAIN = capstan_server.ROOT / "examples" / "train" / "train.py"


def test_train(client, server):
    result = subprocess.run(
        [sys.executable, str(TRAIN), "--tracking-uri", server.url, "--rows", "400"],
        capture_output=True,
        text=True,
        timeout=300 * capstan_server.SLOW,
        env=capstan_server.environment(GIT_PYTHON_REFRESH="quiet"),
    )
    assert result.returncode == 0, result.stderr[-4000:]
    told = json.loads(result.stdout.strip().splitlines()[-1])
    run = client.get_run(told["run_id"])
    assert run.info.status == "FINISHED"
    assert {"accuracy", "precision", "recall", "f1"} <= set(run.data.metrics)
    assert all(0 <= run.data.metrics[m] <= 1 for m in ("accuracy", "precision", "recall", "f1"))
    assert len(client.get_metric_history(told["run_id"], "learning_curve_accuracy")) >= 5
    assert run.data.params["n_estimators"]
    context = {t.key: t.value for d in run.inputs.dataset_inputs for t in d.tags}
    assert context["mlflow.data.context"] == "training"
    files = {f.path for f in client.list_artifacts(told["run_id"])}
    assert {"code", "data", "feature_importances.json"} <= files
    model = mlflow.pyfunc.load_model(told["model_uri"])
    example = model.input_example
    assert len(model.predict(example)) == len(example)
    assert model.metadata.signature.inputs
