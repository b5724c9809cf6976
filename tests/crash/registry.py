# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
The registry's part of crash.py: clients that make versions, move aliases and stages and set tags, each change with a mark
of its own; a receiver that hears of all of them; and the comparison of what was promised, what is there, and what was told.
"""

import random
import threading
import time

import requests
import webhook_receiver
from capstan_server import wait_for

EVENTS = [("MODEL_VERSION", "CREATED"), ("MODEL_VERSION_ALIAS", "CREATED"), ("MODEL_VERSION_TAG", "SET")]
STAGES = ["Staging", "Production", "Archived", "None"]
SHARED = "shared"
ENVIRONMENT = {**webhook_receiver.ENVIRONMENT, "MLFLOW_WEBHOOK_REQUEST_MAX_RETRIES": "20"}
PATHS = ("/steady", "/moody")       # two webhooks; the second is refused a few times


class Registrar(threading.Thread):
    """Writes to a model of its own and to one that all share. asked: mark -> (kind, model, ...); acknowledged: the same."""

    def __init__(self, server, number, stop):
        super().__init__(daemon=True)
        self.server, self.stop = server, stop
        self.session = requests.Session()
        self.random = random.Random(1000 + number)
        self.number, self.model = number, f"model-{number}"
        self.serial = 0
        self.asked, self.acknowledged = {}, {}
        self.versions = {}              # model -> versions known to be there
        self.conflicts = 0
        self.strange = []

    def send(self, method, route, body):
        try:
            reply = self.session.request(method, f"{self.server.url}/api/2.0/mlflow/{route}", json=body, timeout=30)
        except requests.RequestException:
            time.sleep(0.005)
            return None
        if reply.status_code == 200:
            return reply.json()
        if reply.status_code == 409:
            self.conflicts += 1
        elif reply.status_code != 503 or not reply.headers.get("Retry-After"):
            self.strange.append((route, reply.status_code, reply.text[:300]))
        time.sleep(0.005)
        return None

    def change(self, kind, model, method, route, body, *more):
        mark = f"{self.number}-{self.serial}"
        self.serial += 1
        self.asked[mark] = (kind, model, *more)
        reply = self.send(method, route, {k: mark if v is ... else v for k, v in body.items()})
        if reply is not None:
            self.acknowledged[mark] = (kind, model, *more)
        return reply, mark

    def version(self, model):
        body = {"name": model, "source": "s3://bucket/model", "description": ...}
        reply, mark = self.change("version", model, "POST", "model-versions/create", body)
        if reply:
            number = int(reply["model_version"]["version"])
            self.versions.setdefault(model, []).append(number)
            self.acknowledged[mark] += (number,)

    def pointed(self):
        """What the alias of the shared model points to now."""
        try:
            reply = self.session.get(f"{self.server.url}/api/2.0/mlflow/registered-models/alias",
                                     params={"name": SHARED, "alias": "best"}, timeout=30)
        except requests.RequestException:
            return None
        if reply.status_code == 200:
            return int(reply.json()["model_version"]["version"])
        return 0 if reply.status_code == 400 else None

    def alias(self, model):
        to = self.random.choice(self.versions[model])
        body = {"name": model, "alias": "best", "version": str(to), "reason": ...}
        if model == SHARED:         # compare and set: of those who saw the same one wins
            old = self.pointed()
            if old is None or old == to:
                return
            body["expected_version"] = str(old)
            self.change("alias", model, "POST", "registered-models/alias", body, to, old)
        else:
            self.change("alias", model, "POST", "registered-models/alias", body, to)

    def tag(self, model):
        version = self.random.choice(self.versions[model])
        body = {"name": model, "version": str(version), "key": ..., "value": "x"}
        self.change("tag", model, "POST", "model-versions/set-tag", body, version)

    def stage(self, model):
        version, stage = self.random.choice(self.versions[model]), self.random.choice(STAGES)
        body = {"name": model, "version": str(version), "stage": stage, "archive_existing_versions": False, "reason": ...}
        self.change("stage", model, "POST", "model-versions/transition-stage", body, version, stage)

    def run(self):
        while not self.stop.is_set():
            model = SHARED if self.random.random() < 0.4 else self.model
            kinds = [self.version] if not self.versions.get(model) else [self.version, self.alias, self.alias, self.tag, self.stage]
            self.random.choice(kinds)(model)
            self.stop.wait(0.01)


def busy(receiver, connection):
    connection.sendall(b"HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n")


def prepare(server, registrars):
    """Models and webhooks, before anything is killed. The receiver, and the webhooks' ids."""
    receiver = webhook_receiver.Receiver()
    receiver.answers[PATHS[1]] = [200, 200, busy, 200, 503, busy, 200]
    url = server.url + "/api/2.0/mlflow/"
    for model in [SHARED, *(r.model for r in registrars)]:
        requests.post(url + "registered-models/create", json={"name": model}, timeout=30).raise_for_status()
    hooks = []
    for path in PATHS:
        body = {"name": "hook", "url": receiver.url + path, "events": [{"entity": e, "action": a} for e, a in EVENTS]}
        made = requests.post(url + "webhooks", json=body, timeout=30)
        made.raise_for_status()
        hooks.append(made.json()["webhook"]["webhook_id"])
    return receiver, hooks


class Registry:
    """What is there at the end."""

    def __init__(self, check, registrars, receiver, hooks):
        self.check, self.registrars, self.receiver, self.hooks = check, registrars, receiver, hooks
        self.base = check.url.replace("/api/2.0/mlflow/", "")
        self.asked = {m: what for r in registrars for m, what in r.asked.items()}
        self.acknowledged = {m: what for r in registrars for m, what in r.acknowledged.items()}

    def log(self, hook, status):
        reply = requests.get(f"{self.base}/api/1.0/capstan/webhooks/{hook}/deliveries",
                             params={"status": status, "max_results": 1}, timeout=60)
        reply.raise_for_status()
        return reply.json().get("deliveries", [])

    def versions(self, model):
        found, token = [], None
        while True:
            query = {"filter": f"name = '{model}'", "max_results": 1000, **({"page_token": token} if token else {})}
            page = self.check.get("model-versions/search", **query)
            found += page.get("model_versions", [])
            token = page.get("next_page_token")
            if not token:
                return found

    def moves(self, model):
        """Oldest first."""
        found, token = [], None
        while True:
            reply = requests.get(f"{self.base}/api/1.0/capstan/registered-models/{model}/history", timeout=60,
                                 params={"max_results": 1000, **({"page_token": token} if token else {})})
            reply.raise_for_status()
            found += reply.json().get("moves", [])
            token = reply.json().get("next_page_token")
            if not token:
                return found[::-1]

    def promised(self, kind, model):
        return {m: what for m, what in self.acknowledged.items() if what[:2] == (kind, model)}

    def run(self):
        wait_for(lambda: not any(self.log(hook, "PENDING") for hook in self.hooks), 60, "the end of deliveries")
        for hook in self.hooks:
            self.check.expect(not self.log(hook, "FAILED"), "delivery given up", hook)
        told = [self.heard(path) for path in PATHS]
        for model in [SHARED, *(r.model for r in self.registrars)]:
            versions, moves = self.versions(model), self.moves(model)
            self.of_versions(model, versions, told)
            self.of_aliases(model, [m for m in moves if m["kind"] == "alias"], told)
            self.of_stages(model, versions, [m for m in moves if m["kind"] == "stage"])

    def heard(self, path):
        """Events in the order of their first delivery; a repetition follows what it repeats."""
        events, before = [], None
        seen = set()
        for request in self.receiver.got(path):
            if request.id == before:
                continue
            before = request.id
            self.check.expect(request.id not in seen, "delivered out of order", path, request.id)
            if request.id not in seen:
                events.append((request.event, request.json["data"]))
            seen.add(request.id)
        return events

    def of_versions(self, model, versions, told):
        expect = self.check.expect
        there = {v.get("description"): int(v["version"]) for v in versions}
        numbers = sorted(int(v["version"]) for v in versions)
        expect(numbers == list(range(1, len(numbers) + 1)), "numbers of versions", model, numbers[-5:])
        expect(len(there) == len(versions), "a version made twice", model)
        expect(set(there) <= set(self.asked), "a version nobody asked for", model)
        for mark, (_, _, number) in self.promised("version", model).items():
            expect(there.get(mark) == number, "version lost", model, mark, number)
        tags = {t["key"]: int(v["version"]) for v in versions for t in v.get("tags", [])}
        for mark, (_, _, number) in self.promised("tag", model).items():
            expect(tags.get(mark) == number, "tag lost", model, mark)
        for events in told:
            made = [(d["description"], int(d["version"])) for e, d in events if e == "model_version.created" and d["name"] == model]
            expect(sorted(made) == sorted(there.items()), "events of versions", model, set(made) ^ set(there.items()))
            expect([n for _, n in made] == sorted(n for _, n in made), "events of versions out of order", model)
            tagged = [(d["key"], int(d["version"])) for e, d in events if e == "model_version_tag.set" and d["name"] == model]
            expect(sorted(tagged) == sorted(tags.items()), "events of tags", model, set(tagged) ^ set(tags.items()))

    def of_aliases(self, model, moves, told):
        expect = self.check.expect
        marks = [m["reason"] for m in moves]
        expect(len(set(marks)) == len(marks), "a move made twice", model)
        at = None
        for move in moves:
            what = self.asked.get(move["reason"])
            expect(what and what[2] == int(move["to_version"]), "a move nobody asked for", model, move)
            expect(move.get("from_version") == at, "moves do not follow each other", model, move, at)
            if what and len(what) > 3:
                expect(str(what[3]) == (at or "0"), "moved from what was not expected", model, move)
            at = move["to_version"]
        steps = [(m, w[2]) for m, w in self.asked.items() if w[:2] == ("alias", model)]
        self.replay(model, steps, set(marks), None, "move lost")
        for mark in self.promised("alias", SHARED) if model == SHARED else []:
            expect(mark in marks, "move lost", model, mark)
        now = self.check.get("registered-models/get", name=model)["registered_model"].get("aliases", [])
        expect([a["version"] for a in now] == ([at] if at else []), "the alias is not where its last move put it", model, now, at)
        for events in told:
            set_to = [d["version"] for e, d in events if e == "model_version_alias.created" and d["name"] == model]
            expect(runs_of(set_to) == [m["to_version"] for m in moves], "events of aliases", model, set_to[-5:])

    def of_stages(self, model, versions, moves):
        expect = self.check.expect
        stages = {}
        for move in moves:
            what = self.asked.get(move["reason"])
            expect(what and (str(what[2]), what[3]) == (move["version"], move["to_stage"]), "a stage nobody asked for", model, move)
            expect(stages.get(move["version"], "None") == move["from_stage"], "stages do not follow each other", model, move)
            stages[move["version"]] = move["to_stage"]
        for version in versions:
            expect(stages.get(version["version"], "None") == version["current_stage"], "a stage without its move", model, version["version"])
        for version in versions:
            number = int(version["version"])
            steps = [(m, w[3]) for m, w in self.asked.items() if w[:3] == ("stage", model, number)]
            self.replay(model, steps, {m["reason"] for m in moves}, "None", "stage lost")

    def replay(self, model, steps, moved, state, words):
        """A promised step that is no move put the thing where it was: on a model of one client, who knows the order."""
        for mark, to in steps if model != SHARED else []:
            if mark in moved:
                state = to
            elif mark in self.acknowledged:
                self.check.expect(state == to, words, model, mark)


def runs_of(values):
    """Without immediate repetitions: who sets what is set already tells of it and moves nothing."""
    return [v for i, v in enumerate(values) if not i or values[i - 1] != v]
