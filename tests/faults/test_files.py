# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P3, P5, P6: disks that are full, broken or read-only, and what an answered upload may rely on."""

import hashlib
import os
import threading
import uuid

import pytest

from capstan_server import wait_for
from wire import FILES, Client, Closed, Load, open_files, refusal, settled

FULL = os.environ.get("CAPSTAN_FULL") == "1"
PARTS = "/api/2.0/mlflow-artifacts/mpu/"
STATUS = {"ENOSPC": (507,), "EDQUOT": (507,), "EROFS": (503,), "EIO": (500, 503), "ENOMEM": (503,)}


def unique(prefix):
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def temporaries(daemon):
    """What lies in the store beside the artifacts."""
    top = os.path.join(daemon.artifacts, ".capstan-tmp")
    return [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]


# ---- P3 ----

def upload_many(daemon, name, count, ports):
    client = Client(daemon)
    for i in range(count):
        # Half of them into directories that are new.
        key = f"{name}/f{i}" if i % 2 else f"{name}/d{i}/sub/f{i}"
        assert client.put(key, os.urandom(2000 + i)).status == 200
        ports.setdefault(client.connection.sock.getsockname()[1], []).append(key)


def judge(events, artifacts, key, answer):
    """The data, the name and all new directories were synced before the answer, in an order that a crash respects."""
    path = os.path.join(artifacts, key)
    before = events[:answer.number]
    named = [e for e in before if e.function in ("link", "rename") and e.path == path and not e.error]
    assert named, f"{key}: answered without a name"
    synced = [e for e in before if e.function == "fsync" and not e.error]
    # Two uploads of one key may overtake each other: the newest name before an answer can be the other one's, whose
    # own answer still waits for its sync. Each answer needs one name of its key that is durable.
    whole = [n for n in named if any(e.inode == n.inode and e.number < n.number for e in synced)]
    assert whole, f"{key}: named before its data"
    assert any(e.path == os.path.dirname(path) and e.number > n.number for e in synced for n in whole), \
        f"{key}: name not synced"
    for made in [e for e in before if e.function == "mkdir" and not e.error and path.startswith(e.path + "/")]:
        assert any(e.path == os.path.dirname(made.path) and e.number > made.number for e in synced), \
            f"{key}: directory {made.path} not synced"


def test_uploads_are_durable_before_their_answer(daemon, shim):
    """P3, from the daemon's own calls, in one order."""
    name, ports = unique("durable"), {}
    count = 50 if FULL else 13
    shim.log("fsync", "link", "rename", "mkdir", "send")
    threads = [threading.Thread(target=upload_many, args=(daemon, f"{name}{'/same' if i < 2 else i}", count, ports))
               for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = shim.events()
    assert sum(map(len, ports.values())) == 4 * count
    for port, keys in ports.items():
        answers = [e for e in events if e.function == "send" and e.port == port and e.path.startswith("HTTP/1.1 200")]
        assert len(answers) == len(keys), (len(answers), len(keys))
        for key, answer in zip(keys, answers):
            judge(events, os.path.realpath(daemon.artifacts), key, answer)


# ---- P5 ----

def parts_upload(client, key, data):
    """Multipart, as MLflow's clients do it. The first reply that is none of success, else the last."""
    folder, _, name = key.rpartition("/")
    made = client.post(f"{PARTS}create/{folder}", {"path": name, "num_parts": 2})
    if made.status != 200:
        return made
    etags = []
    for number, credential in enumerate(made.json["credentials"], 1):
        url = credential["url"]
        path = url[url.index("/", 8):] if "://" in url else url
        half = data[:len(data) // 2] if number == 1 else data[len(data) // 2:]
        reply = client.call("PUT", path, half)
        if reply.status != 200:
            return reply
        etags.append(reply.headers["ETag"])
    parts = [{"part_number": i, "etag": etag} for i, etag in enumerate(etags, 1)]
    return client.post(f"{PARTS}complete/{folder}", {"path": name, "upload_id": made.json["upload_id"],
                                                     "parts": parts})


def put(client, key, data):
    return client.put(key, data)


def check_key(client, key, allowed):
    """The artifact is one of the whole versions; None: none at all, then neither listed."""
    reply = client.get(FILES + key)
    listed = key.rsplit("/", 1)[-1] in {p.rsplit("/", 1)[-1] for p in listing(client, key)}
    if reply.status == 404:
        assert None in allowed, f"{key} is lost"
        assert not listed, f"{key} is listed and cannot be read"
    else:
        assert reply.status == 200 and reply.data in allowed, f"{key}: {reply.status}, {len(reply.data)} bytes"
        assert listed


def listing(client, key):
    reply = client.get(f"/api/2.0/mlflow-artifacts/artifacts?path={key.rsplit('/', 1)[0]}")
    assert reply.status in (200, 404), reply
    return {f["path"] for f in reply.json.get("files", [])} if reply.status == 200 else set()


def try_upload(client, upload, key, data, statuses):
    """True: acknowledged."""
    try:
        reply = upload(client, key, data)
    except Closed:
        return False
    if reply.status == 200:
        return True
    refusal(reply, statuses)
    return False


def calls(shim, client, function, upload, key, data):
    with shim.count(function, "files") as rule:
        assert upload(client, key, data).status == 200
    return rule.seen


@pytest.mark.parametrize("function,error", [
    ("write", "ENOSPC"), ("write", "EDQUOT"), ("write", "EIO"), ("write", "EROFS"), ("fsync", "EIO"),
    ("fsync", "ENOSPC"), ("open", "EROFS"), ("open", "ENOSPC"), ("open", "EIO"), ("link", "ENOSPC"), ("link", "EDQUOT"),
    ("link", "EROFS"), ("link", "EIO"), ("rename", "ENOSPC"), ("rename", "EIO"), ("mkdir", "ENOSPC"),
    ("mkdir", "EROFS"), ("mkdir", "EIO"), ("copy", "ENOSPC"), ("copy", "EIO"), ("unlink", "EIO"), ("read", "EIO")])
@pytest.mark.parametrize("upload", [put, parts_upload])
def test_nth_call_fails(daemon, shim, client, function, error, upload):
    """P5: whichever call of an upload fails, once or for good: a clear answer, nothing half there, and well again."""
    folder = unique(f"{function}-{error}")
    old, new = os.urandom(150_000), os.urandom(200_000)
    most = calls(shim, client, function, upload, f"{folder}/probe/new", new)
    assert client.put(f"{folder}/kept", old).status == 200
    statuses = (503, 507, 500) if error == "EIO" else STATUS[error]
    before = open_files(daemon)
    failures = 0
    for n in range(1, min(most, 200 if FULL else 12) + 2):
        for count in (1, 1 << 40):
            fresh = f"{folder}/n{n}-{count}/deep/fresh"
            with shim.failing(function, error, "files", first=n, count=count) as rule:
                done = try_upload(client, upload, fresh, new, statuses)
                over = try_upload(client, upload, f"{folder}/kept", new, statuses)
                failures += not done or not over
            hit = rule.hit
            check_key(client, fresh, [new] if done else [None, new] if hit else [])
            check_key(client, f"{folder}/kept", [new] if over else [old, new])
            # Well at once, under the same name.
            assert upload(client, fresh, old).status == 200
            check_key(client, fresh, [old])
            assert client.put(f"{folder}/kept", old).status == 200
            check_key(client, f"{folder}/kept", [old])
    settled(daemon, before)
    if most and function not in ("unlink", "read"):
        assert failures, "the rule hit nothing: this test tests nothing"


@pytest.mark.parametrize("function", ["write", "copy", "read"])
def test_short_calls(daemon, shim, client, function):
    """A kernel may do less than it is asked for."""
    data = os.urandom(300_000)
    for upload in (put, parts_upload):
        key = f"{unique('short')}/x"
        with shim.failing(function, scope="files", action="short", count=1 << 40):
            done = try_upload(client, upload, key, data, (507,))
            check_key(client, key, [data] if done else [None])
        assert upload(client, key, data).status == 200
        check_key(client, key, [data])


@pytest.mark.parametrize("function,error", [("open", "EMFILE"), ("open", "EIO"), ("read", "EIO"), ("unlink", "EIO"),
                                            ("rename", "EIO"), ("mkdir", "ENOSPC"), ("open", "ENOMEM")])
def test_reading_and_removing(daemon, shim, client, function, error):
    """P5 for the other calls: never half an artifact as a whole one, never a crash."""
    folder, data = unique("read"), os.urandom(100_000)
    for n in range(1, 12):
        keys = [f"{folder}/{n}/a", f"{folder}/{n}/b/c"]
        for key in keys:
            assert client.put(key, data).status == 200
        for count in (1, 1 << 40):
            with shim.failing(function, error, "files", first=n, count=count):
                for method, path in (("GET", FILES + keys[0]),
                                     ("GET", f"/api/2.0/mlflow-artifacts/artifacts?path={folder}"),
                                     ("DELETE", f"{FILES}{folder}/{n}/b")):
                    try:
                        reply = client.call(method, path)
                    except Closed:
                        assert path == FILES + keys[0] and function == "read"   # cut in the middle: it shows
                        continue
                    if reply.status != 200:
                        refusal(reply, (500, 503, 507))
                    elif path == FILES + keys[0]:
                        assert reply.data == data
            check_key(client, keys[0], [data])
            check_key(client, keys[1], [data, None])
    assert client.call("DELETE", FILES + folder).status == 200


def test_half_removed_is_not_visible(daemon, shim, client):
    folder, data = unique("remove"), b"x" * 100
    for name in "abcd":
        assert client.put(f"{folder}/{name}", data).status == 200
    with shim.failing("unlink", "EIO", "files", first=2, count=1 << 40):
        with pytest.raises(AssertionError):     # it is not acknowledged ...
            client.good("DELETE", FILES + folder)
    left = listing(client, f"{folder}/x")       # ... and all or nothing is left
    assert len(left) in (0, 4), left
    assert client.put(f"{folder}/a", data).status == 200
    check_key(client, f"{folder}/a", [data])


# ---- P6 ----

def check_names(events):
    """No file got its name whose last sync had failed, or came after a failed one on the same file."""
    state = {}
    for e in events:
        if e.function == "open" and not e.error and ".capstan-tmp/" in e.path and e.path.endswith("/."):
            state = {}          # a new file without a name: it may have the inode of one that is gone
        elif e.function == "fsync":
            state[e.inode] = "failed" if e.error or state.get(e.inode) == "failed" else "synced"
        elif e.function == "link" and not e.error:
            assert state.get(e.inode) == "synced", f"{e}: {state.get(e.inode)}"


def test_failed_sync_is_never_a_lie(daemon, shim, client):
    """P6: the upload whose fsync failed is not acknowledged, nor any later one on the same file."""
    folder, data = unique("sync"), os.urandom(50_000)
    most = calls(shim, client, "fsync", put, f"{folder}/probe/deep/x", data)
    assert most >= 2
    for n in range(1, (50 if FULL else most + 1) + 1):
        key = f"{folder}/n{n}/deep/x"
        shim.log("fsync", "link", "rename", "open")
        with shim.failing("fsync", "EIO", "files", first=n) as rule:
            first = client.put(key, data)
            again = client.put(key, data)
        hit = rule.hit
        events = shim.events()
        check_names(events)
        if n <= most:
            assert hit == 1
            refusal(first, (500, 503))
            assert again.status == 200
            inodes = [e.inode for e in events if e.function == "link" and not e.error and e.path.endswith("/x")]
            assert len(set(inodes)) == len(inodes)
        check_key(client, key, [data])


# ---- a real disk ----

@pytest.fixture
def small_disk(tmp_path):
    """64 MiB of tmpfs; needs the right to mount."""
    import subprocess

    where = tmp_path / "disk"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=0711", "none", str(where)],
                      capture_output=True).returncode:
        pytest.skip("this user may not mount: the shim's tests stand for it")
    yield str(where)
    wait_for(lambda: subprocess.run(["umount", str(where)], capture_output=True).returncode == 0, 20, "umount")


class Uploads(Load):
    """Uploads of a megabyte next to small writes."""

    def step(self, client, i, step):
        if i % 2:
            return super().step(client, i, step)
        data = hashlib.sha256(f"{self.runs[i]}/{step}".encode()).digest() * 32768
        return client.put(f"{self.runs[i]}/{step}", data)

    def check(self, server=None):
        assert not self.problems, self.problems[:3]
        client = Client(self.server)
        for i, run in enumerate(self.runs):
            if i % 2:
                there = {int(m["step"]) for m in client.history(run, "m")}
                assert self.acknowledged[i] <= there
                continue
            listed = {int(p.rsplit("/", 1)[-1]) for p in listing(client, f"{run}/x")}
            assert self.acknowledged[i] <= listed, "acknowledged and lost"
            for step in sorted(listed):
                data = client.get(f"{FILES}{run}/{step}").data
                assert data == hashlib.sha256(f"{run}/{step}".encode()).digest() * 32768, "half an artifact"


def test_disk_fills_under_load(small_disk, faulty):
    """P5 on a real file system: 507 until there is room again, everything else works on."""
    daemon = faulty("--artifacts-destination", small_disk)
    client = Client(daemon)
    with Uploads(daemon, clients=6, statuses=(503, 507)) as load:
        wait_for(lambda: load.answers.get(507, 0) >= 20 or load.problems, 60, "the disk to fill")
        small = max(len(load.acknowledged[i]) for i in (1, 3, 5))
        wait_for(lambda: max(len(load.acknowledged[i]) for i in (1, 3, 5)) > small + 5 or load.problems, 20,
                 "writes that need no artifacts")
        refusal(client.put("full/x", bytes(1 << 20)), (507,))
    load.check()
    assert not temporaries(daemon) or all("/m" in t for t in temporaries(daemon))
    for i in (0, 2):
        assert client.call("DELETE", f"{FILES}{load.runs[i]}").status == 200
    assert client.put("after/x", bytes(4 << 20)).status == 200
