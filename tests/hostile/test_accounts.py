# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Accounts under attack: floods of wrong passwords, guessing by time, odd credentials, other people's web pages, and users who
are no more."""

import base64
import statistics
import threading
import time
import urllib.parse

import pytest

import accounts
import load
from capstan_server import SLOW, wait_for
from conftest import FULL, unique
from test_memory import MIB, SANITIZED
from wire import JSON, Client, Wire, basic, head

SEARCH = {"experiment_ids": ["0"]}


@pytest.fixture
def admin(guarded):
    client = Client(guarded, accounts.ADMIN)
    yield client
    client.close()


def new_user(admin):
    name = unique("user")
    admin.good("users/create", {"username": name, "password": accounts.PASSWORD})
    return name


@pytest.fixture
def user(admin):
    return new_user(admin)


def status(client, path="runs/search", body=None):
    return client.post(path, SEARCH if body is None else body).status


# ---- floods ----


def flood(server, over, number, names, answers):
    client = Client(server)
    count = 0
    while not over.is_set():
        count += 1
        client.login((names[count % len(names)] if number % 2 else f"nobody-{number}", f"wrong {number} {count}"))
        begun = time.monotonic()
        try:
            reply = client.post("runs/search", SEARCH)
            answers.append((reply.status, time.monotonic() - begun))
            if reply.status == 503:
                assert int(reply.headers["retry-after"]) >= 0
        except Exception as error:
            answers.append((repr(error), time.monotonic() - begun))
        over.wait(0.02)
    client.close()


def test_wrong_passwords_in_hundreds(new_server, tmp_path):
    """Who is signed in goes on, also when the time of his password has come and it is tried again; memory stays bounded, and
    whoever is not answered in time is told to come again."""
    environment = accounts.environment(tmp_path)
    with open(environment["MLFLOW_AUTH_CONFIG_PATH"], "a") as f:
        f.write("auth_cache_ttl_seconds = 3\nauth_cache_max_size = 50\n")
    server = new_server(*accounts.FLAGS, env=environment)
    admin = Client(server, accounts.ADMIN)
    names = [new_user(admin) for _ in range(3)]
    signed = [Client(server, (name, accounts.PASSWORD)) for name in names]
    assert [status(client) for client in signed] == [200] * 3
    begun = load.memory(server.pid)
    over, answers, latencies, refused = threading.Event(), [], [], []
    floods = [threading.Thread(target=flood, args=(server, over, n, names, answers)) for n in range(150)]

    def work(client):
        while not over.is_set():
            at = time.monotonic()
            reply = client.post("runs/search", SEARCH)
            latencies.append(time.monotonic() - at)
            if reply.status != 200:
                refused.append(reply)
            over.wait(0.01)

    workers = [threading.Thread(target=work, args=(client,)) for client in signed]
    for each in [*floods, *workers]:
        each.start()
    over.wait(20 if FULL else 5)
    over.set()
    for each in [*floods, *workers]:
        each.join()
    latencies.sort()
    p99 = latencies[int(len(latencies) * 0.99)]
    print(f"{len(latencies)} requests, p50 {statistics.median(latencies) * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms, {len(answers)} of the flood, "
          f"longest {max(t for _, t in answers):.1f} s, peak {load.peak(server.pid) / MIB:.0f} MiB")
    assert not refused, refused[0]
    assert statistics.median(latencies) < 0.1 * SLOW and latencies[-1] < 8 * SLOW
    assert {s for s, _ in answers} <= {401, 503} and {401, 503} & {s for s, _ in answers}, {s for s, _ in answers}
    assert max(t for _, t in answers) < 12 * SLOW
    if not SANITIZED:
        assert load.peak(server.pid) < begun + 2 * 32 * MIB + 32 * MIB
    assert status(admin) == 200


def test_a_user_who_changes_his_password_in_hundreds(guarded, admin, user):
    """Trying passwords is slow on purpose; requests that do it must not take all the workers."""
    name = new_user(admin)
    mine = Client(guarded, (name, accounts.PASSWORD))
    assert status(mine) == 200
    over, answers = threading.Event(), []

    def change():
        client = Client(guarded, (user, accounts.PASSWORD))
        while not over.is_set():
            reply = client.ask("PATCH", "/api/2.0/mlflow/users/update-password", {"username": user, "password": "x" * 20, "current_password": "a wrong one that is long"})
            answers.append(reply.status)
        client.close()

    threads = [threading.Thread(target=change) for _ in range(40)]
    for each in threads:
        each.start()
    latencies = []
    until = time.monotonic() + 2
    while time.monotonic() < until:
        begun = time.monotonic()
        assert status(mine) == 200
        latencies.append(time.monotonic() - begun)
    over.set()
    for each in threads:
        each.join()
    print(f"{len(latencies)} requests, p50 {statistics.median(latencies) * 1e3:.1f} ms, worst {max(latencies) * 1e3:.0f} ms")
    assert statistics.median(latencies) < 0.25 * SLOW and max(latencies) < 3 * SLOW
    assert set(answers) <= {400, 403, 401, 503}, set(answers)


# ---- guessing ----


def median_times(client, names, count):
    """Of refusals of each name, taken in turn; every password is tried once."""
    times = {name: [] for name in names}
    for n in range(count):
        for name in names:
            client.login((name, f"guess number {n} {time.monotonic_ns()}"))
            begun = time.perf_counter()
            assert status(client) == 401
            times[name].append(time.perf_counter() - begun)
    return {name: statistics.median(t) for name, t in times.items()}


def test_time_tells_no_names(guarded, user):
    """Unknown, known, and an admin: the same."""
    client = Client(guarded)
    for attempt in range(5):        # a neighbour's noise is no difference
        medians = median_times(client, [user, unique("nobody"), "admin"], 60 if FULL else 7)
        if max(medians.values()) < 1.4 * min(medians.values()):
            break
    print({name: f"{t * 1e3:.1f} ms" for name, t in medians.items()})
    assert max(medians.values()) < 1.4 * min(medians.values()), medians
    client.close()


# ---- credentials ----


def encoded(data):
    return base64.b64encode(data if isinstance(data, bytes) else data.encode())


def odd_credentials(user):
    good = encoded(f"{user}:{accounts.PASSWORD}")
    yield from [b"", b"Basic", b"Basic ", b"Basic  ", b"Bearer " + good, b"Digest " + good, b"Basic:" + good, good, b"Basic " + good + b"x", b"Basic " + good + b"====",
                b"Basic =" + good, b"Basic " + good[:-1], b"Basic " + good[:-4], b"Basic " + good + b" " + good, b"Basic " + good + b", Basic " + good, b"Basic %" + good,
                b"Basic \xff\xfe", b"Basic " + good.replace(b"=", b"-"), b"Basic *" * 100, b"Basic " + b"A" * 4001]
    name, password = user.encode(), accounts.PASSWORD.encode()
    for text in [b"", b":", name, name + b":", b":" + password, name + b":" + password + b"\0", name + b"\0:" + password, name + b":\0" + password, name + b"\0x:" + password,
                 name.upper() + b":" + password, b" " + name + b":" + password, name + b" :" + password, name + b":" + password + b" ", name + b":" + password + b"\n",
                 b"\xff" + name + b":" + password, name + b"::" + password, name + b"%00:" + password, b"'" + name + b":" + password, b"admin'--:" + password,
                 name + b":" + password * 300, name * 100 + b":" + password, b"\xed\xa0\x80:" + password]:
        yield b"Basic " + encoded(text)


def test_odd_credentials(guarded, user):
    """None of them is anybody."""
    good = Client(guarded, (user, accounts.PASSWORD))
    assert status(good) == 200
    client = Client(guarded)
    for value in odd_credentials(user):
        client.login(value)
        begun = time.monotonic()
        assert status(client) in (401, 431), value
        assert time.monotonic() - begun < 5 * SLOW
    assert status(good) == 200


def test_credentials_twice(guarded, user):
    """Which of two would count?"""
    mine, other = basic(user, accounts.PASSWORD), basic(user, "not this one at all")
    for lines in ([mine, other], [other, mine], [mine, mine]):
        with Wire(guarded) as wire:
            wire.send(head("GET", "/api/2.0/mlflow/users/current", *lines))
            reply = wire.reply()
            assert reply.status in (400, 401), reply


def test_very_long_credentials(guarded):
    for size in (7_000, 9_000, 60_000, 1_000_000):
        with Wire(guarded) as wire:
            try:
                wire.send(head("GET", "/version", "Authorization: Basic " + "QUFB" * (size // 4)))
            except OSError:
                continue
            reply = wire.reply()
            assert reply is None or reply.status in (401, 431, 400), reply


def test_passwords_with_colons_and_letters(guarded, admin):
    for password in ("a:b:c:d:e:f:g:h", "日本語のパスワードは長いです", " leading and trailing "):
        name = unique("user")
        admin.good("users/create", {"username": name, "password": password})
        assert status(Client(guarded, (name, password))) == 200, password
        assert status(Client(guarded, (name, password[:-1]))) == 401
    for name in ("a:b", "", "x" * 256, "a\nb", "a\0b"):
        assert admin.post("users/create", {"username": name, "password": accounts.PASSWORD}).status == 400, name


# ---- users who are no more ----


@pytest.fixture(scope="module")
def two(postgres, tmp_path_factory):
    """Two daemons on one database."""
    import capstan_server

    backend = postgres.database("two")
    made = [capstan_server.Server(*accounts.FLAGS, backend=backend, env=accounts.environment(tmp_path_factory.mktemp("two"))) for _ in range(2)]
    for daemon in made:
        daemon.start()
    yield made
    for daemon in made:
        daemon.stop(expect=None)
        daemon.check()
        daemon.close()


CHANGES = {
    "password": ("PATCH", "/api/2.0/mlflow/users/update-password", {"password": "quite another one"}),
    "deleted": ("DELETE", "/api/2.0/mlflow/users/delete", {}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_old_credentials_end_everywhere(two, what):
    """At once where it was changed, within a second elsewhere; not one request later is let in."""
    admin = Client(two[0], accounts.ADMIN)
    name = new_user(admin)
    clients = [Client(daemon, (name, accounts.PASSWORD)) for daemon in two]
    assert [status(client) for client in clients] == [200, 200]
    method, path, body = CHANGES[what]
    assert admin.ask(method, path, {"username": name, **body}).status == 200
    changed = time.monotonic()
    assert status(clients[0]) == 401
    wait_for(lambda: status(clients[1]) == 401, 1.0, "the other daemon refuses")
    print(f"{what}: {time.monotonic() - changed:.2f} s")
    for _ in range(20):
        assert status(clients[1]) == 401
    if what == "password":
        assert [status(Client(daemon, (name, "quite another one"))) for daemon in two] == [200, 200]


def test_grants_end_everywhere(two):
    admin = Client(two[0], accounts.ADMIN)
    name = new_user(admin)
    clients = [Client(daemon, (name, accounts.PASSWORD)) for daemon in two]
    experiment = admin.good("experiments/create", {"name": unique()})["experiment_id"]
    grant = {"username": name, "resource_type": "experiment", "resource_id": experiment}
    body = {"experiment_id": experiment, "key": "k", "value": "v"}
    assert [status(client, "experiments/set-experiment-tag", body) for client in clients] == [403, 403]
    admin.good("/api/3.0/mlflow/users/permissions/grant", {**grant, "permission": "EDIT"})
    assert status(clients[0], "experiments/set-experiment-tag", body) == 200
    wait_for(lambda: status(clients[1], "experiments/set-experiment-tag", body) == 200, 1.0, "the grant everywhere")
    admin.good("/api/3.0/mlflow/users/permissions/revoke", grant)
    assert status(clients[0], "experiments/set-experiment-tag", body) == 403
    wait_for(lambda: status(clients[1], "experiments/set-experiment-tag", body) == 403, 1.0, "the grant gone everywhere")


# ---- other people's web pages: the browser adds the credentials by itself ----


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example"])
def test_foreign_pages_change_nothing(guarded, admin, user, origin):
    line = "Origin: " + origin
    before = admin.get("users/list").json
    asked = [("POST", "users/create", {"username": "planted", "password": accounts.PASSWORD}), ("PATCH", "users/update-admin", {"username": user, "is_admin": True}),
             ("PATCH", "users/update-password", {"username": "admin", "password": "taken over by others"}), ("DELETE", "users/delete", {"username": user}),
             ("POST", "/api/3.0/mlflow/users/permissions/grant", {"username": user, "resource_type": "experiment", "resource_id": "*", "permission": "MANAGE"}),
             ("POST", "experiments/create", {"name": unique()})]
    for method, path, body in asked:
        path = path if path.startswith("/") else "/api/2.0/mlflow/" + path
        for mount in (path, path.replace("/api/", "/ajax-api/")):
            assert admin.ask(method, mount, body, line).status == 403, (method, mount)
    assert admin.get("users/list").json == before


FORM = "Content-Type: application/x-www-form-urlencoded"
SIGN_UP = "/api/2.0/mlflow/users/create-ui"


def page(client):
    with Wire(client.server) as wire:
        wire.send(head("GET", "/signup", *client.lines))
        reply = wire._read("GET")           # the one page of HTML that there is
    assert reply.status == 200
    return reply.body.decode()


def sign_up(client, *lines, **fields):
    """The answer is a page, too: judged by what it holds."""
    data = urllib.parse.urlencode(fields).encode()
    with Wire(client.server) as wire:
        wire.send(head("POST", SIGN_UP, *client.lines, FORM, f"Content-Length: {len(data)}", *lines) + data)
        return wire._read("POST")


def exists(admin, name):
    return admin.get("users/get", {"username": name}).status == 200


def test_sign_up_form(guarded, admin, user):
    token = page(admin).split('name="csrf_token" value="')[1].split('"')[0]
    end, mac = token.split(".")
    fields = {"username": unique("signed"), "password": accounts.PASSWORD}
    for wrong in ("", "x", token[:-1], token + "0", f"{int(end) + 1}.{mac}", f"{end}.{'0' * 64}", f"0.{mac}", f"{end}{mac}", f"+{end}.{mac}", f" {token}", token.upper()):
        assert sign_up(admin, **fields, csrf_token=wrong).status == 400, wrong
    assert sign_up(admin, **fields).status == 400
    assert sign_up(admin, "Origin: https://evil.example", **fields, csrf_token=token).status == 403
    # somebody else's token, and somebody who may not
    plain_user = Client(guarded, (user, accounts.PASSWORD))
    assert sign_up(plain_user, **fields, csrf_token=token).status == 403
    assert sign_up(Client(guarded), **fields, csrf_token=token).status == 401
    assert not exists(admin, fields["username"])
    assert sign_up(admin, **fields, csrf_token=token).status == 200 and exists(admin, fields["username"])
    for name in ("<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "a&b'c"):
        reply = sign_up(admin, username=name + unique(), password=accounts.PASSWORD, csrf_token=token)
        assert reply.status == 200 and b"<script" not in reply.body and b"<img" not in reply.body and b"'c" not in reply.body, reply
        assert reply.headers.get("x-content-type-options") == "nosniff"
    for weak in ("", "short", "x" * 2000):
        assert sign_up(admin, username=unique("weak"), password=weak, csrf_token=token).status == 400
    assert sign_up(admin, username="a:b", password=accounts.PASSWORD, csrf_token=token).status == 400
    huge = b"csrf_token=" + token.encode() + b"&username=" + b"x" * 100_000
    assert admin.ask("POST", SIGN_UP, huge, FORM).status in (400, 413)
    assert admin.ask("POST", SIGN_UP, b"%", FORM).status == 400 and admin.ask("POST", SIGN_UP, b"{}", JSON).status == 400
