# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""P13: no request, however heavy, keeps the others from their answers: each is answered or refused within the database's
time limit, and /health, writes and reads of others go on."""

import json
import threading
import time

import pytest

from capstan_server import SLOW, wait_for
from conftest import FULL, World, unique
from wire import JSON, Client, api

LIMIT_S = 20 * SLOW                     # one heavy request: the statement time-out is 10 s, waiting for a worker included
OTHERS_S = 3 * SLOW                     # the others' worst; how fast they are usually is for tests/bench
MIB = 1 << 20


@pytest.fixture(scope="module")
def full(server):
    """An experiment with enough in it to make a bad query slow."""
    client = Client(server)
    world = World(client)
    world.runs = []
    for n in range(300 if FULL else 60):
        run = client.good("runs/create", {"experiment_id": world.experiment, "start_time": n})["run"]["info"]["run_id"]
        world.runs.append(run)
        client.good("runs/log-batch", {"run_id": run, "metrics": [{"key": f"m{i}", "value": n * i, "timestamp": i, "step": i} for i in range(400)],
                                       "params": [{"key": f"p{i}", "value": "v" * 500} for i in range(100)],
                                       "tags": [{"key": f"t{i}", "value": "ab" * 2000} for i in range(20)]})
    yield world
    client.close()


def others(server, over, worst):
    """What everybody else does meanwhile; the longest waits."""
    client = Client(server)
    mine = World(client)
    asks = [lambda: client.ask("GET", "/health"), lambda: client.get("runs/get", {"run_id": mine.run}),
            lambda: client.post("runs/log-metric", {"run_id": mine.run, "key": "m", "value": 1, "timestamp": 1, "step": len(worst)})]
    try:
        while not over.is_set() or len(worst) < 3:
            for ask in asks:
                begun = time.monotonic()
                assert ask().status == 200
                worst.append(time.monotonic() - begun)
    except Exception as error:
        worst.append(error)
    client.close()


def beside(server, heavy, clients=3):
    """Some clients send the heavy request at once, others go on."""
    over, worst, taken = threading.Event(), [], []

    def send():
        client = Client(server)
        try:
            begun = time.monotonic()
            reply = heavy(client)
            taken.append((time.monotonic() - begun, reply))
        except Exception as error:
            taken.append((0, error))
        client.close()

    watch = threading.Thread(target=others, args=(server, over, worst))
    senders = [threading.Thread(target=send) for _ in range(clients)]
    for each in [watch, *senders]:
        each.start()
    for each in senders:
        each.join()
    over.set()
    watch.join()
    assert not [w for w in worst if isinstance(w, Exception)], worst[-1]
    assert not [r for _, r in taken if isinstance(r, Exception)], taken
    print(f"heavy {max(t for t, _ in taken):.2f} s, others {max(worst):.2f} s")
    assert max(worst) < OTHERS_S, f"another client waited {max(worst):.2f} s"
    assert max(t for t, _ in taken) < LIMIT_S, f"{max(t for t, _ in taken):.1f} s"
    for _, reply in taken:
        assert reply.status in (200, 400, 413, 503), reply
        if reply.status == 503:
            assert reply.headers["retry-after"]
    return [reply for _, reply in taken]


def any_of(count, term):
    return " OR ".join(term.format(i=i) for i in range(count))


FILTERS = {
    "200 terms": any_of(200, "metrics.m{i} > 1e300"),
    "200 patterns": any_of(200, "tags.t{i} LIKE '%a%b%a%b%a%b%z%'"),
    "200 negations": " AND ".join(f"NOT (tags.t{i} ILIKE '%{'%'.join('ab' * 10)}%')" for i in range(200)),
    "deep": "(" * 31 + "metrics.m1 > 0" + ")" * 31,
    "too deep": "(" * 5000 + "metrics.m1 > 0" + ")" * 5000,
    "too many terms": any_of(2000, "metrics.m{i} > 0"),
    "64 KiB of pattern": "tags.t1 LIKE '" + "%a" * 32_000 + "'",
    "64 KiB of list": "run_id IN (" + ",".join(f"'{i:032x}'" for i in range(1800)) + ")",
    "500 kB literal": "tags.t1 = '" + "x" * 500_000 + "'",
    "16 MB literal": "tags.t1 = '" + "x" * 15_000_000 + "'",
    "500 kB of blanks": "metrics.m1 > 0" + " " * 500_000,
    "not not not": "NOT " * 10_000 + "metrics.m1 > 0",
    "backticks": "`" * 60_000,
    "quotes": "tags.t1 = '" + "'" * 60_000,
    "numbers": "metrics.m1 > " + "9" * 60_000,
    "a key of 60 kB": "tags.`" + "k" * 60_000 + "` = 'x'",
}


@pytest.mark.parametrize("name", FILTERS)
def test_filters(server, full, name):
    body = {"experiment_ids": [full.experiment], "filter": FILTERS[name], "max_results": 1000}
    replies = beside(server, lambda client: client.post("runs/search", body))
    if name in ("too deep", "too many terms", "500 kB literal", "16 MB literal", "not not not", "backticks", "quotes"):
        assert {r.status for r in replies} == {400}, replies


def test_orders(server, full):
    for count in (20, 21, 10_000):
        order = [f"metrics.m{i} DESC" if i % 2 else f"tags.t{i} ASC" for i in range(count)]
        body = {"experiment_ids": [full.experiment], "order_by": order, "filter": FILTERS["200 patterns"], "max_results": 50_000}
        replies = beside(server, lambda client: client.post("runs/search", body))
        assert count <= 20 or {r.status for r in replies} == {400}
    # the token of such a page holds twenty tags, and is still one that the next request may carry
    body = {"experiment_ids": [full.experiment], "order_by": [f"tags.t{i}" for i in range(20)], "max_results": 2}
    client = Client(server)
    reply = client.post("runs/search", body)
    assert reply.status == 200, reply.body[:500]
    assert client.post("runs/search", {**body, "page_token": reply.json["next_page_token"]}).status == 200
    client.close()


@pytest.mark.parametrize("ids", [10_000, 300_000])
def test_many_experiments(server, full, ids):
    body = {"experiment_ids": [str(i) for i in range(ids)], "max_results": 1000}
    beside(server, lambda client: client.post("runs/search", body))
    beside(server, lambda client: client.post("logged-models/search", body))


def test_the_largest_pages(server, full):
    """50,000 results asked for, at once from several: what is there comes, whole."""
    body = {"experiment_ids": [full.experiment], "max_results": 50_000}
    for reply in beside(server, lambda client: client.post("runs/search", body), 4):
        assert reply.status in (200, 503)
        if reply.status == 200:
            assert len(reply.json["runs"]) == (301 if FULL else 61)


BODIES = {
    "metrics beyond the limit": lambda run: {"run_id": run, "metrics": [{"key": "m", "value": i, "timestamp": i, "step": i} for i in range(200_000)]},
    "tags of 15 MB": lambda run: {"run_id": run, "tags": [{"key": f"k{i}", "value": "v" * 150_000} for i in range(100)]},
    "params of 15 MB": lambda run: {"run_id": run, "params": [{"key": f"k{i}", "value": "v" * 150_000} for i in range(100)]},
    "one key of 15 MB": lambda run: {"run_id": run, "params": [{"key": "k" * 15_000_000, "value": "v"}]},
    "empty elements": lambda run: {"run_id": run, "metrics": [{}] * 3_000_000},
    "unknown members": lambda run: {"run_id": run, **{f"x{i}": [[[]]] for i in range(500_000)}},
    "escapes": lambda run: '{"run_id":"%s","tags":[{"key":"k","value":"%s"}]}' % (run, "\\u00e9" * 2_500_000),
    "numbers": lambda run: '{"run_id":"%s","x":[%s]}' % (run, ",".join(["1.7976931348623157e308"] * 600_000)),
    "one number": lambda run: '{"run_id":"%s","metrics":[{"key":"k","value":%s,"timestamp":1}]}' % (run, "1" * 15_000_000),
}


@pytest.mark.parametrize("name", BODIES)
def test_batches(server, full, name):
    body = BODIES[name](full.run)
    text = body.encode() if isinstance(body, str) else json.dumps(body, separators=(",", ":")).encode()
    assert len(text) <= 16 * MIB, len(text)
    beside(server, lambda client: client.ask("POST", api("runs/log-batch"), text, JSON), 2)


def test_inputs(server, full):
    """The largest datasets that are taken: a profile of 15 MB; and ten thousand small ones."""
    large = {"run_id": full.run, "datasets": [{"dataset": {"name": unique(), "digest": "1", "source_type": "s", "source": "s", "profile": "x" * 15_000_000}}]}
    many = {"run_id": full.run, "datasets": [{"tags": [{"key": "k", "value": "v"}], "dataset": {
        "name": f"d{i}", "digest": str(i), "source_type": "s", "source": "s"}} for i in range(10_000)]}
    for body in (large, many, many, {"run_id": full.run, "models": [{"model_id": f"m-{i:032x}"} for i in range(100_000)]}):
        text = json.dumps(body).encode()
        replies = beside(server, lambda client: client.ask("POST", api("runs/log-inputs"), text, JSON), 2)
        assert {r.status for r in replies} == {200}, replies      # quick enough not to be stopped


def test_histories(server, full):
    runs = full.runs[:100]
    beside(server, lambda client: client.get("metrics/get-history-bulk-interval", {"run_ids": runs, "metric_key": "m1", "max_results": 2500}))
    beside(server, lambda client: client.get("/ajax-api/2.0/mlflow/metrics/get-history-bulk", {"run_id": runs, "metric_key": "m1", "max_results": 25_000}))
    for extreme in ("9223372036854775807", "-9223372036854775808"):
        beside(server, lambda client: client.get("metrics/get-history-bulk-interval", {
            "run_ids": runs[:5], "metric_key": "m1", "start_step": "-9223372036854775808", "end_step": extreme, "max_results": 2500}), 1)


def many(server, count, ask):
    """Clients whose requests wait for what we hold; the statuses they got in the end."""
    statuses = []

    def send(number):
        client = Client(server)
        statuses.append(ask(client, number).status)
        client.close()

    threads = [threading.Thread(target=send, args=(n,)) for n in range(count)]
    for each in threads:
        each.start()
    time.sleep(0.5 * SLOW)              # they fill every place there is for them
    assert not statuses
    return threads, statuses


def quick(client, world, step):
    """Light requests, none of which waits."""
    for ask in (lambda: client.get("runs/get", {"run_id": world.run}), lambda: client.get("experiments/get", {"experiment_id": world.experiment}),
                lambda: client.post("runs/log-metric", {"run_id": world.run, "key": "m", "value": 1, "timestamp": 1, "step": step}),
                lambda: client.post("runs/update", {"run_id": world.run, "run_name": f"n{step}"})):
        begun = time.monotonic()
        assert ask().status == 200
        assert time.monotonic() - begun < OTHERS_S / 3


@pytest.mark.parametrize("flags", [[], ["--searches", "20"], ["--db-pool-size", "6"], ["--db-pool-size", "4"]], ids=str)
def test_stuck_searches_delay_no_light_request(new_server, postgres, flags):
    """However many searches wait for the database, workers and connections are left for the others."""
    name = unique("stuck").replace("-", "_")
    server = new_server(*flags, backend=postgres.database(name))
    client = Client(server)
    world = World(client)
    with postgres.session(name) as session:
        session.ask("BEGIN; LOCK TABLE capstan.registered_models IN ACCESS EXCLUSIVE MODE;")
        threads, statuses = many(server, 40, lambda client, n: client.get("registered-models/search", {"max_results": 10}))
        for step in range(3):
            quick(client, world, step)
        assert not statuses
        session.ask("COMMIT;")
        for each in threads:
            each.join()
    assert statuses == [200] * 40
    client.close()


@pytest.mark.parametrize("flags", [[], ["--db-pool-size", "4"]], ids=str)
def test_stuck_batches_delay_no_small_write(new_server, postgres, flags):
    """Large batches that wait for a row share no commit with small writes, and leave a committer for them."""
    name = unique("batches").replace("-", "_")
    server = new_server(*flags, backend=postgres.database(name))
    client = Client(server)
    world, other = World(client), World(client)
    with postgres.session(name) as session:
        client.good("runs/log-metric", {"run_id": other.run, "key": "held", "value": 1, "timestamp": 1})
        session.ask(f"BEGIN; SELECT 1 FROM capstan.latest JOIN capstan.runs ON runs.id = run_id WHERE uuid = '{other.run}' FOR UPDATE;")
        threads, statuses = many(server, 40, lambda client, n: client.post("runs/log-batch", {"run_id": other.run, "metrics": [
            {"key": "held", "value": n, "timestamp": i, "step": i} for i in range(1000)]}))
        for step in range(3):
            quick(client, world, step)
        assert not statuses
        session.ask("COMMIT;")
        for each in threads:
            each.join()
    assert statuses == [200] * 40
    client.close()


def test_a_query_has_its_time(new_server, postgres):
    """A statement that cannot end is ended: 503, in the daemon's words, and the connection serves the next."""
    server = new_server(backend=postgres.database("slow"))
    client = Client(server)
    world = World(client)
    with postgres.session("slow") as session:
        session.ask("BEGIN; LOCK TABLE capstan.runs IN ACCESS EXCLUSIVE MODE;")
        begun = time.monotonic()
        reply = client.get("runs/get", {"run_id": world.run})
        assert reply.status == 503 and reply.headers["retry-after"], reply
        assert time.monotonic() - begun < 20 * SLOW
        assert client.ask("GET", "/health").status == 200
    wait_for(lambda: client.get("runs/get", {"run_id": world.run}).status == 200, 20, "the table back")
    client.close()
