# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Artifacts in buckets under attack: by what clients name and by a store that lies. The store is our own, so that it can lie; that real ones are served is tests/artifacts' to show."""

import base64
import http.client
import itertools
import json
import os
import re
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import pytest

import load
from bad_store import BUCKET, HANG, PREFIX, Store, error, etag, listing, reply
from capstan_server import SLOW, wait_for
from conftest import unique
from stores import boundary
from test_memory import MIB, SANITIZED
from wire import Client, judge

MPU = "/api/2.0/mlflow-artifacts/mpu"
PROXY = "/api/2.0/mlflow-artifacts/artifacts"
SIGNED = "/api/2.0/mlflow-artifacts/presigned"
DATA = bytes(range(251)) * 1000
BIG = bytes(range(253)) * (20 * MIB // 253)          # more than a store gets in one request
STALL = 2


class Answer(NamedTuple):
    status: int
    headers: dict
    body: bytes
    cut: bool

    @property
    def json(self):
        return json.loads(self.body)


def ask(server, method, target, body=None, timeout=60, user=None, **headers):
    """As far as the answer comes; None: none came. Errors must be MLflow's."""
    connection = http.client.HTTPConnection(server.host, server.port, timeout=timeout * SLOW)
    if isinstance(body, (dict, list)):
        body, headers["Content-Type"] = json.dumps(body), "application/json"
    if user:
        headers["Authorization"] = basic(user)
    cut = False
    try:
        connection.request(method, target, body, {k.replace("_", "-"): v for k, v in headers.items()})
        got = connection.getresponse()
        data = b""
        try:
            while piece := got.read(1 << 20):
                data += piece
            cut = got.length not in (0, None) and method != "HEAD"
        except (http.client.IncompleteRead, ConnectionError):
            cut = True
        answer = Answer(got.status, {k.lower(): v for k, v in got.getheaders()}, data, cut)
    except (http.client.RemoteDisconnected, ConnectionError):
        return None
    finally:
        connection.close()
    if answer.status >= 400 and not cut and method != "HEAD" and answer.body != b"Permission denied":
        assert {"error_code", "message"} <= set(answer.json), answer
        assert len(answer.json["message"]) < 17 << 10
    return answer


def basic(user):
    return "Basic " + base64.b64encode(f"{user[0]}:{user[1]}".encode()).decode()


def q(text):
    return urllib.parse.quote(text, safe="/")


class Place:
    """A daemon before a store of ours."""

    def __init__(self, kind, postgres, new, *flags, store=None, **environment):
        self.store = store or Store(kind)
        self.kind = kind
        self.daemon = new("--artifacts-destination", self.store.uri, "--artifact-stall-seconds", str(int(STALL * SLOW)), *flags,
                          backend=postgres.database(unique()), env=self.store.environment(**environment))

    def put(self, key, data=DATA):
        self.store.objects[self.store.key(key)] = data

    def inside(self):
        """All that the store was asked is below bucket and prefix."""
        found = boundary.outside(self.store.exchanges, self.kind, BUCKET, PREFIX)
        assert not found, found[:3]

    def alive(self):
        assert self.daemon.process.poll() is None, self.daemon.log()[-4000:]
        assert ask(self.daemon, "GET", "/health").body == b"OK"


@pytest.fixture
def place(new_server, postgres, request):
    made = []

    def make(kind="s3", *flags, **more):
        made.append(Place(kind, postgres, new_server, *flags, **more))
        return made[-1]

    yield make
    for each in made:
        each.alive()
        each.store.hook = None
        each.store.close()


KINDS = pytest.mark.parametrize("kind", ["s3", "gs"])

# ---- what clients name ----

NAMES = [
    "..", "../x", "a/../../x", "a/..", "%2e%2e/x", "%2e%2e%2fx", "%252e%252e/x", "%25252e%25252e%25252fx", "..%2fx", "a/%2e./x", "/x", "//x", "%2fx", "a//x", "a%2f%2fx",
    ".", "./x", "a/./x", "a%00b", "a%01b", "a%0d%0aX-Injected:%20yes", "a%0aX-Injected: yes", "a%7fb", "a?prefix=x", "a%3fuploads", "a%3fdelete", "a%23x", "a#x", "a&b=c",
    "a%26b=c", "a+b", "a%2bb", "a%20b", "a;b", "a=b", "a:b", "c:x", "file:x", "a%5c..%5cx", "a\\x", "x" * 255, "x" * 256, "x/" * 500, "x" * 9000, "%ff", "%c3%28", "é", "%f0%9f%98%80",
    "a%e2%80%aeb", "?list-type=2&prefix=", "?uploads", "?delete", "?acl", "x?versionId=1", "x?partNumber=1&uploadId=2", ".capstan-tmp/x", "@evil.com/", "a/", "", "%", "%zz", "a%",
    "http://169.254.169.254/latest", "https://evil.com", "s3://other/x", "a%09b", "a%3Cx%3E", "a'b", 'a%22b', "$(x)", "*", "a,b", "a|b", "~", "~/x", "team a/x/y", "%2E%2E%5C", "．．/x",
]


@KINDS
def test_names_stay_below_the_prefix(place, kind):
    p = place(kind)
    client = Client(p.daemon)
    for name in NAMES:
        path = name.encode() if not name.isascii() else name
        targets = []
        for base in (PROXY, SIGNED):
            targets.append(("GET", f"{base}/".encode() + (path if isinstance(path, bytes) else path.encode()), None))
        targets.append(("PUT", targets[0][1], b"data"))
        targets.append(("HEAD", targets[0][1], None))
        targets.append(("GET", f"{PROXY}?path={q(name)}", None))
        targets.append(("GET", f"{PROXY}?path={name}" if name.isascii() else f"{PROXY}?path=x", None))
        for file in (name, "x/" + name, "x"):
            for folder in ("ok", name):
                at = folder.encode()
                for verb, body in (("create", {"path": file, "num_parts": 2}), ("complete", {"path": file, "upload_id": "u&x=/../..", "parts": [{"part_number": 1, "etag": '"e"'}]}),
                                   ("complete", {"path": file, "upload_id": "u", "parts": [{"part_number": 1, "etag": "\"&<>\r\nX: y"}]}), ("abort", {"path": file, "upload_id": "u?x\r\nX: y"})):
                    targets.append(("POST", f"{MPU}/{verb}/".encode() + at, body))
        targets.append(("DELETE", targets[0][1], None))
        for method, target, body in targets:
            if any(c in (target if isinstance(target, bytes) else target.encode()) for c in b" \r\n"):
                continue
            client.known = name.encode() + PREFIX.encode()
            answer = client.ask(method, target, body)
            assert answer.status in (200, 204, 304, 400, 403, 404, 405, 414, 431, 501), (name, method, target, body, answer)
            if b"presigned_url" in answer.body or method == "GET" and answer.status == 200 and b'"url"' in answer.body:
                url = answer.json["url"]
                assert url.startswith(f"{p.store.url}/{BUCKET}/{q(PREFIX)}/") and "/../" not in url and "%2e" not in url.lower().split("?")[0], url
    client.close()
    p.inside()
    for x in p.store.exchanges:
        assert x.headers["host"] == f"127.0.0.1:{p.store.port}"
        assert not {"x-injected", "x"} & set(x.headers), x
    assert all(key.startswith(PREFIX + "/") for key in p.store.objects), p.store.objects.keys()
    assert len(p.store.exchanges) > 200, "nothing reached the store: the test proves little"


LOCATIONS = [
    "s3://bkt/../other", "s3://bkt/a/../../other", "s3://bkt/%2e%2e/x", "s3://bkt/%252e%252e/x", "s3://bkt@{host}/x", "s3://{host}/x", "s3://u:p@{host}/x", "s3://bkt:80/x", "S3://bkt/x",
    "s3:///x", "s3:bkt/x", "s3:/bkt/x", "s3://", "s3://..", "s3://../x", "s3://bkt..{host}/x", "s3://bkt/x?versions", "s3://bkt/x#y", "s3://bkt/x\r\nX-Injected: yes", "s3://bkt\r\n/x",
    "s3://bkt//x", "s3://bkt/x//y", "s3://bkt/./x", "s3://bkt/a b/é", "s3://bkt%2f..%2fother/x", "s3://bkt/%2f..", "s3://169.254.169.254/latest/meta-data", "s3://metadata.google.internal/x",
    "s3://arn:aws:s3:us-east-1:1:accesspoint/x", "s3://bkt\\@{host}/x", "s3://[::1]/x", "s3a://bkt/x", "s3n://bkt/x", "s3+http://bkt/x", "r2://bkt@{host}/x", "b2://bkt@{host}/x",
    "gs://bkt/x", "gs://bkt/../x", "gs://bkt:80/x", "GS://bkt/x", "gs:///x", "gs://bkt%2fo%2fother/x", "gs://{host}/x", "gs://bkt/o?alt=media", "http://169.254.169.254/latest/meta-data",
    "http://{host}/api/2.0/mlflow-artifacts/artifacts/../..", "http://{host}/api/2.0/mlflow-artifacts/artifacts/ok", "file:///etc", "s3://" + "b" * 300 + "/x", "s3://bkt/" + "x/" * 900,
    "s3://bkt/x\0y", "s3://bkt/\\..\\..", "s3://bkt/C:/x", "s3://bkt/file:/x", " s3://bkt/x", "s3://bkt/x ", "s3://bkt/x/", "s3://-bkt/x", "s3://.bkt/x", "s3://bk/x", "s3://bkt",
]


@KINDS
def test_no_location_chooses_a_host_or_leaves_its_bucket(place, listener, kind):
    """Locations and sources of clients, with all buckets allowed."""
    p = place(kind)
    client = Client(p.daemon)
    taken = 0
    for text in LOCATIONS + [each.replace("s3:", "gs:") for each in LOCATIONS if kind == "gs" and each.startswith("s3:")]:
        location = text.replace("{host}", "%s:%d" % listener)
        if kind == "s3" and location[:3].lower() == "gs:":
            continue            # without credentials for it
        client.known = (location + "/" + re.split("[?#]", location)[0] + os.getcwd()).encode() * 2
        made = client.post("experiments/create", {"name": unique(), "artifact_location": location})
        assert made.status in (200, 400), (location, made)
        model = unique("model")
        client.good("registered-models/create", {"name": model})
        version = client.post("model-versions/create", {"name": model, "source": location})
        assert version.status in (200, 400), (location, version)
        paths = ("x", "", "../other", "%2e%2e/x", "a?b")
        replies = []
        if version.status == 200:
            replies += [client.ask("GET", f"/model-versions/get-artifact?name={model}&version=1&path={urllib.parse.quote(path)}") for path in paths]
        if made.status == 200:
            taken += 1
            run = client.good("runs/create", {"experiment_id": made.json["experiment_id"]})["run"]["info"]["run_id"]
            for path in paths:
                replies += [client.get("artifacts/list", {"run_id": run, "path": path}), client.ask("GET", f"/get-artifact?run_id={run}&path={urllib.parse.quote(path)}"),
                            client.ask("POST", f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={urllib.parse.quote(path)}", b"evil"),
                            client.post("artifacts/presigned-download-url", {"run_id": run, "path": path}),
                            client.post("artifacts/presigned-upload-url", {"run_id": run, "path": path})]
        for reply in replies:
            assert reply.status in (200, 400, 403, 404, 501, 503), (location, reply)
            if b"presigned_url" in reply.body:
                assert reply.json["presigned_url"].startswith(p.store.url + "/"), (location, reply)
    client.close()
    assert taken > 5 and p.store.exchanges
    for x in p.store.exchanges:
        path = urllib.parse.unquote(x.path)
        assert x.headers["host"] == f"127.0.0.1:{p.store.port}" and "x-injected" not in x.headers, x
        assert not {"..", "."} & set(path.split("/")) and "//" not in path and "\n" not in path, x
        assert re.match(r"/(upload/|storage/v1/b/)*[A-Za-z0-9][A-Za-z0-9._-]{2,}(/|$)", x.path), x


# ---- a store that sends elsewhere ----


@KINDS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(place, listener, kind, status):
    p = place(kind)
    p.put("x")
    host = "%s:%d" % listener
    said = f"<Error><Code>TemporaryRedirect</Code><Endpoint>{host}</Endpoint><Bucket>b</Bucket></Error>"
    p.store.hook = lambda x: reply(status, said, Location=f"http://{host}/{BUCKET}/x", x_amz_bucket_region="eu-west-1")
    for method, target, body in [("GET", f"{PROXY}/x", None), ("PUT", f"{PROXY}/y", b"data"), ("PUT", f"{PROXY}/y", BIG), ("DELETE", f"{PROXY}/x", None), ("GET", f"{PROXY}?path=", None),
                                 ("GET", f"{SIGNED}/x", None), ("POST", f"{MPU}/create/x", {"path": "y", "num_parts": 1})]:
        answer = ask(p.daemon, method, target, body)
        assert answer is None or answer.status >= 400, (method, target, answer)
        assert not answer or "location" not in answer.headers
    p.inside()


@pytest.mark.parametrize("where", ["http://{}/upload/x", "http://{}@127.0.0.1/x", "//{}/x", "http://127.0.0.1:{port}@{}/x", "http://127.0.0.1:{port}.evil.invalid/x", "file:///etc/passwd",
                                   "http://127.0.0.1:{port}\\@{}/x", "/relative", "gopher://{}/x", "http://{}/" + "x" * 9000, "", "http://[::ffff:127.0.0.1]:{lport}/x", "HTTP://{}/x"])
def test_sessions_elsewhere_get_nothing(place, listener, where):
    """Neither bytes nor credentials go where a store's Location points."""
    p = place("gs")
    text = where.format("%s:%d" % listener, port=p.store.port, lport=listener[1])
    p.store.hook = lambda x: reply(200, headers=[("Location", text)]) if x.asked.get("uploadType") == "resumable" else None
    answer = ask(p.daemon, "PUT", f"{PROXY}/y", BIG)
    assert answer is None or answer.status in (500, 503), answer
    assert not p.store.objects
    p.inside()


# ---- a store that lies ----


def drip(*pieces, seconds=STALL / 4):
    for piece in pieces:
        yield piece
        time.sleep(seconds)


def endless(first, more):
    yield first
    while True:
        yield more


def head(status=200, *lines):
    return f"HTTP/1.1 {status} OK\r\n".encode() + b"".join(line.encode("latin-1") + b"\r\n" for line in lines) + b"\r\n"


def changing(x, count=itertools.count()):
    """Another tag, other bytes, half of it and then a cut."""
    n = next(count)
    data = bytes([n % 251]) * len(DATA)
    first = int((re.match(r"bytes=(\d+)", x.headers.get("range", "")) or [0, 0])[1])
    lines = [f"ETag: \"{n}\"", f"x-goog-generation: {n + 1}", f"Content-Length: {len(DATA) - first}"]
    if "range" in x.headers:
        return head(206, f"Content-Range: bytes {first}-{len(DATA) - 1}/{len(DATA)}", *lines) + data[first:first + 1000]
    return head(200, *lines) + data[:1000]


SIZE = len(DATA)
TAGS = ("ETag: " + etag(DATA), "x-goog-generation: 7")
READS = {
    "a negative length": lambda x: head(200, "Content-Length: -5", *TAGS) + DATA,
    "an overflowing length": lambda x: head(200, "Content-Length: 99999999999999999999", *TAGS) + DATA,
    "the largest length": lambda x: head(200, f"Content-Length: {2 ** 63 - 1}", *TAGS) + DATA,
    "two lengths": lambda x: head(200, f"Content-Length: {SIZE}", "Content-Length: 5", *TAGS) + DATA,
    "two lengths, the other way": lambda x: head(200, "Content-Length: 5", f"Content-Length: {SIZE}", *TAGS) + DATA,
    "a length of text": lambda x: head(200, f"Content-Length: {SIZE}abc", *TAGS) + DATA,
    "a longer length": lambda x: head(200, f"Content-Length: {SIZE + 10}", *TAGS) + DATA,
    "a shorter body": lambda x: head(200, f"Content-Length: {SIZE}", *TAGS) + DATA[:-10],
    "a longer body": lambda x: endless(head(200, f"Content-Length: {SIZE}", *TAGS) + DATA, b"x" * 65536),
    "no length": lambda x: head(200, *TAGS) + DATA,
    "chunks": lambda x: head(200, "Transfer-Encoding: chunked", *TAGS) + b"%x\r\n%s\r\n0\r\n\r\n" % (SIZE, DATA),
    "chunks and a length": lambda x: head(200, "Transfer-Encoding: chunked", f"Content-Length: {SIZE}", *TAGS) + b"%x\r\n%s\r\n0\r\n\r\n" % (5, DATA[:5]),
    "chunks of nonsense": lambda x: head(200, "Transfer-Encoding: chunked", *TAGS) + b"zz\r\nhello\r\n",
    "a chunk without end": lambda x: endless(head(200, "Transfer-Encoding: chunked", *TAGS) + b"ffffffffffffffff\r\n", b"x" * 65536),
    "gzip": lambda x: head(200, f"Content-Length: {SIZE}", "Content-Encoding: gzip", *TAGS) + DATA,
    "a part, unasked": lambda x: head(206, "Content-Length: 10", f"Content-Range: bytes 0-9/{SIZE}", *TAGS) + DATA[:10],
    "another part, unasked": lambda x: head(206, "Content-Length: 10", f"Content-Range: bytes 90-99/{SIZE}", *TAGS) + DATA[90:100],
    "a part without range": lambda x: head(206, "Content-Length: 10", *TAGS) + DATA[:10],
    "a part of words": lambda x: head(206, "Content-Length: 10", "Content-Range: words 0-9/10", *TAGS) + DATA[:10],
    "a part beyond the end": lambda x: head(206, "Content-Length: 10", "Content-Range: bytes 0-9/5", *TAGS) + DATA[:10],
    "a negative part": lambda x: head(206, "Content-Length: 10", f"Content-Range: bytes -10--1/{SIZE}", *TAGS) + DATA[:10],
    "an overflowing part": lambda x: head(206, "Content-Length: 10", f"Content-Range: bytes 0-{2 ** 64 - 1}/{2 ** 64}", *TAGS) + DATA[:10],
    "a part of unknown size": lambda x: head(206, "Content-Length: 10", "Content-Range: bytes 0-9/*", *TAGS) + DATA[:10],
    "a part of another length": lambda x: head(206, "Content-Length: 7", f"Content-Range: bytes 0-9/{SIZE}", *TAGS) + DATA[:7],
    "another object each time": changing,
    "1xx for ever": lambda x: endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "1xx of 102": lambda x: endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 100),
    "headers for ever": lambda x: endless(b"HTTP/1.1 200 OK\r\n", b"X-More: " + b"x" * 200 + b"\r\n"),
    "a header for ever": lambda x: endless(b"HTTP/1.1 200 OK\r\nX-More: ", b"x" * 65536),
    "many headers": lambda x: head(200, f"Content-Length: {SIZE}", *[f"X-{n}: y" for n in range(5000)], *TAGS) + DATA,
    "a NUL in a header": lambda x: head(200, f"Content-Length: {SIZE}", "X\0Y: z", "ETag: \"a\0b\"", "\0: \0") + DATA,
    "folded headers": lambda x: head(200, f"Content-Length: {SIZE}", "ETag: \"a", " b\"", "\tc") + DATA,
    "a header without colon": lambda x: head(200, f"Content-Length: {SIZE}", "no colon here") + DATA,
    "an ETag with ends of line": lambda x: head(200, f"Content-Length: {SIZE}", "ETag: \"a\rX-Injected: yes\"") + DATA,
    "an ETag without end": lambda x: head(200, f"Content-Length: {SIZE}", "ETag: \"" + "x" * 5000) + DATA,
    "an ETag of bytes": lambda x: head(200, f"Content-Length: {SIZE}", "ETag: \"\x80\xff\x7f\x01\"") + DATA,
    "dates without end": lambda x: head(200, f"Content-Length: {SIZE}", "Last-Modified: Thu, 01 Jan 999999999999 00:00:00 GMT", "Date: Thu, 99 Foo", *TAGS) + DATA,
    "an old date": lambda x: head(200, f"Content-Length: {SIZE}", "Last-Modified: Thu, 01 Jan 0001 00:00:00 GMT", *TAGS) + DATA,
    "no HTTP": lambda x: b"hello\r\n",
    "HTTP/0.9": lambda x: DATA,
    "HTTP/2": lambda x: b"HTTP/2 200\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.0": lambda x: b"HTTP/1.0 200 OK\r\n\r\n" + DATA,
    "status 0": lambda x: b"HTTP/1.1 000 X\r\nContent-Length: 5\r\n\r\nhello",
    "status 99999": lambda x: b"HTTP/1.1 99999 X\r\nContent-Length: 5\r\n\r\nhello",
    "status 204": lambda x: head(204, *TAGS),
    "status 200 of an error": lambda x: head(200, "Content-Length: 30", "Content-Type: application/xml", *TAGS) + b"<Error><Code>X</Code></Error> ",
    "status 304": lambda x: head(304, *TAGS),
    "status 416": lambda x: head(416, "Content-Range: bytes */5", "Content-Length: 0"),
    "an error without end": lambda x: endless(head(500, "Transfer-Encoding: chunked"), b"10000\r\n" + b"<" * 65536 + b"\r\n"),
    "an error that never comes": lambda x: HANG,
    "a head that drips": lambda x: drip(*[bytes([c]) for c in head(200, f"Content-Length: {SIZE}")[:12]], seconds=0.2),
    "a body that stalls": lambda x: drip(head(200, f"Content-Length: {SIZE}", *TAGS) + DATA[:100], b"", seconds=STALL * SLOW * 3),
    "an XML bomb": lambda x: head(400, "Content-Length: 600") + (b'<!DOCTYPE l [<!ENTITY a "x">' + b"".join(b'<!ENTITY a%d "&a;&a;&a;">' % n for n in range(20)) + b"]><Error>&a;</Error>")[:600].ljust(600),
    "Retry-After for ever": lambda x: head(503, "Retry-After: 99999999999999999999", "Content-Length: 0"),
    "garbage": lambda x: os.urandom(5000),
}


@KINDS
def test_downloads_of_a_store_that_lies(place, kind):
    """The whole object, an error, or a cut connection: never other bytes as a whole answer."""
    p = place(kind)
    p.put("x")
    assert ask(p.daemon, "GET", f"{PROXY}/x").body == DATA
    begun, slow = load.peak(p.daemon.pid), []
    for name, hook in READS.items():
        # The stages behind the first answer meet honesty: what is continued must fit.
        waits = name in ("an error that never comes", "a head that drips", "a body that stalls", "1xx for ever", "1xx of 102")
        for range_, liar in [(None, "once")] if waits else itertools.product((None, "bytes=100-199", "bytes=-50"), ("always", "once")):
            told = iter([hook] if liar == "once" else itertools.repeat(hook))
            p.store.hook = lambda x: (next(told, None) or (lambda x: None))(x)
            at = time.monotonic()
            answer = ask(p.daemon, "GET", f"{PROXY}/x", **({"Range": range_} if range_ else {}))
            took = time.monotonic() - at
            if took > 20 * SLOW:
                slow.append((name, range_, liar, took))
            if answer is None or answer.cut or answer.status >= 400:
                continue
            want = DATA if answer.status == 200 else DATA[100:200] if range_ == "bytes=100-199" else DATA[-50:]
            assert "\n" not in answer.headers.get("etag", "") and "x-injected" not in answer.headers, (name, answer.headers)
            fine = {"HTTP/2", "two lengths", "two lengths, the other way", "status 200 of an error", "another object each time"}   # a whole object, as far as anybody can see
            assert answer.status in (200, 206) and (answer.body == want or name in fine), (name, range_, liar, answer.status, len(answer.body), answer.body[:50])
        p.store.hook = None
        assert ask(p.daemon, "GET", f"{PROXY}/x").body == DATA, name
    assert not slow, slow
    p.inside()
    if not SANITIZED:
        assert load.peak(p.daemon.pid) < begun + 100 * MIB


def bomb(text):
    return f'<?xml version="1.0"?>{text}'


def json_reply(text):
    return reply(200, text if isinstance(text, (str, bytes)) else json.dumps(text), Content_Type="application/json")


def tokens(kind, number=itertools.count()):
    token = f"t{next(number)}"
    return reply(200, listing([], token=token)) if kind == "s3" else json_reply({"nextPageToken": token})


P = PREFIX.replace(" ", "%20")
S3_LISTS = {
    "a document type": lambda x: reply(200, bomb('<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><ListBucketResult>&b;</ListBucketResult>')),
    "an external entity": lambda x: reply(200, bomb('<!DOCTYPE x SYSTEM "file:///etc/passwd"><ListBucketResult><Prefix>&x;</Prefix></ListBucketResult>')),
    "depth": lambda x: reply(200, bomb("<ListBucketResult>" + "<a>" * 200_000 + "</a>" * 200_000 + "</ListBucketResult>")),
    "elements": lambda x: reply(200, bomb("<ListBucketResult>" + "<a/>" * 1_900_000 + "</ListBucketResult>")),
    "brackets": lambda x: reply(200, "<" * (7 << 20)),
    "an attribute": lambda x: reply(200, bomb(f"<ListBucketResult a='{'x' * (7 << 20)}'/>")),
    "attributes": lambda x: reply(200, bomb("<ListBucketResult " + " ".join(f"a{n}='x'" for n in range(300_000)) + "/>")),
    "a name without end": lambda x: reply(200, listing([(f"{P}/" + "n" * (7 << 20), 1)])),
    "another prefix": lambda x: reply(200, listing([("other/secret", 1)], ["other/dir/"])),
    "the prefix's neighbour": lambda x: reply(200, listing([(f"{P}-2/secret", 1)])),
    "shorter than the prefix": lambda x: reply(200, listing([("t", 1), ("", 1)], ["", "/"])),
    "dots": lambda x: reply(200, listing([(f"{P}/..", 1), (f"{P}/.", 1), (f"{P}/../../etc", 1)], [f"{P}/../", f"{P}/./", f"{P}//"])),
    "a NUL": lambda x: reply(200, listing([(f"{P}/a%00b", 1), (f"{P}/%00", 1), ("%00", 1)])),
    "control characters": lambda x: reply(200, listing([(f"{P}/a%0d%0aX-Injected:%20yes", 1), (f"{P}/%1b%5b31m", 1), (f"{P}/%7f", 1)])),
    "no UTF-8": lambda x: reply(200, listing([(f"{P}/%ff%fe", 1), (f"{P}/%c3%28", 1), (f"{P}/%ed%a0%80", 1)])),
    "raw bytes": lambda x: reply(200, b"<ListBucketResult><Contents><Key>\xff\xfe</Key></Contents></ListBucketResult>"),
    "sizes": lambda x: reply(200, listing([(f"{P}/a", -1), (f"{P}/b", 2 ** 64), (f"{P}/c", 2 ** 63), (f"{P}/d", "x"), (f"{P}/e", "1e9")])),
    "the same token": lambda x: reply(200, listing([(f"{P}/a", 1)], token="same")),
    "a token that is empty": lambda x: reply(200, listing([(f"{P}/a", 1)], token="")),
    "a token without end": lambda x: reply(200, listing([(f"{P}/a", 1)], token="t" * 100_000)),
    "no name": lambda x: reply(200, "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>"),
    "another root": lambda x: reply(200, "<Html><Contents><Key>x</Key></Contents></Html>"),
    "HTML": lambda x: reply(200, "<html><body>log in<br></body>"),
    "nothing": lambda x: reply(200),
    "an error": lambda x: reply(200, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>"),
    "too much": lambda x: endless(head(200, "Transfer-Encoding: chunked"), b"10000\r\n" + b"<a></a> " * 8192 + b"\r\n"),
    "UTF-16": lambda x: reply(200, "<ListBucketResult/>".encode("utf-16")),
    "UTF-16 that grows": lambda x: reply(200, ("<ListBucketResult><Prefix>" + "\u4e00" * 500_000 + "</Prefix></ListBucketResult>").encode("utf-16")),
    "an encoding": lambda x: reply(200, '<?xml version="1.0" encoding="x-unknown"?><ListBucketResult/>'),
    "pages without end": lambda x: tokens("s3"),
}
GCS_LISTS = {
    "depth": lambda x: json_reply("[" * 1_000_000),
    "depth of objects": lambda x: json_reply('{"items":' * 500_000),
    "many items": lambda x: json_reply('{"items":[' + ",".join(["{}"] * 2_000_000) + "]}"),
    "numbers": lambda x: json_reply('{"items":[' + ",".join(["1"] * 3_000_000) + "]}"),
    "other types": lambda x: json_reply({"items": {"a": 1}, "prefixes": "x", "nextPageToken": 5}),
    "names of other types": lambda x: json_reply({"items": [{"name": 5}, {"name": None}, 7, []], "prefixes": [1, None]}),
    "another prefix": lambda x: json_reply({"items": [{"name": "other/secret", "size": "1"}]}),
    "the prefix's neighbour": lambda x: json_reply({"items": [{"name": PREFIX + "-2/secret", "size": "1"}]}),
    "another prefix's folder": lambda x: json_reply({"prefixes": ["other/dir/"]}),
    "dots": lambda x: json_reply({"items": [{"name": f"{PREFIX}/.."}, {"name": f"{PREFIX}/."}], "prefixes": [f"{PREFIX}/../", f"{PREFIX}//"]}),
    "a NUL": lambda x: json_reply({"items": [{"name": f"{PREFIX}/a\0b"}]}),
    "control characters": lambda x: json_reply({"items": [{"name": f"{PREFIX}/a\r\nX-Injected: yes"}, {"name": f"{PREFIX}/\x1b[31m"}]}),
    "half a character": lambda x: json_reply('{"items":[{"name":"' + PREFIX + '/\\ud800"}]}'),
    "sizes": lambda x: json_reply({"items": [{"name": f"{PREFIX}/a", "size": "-1"}, {"name": f"{PREFIX}/b", "size": str(2 ** 64)}, {"name": f"{PREFIX}/c", "size": -5}, {"name": f"{PREFIX}/d", "size": 1e300}]}),
    "a name without end": lambda x: json_reply({"items": [{"name": f"{PREFIX}/" + "n" * (7 << 20)}]}),
    "the same token": lambda x: json_reply({"items": [{"name": f"{PREFIX}/a"}], "nextPageToken": "same"}),
    "a token without end": lambda x: json_reply({"nextPageToken": "t" * (5 << 20)}),
    "duplicates": lambda x: json_reply('{"items":[],"items":[{"name":"x"}]}'),
    "a number": lambda x: json_reply("5"),
    "nothing": lambda x: reply(200),
    "too much": lambda x: endless(head(200, "Transfer-Encoding: chunked"), b"10000\r\n" + b" " * 65536 + b"\r\n"),
    "pages without end": lambda x: tokens("gs"),
}


@pytest.mark.parametrize("kind, name", [("s3", n) for n in S3_LISTS] + [("gs", n) for n in GCS_LISTS])
def test_lists_of_a_store_that_lies(lister, kind, name):
    p = lister(kind)
    p.put("d/x")
    lie = (S3_LISTS if kind == "s3" else GCS_LISTS)[name]

    def hook(x):
        listed = "list-type" in x.asked if kind == "s3" else x.method == "GET" and re.search("/o$", x.path)
        return lie(x) if listed else None

    p.store.hook = hook
    before = dict(p.store.objects)
    at = time.monotonic()
    listed = ask(p.daemon, "GET", f"{PROXY}?path=")
    signed = ask(p.daemon, "GET", f"{SIGNED}/nothing")
    deleted = ask(p.daemon, "DELETE", f"{PROXY}/nothing") if name != "pages without end" or kind == "s3" else None
    assert time.monotonic() - at < 60 * SLOW, name
    p.store.hook = None
    assert listed, name
    if listed.status == 200:
        for file in listed.json.get("files", []):
            path = file["path"]
            assert path not in ("", ".", "..", "secret", "dir") and "/" not in path and "\0" not in path, (name, path)
            assert 0 <= int(file.get("file_size", 0)) < 2 ** 63, (name, file)
    assert b"root:x" not in listed.body and "x-injected" not in listed.headers
    assert signed.status >= 400 and (deleted is None or deleted.status in (200, 400, 404, 500, 503)), (signed, deleted)
    assert before == p.store.objects
    p.inside()
    p.alive()
    if not SANITIZED:
        assert load.peak(p.daemon.pid) < 700 * MIB, name


@pytest.fixture(scope="module")
def lister(postgres):
    """One daemon of each kind for many lies."""
    import capstan_server

    made, started = {}, []

    def new(*flags, **options):
        started.append(capstan_server.Server(*flags, **options))
        return started[-1].start()

    def make(kind):
        if kind not in made:
            made[kind] = Place(kind, postgres, new)
        made[kind].store.exchanges.clear()
        return made[kind]

    yield make
    for each in made.values():
        each.store.close()
    for each in started:
        try:
            each.stop()
            each.check()
        finally:
            each.close()


def test_a_listed_directory_of_many_is_bounded(lister):
    """Entries without end: an error, and not all the memory of the machine."""
    p = lister("s3")
    counter = itertools.count()

    def hook(x):
        if "list-type" not in x.asked:
            return None
        n = next(counter)
        return reply(200, listing([(f"{P}/{n:06d}-{i:04d}-" + "n" * 200, i) for i in range(1000)], token=f"t{n}"))

    p.store.hook = hook
    answer = ask(p.daemon, "GET", f"{PROXY}?path=", timeout=300)
    p.store.hook = None
    assert answer.status in (400, 503), answer
    p.alive()
    if not SANITIZED:
        assert load.peak(p.daemon.pid) < 900 * MIB


WRITES = {
    "an id without end": ("uploads", lambda x: reply(200, "<R><UploadId>" + "u" * (5 << 20) + "</UploadId></R>")),
    "an id of a query": ("uploads", lambda x: reply(200, "<R><UploadId>a&amp;partNumber=1&amp;x=/../..</UploadId></R>")),
    "an id of a header": ("uploads", lambda x: reply(200, "<R><UploadId>a&#13;&#10;X-Injected: yes</UploadId></R>")),
    "no id": ("uploads", lambda x: reply(200, "<R></R>")),
    "an empty id": ("uploads", lambda x: reply(200, "<R><UploadId/></R>")),
    "200 with an error at the end": ("complete", lambda x: reply(200, "<Error><Code>InternalError</Code></Error>")),
    "200 with a denial at the end": ("complete", lambda x: reply(200, "<Error><Code>AccessDenied</Code></Error>")),
    "200 with nothing at the end": ("complete", lambda x: reply(200)),
    "no such upload at the end": ("complete", lambda x: error(404, "NoSuchUpload")),
    "white space at the end, for ever": ("complete", lambda x: endless(head(200, "Transfer-Encoding: chunked"), b"10000\r\n" + b" " * 65536 + b"\r\n")),
    "a part without tag": ("part", lambda x: reply(200)),
    "a part with a tag of markup": ("part", lambda x: reply(200, headers=[("ETag", "\"</ETag><x>&amp;\"")])),
    "a part with a tag without end": ("part", lambda x: reply(200, headers=[("ETag", '"' + "x" * 5000 + '"')])),
    "a part with a denial": ("part", lambda x: error(403, "AccessDenied")),
    "a part that hangs": ("part", lambda x: HANG),
    "an early answer to a part": ("part", lambda x: reply(200, headers=[("ETag", '"early"')])),
}


@pytest.mark.parametrize("name", list(WRITES))
def test_uploads_to_a_store_that_lies(lister, name):
    """Success is said of what is there, and of nothing else."""
    p = lister("s3")
    stage, lie = WRITES[name]

    def hook(x):
        at = "uploads" if "uploads" in x.asked else "complete" if x.method == "POST" and "uploadId" in x.asked else "part" if "partNumber" in x.asked else ""
        return lie(x) if at == stage else None

    hook.early = name.startswith("an early")
    key = unique("upload")
    p.store.uploads.clear()
    p.store.hook = hook
    answer = ask(p.daemon, "PUT", f"{PROXY}/{key}", BIG, timeout=120)
    made = ask(p.daemon, "POST", f"{MPU}/create/d", {"path": "y", "num_parts": 3})
    p.store.hook = None
    if made.status == 200:
        assert ask(p.daemon, "POST", f"{MPU}/abort/d", {"path": "y", "upload_id": made.json["upload_id"]}).status in (200, 404)
        assert len(made.body) < 100_000 and all(c["url"].startswith(f"{p.store.url}/{BUCKET}/{P}/d/y?") and "X-Injected" not in c["url"] for c in made.json["credentials"]), made
    there = p.store.objects.get(p.store.key(key))
    if answer and answer.status == 200 and name not in ("a part with a tag of markup", "an early answer to a part"):
        assert there == BIG, name
    elif not (answer and answer.status == 200):
        assert there is None or there == BIG, name
    for x in p.store.exchanges:
        assert "x-injected" not in x.headers and x.asked.get("partNumber", "1").isdigit()
    wait_for(lambda: not p.store.uploads or stage == "uploads", 20, "the abort")
    p.inside()


def test_a_completion_without_end(lister):
    """White space keeps a connection alive, not a client for ever: neither of an upload nor of one of the client's own parts."""
    def hook(x):
        if x.method == "POST" and "uploadId" in x.asked:
            return drip(head(200, "Transfer-Encoding: chunked"), *[b"1\r\n \r\n"] * 10000, seconds=STALL / 4)
        return None

    p = lister("s3")
    made = ask(p.daemon, "POST", f"{MPU}/create/d", {"path": "drips", "num_parts": 1}).json
    p.store.hook = hook
    with ThreadPoolExecutor(2) as pool:
        begun = time.monotonic()
        answers = [pool.submit(ask, p.daemon, "PUT", f"{PROXY}/{unique('drips')}", BIG, timeout=60 * STALL * SLOW),
                   pool.submit(ask, p.daemon, "POST", f"{MPU}/complete/d", {"path": "drips", "upload_id": made["upload_id"], "parts": [{"part_number": 1, "etag": '"e"'}]}, timeout=60 * STALL * SLOW)]
        assert [a.result().status for a in answers] == [503, 503]
    assert 10 * STALL < time.monotonic() - begun < 40 * STALL * SLOW
    p.store.hook = None
    p.alive()


def test_deletions_name_only_what_lies_below(lister):
    """A list that names others' objects deletes none of them."""
    for kind in ("s3", "gs"):
        p = lister(kind)
        p.put("d/x")
        p.store.objects["other/secret"] = p.store.objects[PREFIX + "-2/secret"] = DATA
        names = ["other/secret", PREFIX + "-2/secret", f"{PREFIX}/d/../../other", f"{PREFIX}/e/x", "", "/", f"{PREFIX}/d"]
        for name in names:
            p.store.hook = lambda x: ((reply(200, listing([(urllib.parse.quote(name), 1)])) if kind == "s3" else json_reply({"items": [{"name": name, "size": "1"}]}))
                                      if x.method == "GET" and ("list-type" in x.asked or x.path.endswith("/o")) else None)
            answer = ask(p.daemon, "DELETE", f"{PROXY}/d")
            assert answer.status in (200, 404, 500, 503), answer
            p.store.hook = None
        asked = [x for x in p.store.exchanges if x.method == "DELETE" or "delete" in x.asked]
        for x in asked:
            for key in ([urllib.parse.unquote(x.path)] if x.method == "DELETE" else re.findall(r"<Key>([^<]*)</Key>", x.body.decode())):
                assert f"{PREFIX}/d" in key and "/e/" not in key, (kind, key)
        assert {"other/secret", PREFIX + "-2/secret"} <= set(p.store.objects)


# ---- secrets ----

KEY_ID, SECRET, SESSION = "AKIAHOSTILEHOSTILE00", "s3cr3t/Hostile+Hostile/Hostile", "FwoGZXIvYXdzEHOSTILEsessionTOKEN//////////wEaDHOSTILE=="
TOKEN = "ya29.HOSTILE-bearer_token-0123456789abcdefghijklmnop"


def echo(status, secrets):
    """All that was asked, back in every place of an error."""

    def hook(x):
        said = " ".join([*secrets, x.headers.get("authorization", ""), x.target])
        body = f"<Error><Code>{secrets[0]}</Code><Message>{said.replace('&', '&amp;')}</Message><RequestId>{secrets[0]}</RequestId><AWSAccessKeyId>{secrets[0]}</AWSAccessKeyId></Error>"
        if "/storage/" in x.path:
            body = json.dumps({"error": {"code": status, "message": said, "errors": [{"reason": secrets[0]}]}})
        words = said.replace("\r", " ").replace("\n", " ")
        return reply(status, body, headers=[("x-amz-request-id", words), ("WWW-Authenticate", words), ("Location", f"http://127.0.0.1:1/?{words}"), ("ETag", f'"{secrets[0]}"'),
                                            ("x-amz-id-2", words), ("x-guploader-uploadid", words), ("Content-Range", words), ("Range", words)])

    return hook


@KINDS
def test_no_secret_is_logged_or_told(place, kind, tmp_path):
    """Also when the store says them in its errors."""
    if kind == "s3":
        secrets, environment = (KEY_ID, SECRET, SESSION), {"AWS_SESSION_TOKEN": SESSION}
        p = place(kind, "--log-level", "debug", **environment)
    else:
        tokens = Store("gs")
        tokens.hook = lambda x: reply(200, json.dumps({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}), Content_Type="application/json")
        file = tmp_path / "adc.json"
        file.write_text(json.dumps({"type": "authorized_user", "client_id": "id", "client_secret": "HOSTILE-client-secret", "refresh_token": "1//HOSTILE-refresh", "token_uri": tokens.url + "/token"}))
        secrets = (TOKEN,)
        p = place(kind, "--log-level", "debug", GOOGLE_APPLICATION_CREDENTIALS=str(file))
    p.put("x")
    assert ask(p.daemon, "GET", f"{PROXY}/x").body == DATA
    wanted = KEY_ID if kind == "s3" else "Bearer " + TOKEN
    assert wanted in p.store.exchanges[-1].headers["authorization"], p.store.exchanges[-1].headers
    told = []
    for status in (200, 206, 301, 400, 401, 403, 404, 409, 412, 500, 503):
        p.store.hook = echo(status, secrets)
        for method, target, body in [("GET", f"{PROXY}/x", None), ("HEAD", f"{PROXY}/x", None), ("PUT", f"{PROXY}/y", b"data"), ("PUT", f"{PROXY}/y", BIG), ("GET", f"{PROXY}?path=", None),
                                     ("DELETE", f"{PROXY}/x", None), ("GET", f"{SIGNED}/x", None), ("POST", f"{MPU}/create/d", {"path": "y", "num_parts": 1}),
                                     ("POST", f"{MPU}/complete/d", {"path": "y", "upload_id": "u", "parts": [{"part_number": 1, "etag": '"e"'}]}), ("POST", f"{MPU}/abort/d", {"path": "y", "upload_id": "u"})]:
            told.append((status, method, target, ask(p.daemon, method, target, body)))
    p.store.hook = None
    told.append((0, "GET", "/metrics", ask(p.daemon, "GET", "/metrics")))
    told.append((0, "GET", "server-info", ask(p.daemon, "GET", "/api/3.0/mlflow/server-info")))
    log = p.daemon.log()
    assert "status=403" in log or "HTTP 403" in log, "nothing of the store's errors was logged: the test proves little"
    signatures = {m for x in p.store.exchanges for m in re.findall(r"Signature=([0-9a-f]{64})", x.headers.get("authorization", ""))}
    for secret in (*secrets, *signatures):
        at = log.find(secret)
        assert at < 0, log[max(0, at - 300):at + 200]
    for status, method, target, answer in told:
        for secret in secrets:
            if answer and (answer.status >= 300 or status in (0, 200) and PROXY not in target and SIGNED not in target):   # else what it says is the artifact
                assert secret.encode() not in answer.body and secret not in str(answer.headers), (status, method, target, answer)
    if kind == "gs":
        tokens.close()


def test_signed_urls_are_not_logged(place):
    p = place("s3", "--log-level", "debug", "--artifacts-presigned-only", AWS_SESSION_TOKEN=SESSION)
    p.put("x")
    answer = ask(p.daemon, "GET", f"{PROXY}/x")
    assert answer.status == 307 and answer.headers["cache-control"] == "no-store"
    url = answer.headers["location"]
    assert url.startswith(f"{p.store.url}/{BUCKET}/{P}/x?") and not answer.cut
    signed = re.search("X-Amz-Signature=([0-9a-f]+)", url)[1]
    made = ask(p.daemon, "POST", f"{MPU}/create/d", {"path": "y", "num_parts": 1}).json["credentials"][0]["url"]
    log = p.daemon.log()
    assert not [s for s in (signed, re.search("X-Amz-Signature=([0-9a-f]+)", made)[1], SESSION, KEY_ID, "X-Amz-") if s in log]
    assert SECRET not in url + made
    for method, target in (("PUT", f"{PROXY}/y"), ("PUT", f"{MPU}/part/x?upload_id=u&part=1")):
        assert ask(p.daemon, method, target, b"data").status >= 400
    assert not [x for x in p.store.exchanges if x.method == "PUT"]
