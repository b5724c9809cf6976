# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
mlflow-export-import: from MLflow's own server into ours, and from ours into MLflow's; all that it carries is equal.
Experiments and runs go through ours as it is. The tool imports models only where the client sees the artifacts in a
directory (it looks for the version's source on its own disk), so both servers have a local artifact root for those.
"""

import os
import tempfile

import mlflow
import numpy
import pytest
import yaml
from conftest import program, unique
from mlflow import MlflowClient
from mlflow.entities import Metric
from sklearn.linear_model import LinearRegression

OURS_OF_IMPORT = "mlflow_exim"  # prefix of the tags that the tool adds


def fill(url):
    """An experiment, three runs, a model of two versions: their names."""
    client = MlflowClient(url)
    experiment, model = unique("exported"), unique("model")
    mlflow.set_tracking_uri(url)
    eid = client.create_experiment(experiment, tags={"team": "ä"})
    x = numpy.arange(10.0).reshape(5, 2)
    client.create_registered_model(model, tags={"owner": "me"}, description="what it is")
    for i in range(2):
        with mlflow.start_run(experiment_id=eid, run_name=f"run {i}", tags={"n": str(i)}) as run:
            mlflow.log_params({"depth": i, "kind": "tree"})
            points = [Metric("loss", 1 / (s + 1), 1700000000000 + s, s) for s in range(40)]
            client.log_batch(run.info.run_id, metrics=points)
            mlflow.log_text("hello " + "x" * 70000, "notes/a.txt")
            # The tool is older than logged models: the files are the run's.
            with tempfile.TemporaryDirectory() as tmp:
                fitted = LinearRegression().fit(x, x.sum(axis=1))
                mlflow.sklearn.save_model(fitted, tmp + "/model", pip_requirements=["scikit-learn"])
                mlflow.log_artifacts(tmp + "/model", "model")
        source = client.get_run(run.info.run_id).info.artifact_uri + "/model"
        client.create_model_version(model, source, run.info.run_id, description=f"number {i}", tags={"q": "1"})
    client.transition_model_version_stage(model, "1", "Production")
    return experiment, model


def kept(tags):
    return {k: v for k, v in tags.items() if not k.startswith(("mlflow.", OURS_OF_IMPORT))}


def content(name, data):
    """The tool writes the new run's id into MLmodel."""
    if name != "MLmodel":
        return data
    return {k: v for k, v in yaml.safe_load(data).items() if k != "run_id"}


def read_runs(client, experiment, tmp):
    found = {}
    for run in client.search_runs([client.get_experiment_by_name(experiment).experiment_id]):
        rid = run.info.run_id
        where = client.download_artifacts(rid, "", str(tmp / rid) if not (tmp / rid).mkdir(parents=True) else None)
        files = {}
        for at, _, names in os.walk(where):
            for name in names:
                path = os.path.join(at, name)
                with open(path, "rb") as f:
                    files[os.path.relpath(path, where)] = content(name, f.read())
        history = client.get_metric_history(rid, "loss")
        found[run.info.run_name] = {
            "params": run.data.params,
            "tags": kept(run.data.tags),
            "status": run.info.status,
            "history": [(m.step, m.timestamp, m.value) for m in history],
            "files": files,
        }
    return found


def read_model(client, model):
    entity = client.get_registered_model(model)
    versions = client.search_model_versions(f"name = '{model}'", order_by=["version_number ASC"])
    return {
        "tags": kept(entity.tags),
        "description": entity.description,
        "aliases": {alias: int(version) for alias, version in entity.aliases.items()},
        "versions": [
            (int(v.version), v.current_stage, v.description, kept(v.tags), v.status) for v in versions
        ],
        "runs": [client.get_run(v.run_id).info.run_name for v in versions],
    }


def carry(source, target, model, tmp):
    """What a user types to move a model with its experiment."""
    at = str(tmp / "export")
    program("export-models", "--models", model, "--output-dir", at, MLFLOW_TRACKING_URI=source)
    program("import-models", "--input-dir", at, "--verbose", "False", MLFLOW_TRACKING_URI=target)


@pytest.mark.parametrize("ours_first", [False, True], ids=["mlflow-to-capstan", "capstan-to-mlflow"])
def test_models(local_server, reference, tmp_path, ours_first):
    reference.ready()
    source, target = (local_server, reference) if ours_first else (reference, local_server)
    experiment, model = fill(source.url)
    first, second = MlflowClient(source.url), MlflowClient(target.url)
    carry(source.url, target.url, model, tmp_path)
    assert read_runs(second, experiment, tmp_path / "have") == read_runs(first, experiment, tmp_path / "want")
    assert read_model(second, model) == read_model(first, model)
    assert len(read_model(second, model)["versions"]) == 2


def test_experiments_and_runs(server, reference, tmp_path):
    """MLflow's -> ours -> MLflow's, and single runs."""
    reference.ready()
    experiment, _ = fill(reference.url)
    theirs, ours = MlflowClient(reference.url), MlflowClient(server.url)
    at, back = str(tmp_path / "one"), str(tmp_path / "back")
    program("export-experiment", "--experiment", experiment, "--output-dir", at, MLFLOW_TRACKING_URI=reference.url)
    imported = unique("imported")
    program("import-experiment", "--experiment-name", imported, "--input-dir", at, MLFLOW_TRACKING_URI=server.url)
    want = read_runs(theirs, experiment, tmp_path / "want")
    assert len(want) == 2 and all(len(r["history"]) == 40 and len(r["files"]) >= 5 for r in want.values())
    assert read_runs(ours, imported, tmp_path / "have") == want
    program("export-experiment", "--experiment", imported, "--output-dir", back, MLFLOW_TRACKING_URI=server.url)
    returned = unique("returned")
    program("import-experiment", "--experiment-name", returned, "--input-dir", back, MLFLOW_TRACKING_URI=reference.url)
    assert read_runs(theirs, returned, tmp_path / "returned") == want
    run = ours.search_runs([ours.get_experiment_by_name(imported).experiment_id])[0]
    at = str(tmp_path / "run")
    program("export-run", "--run-id", run.info.run_id, "--output-dir", at, MLFLOW_TRACKING_URI=server.url)
    single = unique("single")
    program("import-run", "--experiment-name", single, "--input-dir", at, MLFLOW_TRACKING_URI=server.url)
    name = run.info.run_name
    assert read_runs(ours, single, tmp_path / "single") == {name: want[name]}
