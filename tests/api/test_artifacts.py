# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Artifacts: every spelling of a path, ranges, atomicity, the artifacts of runs and models, multipart through the client."""

import concurrent.futures
import http.client
import os
import pathlib
import shutil
import socket
import uuid
from urllib.parse import quote, urlsplit

import mlflow
import pytest
import requests
from mlflow import MlflowClient

import capstan_server
from conftest import unique

PROXY = "/api/2.0/mlflow-artifacts"


def wire(server, method, path, body=None, **headers):
    """A request whose target is sent byte for byte."""
    at = urlsplit(server.url)
    c = http.client.HTTPConnection(at.hostname, at.port, timeout=60)
    try:
        c.putrequest(method, path, skip_accept_encoding=True)
        for name, value in headers.items():
            c.putheader(name.replace("_", "-"), value)
        if body is not None:
            c.putheader("Content-Length", str(len(body)))
        c.endheaders(body)
        r = c.getresponse()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
    finally:
        c.close()


def put(server, key, body=b"hello"):
    status, _, text = wire(server, "PUT", f"{PROXY}/artifacts/{quote(key)}", body)
    assert status == 200, text


def get(server, key, **headers):
    return wire(server, "GET", f"{PROXY}/artifacts/{quote(key)}", **headers)


def files(server, path=""):
    r = requests.get(f"{server.url}{PROXY}/artifacts", params={"path": path}, timeout=60)
    assert r.status_code == 200, r.text
    return r.json().get("files", [])


def names(server, path=""):
    return [f["path"] for f in files(server, path)]


@pytest.fixture
def folder():
    return f"test/{uuid.uuid4().hex}"


@pytest.fixture
def root(server):
    """The directory behind the proxy."""
    if not getattr(server, "data_dir", None):
        pytest.skip("no access to the server's disk")
    return os.path.join(server.data_dir, "artifacts")


def temporaries(root):
    return [os.path.join(d, f) for d, _, found in os.walk(os.path.join(root, ".capstan-tmp")) for f in found]


HOSTILE = [
    "../x", "..", "a/../x", "a/..", "%2e%2e/x", ".%2e/x", "%2E%2E%2Fx", "%252e%252e/x", "%252e%252e%252fx",
    "%25252e%25252e%25252fx", "a/%2e%2e/%2e%2e/x", "a%2f..%2fx", "/abs", "%2fabs", "//abs", "C:/x", "c%3a/x",
    "C%3a%5cx", "file:x", "file:///etc/passwd", "file%3a///etc/passwd", "h%23z", "h%2523z",
]
# MLflow takes these, as plain names or as a 500
REFUSED = [
    "..%5c..%5cx", "a%5c..%5cx", "%255c..%255cx", ".capstan-tmp/x", "%2ecapstan-tmp/x", "./x", "a/./x", "x" * 256,
    "a/" * 2100 + "x", "C:x",
]


@pytest.mark.parametrize("path", HOSTILE + [pytest.param(p, marks=pytest.mark.ours) for p in REFUSED],
                         ids=lambda p: p[:30])
@pytest.mark.parametrize("method", ["PUT", "GET", "DELETE"])
def test_hostile_paths(server, method, path):
    status, _, text = wire(server, method, f"{PROXY}/artifacts/{path}", b"x" if method == "PUT" else None)
    # flask itself has no route for a path that begins with a slash
    assert status in (400, 414) or (status in (404, 308) and method == "DELETE" and path[:3] in ("/ab", "%2f", "//a")), text


@pytest.mark.parametrize("path", ["../x", "..", "/abs", "a/../../x", "C:/x", "file:///etc", "a#b", "%2e%2e/x"])
def test_hostile_queries(server, run, path):
    run_id = run.info.run_id
    for url, params in [
        (f"{PROXY}/artifacts", {"path": path}),
        ("/api/2.0/mlflow/artifacts/list", {"run_id": run_id, "path": path}),
        ("/get-artifact", {"run_uuid": run_id, "path": path}),
    ]:
        r = requests.get(server.url + url, params=params, timeout=60)
        assert (r.status_code, r.json()["message"]) == (400, "Invalid path"), url
    r = requests.post(f"{server.url}/ajax-api/2.0/mlflow/upload-artifact", data=b"x", timeout=60,
                      params={"run_uuid": run_id, "path": path}, headers={"Content-Type": "text/plain"})
    assert r.status_code == 400


@pytest.mark.parametrize("name", ["a;b", "~t", "q?z", "sp ace", "pl+us", "100%", "\u00fc", "a'b\"c", "..x", "\U0001f600"])
def test_plain_names(server, folder, name):
    put(server, f"{folder}/{name}", name.encode())
    assert names(server, folder) == [name]
    status, headers, body = get(server, f"{folder}/{name}")
    assert (status, body) == (200, name.encode())
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-disposition"].startswith("attachment; filename=")


@pytest.mark.ours       # MLflow answers 500 to a doubled slash before a folder
def test_slashes(server, folder):
    assert wire(server, "PUT", f"{PROXY}/artifacts/{folder}//b//c", b"1")[0] == 200
    assert get(server, f"{folder}/b/c")[2] == b"1"
    assert wire(server, "PUT", f"{PROXY}/artifacts/{folder}/d/", b"1")[0] == 400
    assert names(server, f"{folder}/b/") == ["c"]


@pytest.mark.ours
def test_links_and_pipes(server, folder, root):
    put(server, f"{folder}/real")
    here = os.path.join(root, folder)
    for name, target in [("etc", "/etc"), ("passwd", "/etc/passwd"), ("inside", "real"), ("up", "..")]:
        os.symlink(target, os.path.join(here, name))
    os.mkfifo(os.path.join(here, "fifo"))
    assert names(server, folder) == ["real"]
    for name in ("etc/passwd", "passwd", "inside", "fifo", "up/x"):
        assert get(server, f"{folder}/{name}")[0] == 404
    for name in ("etc/x", "passwd", "inside", "up/x", "fifo"):
        assert wire(server, "PUT", f"{PROXY}/artifacts/{folder}/{name}", b"x")[0] == 400
    assert wire(server, "DELETE", f"{PROXY}/artifacts/{folder}")[0] == 200
    assert os.path.exists("/etc/passwd") and not os.path.exists(here)


ALL = b"0123456789"


@pytest.mark.ours       # MLflow answers 400 to ranges that RFC 9110 wants ignored
@pytest.mark.parametrize("header,status,body", [
    ("bytes=0-1", 206, b"01"), ("bytes=-2", 206, b"89"), ("bytes=7-", 206, b"789"), ("bytes=-99", 206, ALL),
    ("bytes=5-99999999999999999999", 206, b"56789"), ("bytes=10-", 416, None), ("bytes=-0", 416, None),
    ("bytes=0-0,2-3", 200, ALL), ("bytes=5-2", 200, ALL), ("bytes=a-b", 200, ALL), ("items=0-1", 200, ALL),
])
def test_ranges(server, folder, header, status, body):
    put(server, f"{folder}/r", ALL)
    got, headers, text = get(server, f"{folder}/r", Range=header)
    assert got == status and (body is None or text == body)
    if status == 416:
        assert headers["content-range"] == "bytes */10"
    elif status == 206:
        first = ALL.index(body)
        assert headers["content-range"] == f"bytes {first}-{first + len(body) - 1}/10"


@pytest.mark.ours
def test_etags(server, folder):
    put(server, f"{folder}/e", b"first")
    etag = get(server, f"{folder}/e")[1]["etag"]
    assert get(server, f"{folder}/e", If_None_Match=f'"x", W/{etag}')[0] == 304
    assert get(server, f"{folder}/e", Range="bytes=1-2", If_Range=etag)[2] == b"ir"
    assert get(server, f"{folder}/e", Range="bytes=1-2", If_Range='"x"')[2] == b"first"
    put(server, f"{folder}/e", b"other")
    status, headers, body = get(server, f"{folder}/e", If_None_Match=etag)
    assert (status, body) == (200, b"other") and headers["etag"] != etag


def test_errors(server, folder):
    put(server, f"{folder}/d/f")
    assert get(server, f"{folder}/none")[0] == 404
    assert get(server, f"{folder}/d")[0] == 400
    assert wire(server, "DELETE", f"{PROXY}/artifacts/{folder}/none")[0] == 200
    assert wire(server, "DELETE", f"{PROXY}/artifacts")[0] == 405
    assert wire(server, "DELETE", f"{PROXY}/artifacts/{folder}/d")[0] == 200
    assert names(server, folder) == []


@pytest.mark.ours
def test_in_the_way(server, folder):
    put(server, f"{folder}/d/f")
    assert wire(server, "PUT", f"{PROXY}/artifacts/{folder}/d", b"x")[0] == 400
    assert wire(server, "PUT", f"{PROXY}/artifacts/{folder}/d/f/g", b"x")[0] == 400
    assert get(server, f"{folder}/d/f")[2] == b"hello"


def test_listing(server, folder):
    for name in ("b.txt", "a.txt", "sub/x"):
        put(server, f"{folder}/{name}")
    put(server, f"{folder}/empty", b"")
    assert files(server, folder) == [
        {"path": "a.txt", "is_dir": False, "file_size": 5},
        {"path": "b.txt", "is_dir": False, "file_size": 5},
        {"path": "empty", "is_dir": False},
        {"path": "sub", "is_dir": True},
    ]
    assert files(server, f"{folder}/a.txt") == files(server, f"{folder}/none") == []


@pytest.mark.ours       # MLflow sends the new length with the old bytes now and then
def test_replace_is_atomic(server, folder):
    sizes = [300_000, 700_001, 1, 65_536]
    put(server, f"{folder}/r", b"0" * sizes[0])

    def write(i):
        put(server, f"{folder}/r", str(i % 4).encode() * sizes[i % 4])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(write, i) for i in range(24)]
        while not all(j.done() for j in jobs):
            status, _, body = get(server, f"{folder}/r")
            assert status == 200 and len(body) == sizes[int(body[:1])] and len(set(body)) == 1
        for j in jobs:
            j.result()


@pytest.mark.ours
@pytest.mark.parametrize("reset", [False, True])
def test_cut_upload(server, folder, root, reset):
    at = urlsplit(server.url)
    for cut in [0, 1, 4095, 4096, 65_537, 300_000, 499_999]:
        head = f"PUT {PROXY}/artifacts/{folder}/f{cut} HTTP/1.1\r\nHost: {at.netloc}\r\nContent-Length: 500000\r\n\r\n"
        s = socket.create_connection((at.hostname, at.port))
        s.sendall(head.encode() + b"x" * cut)
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    put(server, f"{folder}/whole")
    assert names(server, folder) == ["whole"] and temporaries(root) == []


def test_runs(server, client, run):
    run_id = run.info.run_id
    client.log_text(run_id, "hello", "m/x.txt")
    client.log_text(run_id, "", "m/empty")

    def listed(**params):
        return requests.get(f"{server.url}/api/2.0/mlflow/artifacts/list", params=params, timeout=60)

    assert listed(run_id=run_id, path="m").json() == {"root_uri": run.info.artifact_uri, "files": [
        {"path": "m/empty", "is_dir": False}, {"path": "m/x.txt", "is_dir": False, "file_size": 5}]}
    for path, count in [("m/", 2), ("", 1), (".", 1), ("m/x.txt", 0), ("none", 0)]:
        assert len(listed(run_uuid=run_id, path=path).json().get("files", [])) == count, path
    r = listed(run_id="zzz")
    assert (r.status_code, r.json()["message"]) == (404, "Run with id=zzz not found")

    def fetch(**params):
        return requests.get(f"{server.url}/get-artifact", params=params, timeout=60)

    assert fetch(run_uuid=run_id, path="m/x.txt").text == "hello"
    assert fetch(run_id=run_id, path="m/x.txt").text == "hello"
    assert [fetch(run_uuid=run_id, path=p).status_code for p in ("m", "", "none")] == [400, 400, 404]
    assert [fetch(run_uuid="zz", path="x").status_code, fetch(run_uuid=run_id).status_code] == [404, 400]


def test_ui_upload(server, client, run):
    def send(data=b"hello", **params):
        return requests.post(f"{server.url}/ajax-api/2.0/mlflow/upload-artifact", params=params, data=data,
                             headers={"Content-Type": "text/plain"}, timeout=60)

    run_id = run.info.run_id
    assert send(run_uuid=run_id, path="up/x.txt").status_code == 200
    assert client.list_artifacts(run_id, "up")[0].path == "up/x.txt"
    assert send(path="x").json()["message"] == "Request must specify run_uuid."
    assert send(run_uuid=run_id).json()["message"] == "Request must specify path."
    assert send(b"", run_uuid=run_id, path="x").json()["message"] == "Request must specify data."
    assert send(run_uuid="zz", path="x").status_code == 404
    r = send(b"0" * (10 * 1024 * 1024 + 1), run_uuid=run_id, path="big")
    assert r.status_code == 400 and "Max size is 10MB" in r.json()["message"]


def test_presigned(server, run):
    def ask(kind, **body):
        r = requests.post(f"{server.url}/api/2.0/mlflow/artifacts/presigned-{kind}-url", json=body, timeout=60)
        return r.status_code, r.json()["message"]

    run_id = run.info.run_id
    for kind in ("download", "upload"):
        status, message = ask(kind, run_id=run_id, path="a")
        assert status == 400 and message.startswith(f"Presigned {kind} is not supported for")
        assert ask(kind, run_id="zz", path="a") == (404, "Run with id=zz not found")
        assert ask(kind, run_id=run_id, path="../a") == (400, "Invalid path")
    assert ask("upload", path="a", model_id="m") == (404, "Logged model with ID 'm' not found.")
    assert ask("upload", path="a") == (400, "Exactly one of run_id and model_id must be provided.")
    assert ask("download", run_id=run_id, path="a", expiration=0)[0] == 400
    assert wire(server, "GET", f"{PROXY}/presigned/x")[0] == 501


def test_logged_models(server, client, fresh_experiment):
    model = client.create_logged_model(fresh_experiment, name="m")
    put(server, urlsplit(model.artifact_location).path.lstrip("/") + "/MLmodel", b"flavors: {}")
    base = f"2.0/mlflow/logged-models/{model.model_id}/artifacts"
    r = requests.get(f"{server.url}/api/{base}/directories", timeout=60).json()
    assert r == {"root_uri": model.artifact_location,
                 "files": [{"path": "MLmodel", "is_dir": False, "file_size": 11}]}
    r = requests.get(f"{server.url}/ajax-api/{base}/files", params={"artifact_file_path": "MLmodel"}, timeout=60)
    assert r.text == "flavors: {}"
    r = requests.get(f"{server.url}/ajax-api/{base}/files", timeout=60)
    assert (r.status_code, r.json()["error_code"]) == (400, "BAD_REQUEST")
    r = requests.get(f"{server.url}/api/2.0/mlflow/logged-models/zz/artifacts/directories", timeout=60)
    assert (r.status_code, r.json()["message"]) == (404, "Logged model with ID 'zz' not found.")


def test_client_round_trip(client, run, tmp_path):
    tree = {"a.txt": b"1", "empty": b"", "deep/er/b.bin": os.urandom(300_000), "sp ace/\u00fc.txt": b"2"}
    for name, data in tree.items():
        (tmp_path / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "source" / name).write_bytes(data)
    client.log_artifacts(run.info.run_id, str(tmp_path / "source"), "tree")
    got = pathlib.Path(client.download_artifacts(run.info.run_id, "tree", str(tmp_path)))
    assert {str(p.relative_to(got)): p.read_bytes() for p in got.rglob("*") if p.is_file()} == tree


def test_large_file(client, run, tmp_path):
    big = tmp_path / "big.bin"
    with open(big, "wb") as f:
        f.write(b"head")
        f.truncate(200 << 20)
        f.seek((200 << 20) - 4)
        f.write(b"tail")
    client.log_artifact(run.info.run_id, str(big))
    (tmp_path / "down").mkdir()
    got = client.download_artifacts(run.info.run_id, "big.bin", str(tmp_path / "down"))
    with open(big, "rb") as a, open(got, "rb") as b:
        while chunk := a.read(1 << 20):
            assert chunk == b.read(1 << 20)
        assert not b.read(1)


def test_multipart_client(client, run, tmp_path, monkeypatch):
    """The client's own multipart upload, which it does when told to; a server without it makes it fall back."""
    monkeypatch.setenv("MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD", "true")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE", "1000")
    monkeypatch.setenv("MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE", "100000")
    file = tmp_path / "multi \u00fc.bin"
    file.write_bytes(os.urandom(1_234_567))
    client.log_artifact(run.info.run_id, str(file), "m")
    (tmp_path / "down").mkdir()
    got = client.download_artifacts(run.info.run_id, f"m/{file.name}", str(tmp_path / "down"))
    assert pathlib.Path(got).read_bytes() == file.read_bytes()


@pytest.mark.ours
def test_multipart_edges(server, folder, root):
    def post(what, **body):
        return requests.post(f"{server.url}{PROXY}/mpu/{what}/{folder}", json=body, timeout=60)

    made = post("create", path="/tmp/x.bin", num_parts=2).json()
    upload = made["upload_id"]
    urls = [c["url"] for c in made["credentials"]]
    assert [c["part_number"] for c in made["credentials"]] == [1, 2]
    tags = [requests.put(u, data=d, timeout=60).headers["ETag"] for u, d in zip(urls, [b"ab", b"cd"])]
    assert names(server, folder) == []
    assert requests.put(urls[0].replace(upload, "0" * len(upload)), data=b"x", timeout=60).status_code == 404
    assert requests.put(urls[0].replace("x.bin", "y.bin"), data=b"x", timeout=60).status_code == 404
    parts = [{"part_number": i + 1, "etag": t} for i, t in enumerate(tags)]
    for bad in ([dict(parts[0], etag='"x"'), parts[1]], parts[::-1], [{"part_number": 7}]):
        assert post("complete", path="x.bin", upload_id=upload, parts=bad).status_code == 400
    assert post("complete", path="y.bin", upload_id=upload, parts=parts).status_code == 404
    assert post("complete", path="x.bin", upload_id=upload, parts=parts).json() == {}
    assert get(server, f"{folder}/x.bin")[2] == b"abcd"
    made = post("create", path="z.bin", num_parts=1).json()
    requests.put(made["credentials"][0]["url"], data=b"x", timeout=60)
    assert post("abort", path="z.bin", upload_id=made["upload_id"]).json() == {}
    assert post("abort", path="z.bin", upload_id=made["upload_id"]).status_code == 404
    assert post("create", num_parts=1).status_code == 400
    assert post("create", path="x", num_parts=100_000).status_code == 400
    assert names(server, folder) == ["x.bin"] and temporaries(root) == []


def test_delete_through_client(server, client, run):
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    client.log_text(run.info.run_id, "1", "d/a.txt")
    client.log_text(run.info.run_id, "2", "keep.txt")
    get_artifact_repository(run.info.artifact_uri, tracking_uri=server.url).delete_artifacts("d")
    assert [f.path for f in mlflow.artifacts.list_artifacts(run_id=run.info.run_id)] == ["keep.txt"]


@pytest.mark.ours
@pytest.mark.parametrize("exists", [True, False])
def test_default_root_of_its_own(new_server, tmp_path, exists):
    """What clients wrote below a --default-artifact-root that is a directory is served, and only that."""
    os.chmod(tmp_path, 0o755)
    root = tmp_path / "root"
    if exists:
        root.mkdir()
    (tmp_path / "secret").write_text("s")
    daemon = new_server("--default-artifact-root", root.as_uri())
    client = MlflowClient(daemon.url)
    run = client.create_run(client.create_experiment("e"))
    path = urlsplit(run.info.artifact_uri).path
    assert path.startswith(f"{root}/")
    ask = {"run_id": run.info.run_id, "path": "sub/a.txt"}

    def get(at, **params):
        return requests.get(daemon.url + at, params=params, timeout=60)

    if not exists:
        assert get("/get-artifact", **ask).status_code == 501
        root.mkdir()
    assert get("/get-artifact", **ask).status_code == 404
    client.log_text(run.info.run_id, "text", "sub/a.txt")
    assert os.path.exists(path + "/sub/a.txt")
    assert get("/get-artifact", **ask).text == "text"
    files = get("/api/2.0/mlflow/artifacts/list", run_id=run.info.run_id, path="sub").json()["files"]
    assert files == [{"path": "sub/a.txt", "is_dir": False, "file_size": 4}]
    up = requests.post(f"{daemon.url}/ajax-api/2.0/mlflow/upload-artifact", data=b"up", timeout=60,
                       params={"run_uuid": run.info.run_id, "path": "up.txt"})
    assert up.status_code == 200 and open(path + "/up.txt").read() == "up"

    model = client.create_logged_model(run.info.experiment_id, "m", run.info.run_id)
    os.makedirs(urlsplit(model.artifact_location).path)
    with open(urlsplit(model.artifact_location).path + "/MLmodel", "w") as f:
        f.write("flavors: {}")
    base = f"/ajax-api/2.0/mlflow/logged-models/{model.model_id}/artifacts/"
    assert get(base + "files", artifact_file_path="MLmodel").text == "flavors: {}"
    assert [f["path"] for f in get(base + "directories").json()["files"]] == ["MLmodel"]

    client.create_registered_model("m")
    client.create_model_version("m", run.info.artifact_uri + "/sub", run.info.run_id)
    assert get("/model-versions/get-artifact", name="m", version=1, path="a.txt").text == "text"

    # Neither links nor other places lead out of it; the proxy keeps its own destination.
    os.symlink(tmp_path / "secret", path + "/link")
    assert get("/get-artifact", run_id=run.info.run_id, path="link").status_code == 404
    beside = client.create_run(client.create_experiment("beside", f"{root.as_uri()}-beside"))
    assert get("/get-artifact", run_id=beside.info.run_id, path="x").status_code == 501
    relative = path.removeprefix(f"{root}/")
    assert get(f"/api/2.0/mlflow-artifacts/artifacts/{relative}/sub/a.txt").status_code == 404
    assert not os.path.exists(f"{daemon.data_dir}/artifacts/{relative}")


@pytest.fixture
def outer_data():
    """A data directory in a directory of its own."""
    around = capstan_server.temporary_dir()
    os.mkdir(around + "/data")
    os.chmod(around + "/data", 0o711)
    yield around + "/data"
    shutil.rmtree(around, ignore_errors=True)


@pytest.mark.ours
def test_default_root_around_the_data(new_server, outer_data):
    """A root in which the daemon's own directory lies is not served: nobody reads the database's files through it."""
    around = os.path.dirname(outer_data)
    daemon = new_server("--default-artifact-root", around, data_dir=outer_data)
    client = MlflowClient(daemon.url)
    for location in (None, f"{outer_data}/postgres", f"file://{outer_data}", around):
        try:
            experiment = client.create_experiment(unique(), location)
        except mlflow.MlflowException:
            continue
        run = client.create_run(experiment)
        reply = requests.get(daemon.url + "/get-artifact", timeout=60, params={"run_id": run.info.run_id, "path": "PG_VERSION"})
        assert reply.status_code == 501, (location, reply.text)


@pytest.mark.parametrize("name, mime", [("MLmodel", "text/plain"), ("mlproject", "text/plain"), ("x.mlproject", "text/plain"),
                                        ("a.pkl", "application/octet-stream"), ("MLproject", "application/octet-stream")])
def test_content_type_by_name(server, name, mime):
    path = f"/api/2.0/mlflow-artifacts/artifacts/{unique('mime')}/{name}"
    assert requests.put(server.url + path, data=b"x", timeout=60).status_code == 200
    assert requests.get(server.url + path, timeout=60).headers["Content-Type"].partition(";")[0] == mime
