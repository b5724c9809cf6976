# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Many transfers at one time: bounded memory, fair shares."""

import os
import threading
import time

import pytest
from place import ARTIFACTS, SLOW, Upload, folder, in_threads, now, pattern

MOST = 160 << 20
COUNT = 64
sanitized = "sanitize" in os.environ.get("CAPSTAN_BINARY", "")


@pytest.fixture(params=["disk", "versitygw", "gcs"])
def fresh(request, new_place):
    return new_place(request.param)


def transfers(place, size):
    """64 up, 64 down; the peak of memory after each."""
    at = folder()
    body = pattern(size)

    def up(i):
        reply = place.put(f"{at}/{i}", body, timeout=600)
        assert reply.status == 200, reply

    def down(i):
        c = place.connect(600)
        c.request("GET", f"{ARTIFACTS}{at}/{i}")
        r = c.getresponse()
        got = 0
        while piece := r.read(256 << 10):
            assert body[got:got + len(piece)] == piece
            got += len(piece)
        c.close()
        assert got == size

    in_threads(up, COUNT)
    after_up = place.peak()
    in_threads(down, COUNT)
    assert len(place.list(at)) == COUNT
    place.delete(at)
    return after_up, place.peak()


@pytest.mark.skipif(sanitized, reason="the sanitizer's own memory")
def test_64_at_once(fresh):
    if fresh.kind == "gcs":
        pytest.skip("its emulator keeps all in memory: test_64_smaller_at_once")
    peaks = transfers(fresh, 20 << 20)
    assert max(peaks) <= MOST, [p >> 20 for p in peaks]


@pytest.mark.skipif(sanitized, reason="the sanitizer's own memory")
def test_64_smaller_at_once(new_place):
    peaks = transfers(new_place("gcs"), 10 << 20)
    assert max(peaks) <= MOST, [p >> 20 for p in peaks]


@pytest.mark.full
@pytest.mark.parametrize("kind", ["disk", "versitygw"])
def test_64_of_100_mib(new_place, kind):
    peaks = transfers(new_place(kind), 100 << 20)
    assert max(peaks) <= MOST, [p >> 20 for p in peaks]


def quick(place, body):
    """How long a client of the usual kind takes."""
    key = folder() + "/q"
    began = now()
    assert place.put(key, body).status == 200 and place.get(key).body == body
    return now() - began


def test_slow_uploads_starve_nobody(fresh):
    """Slow clients with large objects on the way: memory for parts is not all theirs."""
    body = pattern(10 << 20, 5)
    usual = quick(fresh, body)
    slow = [Upload(fresh, f"slow/{i}", 40 << 20) for i in range(COUNT)]
    end = threading.Event()

    def drip(up):
        for _ in range(200):
            if end.wait(0.1):
                return
            up.send(b"x" * 4096)

    threads = [threading.Thread(target=drip, args=(up,)) for up in slow]
    for t in threads:
        t.start()
    time.sleep(0.5)
    try:
        times = [quick(fresh, body) for _ in range(3)]
    finally:
        end.set()
        for t in threads:
            t.join()
        for up in slow:
            up.close()
    assert max(times) < max(4 * SLOW, 10 * usual), (usual, times)
    if not sanitized:
        assert fresh.peak() <= MOST


def test_slow_downloads_starve_nobody(fresh):
    body = pattern(10 << 20, 6)
    fresh.store_put("slow/object", pattern(20 << 20))
    usual = quick(fresh, body)
    readers = []
    for _ in range(COUNT):
        c = fresh.connect()
        c.request("GET", ARTIFACTS + "slow/object")
        readers.append((c, c.getresponse()))
    times = [quick(fresh, body) for _ in range(3)]
    for c, r in readers:
        assert r.status == 200
        r.read(1000)
        c.close()
    assert max(times) < max(4 * SLOW, 10 * usual), (usual, times)
    if not sanitized:
        assert fresh.peak() <= MOST


def test_uploads_that_pause_with_parts_full(new_place):
    """Clients that stop in the middle of their parts hold what memory there is; others go on."""
    place = new_place("versitygw")
    stopped = [Upload(place, f"stopped/{i}", 100 << 20) for i in range(16)]
    for up in stopped:
        up.sock.settimeout(0.2)
        try:
            up.send(bytes(7 << 20))
        except TimeoutError:
            pass
    body = pattern(30 << 20, 8)
    began = now()
    assert place.put("other/large", body).status == 200 and place.stored("other/large") == body
    assert place.put("other/small", b"x").status == 200
    assert now() - began < 20 * SLOW
    for up in stopped:
        up.close()
    for i in range(16):
        place.nothing_left(f"stopped/{i}")
    if not sanitized:
        assert place.peak() <= MOST
