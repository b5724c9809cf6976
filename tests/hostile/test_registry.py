# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The registry in hostile hands: twins of names, sources that point elsewhere, times that never were, texts of 16 MB."""

import os
import threading
import urllib.parse

import pytest

from capstan_server import SLOW
from conftest import unique
from wire import JSON, Client, api

CANARY = b"canary of the daemon's own folder"


@pytest.fixture
def model(world):
    return world.registered


def named(client, name):
    return client.get("registered-models/get", {"name": name})


def twins(name):
    """What a server might take for the same name."""
    first, rest = name[0], name[1:]
    yield f"%{ord(first):02x}{rest}"
    yield f"%{ord(first):02X}{rest}"
    yield f"%25{ord(first):02x}{rest}"
    yield name + "%00"
    yield name + "%20"
    yield name + " "
    yield " " + name
    yield name + "\t"
    yield name + "."
    yield name + "\u200b"
    yield name + "\u0301"
    yield name.upper()
    yield chr(ord(first) - 0x20 + 0xFF00) + rest        # full width
    yield name.replace("-", "\u2010")
    yield "./" + name
    yield name + "?x"
    yield name + "#x"
    yield name + ";x"
    yield name + "&name=x"


def test_twins_of_a_name(client, model):
    """CVE-2024-3099: a name in another coat is another model, or none at all; never this one."""
    before = named(client, model).json
    for twin in twins(model):
        assert named(client, twin).status in (400, 404), twin
        made = client.post("registered-models/create", {"name": twin, "description": "twin"})
        assert made.status in (200, 400), (twin, made)
        if made.status == 200:
            assert made.json["registered_model"]["name"] == twin
            assert named(client, twin).json["registered_model"]["description"] == "twin"
            history = client.ask("GET", f"/api/1.0/capstan/registered-models/{urllib.parse.quote(twin, safe='')}/history")
            assert history.status == 200 and not history.json.get("moves"), (twin, history)
            client.good("registered-models/rename", {"name": twin, "new_name": twin + "x"})
            assert client.ask("DELETE", api("registered-models/delete"), {"name": twin + "x"}).status == 200
        assert client.ask("DELETE", api("registered-models/delete"), {"name": twin}).status in (400, 404), twin
    assert named(client, model).json == before


@pytest.mark.parametrize("at", ["-1", "0", "1", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1e3", "0x10", " 5", "5 ", "+5", "5\n", "", "null", "NaN", "\u0661",
                                "9" * 1000, "1;SELECT 1", "'"])
def test_times_of_the_history(client, model, at):
    reply = client.get(f"/api/1.0/capstan/registered-models/{model}/history", {"at": at})
    assert reply.status in (200, 400), reply
    if reply.status == 200 and at not in ("", "9223372036854775807"):
        assert not reply.json.get("aliases")        # there was nothing then
    for name, value in (("max_results", at), ("version", at), ("alias", at), ("page_token", at or "x")):
        assert client.get(f"/api/1.0/capstan/registered-models/{model}/history", {name: value}).status in (200, 400), name


def sources(folder):
    """folder: where the canary is."""
    up = "../" * 20
    path = folder.lstrip("/")
    for text in (folder, f"file://{folder}", f"file:{folder}", f"file:///{path}", f"FILE://{folder}", f"file://localhost{folder}",
                 f"file:///%2e%2e/{path}", f"/./{path}", f"//{path}", f"///{path}", f"/proc/self/root{folder}", f"//proc/self/root{folder}", f"file:///proc/self/root{folder}",
                 f"/proc/1/root{folder}", f"{up}{path}", f"./{up}{path}", f"%2f{path}", f"mlflow-artifacts:/{up}{path}", f"mlflow-artifacts:///{up}{path}",
                 f"mlflow-artifacts:/{up.replace('..', '%2e%2e')}{path}", f"mlflow-artifacts:/{up.replace('..', '%252e%252e')}{path}", f"mlflow-artifacts:/{up.replace('/', chr(92))}{path}",
                 f"mlflow-artifacts://localhost{folder}", f"http://localhost{folder}", f"http:///#/{up}{path}", f"http:///?/{up}{path}", f"http:///;/{up}{path}",
                 f"https://localhost/api/2.0/mlflow-artifacts/artifacts/{up}{path}", f"runs:/{up}{path}", f"models:/{up}{path}", f"dbfs:{folder}", f"dbfs:///{up}{path}", f"s3://x/{up}{path}",
                 f"ftp://localhost{folder}", f"sftp://localhost{folder}", f"hdfs://localhost{folder}", f"gs://x/{up}{path}", f"wasbs://x@y/{up}{path}", f"abfss://x@y{folder}",
                 f"jar:file:{folder}!/x", f"\\\\localhost{folder}", f"c:{folder}", f"~{folder}", f"{folder}\0", f"{folder}#", f"{folder}?", f"{folder};x", f"s3+file://{folder}", "databricks",
                 f"sqlite://{folder}/x.db", f"postgresql://{folder}", f"unity:{folder}", f"gopher://localhost{folder}", f"data:{folder}", f"javascript:{folder}"):
        yield text


def test_sources_that_point_elsewhere(server, client, world, model):
    """CVE-2023-1177 and its many children: what is outside is refused, or text that nobody ever follows."""
    folder = os.path.join(server.data_dir, "outside")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "canary"), "wb") as f:
        f.write(CANARY)
    for source in sources(folder):
        client.known = source.encode()              # comes back when its version is asked for
        for ids in ({}, {"run_id": world.run}, {"model_id": world.model}):
            for tags in ([], [{"key": "mlflow.prompt.is_prompt", "value": "true"}]):
                reply = client.post("model-versions/create", {"name": model, "source": source, "tags": tags, **ids})
                assert reply.status in (200, 400, 404), (source, reply)
                if reply.status != 200:
                    continue
                version = reply.json["model_version"]["version"]
                for path in ("canary", "", ".", "outside/canary", "../outside/canary", f"{folder}/canary"):
                    got = client.get("/model-versions/get-artifact", {"name": model, "version": version, "path": path})
                    assert got.status in (400, 404, 501) and CANARY not in got.body, (source, path, got)


def test_a_source_is_one_of_its_run(client, world, model):
    """Another run's files are no source of this run's version, in no spelling."""
    other = type(world)(client)
    mine, theirs = f"{world.experiment}/{world.run}/artifacts", f"{other.experiment}/{other.run}/artifacts"
    for source in (f"mlflow-artifacts:/{theirs}", f"mlflow-artifacts:/{mine}/../../../{theirs}", f"mlflow-artifacts:/{mine}/%2e%2e/x", f"mlflow-artifacts:/{mine}x", f"mlflow-artifacts:/{mine[:-1]}",
                   f"mlflow-artifacts:/{world.experiment}", "mlflow-artifacts:/", f"mlflow-artifacts:/{mine}#/../../{theirs}", f"runs:/{other.run}/x", f"runs:/{world.run}x/x", f"runs://{world.run}/x",
                   f"runs:/{world.run}/../{other.run}"):
        reply = client.post("model-versions/create", {"name": model, "source": source, "run_id": world.run})
        assert reply.status == 400, (source, reply)
    for source in (f"mlflow-artifacts:/{mine}", f"mlflow-artifacts:/{mine}/model", f"runs:/{world.run}/model"):
        client.good("model-versions/create", {"name": model, "source": source, "run_id": world.run})


TEXTS = [("POST", "registered-models/create", "name"), ("POST", "registered-models/create", "description"), ("POST", "registered-models/rename", "new_name"),
         ("POST", "registered-models/alias", "alias"), ("POST", "registered-models/alias", "reason"), ("POST", "registered-models/alias", "version"),
         ("POST", "registered-models/set-tag", "value"), ("POST", "model-versions/create", "source"), ("POST", "model-versions/create", "run_link"),
         ("POST", "model-versions/set-tag", "key"), ("POST", "model-versions/transition-stage", "stage"), ("POST", "webhooks", "secret")]


@pytest.mark.parametrize("method, route, field", TEXTS)
def test_texts_of_16_megabytes(client, model, method, route, field):
    """Refused, in our words, by the limit of the field; nothing of it is kept."""
    good = {"name": model, "version": "1", "alias": "a", "source": "s3://x/y", "key": "k", "value": "v", "stage": "None", "new_name": unique("new"), "url": "http://127.0.0.1:9/",
            "events": [{"entity": "PROMPT", "action": "CREATED"}]}
    reply = client.ask(method, api(route), {**good, field: "x" * 16_000_000}, JSON)
    assert reply.status == 400 and len(reply.body) < 100_000, reply
    whole = named(client, model)
    assert whole.status == 200 and len(whole.body) < 100_000


def test_twelve_at_one_model(server, client, model):
    """Deletes, renames, versions and moves at once: each answer is one of few, and what remains fits together."""
    statuses, names = [], [model, model + "-b"]

    def work(number):
        mine = Client(server)
        for n in range(12):
            name = names[(n + number) % 2]
            what = [("POST", "model-versions/create", {"name": name, "source": "s3://b/m"}), ("POST", "registered-models/rename", {"name": name, "new_name": names[(n + number + 1) % 2]}),
                    ("POST", "registered-models/alias", {"name": name, "alias": "best", "version": str(1 + n % 3)}), ("DELETE", "model-versions/delete", {"name": name, "version": str(1 + n % 3)}),
                    ("POST", "model-versions/transition-stage", {"name": name, "version": "1", "stage": "Production", "archive_existing_versions": True}),
                    ("DELETE", "registered-models/delete", {"name": name}), ("POST", "registered-models/create", {"name": name})][(n * 5 + number) % 7]
            statuses.append((mine.ask(what[0], api(what[1]), what[2]).status, what))
        mine.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(60 * SLOW)
        assert not each.is_alive()
    assert len(statuses) == 144
    assert {s for s, _ in statuses} <= {200, 400, 404, 409}, [s for s in statuses if s[0] not in (200, 400, 404, 409)][:3]
    for name in names:
        there = named(client, name)
        if there.status != 200:
            continue
        versions = {v["version"] for v in client.get("model-versions/search", {"filter": f"name = '{name}'"}).json.get("model_versions", [])}
        assert {a["version"] for a in there.json["registered_model"].get("aliases", [])} <= versions
