# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The real MLflow client with each store behind the proxy, presigned and multipart endpoints, locations of experiments in stores, and gc."""

import os
import pathlib
import re
import uuid
from urllib.parse import parse_qs, urlsplit

import boto3
import mlflow
import pytest
import requests
from conftest import capstan_server
from mlflow import MlflowClient
from place import ARTIFACTS, PROXY, pattern, refused

MIB = 1 << 20
TREE = {"a.txt": b"1", "empty": b"", "deep/er/b.bin": pattern(300_000), "sp ace/\u00fc+%.txt": b"2", "many/1": b"x", "many/2": b"y"}


@pytest.fixture(autouse=True)
def own_uris():
    yield
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    mlflow.tracking.fluent._active_experiment_id = None


def unique():
    return f"e-{uuid.uuid4().hex[:12]}"


class Work:
    """A client with an experiment and a run."""

    def __init__(self, place, location=None):
        mlflow.set_tracking_uri(place.url)
        self.place = place
        self.client = MlflowClient(place.url)
        self.experiment = self.client.create_experiment(unique(), location)
        self.run = self.client.create_run(self.experiment)
        self.id = self.run.info.run_id
        self.uri = self.run.info.artifact_uri
        # Below the root of the proxy's artifacts.
        self.path = urlsplit(self.uri).path.lstrip("/")

    def list(self, path=None):
        return {f.path: f.file_size for f in self.client.list_artifacts(self.id, path)}


def write(root, tree):
    for name, data in tree.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return str(root)


def read(root):
    root = pathlib.Path(root)
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_trees(place, tmp_path):
    w = Work(place)
    w.client.log_artifacts(w.id, write(tmp_path / "up", TREE), "tree")
    w.client.log_text(w.id, "text", "t.txt")
    assert place.stored_keys(w.path + "/tree") == {k: len(v) for k, v in TREE.items()}
    assert w.list() == {"t.txt": 4, "tree": None}
    assert w.list("tree/many") == {"tree/many/1": 1, "tree/many/2": 1}
    got = w.client.download_artifacts(w.id, "tree", str(tmp_path))
    assert read(got) == TREE
    assert mlflow.artifacts.load_text(w.uri + "/t.txt") == "text"


def test_models(place):
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    w = Work(place)
    mlflow.set_experiment(experiment_id=w.experiment)
    model = LinearRegression().fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
    info = mlflow.sklearn.log_model(model, name="m", pip_requirements=["scikit-learn"], registered_model_name=unique())
    assert mlflow.sklearn.load_model(info.model_uri).predict([[10.0]])[0] == pytest.approx(21.0)
    uri = f"models:/{mlflow.MlflowClient().get_logged_model(info.model_id).model_id}"
    assert mlflow.pyfunc.load_model(uri).predict([[0.0]])[0] == pytest.approx(1.0)
    files = place.api("GET", f"logged-models/{info.model_id}/artifacts/directories").json()["files"]
    assert "MLmodel" in [f["path"] for f in files]
    one = requests.get(f"{place.url}/ajax-api/2.0/mlflow/logged-models/{info.model_id}/artifacts/files", params={"artifact_file_path": "MLmodel"}, timeout=60)
    assert one.status_code == 200 and b"sklearn" in one.content


def test_delete_of_clients(place):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    w = Work(place)
    w.client.log_text(w.id, "1", "d/a.txt")
    w.client.log_text(w.id, "2", "keep.txt")
    get_artifact_repository(w.uri, tracking_uri=place.url).delete_artifacts("d")
    assert w.list() == {"keep.txt": 1}


# ---- multipart and presigned, through the proxy's endpoints ----


@pytest.fixture
def multipart(monkeypatch):
    for name, value in {"MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "true", "MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE": "1000", "MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE": str(5 * MIB),
                        "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "true", "MLFLOW_MULTIPART_DOWNLOAD_MINIMUM_FILE_SIZE": "1000", "MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE": str(3 * MIB)}.items():
        monkeypatch.setenv(name, value)


def counter(place, name):
    found = re.search(rf"^{name}(?:{{[^}}]*}})? (\d+)", requests.get(place.url + "/metrics", timeout=60).text, re.M)
    return int(found.group(1))


def test_multipart(far_place, tmp_path, multipart):
    """Parts go to the store itself, up and down."""
    w = Work(far_place)
    body = pattern(12 * MIB + 5, 9)
    file = tmp_path / "multi \u00fc+.bin"
    file.write_bytes(body)
    before = counter(far_place, "capstan_transfer_received_bytes_total"), counter(far_place, "capstan_transfer_sent_bytes_total")
    w.client.log_artifact(w.id, str(file), "m")
    assert far_place.stored(f"{w.path}/m/{file.name}") == body
    (tmp_path / "down").mkdir()
    assert pathlib.Path(w.client.download_artifacts(w.id, f"m/{file.name}", str(tmp_path / "down"))).read_bytes() == body
    assert before == (counter(far_place, "capstan_transfer_received_bytes_total"), counter(far_place, "capstan_transfer_sent_bytes_total")), "bytes went through the daemon"
    assert not far_place.leftovers(w.path)


def test_multipart_falls_back_on_disk(place, tmp_path, multipart):
    if place.kind != "disk":
        pytest.skip("signed")
    w = Work(place)
    (tmp_path / "f").write_bytes(pattern(2 * MIB))
    w.client.log_artifact(w.id, str(tmp_path / "f"))
    (tmp_path / "down").mkdir()
    assert pathlib.Path(w.client.download_artifacts(w.id, "f", str(tmp_path / "down"))).read_bytes() == pattern(2 * MIB)


def mpu(place, what, key, **body):
    at, _, name = key.rpartition("/")
    return place.api("POST", f"{PROXY}/mpu/{what}/{at}", {"path": name, **body})


def test_multipart_edges(far_place):
    key = f"{unique()}/d/x y.bin"
    made = mpu(far_place, "create", key, num_parts=2).json()
    assert [c["part_number"] for c in made["credentials"]] == [1, 2]
    bodies = [pattern(5 * MIB, 1), b"the end"]
    tags = []
    for credential, body in zip(made["credentials"], bodies):
        reply = requests.put(credential["url"], data=body, headers=credential.get("headers"), timeout=60)
        assert reply.status_code == 200, reply.text
        tags.append(reply.headers["ETag"])
    assert far_place.stored(key) is None and far_place.get(key).status == 404
    url = made["credentials"][0]["url"]
    assert requests.put(url.replace("partNumber=1", "partNumber=3"), data=b"x", timeout=60).status_code == 403
    assert requests.get(url, timeout=60).status_code == 403
    parts = [{"part_number": i + 1, "etag": t} for i, t in enumerate(tags)]
    assert mpu(far_place, "complete", key, upload_id="none", parts=parts).status_code == 404
    assert mpu(far_place, "complete", key, upload_id=made["upload_id"], parts=[{**parts[0], "etag": '"0123456789abcdef0123456789abcdef"'}, parts[1]]).status_code == 400
    done = mpu(far_place, "complete", key, upload_id=made["upload_id"], parts=parts)
    assert (done.status_code, done.json()) == (200, {})
    assert far_place.stored(key) == b"".join(bodies)
    key += "2"
    made = mpu(far_place, "create", key, num_parts=1).json()
    requests.put(made["credentials"][0]["url"], data=b"x", timeout=60)
    assert mpu(far_place, "abort", key, upload_id=made["upload_id"]).json() == {}
    # To MinIO an upload that is gone is aborted.
    assert mpu(far_place, "abort", key, upload_id=made["upload_id"]).status_code in ([200, 404] if far_place.kind == "minio" else [404])
    assert mpu(far_place, "create", key, num_parts=10_001).status_code == 400
    assert mpu(far_place, "create", "../" + key, num_parts=1).status_code in (400, 404)
    far_place.nothing_left(key)


def test_presigned_downloads_of_the_proxy(far_place):
    w = Work(far_place)
    body = pattern(100_000, 4)
    far_place.put(f"{w.path}/p q+\u00fc.bin", body)
    reply = far_place.ask("GET", f"{PROXY}/presigned/{w.path}/p%20q%2B%C3%BC.bin")
    assert reply.status == 200, reply
    made = reply.json
    assert made["file_size"] == len(body) and isinstance(made["headers"], dict)
    got = requests.get(made["url"], headers=made["headers"], timeout=60)
    assert got.status_code == 200 and got.content == body
    assert requests.get(made["url"], headers={**made["headers"], "Range": "bytes=5-9"}, timeout=60).content == body[5:10]
    assert requests.get(made["url"].replace("p%20q", "p%20r"), timeout=60).status_code == 403
    assert requests.put(made["url"], data=b"x", timeout=60).status_code == 403
    assert far_place.ask("GET", f"{PROXY}/presigned/{w.path}/none").status == 404
    query = parse_qs(urlsplit(made["url"]).query)
    assert (query.get("X-Amz-Expires") or query["X-Goog-Expires"]) == ["300"]


def test_server_info(place):
    info = requests.get(place.url + "/api/3.0/mlflow/server-info", timeout=60)
    if info.status_code != 200:
        info = requests.get(place.url + "/server-info", timeout=60)
    far = place.kind != "disk"
    said = info.json()
    assert said.get("multipart_uploads_enabled") in (far, str(far)) or info.status_code == 404, said
    assert said.get("multipart_downloads_enabled") in (far, str(far)), said


def test_presigned_only(new_place, request, tmp_path, multipart, monkeypatch):
    for kind in ("versitygw", "gcs"):
        place = new_place(kind, "--artifacts-presigned-only")
        place.store_put("p/o", b"object")
        reply = place.get("p/o")
        assert reply.status in (302, 303, 307) and b"object" not in reply.body, reply
        assert requests.get(reply.headers["location"], timeout=60).content == b"object"
        assert requests.get(f"{place.url}{ARTIFACTS}p/o", timeout=60).content == b"object"
        assert place.get("p/none").status == 404
        refused(place.put("p/new", b"x"), "FEATURE_DISABLED", "PERMISSION_DENIED", "INVALID_PARAMETER_VALUE")
        assert place.stored("p/new") is None
        w = Work(place)
        (tmp_path / f"{kind}.bin").write_bytes(pattern(6 * MIB))
        w.client.log_artifact(w.id, str(tmp_path / f"{kind}.bin"))
        (tmp_path / kind).mkdir()
        got = w.client.download_artifacts(w.id, f"{kind}.bin", str(tmp_path / kind))
        assert pathlib.Path(got).read_bytes() == pattern(6 * MIB)
        monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "false")
        with pytest.raises((mlflow.MlflowException, requests.HTTPError), match="presigned"):
            w.client.log_text(w.id, "x", "small.txt")
        monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")


# ---- locations of experiments in stores ----


@pytest.fixture
def direct(far_place):
    """A run whose artifacts are in another bucket."""
    bucket = far_place.store.bucket()
    far_place.allowed.append((bucket, "direct root"))
    w = Work(far_place, far_place.store.uri(bucket, "direct root"))
    w.bucket = bucket
    w.key = urlsplit(w.uri).path.lstrip("/")
    for name, data in TREE.items():
        far_place.store.put(bucket, f"{w.key}/{name}", data)
    yield w
    far_place.check()
    far_place.proxy.clear()
    far_place.allowed.pop()


def test_direct_locations(direct):
    place = direct.place
    files = place.api("GET", "artifacts/list", run_id=direct.id).json()
    assert files["root_uri"] == direct.uri
    assert [(f["path"], f["is_dir"]) for f in files["files"]] == [("a.txt", False), ("deep", True), ("empty", False), ("many", True), ("sp ace", True)]
    files = place.api("GET", "artifacts/list", run_id=direct.id, path="many").json()["files"]
    assert files == [{"path": "many/1", "is_dir": False, "file_size": 1}, {"path": "many/2", "is_dir": False, "file_size": 1}]
    for name, data in TREE.items():
        reply = place.api("GET", "/get-artifact", run_id=direct.id, path=name)
        assert (reply.status_code, reply.content) == (200, data), name
    part = requests.get(place.url + "/get-artifact", params={"run_id": direct.id, "path": "deep/er/b.bin"}, headers={"Range": "bytes=1000-1999"}, timeout=60)
    assert part.status_code == 206 and part.content == TREE["deep/er/b.bin"][1000:2000]
    assert place.api("GET", "/get-artifact", run_id=direct.id, path="none").status_code == 404
    assert place.api("GET", "/get-artifact", run_id=direct.id, path="../x").status_code == 400
    up = requests.post(f"{place.url}/ajax-api/2.0/mlflow/upload-artifact", params={"run_uuid": direct.id, "path": "up/x.txt"}, data=b"ui", headers={"Content-Type": "text/plain"}, timeout=60)
    assert up.status_code == 200 and place.store.get(direct.bucket, f"{direct.key}/up/x.txt") == b"ui"


def test_direct_versions(direct):
    name = unique()
    direct.client.create_registered_model(name)
    direct.client.create_model_version(name, direct.uri + "/deep", direct.id)
    reply = direct.place.api("GET", "/model-versions/get-artifact", name=name, version="1", path="er/b.bin")
    assert reply.content == TREE["deep/er/b.bin"]


def test_direct_client(direct, tmp_path, monkeypatch):
    """The client writes to the store, the server reads it."""
    if direct.place.kind == "gcs":
        pytest.skip("google-cloud-storage drops its credentials before an emulator")
    for name, value in direct.place.store.environment().items():
        monkeypatch.setenv(name, value)
    from mlflow.store.artifact import s3_artifact_repo

    # Both remember the credentials of the first test.
    s3_artifact_repo._cached_get_s3_client.cache_clear()
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    direct.client.log_artifacts(direct.id, write(tmp_path / "up", TREE), "again")
    got = {f["path"] for f in direct.place.api("GET", "artifacts/list", run_id=direct.id, path="again").json()["files"]}
    assert got == {"again/a.txt", "again/deep", "again/empty", "again/many", "again/sp ace"}
    assert read(direct.client.download_artifacts(direct.id, "again", str(tmp_path))) == TREE


def test_presigned_of_runs(direct):
    place = direct.place
    made = place.api("POST", "artifacts/presigned-download-url", {"run_id": direct.id, "path": "sp ace/\u00fc+%.txt", "expiration": 60})
    assert made.status_code == 200, made.text
    made = made.json()
    assert requests.get(made["presigned_url"], headers=made.get("headers"), timeout=60).content == b"2" and int(made["file_size"]) == 1
    up = place.api("POST", "artifacts/presigned-upload-url", {"run_id": direct.id, "path": "new/p \u00fc.bin"}).json()
    put = requests.put(up["presigned_url"], data=b"direct", headers=up.get("headers"), timeout=60)
    assert put.status_code == 200, put.text
    assert place.store.get(direct.bucket, f"{direct.key}/new/p \u00fc.bin") == b"direct"
    assert requests.put(up["presigned_url"].replace("new", "old"), data=b"x", headers=up.get("headers"), timeout=60).status_code == 403
    for wrong in (0, 604_801):
        assert place.api("POST", "artifacts/presigned-download-url", {"run_id": direct.id, "path": "a.txt", "expiration": wrong}).status_code == 400
    assert place.api("POST", "artifacts/presigned-download-url", {"run_id": direct.id, "path": "../a.txt"}).status_code == 400
    proxied = Work(place)
    assert place.api("POST", "artifacts/presigned-download-url", {"run_id": proxied.id, "path": "a"}).status_code == 400


def test_roots_that_are_not_served(new_place, versitygw):
    """--artifact-roots: locations of clients elsewhere stay texts."""
    served, other = versitygw.bucket(), versitygw.bucket()
    place = new_place("versitygw", "--artifact-roots", f"s3://{served}/in", bucket=versitygw.bucket())
    place.allowed.append((served, "in"))
    for location, status in ((f"s3://{served}/in/x", 200), (f"s3://{served}/inside", 501), (f"s3://{served}", 501), (f"s3://{other}/in", 501), (f"s3://{served}/in/../out", 400)):
        w = Work(place, location)
        assert place.api("GET", "artifacts/list", run_id=w.id).status_code == status, location


# ---- gc ----


@pytest.mark.parametrize("where", ["proxied", "direct"])
def test_gc(place, where):
    if where == "direct" and place.kind == "disk":
        location = None
    else:
        location = None if where == "proxied" else place.store.uri(place.bucket, place.prefix + "/direct")
    w = Work(place, location)
    key = w.path if where == "proxied" or place.kind == "disk" else urlsplit(w.uri).path.lstrip("/").removeprefix(place.prefix + "/")
    other = w.client.create_run(w.experiment)
    kept = key.replace(w.id, other.info.run_id)
    for i in range(30):
        place.store_put(f"{key}/d{i % 3}/{i} \u00fc", b"x" * 100)
    place.store_put(f"{kept}/f", b"stays")
    w.client.delete_run(w.id)
    env = dict(place.daemon.env)
    done = capstan_server.run("gc", "--backend-store-uri", place.daemon.backend, "--artifacts-destination", place.destination, "--run-ids", w.id, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"\b3000 bytes", done.stdout), done.stdout
    assert place.stored_keys(key) == {} and place.stored(f"{kept}/f") == b"stays"
    assert place.api("GET", "runs/get", run_id=w.id).status_code == 404
    assert os.environ.get("AWS_ACCESS_KEY_ID") is None
