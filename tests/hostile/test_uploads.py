# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P4: an upload that is cut at any byte, in any way, leaves nothing that is seen, and nothing on the disk after a restart."""

import os
import signal
import socket

import pytest

import load
from capstan_server import SLOW, wait_for
from conftest import FULL, unique
from wire import Client, Wire, head

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
WHOLE = (1 << 20) + 1
CUTS = sorted({*range(4097 if FULL else 33), *(1 << n for n in range(21)), *((1 << n) - 1 for n in range(1, 21)),
               *(range(0, 1 << 20, 4096) if FULL else ()), WHOLE - 1})
DATA = bytes(range(256)) * (WHOLE // 256 + 1)


def finish(wire, how):
    if how == "reset":
        wire.reset()
    elif how == "half":
        wire.socket.shutdown(socket.SHUT_WR)
    else:
        wire.close()


def files(server):
    """Every file below the artifact root, the daemon's own folder included."""
    root = os.path.join(server.data_dir, "artifacts")
    return sorted(os.path.join(folder, name) for folder, _, names in os.walk(root) for name in names)


def descriptors(server):
    """Its connections, and files below the artifact root, those without a name too."""
    found = ["socket"] * load.sockets(server.pid)
    for name in os.listdir(f"/proc/{server.pid}/fd"):
        try:
            target = os.readlink(f"/proc/{server.pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith(os.path.join(server.data_dir, "artifacts") + "/"):
            found.append(target)
    return found


def start_upload(server, target, framing, cut, data=DATA):
    wire = Wire(server)
    if framing == "length":
        wire.send(head("PUT", target, f"Content-Length: {WHOLE}") + data[:cut])
    else:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (WHOLE, data[:WHOLE])
        wire.send(head("PUT", target, "Transfer-Encoding: chunked") + body[:cut])
    return wire


def nothing(client, folder):
    reply = client.ask("GET", f"{PROXY}/{folder}/cut")
    assert reply.status == 404, reply
    listed = client.ask("GET", f"{PROXY}?path={folder}")
    assert listed.status == 200 and not listed.json.get("files"), listed


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_cut_uploads_leave_nothing(new_server, postgres, framing, how):
    server = new_server(backend=postgres.database(unique()))
    client = Client(server)
    folder = unique("cut")
    client.ask("GET", "/health")
    before = files(server)
    open_before = len(descriptors(server))
    halves = []
    for cut in CUTS:
        wire = start_upload(server, f"{PROXY}/{folder}/cut", framing, cut)
        finish(wire, how)
        if how == "half":
            halves.append(wire)
            if len(halves) > 200:
                halves.pop(0).close()
        if cut % 16 == 0 and cut < 5000:
            nothing(client, folder)
    nothing(client, folder)
    for wire in halves:                 # a half-closed client is told, or hung up on: it holds nothing for ever
        wire.socket.settimeout(20 * SLOW)
        while True:
            try:
                if not wire.socket.recv(65536):
                    break
            except ConnectionError:
                break
        wire.close()
    wait_for(lambda: len(descriptors(server)) <= open_before, 20, "end of the cut uploads")
    nothing(client, folder)
    assert client.ask("PUT", f"{PROXY}/{folder}/cut", b"whole").status == 200
    assert client.ask("GET", f"{PROXY}/{folder}/cut").body == b"whole"
    assert client.ask("DELETE", f"{PROXY}/{folder}").status == 200
    client.close()
    server.restart()
    assert files(server) == before


def test_a_killed_daemon_leaves_nothing(new_server, postgres):
    """kill -9 at many offsets; what was whole before stays whole."""
    server = new_server(backend=postgres.database(unique()))
    client = Client(server)
    folder = unique("kill")
    kept = {}
    cuts = CUTS if FULL else [0, 1, 4096, 65536, 300_000, WHOLE - 1]
    for n, cut in enumerate(cuts):
        name = f"kept{n}"
        assert client.ask("PUT", f"{PROXY}/{folder}/{name}", DATA[:cut]).status == 200
        kept[name] = cut
        wires = [start_upload(server, f"{PROXY}/{folder}/{target}", framing, cut, DATA[::-1])
                 for framing in ("length", "chunked") for target in ("cut", name)]
        made = client.ask("POST", f"/api/2.0/mlflow-artifacts/mpu/create/{folder}", {"path": "multi", "num_parts": 2}).json
        url = made["credentials"][0]["url"].split("//", 1)[-1]
        assert client.ask("PUT", url[url.index("/"):], DATA[:1000]).status == 200
        server.kill()
        for wire in wires:
            wire.close()
        client.close()
        server.start()
        assert client.ask("GET", f"{PROXY}/{folder}/cut").status == 404
        assert client.ask("GET", f"{PROXY}/{folder}/multi").status == 404
        listed = client.ask("GET", f"{PROXY}?path={folder}").json["files"]
        assert [(f["path"], f.get("file_size", 0)) for f in listed] == sorted(kept.items())
    for name, size in kept.items():
        assert client.ask("GET", f"{PROXY}/{folder}/{name}").body == DATA[:size]
    client.close()
    server.stop()
    known = sorted(os.path.join(server.data_dir, "artifacts", folder, name) for name in kept)
    left = [f for f in files(server) if f not in known]
    # A multipart upload may be resumed for a day; all else must be gone.
    assert all("/.capstan-tmp/" in f and os.path.getsize(f) in (0, 1000) or os.path.getsize(f) < 4096 and "/.capstan-tmp/" in f for f in left), left


def test_a_stopping_daemon_finishes_or_drops(new_server, postgres):
    """SIGTERM amid an upload: whole and answered, or nothing."""
    server = new_server(backend=postgres.database(unique()))
    client = Client(server)
    folder = unique("stop")
    wire = start_upload(server, f"{PROXY}/{folder}/cut", "length", 1000)
    client.ask("GET", "/health")
    server.process.send_signal(signal.SIGTERM)
    try:
        wire.send(DATA[1000:WHOLE])
        reply = wire.reply("PUT")
    except OSError:
        reply = None
    wire.close()
    client.close()
    assert server.process.wait(30 * SLOW) == 0
    server.start()
    got = client.ask("GET", f"{PROXY}/{folder}/cut")
    assert (got.status, got.body) == (200, DATA[:WHOLE]) if reply and reply.status == 200 else got.status == 404, (reply, got.status)
    client.close()
