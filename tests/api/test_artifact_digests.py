# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""SHA-256 of artifacts, places that clients name, and signed URLs where there are none."""

import base64
import hashlib
import http.client
import os
import subprocess

import pytest
import requests
from mlflow import MlflowClient

import capstan_server
from conftest import unique

pytestmark = pytest.mark.ours

PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
WANT = {"Want-Repr-Digest": "sha-256=10"}


def b64(data):
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def put(server, key, data, **headers):
    return requests.put(server.url + PROXY + key, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=60)


def get(server, key, method="GET", **headers):
    return requests.request(method, server.url + PROXY + key, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=60)


@pytest.fixture
def key():
    return unique("digest") + "/file.bin"


@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
def test_given_on_the_way(server, key, size):
    data = os.urandom(size)
    made = put(server, key, data)
    assert made.status_code == 200 and made.text == ""
    assert made.headers["Repr-Digest"] == f"sha-256=:{b64(data)}:" and made.headers["Digest"] == f"sha-256={b64(data)}"
    plain = get(server, key)
    assert "Repr-Digest" not in plain.headers and plain.headers["ETag"] == made.headers["ETag"]
    for headers in (WANT, {"Want-Digest": "SHA-256"}):
        asked = get(server, key, **headers)
        assert asked.content == data and asked.headers["Repr-Digest"] == f"sha-256=:{b64(data)}:"
        assert asked.headers["Digest"] == f"sha-256={b64(data)}"
    head = get(server, key, "HEAD", **WANT)
    assert head.headers["Repr-Digest"] == f"sha-256=:{b64(data)}:" and int(head.headers["Content-Length"]) == size
    if size > 100:
        part = get(server, key, Range="bytes=10-19", **WANT)
        assert part.status_code == 206 and part.content == data[10:20] and part.headers["Repr-Digest"] == f"sha-256=:{b64(data)}:"
    assert "Repr-Digest" not in get(server, key, Want_Repr_Digest="sha-512=3").headers


def test_chunked(server, key):
    data = os.urandom(700_000)
    made = requests.put(server.url + PROXY + key, data=iter([data[:1], data[1:400_000], data[400_000:]]), timeout=60)
    assert made.headers["Repr-Digest"] == f"sha-256=:{b64(data)}:"


@pytest.mark.parametrize("name, form", [("Repr-Digest", "sha-256=:{}:"), ("Content-Digest", "sha-512=:AA==:, sha-256=:{}:;x=1"),
                                        ("Digest", "md5=x, SHA-256={}"), ("x-amz-checksum-sha256", "{}")])
def test_verified_when_asked(server, key, name, form):
    data = os.urandom(500_000)
    assert put(server, key, data, **{name: form.format(b64(data))}).status_code == 200
    wrong = put(server, key, b"other" + data, **{name: form.format(b64(data))})
    assert wrong.status_code == 400 and wrong.json()["error_code"] == "INVALID_PARAMETER_VALUE" and "SHA-256" in wrong.json()["message"]
    assert get(server, key).content == data, "a refused upload changed the object"
    assert put(server, key + ".new", data, **{name: form.format(b64(b"x"))}).status_code == 400
    assert get(server, key + ".new").status_code == 404


@pytest.mark.parametrize("headers", [{"Repr-Digest": "sha-256=:AAAA:"}, {"Repr-Digest": "sha-256=AAAA"}, {"Digest": "sha-256="},
                                     {"x-amz-checksum-sha256": "x" * 44}, {"x-amz-checksum-sha256": ""},
                                     {"Digest": "sha-256=" + b64(b"1"), "x-amz-checksum-sha256": b64(b"2")}])
def test_no_digest_at_all(server, key, headers):
    assert put(server, key, b"1", **headers).status_code == 400


def test_other_algorithms_are_left_alone(server, key):
    assert put(server, key, b"1", Repr_Digest="sha-512=:AAAA:", Digest="md5=AAAA").status_code == 200


def test_changed_behind_our_back(server, key):
    """Another file there is another object; one that looks the same is found out by its bytes."""
    data = os.urandom(900_000)
    put(server, key, data)
    path = f"{server.data_dir}/artifacts/{key}"
    before = os.stat(path)
    with open(path, "r+b") as f:
        f.seek(899_990)
        f.write(b"changed")
    assert "Repr-Digest" not in get(server, key, **WANT).headers
    put(server, key, data)
    before = os.stat(path)
    with open(path, "r+b") as f:
        f.seek(100)
        f.write(b"changed")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.request("GET", PROXY + key, headers=WANT)
    reply = connection.getresponse()
    if "Repr-Digest" in reply.headers:      # else the entity tag told it
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            reply.read()
    connection.close()
    assert get(server, key).status_code == 200


def test_forgotten_with_the_object(server, key):
    data = b"x" * 1000
    put(server, key, data)
    path = f"{server.data_dir}/artifacts/{key}"
    times = os.stat(path)
    assert requests.delete(server.url + PROXY + os.path.dirname(key), timeout=60).status_code == 200
    assert get(server, key, **WANT).status_code == 404
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert "Repr-Digest" not in get(server, key, **WANT).headers


def test_ui_upload_has_one(server, run, key):
    reply = requests.post(f"{server.url}/ajax-api/2.0/mlflow/upload-artifact", data=b"ui", timeout=60, params={"run_uuid": run.info.run_id, "path": "f"},
                          headers={"Repr-Digest": f"sha-256=:{b64(b'no')}:"})
    assert reply.status_code == 400
    reply = requests.post(f"{server.url}/ajax-api/2.0/mlflow/upload-artifact", data=b"ui", timeout=60, params={"run_uuid": run.info.run_id, "path": "f"})
    assert reply.status_code == 200 and reply.headers["Repr-Digest"] == f"sha-256=:{b64(b'ui')}:"
    reply = requests.get(f"{server.url}/get-artifact", params={"run_id": run.info.run_id, "path": "f"}, headers=WANT, timeout=60)
    assert reply.content == b"ui" and reply.headers["Repr-Digest"] == f"sha-256=:{b64(b'ui')}:"


# ---- roots ----


def test_artifact_roots(new_server, tmp_path):
    """What the operator named is served; what lies beside it is not."""
    os.chmod(tmp_path, 0o755)
    root = tmp_path / "shared"
    root.mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "f").write_text("s")
    daemon = new_server("--artifact-roots", f"s3://team/x, {root}")
    client = MlflowClient(daemon.url)

    def ask(location):
        run = client.create_run(client.create_experiment(unique(), location))
        where = run.info.artifact_uri.removeprefix("file://")
        if where.startswith("/"):
            os.makedirs(where, exist_ok=True)
            with open(where + "/f", "w") as f:
                f.write("text")
        reply = requests.get(daemon.url + "/get-artifact", params={"run_id": run.info.run_id, "path": "f"}, timeout=60)
        listed = requests.get(daemon.url + "/api/2.0/mlflow/artifacts/list", params={"run_id": run.info.run_id}, timeout=60)
        assert reply.status_code == listed.status_code
        return reply.status_code, reply.text

    assert ask(str(root)) == (200, "text")
    assert ask(f"file://{root}/deep/er/") == (200, "text")
    for location in (f"{root}-beside", f"{tmp_path}/secret", str(tmp_path), "s3://team/y", "s3://other", "gs://team/x", f"{root}//deep", f"FILE://{root}/deep"):
        status, text = ask(location)
        assert status == 501 and "--artifact-roots" in text, location
    assert ask(f"{root}/../secret")[0] in (400, 501)


@pytest.mark.parametrize("roots", ["http://host/x", "s3://", "relative-is-fine,ftp://x", "s3://a b"])
def test_roots_are_judged_at_start(tmp_path, roots):
    data = capstan_server.temporary_dir()
    bad = roots != "s3://"
    outer = f"{roots},{data}" if not bad else roots
    result = subprocess.run([capstan_server.binary(), "serve", "--port", "0", "--data-dir", f"{data}/d", "--artifact-roots", outer],
                            env=capstan_server.environment(), capture_output=True, text=True, timeout=60 * capstan_server.SLOW, cwd=tmp_path)
    assert result.returncode == 1 and "--artifact-roots" in result.stderr and len(result.stderr.strip().splitlines()) < 30


def test_presigned_only_needs_a_store_that_signs(new_server):
    data = capstan_server.temporary_dir()
    result = capstan_server.run("serve", "--port", "0", "--data-dir", f"{data}/d", "--artifacts-presigned-only")
    assert result.returncode == 1 and "--artifacts-presigned-only needs" in result.stderr


def test_server_info_of_a_directory(server):
    info = requests.get(f"{server.url}/api/3.0/mlflow/server-info", timeout=60).json()
    assert info["multipart_uploads_enabled"] is False and info["multipart_downloads_enabled"] is False


# ---- gc ----


def gc(daemon, *flags):
    return capstan_server.run("gc", "--data-dir", daemon.data_dir, *flags)


def test_gc_removes_in_every_root(new_server, tmp_path):
    """What runs and models left in the default root and in other directories goes too, and is counted."""
    os.chmod(tmp_path, 0o755)
    default, other, foreign = tmp_path / "default", tmp_path / "other", tmp_path / "foreign"
    daemon = new_server("--default-artifact-root", str(default), "--artifact-roots", str(other))
    client = MlflowClient(daemon.url)
    sizes, runs = {"default": 1000, "other": 200, "foreign": 30}, {}
    for place, size in sizes.items():
        location = None if place == "default" else str(tmp_path / place)
        run = client.create_run(client.create_experiment(place, location))
        os.makedirs(run.info.artifact_uri.removeprefix("file://") + "/sub")
        with open(run.info.artifact_uri.removeprefix("file://") + "/sub/f", "wb") as f:
            f.write(b"x" * size)
        client.delete_run(run.info.run_id)
        runs[place] = run.info.artifact_uri.removeprefix("file://")
    done = gc(daemon, "--default-artifact-root", str(default), "--artifact-roots", str(other))
    assert done.returncode == 0, done.stderr
    assert "Removed 3 runs" in done.stdout and "1200 bytes of artifacts freed" in done.stdout
    assert "foreign" in done.stderr and "stays" in done.stderr
    assert not os.path.exists(runs["default"]) and not os.path.exists(runs["other"])
    assert os.path.exists(runs["foreign"] + "/sub/f")


def test_gc_keeps_what_it_cannot_reach(new_server, tmp_path):
    """A run whose store does not answer is found again by the next gc; the others go."""
    daemon = new_server()
    client = MlflowClient(daemon.url)
    away = client.create_experiment("away", "s3://bucket-that-is-away/x")
    lost = client.create_run(away).info.run_id
    here = client.create_run(client.create_experiment("here")).info.run_id
    for run_id in (lost, here):
        client.delete_run(run_id)
    client.delete_experiment(away)
    env = {"MLFLOW_S3_ENDPOINT_URL": f"http://127.0.0.1:{capstan_server.free_port()}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
           "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    done = capstan_server.run("gc", "--data-dir", daemon.data_dir, env=env, timeout=120)
    assert done.returncode == 1 and lost in done.stderr and "is kept" in done.stderr and "s3://bucket-that-is-away" in done.stderr
    assert here in done.stdout and "Removed 1 runs" in done.stdout
    assert client.get_run(lost).info.lifecycle_stage == "deleted"
    assert client.get_experiment(away).lifecycle_stage == "deleted"
