# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

import mlflow
import numpy
import pandas
import pytest
from mlflow.entities import (
    Dataset,
    DatasetInput,
    InputTag,
    LoggedModelInput,
    LoggedModelOutput,
    LoggedModelStatus,
    Metric,
)

from conftest import refused, unique


def dataset(name="wine", digest="d1", **more):
    return Dataset(name, digest, "local", '{"uri": "wine.csv"}', **more)


def test_log_inputs(client, run):
    tags = [InputTag("mlflow.data.context", "training"), InputTag("origin", "here")]
    client.log_inputs(
        run.info.run_id, [DatasetInput(dataset(schema='{"a": 1}', profile='{"rows": 5}'), tags)]
    )
    got = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert len(got) == 1
    assert {t.key: t.value for t in got[0].tags} == {
        "mlflow.data.context": "training",
        "origin": "here",
    }
    assert (got[0].dataset.name, got[0].dataset.digest, got[0].dataset.source_type) == (
        "wine",
        "d1",
        "local",
    )
    assert got[0].dataset.schema == '{"a": 1}' and got[0].dataset.profile == '{"rows": 5}'


def test_same_dataset_again(client, fresh_experiment):
    runs = [client.create_run(fresh_experiment).info.run_id for _ in range(2)]
    for run_id in runs:
        for _ in range(2):
            client.log_inputs(run_id, [DatasetInput(dataset(), [InputTag("k", "v")])])
    for run_id in runs:
        assert len(client.get_run(run_id).inputs.dataset_inputs) == 1


def test_many_datasets(client, run):
    client.log_inputs(run.info.run_id, [DatasetInput(dataset(f"n{i}", "x"), []) for i in range(20)])
    got = client.get_run(run.info.run_id).inputs.dataset_inputs
    assert sorted(d.dataset.name for d in got) == sorted(f"n{i}" for i in range(20))


@pytest.mark.parametrize("bad", [{"name": "x" * 501}, {"digest": "x" * 37}])
def test_bad_dataset(api, run, bad):
    good = {"name": "n", "digest": "d", "source_type": "t", "source": "s"}
    refused(
        api.post(
            "runs/log-inputs",
            {"run_id": run.info.run_id, "datasets": [{"dataset": {**good, **bad}}]},
        )
    )


def test_inputs_of_nobody(api):
    good = {"dataset": {"name": "n", "digest": "d", "source_type": "t", "source": "s"}}
    assert api.post("runs/log-inputs", {"run_id": "0" * 32, "datasets": [good]}).status_code == 404
    assert api.post("runs/log-inputs", {"datasets": [good]}).status_code == 400


def test_fluent_log_input(client, fresh_experiment):
    frame = pandas.DataFrame({"x": [1.0, 2.0], "y": [0, 1]})
    with mlflow.start_run(experiment_id=fresh_experiment) as active:
        mlflow.log_input(
            mlflow.data.from_pandas(frame, source="points.csv", name="points"),
            context="training",
            tags={"split": "all"},
        )
    got = client.get_run(active.info.run_id).inputs.dataset_inputs[0]
    assert got.dataset.name == "points" and got.dataset.digest
    assert {t.key: t.value for t in got.tags}["mlflow.data.context"] == "training"


def test_search_datasets(client, api, run):
    client.log_inputs(
        run.info.run_id,
        [DatasetInput(dataset("s1", "x"), [InputTag("mlflow.data.context", "eval")])],
    )
    body = {"experiment_ids": [run.info.experiment_id]}
    path = "/ajax-api/2.0/mlflow/experiments/search-datasets"
    summaries = api.post(path, body).json()["dataset_summaries"]
    assert summaries == [
        {"experiment_id": run.info.experiment_id, "name": "s1", "digest": "x", "context": "eval"}
    ]
    # the client's own spelling, without a slash
    assert (
        api.post("/api/2.0mlflow/experiments/search-datasets", body).json()["dataset_summaries"]
        == summaries
    )
    assert api.post(path, {"experiment_ids": [str(i) for i in range(21)]}).status_code == 400


def test_model_inputs_and_outputs(client, run):
    model = client.create_logged_model(run.info.experiment_id, source_run_id=run.info.run_id)
    client.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 3)])
    other = client.create_run(run.info.experiment_id)
    client.log_inputs(other.info.run_id, models=[LoggedModelInput(model.model_id)])
    assert [
        (o.model_id, o.step) for o in client.get_run(run.info.run_id).outputs.model_outputs
    ] == [(model.model_id, 3)]
    assert [i.model_id for i in client.get_run(other.info.run_id).inputs.model_inputs] == [
        model.model_id
    ]


def test_logged_model(client, api, fresh_experiment):
    model = client.create_logged_model(
        fresh_experiment, name="net", tags={"t": "1"}, params={"depth": "3"}, model_type="agent"
    )
    assert model.model_id.startswith("m-") and model.name == "net"
    assert model.status == LoggedModelStatus.PENDING and model.model_type == "agent"
    assert (
        model.artifact_location
        == f"mlflow-artifacts:/{fresh_experiment}/models/{model.model_id}/artifacts"
    )
    ready = client.finalize_logged_model(model.model_id, "READY")
    assert ready.status == LoggedModelStatus.READY
    assert ready.last_updated_timestamp >= ready.creation_timestamp == model.creation_timestamp
    client.set_logged_model_tags(model.model_id, {"t": "2", "u": "x"})
    client.delete_logged_model_tag(model.model_id, "u")
    client.log_model_params(model.model_id, {"width": "5"})
    got = client.get_logged_model(model.model_id)
    assert got.tags["t"] == "2" and "u" not in got.tags
    assert got.params == {"depth": "3", "width": "5"}
    client.delete_logged_model(model.model_id)
    assert api.get(f"logged-models/{model.model_id}").status_code == 404


def test_logged_model_default_name(client, fresh_experiment):
    assert client.create_logged_model(fresh_experiment).name


def test_logged_model_errors(api, fresh_experiment):
    nobody = "m-" + "0" * 32
    assert api.get(f"logged-models/{nobody}").status_code == 404
    assert api.send("DELETE", f"logged-models/{nobody}").status_code == 404
    assert (
        api.send("PATCH", f"logged-models/{nobody}", {"model_id": nobody, "status": 2}).status_code
        == 404
    )
    assert (
        api.send(
            "PATCH", f"logged-models/{nobody}/tags", {"tags": [{"key": "a", "value": "b"}]}
        ).status_code
        == 404
    )
    assert api.send("DELETE", f"logged-models/{nobody}/tags/a").status_code == 404
    assert api.post("logged-models", {"experiment_id": "987654321", "name": "x"}).status_code == 404
    for name in ("a/b", "a:b", "a.b", "a%b"):
        assert (
            api.post("logged-models", {"experiment_id": fresh_experiment, "name": name}).status_code
            == 400
        )


def test_metrics_of_models(client, run):
    model = client.create_logged_model(run.info.experiment_id, source_run_id=run.info.run_id)
    client.log_metric(
        run.info.run_id,
        "acc",
        0.5,
        step=1,
        timestamp=10,
        model_id=model.model_id,
        dataset_name="wine",
        dataset_digest="d1",
    )
    client.log_batch(run.info.run_id, [Metric("acc", 0.75, 20, 2, model_id=model.model_id)])
    got = client.get_logged_model(model.model_id).metrics
    assert {(m.key, m.value, m.step) for m in got} >= {("acc", 0.5, 1), ("acc", 0.75, 2)}
    assert {m.dataset_name for m in got if m.step == 1} == {"wine"}
    assert {m.run_id for m in got} == {run.info.run_id}


@pytest.fixture(scope="module")
def models(server):
    client = mlflow.MlflowClient(server.url)
    experiment = client.create_experiment(unique("models"))
    run = client.create_run(experiment)
    made = []
    for i in range(4):
        model = client.create_logged_model(
            experiment,
            name=f"net{i}",
            params={"depth": str(i)},
            tags={"even": str(i % 2 == 0)},
            source_run_id=run.info.run_id,
        )
        client.log_metric(run.info.run_id, "acc", i / 10, step=i, model_id=model.model_id)
        made.append(model.model_id)
    client.finalize_logged_model(made[0], "READY")
    return client, experiment, made


@pytest.mark.parametrize(
    "text, expected",
    [
        (None, "3210"),
        ("name = 'net1'", "1"),
        ("name LIKE 'net%'", "3210"),
        ("params.depth = '2'", "2"),
        ("tags.even = 'True'", "20"),
        ("metrics.acc >= 0.2", "32"),
        ("metrics.acc > 0.0 AND tags.even = 'False'", "31"),
        ("creation_timestamp > 0", "3210"),
    ],
)
def test_search_models(models, text, expected):
    client, experiment, made = models
    found = client.search_logged_models([experiment], filter_string=text)
    assert "".join(m.name[-1] for m in found) == expected


def test_search_models_order(models):
    client, experiment, made = models
    found = client.search_logged_models(
        [experiment], order_by=[{"field_name": "metrics.acc", "ascending": True}]
    )
    assert [m.model_id for m in found] == made
    found = client.search_logged_models(
        [experiment], order_by=[{"field_name": "name", "ascending": False}]
    )
    assert [m.model_id for m in found] == made[::-1]


def test_search_models_pages(models):
    client, experiment, made = models
    token, seen = None, []
    for _ in range(9):
        page = client.search_logged_models([experiment], max_results=3, page_token=token)
        seen += [m.model_id for m in page]
        token = page.token
        if not token:
            break
    assert seen == made[::-1]


@pytest.mark.ours
def test_search_models_errors(api, models):
    _, experiment, _ = models
    body = {"experiment_ids": [experiment]}
    for bad in (
        {"filter": "nonsense = 'x'"},
        {"filter": "name ="},
        {"page_token": "forged"},
        {"max_results": -1},
    ):
        assert api.post("logged-models/search", {**body, **bad}).status_code == 400, bad
    assert api.post("logged-models/search", {}).status_code == 400


def test_sklearn_round_trip(client, fresh_experiment):
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression

    x = numpy.array([[0.0], [1.0], [2.0], [3.0]])
    y = numpy.array([0, 0, 1, 1])
    model = LogisticRegression().fit(x, y)
    with mlflow.start_run(experiment_id=fresh_experiment) as active:
        info = mlflow.sklearn.log_model(
            model, name="classifier", signature=infer_signature(x, y), input_example=x[:2]
        )
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    assert list(loaded.predict(x)) == [0, 0, 1, 1]
    logged = client.get_logged_model(info.model_id)
    assert logged.status == LoggedModelStatus.READY and logged.source_run_id == active.info.run_id
    files = {f.path for f in client.list_logged_model_artifacts(info.model_id)}
    assert {"MLmodel", "model.pkl", "requirements.txt"} <= files or "MLmodel" in files
    outputs = client.get_run(active.info.run_id).outputs.model_outputs
    assert [o.model_id for o in outputs] == [info.model_id]


def test_old_log_model_route(client, api, run):
    text = (
        '{"run_id": "%s", "artifact_path": "model", "flavors": {}, "utc_time_created": "2026-01-01"}'
        % run.info.run_id
    )
    reply = api.post("runs/log-model", {"run_id": run.info.run_id, "model_json": text})
    assert reply.status_code == 200
    assert "artifact_path" in client.get_run(run.info.run_id).data.tags["mlflow.log-model.history"]
    for bad in ("not json", "{}"):
        assert (
            api.post("runs/log-model", {"run_id": run.info.run_id, "model_json": bad}).status_code
            == 400
        )


def test_artifacts_of_a_run(client, api, run, tmp_path):
    run_id = run.info.run_id
    client.log_text(run_id, "hello", "notes/a.txt")
    client.log_dict(run_id, {"a": 1}, "conf.json")
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * 4096)
    client.log_artifact(run_id, str(big), "data")
    assert [(f.path, f.is_dir) for f in client.list_artifacts(run_id)] == [
        ("conf.json", False),
        ("data", True),
        ("notes", True),
    ]
    assert [(f.path, f.file_size) for f in client.list_artifacts(run_id, "data")] == [
        ("data/big.bin", 1 << 20)
    ]
    (tmp_path / "back").mkdir()
    back = client.download_artifacts(run_id, "data/big.bin", str(tmp_path / "back"))
    assert open(back, "rb").read() == big.read_bytes()
    listed = api.get("artifacts/list", {"run_id": run_id, "path": "notes"}).json()
    assert (
        listed["files"][0]["path"] == "notes/a.txt" and listed["root_uri"] == run.info.artifact_uri
    )
    got = api.get("/get-artifact", {"run_uuid": run_id, "path": "notes/a.txt"})
    assert got.text == "hello" and "attachment" in got.headers["Content-Disposition"]
    assert api.get("/get-artifact", {"run_uuid": run_id, "path": "../../x"}).status_code == 400
