# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Twelve at once on the same names: clean errors, right results, no version lost or twice."""

import collections
import random
import threading
import time

import pytest

from conftest import Api, unique

pytestmark = pytest.mark.ours

THREADS = 12


def together(server, work):
    """work(api, i) in twelve threads that begin at the same moment; what they returned."""
    gate = threading.Barrier(THREADS)
    results, errors = [None] * THREADS, []

    def run(i):
        try:
            api = Api(server.url)
            api.get("registered-models/search")
            gate.wait()
            results[i] = work(api, i)
        except BaseException as e:  # noqa: BLE001
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(THREADS)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]
    # A deadlock is found by PostgreSQL after a second, and would be retried in silence.
    assert time.monotonic() - began < 30
    return results


def clean(reply, *codes):
    """The reply is a success or one of these errors."""
    if reply.status_code == 200:
        return None
    assert reply.status_code in (400, 404, 409), reply.text
    assert reply.json()["error_code"] in codes, reply.text
    return reply.json()["error_code"]


def create(api, name):
    return api.post("registered-models/create", {"name": name})


def version(api, name, **more):
    body = {"name": name, "source": "s3://bucket/x", **more}
    return api.post("model-versions/create", body)


def test_create_one_name(server):
    name = unique("model")
    results = together(server, lambda api, i: clean(create(api, name), "RESOURCE_ALREADY_EXISTS"))
    assert results.count(None) == 1


def test_versions_have_no_gaps(server, api):
    name = unique("model")
    create(api, name)

    def work(api, i):
        made = []
        for k in range(10):
            if k % 3 == 2:  # refused ones take no number
                body = {"tags": [{"key": "!", "value": "x"}]}
                assert version(api, name, **body).status_code == 400
            reply = version(api, name, tags=[{"key": "thread", "value": str(i)}])
            assert reply.status_code == 200, reply.text
            made.append(int(reply.json()["model_version"]["version"]))
        assert made == sorted(made)
        return made

    everything = [v for made in together(server, work) for v in made]
    assert sorted(everything) == list(range(1, THREADS * 10 + 1))


def test_versions_of_many_models(server, api):
    names = [unique("model") for _ in range(3)]
    for name in names:
        create(api, name)

    def work(api, i):
        made = []
        for k in range(9):
            reply = version(api, names[(i + k) % 3])
            made.append((names[(i + k) % 3], int(reply.json()["model_version"]["version"])))
        return made

    made = collections.defaultdict(list)
    for some in together(server, work):
        for name, number in some:
            made[name].append(number)
    for name in names:
        assert sorted(made[name]) == list(range(1, len(made[name]) + 1))


def test_one_logged_model(server, client, api, fresh_experiment):
    """Versions of different models made of the same logged model: its tag tells of all."""
    import json

    model = client.create_logged_model(fresh_experiment)
    names = [unique("model") for _ in range(4)]
    for name in names:
        create(api, name)

    def work(api, i):
        for k in range(4):
            reply = version(api, names[(i + k) % 4], model_id=model.model_id)
            assert reply.status_code == 200, reply.text

    together(server, work)
    tag = json.loads(client.get_logged_model(model.model_id).tags["mlflow.modelVersions"])
    assert len(tag) == THREADS * 4
    expected = [(name, v) for name in names for v in range(1, THREADS + 1)]
    assert sorted((v["name"], v["version"]) for v in tag) == sorted(expected)


def test_rename_in_circles(server, api):
    """a -> b, b -> c, c -> a: whoever wins, three models stay three models."""
    names = [unique("model") for _ in range(4)]
    for name in names[:3]:
        create(api, name)
        version(api, name, tags=[{"key": "born", "value": name}])
    seen = collections.Counter()

    def work(api, i):
        chance = random.Random(i)
        for _ in range(10):
            old, new = chance.sample(names, 2)
            reply = api.post("registered-models/rename", {"name": old, "new_name": new})
            seen[clean(reply, "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")] += 1

    together(server, work)
    born = set()
    for name in names:
        reply = api.get("model-versions/get", {"name": name, "version": "1"})
        if reply.status_code == 200:
            born.add(reply.json()["model_version"]["tags"][0]["value"])
    assert born == set(names[:3])
    assert seen[None] > 0


def test_changes_beside_renames(server, api):
    """The name passes to and fro; who changes a version under it finds the model, or none, and is seen by searches."""
    names = [unique("model"), unique("model")]
    create(api, names[0])
    for _ in range(3):
        version(api, names[0])

    def work(api, i):
        chance = random.Random(i)
        for n in range(40):
            old, new = chance.sample(names, 2)
            version = {"name": old, "version": str(chance.randint(1, 3))}
            reply = [
                lambda: api.post("registered-models/rename", {"name": old, "new_name": new}),
                lambda: api.post("registered-models/alias", {**version, "alias": "champion"}),
                lambda: api.send("PATCH", "model-versions/update", {**version, "description": f"{i} {n}"}),
                lambda: api.post("model-versions/set-tag", {**version, "key": "k", "value": f"{i} {n}"}),
            ][chance.randrange(4)]()
            clean(reply, "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS")
            if n % 10 == 0:
                search(api)

    def search(api):
        found = api.get("registered-models/search", {"filter": f"name IN ('{names[0]}', '{names[1]}')"})
        return found.json()["registered_models"]

    together(server, work)
    (model,) = search(api)
    (latest,) = model["latest_versions"]
    read = api.get("model-versions/get", {"name": model["name"], "version": "3"}).json()["model_version"]
    assert (latest.get("description"), latest.get("tags")) == (read.get("description"), read.get("tags"))


def test_rename_to_one_name(server, api):
    names = [unique("model") for _ in range(THREADS)]
    target = unique("target")
    for name in names:
        create(api, name)

    def work(api, i):
        body = {"name": names[i], "new_name": target}
        reply = create(api, target) if i % 4 == 0 else api.post("registered-models/rename", body)
        return clean(reply, "RESOURCE_ALREADY_EXISTS")

    assert together(server, work).count(None) == 1


def test_delete_once(server, api):
    name = unique("model")
    create(api, name)
    version(api, name)

    def gone(api, i):
        body = {"name": name, "version": "1"}
        return clean(api.send("DELETE", "model-versions/delete", body), "RESOURCE_DOES_NOT_EXIST")

    assert together(server, gone).count(None) == 1

    def gone_whole(api, i):
        reply = api.send("DELETE", "registered-models/delete", {"name": name})
        return clean(reply, "RESOURCE_DOES_NOT_EXIST")

    assert together(server, gone_whole).count(None) == 1


def test_everything_at_once(server, api):
    """All kinds of changes on two names; afterwards what is told fits together."""
    names = [unique("model"), unique("model")]
    for name in names:
        create(api, name)
    fine = ("RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "RESOURCE_CONFLICT",
            "INVALID_PARAMETER_VALUE")

    def work(api, i):
        chance = random.Random(1000 + i)
        for _ in range(25):
            name = chance.choice(names)
            number = str(chance.randint(1, 6))
            one = {"name": name, "version": number}
            alias = {"name": name, "alias": chance.choice("abc")}
            stage = chance.choice(["Staging", "Production"])
            reply = chance.choice(
                [
                    lambda: create(api, name),
                    lambda: version(api, name, tags=[{"key": "k", "value": "v"}]),
                    lambda: version(api, name, source=f"models:/{names[0]}/1"),
                    lambda: api.post("registered-models/alias", {**one, **alias}),
                    lambda: api.post(
                        "registered-models/alias", {**one, **alias, "expected_version": "0"}
                    ),
                    lambda: api.send("DELETE", "registered-models/alias", alias),
                    lambda: api.post(
                        "model-versions/transition-stage",
                        {**one, "stage": stage, "archive_existing_versions": True},
                    ),
                    lambda: api.send("DELETE", "model-versions/delete", one),
                    lambda: api.post("model-versions/set-tag", {**one, "key": "k", "value": "w"}),
                    lambda: api.send("PATCH", "model-versions/update", {**one, "description": "d"}),
                    lambda: api.post("registered-models/set-tag", {"name": name, "key": "k"}),
                    lambda: api.post(
                        "registered-models/rename", {"name": name, "new_name": chance.choice(names)}
                    ),
                    lambda: api.send("DELETE", "registered-models/delete", {"name": name}),
                    lambda: api.get("registered-models/get", {"name": name}),
                ]
            )()
            clean(reply, *fine)

    together(server, work)
    for name in names:
        reply = api.get("registered-models/get", {"name": name})
        if reply.status_code == 404:
            continue
        model = reply.json()["registered_model"]
        aliases = {a["alias"]: a["version"] for a in model.get("aliases", [])}
        now = api.get(
            f"/api/1.0/capstan/registered-models/{name}/history", {"at": int(time.time() * 1000)}
        ).json()
        assert {a["alias"]: a["version"] for a in now.get("aliases", [])} == aliases
        for alias, number in aliases.items():
            found = api.get("registered-models/alias", {"name": name, "alias": alias})
            assert found.json()["model_version"]["version"] == number
