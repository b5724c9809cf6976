# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
P2, P5, P15: PostgreSQL is killed, ends our sessions, stops answering, has no disk; its socket fails in the middle of
everything. (tests/crash/crash.py kills the daemon as well: P1.)
"""

import contextlib
import os
import random
import signal
import subprocess
import threading
import time
import uuid

import pytest

import accounts
import capstan_server
import webhook_receiver
from capstan_server import SLOW, alive, wait_for
from wire import FILES, Client, Closed, Load, refusal, within

FULL = os.environ.get("CAPSTAN_FULL") == "1"


@pytest.fixture(scope="module")
def postgres():
    """An operator's PostgreSQL: it comes back when we say so."""
    cluster = capstan_server.Postgres().start()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def shared_external(library, postgres):
    from conftest import Faulty

    daemon = Faulty(library, backend=postgres.database("faults"))
    try:
        yield daemon.start()
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


@pytest.fixture
def external(shared_external, postgres):
    pid = shared_external.pid
    yield shared_external
    for rule in list(shared_external.shim.rules):
        if rule:
            rule.end()
    assert alive(pid), shared_external.log()[-6000:]
    shared_external.check()


def value_of(daemon, name):
    text = Client(daemon).get("/metrics").data.decode()
    (line,) = [line for line in text.splitlines() if line.startswith(name + " ")]
    return float(line.split()[1])


def some_writes(load, more=50, seconds=30):
    count = load.count()
    wait_for(lambda: load.count() > count + more or load.problems, seconds, "writes")
    assert not load.problems, load.problems[:3]


# ---- P2 ----

ASKED = [("GET", "experiments/get?experiment_id=0", None), ("POST", "experiments/search", {"max_results": 5}),
         ("POST", "runs/search", {"experiment_ids": ["0"]}), ("POST", "runs/create", {"experiment_id": "0"}),
         ("POST", "experiments/create", {"name": "while-away"}), ("GET", "artifacts/list?run_id=0123456789abcdef", None),
         ("GET", "/get-artifact?run_uuid=x&path=y", None), ("POST", "logged-models/search", {"experiment_ids": ["0"]})]


def ask_while_away(daemon):
    """Everything that needs PostgreSQL is refused, at once and in general words; what does not goes on."""
    client = Client(daemon)
    for method, path, body in ASKED:
        with within(1.0 * SLOW, path):
            refusal(client.call(method, path, body))
    assert client.get("/health").status == client.get("/livez").status == 200
    assert client.get("/readyz").status == 503
    assert client.put("while-away/x", b"1").status == client.get(FILES + "while-away/x").status == 200


@pytest.mark.parametrize("how", ["kill", "immediate", "fast"])
def test_postgres_goes_and_comes(external, postgres, how):
    with Load(external) as load:
        some_writes(load)
        if how == "kill":
            postgres.kill()
        else:
            postgres.stop(how)
        wait_for(lambda: load.answers.get(503, 0) > 50 or load.problems, 20, "refusals")
        ask_while_away(external)
        # pg_ctl returns when it looks the next time: we ask ourselves when PostgreSQL is back.
        starter = threading.Thread(target=revive, args=(postgres,))
        starter.start()
        back = wait_for(lambda: is_back(postgres), 30, "PostgreSQL")
        wait_for(lambda: max(load.good_at) > back or load.problems, 20, "a write")
        starter.join()
        first = min(t for t in load.good_at if t > back) - back
        some_writes(load)
    load.check()
    assert "closed" not in load.answers, load.answers
    assert first <= 0.5 * SLOW, f"first write {first:.3f} s after PostgreSQL was back"


@pytest.fixture(scope="module")
def guarded(library, postgres, tmp_path_factory):
    """On the operator's PostgreSQL, with accounts and webhooks."""
    from conftest import Faulty

    environment = accounts.environment(tmp_path_factory.mktemp("auth"), **webhook_receiver.ENVIRONMENT)
    daemon = Faulty(library, *accounts.FLAGS, backend=postgres.database("accounts"), env=environment)
    try:
        yield daemon.start()
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


USERS = {"known": "a password that is right", "forgotten": "another one that is right"}


def test_accounts_while_postgres_is_away(guarded, postgres):
    """Nobody is taken for a stranger because we cannot look: 503, and at once afterwards he is known again."""
    admin = Client(guarded, user=accounts.ADMIN)
    for name, password in USERS.items():
        admin.good("POST", "users/create", {"username": name, "password": password})
    known = Client(guarded, user=("known", USERS["known"]))
    assert known.get("users/current").status == 200
    asked = [(known, "users/current"), (known, "/version"), (known, "runs/get?run_id=0"), (Client(guarded, user=("forgotten", USERS["forgotten"])), "/version"),
             (Client(guarded, user=("known", "not his password")), "/version"), (Client(guarded, user=("nobody", "no password")), "users/current")]
    postgres.kill()
    try:
        until = time.monotonic() + 3
        while time.monotonic() < until:
            for client, path in asked:
                with within(4 * SLOW, path):
                    reply = client.get(path)
                if client is not known or reply.status != 200:
                    refusal(reply)
        nobody = Client(guarded)
        assert nobody.get("/version").status == 401
        assert nobody.get("/health").status == 200
    finally:
        revive(postgres)
    begun = time.monotonic()
    wait_for(lambda: known.get("users/current").status == 200, 10, "the user known again")
    print(f"known again after {time.monotonic() - begun:.2f} s")
    assert [client.get("/version").status for client, _ in asked[3:5]] == [200, 401]


def set_tags(client, name, stop, promised, problems):
    n = 0
    try:
        while not stop.is_set():
            n += 1
            reply = client.post("model-versions/set-tag", {"name": name, "version": "1", "key": "k", "value": str(n)})
            if reply.status == 200:
                promised.append(str(n))
            else:
                refusal(reply)
            stop.wait(0.005)
    except Exception as error:      # noqa: BLE001  a thread's failure is the test's
        problems.append(repr(error))


def test_events_while_sessions_are_terminated(guarded, postgres):
    """Sessions end while changes are made and told: each is told, in order, none is made up; the lead goes on."""
    client, receiver = Client(guarded, user=accounts.ADMIN), webhook_receiver.Receiver()
    name = "told-" + uuid.uuid4().hex
    client.good("POST", "registered-models/create", {"name": name})
    client.good("POST", "model-versions/create", {"name": name, "source": "s3://b/m"})
    hook = client.good("POST", "webhooks", {"name": "h", "url": receiver.url + "/told", "events": [{"entity": "MODEL_VERSION_TAG", "action": "SET"}]})
    stop, counts, promised, problems = threading.Event(), [], [], []
    threads = [threading.Thread(target=terminate, args=(postgres, stop, counts, 10, "accounts")),
               threading.Thread(target=set_tags, args=(Client(guarded, user=accounts.ADMIN), name, stop, promised, problems))]
    for thread in threads:
        thread.start()
    stop.wait(60 if FULL else 4)
    stop.set()
    for thread in threads:
        thread.join()
    assert not problems, problems
    assert len(promised) > 50 and sum(counts) > 10, (len(promised), counts)

    def heard():
        return [r.json["data"]["value"] for r in receiver.got("/told")]

    wait_for(lambda: promised[-1] in heard(), 30, "the last event")
    got = [v for i, v in enumerate(heard()) if not i or v != heard()[i - 1]]
    assert [int(v) for v in got] == sorted({int(v) for v in got}), "out of order, or again after others"
    assert set(promised) <= set(got), sorted(set(promised) - set(got))[:10]
    assert client.call("DELETE", f"webhooks/{hook['webhook']['webhook_id']}").status == 200
    receiver.close()


def revive(postgres):
    """Children of a killed postmaster may hold on to its memory for a moment."""
    def started():
        with contextlib.suppress(subprocess.CalledProcessError):
            return postgres.resume()

    wait_for(started, 30, "the start of PostgreSQL")


def is_back(postgres):
    """When it answered."""
    with contextlib.suppress(Exception), contextlib.closing(postgres.connect()):
        return time.monotonic()
    return None


@pytest.mark.parametrize("victim", ["postmaster", "backend", "all"])
def test_private_postgres_dies(daemon, victim):
    with Load(daemon) as load:
        some_writes(load)
        for _ in range(5 if FULL else 1):
            postmaster = wait_for(daemon.postmaster, 20, "a postmaster")
            children = subprocess.run(["pgrep", "-P", str(postmaster)], capture_output=True, text=True).stdout.split()
            kill = {"postmaster": [postmaster], "backend": [int(random.choice(children))],
                    "all": [postmaster, *map(int, children)]}[victim]
            for pid in kill:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            some_writes(load, seconds=20)
    load.check()
    assert "closed" not in load.answers, load.answers
    titles = subprocess.run(["pgrep", "-fc", f"[p]ostgres.*{os.path.realpath(daemon.data_dir)}/postgres"],
                            capture_output=True, text=True).stdout.strip()
    assert titles == "1", f"{titles} postmasters"


@pytest.mark.skipif(not FULL, reason="waits for time-outs: CAPSTAN_FULL=1")
def test_postgres_stops_answering(external, postgres):
    """It is there and says nothing: requests end in bounded time, and all is well when it wakes."""
    with Load(external) as load:
        some_writes(load)
        pids = [postgres.pid(), *map(int, subprocess.run(["pgrep", "-P", str(postgres.pid())], capture_output=True,
                                                          text=True).stdout.split())]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            wait_for(lambda: load.answers.get(503, 0) > 20 or load.problems, 90, "refusals")
            assert Client(external).get("/health").status == 200
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        some_writes(load, seconds=30)
    load.check()


# ---- P15 ----

def terminate(postgres, stop, counts, rate, database="faults"):
    """Ends sessions of the daemon at random, `rate` a second."""
    with contextlib.closing(postgres.connect(database)) as connection, connection.cursor() as cursor:
        while not stop.wait(1 / rate):
            cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'capstan'"
                           " AND datname = current_database() AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1")
            counts.append(cursor.rowcount)


def test_sessions_are_terminated(external, postgres):
    """10 times a second: nothing acknowledged is lost, nothing done twice, no 500; then the pool is full at once."""
    stop, counts, names, problems = threading.Event(), [], [], []
    seconds = 600 if FULL else 8
    killer = threading.Thread(target=terminate, args=(postgres, stop, counts, 10))
    creators = [threading.Thread(target=create_runs, args=(external, stop, names, problems)) for _ in range(2)]
    with Load(external) as load:
        some_writes(load)
        for thread in (killer, *creators):
            thread.start()
        try:
            wait_for(lambda: len(counts) >= 10 * seconds or load.problems, 3 * seconds, "terminations")
        finally:
            stop.set()
            for thread in (killer, *creators):
                thread.join()
        ended = time.monotonic()
        # Well within a second; from then on no write is refused.
        wait_for(lambda: all(t > ended for t in load.good_at), 1, "all clients served")
        refused = load.answers.get(503, 0)
        some_writes(load, 200)
        assert load.answers.get(503, 0) == refused
    load.check()
    assert not problems, problems[:3]
    assert sum(counts) > 5 * seconds, "too few sessions were ended to mean anything"
    assert "closed" not in load.answers
    assert value_of(external, "capstan_db_pool_busy") == value_of(external, "capstan_db_pool_waiting") == 0
    check_created(external, names)


def create_runs(daemon, stop, names, problems):
    """create-run cannot be repeated without harm: each is made once at most, and once if acknowledged."""
    client = Client(daemon)
    try:
        while not stop.is_set():
            name = "once-" + uuid.uuid4().hex
            reply = client.post("runs/create", {"experiment_id": "0", "run_name": name})
            if reply.status != 200:
                refusal(reply)
            names.append((name, reply.status))
            stop.wait(0.02)
    except Exception as error:      # noqa: BLE001  a thread's failure is the test's
        problems.append(repr(error))


def found_runs(client, name):
    found = client.good("POST", "runs/search", {"experiment_ids": ["0"], "filter": f"attributes.run_name = '{name}'"})
    return len(found.get("runs", []))


def check_created(daemon, names):
    client = Client(daemon)
    assert names
    chosen = random.sample(names, min(len(names), 200))
    for name, status in chosen + [n for n in names if n[1] != 200][:100]:
        count = found_runs(client, name)
        assert count == 1 if status == 200 else count <= 1, f"{name}: {count} runs, answered {status}"


def socket_script(client):
    """Requests over the database's socket: name -> (what to ask, what to check after an answer)."""
    run = client.run()

    def batch(n):
        return client.post("runs/log-batch", {
            "run_id": run, "metrics": [{"key": k, "value": n, "timestamp": n, "step": n} for k in "abc"],
            "params": [{"key": f"p{n}", "value": str(n)}]})

    def batch_check(n, done):
        there = [n in {m["step"] for m in client.history(run, k)} for k in "abc"]
        there.append(f"p{n}" in {p["key"] for p in client.run_data(run).get("params", [])})
        assert all(there) or not any(there), "half a batch"
        assert all(there) or not done, "acknowledged and lost"

    def metric(n):
        return client.post("runs/log-metric", {"run_id": run, "key": "m", "value": n, "timestamp": 1, "step": n})

    def metric_check(n, done):
        assert not done or n in {m["step"] for m in client.history(run, "m")}

    def created(n):
        return client.post("runs/create", {"experiment_id": "0", "run_name": f"{run}-{n}"})

    def created_check(n, done):
        count = found_runs(client, f"{run}-{n}")
        assert count == 1 if done else count <= 1

    def experiment(n):
        return client.post("experiments/create", {"name": f"{run}-{n}"})

    def experiment_check(n, done):
        reply = client.get(f"experiments/get-by-name?experiment_name={run}-{n}")
        assert reply.status == 200 if done else reply.status in (200, 404)

    def large(n):
        return client.post("runs/log-batch", {"run_id": run, "metrics": [
            {"key": "large", "value": i, "timestamp": n, "step": n * 1000 + i} for i in range(900)]})

    def large_check(n, done):
        count = sum(1 for m in client.history(run, "large") if m["step"] // 1000 == n)
        assert count == 900 if done else count in (0, 900)

    def updated(n):
        return client.post("runs/update", {"run_id": run, "run_name": f"renamed-{n}"})

    def updated_check(n, done):
        name = client.good("GET", f"runs/get?run_id={run}")["run"]["info"]["run_name"]
        assert not done or name == f"renamed-{n}"

    name = "registered-" + run
    client.good("POST", "registered-models/create", {"name": name})
    for _ in range(2):
        client.good("POST", "model-versions/create", {"name": name, "source": "s3://b/m"})

    def version(n):
        return client.post("model-versions/create", {"name": name, "source": "s3://b/m", "description": str(n)})

    def version_check(n, done):
        found = client.good("GET", f"model-versions/search?filter=name%3D'{name}'").get("model_versions", [])
        count = sum(v.get("description") == str(n) for v in found)
        assert count == 1 if done else count <= 1
        assert sorted(int(v["version"]) for v in found) == list(range(1, len(found) + 1))

    def alias(n):
        return client.post("registered-models/alias", {"name": name, "alias": "best", "version": str(1 + n % 2), "reason": str(n)})

    def alias_check(n, done):
        """The newest move is where the alias is, and it is once in the history or changed nothing."""
        moves = client.good("GET", f"/api/1.0/capstan/registered-models/{name}/history?alias=best").get("moves", [])
        now = client.get(f"registered-models/alias?name={name}&alias=best")
        assert (now.json["model_version"]["version"] if now.status == 200 else None) == (moves[0]["to_version"] if moves else None)
        assert sum(m["reason"] == str(n) for m in moves) <= 1
        assert not done or moves[0]["to_version"] == str(1 + n % 2)

    def tag(n):
        return client.post("model-versions/set-tag", {"name": name, "version": "1", "key": f"k{n}", "value": "v"})

    def tag_check(n, done):
        got = client.good("GET", f"model-versions/get?name={name}&version=1")["model_version"].get("tags", [])
        assert not done or f"k{n}" in {t["key"] for t in got}

    def read(n):
        return client.get(f"runs/get?run_id={run}")

    def search(n):
        return client.post("runs/search", {"experiment_ids": ["0"], "filter": f"attributes.run_id = '{run}'"})

    def nothing(n, done):
        pass

    return {"log-batch": (batch, batch_check), "log-metric": (metric, metric_check), "large": (large, large_check),
            "create-run": (created, created_check), "create-experiment": (experiment, experiment_check),
            "create-version": (version, version_check), "set-alias": (alias, alias_check), "tag-version": (tag, tag_check),
            "update-run": (updated, updated_check), "get-run": (read, nothing), "search": (search, nothing)}


@pytest.mark.parametrize("function,error,action", [
    ("send", "ECONNRESET", "cut"), ("send", "EPIPE", "cut"), ("recv", "ECONNRESET", "fail"),
    ("recv", "ECONNRESET", "afterwards"), ("recv", "ECONNRESET", "cut"), ("recv", "ETIMEDOUT", "fail"),
    ("recv", "EINTR", "fail"), ("recv", "EAGAIN", "fail"), ("send", "EAGAIN", "fail"), ("send", "EINTR", "fail"),
    ("recv", "EIO", "short"), ("send", "EIO", "short")])
def test_nth_socket_call_fails(daemon, function, error, action):
    """P15: the n-th call on PostgreSQL's socket fails, once, twice, or its data comes in pieces."""
    client = Client(daemon)
    random.seed(function + error + action)
    serial = random.randrange(1 << 30) * 1000
    hits = 0
    harmless = error in ("EINTR", "EAGAIN") or action == "short"
    for name, (ask, check) in socket_script(client).items():
        for n in range(1, 63 if FULL else 6):
            for count in (1, 3):
                serial += 1
                with daemon.shim.failing(function, error, "database", first=n, count=count, action=action) as rule:
                    with within(3 * SLOW, name):
                        reply = ask(serial)
                hits += rule.hit
                if reply.status != 200:
                    refusal(reply)
                    assert not harmless, f"{name}, {function} {n}: {reply}"
                wait_for(lambda: client.get("experiments/get?experiment_id=0").status == 200, 1, "the daemon well")
                check(serial, reply.status == 200)
    assert hits > 8


# ---- P5, of the database ----

@pytest.fixture
def small_disk():
    """160 MiB of tmpfs; needs the right to mount."""
    where = capstan_server.temporary_dir("capstan-disk-")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m,mode=0711", "none", where],
                      capture_output=True).returncode:
        os.rmdir(where)
        pytest.skip("this user may not mount")
    yield where
    wait_for(lambda: subprocess.run(["umount", where], capture_output=True).returncode == 0, 20, "umount")
    os.rmdir(where)


def fill(path):
    """Takes all that is left of the file system."""
    with open(path, "wb", buffering=0) as f, contextlib.suppress(OSError):
        while True:
            f.write(bytes(1 << 16))


class LargeWrites(Load):
    def step(self, client, i, step):
        if i % 2:
            return super().step(client, i, step)
        return client.post("runs/log-batch", {
            "run_id": self.runs[i],
            "metrics": [{"key": key, "value": step, "timestamp": step, "step": step} for key in "abc"],
            "params": [{"key": f"p{step}", "value": str(step)}],
            "tags": [{"key": f"t{step}", "value": str(step)}, {"key": "big", "value": os.urandom(2000).hex()}]})


def test_disk_of_the_database_fills(small_disk, library):
    """P5: no word but 507 and 503 while there is no room, nothing lost, and well again by itself when there is."""
    from conftest import Faulty

    daemon = Faulty(library, data_dir=os.path.join(small_disk, "data"))
    os.mkdir(daemon.data_dir, 0o711)
    ballast = os.path.join(small_disk, "ballast")
    try:
        daemon.start()
        with LargeWrites(daemon, statuses=(503, 507)) as load:
            some_writes(load)
            fill(ballast)
            wait_for(lambda: load.answers.get(507, 0) + load.answers.get(503, 0) > 50 or load.problems, 60, "refusals")
            client = Client(daemon)
            assert client.get("/health").status == 200
            for _ in range(20):         # what needs no new page may still work
                reply = client.post("experiments/create", {"name": uuid.uuid4().hex * 8})
                if reply.status != 200:
                    refusal(reply, (503, 507))
            os.unlink(ballast)
            some_writes(load, seconds=30)
        load.check()
        assert daemon.process.poll() is None
        daemon.stop()
        daemon.check()
    finally:
        daemon.close()


def test_killed_with_everything_else(library):
    """P1, next to tests/crash/crash.py: the daemon and artifacts, uploads included."""
    from conftest import Faulty

    daemon = Faulty(library)
    data = os.urandom(3_000_000)
    try:
        daemon.start()
        for _ in range(10 if FULL else 2):
            stop, acknowledged = threading.Event(), set()
            threads = [threading.Thread(target=upload_until, args=(daemon, i, stop, acknowledged, data))
                       for i in range(4)]
            with Load(daemon) as load:
                for thread in threads:
                    thread.start()
                some_writes(load)
                wait_for(lambda: len(acknowledged) > 8, 20, "uploads")
                daemon.kill()
                daemon.start()
                some_writes(load)
                stop.set()
                for thread in threads:
                    thread.join()
            load.check()
            client = Client(daemon)
            for key in acknowledged:
                assert client.get(FILES + key).data == data, key
            for folder in {key.split("/")[0] for key in acknowledged}:
                for path in client.listing(folder):
                    assert client.get(FILES + (path if path.startswith(folder) else f"{folder}/{path}")).data == data
        own = os.listdir(os.path.join(daemon.artifacts, ".capstan-tmp"))
        assert len(own) == 1, f"temporaries of dead daemons remain: {own}"
    finally:
        daemon.close()


def upload_until(daemon, i, stop, acknowledged, data):
    client = Client(daemon)
    folder = f"up-{uuid.uuid4().hex}-{i}"
    n = 0
    while not stop.is_set():
        n += 1
        try:
            if client.put(f"{folder}/{n}", data).status == 200:
                acknowledged.add(f"{folder}/{n}")
        except Closed:
            stop.wait(0.02)
