# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The artifact proxy as clients and hostile clients use it."""

import hashlib
import http.client
import os
import socket
import threading

import pytest
import requests

from conftest import REFERENCE, unique

BASE = "/api/2.0/mlflow-artifacts/artifacts/"


@pytest.fixture
def folder():
    return unique("artifacts")


def put(api, path, data, **headers):
    return api.session.put(api.url + BASE + path, data=data, headers=headers, timeout=60)


def raw(server, method, target, body=b"", headers=()):
    """The request target exactly as given."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=60)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", "localhost")
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    reply = connection.getresponse()
    text = reply.read()
    connection.close()
    return reply.status, text, reply.headers


def test_upload_and_download(api, folder):
    for data in (b"", b"x", b"hello\n" * 1000, os.urandom(1_000_000)):
        assert put(api, f"{folder}/a/b.bin", data).status_code == 200
        assert api.get(BASE + f"{folder}/a/b.bin").content == data


def test_replaced_as_a_whole(api, folder):
    put(api, f"{folder}/a", b"1" * 100_000)
    put(api, f"{folder}/a", b"2" * 10)
    assert api.get(BASE + f"{folder}/a").content == b"2" * 10


def test_chunked_upload(api, folder):
    def pieces():
        for i in range(100):
            yield bytes([i]) * 5000

    assert put(api, f"{folder}/c", pieces()).status_code == 200
    assert (
        hashlib.sha256(api.get(BASE + f"{folder}/c").content).digest()
        == hashlib.sha256(b"".join(pieces())).digest()
    )


def test_headers_never_let_an_artifact_run(api, folder):
    for name, kind in (
        ("page.html", "text/plain"),
        ("code.js", "text/plain"),
        ("data.json", None),
        ("pic.svg", None),
    ):
        put(api, f"{folder}/{name}", b"<script>alert(1)</script>")
        reply = api.get(BASE + f"{folder}/{name}")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            reply.headers["Content-Disposition"].startswith("attachment")
            and name in reply.headers["Content-Disposition"]
        )
        if not REFERENCE:
            assert "text/html" not in reply.headers["Content-Type"]
            assert not kind or kind in reply.headers["Content-Type"]


@pytest.mark.ours
def test_content_security_policy(api, folder):
    put(api, f"{folder}/page.html", b"x")
    assert "sandbox" in api.get(BASE + f"{folder}/page.html").headers["Content-Security-Policy"]


def test_range(api, folder):
    data = bytes(range(256)) * 100
    put(api, f"{folder}/r", data)

    def part(value, **more):
        return api.get(BASE + f"{folder}/r", headers={"Range": value, **more})

    reply = part("bytes=100-199")
    assert (reply.status_code, reply.content) == (206, data[100:200])
    assert reply.headers["Content-Range"] == f"bytes 100-199/{len(data)}"
    assert part("bytes=25500-").content == data[25500:]
    assert part("bytes=-10").content == data[-10:]
    assert part(f"bytes={len(data)}-").status_code == 416
    assert part("bytes=0-99999999").content == data


@pytest.mark.ours
def test_etag(api, folder):
    put(api, f"{folder}/e", b"one")
    tag = api.get(BASE + f"{folder}/e").headers["ETag"]
    assert api.get(BASE + f"{folder}/e", headers={"If-None-Match": tag}).status_code == 304
    put(api, f"{folder}/e", b"two, longer")
    reply = api.get(BASE + f"{folder}/e", headers={"If-None-Match": tag})
    assert (reply.status_code, reply.content) == (200, b"two, longer")
    assert (
        api.get(BASE + f"{folder}/e", headers={"Range": "bytes=0-1", "If-Range": tag}).status_code
        == 200
    )


def test_list(api, folder):
    put(api, f"{folder}/b/x", b"12345")
    put(api, f"{folder}/a", b"")
    put(api, f"{folder}/c d/é", b"1")
    path = "/api/2.0/mlflow-artifacts/artifacts"
    files = api.get(path, {"path": folder}).json()["files"]
    assert [f["path"] for f in files] == ["a", "b", "c d"]
    assert [f["is_dir"] for f in files] == [False, True, True]
    assert api.get(path, {"path": f"{folder}/b"}).json()["files"][0]["file_size"] == 5
    assert api.get(path, {"path": f"{folder}/c d"}).json()["files"][0]["path"] == "é"
    assert api.get(path, {"path": folder + "/nothing"}).json() == {}
    assert api.get(path).json()["files"]


def test_delete(api, folder):
    put(api, f"{folder}/d/x", b"1")
    put(api, f"{folder}/d/y", b"1")
    assert api.send("DELETE", BASE + f"{folder}/d/x").status_code == 200
    assert api.get(BASE + f"{folder}/d/x").status_code == 404
    assert api.get(BASE + f"{folder}/d/y").status_code == 200
    assert api.send("DELETE", BASE + f"{folder}/d").status_code == 200
    assert api.get(BASE + f"{folder}/d/y").status_code == 404
    assert api.send("DELETE", BASE + f"{folder}/never").status_code == 200


def test_missing(api, folder):
    assert api.get(BASE + f"{folder}/nothing").status_code == 404
    put(api, f"{folder}/file", b"1")
    assert api.get(BASE + folder).status_code == 400
    assert put(api, f"{folder}/", b"1").status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "../x",
        "a/../../x",
        "%2e%2e/x",
        "%2e%2e%2fx",
        "..%2fx",
        "%252e%252e%252fx",
        "a/..%252f..%252fx",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "file:///etc/passwd",
        "a/%2e%2e/%2e%2e/x",
        "C:/x",
        "a%23/../x",
    ],
)
def test_no_way_out(server, path):
    for method, body in (("GET", b""), ("PUT", b"evil"), ("DELETE", b"")):
        status, text, _ = raw(server, method, BASE + path, body)
        assert status in (400, 404, 405) or REFERENCE and status == 308, (
            method,
            path,
            status,
            text,
        )
        assert b"root:" not in text


@pytest.mark.ours
@pytest.mark.parametrize(
    "path",
    [
        "%00",
        "a%00b",
        "%ff",
        "%c0%ae%c0%ae/x",
        "a" * 300,
        "a/" * 3000 + "b",
        "..%5cx",
        "..;/x",
        "%u002e%u002e/x",
    ],
)
def test_odd_names_do_no_harm(server, path):
    for method, body in (("PUT", b"x"), ("GET", b"")):
        status, text, _ = raw(server, method, BASE + path, body)
        assert status in (200, 400, 404, 414, 431), (method, path, status, text)
    above = os.path.dirname(server.data_dir)
    assert not os.path.exists(os.path.join(above, "x")) and not os.path.exists(
        os.path.join(server.data_dir, "x")
    )


@pytest.mark.ours
def test_no_way_out_through_a_link(server, api, folder):
    put(api, f"{folder}/x", b"1")
    os.symlink("/etc", os.path.join(server.data_dir, "artifacts", folder, "link"))
    os.symlink("/etc/passwd", os.path.join(server.data_dir, "artifacts", folder, "file"))
    for path in ("link/passwd", "file", "link/new"):
        assert api.get(BASE + f"{folder}/{path}").status_code in (400, 403, 404)
        put(api, f"{folder}/{path}", b"evil")
    assert b"evil" not in open("/etc/passwd", "rb").read() and not os.path.exists("/etc/new")
    assert api.send("DELETE", BASE + folder).status_code == 200
    assert os.path.exists("/etc/passwd")


@pytest.mark.ours
@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_cut_uploads_leave_nothing(server, api, folder, how):
    whole = 200_000
    for sent in (0, 1, 4096, 65_536, whole - 1):
        s = socket.create_connection((server.host, server.port), timeout=20)
        head = (
            f"PUT {BASE}{folder}/cut HTTP/1.1\r\nHost: localhost\r\nContent-Length: {whole}\r\n\r\n"
        )
        s.sendall(head.encode() + b"x" * sent)
        if how == "reset":
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "half":
            s.shutdown(socket.SHUT_WR)
        s.close()
        assert api.get(BASE + f"{folder}/cut").status_code == 404
    assert put(api, f"{folder}/cut", b"whole").status_code == 200


@pytest.mark.ours
def test_invisible_until_whole(server, api, folder):
    put(api, f"{folder}/v", b"old")
    with socket.create_connection((server.host, server.port), timeout=20) as s:
        s.sendall(
            f"PUT {BASE}{folder}/v HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n".encode()
            + b"n" * 299999
        )
        assert api.get(BASE + f"{folder}/v").content == b"old"
        files = api.get("/api/2.0/mlflow-artifacts/artifacts", {"path": folder}).json()["files"]
        assert [f["path"] for f in files] == ["v"]
        s.sendall(b"n")
        assert s.recv(100).startswith(b"HTTP/1.1 200")
    assert api.get(BASE + f"{folder}/v").content == b"n" * 300000


@pytest.mark.ours
def test_multipart(server, api, folder):
    path = f"/api/2.0/mlflow-artifacts/mpu/create/{folder}"
    made = api.post(path, {"path": "big.bin", "num_parts": 3}).json()
    parts, data = [], [bytes([i]) * 100_000 for i in range(3)]
    for credential, piece in zip(made["credentials"], data):
        reply = requests.put(
            credential["url"], data=piece, headers=credential.get("headers"), timeout=60
        )
        assert reply.status_code == 200, reply.text
        parts.append(
            {
                "part_number": credential["part_number"],
                "etag": reply.headers["ETag"],
                "url": credential["url"],
            }
        )
        assert api.get(BASE + f"{folder}/big.bin").status_code == 404
    done = {"path": "big.bin", "upload_id": made["upload_id"], "parts": parts}
    assert api.post(path.replace("create", "complete"), done).status_code == 200
    assert api.get(BASE + f"{folder}/big.bin").content == b"".join(data)

    again = api.post(path, {"path": "other.bin", "num_parts": 1}).json()
    requests.put(again["credentials"][0]["url"], data=b"1", timeout=60)
    gone = {"path": "other.bin", "upload_id": again["upload_id"]}
    assert api.post(path.replace("create", "abort"), gone).status_code == 200
    assert api.get(BASE + f"{folder}/other.bin").status_code == 404
    forged = {**done, "upload_id": "../../x"}
    assert api.post(path.replace("create", "complete"), forged).status_code in (400, 404)


def test_presigned_is_not_for_directories(api, folder, run):
    put(api, f"{folder}/p", b"1")
    assert api.get(f"/api/2.0/mlflow-artifacts/presigned/{folder}/p").status_code == 501
    for which in ("download", "upload"):
        body = {"run_id": run.info.run_id, "path": "p"}
        assert api.post(f"artifacts/presigned-{which}-url", body).status_code in (400, 501)


def test_ui_routes(api, client, run, fresh_experiment):
    path = "/ajax-api/2.0/mlflow/upload-artifact"
    reply = api.session.post(
        api.url + path,
        params={"run_uuid": run.info.run_id, "path": "ui/note.txt"},
        data=b"hi",
        timeout=60,
    )
    assert reply.status_code == 200, reply.text
    assert (
        api.get("/get-artifact", {"run_id": run.info.run_id, "path": "ui/note.txt"}).content
        == b"hi"
    )
    reply = api.session.post(
        api.url + path,
        params={"run_uuid": run.info.run_id, "path": "big"},
        data=b"x" * (11 << 20),
        timeout=60,
    )
    assert reply.status_code in (400, 413)
    model = client.create_logged_model(fresh_experiment, name="net")
    put(api, f"{fresh_experiment}/models/{model.model_id}/artifacts/MLmodel", b"flavors: {}")
    path = f"/ajax-api/2.0/mlflow/logged-models/{model.model_id}/artifacts/files"
    assert api.get(path, {"artifact_file_path": "MLmodel"}).content == b"flavors: {}"
    listed = api.get(f"logged-models/{model.model_id}/artifacts/directories").json()
    assert [f["path"] for f in listed["files"]] == ["MLmodel"]


def test_many_at_once(api, folder):
    from concurrent.futures import ThreadPoolExecutor

    def one(i):
        data = hashlib.sha256(str(i).encode()).digest() * 5000
        with requests.Session() as s:
            assert (
                s.put(api.url + BASE + f"{folder}/m{i}", data=data, timeout=60).status_code == 200
            )
            return s.get(api.url + BASE + f"{folder}/m{i}", timeout=60).content == data

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(one, range(48)))


@pytest.mark.ours
def test_stalled_readers_hold_no_memory(server, api, folder):
    put(api, f"{folder}/large", b"x" * (16 << 20))

    def rss():
        with open(f"/proc/{server.pid}/statm") as f:
            return int(f.read().split()[1]) * 4096

    before = rss()
    stalled = []
    for _ in range(20):
        s = socket.create_connection((server.host, server.port), timeout=20)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(f"GET {BASE}{folder}/large HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert s.recv(16).startswith(b"HTTP/1.1 200")
        stalled.append(s)
    grown = rss() - before
    for s in stalled:
        s.close()
    if "sanitize" not in server.binary:
        assert grown < 24 << 20, grown
    assert threading.active_count() < 100


@pytest.mark.ours
def test_not_served_when_told(new_server):
    server = new_server("--no-serve-artifacts")
    reply = requests.get(server.url + BASE + "x", timeout=30)
    assert reply.status_code in (404, 503)
    made = requests.post(
        server.url + "/api/2.0/mlflow/experiments/create", json={"name": "plain"}, timeout=30
    ).json()
    got = requests.get(server.url + "/api/2.0/mlflow/experiments/get", made, timeout=30).json()[
        "experiment"
    ]
    assert got["artifact_location"].startswith(os.path.join(server.data_dir, "artifacts"))


@pytest.mark.ours
def test_artifacts_only(new_server):
    """--artifacts-only: the proxy and the probes serve, tracking says why it does not."""
    server = new_server("--artifacts-only")
    assert requests.put(server.url + BASE + "a.txt", data=b"1", timeout=30).status_code == 200
    assert requests.get(server.url + BASE + "a.txt", timeout=30).content == b"1"
    assert requests.get(server.url + "/health", timeout=30).text == "OK"
    refused = requests.get(
        server.url + "/api/2.0/mlflow/experiments/get", {"experiment_id": "0"}, timeout=30
    )
    assert refused.status_code == 503
    assert "`--artifacts-only` mode" in refused.json()["message"]
