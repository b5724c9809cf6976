# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Bytes per second of artifacts through Capstan beside the same client straight at the store: see artifacts.sh."""

import argparse
import contextlib
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "api"), str(HERE.parent)]
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "1200"

import boto3  # noqa: E402
import botocore.config  # noqa: E402
import requests  # noqa: E402
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository  # noqa: E402

import peers  # noqa: E402
import capstan_server  # noqa: E402
from stores import stores  # noqa: E402

MIB = 1 << 20
PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
BUCKET = "bench"
GIGABIT = 119 * MIB     # bytes a second of payload that a line of 1 Gbit/s carries

# Bytes from one socket to another, and no more than so many a second: a line, or (0) the least that any proxy does.
RELAY = """
import socket, sys, threading, time

class Line:
    def __init__(self, rate):
        self.rate, self.lock, self.free = rate, threading.Lock(), 0.0

    def carry(self, n):
        if not self.rate:
            return
        with self.lock:
            now = time.monotonic()
            self.free = max(self.free, now - 0.01) + n / self.rate
            wait = self.free - now
        if wait > 0:
            time.sleep(wait)

def copy(a, b, line):
    block = bytearray(256 << 10)
    view = memoryview(block)
    try:
        while n := a.recv_into(block):
            line.carry(n)
            b.sendall(view[:n])
        b.shutdown(socket.SHUT_WR)
    except OSError:
        for s in (a, b):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

up, down = (Line(float(sys.argv[2])) for _ in range(2))
listener = socket.create_server(("127.0.0.1", 0), backlog=256)
print(listener.getsockname()[1], flush=True)
while True:
    a, _ = listener.accept()
    b = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for s in (a, b):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    threading.Thread(target=copy, args=(a, b, up), daemon=True).start()
    threading.Thread(target=copy, args=(b, a, down), daemon=True).start()
"""


def median(values):
    return statistics.median(values)


def curl(*arguments):
    """Seconds until the first byte and in all, of one request."""
    out = subprocess.run(
        ["curl", "-sS", "--fail-with-body", "-w", "\n%{time_starttransfer} %{time_total}", *arguments],
        capture_output=True, text=True, timeout=1200)
    if out.returncode:
        raise RuntimeError(f"curl {arguments}: {out.stdout[-500:]} {out.stderr[-500:]}")
    first, total = out.stdout.rsplit("\n", 1)[1].split()
    return float(first), float(total)


def parallel(folder, transfers, connections):
    """Seconds of many requests by one curl: (arguments as lines of its configuration)."""
    config = os.path.join(folder, "curl.cfg")
    with open(config, "w") as f:
        f.write("\nnext\n".join("\n".join([*lines, "silent", "show-error", "fail"]) for lines in transfers) + "\n")
    began = time.monotonic()
    out = subprocess.run(["curl", "--parallel", "--parallel-immediate", "--parallel-max", str(connections), "-K", config],
                         capture_output=True, text=True, timeout=1200)
    if out.returncode:
        raise RuntimeError(out.stderr[-1000:])
    return time.monotonic() - began


def resident(server):
    """MiB of the server's own processes: a private PostgreSQL below it is not the proxy."""
    total = 0
    for pid in peers.tree(server.pid) if isinstance(server, Mlflow) else [server.pid]:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/status") as f:
                total += next(int(ln.split()[1]) for ln in f if ln.startswith("VmRSS:"))
    return total / 1024


class Peak:
    """The most resident memory of a server's processes, and bytes of its temporary files, while it is open."""

    def __init__(self, server, temporary=None):
        self.server, self.temporary = server, temporary
        self.rss = self.bytes = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def watch(self):
        while not self.over.wait(0.05):
            self.rss = max(self.rss, resident(self.server))
            if self.temporary:
                total = 0
                for path, _, names in os.walk(self.temporary):
                    for name in names:
                        with contextlib.suppress(OSError):
                            total += os.stat(os.path.join(path, name)).st_blocks * 512
                self.bytes = max(self.bytes, total)


class Mlflow(peers.Mlflow):
    def command(self):
        found = super().command()
        found[found.index("--artifacts-destination") + 1] = f"s3://{BUCKET}/mlflow"
        return found


class Relay:
    def __init__(self, url, rate):
        port = url.rsplit(":", 1)[1].strip("/")
        self.process = subprocess.Popen([sys.executable, "-c", RELAY, port, str(rate)], stdout=subprocess.PIPE, text=True)
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().strip()}"

    def close(self):
        self.process.terminate()
        self.process.wait()


class World:
    """One versitygw, a Capstan before it, a Capstan on a directory, perhaps MLflow before the same versitygw."""

    def __init__(self, options):
        self.options = options
        self.folder = tempfile.mkdtemp(prefix="capstan-bench-")
        self.stack = contextlib.ExitStack()
        self.stack.callback(shutil.rmtree, self.folder, ignore_errors=True)

    def __enter__(self):
        self.gateway = self.stack.enter_context(stores.Versitygw())
        self.environment = self.gateway.environment()
        os.environ.update(self.environment)
        self.s3 = self.client(self.gateway.url)
        self.gateway.bucket(BUCKET)
        self.capstan = self.run(capstan_server.Server("--artifacts-destination", f"s3://{BUCKET}/capstan", env=self.environment))
        self.disk = self.run(capstan_server.Server())
        return self

    def client(self, url):
        return boto3.client("s3", endpoint_url=url, config=botocore.config.Config(
            signature_version="s3v4", s3={"addressing_style": "path"}))

    def run(self, server):
        self.stack.callback(server.close)
        return server.start()

    def relay(self, rate=0):
        return self.stack.enter_context(contextlib.closing(Relay(self.gateway.url, rate)))

    def mlflow(self):
        """Started when first asked for: it takes its time, and memory."""
        if not hasattr(self, "_mlflow"):
            cluster = self.stack.enter_context(contextlib.closing(capstan_server.Postgres().start()))
            self.temporary = os.path.join(self.folder, "tmp")
            os.mkdir(self.temporary)
            server = Mlflow(backend=cluster.database("mlflow"), env={**self.environment, "TMPDIR": self.temporary})
            self.stack.callback(server.close)
            peers.start(server)
            self._mlflow = server
        return self._mlflow

    def __exit__(self, *problem):
        self.stack.__exit__(*problem)

    def signed(self, verb, key, s3=None):
        return (s3 or self.s3).generate_presigned_url(verb, Params={"Bucket": BUCKET, "Key": key}, ExpiresIn=86400)

    def file(self, name, size):
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            with open(path, "wb") as f:
                block = os.urandom(MIB)
                for _ in range(size // MIB):
                    f.write(block)
                f.write(block[: size % MIB])
        return path


def rounds(world, ways, first=None):
    """ways: name -> function that gives seconds. In turn, so that what changes on the machine changes for all."""
    if first:
        first()
    taken = {name: [] for name in ways}
    for _ in range(world.options.rounds):
        for name, way in ways.items():
            taken[name].append(way())
    return {name: median(seconds) for name, seconds in taken.items()}


def line(*columns):
    print("".join(f"{c:<34}" if i == 0 else f"{c:>14}" for i, c in enumerate(columns)), flush=True)


def compare(title, size, taken, straight, ours):
    rate = {name: size / MIB / seconds for name, seconds in taken.items()}
    line(title, f"{rate[straight]:,.0f}", f"{rate[ours]:,.0f}", f"{rate[ours] / rate[straight]:.2f} x")


def beside(title, size, taken):
    rate = {name: size / MIB / seconds for name, seconds in taken.items()}
    line(title, f"{rate['straight']:,.0f}", f"{rate['relay']:,.0f}", f"{rate['relay'] / rate['straight']:.2f} x",
         f"{rate['ours']:,.0f}", f"{rate['ours'] / rate['straight']:.2f} x", f"{rate['ours'] / rate['relay']:.2f} x")


def far(world, size, path):
    """A store behind a line that is slower than this machine: what the proxy itself takes away from it."""
    way = world.relay(GIGABIT)
    s3 = world.client(way.url)
    capstan = world.run(capstan_server.Server("--artifacts-destination", f"s3://{BUCKET}/far",
                                              env={**world.environment, "MLFLOW_S3_ENDPOINT_URL": way.url}))
    ours = capstan.url + PROXY
    print("\nthe same over a line of 1 Gbit/s to the store, MiB/s")
    line("", "straight", "capstan", "ratio")
    compare("curl up", size, rounds(world, {
        "straight": lambda: curl("-T", path, world.signed("put_object", "straight/far", s3))[1],
        "ours": lambda: curl("-T", path, ours + "far")[1]}), "straight", "ours")
    compare("curl down", size, rounds(world, {
        "straight": lambda: curl("-o", "/dev/null", world.signed("get_object", "straight/far", s3))[1],
        "ours": lambda: curl("-o", "/dev/null", ours + "far")[1]}), "straight", "ours")


def large(world):
    size = (128 if world.options.quick else 1024) * MIB
    path = world.file("large", size)
    kept = os.path.join(world.folder, "straight")
    ours, disk = world.capstan.url + PROXY, world.disk.url + PROXY
    print(f"\none file of {size // MIB} MiB, MiB/s (client, proxy and store share {os.cpu_count()} cores)")
    line("", "straight", "bare relay", "ratio", "capstan", "ratio", "to relay")
    relay = world.client(world.relay().url)
    beside("curl up, versitygw", size, rounds(world, {
        "straight": lambda: curl("-T", path, world.signed("put_object", "straight/large"))[1],
        "relay": lambda: curl("-T", path, world.signed("put_object", "straight/relayed", relay))[1],
        "ours": lambda: curl("-T", path, ours + "large")[1]}))
    beside("curl down, versitygw", size, rounds(world, {
        "straight": lambda: curl("-o", "/dev/null", world.signed("get_object", "straight/large"))[1],
        "relay": lambda: curl("-o", "/dev/null", world.signed("get_object", "straight/large", relay))[1],
        "ours": lambda: curl("-o", "/dev/null", ours + "large")[1]}))
    beside("curl down, disk (versitygw's)", size, rounds(world, {
        "straight": lambda: curl("-o", "/dev/null", world.signed("get_object", "straight/large"))[1],
        "relay": lambda: curl("-o", "/dev/null", world.signed("get_object", "straight/large", relay))[1],
        "ours": lambda: curl("-o", "/dev/null", disk + "large")[1]}, lambda: curl("-T", path, disk + "large")))
    far(world, size, path)
    print(f"\none file of {size // MIB} MiB, MiB/s")
    line("", "straight", "capstan", "ratio")

    def copy():
        began = time.monotonic()
        subprocess.run(["dd", f"if={path}", f"of={kept}", "bs=1M", "conv=fsync", "status=none"], check=True)
        return time.monotonic() - began

    compare("curl up, disk (straight: dd fsync)", size, rounds(world, {
        "straight": copy, "ours": lambda: curl("-T", path, disk + "large")[1]}), "straight", "ours")
    compare("curl down, disk (curl file://)", size, rounds(world, {
        "straight": lambda: curl("-o", "/dev/null", f"file://{kept}")[1],
        "ours": lambda: curl("-o", "/dev/null", disk + "large")[1]}), "straight", "ours")
    clients(world, size, path)


def clients(world, size, path):
    """The same by MLflow's own client; and through MLflow's own proxy."""
    def up(uri, tracking):
        began = time.monotonic()
        get_artifact_repository(uri, tracking_uri=tracking).log_artifact(path)
        return time.monotonic() - began

    def down(uri, tracking):
        target = tempfile.mkdtemp(dir=world.folder)
        began = time.monotonic()
        get_artifact_repository(uri, tracking_uri=tracking).download_artifacts("large", target)
        taken = time.monotonic() - began
        shutil.rmtree(target)
        return taken

    places = {
        "versitygw": (f"s3://{BUCKET}/client", "mlflow-artifacts:/client", world.capstan.url),
        "disk": (os.path.join(world.folder, "client"), "mlflow-artifacts:/client", world.disk.url),
    }
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD"] = "false"
    os.environ["MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD"] = "false"
    for name, (straight, proxied, url) in places.items():
        for title, way in (("up", up), ("down", down)):
            compare(f"mlflow client {title}, {name}", size, rounds(world, {
                "straight": lambda: way(straight, url), "ours": lambda: way(proxied, url)}), "straight", "ours")
    if world.options.no_mlflow:
        return
    server = world.mlflow()
    print(f"\nthe same {size // MIB} MiB through MLflow 3.17.2's proxy")
    line("", "seconds", "peak RSS MiB", "temporary MiB")
    for title, way in (("up", up), ("down", down)):
        for name, proxy in (("capstan", world.capstan), ("mlflow", server)):
            with Peak(proxy, world.temporary if proxy is server else None) as peak:
                seconds = way("mlflow-artifacts:/compared", proxy.url)
            line(f"mlflow client {title}, {name}", f"{seconds:.2f}", f"{peak.rss:,.0f}", f"{peak.bytes / MIB:,.0f}")


def first_byte(world):
    count = 20 if world.options.quick else 100
    path = world.file("medium", 16 * MIB)
    curl("-T", path, world.signed("put_object", "straight/medium"))
    curl("-T", path, world.capstan.url + PROXY + "medium")
    taken = {"straight": [], "ours": []}
    for _ in range(count):
        taken["straight"].append(curl("-o", "/dev/null", world.signed("get_object", "straight/medium"))[0])
        taken["ours"].append(curl("-o", "/dev/null", world.capstan.url + PROXY + "medium")[0])
    straight, ours = (median(taken[name]) * 1000 for name in ("straight", "ours"))
    print(f"\nfirst byte of a download, ms (median of {count})")
    line("", "straight", "capstan", "more")
    line("curl down, versitygw", f"{straight:.1f}", f"{ours:.1f}", f"{ours - straight:.1f}")


def answers(server, seconds, over=None):
    """p99 in ms of small requests by four clients."""
    lua = os.path.join(tempfile.mkdtemp(), "small.lua")
    with open(lua, "w") as f:
        f.write('done = function(s, l, r) io.write(string.format("RESULT %f %d\\n", l:percentile(99), s.errors.status)) end\n')
    out = subprocess.run(["wrk", "-t1", "-c4", f"-d{seconds}s", "-s", lua,
                          server.url + "/api/2.0/mlflow/experiments/get?experiment_id=0"], capture_output=True, text=True)
    _, p99, bad = next(ln for ln in out.stdout.splitlines() if ln.startswith("RESULT")).split()
    assert bad == "0", out.stdout
    return float(p99) / 1000


def many(world):
    number, size = (16, 16 * MIB) if world.options.quick else (64, 100 * MIB)
    path = world.file("part", size)
    total = number * size
    ours = world.capstan.url + PROXY
    ways = {
        ("up", "straight"): [[f'url="{world.signed("put_object", f"straight/part{i}")}"', f'upload-file="{path}"', 'output="/dev/null"'] for i in range(number)],
        ("up", "ours"): [[f'url="{ours}part{i}"', f'upload-file="{path}"', 'output="/dev/null"'] for i in range(number)],
        ("down", "straight"): [[f'url="{world.signed("get_object", f"straight/part{i}")}"', 'output="/dev/null"'] for i in range(number)],
        ("down", "ours"): [[f'url="{ours}part{i}"', 'output="/dev/null"'] for i in range(number)],
    }
    print(f"\n{number} files of {size // MIB} MiB at once, MiB/s")
    line("", "straight", "capstan", "ratio", "peak RSS MiB")
    for direction in ("up", "down"):
        straight = rounds(world, {"s": lambda: parallel(world.folder, ways[direction, "straight"], number)})["s"]
        with Peak(world.capstan) as peak:
            taken = rounds(world, {"o": lambda: parallel(world.folder, ways[direction, "ours"], number)})["o"]
        line(f"curl {direction}, versitygw", f"{total / MIB / straight:,.0f}", f"{total / MIB / taken:,.0f}",
             f"{straight / taken:.2f} x", f"{peak.rss:,.0f}")
    idle = answers(world.capstan, 5)
    with ThreadPoolExecutor(2) as pool:
        beside = pool.submit(lambda: [parallel(world.folder, ways["up", "straight"], number),
                                      parallel(world.folder, ways["down", "straight"], number)])
        time.sleep(0.3)
        machine = answers(world.capstan, 4)
        beside.result()
        beside = pool.submit(lambda: [parallel(world.folder, ways["up", "ours"], number),
                                      parallel(world.folder, ways["down", "ours"], number)])
        time.sleep(0.3)
        busy = answers(world.capstan, 4)
        beside.result()
    print("\np99 of small requests, ms")
    line("", "idle", "beside straight", "beside capstan", "to idle", "to straight")
    line("four clients, experiments/get", f"{idle:.1f}", f"{machine:.1f}", f"{busy:.1f}", f"{busy / idle:.1f} x", f"{busy / machine:.1f} x")


def small(world):
    number = 200 if world.options.quick else 2000
    folder = os.path.join(world.folder, "small")
    os.makedirs(folder, exist_ok=True)
    for i in range(number):
        with open(os.path.join(folder, f"f{i}"), "wb") as f:
            f.write(os.urandom(4096))
    servers = {"capstan": world.capstan} if world.options.no_mlflow else {"capstan": world.capstan, "mlflow": world.mlflow()}

    def client(server):
        began = time.monotonic()
        get_artifact_repository("mlflow-artifacts:/client-small", tracking_uri=server.url).log_artifacts(folder)
        return number / (time.monotonic() - began)

    def sixteen(server):
        return number / parallel(world.folder, [[f'url="{server.url}{PROXY}small/f{i}"', f'upload-file="{folder}/f{i}"', 'output="/dev/null"']
                                                for i in range(number)], 16)

    def back(server):
        return number / parallel(world.folder, [[f'url="{server.url}{PROXY}small/f{i}"', 'output="/dev/null"'] for i in range(number)], 16)

    def straight():
        return number / parallel(world.folder, [[f'url="{world.signed("put_object", f"straight/small/f{i}")}"', f'upload-file="{folder}/f{i}"', 'output="/dev/null"']
                                                for i in range(number)], 16)

    print(f"\n{number} files of 4 KiB to versitygw, files/s")
    line("", "capstan", "mlflow", "ratio", "straight")
    for title, way in (("mlflow client, log_artifacts", client), ("curl, 16 at once, up", sixteen), ("curl, 16 at once, down", back)):
        rates = {name: way(server) for name, server in servers.items()}
        theirs = rates.get("mlflow")
        line(title, f"{rates['capstan']:,.0f}", f"{theirs:,.0f}" if theirs else "-", f"{rates['capstan'] / theirs:.1f} x" if theirs else "-",
             f"{straight():,.0f}" if way is sixteen else "")


PARTS = {"large": large, "first-byte": first_byte, "parallel": many, "small": small}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small files, one round: shows that it works")
    parser.add_argument("--no-mlflow", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", action="append", choices=PARTS)
    options = parser.parse_args()
    if options.quick:
        options.rounds = 1
    with World(options) as world:
        for name in options.only or PARTS:
            PARTS[name](world)
        print(f"\ncapstan before versitygw: RSS {resident(world.capstan):,.0f} MiB at the end; on a directory {resident(world.disk):,.0f} MiB")


if __name__ == "__main__":
    main()
