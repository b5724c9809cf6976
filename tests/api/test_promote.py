# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""capstan promote: between Capstan and MLflow's own server, whole, checked, and again after any kill."""

import math
import os
import re
import subprocess

import mlflow
import numpy
import pytest
import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from sklearn.linear_model import LinearRegression

import capstan_server
import other_server
from capstan_server import binary, environment, run
from conftest import unique

pytestmark = pytest.mark.ours

X = numpy.arange(20.0).reshape(10, 2)
Y = X @ [2.0, 3.0] + 1
POINTS = 2500


@pytest.fixture(scope="module")
def second():
    """Another Capstan."""
    daemon = capstan_server.Server()
    daemon.start()
    yield daemon
    daemon.stop()
    daemon.check()
    daemon.close()


@pytest.fixture(scope="module")
def original():
    server = other_server.Mlflow().start()
    yield server
    server.close()


@pytest.fixture
def servers(request, server):
    """By name, so that only those asked for are started."""

    def get(name):
        return server if name == "capstan" else request.getfixturevalue({"second": "second", "mlflow": "original"}[name])

    return get


def promote(source, version, target, *more, env=None, code=0):
    result = run("promote", source, version, "--to", target, *more, env=env, timeout=120)
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert not capstan_server.SANITIZER.search(result.stderr), result.stderr
    return result


def fill_run(client, run_id):
    """Some of everything that a run can hold."""
    client.log_batch(
        run_id,
        [Metric("loss", 1 / (i + 1), 1_700_000_000_000 + i // 3, i) for i in range(POINTS % 1000)],
        [Param("long", "ü" * 3000), Param("p", "1")] + [Param(f"q{i}", str(i)) for i in range(90)],
        [RunTag("a/b", "x\ny"), RunTag("empty", ""), RunTag("mlflow.note.content", "**ä**")],
    )
    for at in range(POINTS % 1000, POINTS, 1000):
        client.log_batch(run_id, [Metric("loss", 1 / (i + 1), 1_700_000_000_000 + i // 3, i) for i in range(at, at + 1000)])
    for i in range(120):
        client.set_tag(run_id, f"t{i}", str(i))
    client.log_metric(run_id, "odd", float("nan"), 1_700_000_000_000, 1)
    client.log_metric(run_id, "odd", float("-inf"), 1_700_000_000_000, 2)
    client.log_metric(run_id, "odd", -1e-300, 1_700_000_000_000, 3)
    client.log_text(run_id, "héllo", "dir a/ü %20#?.txt")
    client.log_text(run_id, "", "empty.txt")


def make_version(url, name, size=2_000_000, experiment=None):
    """Trains, logs and registers a model; its run id and logged model id."""
    mlflow.set_tracking_uri(url)
    client = MlflowClient(url)
    mlflow.set_experiment(experiment or unique("promote ü"))
    with mlflow.start_run(run_name="trained", description="d") as active:
        run_id = active.info.run_id
        fill_run(client, run_id)
        mlflow.log_input(mlflow.data.from_numpy(X, targets=Y, name="numbers"), "training")
        path = f"{capstan_server.temporary_dir()}/big.bin"
        with open(path, "wb") as f:
            f.write(os.urandom(size))
        client.log_artifact(run_id, path, "deep/er")
        info = mlflow.sklearn.log_model(
            LinearRegression().fit(X, Y), name="model", params={"alpha": "β"}, registered_model_name=name,
            pip_requirements=["scikit-learn"],
        )
        mlflow.log_metric("accuracy", 0.5, model_id=info.model_id)
    with mlflow.start_run(run_name="judged"):
        mlflow.log_metric("later", 0.7, model_id=info.model_id)
    client.update_registered_model(name, "of the model")
    client.update_model_version(name, "1", "of the version 'x'")
    client.set_model_version_tag(name, "1", "gate", "passed")
    client.set_registered_model_tag(name, "team", "blue")
    return run_id, info.model_id


def others(tags):
    """Without those that differ by nature: promote's own, and the server's list of versions."""
    return {k: v for k, v in tags.items() if not k.startswith("capstan.promote.") and k != "mlflow.modelVersions"}


def history(client, run_id, key):
    points = {(m.timestamp, m.step, "nan" if math.isnan(m.value) else m.value) for m in client.get_metric_history(run_id, key)}
    return sorted(points, key=str)


def files(client, run_id, path=None):
    found = {}
    for item in client.list_artifacts(run_id, path):
        found.update(files(client, run_id, item.path) if item.is_dir else {item.path: item.file_size or 0})
    return found


def same_run(a, one, b, other):
    """Everything of a run but its id and experiment."""
    x, y = a.get_run(one), b.get_run(other)
    assert x.data.params == y.data.params
    assert others(x.data.tags) == others(y.data.tags)
    assert x.data.metrics.keys() == y.data.metrics.keys()
    for key in x.data.metrics:
        assert history(a, one, key) == history(b, other, key), key
    for field in ("status", "start_time", "end_time", "run_name", "user_id"):
        assert getattr(x.info, field) == getattr(y.info, field), field
    datasets = [
        [(d.dataset.to_dictionary(), sorted((t.key, t.value) for t in d.tags)) for d in r.inputs.dataset_inputs]
        for r in (x, y)
    ]
    assert datasets[0] == datasets[1]


def same_files(a, one, b, other, tmp):
    listed = files(a, one)
    assert listed == files(b, other) and listed
    for i, client in enumerate((a, b)):
        client.download_artifacts(one if client is a else other, "", str(tmp / str(i)))
    for path in listed:
        assert (tmp / "0" / path).read_bytes() == (tmp / "1" / path).read_bytes(), path


def check_copy(source, target, name, to_name, ids, tmp):
    """The version and all that it stands on; its id there."""
    a, b = MlflowClient(source), MlflowClient(target)
    x, y = a.get_model_version(name, "1"), b.get_model_version(to_name, "1")
    assert x.description == y.description and others(x.tags) == others(y.tags) == {"gate": "passed"}
    model = b.get_registered_model(to_name)
    assert model.description == "of the model" and others(model.tags) == {"team": "blue"}
    same_run(a, ids[0], b, y.run_id)
    (tmp / "0").mkdir(parents=True)
    (tmp / "1").mkdir()
    same_files(a, ids[0], b, y.run_id, tmp)
    assert re.fullmatch(r"models:/m-[0-9a-f]+", y.source)
    one, other = a.get_logged_model(ids[1]), b.get_logged_model(y.source[8:])
    assert (one.name, one.model_type, one.params, one.status) == (other.name, other.model_type, other.params, other.status)
    assert others(one.tags) == others(other.tags) and other.source_run_id == y.run_id
    points = [sorted((m.key, m.value, m.step, m.timestamp) for m in m.metrics) for m in (one, other)]
    assert points[0] == points[1] and len(points[0]) >= 2
    judged = {m.run_id for m in other.metrics} - {y.run_id}
    assert len(judged) == 1 and b.get_run(judged.pop()).info.run_name == "judged"
    assert [o.model_id for o in b.get_run(y.run_id).outputs.model_outputs] == [other.model_id]
    for url, registered in ((source, name), (target, to_name)):
        mlflow.set_tracking_uri(url)
        loaded = mlflow.sklearn.load_model(f"models:/{registered}/1")
        assert numpy.allclose(loaded.predict(X), Y)
    return y


def counts(url):
    """What there is at all: to see that nothing doubled."""
    client = MlflowClient(url)
    ids = [e.experiment_id for e in client.search_experiments()]
    return {
        "experiments": len(ids),
        "runs": len(client.search_runs(ids)),
        "models": len(client.search_logged_models(ids)),
        "registered": len(client.search_registered_models()),
        "versions": len(client.search_model_versions()),
    }


@pytest.mark.parametrize("source, target", [("capstan", "second"), ("mlflow", "capstan"), ("second", "mlflow")])
def test_whole(servers, source, target, tmp_path):
    source, target = servers(source).url, servers(target).url
    name, to_name = unique("model"), unique("there ü")
    ids = make_version(source, name)
    MlflowClient(source).set_registered_model_alias(name, "best", "1")
    result = promote(source, f"models:/{name}@best", target, "--to-name", to_name, "--alias", "prod", "--alias", "b-2")
    assert f"models:/{name}/1 -> models:/{to_name}/1" in result.stdout
    assert re.search(r"sha256 +[0-9a-f]{64}\n", result.stdout) and f"{target}/#/models/" in result.stdout
    version = check_copy(source, target, name, to_name, ids, tmp_path)
    assert MlflowClient(target).get_registered_model(to_name).aliases == {"prod": "1", "b-2": "1"}

    before = counts(target)
    again = promote(source, f"models:/{name}/1", target, "--to-name", to_name, "--alias", "prod")
    assert "already" in again.stdout and counts(target) == before

    # Under another name it is another version, of the same run and model.
    third = promote(source, f"models:/{name}/1", target, "--to-name", to_name + "-2")
    assert "0 files, 0 B sent now" in third.stdout
    assert counts(target) == {**before, "registered": before["registered"] + 1, "versions": before["versions"] + 1}
    assert MlflowClient(target).get_model_version(to_name + "-2", "1").run_id == version.run_id


@pytest.mark.parametrize("after", [False, True])
def test_killed_anywhere(server, second, after, tmp_path):
    """kill -9 at requests that change the destination, before or after they have effect; then once more."""
    name, to_name = unique("model"), unique("killed")
    ids = make_version(server.url, name, size=300_000)
    before = counts(second.url)
    killer = other_server.Killer(second.url)
    kinds = set()

    def attempt(at):
        """Killed at its request number `at`; its exit code."""
        process = subprocess.Popen(
            [binary(), "promote", server.url, f"models:/{name}/1", "--to", killer.url, "--to-name", to_name],
            env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        killer.arm(at, after, lambda: (process.kill(), process.wait(30)))
        return process.wait(120)

    try:
        # What took effect is found by the next attempt, so that its first request is another one. Where nothing
        # took effect, each attempt goes further than the last.
        for at in range(1, 200):
            # A curve of several requests is sent from its start again: now and then one request further.
            code = attempt(1 + at // 30 if after else at)
            kinds.add(re.sub(r"/artifacts/.*|m-[0-9a-f]+", "", killer.seen[-1][1]))
            if code == 0:
                break
            assert code == -9
            if MlflowClient(second.url).search_model_versions(f"name = '{to_name}'"):
                assert killer.seen[-1][1].endswith("model-versions/create") and after
        assert code == 0 and len(kinds) >= 6, kinds
        promote(server.url, f"models:/{name}/1", second.url, "--to-name", to_name, "--alias", "prod")
    finally:
        killer.close()
    assert counts(second.url) == {
        "experiments": before["experiments"] + 1,
        "runs": before["runs"] + 2,
        "models": before["models"] + 1,
        "registered": before["registered"] + 1,
        "versions": before["versions"] + 1,
    }
    check_copy(server.url, second.url, name, to_name, ids, tmp_path)


def test_dry_run_changes_nothing(server, second):
    name = unique("model")
    make_version(server.url, name, size=1000)
    before = counts(second.url)
    result = promote(server.url, f"models:/{name}/1", second.url, "--dry-run", "--alias", "prod")
    assert "Would promote" in result.stdout and re.search(r"artifacts +\d+ files", result.stdout)
    assert counts(second.url) == before


def test_version_of_files_in_a_run(server, second, tmp_path):
    """As MLflow 2 registers: the source is a folder of the run's artifacts."""
    name, a, b = unique("classic"), MlflowClient(server.url), MlflowClient(second.url)
    made = a.create_run(a.create_experiment(unique("classic")))
    a.log_text(made.info.run_id, "flavors: {}", "some/model/MLmodel")
    a.set_terminated(made.info.run_id, "FAILED")
    a.create_registered_model(name)
    a.create_model_version(name, made.info.artifact_uri + "/some/model", made.info.run_id)
    promote(server.url, f"models:/{name}/1", second.url, "--experiment", unique("elsewhere"))
    version = b.get_model_version(name, "1")
    same_run(a, made.info.run_id, b, version.run_id)
    assert version.source == b.get_run(version.run_id).info.artifact_uri + "/some/model"
    assert b.list_artifacts(version.run_id, "some/model")[0].path == "some/model/MLmodel"


def test_local_artifact_root(server, second, tmp_path):
    """A server on this machine whose artifacts are plain files: read directly."""
    a, b, name = MlflowClient(server.url), MlflowClient(second.url), unique("local")
    made = a.create_run(a.create_experiment(unique("local"), f"file://{tmp_path}/root"))
    a.log_text(made.info.run_id, "x" * 100_000, "model/data")
    os.symlink("/etc/passwd", f"{tmp_path}/root/{made.info.run_id}/artifacts/model/link")
    a.create_registered_model(name)
    a.create_model_version(name, made.info.artifact_uri + "/model", made.info.run_id)
    result = promote(server.url, f"models:/{name}/1", second.url)
    assert "left out" in result.stdout
    version = b.get_model_version(name, "1")
    assert files(b, version.run_id) == {"model/data": 100_000}


def test_artifacts_out_of_reach(server, second):
    a, name = MlflowClient(server.url), unique("far")
    made = a.create_run(a.create_experiment(unique("far"), "s3://bucket/x"))
    a.create_registered_model(name)
    a.create_model_version(name, made.info.artifact_uri + "/model", made.info.run_id)
    result = promote(server.url, f"models:/{name}/1", second.url, code=1)
    assert "s3://bucket/x" in result.stderr and "proxy" in result.stderr
    assert not MlflowClient(second.url).search_model_versions(f"name = '{name}'")


def test_damaged_on_the_way(server, second):
    """What does not read back as it was written is told, and no version is made."""
    name = unique("model")
    make_version(server.url, name, size=1000)

    liar = other_server.Killer(second.url)
    handler = liar.server.RequestHandlerClass
    honest = handler.handle_any

    def lie(self):
        if self.command == "PUT" and "big.bin" in self.path:
            read = self.body
            self.body = lambda: bytes(len(read()))
        honest(self)

    handler.do_PUT = lie
    try:
        result = promote(server.url, f"models:/{name}/1", liar.url, "--to-name", unique("lied"), code=1)
        assert "big.bin" in result.stderr and "read back" in result.stderr
    finally:
        liar.close()


@pytest.mark.parametrize(
    "arguments, code, text",
    [
        ([], 2, "Arguments are missing"),
        (["{url}"], 2, "Arguments are missing"),
        (["{url}", "models:/x/1"], 2, "--to' is missing"),
        (["{url}", "models:/x/1", "y", "--to", "{url}"], 2, "unexpected"),
        (["{url}", "x/1", "--to", "{url}"], 1, "names no model version"),
        (["{url}", "models:/x/one", "--to", "{url}"], 1, "names no model version"),
        (["{url}", "models:/no such/1", "--to", "{url}"], 1, "no such"),
        (["{url}", "models:/no such@best", "--to", "{url}"], 1, "no such"),
        (["ftp://x", "models:/x/1", "--to", "{url}"], 1, "must be an http"),
        (["http://127.0.0.1:1", "models:/x/1", "--to", "{url}"], 1, "refused"),
        (["{url}/nowhere", "models:/x/1", "--to", "{url}"], 1, "404"),
    ],
)
def test_wrong_use(server, arguments, code, text):
    result = run("promote", *[a.format(url=server.url) for a in arguments])
    assert result.returncode == code and text in result.stderr, result.stderr
    assert not result.stdout


def test_help():
    text = run("promote", "--help").stdout
    for word in ("--to DST_URI", "--alias", "--dry-run", "CAPSTAN_PROMOTE_SRC_", "models:/NAME/VERSION"):
        assert word in text
    assert "promote" in run("--help").stdout


def test_credentials(server, second):
    """Where they come from, that they go to their own server only, and that nothing repeats them."""
    name = unique("model")
    a = MlflowClient(server.url)
    made = a.create_run("0")
    a.log_text(made.info.run_id, "x", "model/MLmodel")
    a.create_registered_model(name)
    a.create_model_version(name, made.info.artifact_uri + "/model", made.info.run_id)
    seen = {}
    proxies = {"src": other_server.Killer(server.url), "dst": other_server.Killer(second.url)}
    for side, proxy in proxies.items():
        handler = proxy.server.RequestHandlerClass

        def note(self, side=side, honest=handler.handle_any):
            seen.setdefault(side, set()).add(self.headers.get("Authorization"))
            honest(self)

        for method in ("GET", "POST", "PUT", "PATCH"):
            setattr(handler, f"do_{method}", note)
    try:
        src = proxies["src"].url.replace("//", "//me:s%40cret@")
        result = promote(
            src, f"models:/{name}/1", proxies["dst"].url,
            env={"MLFLOW_TRACKING_USERNAME": "both", "MLFLOW_TRACKING_PASSWORD": "pw-both", "CAPSTAN_PROMOTE_DST_TOKEN": "tok-dst"},
        )
        basic = requests.auth._basic_auth_str("me", "s@cret")
        assert seen == {"src": {basic}, "dst": {"Bearer tok-dst"}}
        for secret in ("s%40cret", "s@cret", "pw-both", "tok-dst"):
            assert secret not in result.stdout + result.stderr
        tags = MlflowClient(second.url).get_model_version(name, "1").tags
        assert "cret" not in str(tags) and tags["capstan.promote.from"] == proxies["src"].url
    finally:
        for proxy in proxies.values():
            proxy.close()
