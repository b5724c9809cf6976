# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Every move of an alias or stage is history: who, when, from, to, why; and moves that expect."""

import threading
import time

import pytest
import requests

from conftest import Api, refused, unique

pytestmark = pytest.mark.ours


def ok(reply):
    assert reply.status_code == 200, reply.text
    return reply.json()


class Model:
    def __init__(self, api, versions=3):
        self.api, self.name = api, unique("model")
        ok(api.post("registered-models/create", {"name": self.name}))
        for _ in range(versions):
            self.version()

    def version(self):
        body = {"name": self.name, "source": "s3://bucket/x"}
        return ok(self.api.post("model-versions/create", body))["model_version"]["version"]

    def set(self, alias, version, **more):
        body = {"name": self.name, "alias": alias, "version": str(version), **more}
        return self.api.post("registered-models/alias", body)

    def delete(self, alias, **more):
        body = {"name": self.name, "alias": alias, **more}
        return self.api.send("DELETE", "registered-models/alias", body)

    def stage(self, version, stage, **more):
        body = {"name": self.name, "version": str(version), "stage": stage, **more}
        return self.api.post("model-versions/transition-stage", body)

    def history(self, prefix="/api", **query):
        path = f"{prefix}/1.0/capstan/registered-models/{self.name}/history"
        return self.api.get(path, query)

    def moves(self, **query):
        """(alias or version, from, to, reason), newest first."""
        return [
            (
                m.get("alias") or m["version"],
                m.get("from_version", m.get("from_stage")),
                m.get("to_version", m.get("to_stage")),
                m.get("reason"),
            )
            for m in ok(self.history(**query)).get("moves", [])
        ]

    def at(self, when, **query):
        aliases = ok(self.history(at=when, **query)).get("aliases", [])
        return {a["alias"]: a["version"] for a in aliases}

    def now(self):
        """A moment between two moves."""
        time.sleep(0.005)
        when = int(time.time() * 1000)
        time.sleep(0.005)
        return when


@pytest.fixture
def model(api):
    return Model(api)


def test_moves(model):
    assert ok(model.history()) == {}
    before = int(time.time() * 1000)
    ok(model.set("champion", 1, reason="first"))
    ok(model.set("champion", 2))
    ok(model.set("champion", 2))  # points there already
    ok(model.set("challenger", 1))
    ok(model.delete("champion", reason="bad"))
    ok(model.delete("champion"))
    ok(model.stage(3, "Staging", reason="try"))
    ok(model.stage(3, "Staging"))
    ok(model.stage(2, "staging", archive_existing_versions=True, reason="swap"))
    assert model.moves() == [
        ("2", "None", "Staging", "swap"),
        ("3", "Staging", "Archived", "swap"),
        ("3", "None", "Staging", "try"),
        ("champion", "2", None, "bad"),
        ("challenger", None, "1", None),
        ("champion", "1", "2", None),
        ("champion", None, "1", "first"),
    ]
    assert ok(model.history(prefix="/ajax-api")) == ok(model.history())
    for m in ok(model.history())["moves"]:
        assert m["kind"] == ("alias" if "alias" in m else "stage")
        assert before - 1000 <= m["timestamp"] <= time.time() * 1000 + 1000
        assert "user" not in m
    assert [m[0] for m in model.moves(alias="champion")] == ["champion"] * 3
    assert [m[0] for m in model.moves(version="1")] == ["challenger", "champion", "champion"]
    assert [m[0] for m in model.moves(version="03")] == ["3", "3"]
    assert model.moves(alias="champion", version="1")[1:] == [("champion", None, "1", "first")]
    assert model.moves(alias="nobody") == [] == model.moves(version="99")


def test_at(model):
    start = model.now()
    ok(model.set("champion", 1))
    ok(model.set("old", 1))
    first = model.now()
    ok(model.set("champion", 2))
    ok(model.delete("old"))
    second = model.now()
    assert model.at(start) == {}
    assert model.at(first) == {"champion": "1", "old": "1"}
    assert model.at(second) == {"champion": "2"}
    assert model.at(first, alias="champion") == {"champion": "1"}
    assert model.at(second, alias="old") == {}
    assert ok(model.history(at=first))["at"] == first
    moved = ok(model.history(alias="champion"))["moves"]
    assert model.at(moved[0]["timestamp"], alias="champion") == {"champion": "2"}
    assert model.at(moved[1]["timestamp"], alias="champion") == {"champion": "1"}
    assert model.at(moved[1]["timestamp"] - 1) == {}


def test_deletions(model):
    """By deleting a version or the model; history stays, also when the name is used again."""
    api = model.api
    ok(model.set("a", 1))
    ok(model.set("b", 1))
    ok(model.stage(1, "Production"))
    lived = model.now()
    ok(api.send("DELETE", "model-versions/delete", {"name": model.name, "version": "1"}))
    assert model.moves()[:3] == [
        ("1", "Production", None, "version deleted"),
        ("b", "1", None, "version deleted"),
        ("a", "1", None, "version deleted"),
    ]
    ok(model.set("a", 2))
    ok(api.send("DELETE", "registered-models/delete", {"name": model.name}))
    assert model.moves()[:2] == [("a", "2", None, "model deleted"), ("a", None, "2", None)]
    gone = model.now()
    ok(api.post("registered-models/create", {"name": model.name}))
    model.version()
    ok(model.set("a", 1))
    assert len(model.moves()) == 9
    assert model.at(lived) == {"a": "1", "b": "1"}
    assert model.at(gone) == {}
    assert model.at(model.now()) == {"a": "1"}


def test_rename(model):
    ok(model.set("a", 1))
    when = model.now()
    old, new = model.name, unique("renamed")
    ok(model.api.post("registered-models/rename", {"name": old, "new_name": new}))
    refused(model.history(), "RESOURCE_DOES_NOT_EXIST", 404, f"Model with name={old} not found")
    model.name = new
    ok(model.set("a", 2))
    assert model.moves() == [("a", "1", "2", None), ("a", None, "1", None)]
    assert model.at(when) == {"a": "1"}


def test_name_of_two(api):
    """A model that was renamed to the name of a deleted one: the one that is there is meant."""
    first, second = Model(api), Model(api)
    ok(first.set("a", 1))
    ok(second.set("a", 2))
    when = second.now()
    ok(api.send("DELETE", "registered-models/delete", {"name": first.name}))
    ok(api.post("registered-models/rename", {"name": second.name, "new_name": first.name}))
    assert first.at(when) == {"a": "2"}
    assert len(first.moves()) == 3


def test_pages(model):
    for i in range(25):
        ok(model.set("a", i % 2 + 1))
    got, token, pages = [], None, 0
    while True:
        query = {"max_results": 10, **({"page_token": token} if token else {})}
        page = ok(model.history(**query))
        got += page["moves"]
        pages += 1
        token = page.get("next_page_token")
        if not token:
            break
        ok(model.set("new", pages))  # what is new does not shift what follows
    assert pages == 3 and len(got) == 25
    assert [m["id"] for m in got] == sorted((m["id"] for m in got), key=int, reverse=True)
    page = ok(model.history(max_results=1))
    refused(model.history(alias="a", page_token=page["next_page_token"]))
    refused(model.history(page_token="x"))


def test_refused(model, api):
    for bad in (0, -1, 1001, 10**9):
        refused(model.history(max_results=bad), text="max_results")
    for bad in ("x", "-1", "1.5", "99999999999999999999", "now"):
        refused(model.history(at=bad), text="Parameter 'at' must be a time in milliseconds")
    refused(model.history(version="x"), text="Parameter 'version' must be an integer, got 'x'.")
    refused(model.history(alias="a b"), text="Invalid alias name: 'a b'.")
    refused(model.history(at=1, version="1"), text="Parameter 'at' goes with 'alias' only")
    refused(model.history(at=1, max_results=1))
    model.name = unique("nobody")
    for query in ({}, {"at": 1}):
        text = f"Registered Model with name={model.name} not found"
        refused(model.history(**query), "RESOURCE_DOES_NOT_EXIST", 404, text)
    refused(model.set("a", 1, reason="r" * 5001), text="'reason' exceeds the maximum length")
    assert api.send("POST", f"/api/1.0/capstan/registered-models/{model.name}/history").status_code == 405


# ---- moves that expect ----


def conflict(reply, text):
    refused(reply, "RESOURCE_CONFLICT", 409, text)


def test_expected_version(model):
    none = ("", "0")
    for absent in none:
        ok(model.set("a", 1, expected_version=absent))
        ok(model.delete("a"))
    conflict(model.set("a", 1, expected_version="1"), "points to no version now, not to version 1")
    ok(model.set("a", 1, expected_version="0"))
    for absent in none:
        conflict(model.set("a", 2, expected_version=absent), "points to version 1 now, not to no")
    conflict(model.set("a", 3, expected_version="2"), "points to version 1 now, not to version 2")
    conflict(model.set("a", 3, expected_version="99999999999"), "points to version 1 now")
    assert model.at(model.now()) == {"a": "1"}
    ok(model.set("a", 3, expected_version="01"))
    conflict(model.delete("a", expected_version="1"), "points to version 3 now, not to version 1")
    conflict(model.delete("a", expected_version=""), "points to version 3 now, not to no version")
    assert model.at(model.now()) == {"a": "3"}
    ok(model.delete("a", expected_version="3"))
    ok(model.delete("a", expected_version="0"))
    conflict(model.delete("a", expected_version="3"), "points to no version now, not to version 3")
    text = "Parameter 'expected_version' must be an integer, got 'x'."
    refused(model.set("a", 1, expected_version="x"), text=text)
    # A version that is not there is that, before anything else.
    missing = model.set("a", 9, expected_version="5")
    refused(missing, "RESOURCE_DOES_NOT_EXIST", 404, "version=9) not found")


def test_expected_stage(model):
    ok(model.stage(1, "Staging", expected_stage="none"))
    conflict(
        model.stage(1, "Production", expected_stage="None"),
        f"Version 1 of registered model '{model.name}' is in stage 'Staging' now, not in 'None'",
    )
    ok(model.stage(1, "Production", expected_stage="Staging"))
    refused(model.stage(1, "None", expected_stage="x"), text="Invalid Model Version stage: x.")
    assert [m[2] for m in model.moves()] == ["Production", "Staging"]


def test_one_winner(model, server):
    """Twelve that expect the same: one moves it, the others are told what it is now."""
    gate = threading.Barrier(12)
    codes = []

    def move(i):
        mine = Model.__new__(Model)
        mine.api, mine.name = Api(server.url), model.name
        gate.wait()
        codes.append(mine.set("a", i % 3 + 1, expected_version="0").status_code)

    threads = [threading.Thread(target=move, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(codes) == [200] + [409] * 11
    assert len(model.moves()) == 1


def test_chain(model, server):
    """Moves of twelve threads: each begins where the one before ended, in order of time."""

    def move(i):
        mine = Model.__new__(Model)
        mine.api, mine.name = Api(server.url), model.name
        for k in range(15):
            assert mine.set("a", (i + k) % 3 + 1).status_code == 200
            if k % 5 == 4:
                assert mine.delete("a").status_code == 200

    threads = [threading.Thread(target=move, args=(i,)) for i in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    moves = ok(model.history(max_results=1000))["moves"][::-1]
    assert moves
    for before, after in zip([{}] + moves, moves):
        assert after.get("from_version") == before.get("to_version")
        assert after.get("from_version") != after.get("to_version")
        assert after["timestamp"] >= before.get("timestamp", 0)
    found = requests.get(
        server.url + "/api/2.0/mlflow/registered-models/alias",
        {"name": model.name, "alias": "a"},
        timeout=60,
    )
    last = moves[-1].get("to_version")
    assert found.json().get("model_version", {}).get("version") == last
