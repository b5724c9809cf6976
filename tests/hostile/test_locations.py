# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P18: where an experiment says that its artifacts are is text of a client: nothing outside the root is read through it,
and nobody is connected to (local source, fragments and params in URIs, SSRF)."""

import os
import re

import pytest

from conftest import unique
from wire import api

SECRET = b"the canary's secret"
AWAY = [
    "/etc", "//etc", "file:/etc", "file:///etc", "FILE:///etc", "file://localhost/etc", "file://evil.com/etc", "file:///etc#", "file:///etc?x", "file:etc",
    "//proc/self/root/etc", "file://///proc/self/root/etc", "///etc", "\\etc", "..", "../..", "../../etc", "./../../etc", "~", "C:\\", "c:/x",
    "mlflow-artifacts:/../..", "mlflow-artifacts:/%2e%2e/%2e%2e", "mlflow-artifacts:/%252e%252e/x", "mlflow-artifacts:/..%2f..", "mlflow-artifacts:/a/../../..",
    "mlflow-artifacts:/#/../..", "mlflow-artifacts:/;/../..", "mlflow-artifacts:/?/../..", "mlflow-artifacts://evil.com/x", "mlflow-artifacts:///../../etc",
    "mlflow-artifacts:/.capstan-tmp", "mlflow-artifacts:", "mlflow-artifacts:/\\..\\..", "mlflow-artifacts:etc",
    "http://169.254.169.254/latest/meta-data", "http://{listener}/x", "http://{listener}/api/2.0/mlflow-artifacts/artifacts/../../..", "http://{listener}#/../..",
    "http:///#/../../../etc", "http:///?/../../../etc", "https://{listener}/x", "http://user:pw@{listener}/x", "http://[::ffff:127.0.0.1]:{port}/x",
    "http://127.1:{port}/", "http://2130706433:{port}/", "http://0:{port}/", "http://localhost:{port}/api/2.0/mlflow-artifacts/artifacts/%2e%2e/x",
    "ftp://{listener}/x", "sftp://{listener}/x", "s3://{listener}/x", "s3://bucket/../..", "gs://bucket/x", "hdfs://{listener}/x", "viewfs://{listener}/x", "dbfs:/etc",
    "dbfs://{listener}/x", "wasbs://c@{listener}/x", "abfss://c@{listener}/x", "azureml://{listener}/x", "r2://{listener}/x", "b2://{listener}/x",
    "runs:/../..", "models:/x/1", "gopher://{listener}/x", "ldap://{listener}/x", "jar:http://{listener}!/x", "data:text/plain,x", "javascript:alert(1)", "x:y", ":", "#", "?",
    " file:///etc", "file:///etc ", "file:///etc\n", "\tfile:///etc", "http://{listener}/\r\nX: y", "file:///etc\0", "file:///%00/etc", "file:///e%74c", "file%3a///etc",
]


@pytest.fixture
def canary(server):
    path = os.path.join(server.data_dir, "canary.txt")
    with open(path, "wb") as f:
        f.write(SECRET)
    yield path
    with open(path, "rb") as f:
        assert f.read() == SECRET
    assert not os.path.exists(os.path.join(server.data_dir, "evil"))


def use(client, experiment):
    """All that a run and a model of this experiment can do with artifacts."""
    run = client.post("runs/create", {"experiment_id": experiment})
    assert run.status == 200, run
    run = run.json["run"]["info"]["run_id"]
    model = client.post("logged-models", {"experiment_id": experiment, "name": "m"})
    for path in ("passwd", "canary.txt", "", "evil", "../canary.txt", "latest/meta-data"):
        yield client.get("artifacts/list", {"run_id": run, "path": path})
        yield client.ask("GET", f"/get-artifact?run_id={run}&path={path}")
        yield client.ask("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={path}", b"evil")
        yield client.post("artifacts/presigned-download-url", {"run_id": run, "path": path})
        if model.status == 200:
            model_id = model.json["model"]["info"]["model_id"]
            yield client.ask("GET", f"/ajax-api/2.0/mlflow/logged-models/{model_id}/artifacts/files?artifact_file_path={path}")
            yield client.get(f"logged-models/{model_id}/artifacts/directories", {"artifact_directory_path": path})


def test_locations_of_experiments(server, client, listener, canary):
    host, port = listener
    taken = 0
    for text in AWAY + [os.path.join(server.data_dir, "postgres"), server.data_dir, "file://" + server.data_dir, server.data_dir + "/artifacts/..",
                        "file://" + server.data_dir + "/artifacts/../", server.data_dir + "/artifacts/../artifacts/../canary.txt"]:
        location = text.replace("{listener}", f"{host}:{port}").replace("{port}", str(port))
        # Its own words may come back, without what is double in them, and made absolute as MLflow does.
        client.known = f"{location}/ {re.sub('/+', '/', location)}/ {re.split('[?#]', location)[0]}/ {os.getcwd()}/etc/".encode()
        made = client.post("experiments/create", {"name": unique(), "artifact_location": location})
        assert made.status in (200, 400), (location, made)
        if location.partition("#")[2]:
            assert made.status == 400, (location, made)
        if made.status != 200:
            continue
        taken += 1
        for reply in use(client, made.json["experiment_id"]):
            # What it does not serve it says so; a file:// of elsewhere too.
            assert reply.status in (200, 400, 404, 501), (location, reply)
            assert SECRET not in reply.body and b"root:x" not in reply.body and b"PG_VERSION" not in reply.body, (location, reply)
            if reply.status == 200 and location.lower().startswith(("/etc", "file", "//", "http", "ftp", "dbfs")):
                assert b"files" not in reply.body, (location, reply)
    assert taken > 3, "nothing was accepted: the test proves little"
    assert not os.path.exists("/etc/evil") and not os.path.exists("/evil")


def test_tags_change_no_location(client, world, listener):
    """CVE-2026-2614: what a client tags switches no check off."""
    host, port = listener
    for key in ("mlflow.artifactLocation", "mlflow.artifact_uri", "artifact_uri", "mlflow.source.name", "mlflow.prompt.is_prompt", "mlflow.artifactUri"):
        for value in ("/etc", f"http://{host}:{port}/", "true"):
            client.good("runs/set-tag", {"run_id": world.run, "key": key, "value": value})
            client.good("experiments/set-experiment-tag", {"experiment_id": world.experiment, "key": key, "value": value})
    assert client.ask("GET", f"/get-artifact?run_id={world.run}&path=passwd").status == 404
    assert client.get("artifacts/list", {"run_id": world.run}).json["root_uri"].startswith("mlflow-artifacts:/")


def test_sources_of_datasets_are_text(client, world, listener):
    host, port = listener
    for source in (f"http://{host}:{port}/x", "file:///etc/passwd", '{"uri": "/etc/passwd"}', f'{{"url": "http://{host}:{port}/"}}'):
        body = {"run_id": world.run, "datasets": [{"dataset": {"name": "d", "digest": unique()[:30], "source_type": "http", "source": source}}]}
        assert client.post("runs/log-inputs", body).status == 200
    for model_json in ('{"artifact_path": "../../etc", "flavors": {}, "utc_time_created": "2020-01-01 00:00:00", "run_id": "%s"}',
                       '{"artifact_path": "file:///etc", "flavors": {"x": "http://%s"}}'):
        assert client.ask("POST", api("runs/log-model"), {"run_id": world.run, "model_json": model_json % world.run}).status in (200, 400)
    reply = client.post("logged-models", {"experiment_id": world.experiment, "name": "../../etc", "source_run_id": "../.."})
    assert reply.status in (200, 400, 404)


@pytest.mark.parametrize("base", ["http://evil.com", "http://evil.com/x", "javascript:alert(1)", "//evil.com", "http://evil.com/\r\nX: y", "x" * 5000])
def test_multipart_urls_of_somebody_else(client, base):
    """A client may say how it reaches us; it gets what it said or a refusal, in JSON, and nothing is connected to."""
    made = client.ask("POST", f"/api/2.0/mlflow-artifacts/mpu/create/{unique()}", {"path": "x", "num_parts": 1, "request_base_url": base})
    assert made.status in (200, 400), made
    for lines in ([], ["X-Forwarded-Host: evil.com", "X-Forwarded-Proto: https"]):
        made = client.ask("POST", f"/api/2.0/mlflow-artifacts/mpu/create/{unique()}", {"path": "x", "num_parts": 1}, *lines)
        assert made.status == 200 and b"evil.com" not in made.body, made


@pytest.mark.parametrize("number", [0, -1, 10_001, 2 ** 31, 2 ** 63 - 1, "1e9", 1_000_000])
def test_parts_without_end(client, number):
    made = client.ask("POST", f"/api/2.0/mlflow-artifacts/mpu/create/{unique()}", {"path": "x", "num_parts": number})
    assert made.status == 400, made.body[:300]
