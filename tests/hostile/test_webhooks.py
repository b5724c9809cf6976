# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Webhooks in hostile hands: targets inside of our network in every spelling, headers in texts, and more events than a target takes."""

import socket
import threading
import time

import pytest

import load
import webhook_receiver
from capstan_server import SLOW, wait_for
from conftest import unique
from test_memory import MIB, SANITIZED
from wire import Client

EVENT = {"entity": "REGISTERED_MODEL", "action": "CREATED"}

# Loopback, private, link-local, shared, metadata: as numbers, in parts, in other bases, within IPv6, and as names.
PRIVATE = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "0177.1", "017700000001", "0x7f.0x0.0x0.0x1", "127.255.255.254",
    "0", "0.0.0.0", "0x0", "00", "10.0.0.1", "10.1", "0xa.1", "012.0.0.1", "167772161", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.1", "3232235521",
    "169.254.169.254", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "169.254.43518", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1",
    "255.255.255.255", "240.0.0.1", "192.0.2.1", "203.0.113.7", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]",
    "[::ffff:100.64.0.1]", "[::127.0.0.1]", "[::7f00:1]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]",
    "[2001::1]", "[2001:0:4136:e378:8000:63bf:3fff:fdd2]", "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[100::1]", "[2001:db8::1]",
    "[2001:470::5efe:7f00:1]", "[::ffff:0:127.0.0.1]", "[5f00::1]", "[3fff::1]", "localhost", "LOCALHOST", "localhost.", "ip6-localhost", "127.0.0.1.", "[::1]:443", "localhost:22",
    socket.gethostname(), "example.com@127.0.0.1", "example.com:x@127.0.0.1", "example.com@example.org@127.0.0.1", "127.0.0.1:443", "0x7f000001:443", "example.com%40127.0.0.1@127.0.0.1",
]
BROKEN = ["127.0.0.1\\@example.com", "example.com\\@127.0.0.1", " 127.0.0.1", "127.0.0.1 ", "127.0.0.1\t", "exa\nmple.com", "example.com\r\nHost: x", "[::1", "::1]", "[[::1]]", "[127.0.0.1]",
          "[::1]x", "", "@", ":443", "%31%32%37.0.0.1", "127。0。0。1", "①②⑦.⓪.⓪.①", "ⓛocalhost", "127.0.0.1%00.example.com", "127.0.0.1%2f@example.com"]


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A daemon whose operator allows https to public hosts only, as it is by default."""
    import capstan_server

    daemon = capstan_server.Server(env={"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"}).start()
    yield daemon
    daemon.stop(expect=None)
    daemon.check()
    daemon.close()


class Listener:
    """Counts who comes to a port of ours."""

    def __init__(self):
        self.sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port = self.sockets[0].getsockname()[1]
        self.sockets.append(socket.create_server(("::1", self.port), family=socket.AF_INET6))
        self.calls = 0
        for each in self.sockets:
            threading.Thread(target=self.accept, args=(each,), daemon=True).start()

    def accept(self, listener):
        try:
            while True:
                listener.accept()[0].close()
                self.calls += 1
        except OSError:
            pass


def test_targets_inside(strict):
    client = Client(strict)
    listener = Listener()
    for host in PRIVATE + BROKEN:
        for url in (f"https://{host}/hook", f"https://{host}:{listener.port}/hook", f"HTTPS://{host}"):
            reply = client.post("webhooks", {"name": "h", "url": url, "events": [EVENT]})
            assert reply.status == 400, (url, reply)
    for url in ("http://example.com/", "ftp://example.com/", "file:///etc/passwd", "gopher://127.0.0.1:70/_", "dict://127.0.0.1/", "https:/127.0.0.1/", "https:127.0.0.1", "//127.0.0.1/",
                "javascript:alert(1)", "https", "unix:///var/run/docker.sock", "https+unix://x/", "data:,x", "https://", "https:///x", "https://?x", "https://#x"):
        reply = client.post("webhooks", {"name": "h", "url": url, "events": [EVENT]})
        assert reply.status == 400, (url, reply)
    assert not listener.calls
    assert not client.get("webhooks").json.get("webhooks")


def test_targets_inside_that_were_there_before(postgres, new_server):
    """What is stored is judged at each call, on the connected socket: as if a name had been given another address since."""
    listener = Listener()
    backend = postgres.database(unique("before"))
    server = new_server(backend=backend, env=webhook_receiver.ENVIRONMENT)
    client = Client(server)
    hosts = ["127.0.0.1", "127.1", "0x7f000001", "2130706433", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0", "x@127.0.0.1", "LOCALHOST", "localhost.", "0177.1"]
    hooks = [client.good("webhooks", {"name": "h", "url": f"http://{host}:{listener.port}/", "events": [EVENT], "status": "DISABLED"})["webhook"]["webhook_id"] for host in hosts]
    server.stop()
    listener.calls = 0
    server = new_server(backend=backend, env={"MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https", "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "0"})
    client = Client(server)
    for hook in hooks:
        result = client.good(f"webhooks/{hook}/test", {})["result"]
        assert not result["success"] and not result.get("response_status"), result
        assert client.ask("PATCH", f"/api/2.0/mlflow/webhooks/{hook}", {"status": "ACTIVE"}).status == 200
    client.good("registered-models/create", {"name": unique("model")})
    for hook in hooks:
        deliveries = f"/api/1.0/capstan/webhooks/{hook}/deliveries"
        (delivery,) = wait_for(lambda path=deliveries: client.get(path, {"status": "FAILED"}).json.get("deliveries"), 20, "refusals")
        assert delivery["attempts"][0]["error"] in ("address", "dns") and len(delivery["attempts"]) == 1, delivery
    assert not listener.calls


def test_no_redirects_into_the_network(server):
    """Whatever a target answers, nobody is called but itself."""
    inside, calls = Listener(), []
    client = Client(server)
    receiver = webhook_receiver.Receiver()

    def elsewhere(code):
        def answer(_, connection):
            calls.append(code)
            connection.sendall(f"HTTP/1.1 {code} X\r\nLocation: http://127.0.0.1:{inside.port}/\r\nRefresh: 0; url=http://127.0.0.1:{inside.port}/\r\n"
                               "Alt-Svc: h2=\"127.0.0.1:1\"\r\nContent-Length: 6\r\n\r\nsecret".encode())
        return answer

    for code in (300, 301, 302, 303, 305, 307, 308, 401, 407):
        receiver.answers[f"/{code}"] = [elsewhere(code)]
        hook = client.good("webhooks", {"name": "h", "url": f"{receiver.url}/{code}", "events": [EVENT], "status": "DISABLED"})["webhook"]["webhook_id"]
        result = client.good(f"webhooks/{hook}/test", {})["result"]
        assert not result["success"] and "secret" not in str(result), result
    assert len(calls) == 9 and not inside.calls
    receiver.close()


INJECTED = ["x\r\nX-Injected: 1", "x\nX-Injected: 1", "x\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n", "x\rX-Injected: 1", "x\u2028X-Injected: 1", "x\u0085X-Injected: 1", "é" * 100, "\t", " "]


def test_headers_are_not_made_of_texts(server):
    client = Client(server)
    receiver = webhook_receiver.Receiver()
    for n, text in enumerate(INJECTED):
        hook = client.post("webhooks", {"name": "h", "url": f"{receiver.url}/{n}", "events": [EVENT], "secret": text, "description": text, "status": "DISABLED"})
        assert hook.status in (200, 400), hook
        assert client.post("webhooks", {"name": text, "url": receiver.url, "events": [EVENT]}).status == 400
        assert client.post("webhooks", {"name": "h", "url": f"{receiver.url}/{text}", "events": [EVENT], "status": "DISABLED"}).status in (200, 400)
        if hook.status == 200:
            assert text not in hook.json["webhook"].get("secret", "")
            assert client.good(f"webhooks/{hook.json['webhook']['webhook_id']}/test", {})["result"]["success"]
            (request,) = receiver.got(f"/{n}")
            assert set(request.headers) == {"host", "user-agent", "accept", "content-type", "content-length", "x-mlflow-delivery-id", "x-mlflow-timestamp", "x-mlflow-signature"}, request.headers
            assert request.signed_with(text)
    receiver.close()


def test_events_of_odd_texts_arrive_whole(server):
    """Names and tags that end strings, lines and scripts in other formats."""
    client = Client(server)
    receiver = webhook_receiver.Receiver()
    hook = client.good("webhooks", {"name": "h", "url": receiver.url + "/odd", "events": [EVENT]})["webhook"]["webhook_id"]
    names = [unique("odd") + text for text in ("\"", "\\", "<script>", "\u2028", "\n", "😀", "'; DROP TABLE webhooks; --", "%0d%0a", "{{7*7}}", "$(id)")]
    for name in names:
        client.good("registered-models/create", {"name": name, "description": name, "tags": [{"key": "k", "value": name}]})
    got = [r for r in receiver.wait("/odd", len(names))]
    assert [r.json["data"]["name"] for r in got] == names and [r.json["data"]["tags"] for r in got] == [{"k": name} for name in names]
    assert client.ask("DELETE", f"/api/2.0/mlflow/webhooks/{hook}").status == 200
    receiver.close()


def test_ten_thousand_waiting(new_server, postgres):
    """A target that is away: events wait in the database, not in memory, and changes go on at their pace."""
    server = new_server(backend=postgres.database("waiting"), env={**webhook_receiver.ENVIRONMENT, "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "1000"})
    client = Client(server)
    hooks = 100                         # each change is told to all of them
    for n in range(hooks):
        client.good("webhooks", {"name": "h", "url": f"http://127.0.0.1:9/{n}", "events": [{"entity": "MODEL_VERSION_TAG", "action": "SET"}]})
    name = unique("model")
    client.good("registered-models/create", {"name": name})
    client.good("model-versions/create", {"name": name, "source": "s3://b/m"})
    client.good("model-versions/set-tag", {"name": name, "version": "1", "key": "k", "value": "v"})
    before = load.memory(server.pid)
    worst = 0
    for n in range(100):
        begun = time.monotonic()
        client.good("model-versions/set-tag", {"name": name, "version": "1", "key": f"k{n}", "value": "v" * 5000})
        worst = max(worst, time.monotonic() - begun)
    held = [Client(server) for _ in range(256)]
    for each in held:
        assert each.get("registered-models/get", {"name": name}).status == 200
    grown = load.memory(server.pid) - before
    for each in held:
        each.close()
    print(f"{hooks * 100} waiting, {grown / MIB:.1f} MiB more, the slowest change {worst * 1e3:.0f} ms")
    assert SANITIZED or grown < 24 * MIB
    assert worst < 2 * SLOW
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 10 * SLOW
