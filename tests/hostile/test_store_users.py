# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Artifacts in buckets: what other users reach of them, and what many requests at one time do to a daemon whose store hangs."""

import contextlib
import re
import signal
import socket
import threading
import time
import urllib.parse

import pytest

import accounts
import load
from bad_store import BUCKET, HANG, PREFIX, reply
from capstan_server import SLOW, wait_for
from conftest import unique
from test_memory import MIB
from test_stores import BIG, DATA, KINDS, MPU, PROXY, SIGNED, P, ask, place, q  # noqa: F401
from wire import Client

# ---- other users ----


@pytest.fixture
def shared(place, tmp_path):
    """A daemon with accounts; the admin's experiment 'owned' in the bucket, of which eve may see nothing."""
    flags = ("--default-artifact-root", f"s3://{BUCKET}/{PREFIX}", "--artifact-roots", "s3://shared-bucket")
    p = place("s3", *accounts.FLAGS, *flags, **accounts.environment(tmp_path, "NO_PERMISSIONS"))
    admin = Client(p.daemon, accounts.ADMIN)
    name = unique("eve")
    admin.good("users/create", {"username": name, "password": accounts.PASSWORD})
    eve = Client(p.daemon, (name, accounts.PASSWORD))
    yield p, admin, eve
    admin.close()
    eve.close()


def spellings(p, experiment, run):
    """The owned experiment's place and the run's, as many ways as there are."""
    below = [experiment, f"{experiment}/{run}", f"{experiment}/{run}/artifacts", f"{experiment}/models"]
    for each in below:
        for root in (f"s3://{BUCKET}/{PREFIX}", f"s3://{BUCKET}//{PREFIX}", f"S3://{BUCKET}/{PREFIX}", f"s3://{BUCKET}/{q(PREFIX)}", f"s3://{BUCKET}/{PREFIX}/.", f"s3://{BUCKET}/y/../{PREFIX}",
                     f"s3://{BUCKET}/{PREFIX}/", "mlflow-artifacts:", "mlflow-artifacts:/", "mlflow-artifacts://", "mlflow-artifacts://host", "MLFLOW-ARTIFACTS:", f"{p.daemon.url}/api/2.0/mlflow-artifacts/artifacts",
                     "http://other/api/2.0/mlflow-artifacts/artifacts", "mlflow-artifacts:/workspaces/default", f"s3://{BUCKET}/{PREFIX}/workspaces/default", "mlflow-artifacts:/x/.."):
            for tail in ("", "/", "//"):
                yield f"{root}/{each}{tail}"
        first = "".join(f"%{ord(c):02x}" for c in each.partition("/")[0])
        yield f"mlflow-artifacts:/{first}{each[len(each.partition('/')[0]):]}"
        yield f"s3://{BUCKET}/{PREFIX}/{first}"
    yield from (f"s3://{BUCKET}/{PREFIX}", f"s3://{BUCKET}/{PREFIX}/", f"s3://{BUCKET}", f"s3://{BUCKET}/team a", "mlflow-artifacts:/", "mlflow-artifacts:")


def test_no_other_user_reaches_an_experiments_files(shared):
    p, admin, eve = shared
    experiment = admin.good("experiments/create", {"name": unique()})["experiment_id"]
    info = admin.good("runs/create", {"experiment_id": experiment})["run"]["info"]
    run, uri = info["run_id"], info["artifact_uri"]
    assert uri.startswith(f"s3://{BUCKET}/{PREFIX}/"), uri
    key = f"{experiment}/{run}/artifacts/secret.txt"
    p.put(key, b"the owner's secret")
    assert admin.ask("GET", f"/get-artifact?run_id={run}&path=secret.txt").body == b"the owner's secret"
    before = dict(p.store.objects)

    denied = [
        ("GET", f"/get-artifact?run_id={run}&path=secret.txt", None), ("GET", f"/api/2.0/mlflow/artifacts/list?run_id={run}", None), ("GET", f"{PROXY}/{key}", None), ("HEAD", f"{PROXY}/{key}", None),
        ("GET", f"{PROXY}/%32/../{key}", None), ("GET", f"{SIGNED}/{key}", None), ("GET", f"{SIGNED}/x/../{key}", None), ("GET", f"{SIGNED}//{key}", None), ("GET", f"{SIGNED}/{experiment}%2f{run}%2fartifacts%2fsecret.txt", None),
        ("POST", "/api/2.0/mlflow/artifacts/presigned-download-url", {"run_id": run, "path": "secret.txt"}), ("POST", "/api/2.0/mlflow/artifacts/presigned-upload-url", {"run_id": run, "path": "secret.txt"}),
        ("POST", f"{MPU}/create/{experiment}/{run}/artifacts", {"path": "secret.txt", "num_parts": 1}), ("POST", f"{MPU}/create/{experiment}", {"path": f"{run}/artifacts/secret.txt", "num_parts": 1}),
        ("POST", f"{MPU}/complete/{experiment}/{run}/artifacts", {"path": "secret.txt", "upload_id": "u", "parts": [{"part_number": 1, "etag": "e"}]}),
        ("POST", f"{MPU}/abort/{experiment}/{run}/artifacts", {"path": "secret.txt", "upload_id": "u"}), ("PUT", f"{PROXY}/{key}", b"evil"), ("DELETE", f"{PROXY}/{key}", None), ("DELETE", f"{PROXY}/{experiment}", None),
        ("GET", f"{PROXY}?path={experiment}", None), ("GET", f"{PROXY}?path={experiment}/{run}/artifacts", None), ("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=secret.txt", b"evil"),
    ]
    asked = len(p.store.exchanges)
    for method, target, body in denied:
        reply_ = eve.ask(method, target, body)
        assert reply_.status in (400, 403, 404), (method, target, reply_)
        assert b"secret" not in reply_.body.replace(target.encode(), b"") and b"X-Amz" not in reply_.body, (method, target, reply_)
    assert len(p.store.exchanges) == asked, p.store.exchanges[asked:]

    # Experiments and versions of eve's own that point there.
    model = unique("model")
    eve.good("registered-models/create", {"name": model})
    for place_ in {*spellings(p, experiment, run)}:
        made = eve.post("experiments/create", {"name": unique(), "artifact_location": place_})
        if made.status == 200:
            own = eve.good("runs/create", {"experiment_id": made.json["experiment_id"]})["run"]["info"]
            asked = len(p.store.exchanges)
            eve.ask("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={own['run_id']}&path=evil", b"evil")
            written = [x for x in p.store.exchanges[asked:] if x.method == "PUT"]
            assert not [x for x in written if f"/{experiment}/" in urllib.parse.unquote(x.path)], (place_, written)
            for path in ("secret.txt", f"../../{run}/artifacts/secret.txt", f"{run}/artifacts/secret.txt", key, ""):
                for answer in (eve.ask("GET", f"/get-artifact?run_id={own['run_id']}&path={path}"), eve.get("artifacts/list", {"run_id": own["run_id"], "path": path}),
                               eve.post("artifacts/presigned-download-url", {"run_id": own["run_id"], "path": path})):
                    assert answer.status != 200 or b"secret" not in answer.body and b"X-Amz" not in answer.body, (place_, path, answer)
                upload = eve.post("artifacts/presigned-upload-url", {"run_id": own["run_id"], "path": path})
                assert upload.status != 200 or own["run_id"] in upload.json["presigned_url"].split("?")[0], (place_, upload)
        version = eve.post("model-versions/create", {"name": model, "source": place_})
        if version.status == 200:
            number = version.json["model_version"]["version"]
            for path in ("secret.txt", f"{run}/artifacts/secret.txt", key, f"{run}/../{run}/artifacts/secret.txt", "artifacts/secret.txt"):
                answer = eve.ask("GET", f"/model-versions/get-artifact?name={model}&version={number}&path={path}")
                assert b"the owner" not in answer.body and answer.status != 307, (place_, path, answer)
    assert {k: v for k, v in p.store.objects.items() if f"/{experiment}/" in k} == before
    p.inside()


def test_places_beside_the_destination_have_owners_too(shared):
    """A bucket that --artifact-roots names: who holds a place there decides about what lies in it."""
    p, admin, eve = shared
    p.store.s3 = lambda x: reply(200, b"the owner's secret", ETag='"x"') if x.path.startswith("/shared-bucket/") else reply(404)
    home = f"s3://shared-bucket/{unique('home')}"
    experiment = admin.good("experiments/create", {"name": unique(), "artifact_location": home})["experiment_id"]
    admin.good("runs/create", {"experiment_id": experiment})
    model = unique("model")
    eve.good("registered-models/create", {"name": model})
    for place_ in (home, home + "/", home + "/x", home + "/x/y", home + "//", home + "//x", home + "/./x", home.replace("s3:", "S3:"), home + "/%2e"):
        made = eve.post("experiments/create", {"name": unique(), "artifact_location": place_})
        version = eve.post("model-versions/create", {"name": model, "source": place_})
        asked = len(p.store.exchanges)
        for answer in (made, version):
            # What can be taken can never be read.
            assert answer.status in (400, 403) or answer.status == 200 and place_ not in (home, home + "/", home + "/x", home + "/x/y"), (place_, answer)
        if made.status == 200:
            own = eve.good("runs/create", {"experiment_id": made.json["experiment_id"]})["run"]["info"]["run_id"]
            assert eve.ask("GET", f"/get-artifact?run_id={own}&path=x").status in (400, 403, 404, 501)
            assert eve.post("artifacts/presigned-upload-url", {"run_id": own, "path": "x"}).status in (400, 403, 404, 501)
        if version.status == 200:
            got = eve.ask("GET", f"/model-versions/get-artifact?name={model}&version={version.json['model_version']['version']}&path=x")
            assert got.status in (400, 403, 404, 501), (place_, got)
        assert len(p.store.exchanges) == asked, (place_, p.store.exchanges[asked:])
    # What holds it.
    version = eve.post("model-versions/create", {"name": model, "source": "s3://shared-bucket"})
    assert version.status == 403, version


def test_signed_urls_are_of_one_object_one_method_and_some_time(place):
    p = place("s3")
    p.put("x")
    client = Client(p.daemon)
    experiment = client.good("experiments/create", {"name": unique(), "artifact_location": f"s3://{BUCKET}/{PREFIX}/own"})["experiment_id"]
    run = client.good("runs/create", {"experiment_id": experiment})["run"]["info"]["run_id"]
    p.put(f"own/{run}/artifacts/x")
    for seconds in (0, -1, 604801, 2 ** 31, 2 ** 63 - 1):
        for verb in ("download", "upload"):
            assert client.post(f"artifacts/presigned-{verb}-url", {"run_id": run, "path": "x", "expiration": seconds}).status == 400, (seconds, verb)
    for seconds in (1, 604800):
        for verb in ("download", "upload"):
            url = client.good(f"artifacts/presigned-{verb}-url", {"run_id": run, "path": "x", "expiration": seconds})["presigned_url"]
            assert f"X-Amz-Expires={seconds}&" in url + "&" and urllib.parse.urlsplit(url).path == f"/{BUCKET}/{P}/own/{run}/artifacts/x"
            assert "host" in urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["X-Amz-SignedHeaders"][0]
    for path in ("", "/", "../x", "x/..", ".", "a//../x", "%2e%2e/x", "x/"):
        for verb in ("download", "upload"):
            answer = client.post(f"artifacts/presigned-{verb}-url", {"run_id": run, "path": path})
            if answer.status == 200:
                assert urllib.parse.urlsplit(answer.json["presigned_url"]).path == f"/{BUCKET}/{P}/own/{run}/artifacts/x", (path, answer)
    urls = [c["url"] for c in client.ask("POST", f"{MPU}/create/d", {"path": "y", "num_parts": 3}).json["credentials"]]
    assert [re.search(r"partNumber=(\d+)", u)[1] for u in urls] == ["1", "2", "3"] and all("X-Amz-Expires=3600&" in u and urllib.parse.urlsplit(u).path == f"/{BUCKET}/{P}/d/y" for u in urls)
    client.close()


# ---- numbers ----


def start(p, method, target, body=b"", size=None):
    sock = socket.create_connection((p.daemon.host, p.daemon.port), 30 * SLOW)
    lines = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n" + (f"Content-Length: {size if size is not None else len(body)}\r\n" if method != "GET" else "")

    def send():
        with contextlib.suppress(OSError):
            sock.sendall(lines.encode() + b"\r\n" + body)

    # A large body is taken no faster than the store takes it.
    threading.Thread(target=send, daemon=True).start() if len(body) > 10_000 else send()
    return sock


def test_a_store_that_never_answers_stops_nobody_else(place):
    """Transfers and lists of which none ends: JSON goes on, and when the store's patience is over so do they."""
    p = place("s3")
    p.put("fine")
    client = Client(p.daemon)
    client.good("experiments/create", {"name": unique()})
    p.store.hook = lambda x: None if x.path.endswith("/fine") else HANG
    threads = load.threads(p.daemon.pid)
    waiting = [start(p, "GET", f"{PROXY}/slow{n}") for n in range(120)] + [start(p, "PUT", f"{PROXY}/slow{n}", b"x" * 1000) for n in range(100)]
    begun = time.monotonic()
    for _ in range(20):
        at = time.monotonic()
        assert client.post("experiments/search", {"max_results": 5}).status == 200
        assert ask(p.daemon, "GET", f"{PROXY}/fine").body == DATA
        assert time.monotonic() - at < 1.5 * SLOW
    waiting += [start(p, "GET", f"{PROXY}/slow{n}") for n in range(80)] + [start(p, "GET", f"{PROXY}?path=d{n}") for n in range(100)] + [start(p, "DELETE", f"{PROXY}/d{n}") for n in range(20)]
    for _ in range(20):
        at = time.monotonic()
        assert client.post("experiments/search", {"max_results": 5}).status == 200
        assert client.post("runs/search", {"experiment_ids": ["0"]}).status == 200
        assert time.monotonic() - at < 1.5 * SLOW
    assert load.threads(p.daemon.pid) < threads + 10, "a thread for each"
    p.store.hook = None
    # Those before have their tries; then the next is served.
    answer = ask(p.daemon, "GET", f"{PROXY}/fine", timeout=90)
    assert answer.body == DATA and time.monotonic() - begun < 90 * SLOW
    for each in waiting:
        each.close()
    client.close()
    wait_for(lambda: load.sockets(p.daemon.pid) < 100, 60, "end of the connections")


def test_too_many_that_wait_for_a_store_are_told(place):
    p = place("s3")
    p.store.hook = lambda x: HANG
    waiting = [start(p, "GET", f"{PROXY}?path=d{n}") for n in range(4150)]
    client = Client(p.daemon)
    assert client.post("experiments/search", {"max_results": 5}).status == 200
    answer = ask(p.daemon, "GET", f"{PROXY}?path=one-too-many")
    assert answer.status == 503 and answer.json["error_code"] == "TEMPORARILY_UNAVAILABLE", answer
    client.close()
    for each in waiting:
        each.close()
    p.store.hook = None
    wait_for(lambda: ask(p.daemon, "GET", f"{PROXY}?path=x").status in (200, 404), 120, "the queue's end")


@KINDS
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_end_amid_transfers(place, kind, how):
    """A store that hangs keeps no daemon from ending; nothing is visible that was not whole."""
    p = place(kind, "--artifact-stall-seconds", "600")
    p.put("x")
    p.store.hook = lambda x: HANG
    waiting = [start(p, "GET", f"{PROXY}/x"), start(p, "PUT", f"{PROXY}/small", b"s" * 1000), start(p, "PUT", f"{PROXY}/big", BIG), start(p, "PUT", f"{PROXY}/half", BIG[:9 * MIB], size=len(BIG)),
               start(p, "GET", f"{PROXY}?path=d"), start(p, "DELETE", f"{PROXY}/x"), start(p, "GET", f"{SIGNED}/x"), start(p, "POST", f"{MPU}/create/d", b'{"path": "y"}')]
    wait_for(lambda: len(p.store.exchanges) >= 6, 20, "the store's part")
    at = time.monotonic()
    p.daemon.process.send_signal(how)
    p.daemon.process.wait(40 * SLOW)
    took = time.monotonic() - at
    assert p.daemon.process.returncode == (0 if how == signal.SIGTERM else -how), p.daemon.log()[-3000:]
    assert took < 30 * SLOW, took
    assert set(p.store.objects) == {p.store.key("x")}
    for each in waiting:
        each.close()
    p.store.hook = None
    p.daemon.start()
    assert ask(p.daemon, "GET", f"{PROXY}/x").body == DATA
    assert ask(p.daemon, "GET", f"{PROXY}/half").status == 404
