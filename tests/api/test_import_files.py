# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""capstan import from MLflow's file store and from a running server: what both servers then answer is the same."""

import contextlib
import json
import os
import shutil

import numpy
import pytest
import requests

os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric  # noqa: E402

import capstan_server  # noqa: E402
import other_server  # noqa: E402

pytestmark = pytest.mark.ours


def fill(uri):
    """Some of everything, by the client: two experiments, one deleted; runs; logged models; a registry."""
    mlflow.set_tracking_uri(uri)
    c = MlflowClient(uri, uri)
    one = c.create_experiment("kept ü", tags={"team/x": "ä\nb"})
    gone = c.create_experiment("gone")
    run = c.create_run(one, 1_700_000_000_000, {"a/b": "x\ny", "empty": ""}, "first").info.run_id
    for key, value in {"p": "1", "dir/q": "ü" * 300, "no": ""}.items():
        c.log_param(run, key, value)
    c.log_batch(run, [Metric("m/loss", 1 / (i + 1), 1_700_000_000_000 + i, i) for i in range(700)])
    for i, value in enumerate([float("nan"), 1e-300, -0.5]):
        c.log_metric(run, "odd", value, 1_700_000_000_000, i)
    data = mlflow.data.from_numpy(numpy.ones((2, 2)), name="numbers")
    inputs = [DatasetInput(data._to_mlflow_entity(), [InputTag("mlflow.data.context", "train")])]
    c.log_inputs(run, inputs)
    second = c.create_run(one, 1_700_000_000_001).info.run_id
    c.log_inputs(second, inputs)
    c.set_terminated(second, "FAILED", 1_700_000_000_009)
    c.delete_run(c.create_run(one).info.run_id)
    c.create_run(gone)
    c.delete_experiment(gone)
    model = c.create_logged_model(one, "lm", run, {"x": "y"}, {"alpha": "β"}, "agent")
    c.finalize_logged_model(model.model_id, "READY")
    c.log_outputs(run, [LoggedModelOutput(model.model_id, 3)])
    c.log_metric(second, "acc", 0.5, 1_700_000_000_005, 0, False, "numbers", data.digest, model.model_id)
    c.set_terminated(run, "FINISHED", 1_700_000_000_010)
    c.create_logged_model(one, "pending")
    c.create_registered_model("reg ü", {"k": "v"}, "several\n\nlines: 'x'")
    c.create_registered_model("bare")
    artifacts = c.get_run(run).info.artifact_uri
    c.create_model_version("reg ü", f"models:/{model.model_id}", run, {"gate": "ok"}, description="d", model_id=model.model_id)
    for i in range(3):
        c.create_model_version("reg ü", f"{artifacts}/{i}", run)
    c.delete_model_version("reg ü", "2")
    c.set_registered_model_alias("reg ü", "champion", "3")
    c.transition_model_version_stage("reg ü", "4", "Staging")
    return run


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "mlruns"
    fill(str(path))
    return path


def in_order(value):
    if isinstance(value, dict):
        return {k: in_order(v) for k, v in value.items()}
    if isinstance(value, list):
        return sorted((in_order(v) for v in value), key=lambda v: json.dumps(v, sort_keys=True))
    return value


def ask(url, method, path, **body):
    how = {"params": body} if method == "GET" else {"json": body}
    reply = requests.request(method, f"{url}/api/2.0/mlflow/{path}", timeout=120, **how)
    assert reply.status_code == 200, (path, body, reply.text[:500])
    return reply.json()


def plain(value):
    """The file store tells more than a database does: a run's metric its dataset, a version in a list its aliases."""
    if isinstance(value, dict) and {"key", "value", "timestamp", "step"} <= value.keys():
        for key in ("dataset_name", "dataset_digest", "run_id", "model_id"):
            value.pop(key, None)
    if isinstance(value, dict) and "current_stage" in value:
        value.pop("aliases", None)
    for member in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        plain(member)


def answers(url):
    """All that a client can read."""
    seen = {"experiments": ask(url, "POST", "experiments/search", max_results=100, view_type="ALL")["experiments"]}
    ids = [e["experiment_id"] for e in seen["experiments"]]
    seen["runs"] = ask(url, "POST", "runs/search", experiment_ids=ids, run_view_type="ALL")["runs"]
    for run in seen["runs"]:
        run_id = run["info"]["run_id"]
        seen[run_id] = ask(url, "GET", "runs/get", run_id=run_id)
        for metric in run["data"].get("metrics", []):
            seen[run_id, metric["key"]] = ask(url, "GET", "metrics/get-history", run_id=run_id, metric_key=metric["key"])
    plain(seen)  # before the logged models: there the dataset counts
    seen["models"] = ask(url, "POST", "logged-models/search", experiment_ids=ids)["models"]
    seen["registered"] = ask(url, "GET", "registered-models/search", max_results=100)["registered_models"]
    seen["versions"] = ask(url, "GET", "model-versions/search", max_results=100)["model_versions"]
    plain([seen["registered"], seen["versions"]])
    for version in seen["versions"]:
        key = {"name": version["name"], "version": version["version"]}
        seen[version["name"], version["version"]] = [
            ask(url, "GET", "model-versions/get", **key), ask(url, "GET", "model-versions/get-download-uri", **key)
        ]
    return in_order(seen)


def bare(value):
    """Without what says nothing: fields that are empty, or of the store's kind."""
    if isinstance(value, dict):
        kept = {k: bare(v) for k, v in value.items() if k not in ("workspace", "user_id", "run_uuid", "creator_id")}
        return {k: v for k, v in kept.items() if v not in ("", [], {}, None)}
    return [bare(v) for v in value] if isinstance(value, list) else value


@contextlib.contextmanager
def running(daemon):
    try:
        yield daemon.start()
    finally:
        daemon.close()


def take(source, tmp_path, *flags, env=None):
    """Imports into a new data directory: the directory, the process, the report."""
    data, report = capstan_server.temporary_dir(), tmp_path / "report.json"
    done = capstan_server.run(
        "import", "--from", source, "--data-dir", data, "--report", str(report), *flags, env=env, timeout=120
    )
    assert not capstan_server.SANITIZER.search(done.stderr), done.stderr
    return data, done, json.loads(report.read_text()) if report.exists() else None


def differences(one, other, path=""):
    """Where two answers differ, shortly."""
    if isinstance(one, dict) and isinstance(other, dict):
        keys = sorted(one.keys() | other.keys())
        return [d for k in keys for d in differences(one.get(k), other.get(k), f"{path}.{k}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [d for i, (x, y) in enumerate(zip(one, other)) for d in differences(x, y, f"{path}[{i}]")]
    return [] if one == other else [f"{path}: {one!r} became {other!r}"]


def same(theirs, ours):
    assert theirs.keys() == ours.keys()
    found = [d for key in theirs for d in differences(bare(theirs[key]), bare(ours[key]), str(key))]
    assert not found, "\n".join(found[:20])


def test_mlruns(store, tmp_path):
    data, done, report = take(str(store), tmp_path)
    try:
        assert done.returncode == 0 and report["verified"] and not report["issues"], done.stdout + done.stderr
        with running(other_server.Mlflow(str(store))) as theirs:
            expected = answers(theirs.url)
        with running(capstan_server.Server(data_dir=data)) as ours:
            same(expected, answers(ours.url))
            assert {e["lifecycle_stage"] for e in expected["experiments"]} == {"active", "deleted"}
            assert len(expected["versions"]) == 3 and len(expected["models"]) == 2
    finally:
        shutil.rmtree(data, ignore_errors=True)


def test_server(tmp_path):
    with running(other_server.Mlflow()) as theirs:
        fill(theirs.url)
        expected = answers(theirs.url)
        data, done, report = take(theirs.url, tmp_path)
    try:
        assert done.returncode == 0 and report["verified"] and not report["issues"], done.stdout + done.stderr
        with running(capstan_server.Server(data_dir=data)) as ours:
            same(expected, answers(ours.url))
    finally:
        shutil.rmtree(data, ignore_errors=True)


def test_broken_files_are_told_not_fatal(store, tmp_path):
    broken = tmp_path / "mlruns"
    shutil.copytree(store, broken)
    kept = next(p.parent for p in broken.glob("*/meta.yaml") if "kept" in p.read_text())
    runs = sorted(p.parent for p in kept.glob("*/meta.yaml") if p.parent.name not in ("tags", "models", "datasets"))
    first = next(r for r in runs if (r / "metrics" / "odd").exists())
    with open(first / "metrics" / "odd", "a") as f:
        f.write("not a line\n1 2 3x\n\n1700000000009 7.0 9")
    (first / "metrics" / "binary").write_bytes(b"\x00\xff\n" * 3)
    (first / "params" / "bad").write_bytes(b"\xff\xfe")
    (first / "tags" / "link").symlink_to("/etc/passwd")
    bad = [kept / ("0" * 31 + "1"), kept / ("0" * 31 + "2"), kept / ("0" * 31 + "3")]
    for folder in bad:
        folder.mkdir()
    (bad[0] / "meta.yaml").write_text("a: [1, 2")
    (bad[1] / "meta.yaml").write_text(f"run_id: {'1' * 32}\nexperiment_id: '{kept.name}'\n")
    next(broken.glob("models/reg*/version-4/meta.yaml")).write_text("- a\n")
    next(broken.glob("models/reg*/aliases/champion")).write_text("three")
    (broken / "777").mkdir()
    data, done, report = take(str(broken), tmp_path)
    try:
        assert done.returncode == 0, done.stdout + done.stderr
        left = {t["table"]: t for t in report["tables"]}
        told = {(i["table"], i["kind"]) for i in report["issues"]}
        assert {"experiments", "runs", "metrics", "model_versions", "registered_model_aliases"} <= {t for t, _ in told}, told
        with running(capstan_server.Server(data_dir=data)) as ours:
            client = MlflowClient(ours.url)
            odd = client.get_metric_history(first.name, "odd")
            assert [m.value for m in odd if m.step == 9] == [7.0] and len(odd) == 4
            assert "link" not in client.get_run(first.name).data.tags
            for folder in bad:
                with pytest.raises(mlflow.MlflowException):
                    client.get_run(folder.name)
            versions = client.search_model_versions("name = 'reg ü'")
            assert sorted(v.version for v in versions) == ["1", "3"] or len(versions) == 2
            assert left["runs"]["read"] == len(list(broken.glob("*/*/meta.yaml"))) or left["runs"]["read"] >= 6
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.parametrize("what", ["empty directory", "no directory", "dead server", "no tracking server"])
def test_nothing_there(what, tmp_path):
    (tmp_path / "empty").mkdir()
    with other_http() as url:
        source = {
            "empty directory": str(tmp_path / "empty"),
            "no directory": f"file://{tmp_path}/none",
            "dead server": "http://127.0.0.1:1",
            "no tracking server": url,
        }[what]
        data, done, report = take(source, tmp_path)
    shutil.rmtree(data, ignore_errors=True)
    assert done.returncode == 1 and done.stderr.count("capstan import:") == 1
    text = {"empty directory": "no experiments", "no directory": "no directory", "dead server": "refused",
            "no tracking server": "answered"}[what]
    assert text in done.stderr, done.stderr


@contextlib.contextmanager
def other_http():
    """A web server that is no MLflow."""
    import http.server
    import threading

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            self.send_error(404)

        do_GET = do_POST

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
