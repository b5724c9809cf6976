# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
A store that breaks at every stage of a download, a list, a deletion: whole and right, or a clear error before the first
byte, or a connection that is cut after it; never a short 200.
"""

import threading
import time

import pytest
from faulting import BODIES, FOREVER, KINDS, LARGE, SMALL, STALLED, TRIES, of_object, stored
from place import ARTIFACTS, SLOW, folder, often, refused, wait_for
from stores.fault_proxy import ANSWER, CORRUPT, CUT, DONE, HEAD, LENGTH, REPLY, REQUEST, RESET, SENT, STALL, s3_error

PLACES = [(REQUEST, 0), (SENT, 0), (DONE, 0), (HEAD, 0), (ANSWER, 0), (ANSWER, 1), (ANSWER, 65_536), (ANSWER, SMALL - 1), (ANSWER, 9 << 20), (ANSWER, LARGE - 1)]


@pytest.mark.parametrize("kind, at, action", often(lambda kind, at, action: action != STALL or at in ((SENT, 0), (ANSWER, 9 << 20)), KINDS, PLACES, [CUT, RESET, STALL]),
                         ids=lambda v: f"{v[0]}-{v[1]}" if isinstance(v, tuple) else None)
def test_download_breaks_once(faulty, kind, at, action):
    stage, after = at
    size = LARGE if after >= SMALL or stage == HEAD else SMALL
    key = stored(faulty, size)
    faulty.proxy.clear()
    fault = faulty.proxy.fault(stage, action, after=after, **of_object(faulty))
    reply = faulty.get(key)
    assert fault.fired == 1
    assert (reply.status, reply.cut) == (200, False) and reply.body == BODIES[size]
    if stage == ANSWER and after > 300_000 and action != RESET:
        again = [x for x in faulty.proxy.find("GET") if "range" in x.headers][-1]
        assert int(again.headers["range"].removeprefix("bytes=").split("-")[0]) > 0, "the beginning was asked for again"


@pytest.mark.parametrize("first, last", [(1_000, 90_000), (5, None)])
@pytest.mark.parametrize("kind", KINDS)
def test_range_breaks_once(faulty, kind, first, last):
    key = stored(faulty, SMALL)
    faulty.proxy.fault(ANSWER, CUT, after=30_000, **of_object(faulty))
    reply = faulty.get(key, Range=f"bytes={first}-{last or ''}")
    assert reply.status == 206 and not reply.cut and reply.body == BODIES[SMALL][first:last + 1 if last else None]


@pytest.mark.parametrize("status, code", [(500, "InternalError"), (503, "SlowDown")])
@pytest.mark.parametrize("kind", KINDS)
def test_download_refused_twice(faulty, kind, status, code):
    key = stored(faulty, SMALL)
    faulty.proxy.fault(REQUEST, REPLY, times=2, status=status, body=s3_error(code), **of_object(faulty))
    assert faulty.get(key).body == BODIES[SMALL]


NEVER = {"reset": (REQUEST, RESET, {}), "503": (REQUEST, REPLY, {"status": 503, "body": s3_error("SlowDown")}), "head": (HEAD, CUT, {}), "stall": (SENT, STALL, {})}


@pytest.mark.parametrize("kind, how", often(lambda kind, how: how != "stall" or kind == "versitygw", KINDS, NEVER))
def test_download_never_begins(faulty, kind, how):
    """Before the first byte: an error; and one, in time."""
    stage, action, options = NEVER[how]
    key = stored(faulty, LARGE)
    fault = faulty.proxy.fault(stage, action, times=FOREVER, **options, **of_object(faulty))
    began = time.monotonic()
    reply = faulty.get(key)
    if stage == HEAD:
        # Its head may have been passed on.
        assert reply.cut or reply.status == 503, reply
    else:
        refused(reply, "TEMPORARILY_UNAVAILABLE", status=503)
    assert 2 <= fault.fired <= 2 * TRIES + 1 and time.monotonic() - began < (30 + TRIES * STALLED) * SLOW


@pytest.mark.parametrize("action", [CUT, RESET, STALL])
@pytest.mark.parametrize("kind", KINDS)
def test_download_breaks_for_good(faulty, kind, action):
    """After the first byte: a connection that is cut, with what was right until there."""
    key = stored(faulty, LARGE)
    faulty.proxy.fault(ANSWER, action, after=3 << 20, when=lambda x: "range" not in x.headers or x.headers["range"].startswith("bytes=0-"), method="GET")
    faulty.proxy.fault(REQUEST, RESET, times=FOREVER, method="GET", when=lambda x: "range" in x.headers and not x.headers["range"].startswith("bytes=0-"))
    reply = faulty.get(key)
    assert reply.status == 200 and reply.cut, "a short 200"
    assert BODIES[LARGE].startswith(reply.body) and len(reply.body) < LARGE
    wait_for(lambda: any("warn" in line or "error" in line for line in faulty.log_of(reply)), 5, "a line in the log")


@pytest.mark.parametrize("by", [-10, -70_000, 10])
@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("kind", KINDS)
def test_download_with_a_wrong_length(faulty, kind, size, by):
    key = stored(faulty, size)
    faulty.proxy.fault(HEAD, LENGTH, by=by, times=FOREVER, **of_object(faulty))
    reply = faulty.get(key)
    assert reply.status >= 500 or reply.cut or reply.body == BODIES[size], f"{len(reply.body)} of {size} bytes as if that were all"


@pytest.mark.parametrize("kind", KINDS)
def test_download_of_what_changes_meanwhile(faulty, kind):
    """The rest is not of another version."""
    key = folder() + "/f"
    faulty.store_put(key, BODIES[LARGE])
    fault = faulty.proxy.fault(ANSWER, STALL, after=4 << 20, **of_object(faulty))
    got = []
    reader = threading.Thread(target=lambda: got.append(faulty.get(key)))
    reader.start()
    faulty.proxy.wait_for(lambda: fault.fired)
    faulty.store_put(key, bytes(LARGE))
    reader.join()
    assert got[0].cut and BODIES[LARGE].startswith(got[0].body), got[0]


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("kind", KINDS)
def test_download_is_corrupted(faulty, kind, size):
    """Who asks for the digest never takes a wrong byte for the object."""
    key = folder() + "/f"
    assert faulty.put(key, BODIES[size]).status == 200
    faulty.proxy.fault(ANSWER, CORRUPT, after=size - 20_000, **of_object(faulty))
    reply = faulty.get(key, Want_Repr_Digest="sha-256=10")
    assert reply.cut or reply.status >= 500 or reply.body == BODIES[size], "a wrong byte in a whole answer"
    assert faulty.get(key, Want_Repr_Digest="sha-256=10").body == BODIES[size]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_there_is_asked_once(faulty, kind):
    refused(faulty.get(folder() + "/none"), "RESOURCE_DOES_NOT_EXIST", status=404)
    assert len([x for x in faulty.proxy.find("GET") if "list" not in x.query and "prefix" not in x.query]) <= 1


# ---- lists, deletion ----


@pytest.mark.parametrize("stage, action, options", [(REQUEST, RESET, {}), (DONE, CUT, {}), (REQUEST, REPLY, {"status": 503, "body": s3_error("SlowDown")}), (ANSWER, CUT, {"after": 40}), (SENT, STALL, {})],
                         ids=["reset", "cut", "503", "body", "stall"])
@pytest.mark.parametrize("kind", KINDS)
def test_lists_and_deletes_break_once(faulty, kind, stage, action, options):
    at = folder()
    for name in ("a", "b/c"):
        faulty.store_put(f"{at}/{name}", b"x")
    faulty.proxy.fault(stage, action, method="GET", **options)
    assert faulty.list(at) == [("a", 1), ("b", None)]
    delete = {} if kind == "versitygw" else {"method": "DELETE"}
    if kind == "versitygw":
        delete = {"method": "POST", "query": "delete"}
    if not (stage == ANSWER and kind == "gcs"):
        faulty.proxy.fault(stage, action, **delete, **options)
    assert faulty.delete(at).status == 200 and faulty.stored_keys(at) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_lists_break_for_good(faulty, kind):
    faulty.proxy.fault(REQUEST, REPLY, times=FOREVER, status=503, body=s3_error("SlowDown"))
    refused(faulty.ask("GET", ARTIFACTS[:-1] + "?path=x"), "TEMPORARILY_UNAVAILABLE", status=503)
    refused(faulty.delete(folder()), "TEMPORARILY_UNAVAILABLE", status=503)
    faulty.proxy.faults.clear()


@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b"\xff\xfe", b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaa'>]><ListBucketResult>&a;</ListBucketResult>", b"{", b'{"items": 5}'],
                         ids=["empty", "html", "bytes", "entity", "half", "type"])
@pytest.mark.parametrize("kind", KINDS)
def test_lists_that_are_none(faulty, kind, body):
    faulty.proxy.fault(REQUEST, REPLY, times=FOREVER, status=200, body=body, method="GET")
    reply = faulty.ask("GET", ARTIFACTS[:-1] + "?path=x")
    faulty.proxy.faults.clear()
    refused(reply, "INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE")
