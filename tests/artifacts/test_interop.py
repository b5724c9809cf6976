# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""What the daemon writes, others read, and the other way round; ranges, conditions, listings, trees, sizes."""

import base64
import concurrent.futures
import hashlib
from urllib.parse import parse_qs, quote

import pytest
from place import ARTIFACTS, Place, folder, in_threads, pattern, temporary_file

NAMES = ["plain.txt", "sp ace.txt", "pl+us", "100%", "%41", "ü/ñ/日本", "\U0001f600", "q?a=b&c", "semi;colon", "a'b\"c", "~t", "..x", "x..", "=@:!$,*()[]{}|^`<>",
         "a" * 200, "/".join(["deep"] * 30) + "/leaf", ".hidden"]


@pytest.mark.parametrize("name", NAMES, ids=lambda n: n[:12])
def test_keys(place, name):
    at = folder()
    ours, theirs = f"{at}/ours/{name}", f"{at}/theirs/{name}"
    assert place.put(ours, name.encode()).status == 200
    assert place.stored(ours) == name.encode() and list(place.stored_keys(f"{at}/ours")) == [name]
    place.store_put(theirs, b"theirs " + name.encode())
    reply = place.get(theirs)
    assert (reply.status, reply.body) == (200, b"theirs " + name.encode())
    above, _, last = theirs.rpartition("/")
    assert place.list(above) == [(last, len(reply.body))]
    assert place.delete(theirs).status == 200 and place.stored(theirs) is None and place.get(theirs).status == 404


def test_empty_objects(place):
    key = folder() + "/empty"
    assert place.put(key, b"").status == 200 and place.stored(key) == b""
    reply = place.get(key)
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "0")
    assert place.list(key.rpartition("/")[0]) == [("empty", 0)]
    assert place.get(key, Range="bytes=0-").status in (200, 416)


def test_overwrites(place):
    key = folder() + "/o"
    for body in (b"first", b"", pattern(300_000), b"last"):
        assert place.put(key, body).status == 200 and place.get(key).body == body == place.stored(key)


@pytest.mark.parametrize("size", [1, 65_535, 262_144, 1_000_003, (8 << 20) - 1, 8 << 20, (16 << 20) + 1, (25 << 20) + 12_345])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_sizes(place, size, chunked):
    """Around the limits of rings and parts, announced and not."""
    key, body = folder() + "/s", pattern(size, size)
    pieces = [body[i:i + 100_000] for i in range(0, size, 100_000)] if chunked else body
    reply = place.put(key, pieces, chunked=chunked)
    assert reply.status == 200, reply
    assert place.stored(key) == body and place.get(key).body == body
    assert not place.leftovers(key)


DATA = pattern(3_000_000, 7)
SIZE = len(DATA)


@pytest.fixture
def whole(place):
    place.store_put("t/ranges/whole", DATA)
    return "t/ranges/whole"


@pytest.mark.parametrize("first, last", [(0, 0), (0, 99), (1, 1), (70_000, 1_500_000), (SIZE - 1, SIZE - 1), (0, SIZE - 1), (2_999_000, SIZE + 5), (1_000_000, None), (None, 1),
                                         (None, 100_000), (None, SIZE), (None, SIZE + 1)])
def test_ranges(place, whole, first, last):
    if first is None:
        text, want = f"bytes=-{last}", DATA[-last:]
    else:
        text, want = f"bytes={first}-{'' if last is None else last}", DATA[first:None if last is None else last + 1]
    reply = place.get(whole, Range=text)
    assert reply.status == 206 and reply.body == want and not reply.cut
    at = SIZE - len(want) if first is None else first
    assert reply.headers["content-range"] == f"bytes {at}-{at + len(want) - 1}/{SIZE}"


@pytest.mark.parametrize("text", [f"bytes={SIZE}-", f"bytes={SIZE + 5}-{SIZE + 9}", "bytes=-0"])
def test_unsatisfiable_ranges(place, whole, text):
    reply = place.get(whole, Range=text)
    assert reply.status == 416 and reply.headers["content-range"] == f"bytes */{SIZE}"


@pytest.mark.parametrize("text", ["bytes=0-0,5-6", "bytes=5-2", "items=0-1", "bytes=a-b"])
def test_ranges_that_do_not_count(place, whole, text):
    reply = place.get(whole, Range=text)
    assert (reply.status, reply.body) == (200, DATA)


def test_conditions(place):
    key = folder() + "/c"
    place.put(key, b"first body")
    etag = place.get(key).headers["etag"]
    assert etag.startswith('"') and etag.endswith('"')
    assert place.get(key).headers["etag"] == etag == place.head(key).headers["etag"]
    same = place.get(key, If_None_Match=f'"x", {etag}')
    assert (same.status, same.body, same.headers["etag"]) == (304, b"", etag)
    assert place.get(key, If_None_Match="*").status == 304
    assert place.get(key, If_None_Match='"x"').body == b"first body"
    assert place.get(key, Range="bytes=0-4", If_Range=etag).body == b"first"
    assert place.get(key, Range="bytes=0-4", If_Range='"x"').body == b"first body"
    place.store_put(key, b"second body")
    changed = place.get(key, If_None_Match=etag)
    assert (changed.status, changed.body) == (200, b"second body") and changed.headers["etag"] != etag
    assert place.get(key, Range="bytes=0-4", If_Range=etag).body == b"second body"


def sha256(body):
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@pytest.mark.parametrize("size", [10, 700_000, 20 << 20])
def test_digest_of_what_was_uploaded(place, size):
    """What went through the daemon has its SHA-256, for who asks; not what others put there afterwards."""
    key, body = folder() + "/d", pattern(size, 3)
    assert place.put(key, body).status == 200
    want = {"Want_Repr_Digest": "sha-256=10"}
    assert place.get(key, **want).headers["repr-digest"] == f"sha-256=:{sha256(body)}:"
    assert place.get(key, Want_Digest="sha-256").headers["digest"] == f"sha-256={sha256(body)}"
    reply = place.get(key, Range="bytes=3-6", **want)
    assert reply.body == body[3:7] and reply.headers["repr-digest"] == f"sha-256=:{sha256(body)}:"
    place.store_put(key, body + b"x")
    assert "repr-digest" not in place.get(key, **want).headers
    place.store_put(key + "2", b"theirs")
    assert "repr-digest" not in place.get(key + "2", **want).headers


@pytest.mark.parametrize("header", ["Repr_Digest", "Digest", "x_amz_checksum_sha256"])
@pytest.mark.parametrize("size", [10, 20 << 20])
def test_announced_digest(place, header, size):
    """An upload whose client says what it should be."""
    key, body = folder() + "/d", pattern(size, 4)
    text = {"Repr_Digest": "sha-256=:%s:", "Digest": "sha-256=%s"}.get(header, "%s")
    wrong = place.put(key, body, **{header: text % sha256(body + b"x")})
    assert wrong.status == 400 and wrong.json["error_code"] in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"), wrong
    place.nothing_left(key)
    assert place.put(key, body, **{header: text % sha256(body)}).status == 200 and place.stored(key) == body


def test_head(place):
    key = folder() + "/h.txt"
    place.put(key, b"0123456789")
    reply = place.head(key)
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "10")
    assert place.head(key + "x").status == 404


def test_what_is_not_there(place):
    at = folder()
    place.put(f"{at}/d/f", b"x")
    assert place.get(f"{at}/none").status == 404 and place.get(f"{at}/none").json["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert place.list(f"{at}/none") == [] == place.list(f"{at}/d/f")
    assert place.get(f"{at}/d/f/g").status in (400, 404)
    assert place.get(f"{at}/d").status in (400, 404)
    assert place.delete(f"{at}/none").status == 200
    assert place.ask("DELETE", ARTIFACTS.rstrip("/")).status == 405


def test_names_that_begin_alike(place):
    """A folder is not a prefix of characters."""
    at = folder()
    for name in ("run", "run1/x", "runs/y", "run/z") if place.kind not in ("disk", "versitygw", "minio") else ("run1/x", "runs/y", "run/z", "ru"):
        place.store_put(f"{at}/{name}", name.encode())
    assert place.list(f"{at}/run") == [("z", 5)]
    assert place.delete(f"{at}/run").status == 200
    left = place.stored_keys(at)
    assert {"run1/x", "runs/y"} <= set(left) and "run/z" not in left


def test_listing_is_the_stores(place):
    at = folder()
    tree = {f"{d}{n}": len(d + n) for d in ("", "a/", "a/b/", "c d/", "ü/") for n in ("1", "2 2", "z+z")}
    for name, size in tree.items():
        place.store_put(f"{at}/{name}", b"x" * size)

    def walk(path, below):
        found = {}
        for name, size in place.list(path):
            found |= walk(f"{path}/{name}", f"{below}{name}/") if size is None else {below + name: size}
        return found

    assert walk(at, "") == tree == place.stored_keys(at)
    names = [n for n, _ in place.list(at)]
    assert names == sorted(names, key=str.encode)


def test_odd_objects_of_others(far_place):
    """Markers of folders that consoles make, and keys that are no paths, disturb nothing."""
    at = folder()
    place = far_place
    place.store_put(f"{at}/d/real", b"x")
    place.store.put(place.bucket, f"{place.prefix}/{at}/d/", b"")
    if place.kind == "gcs":
        for odd in (f"{at}/d//twice", f"{at}/d/../up", f"{at}/d/."):
            place.store.put(place.bucket, f"{place.prefix}/{odd}", b"odd")
    assert [e for e in place.list(f"{at}/d") if e[0] == "real"] == [("real", 1)]
    assert all(name not in ("", ".", "..") for name, _ in place.list(f"{at}/d"))
    assert place.get(f"{at}/d/real").body == b"x"


@pytest.fixture(scope="session")
def many():
    return 1_001


def test_many_objects(place, many):
    """More than a page: listed, and deleted with all below; nothing beside."""
    at = folder()

    def work(i):
        key = f"{at}/tree/{i % 3}/{i:05d}" if i % 2 else f"{at}/tree/{i:05d} +%"
        place.store_put(key, b"x" * (i % 7))

    place.store_put(f"{at}/tree2", b"stays")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(2 * many)))
    listed = place.list(f"{at}/tree")
    assert len([e for e in listed if e[1] is not None]) == many and [e for e in listed if e[1] is None] == [("0", None), ("1", None), ("2", None)]
    assert place.delete(f"{at}/tree").status == 200
    assert place.stored_keys(f"{at}/tree") == {} and place.stored(f"{at}/tree2") == b"stays"
    if place.kind in ("versitygw", "minio"):
        assert 3 <= place.proxy.count("POST", query="delete") <= 5


def big(place, size):
    key = folder() + "/big"
    with temporary_file(size) as f:
        c = place.connect(600)
        c.putrequest("PUT", ARTIFACTS + quote(key))
        c.putheader("Content-Length", str(size))
        c.endheaders(f)
        assert Place.take(c.getresponse()).status == 200
        c.close()
    assert place.list(key.rpartition("/")[0]) == [("big", size)]
    c = place.connect(600)
    c.request("GET", ARTIFACTS + quote(key))
    r = c.getresponse()
    assert int(r.getheader("Content-Length")) == size
    ours, theirs = hashlib.sha256(), hashlib.sha256()
    with temporary_file(size) as f:
        while piece := r.read(1 << 20):
            ours.update(piece)
            theirs.update(f.read(1 << 20))
    c.close()
    assert ours.digest() == theirs.digest() and not place.leftovers(key)
    assert place.delete(key).status == 200


def test_300_mib(place):
    """The gate before the emulator of GCS is the slowest of all."""
    big(place, (300 if place.kind != "gcs" else 90) << 20)


@pytest.mark.full
@pytest.mark.parametrize("kind", ["disk", "versitygw", "minio"])
def test_5_gib(new_place, kind):
    """The gate's emulator would keep it all in memory."""
    big(new_place(kind), 5 << 30)


def test_many_at_once(place):
    at = folder()

    def work(i):
        body = pattern(10_000 + 37_000 * i, i)
        assert place.put(f"{at}/{i}", body).status == 200
        assert place.get(f"{at}/{i}").body == body

    in_threads(work, 24)
    assert len(place.list(at)) == 24


def test_readers_of_a_changing_object(place):
    """Whoever reads gets one version or an error, never a mixture."""
    key = folder() + "/changes"
    bodies = [bytes([65 + i]) * (3_000_000 + 100_000 * i) for i in range(3)]
    place.put(key, bodies[0])

    def write(i):
        assert place.put(key, bodies[i % 3]).status == 200

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(write, i) for i in range(9)]
        while not all(j.done() for j in jobs):
            reply = place.get(key)
            if not reply.cut and reply.status == 200:
                assert reply.body in bodies, (len(reply.body), set(reply.body))
        for j in jobs:
            j.result()


def test_hostile_paths(far_place):
    """Whatever is asked, the store hears of nothing outside of bucket and prefix: the fixture looks."""
    for path in ("../x", "..%2fx", "%2e%2e/x", "a/../../x", "a/%2e%2e/%2e%2e/%2e%2e/x", "%252e%252e/x", "/abs", "%2fabs", "a%5c..%5cx", "./x", "a/./x", "a%0d%0aX-Injected:1",
                 "a%00b", "a?versionId=1", "a%3FversionId=1", "a%23b", "a;x=y"):
        for method in ("PUT", "GET", "DELETE"):
            far_place.ask(method, ARTIFACTS + path, b"x" if method == "PUT" else None)
    for path in ("..", "../", "a/../..", "%2e%2e", "/", "//"):
        far_place.ask("GET", f"{ARTIFACTS[:-1]}?path={path}")
    for x in far_place.proxy.find():
        assert "x-injected" not in x.headers and "versionId" not in parse_qs(x.query, keep_blank_values=True), x


def test_virtual_hosts(new_place, versitygw):
    """bucket.host instead of host/bucket: libcurl knows localhost's names."""
    host = f"http://s3.localhost:{versitygw.port}"
    place = new_place("versitygw", environment=lambda _: versitygw.environment(host, MLFLOW_BOTO_CLIENT_ADDRESSING_STYLE="virtual"))
    assert place.put("v/k ü", b"virtual").status == 200 and place.stored("v/k ü") == b"virtual"
    assert place.get("v/k ü").body == b"virtual" and place.list("v") == [("k ü", 7)]


def test_upload_extra_args(new_place, versitygw):
    extra = '{"ContentType": "text/x-own", "Metadata": {"team": "a"}, "CacheControl": "no-store"}'
    place = new_place("versitygw", environment=lambda url: versitygw.environment(url), MLFLOW_S3_UPLOAD_EXTRA_ARGS=extra)
    for key, size in (("small", 10), ("large", 20 << 20)):
        assert place.put("x/" + key, pattern(size)).status == 200
        head = versitygw.client().head_object(Bucket=place.bucket, Key=f"{place.prefix}/x/{key}")
        assert (head["ContentType"], head["Metadata"], head["CacheControl"]) == ("text/x-own", {"team": "a"}, "no-store")


@pytest.mark.parametrize("prefix", ["", "one", "a/b/c"])
@pytest.mark.parametrize("kind", ["versitygw", "gcs"])
def test_prefixes(new_place, kind, prefix, request):
    store = request.getfixturevalue(kind)
    bucket = store.bucket()
    place = new_place(kind, bucket=bucket, prefix=prefix, destination=store.uri(bucket, prefix) + "/")
    place.proxy.clear()
    assert place.put("d/f", b"x").status == 200 and store.get(bucket, f"{prefix}/d/f".lstrip("/")) == b"x"
    assert place.list("") == [("d", None)] and place.get("d/f").body == b"x" and place.delete("d").status == 200 and store.keys(bucket) == {}
    if not prefix:
        place.proxy.clear()
