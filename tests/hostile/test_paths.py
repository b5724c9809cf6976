# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P18: no path leaves the artifact root, in any spelling, on any route that takes one, nor through links planted inside."""

import ctypes
import itertools
import os
import re
import threading
import time
from urllib.parse import quote, unquote

import pytest

from capstan_server import SLOW
from conftest import FULL, unique
from wire import Client, Wire, head

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
MPU = "/api/2.0/mlflow-artifacts/mpu"
SECRET = b"the canary's secret"
INSIDE = b"inside the root"
CANARY = "canary.txt"
LIBC = ctypes.CDLL(None)
AT_FDCWD, RENAME_EXCHANGE = -100, 2     # linux/fcntl.h, linux/fs.h


def outside(server):
    """All files of the data directory that no client can name, with their sizes; the log and the database aside."""
    found = {}
    for folder, folders, files in os.walk(server.data_dir):
        if folder == server.data_dir:
            folders[:] = [f for f in folders if f not in ("artifacts", "postgres", "logs")]
        for name in files:
            if name != "daemon.log":
                path = os.path.join(folder, name)
                found[path] = os.path.getsize(path)
    return found


@pytest.fixture
def canary(server):
    """A file beside the artifact root; afterwards nothing beside the root has changed."""
    path = os.path.join(server.data_dir, CANARY)
    with open(path, "wb") as f:
        f.write(SECRET)
    before, above = outside(server), sorted(os.listdir(server.data_dir))
    yield path
    with open(path, "rb") as f:
        assert f.read() == SECRET
    assert outside(server) == before
    assert sorted(os.listdir(server.data_dir)) == above


# ---- spellings ----

DOTS = ["..", "%2e%2e", "%2E.", ".%2e", "%252e%252e", "%25252e%25252e", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae",
        "%u002e%u002e", "%ef%bc%8e%ef%bc%8e", "..;", "..;a=b", "..%00", "..%20", "..."]
SLASHES = ["/", "%2f", "%252f", "%25252F", "\\", "%5c", "%255c", "%c0%af", "%e0%80%af", "/./", "//", "%u2215"]


def climbing():
    yield from (f"{dots}{slash}{CANARY}" for dots, slash in itertools.product(DOTS, SLASHES))
    for dots, slash in itertools.product(DOTS[:6], SLASHES[:7]):
        yield f"a{slash}{dots}{slash}{dots}{slash}{CANARY}"
        yield f"a/{dots}"
        yield f"{(dots + slash) * 12}etc{slash}passwd"
        yield f".{slash}{dots}{slash}{CANARY}"


ABSOLUTE = [
    "/etc/passwd", "//etc/passwd", "%2fetc%2fpasswd", "%252fetc%252fpasswd", "\\etc\\passwd", "%5cetc%5cpasswd", "C:/x", "C:\\x",
    "c%3a%5cx", "C%253a/x", "file:/etc/passwd", "file:///etc/passwd", "file:%2f%2f%2fetc%2fpasswd", "FILE:///etc/passwd",
    "%66ile:///etc/passwd", "file%3a//%2fetc/passwd", "//proc/self/root/etc/passwd", "%2f%2fproc%2fself%2froot%2fetc%2fpasswd",
    "/proc/self/environ", "~/x", "~root/x", "$HOME/x", "`id`", "|id", "x%00/../../" + CANARY, "x%0a../" + CANARY,
    f"a%23/../../{CANARY}", f"a%3f/../../{CANARY}", f"a;/../../{CANARY}", f"a%3b/..%2f..%2f{CANARY}", "a%23b", "%23", "",
    "http://169.254.169.254/latest/meta-data", "http:%2f%2f127.0.0.1/x", "\\\\host\\share", "%5c%5chost%5cshare", "a%ff", "%80",
    "%f5%80%80%80", "%ed%a0%80", "%", "%2", "%zz", "a%", "x" * 256, "x/" * 2100 + "x", "%2e", ".", "./", "%2e%2f",
    ".capstan-tmp", ".capstan-tmp/x", "./.capstan-tmp", "%2ecapstan-tmp", "a//../.capstan-tmp", "%252ecapstan-tmp/x", ".capstan-tmp%2fx",
]
SPELLINGS = sorted(set(climbing())) + ABSOLUTE


def climbs(spelling):
    """Whether some number of decodings makes it leave its folder."""
    text = spelling
    for _ in range(6):
        if ".." in re.split(r"[/\\]", text) and ".." in text.split("/"):
            return True
        text = unquote(text, errors="surrogateescape")
    return False


def never(reply, spelling, writes=False):
    assert SECRET not in reply.body, spelling
    assert b"root:x:" not in reply.body, spelling
    assert b'"daemon.log"' not in reply.body and b'"postgres"' not in reply.body, (spelling, reply)
    assert reply.status in (200, 400, 404, 405, 414, 431), (spelling, reply)
    if climbs(spelling):
        assert reply.status in (400, 404), (spelling, reply)
    if reply.status == 200 and writes:
        assert not climbs(spelling)


def visible(spelling):
    """It may stand in a request line."""
    return all("!" <= c <= "~" for c in spelling)


@pytest.mark.parametrize("mount", ["/api", "/ajax-api"])
def test_the_proxy_stays_below_its_root(client, canary, mount):
    base = PROXY.replace("/api", mount, 1)
    for spelling in filter(visible, SPELLINGS):
        target = f"{base}/{spelling}"
        never(client.ask("GET", target), spelling)
        never(client.ask("DELETE", target), spelling)
        never(client.ask("PUT", target, b"evil"), spelling, writes=True)
        never(client.ask("GET", f"{base}?path={spelling.replace('#', '%23').replace('&', '%26')}"), spelling)


def test_the_root_itself_is_not_deleted(server, client, canary):
    folder = unique()
    assert client.ask("PUT", f"{PROXY}/{folder}/x", b"kept").status == 200
    for spelling in ("", "/", ".", "./", "%2e", "%2e%2f", "//", "/.", "a/..", "%2f", "%252e", ".%2f.", "%252f", "%25%32%65"):
        reply = client.ask("DELETE", f"{PROXY}/{spelling}")
        assert reply.status in (400, 404, 405) or "%25" in spelling, (spelling, reply)   # "%2e" is a name, of nothing
    assert client.ask("DELETE", PROXY).status == 405
    assert client.ask("GET", f"{PROXY}/{folder}/x").body == b"kept"


def test_multipart_uploads_stay_below_the_root(server, client, canary):
    for spelling in filter(visible, SPELLINGS):
        name = unquote(spelling, errors="replace")
        for body in ({"path": spelling}, {"path": name}):
            made = client.ask("POST", f"{MPU}/create/x", {**body, "num_parts": 1})
            assert made.status in (200, 400), (spelling, made)
            if made.status == 200:      # `path` is the client's own file: its last segment is the name
                url = made.json["credentials"][0]["url"]
                key = unquote(url.split("/mpu/part/", 1)[1].split("?")[0])
                assert re.fullmatch(r"x/[^/]+", key) and not climbs(key), (spelling, url)
            for what in ("complete", "abort"):
                full = {**body, "upload_id": "0" * 32, "parts": [{"part_number": 1, "etag": "x", "url": "u"}]}
                reply = client.ask("POST", f"{MPU}/{what}/x", full)
                assert reply.status in (400, 404) or what == "abort", reply
                never(reply, spelling)
        if spelling:
            never(client.ask("POST", f"{MPU}/create/{spelling}", {"path": "x", "num_parts": 1}), spelling)
            never(client.ask("PUT", f"{MPU}/part/{spelling}?upload_id={'0' * 32}&part_number=1", b"evil"), spelling)


def test_upload_ids_are_not_paths(server, client, canary):
    """An upload id that is not one of ours names nothing, wherever it would lead as a path."""
    for text in ("../../" + CANARY, "..", ".", "", "/etc", "%2e%2e", "a/b", "x" * 5000, "0" * 31, "0" * 33, "é", "0" * 31 + "\0", "../" + "0" * 32):
        body = {"path": "x/y", "upload_id": text, "parts": [{"part_number": 1, "etag": "x", "url": "u"}]}
        for what in ("complete", "abort"):
            reply = client.ask("POST", f"{MPU}/{what}/x", body)
            assert reply.status in (400, 404), (text, reply)
        for number in ("1", "-1", "0", "../1", "99999999999", "x", ""):
            reply = client.ask("PUT", f"{MPU}/part/x/y?upload_id={quote(text, safe='')}&part_number={quote(number, safe='')}", b"evil")
            assert reply.status in (400, 404, 414), (text, number, reply)


QUERIES = [
    ("GET", "/get-artifact?run_id={run}&path="),
    ("GET", "/get-artifact?run_uuid={run}&path="),
    ("GET", "/api/2.0/mlflow/artifacts/list?run_id={run}&path="),
    ("GET", "/ajax-api/2.0/mlflow/logged-models/{model}/artifacts/files?artifact_file_path="),
    ("GET", "/api/2.0/mlflow/logged-models/{model}/artifacts/directories?artifact_directory_path="),
    ("POST", "/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path="),
]


@pytest.mark.parametrize("method, where", QUERIES)
def test_paths_in_a_query_stay_in_their_run(client, world, canary, method, where):
    other = type(world)(client)
    assert client.ask("PUT", f"{PROXY}/{other.experiment}/{other.run}/artifacts/mine", SECRET).status == 200
    base = where.format(run=world.run, model=world.model)
    crossing = [f"{dots}{slash}{dots}{slash}{other.run}{slash}artifacts{slash}mine" for dots in DOTS[:6] for slash in SLASHES[:6]]
    for spelling in filter(visible, SPELLINGS + crossing):
        escaped = spelling.replace("#", "%23").replace("&", "%26")
        reply = client.ask(method, base + escaped, b"evil" if method == "POST" else None)
        never(reply, spelling, writes=method == "POST")


@pytest.mark.parametrize("route", ["presigned-download-url", "presigned-upload-url"])
def test_presigned_paths(client, world, canary, route):
    for spelling in SPELLINGS:
        reply = client.post("artifacts/" + route, {"run_id": world.run, "path": spelling})
        assert reply.status in (400, 404, 501), reply
        assert SECRET not in reply.body


@pytest.mark.parametrize("field", ["run_id", "model_id"])
def test_ids_are_not_paths(client, world, canary, field):
    """An id that is a path finds nothing, and makes nothing."""
    for spelling in SPELLINGS[::3] + ABSOLUTE:
        text = quote(unquote(spelling, errors="replace"), safe="")
        if field == "run_id":
            replies = [client.ask("GET", f"/get-artifact?run_id={text}&path=x"),
                       client.ask("GET", f"/api/2.0/mlflow/artifacts/list?run_id={text}")]
        else:
            replies = [client.ask("GET", f"/api/2.0/mlflow/logged-models/{text or '%20'}"),
                       client.ask("GET", f"/ajax-api/2.0/mlflow/logged-models/{text or '%20'}/artifacts/files?artifact_file_path=x")]
        for reply in replies:
            assert reply.status in (400, 404, 414, 431), (spelling, reply)


# ---- links planted by somebody with a shell ----

@pytest.fixture
def planted(server, client, canary):
    """A folder below the artifact root full of ways out."""
    folder = unique("planted")
    assert client.ask("PUT", f"{PROXY}/{folder}/sub/file", INSIDE).status == 200
    root = os.path.join(server.data_dir, "artifacts", folder)
    links = {"file-link": canary, "dir-link": server.data_dir, "slash": "/", "up": "../..", "proc": "/proc/self/root", "fd": "/proc/self/fd",
             "loop": "loop", "dangling": os.path.join(server.data_dir, "made-by-attack"), "chain": "dir-link", "inside": "sub/file",
             "sub/up": "../../.."}
    for name, target in links.items():
        os.symlink(target, os.path.join(root, name))
    os.mkfifo(os.path.join(root, "pipe"))
    yield folder
    for name in links:
        assert os.path.islink(os.path.join(root, name)), f"{name} was replaced"


def test_links_lead_nowhere(server, client, planted):
    tails = ["file-link", f"dir-link/{CANARY}", "slash/etc/passwd", f"up/{CANARY}", "proc/etc/passwd", f"chain/{CANARY}", "loop", "loop/x",
             "dangling", "inside", f"sub/up/{CANARY}", "fd/0", f"dir-link/artifacts/{planted}/sub/file", "pipe", "pipe/x", "dir-link",
             "slash", "slash/", "up", "chain/"]
    for tail in tails:
        path = f"{PROXY}/{planted}/{tail}"
        for method in ("GET", "HEAD"):
            reply = client.ask(method, path)
            assert reply.status in (400, 403, 404), (tail, reply)
            assert SECRET not in reply.body and b"root:" not in reply.body and INSIDE not in reply.body
        listed = client.ask("GET", f"{PROXY}?path={planted}/{tail}")
        assert listed.status in (200, 400, 403, 404), listed
        assert listed.status != 200 or not listed.json.get("files"), (tail, listed)
        if not tail.startswith("pipe"):
            reply = client.ask("PUT", f"{path.rstrip('/')}/new", b"evil")
            assert reply.status in (400, 403, 404, 409), (tail, reply)
    for name in ("new", "made-by-attack"):
        assert not os.path.lexists(os.path.join(server.data_dir, name)) and not os.path.lexists("/" + name)


def test_multipart_through_links(server, client, planted):
    for tail in ("dir-link", "slash/tmp", "up", "chain", "sub/up"):
        made = client.ask("POST", f"{MPU}/create/{planted}/{tail}", {"path": "new", "num_parts": 1})
        if made.status != 200:
            assert made.status in (400, 403, 404)
            continue
        url = made.json["credentials"][0]["url"].split("//", 1)[-1]
        part = client.ask("PUT", url[url.index("/"):], b"evil")
        body = {"path": "new", "upload_id": made.json["upload_id"], "parts": [{"part_number": 1, "etag": part.headers.get("etag", ""), "url": "u"}]}
        done = client.ask("POST", f"{MPU}/complete/{planted}/{tail}", body)
        assert done.status in (400, 403, 404, 409), (tail, done)


def test_deleting_a_folder_full_of_links_deletes_the_links(server, client, canary):
    folder = unique("planted")
    assert client.ask("PUT", f"{PROXY}/{folder}/file", b"inside").status == 200
    root = os.path.join(server.data_dir, "artifacts", folder)
    kept = os.path.join(server.data_dir, "kept-folder")
    os.makedirs(os.path.join(kept, "deep"))
    try:
        with open(os.path.join(kept, "deep", "file"), "w") as f:
            f.write("kept")
        os.symlink(kept, os.path.join(root, "out"))
        os.symlink(canary, os.path.join(root, "canary"))
        assert client.ask("DELETE", f"{PROXY}/{folder}/out/deep").status in (200, 400, 403, 404)
        assert os.path.exists(os.path.join(kept, "deep", "file"))
        assert client.ask("DELETE", f"{PROXY}/{folder}").status == 200
        assert os.path.exists(os.path.join(kept, "deep", "file"))
        assert not os.path.lexists(root)
    finally:
        for path in (os.path.join(kept, "deep", "file"),):
            os.unlink(path)
        os.removedirs(os.path.join(kept, "deep"))


def test_a_folder_that_becomes_a_link_under_way(server, client, canary):
    """Check and use are one: a folder is exchanged for a link out of the root, for ever, while clients use it."""
    folder = unique("race")
    root = os.path.join(server.data_dir, "artifacts", folder)
    assert client.ask("PUT", f"{PROXY}/{folder}/a/{CANARY}", b"inside").status == 200
    os.symlink(server.data_dir, os.path.join(root, "b"))
    over = threading.Event()
    swaps = 0

    def exchange():
        nonlocal swaps
        a, b = (os.path.join(root, name).encode() for name in ("a", "b"))
        while not over.is_set():
            if LIBC.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) == 0:
                swaps += 1

    thread = threading.Thread(target=exchange)
    thread.start()
    read = 0
    try:
        until = time.monotonic() + (10 if FULL else 2) * SLOW
        while time.monotonic() < until:
            reply = client.ask("GET", f"{PROXY}/{folder}/a/{CANARY}")
            assert reply.body != SECRET
            read += reply.status == 200
            assert client.ask("PUT", f"{PROXY}/{folder}/a/{CANARY}", b"inside").status in (200, 400, 403, 404, 409)
            assert client.ask("PUT", f"{PROXY}/{folder}/a/evil", b"x").status in (200, 400, 403, 404, 409)
            client.ask("DELETE", f"{PROXY}/{folder}/a/evil")
            listed = client.ask("GET", f"{PROXY}?path={folder}/a")
            assert b"postgres" not in listed.body
    finally:
        over.set()
        thread.join()
    assert swaps > 10 and read, (swaps, read)


# ---- file names in headers ----

NAMES = ["a\r\nSet-Cookie: x=1", "a\nX-Injected: 1", "a\rX-Injected: 1", 'a"; filename="evil.html', "a';b", "é ü.txt", "\u202egpj.exe", "\u2028.txt",
         "<script>alert(1)</script>", "a%0d%0aX-Injected: 1", "x\tb", "a\x7fb", "a\x1bb", "😀" * 20, "%s%s%n", "a\\\r\n b", "y" * 250]


@pytest.mark.parametrize("name", NAMES)
def test_names_do_not_become_headers(client, name):
    target = f"{PROXY}/{unique()}/{quote(name, safe='')}"
    made = client.ask("PUT", target, b"<script>alert(1)</script>")
    assert made.status in (200, 400), made
    reply = client.ask("GET", target)       # wire.parse() refuses stray lines and control characters
    assert not {"x-injected", "set-cookie"} & set(reply.headers), reply
    if made.status == 200:
        assert reply.status == 200
        assert reply.headers["content-disposition"].startswith("attachment")
        assert reply.headers["content-disposition"].count("filename=") == 1 or 'filename="' in name
        assert "sandbox" in reply.headers["content-security-policy"]


@pytest.mark.parametrize("name", ["x.html", "x.HTM", "x.xhtml", "x.svg", "x.xml", "x.js", "x.mjs", "x.htm", "x.shtml", "x.xht", "x.xsl", "x.pdf", "x.swf", "x",
                                  "x.html.gz", "x.mht", "x.hta", "x.wasm", "x.rdf", "x.vtt"])
def test_downloads_never_run_in_a_browser(client, world, name):
    """XSS through artifacts, on all three routes that hand them out."""
    content = b"<html><script>alert(1)</script>"
    runs = f"{PROXY}/{world.experiment}/{world.run}/artifacts/{name}"
    models = f"{PROXY}/{world.experiment}/models/{world.model}/artifacts/{name}"
    for target in (runs, models):
        assert client.ask("PUT", target, content, "Content-Type: text/html").status == 200
    for target in (runs, f"/get-artifact?run_id={world.run}&path={name}",
                   f"/ajax-api/2.0/mlflow/logged-models/{world.model}/artifacts/files?artifact_file_path={name}"):
        for lines in ([], ["Accept: text/html"], ["Range: bytes=0-3"]):
            reply = client.ask("GET", target, None, *lines)     # judge() refuses html, xml and scripts
            assert reply.status in (200, 206), reply
            assert "svg" not in reply.headers["content-type"]
            assert reply.headers["content-disposition"].startswith("attachment")
            assert "sandbox" in reply.headers["content-security-policy"]


@pytest.mark.parametrize("value", [
    "bytes=0-0,2-3", "bytes=0-", "bytes=-0", "bytes=-1", "bytes=9-1", "bytes=99-", "bytes=18446744073709551615-", "bytes=-18446744073709551616",
    "bytes=0-18446744073709551616", "bytes=9223372036854775807-9223372036854775808", "bytes=+1-2", "bytes=0x1-2", "bytes=1 - 2", "bytes= 1-2",
    "bytes=--1", "bytes=", "bytes", "=0-1", "lines=0-1", "bytes=0-1;q=1", "BYTES=0-1", "bytes=0-0," * 500 + "1-1", "bytes=a-b", "bytes=1-2-3",
])
def test_ranges(client, value):
    """Never bytes that are not the file's, nor a length that is a lie (CVE-2017-7529, CVE-2011-3192)."""
    target, data = f"{PROXY}/{unique()}/r", bytes(range(10))
    assert client.ask("PUT", target, data).status == 200
    reply = client.ask("GET", target, None, "Range: " + value)
    assert reply.status in (200, 206, 400, 416, 431), reply
    if reply.status == 200:
        assert reply.body == data
    if reply.status == 206:
        first, last, total = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", reply.headers["content-range"]).groups())
        assert total == len(data) and first <= last < total and reply.body == data[first:last + 1]
    assert len(reply.body) <= len(data) or reply.status >= 400


def test_bytes_of_a_raw_target(server):
    """Bytes that have no place in a request line are refused, whatever they would decode to."""
    for byte in [*range(0, 33), *range(127, 256)]:
        if byte in (0x0A, 0x0D, 0x20):
            continue
        with Wire(server) as wire:
            wire.send(head("GET", b"/get-artifact?path=" + bytes([byte])))
            reply = wire.reply()
            assert reply is None or reply.status == 400, (byte, reply)


def test_one_client_for_each(server):
    """The suite above shares connections: make sure a refused upload does not poison the next request on it."""
    made = Client(server)
    try:
        for _ in range(5):
            assert made.ask("PUT", f"{PROXY}/%2e%2e/x", b"evil" * 100).status == 400
            assert made.ask("GET", "/health").body == b"OK"
    finally:
        made.close()
