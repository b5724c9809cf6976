# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""A full round of each client, and training as it is done every day."""

import json
import re
import sys
import time

import mlflow
import pytest
from conftest import HERE, program, unique
from mlflow import MlflowClient


def requests_of(server, since):
    """(method, path, status) of what the daemon was asked after that much of its log."""
    found = re.findall(r'method=(\w+) target="?(\S+?)"? status=(\d+)', server.log()[since:])
    return [(method, path.split("?")[0], int(status)) for method, path, status in found]


@pytest.mark.parametrize("release", ["3.17.2", "2.22.0"])
def test_python(server, release):
    python = sys.executable
    if release != mlflow.__version__:
        tool = HERE.parents[1] / "tools" / "venv.sh"
        python = program("sh", tool, release).stdout.strip()
    done = program(python, HERE / "round.py", server.url)
    assert f"round complete with {release}" in done.stdout


def test_java(server, others):
    classes = f"{others['java']}/classes:{others['java']}/lib/*"
    done = program("java", "-XX:TieredStopAtLevel=1", "-cp", classes, "Round", server.url, unique("java"))
    assert "round complete" in done.stdout


def test_npm(server, others):
    script = HERE / "npm" / "round.js"
    done = program("node", script, server.url, unique("npm"), NODE_PATH=others["npm"] + "/node_modules")
    assert done.stdout == "round complete\n"


def test_training(server):
    """Autologging, a grid search, models with examples: all is there, and nobody is bothered with what is not."""
    since = len(server.log())
    done = program(sys.executable, HERE / "train.py", server.url)
    made = json.loads(done.stdout.splitlines()[-1])
    client = MlflowClient(server.url)
    outer = client.get_run(made["outer"])
    assert outer.data.params["best_C"] in ("0.1", "1.0") and "best_cv_score" in outer.data.metrics
    children = client.search_runs(
        [made["experiment"]], f"tags.mlflow.parentRunId = '{made['outer']}'"
    )
    assert {c.data.params["C"] for c in children} == {"0.1", "1.0"}
    plain = client.get_run(made["plain"])
    assert plain.data.params["max_iter"] == "100"
    assert {"training_score", "training_roc_auc"} <= set(plain.data.metrics)
    assert [d.tags[0].value for d in plain.inputs.dataset_inputs] == ["train"]
    assert len(client.search_model_versions("name = 'auto'")) == 2
    assert client.get_logged_model(made["model_id"]).status == "READY"
    asked = requests_of(server, since)
    assert {(m, p, s) for m, p, s in asked if s >= 400} <= REFUSED
    warned = [line for line in done.stderr.splitlines() if re.search("WARN|ERROR|Traceback", line)]
    unexpected = [w for w in warned if not re.search(EXPECTED, w)]
    assert not unexpected, "\n".join(unexpected)
    assert sum("Failed to send trace" in w for w in warned) == 1


# train.py traces one call on purpose: that costs one warning and no more.
REFUSED = {
    ("POST", "/api/3.0/mlflow/traces", 501),
    ("POST", "/v1/traces", 501),
    ("GET", "/api/2.0/mlflow/experiments/get-by-name", 404),  # before it is made
    ("POST", "/api/2.0/mlflow/registered-models/create", 400),  # once it is there
}
EXPECTED = (
    "pickle or cloudpickle format|model type looks like|"
    "Failed to send trace to MLflow backend: NOT_IMPLEMENTED: Traces are not part"
)


def test_tracing_does_not_slow_or_break(server):
    """Hundreds of traces that nobody takes: the program ends well, and soon."""
    code = (
        "import sys, mlflow\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "f = mlflow.trace(lambda n: n + 1)\n"
        "assert sum(f(n) for n in range(300)) == 45150\n"
    )
    at = time.monotonic()
    program(sys.executable, "-c", code, server.url)
    assert time.monotonic() - at < 40


def test_optuna(server):
    import optuna
    from optuna_integration.mlflow import MLflowCallback

    name = unique("study")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    callback = MLflowCallback(tracking_uri=server.url, metric_name="loss", mlflow_kwargs={"nested": True})
    study = optuna.create_study(study_name=name, direction="minimize")

    @callback.track_in_mlflow()
    def objective(trial):
        x = trial.suggest_float("x", -10, 10)
        mlflow.log_metric("half", x / 2)
        return (x - 2) ** 2

    study.optimize(objective, n_trials=8, callbacks=[callback])
    client = MlflowClient(server.url)
    experiment = client.get_experiment_by_name(name)
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.loss ASC"])
    assert len(runs) == 8
    assert runs[0].data.metrics["loss"] == study.best_value
    assert float(runs[0].data.params["x"]) == study.best_params["x"]
    assert runs[0].data.metrics["half"] == study.best_params["x"] / 2
    assert all(r.data.tags["direction"] == "MINIMIZE" and r.info.status == "FINISHED" for r in runs)
